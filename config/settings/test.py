"""For the test suite: development, with a cheap password hasher and its own key ring."""

from __future__ import annotations

import tempfile
from pathlib import Path

from config.settings.development import *  # noqa: F403
from config.settings.development import ZHIXU

_STATE = Path(tempfile.mkdtemp(prefix="zhixu-test-"))
ZHIXU.update(STATE=_STATE, KEYRING=_STATE / "keyring.json", TENANT="test")
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
