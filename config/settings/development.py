"""For trying out and developing on one machine. Never for real people's data."""

from __future__ import annotations

from config.settings.base import *  # noqa: F403
from config.settings.base import BASE_DIR, STATIC_ROOT, ZHIXU

SECRET_KEY = "development-only-not-a-secret-000000000000000000000000000000000000"  # noqa: S105
ALLOWED_HOSTS = ["127.0.0.1", "localhost", "[::1]", "testserver"]
ZHIXU.update(KEYRING_AUTOCREATE=True, AUDIENCES=BASE_DIR / "samples" / "demo")
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
WHITENOISE_USE_FINDERS = True
STATIC_ROOT.mkdir(parents=True, exist_ok=True)
