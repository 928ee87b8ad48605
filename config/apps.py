"""The admin site as an app, with our own site class."""

from django.contrib.admin.apps import AdminConfig


class ZhixuAdminConfig(AdminConfig):
    default_site = "config.admin_site.ZhixuAdminSite"
