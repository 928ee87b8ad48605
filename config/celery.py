"""The Celery application: celery -A config.celery worker --beat."""

from __future__ import annotations

import os
from typing import Any

from celery import Celery
from celery.signals import worker_init

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings.production")

app = Celery("zhixu")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.set_default()
app.autodiscover_tasks(["consent"])


@worker_init.connect
def guard(**kwargs: Any) -> None:
    from audit.domain.roles import WORKER
    from audit.services.roles import role_guard

    role_guard(WORKER)
