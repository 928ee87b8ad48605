"""A throw-away PostgreSQL for the test run, started before Django reads its settings."""

from __future__ import annotations

import atexit
import os
import tempfile
from pathlib import Path

from config.embedded import Cluster

if "DATABASE_URL" not in os.environ:
    _folder = Path(tempfile.mkdtemp(prefix="zhixu-test-"))
    _folder.chmod(0o755)
    _cluster = Cluster(_folder, throwaway=True)
    _cluster.start()
    atexit.register(_cluster.stop)
    os.environ["DATABASE_URL"] = _cluster.url
