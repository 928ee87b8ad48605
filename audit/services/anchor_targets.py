"""Places outside the database that keep checkpoints: a file, a mail, a command, a witness.

Each is told nothing but signed heads: sizes and hashes. What a place keeps, it can be asked for by anybody who checks
us, so a place that knows another tree than ours is an alarm and not a failure like others.
"""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import tempfile
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, timedelta
from email.utils import parseaddr
from http.client import HTTPException, HTTPMessage
from pathlib import Path
from typing import IO, Any, ClassVar, NamedTuple, Protocol
from urllib.error import HTTPError
from urllib.parse import urlsplit

from django.core.mail import EmailMessage

from audit.domain.checkpoint import head_read
from audit.domain.note import COSIGNATURE, NoteError, parse_verifier_key, split_note
from audit.domain.witness import SIZE_TYPE, add_checkpoint_body, conflict_size
from audit.errors import AnchorDisagreesError, AnchorFailedError, InvalidInputError
from audit.models import Checkpoint
from audit.options import option
from audit.selectors.ledger import consistency_between
from audit.signing import cosignature_time

SHORTEST = 60
"""An anchor is never asked to keep more than one checkpoint in so many seconds."""

_TAIL = 64 * 1024
_REPLY = 2_000  # characters of an answer that are kept
_BODY = 64 * 1024  # bytes of an answer that are read


class Kept(NamedTuple):
    """What was put there and what came back."""

    note: str
    reply: str = ""


class AnchorTarget(Protocol):
    """A place that keeps checkpoints. `elsewhere`: whoever runs the database's host cannot change it there."""

    kind: ClassVar[str]

    @property
    def target(self) -> str: ...
    @property
    def every(self) -> timedelta: ...
    @property
    def elsewhere(self) -> bool: ...

    def put(self, checkpoint: Checkpoint, before: int) -> Kept:
        """Put a checkpoint there; `before` is the size of the last one it kept, 0 if none.

        Raises:
            AnchorFailedError: it is not kept, or nobody knows.
            AnchorDisagreesError: the place knows a tree that ours does not continue.
        """
        ...


@dataclass(frozen=True, slots=True)
class FileTarget:
    """A text file that only grows, one line of JSON per checkpoint: on another host's disk, or `chattr +a`."""

    kind: ClassVar[str] = "file"
    path: Path
    every: timedelta
    elsewhere: bool

    @property
    def target(self) -> str:
        return str(self.path)

    def put(self, checkpoint: Checkpoint, before: int) -> Kept:
        line = _line_of(checkpoint)
        try:
            tail = self._tail()
            last = _last_line(tail)
            if last is not None and last.size >= checkpoint.size:
                if last != (checkpoint.size, bytes(checkpoint.root)):
                    raise AnchorDisagreesError(
                        "the file holds another tree of size %(size)s; ours has %(ours)s",
                        size=last.size,
                        ours=checkpoint.size,
                    )
                return Kept(checkpoint.note, "was there")  # we were stopped between the file and its row
            torn = bool(tail) and not tail.endswith(b"\n")
            self._append((b"\n" if torn else b"") + line)
        except OSError as error:
            raise AnchorFailedError("the file cannot be written: %(reason)s", reason=error.strerror) from None
        return Kept(checkpoint.note)

    def _tail(self) -> bytes:
        try:
            with self.path.open("rb") as file:
                file.seek(0, os.SEEK_END)
                file.seek(max(file.tell() - _TAIL, 0))
                return file.read()
        except FileNotFoundError:
            return b""

    def _append(self, data: bytes) -> None:
        new = not self.path.exists()
        handle = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            written = os.write(handle, data)
            os.fsync(handle)
        finally:
            os.close(handle)
        if written != len(data):
            raise AnchorFailedError("the file took only a part of the line")
        if new:
            folder = os.open(self.path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)


class _Line(NamedTuple):
    size: int
    root: bytes


