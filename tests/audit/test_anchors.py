"""Heads kept outside: in a file, a mail, by a command, by a witness. Each once, each tried again, none in the way."""

from __future__ import annotations

import email
import email.policy
import io
import json
import logging
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session
from django.conf import LazySettings
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connection, transaction

from audit.actors import SYSTEM
from audit.domain.checkpoint import head_read
from audit.errors import InvalidInputError
from audit.models import Anchor, Checkpoint
from audit.services.anchor_targets import AnchorTarget, anchor_targets
from audit.services.anchors import anchor_put, anchors_due
from audit.services.record import Event, audit_record_many, database_now
from audit.services.sequencer import ledger_signer, ledger_step
from audit.signing import cosignature_time, note_open
from config.checks import heads_are_kept_outside
from tests.audit.witness_server import Witness, serving
from tests.demo_server import free_port

pytestmark = pytest.mark.django_db


def grow(count: int = 3) -> Checkpoint:
    """Let so many entries happen; returns the head over them."""
    audit_record_many(actor=SYSTEM, events=[Event("ledger.heartbeat") for _ in range(count)])
    ledger_step()
    return Checkpoint.objects.order_by("-size")[0]


def configured(settings: LazySettings, *anchors: dict[str, Any]) -> list[AnchorTarget]:
    settings.ZHIXU = settings.ZHIXU | {"ANCHORS": list(anchors)}
    return anchor_targets()


def put(target: AnchorTarget, at: datetime | None = None) -> Anchor:
    row = anchor_put(target, at=at)
    assert row is not None
    return row


@pytest.fixture
def paper(settings: LazySettings, tmp_path: Path) -> AnchorTarget:
    """A file that keeps heads."""
    [target] = configured(settings, {"kind": "file", "path": str(tmp_path / "anchors.jsonl")})
    return target


def lines(target: AnchorTarget) -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(target.target).read_text().splitlines()]


def test_a_file_gets_one_line_for_each_head(paper: AnchorTarget) -> None:
    heads = [grow(), grow()]
    assert put(paper).size == heads[1].size
    heads.append(grow())

    row = put(paper)

    assert (row.succeeded, row.size, row.note) == (True, heads[2].size, heads[2].note)
    assert [line["size"] for line in lines(paper)] == [head.size for head in heads[1:]]
    for line in lines(paper):
        head = head_read(note_open(line["note"], ledger_signer("checkpoint").verifier))
        assert head.size == line["size"]


def test_a_head_is_never_put_twice_at_one_place(paper: AnchorTarget) -> None:
    grow()
    put(paper)

    assert anchor_put(paper, at=None) is None
    assert len(lines(paper)) == 1
    with pytest.raises(DatabaseError), transaction.atomic():
        Anchor.objects.create(size=Anchor.objects.get().size, kind="file", target=paper.target, note="", succeeded=True)


def test_a_line_that_was_written_but_not_noted_is_not_written_again(paper: AnchorTarget) -> None:
    head = grow()
    try:
        with transaction.atomic():
            put(paper)
            raise KeyboardInterrupt
    except KeyboardInterrupt:
        pass

    row = put(paper)

    assert (row.succeeded, row.reply) == (True, "was there")
    assert [line["size"] for line in lines(paper)] == [head.size]


def test_a_half_written_line_is_passed_over(paper: AnchorTarget) -> None:
    grow()
    put(paper)
    file = Path(paper.target)
    whole = file.read_bytes()
    file.write_bytes(whole + b'{"size":')
    head = grow()

    put(paper)

    assert file.read_bytes().startswith(whole + b'{"size":\n')
    assert json.loads(file.read_text().splitlines()[-1])["size"] == head.size


