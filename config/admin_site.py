from django.contrib.admin import AdminSite
from django.utils.translation import gettext_lazy as _


class ZhixuAdminSite(AdminSite):
    site_header = _("Zhixu · consent and data governance")
    site_title = _("Zhixu")
    index_title = _("Overview")
