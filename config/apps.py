"""The admin site as an app, with our own site class; it also wires Celery."""

from __future__ import annotations

from django.contrib.admin.apps import AdminConfig


class ZhixuAdminConfig(AdminConfig):
    default_site = "config.admin_site.ZhixuAdminSite"

    def ready(self) -> None:
        super().ready()
        from config import celery, checks  # noqa: F401 - makes ours the current Celery application; registers checks