def test_a_file_that_knows_a_larger_tree_is_an_alarm(paper: AnchorTarget, caplog: pytest.LogCaptureFixture) -> None:
    grow()
    ahead = grow(5)
    put(paper)
    with connection.cursor() as cursor:  # the database is rolled back to the first head; the file cannot be
        for table in ("audit_anchor", "audit_checkpoint"):
            cursor.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
        cursor.execute("DELETE FROM audit_anchor")
        cursor.execute("DELETE FROM audit_checkpoint WHERE size = %s", [ahead.size])

    row = put(paper)

    assert not row.succeeded
    assert any(record.levelno == logging.CRITICAL for record in caplog.records)


def test_an_interval_passes_between_two_heads(paper: AnchorTarget) -> None:
    grow()
    now = database_now()
    assert anchors_due(now) == [paper]
    put(paper, at=now)
    grow()
    now = database_now()

    assert anchors_due(now + timedelta(seconds=59)) == []
    assert anchor_put(paper, at=now + timedelta(seconds=59)) is None
    assert anchors_due(now + timedelta(seconds=61)) == [paper]


def test_nothing_is_due_when_nothing_came(paper: AnchorTarget) -> None:
    assert anchors_due(database_now()) == []
    grow()
    put(paper)

    assert anchors_due(database_now() + timedelta(days=1)) == []


def test_an_anchor_s_own_trace_is_no_reason_for_the_next(paper: AnchorTarget) -> None:
    grow()
    put(paper)
    ledger_step()
    later = database_now() + timedelta(days=1)
    assert anchors_due(later) == []
    grow(1)

    assert anchors_due(later) == [paper]


def test_a_failure_is_noted_said_and_tried_again_ever_more_slowly(
    settings: LazySettings, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "not mounted"
    [target] = configured(settings, {"kind": "file", "path": str(folder / "anchors.jsonl")})
    grow()

    waits = []
    for _ in range(4):
        row = put(target)
        assert (row.succeeded, "cannot be written" in row.reply) == (False, True)
        waits.append(next(s for s in range(4000) if anchors_due(row.anchored_at + timedelta(seconds=s))))
    assert waits == [15, 30, 60, 120]
    assert [record.levelname for record in caplog.records if record.name == "audit.services.anchors"] == ["ERROR"] * 4

    folder.mkdir()
    assert put(target).succeeded


class Post:
    """A mail server's door: keeps what comes in, or refuses it."""

    def __init__(self) -> None:
        self.taken: list[Envelope] = []
        self.refusing = False

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        if self.refusing:
            return "451 greylisted"
        self.taken.append(envelope)
        return "250 taken"


@pytest.fixture
def post(settings: LazySettings) -> Iterator[Post]:
    """A real SMTP server."""
    handler = Post()
    controller = Controller(handler, hostname="127.0.0.1", port=free_port())
    controller.start()
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = controller.server.sockets[0].getsockname()[:2]
    settings.DEFAULT_FROM_EMAIL = "zhixu@shop.example"
    try:
        yield handler
    finally:
        controller.stop()


def test_the_officer_gets_the_head_by_mail_in_both_languages(settings: LazySettings, post: Post) -> None:
    [target] = configured(settings, {"kind": "mail", "to": ["dpo@shop.example", "审计 <auditor@firm.example>"]})
    head = grow()

    row = put(target)

    [envelope] = post.taken
    mail = email.message_from_bytes(envelope.content, policy=email.policy.default)
    body = mail.get_body()
    assert body is not None
    text = body.get_content()
    [attached] = mail.iter_attachments()
    assert row.succeeded
    assert envelope.rcpt_tos == ["dpo@shop.example", "auditor@firm.example"]
    assert text.index("检查点") < text.index("checkpoint of the audit ledger")
    assert head.note.strip() in text.replace("\r\n", "\n")
    assert attached.get_filename() == f"checkpoint-{head.size}.txt"
    assert attached.get_content().replace("\r\n", "\n") == head.note
    assert f"<{head.size}." in mail["Message-ID"]
    assert str(head.size) in mail["Subject"]


def test_a_mail_that_is_not_taken_is_sent_again(settings: LazySettings, post: Post) -> None:
    [target] = configured(settings, {"kind": "mail", "to": ["dpo@shop.example"]})
    grow()
    post.refusing = True
    assert not put(target).succeeded
    post.refusing = False

    assert put(target).succeeded
    assert len(post.taken) == 1
    assert anchors_due(database_now() + timedelta(hours=23)) == []


def test_a_mail_server_that_is_away_is_a_failure_like_others(settings: LazySettings, post: Post) -> None:
    settings.EMAIL_PORT = 1
    [target] = configured(settings, {"kind": "mail", "to": ["dpo@shop.example"]})
    grow()

    assert not put(target).succeeded


def command(settings: LazySettings, script: str, **more: Any) -> AnchorTarget:
    [target] = configured(settings, {"kind": "command", "name": "x", "argv": [sys.executable, "-c", script], **more})
    return target


def test_a_command_gets_the_note_and_its_answer_is_kept(settings: LazySettings, tmp_path: Path) -> None:
    there = tmp_path / "there"
    script = f"import os, sys; open({str(there)!r}, 'w').write(sys.stdin.read()); print('stored', os.environ)"
    target = command(settings, script)
    head = grow()

    row = put(target)

    assert there.read_text() == head.note
    assert row.succeeded
    assert "stored" in row.reply
    assert f"'ZHIXU_SIZE': '{head.size}'" in row.reply
    assert "DATABASE_URL" not in row.reply


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("raise SystemExit('bucket is gone')", "bucket is gone"),
        ("import time; time.sleep(60)", "longer than 1 s"),
        ("import subprocess, time; subprocess.Popen(['sleep', '60']); time.sleep(60)", "longer than 1 s"),
    ],
)
def test_a_command_that_fails_or_hangs_is_a_failure(settings: LazySettings, script: str, said: str) -> None:
    grow()

    row = put(command(settings, script, timeout_seconds=1))

    assert (row.succeeded, said in row.reply) == (False, True)


