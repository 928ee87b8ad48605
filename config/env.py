"""Typed reading of the environment: the only module that looks at it for settings."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import environ
from django.core.exceptions import ImproperlyConfigured

_env = environ.Env()
ROOT = Path(__file__).resolve().parent.parent

STATE = Path(_env.str("ZHIXU_HOME", default=str(ROOT / ".zhixu")))
"""Where a single-host installation keeps what is not in the database: keys, uploads, results."""


def secret(name: str) -> str:
    """Return a secret from NAME_FILE or NAME; empty if neither is set. Files keep it out of process lists."""
    path = os.environ.get(f"{name}_FILE")
    return Path(path).read_text().strip() if path else os.environ.get(name, "")


def json_of(name: str) -> Any:
    """Return what NAME_FILE or NAME holds as JSON; an empty list if neither is set."""
    try:
        return json.loads(secret(name) or "[]")
    except json.JSONDecodeError as error:
        raise ImproperlyConfigured(f"{name} is not JSON: {error}") from None


DATABASE = _env.db_url_config(secret("DATABASE_URL") or "postgresql:///zhixu")
SECRET_KEY = secret("ZHIXU_SECRET_KEY")
KEYRING = Path(_env.str("ZHIXU_KEYRING", default=str(STATE / "keyring.json")))
ALLOWED_HOSTS = _env.list("ZHIXU_ALLOWED_HOSTS", default=[])
BASE_URL = _env.str("ZHIXU_BASE_URL", default="http://127.0.0.1:8000")
BROKER_URL = secret("ZHIXU_BROKER_URL")
TENANT = _env.str("ZHIXU_TENANT", default="zhixu")
TRUSTED_PROXIES = _env.int("ZHIXU_TRUSTED_PROXIES", default=0)
ANCHORS = json_of("ZHIXU_ANCHORS")
EMAIL = _env.email_url_config(secret("ZHIXU_EMAIL_URL") or "smtp://localhost:25")
MAIL_FROM = _env.str("ZHIXU_MAIL_FROM", default="zhixu@localhost")