def _line_of(checkpoint: Checkpoint) -> bytes:
    line = {
        "size": checkpoint.size,
        "root": base64.b64encode(bytes(checkpoint.root)).decode(),
        "signed_at": checkpoint.signed_at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        "note": checkpoint.note,
    }
    return json.dumps(line, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def _last_line(tail: bytes) -> _Line | None:
    """Return the last whole line. What a killed process left half-written is passed over."""
    for raw in reversed(tail.split(b"\n")):
        try:
            head = head_read(json.loads(raw)["note"])
        except (ValueError, KeyError, TypeError):
            continue
        return _Line(head.size, head.root)
    return None


@dataclass(frozen=True, slots=True)
class MailTarget:
    """A mail to people who keep their mail where we cannot reach it: the officer, an auditor."""

    kind: ClassVar[str] = "mail"
    to: tuple[str, ...]
    every: timedelta
    elsewhere: bool

    @property
    def target(self) -> str:
        return ", ".join(self.to)

    def put(self, checkpoint: Checkpoint, before: int) -> Kept:
        places = {
            "origin": head_read(checkpoint.note).origin,
            "size": checkpoint.size,
            "added": checkpoint.size - before,
            "root": base64.b64encode(bytes(checkpoint.root)).decode(),
            "at": checkpoint.signed_at.astimezone(UTC).isoformat(timespec="seconds"),
            "note": checkpoint.note,
        }
        mail = EmailMessage(
            subject=_MAIL_SUBJECT % places,
            body=_MAIL_BODY % places,
            to=list(self.to),
            # the same checkpoint is the same message, should we be stopped before we note that it went out
            headers={"Message-ID": f"<{checkpoint.size}.{bytes(checkpoint.root).hex()[:32]}@ledger.zhixu>"},
        )
        mail.attach(f"checkpoint-{checkpoint.size}.txt", checkpoint.note, "text/plain")
        try:
            mail.send()
        except Exception as error:  # whatever the mail backend raises
            raise AnchorFailedError("the mail was not taken: %(reason)s", reason=type(error).__name__) from None
        return Kept(checkpoint.note)


_MAIL_SUBJECT = "知许审计台账检查点 %(size)s / Zhixu ledger checkpoint %(size)s"
_MAIL_BODY = """\
您好：

这是审计台账“%(origin)s”的签名检查点，其中共有 %(size)s 条记录，比上一封邮件多 %(added)s 条。
签名时间（UTC）：%(at)s
根哈希：%(root)s

请保留这封邮件，不必做别的。日后如有人改写或删除了此前的任何一条记录，台账就无法再与这个检查点相符；
核验时请把附件与台账的导出文件一起交给核验程序。邮件中没有个人信息。

----

This is the signed checkpoint of the audit ledger "%(origin)s". It covers %(size)s entries, %(added)s more than the
last mail. Signed at (UTC): %(at)s. Root hash: %(root)s

Please keep this mail; nothing else is needed. If anybody rewrites or removes an earlier entry, the ledger can no longer
match this checkpoint: give the attachment to the verifier together with an export of the ledger. There is no personal
data in this mail.

----

%(note)s"""


@dataclass(frozen=True, slots=True)
class CommandTarget:
    """Any program that takes the note on its standard input: to object storage, to a second host.

    It must bear being told the same checkpoint twice, and gets no secrets from our environment.
    """

    kind: ClassVar[str] = "command"
    name: str
    argv: tuple[str, ...]
    timeout: int
    every: timedelta
    elsewhere: bool

    @property
    def target(self) -> str:
        return self.name

    def put(self, checkpoint: Checkpoint, before: int) -> Kept:
        env = {name: value for name in ("PATH", "HOME", "LANG", "LC_ALL") if (value := os.environ.get(name))}
        env |= {"ZHIXU_ORIGIN": head_read(checkpoint.note).origin, "ZHIXU_SIZE": str(checkpoint.size)}
        with tempfile.TemporaryFile() as said:
            try:
                process = subprocess.Popen(
                    self.argv, stdin=subprocess.PIPE, stdout=said, stderr=said, env=env, start_new_session=True
                )
            except OSError as error:
                raise AnchorFailedError("the command cannot be run: %(reason)s", reason=error.strerror) from None
            try:
                process.communicate(checkpoint.note.encode(), timeout=self.timeout)
            except subprocess.TimeoutExpired:
                raise AnchorFailedError("the command took longer than %(seconds)s s", seconds=self.timeout) from None
            finally:
                _end(process)
            said.seek(0)
            reply = said.read(_BODY).decode(errors="replace").replace("\0", "")[-_REPLY:]
        if process.returncode != 0:
            raise AnchorFailedError(
                "the command ended with %(code)s: %(said)s", code=process.returncode, said=reply.strip()[-200:]
            )
        return Kept(checkpoint.note, reply)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a command with whatever it started."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@dataclass(frozen=True, slots=True)
class WitnessTarget:
    """A C2SP witness: it checks that our tree continues the one it has seen, and says so under its own key."""

    kind: ClassVar[str] = "witness"
    url: str
    verifier: str
    timeout: int
    every: timedelta
    elsewhere: bool

    @property
    def target(self) -> str:
        return self.url

    def put(self, checkpoint: Checkpoint, before: int) -> Kept:
        status, kind, said = self._post(checkpoint, before)
        if status == 409 and kind == SIZE_TYPE:
            seen = self._seen(said, checkpoint, before)
            status, kind, said = self._post(checkpoint, seen)
        if status == 409 or status == 422:
            raise AnchorDisagreesError(
                "the witness does not see that our tree continues its own (%(code)s)", code=status
            )
        if status != 200:
            raise AnchorFailedError("the witness answers %(code)s", code=status)
        note = checkpoint.note + said
        try:
            if split_note(note)[0] != split_note(checkpoint.note)[0]:
                raise NoteError("more than signatures")
            cosignature_time(note, self.verifier)
        except NoteError as error:
            raise AnchorFailedError("the witness's answer: %(reason)s", reason=str(error)) from None
        return Kept(note, said)

    def _seen(self, said: str, checkpoint: Checkpoint, before: int) -> int:
        try:
            seen = conflict_size(said)
        except NoteError as error:
            raise AnchorFailedError("the witness's answer: %(reason)s", reason=str(error)) from None
        if seen > checkpoint.size:
            raise AnchorDisagreesError(
                "the witness has seen a tree of %(size)s entries; ours has %(ours)s", size=seen, ours=checkpoint.size
            )
        return seen

    def _post(self, checkpoint: Checkpoint, old: int) -> tuple[int, str, str]:
        proof = consistency_between(old, checkpoint.size) if old else []
        request = urllib.request.Request(  # noqa: S310 - http or https, checked when settings are read
            f"{self.url.rstrip('/')}/add-checkpoint",
            data=add_checkpoint_body(old, proof, checkpoint.note).encode(),
            headers={"Content-Type": "text/plain; charset=utf-8", "User-Agent": "zhixu"},
        )
        try:
            with _no_redirects.open(request, timeout=self.timeout) as answer:
                return answer.status, answer.headers.get_content_type(), answer.read(_BODY).decode()
        except HTTPError as error:
            with error:
                return error.code, error.headers.get_content_type(), error.read(_BODY).decode(errors="replace")
        except (OSError, HTTPException, UnicodeDecodeError) as error:
            raise AnchorFailedError("the witness does not answer: %(reason)s", reason=type(error).__name__) from None


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> None:
        return None


_no_redirects = urllib.request.build_opener(_NoRedirects)


def anchor_targets() -> list[AnchorTarget]:
    """Return the places that settings name, in their order.

    Raises:
        InvalidInputError: an anchor is not described as docs/deploy.md says.
    """
    found: list[AnchorTarget] = []
    configured = option("ANCHORS")
    if not isinstance(configured, list):
        raise InvalidInputError("anchors are a list")
    for place, told in enumerate(configured):
        try:
            found.append(_target_of(told))
        except (KeyError, TypeError, ValueError) as error:
            raise InvalidInputError(
                "anchor %(place)s is not understood: %(reason)s", place=place + 1, reason=str(error) or "wrong kind"
            ) from None
    names = [(target.kind, target.target) for target in found]
    if len(set(names)) != len(names):
        raise InvalidInputError("an anchor is named twice")
    return found


_KEYS = {
    "file": {"path"},
    "mail": {"to"},
    "command": {"name", "argv", "timeout_seconds"},
    "witness": {"url", "verifier", "timeout_seconds"},
}
_EVERY = {"file": 60, "mail": 86_400, "command": 300, "witness": 60}


def _target_of(told: Mapping[str, Any]) -> AnchorTarget:
    kind = told["kind"]
    if kind not in _KEYS:
        raise ValueError(f"no kind {kind!r}")
    unknown = set(told) - _KEYS[kind] - {"kind", "every_seconds", "elsewhere"}
    if unknown:
        raise ValueError(f"a {kind} has no {', '.join(sorted(unknown))}")
    seconds = told.get("every_seconds", _EVERY[kind])
    if not isinstance(seconds, int) or seconds < SHORTEST:
        raise ValueError(f"every_seconds is at least {SHORTEST}")
    every = timedelta(seconds=seconds)
    elsewhere = told.get("elsewhere", kind != "file")
    timeout = told.get("timeout_seconds", 20)
    if not isinstance(elsewhere, bool) or not isinstance(timeout, int) or not 0 < timeout <= 60:
        raise ValueError("elsewhere is true or false, timeout_seconds 1 to 60")
    target: AnchorTarget
    if kind == "file":
        path = Path(_text(told["path"]))
        if not path.is_absolute():
            raise ValueError("path begins with /")
        target = FileTarget(path, every, elsewhere)
    elif kind == "mail":
        to = tuple(map(_text, told["to"]))
        if not to or any("@" not in parseaddr(address)[1] for address in to) or isinstance(told["to"], str):
            raise ValueError("to is a list of mail addresses")
        target = MailTarget(to, every, elsewhere)
    elif kind == "command":
        argv = tuple(map(_text, told["argv"]))
        if not argv or isinstance(told["argv"], str):
            raise ValueError("argv is a list: the program and its arguments, no shell")
        target = CommandTarget(_text(told.get("name", argv[0])), argv, timeout, every, elsewhere)
    else:
        url = _text(told["url"])
        if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
            raise ValueError("url is the witness's submission prefix, http or https")
        parse_verifier_key(_text(told["verifier"]), COSIGNATURE)
        target = WitnessTarget(url, told["verifier"], timeout, every, elsewhere)
    if len(target.target) > 200:
        raise ValueError("longer than 200 characters")
    return target


def _text(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError("a text is expected")
    return value