def test_a_command_that_is_not_there_is_a_failure(settings: LazySettings) -> None:
    [target] = configured(settings, {"kind": "command", "argv": ["/no/such/program"]})
    grow()

    assert not put(target).succeeded


@pytest.fixture
def witness() -> Iterator[Witness]:
    with serving(Witness(ledger_signer("checkpoint").verifier)) as served:
        yield served


@pytest.fixture
def witnessed(settings: LazySettings, witness: Witness) -> AnchorTarget:
    [target] = configured(settings, {"kind": "witness", "url": witness.url, "verifier": witness.verifier})
    return target


def test_a_witness_follows_our_tree_and_cosigns_it(witness: Witness, witnessed: AnchorTarget) -> None:
    for count in (1, 2, 250, 3, 300, 1):
        head = grow(count)

        row = put(witnessed)

        assert row.succeeded
        assert witness.size == head.size == row.size
        assert cosignature_time(row.note, witness.verifier) > 1_600_000_000
        assert note_open(row.note, ledger_signer("checkpoint").verifier) == head.note.partition("\n\n")[0] + "\n"
    assert witness.statuses == [200] * 6


def test_a_witness_that_saw_more_than_we_noted_says_where_it_stands(witness: Witness, witnessed: AnchorTarget) -> None:
    grow()
    put(witnessed)
    grow(4)
    try:
        with transaction.atomic():
            put(witnessed)
            raise KeyboardInterrupt
    except KeyboardInterrupt:
        pass
    grow(9)

    assert put(witnessed).succeeded
    assert witness.statuses == [200, 200, 409, 200]


def test_a_witness_that_has_our_head_already_cosigns_it_again(witness: Witness, witnessed: AnchorTarget) -> None:
    grow()
    try:
        with transaction.atomic():
            put(witnessed)
            raise KeyboardInterrupt
    except KeyboardInterrupt:
        pass

    assert put(witnessed).succeeded
    assert witness.statuses == [200, 409, 200]


