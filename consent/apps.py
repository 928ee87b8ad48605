from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class ConsentConfig(AppConfig):
    name = "consent"
    verbose_name = _("Consent and decisions")

    def ready(self) -> None:
        from consent import tasks  # noqa: F401 - so that their names exist in every process