@pytest.mark.parametrize("ahead", [0, 7])
def test_a_witness_of_another_history_is_an_alarm(
    witness: Witness, witnessed: AnchorTarget, ahead: int, caplog: pytest.LogCaptureFixture
) -> None:
    head = grow()
    witness.size, witness.root = head.size + ahead, b"\x11" * 32

    row = put(witnessed)

    assert not row.succeeded
    assert any(record.levelno == logging.CRITICAL for record in caplog.records)


@pytest.mark.parametrize("broken", ["away", "lies", "rewrites"])
def test_what_a_witness_did_not_cosign_is_not_kept(witness: Witness, witnessed: AnchorTarget, broken: str) -> None:
    grow()
    witness.broken = broken
    assert not put(witnessed).succeeded
    witness.broken = ""

    assert put(witnessed).succeeded


def test_another_witness_s_signature_counts_for_nothing(settings: LazySettings, witness: Witness) -> None:
    other = Witness(ledger_signer("checkpoint").verifier)
    [target] = configured(settings, {"kind": "witness", "url": witness.url, "verifier": other.verifier})
    grow()

    assert not put(target).succeeded


@pytest.mark.parametrize(
    "told",
    [
        {},
        {"kind": "paper"},
        {"kind": "file"},
        {"kind": "file", "path": "relative"},
        {"kind": "file", "path": "/x", "every_seconds": 59},
        {"kind": "file", "path": "/x", "shell": True},
        {"kind": "mail", "to": []},
        {"kind": "mail", "to": "dpo@shop.example"},
        {"kind": "mail", "to": ["nobody"]},
        {"kind": "command", "argv": "rm -rf /"},
        {"kind": "command", "argv": ["x"], "timeout_seconds": 0},
        {"kind": "witness", "url": "ftp://w.example", "verifier": "x"},
        {"kind": "witness", "url": "https://w.example", "verifier": "x"},
        {"kind": "file", "path": "/" + "x" * 200},
    ],
)
def test_an_anchor_that_is_not_described_well_is_refused(settings: LazySettings, told: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError):
        configured(settings, told)


def test_the_command_anchors_at_once_and_says_what_failed(settings: LazySettings, tmp_path: Path) -> None:
    good = {"kind": "file", "path": str(tmp_path / "a.jsonl")}
    configured(settings, good, {"kind": "file", "path": str(tmp_path / "none" / "b.jsonl")})
    head = grow()
    out = io.StringIO()

    with pytest.raises(CommandError, match="1 of 2 anchors failed"):
        call_command("ledger_anchor", stdout=out)

    assert f"a.jsonl: kept {head.size}" in out.getvalue()
    assert "b.jsonl: FAILED" in out.getvalue()
    configured(settings, good)
    out = io.StringIO()
    call_command("ledger_anchor", stdout=out)
    assert "nothing to do" in out.getvalue()


FILE = {"kind": "file", "path": "/x"}
MAIL = {"kind": "mail", "to": ["dpo@shop.example"]}


@pytest.mark.parametrize(
    ("anchors", "ids"),
    [
        ([], ["audit.E010"]),
        ([MAIL], ["audit.E010"]),
        ([FILE, FILE | {"path": "/y"}], ["audit.E010"]),
        ([MAIL, {"kind": "paper"}], ["audit.E010"]),
        ([MAIL, MAIL], ["audit.E010"]),
        ([FILE, MAIL], []),
        ([FILE, FILE | {"path": "/y", "elsewhere": True}], []),
    ],
)
def test_production_needs_two_anchors_one_of_them_elsewhere(
    settings: LazySettings, anchors: list[dict[str, Any]], ids: list[str]
) -> None:
    settings.ZHIXU = settings.ZHIXU | {"ANCHORS": anchors}

    assert [message.id for message in heads_are_kept_outside(None)] == ids
