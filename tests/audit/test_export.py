"""Evidence that leaves the house: everything that proves, nothing that names a person, the same for other readers."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.db import transaction
from django.utils import timezone
from pytest_django import DjangoDbBlocker
from tlog_scales.backend import LocalBackend
from tlog_scales.reader import TilesReader
from tlog_scales.signing import Vkey

from audit.actors import SYSTEM
from audit.domain.merkle import leaf_hash
from audit.errors import ExportFolderError
from audit.models import AuditEntry, Checkpoint, Tree
from audit.services.receipts import receipt_sign
from audit.services.record import Event, audit_record
from audit.services.sequencer import ledger_signer, ledger_step
from consent.domain.terms import Act, Control
from consent.models import ConsentRecord, DataSubject, NoticeVersion
from consent.services.consents import (
    GivenEvidence,
    GivenIdentifier,
    GivenItem,
    GivenNotice,
    consents_record,
)
from consent.services.records import consent_withdraw
from consent.services.samples import sample_load
from governance.domain.identifiers import IdentifierType
from tests.audit.conftest import Books
from tests.audit.evidence import OFFICER, database_of, export, run, verify
from tests.conftest import DEMO


@pytest.fixture(scope="module")
def exported(
    django_db_setup: None, django_db_blocker: DjangoDbBlocker, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Path]:
    """The sample retailer, with new consents and withdrawals of today, exported; and the receipts of today."""
    home = tmp_path_factory.mktemp("evidence")
    with django_db_blocker.unblock(), database_of():
        sample_load(folder=DEMO, actor=OFFICER, at=timezone.now())
        ledger_step()
        said = _today()
        for number, entry in enumerate(said):
            (home / f"receipt-{number}.txt").write_text(receipt_sign(entry))
        ledger_step()
        export(home / "export")
    return home / "export", home


def _today() -> list[object]:
    """Twenty people say something today: most stop something, somebody new agrees, with evidence that is sealed."""
    notice = (
        NoticeVersion.objects.select_related("notice")
        .order_by("-effective_at")
        .filter(effective_at__lte=timezone.now(), notice__code="privacy")
        .first()
        or NoticeVersion.objects.select_related("notice").order_by("id")[0]
    )
    for person in DataSubject.objects.order_by("id")[:20]:
        consent_withdraw(subject_id=person.id, purpose=None, channel="sms", actor=OFFICER, at=timezone.now())
    first = ConsentRecord.objects.filter(act="grant", separate=False, point__kind="app").select_related(
        "purpose", "channel", "point"
    )[0]
    consents_record(
        identifiers=[GivenIdentifier(IdentifierType.WECHAT_OPENID, "oNewPerson00000000000000000_")],
        items=[GivenItem(Act.GRANT, first.purpose.code, "app_push"), GivenItem(Act.DENY, first.purpose.code, "sms")],
        point=first.point.code,
        notice=GivenNotice(notice.notice.code, notice.version, "zh-CN", notice.text_sha256.upper()),
        evidence=GivenEvidence(Control.TOGGLE, "page-1", pre_checked=False, private={"ip": "203.0.113.7"}),
        said_at=timezone.now() - timedelta(minutes=2),
        birth_date="",
        actor=OFFICER,
        at=timezone.now(),
    )
    recent = AuditEntry.objects.filter(type__startswith="consent.").order_by("-recorded_at")[:3]
    return [entry.id for entry in recent]


def test_an_outsider_finds_the_sample_retailer_s_ledger_whole(exported: tuple[Path, Path]) -> None:
    folder, home = exported
    receipts = [str(path) for path in sorted(home.glob("receipt-*.txt"))]

    verdict = verify(folder, home, "--key", ledger_signer("checkpoint").verifier, "--receipt", *receipts)

    assert (verdict.exit_code, verdict.report["findings"]) == (0, [])
    assert {check["result"] for check in verdict.report["checks"].values()} == {"ok"}
    counts = verdict.report["counts"]
    assert counts["people"] > 2000
    assert counts["states"] > 9000
    assert counts["entries"] == verdict.report["size"] > 8000
    assert counts["receipts"] == 3


def test_the_oldest_python_that_is_promised_says_the_same(exported: tuple[Path, Path]) -> None:
    found = sorted(Path.home().glob(".pyenv/versions/3.8.*/bin/python"))
    if not found:
        pytest.skip("no Python 3.8 here")

    assert verify(exported[0], exported[1], python=str(found[0])).exit_code == 0


def test_another_implementation_reads_the_same_tree(exported: tuple[Path, Path]) -> None:
    """tlog-scales, of a registry: head, signature, root, entries and proofs of the exported tiles."""
    folder, _ = exported
    reader = TilesReader(LocalBackend(folder))
    checkpoint = reader.get_checkpoint()

    checkpoint.verify(Vkey.from_string(ledger_signer("checkpoint").verifier))
    assert reader.calculate_root_hash() == checkpoint.root_hash
    for index in (0, 255, 256, checkpoint.size // 2, checkpoint.size - 1):
        proof = reader.get_inclusion_proof(index, checkpoint.size)
        proof.check(leaf_hash(reader.get_entry(index)), checkpoint.root_hash)
    for line in (folder / "checkpoints" / "sealed.ndjson").read_text().splitlines():
        old = type(checkpoint).from_text(json.loads(line)["note"])
        reader.get_consistency_proof(old.size, checkpoint.size).check(old.root_hash, checkpoint.root_hash)


def test_no_personal_data_leaves(exported: tuple[Path, Path]) -> None:
    """Every run of digits and every address in the members' file is looked for in every byte of the export."""
    folder, _ = exported
    text = b"".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())
    shape = re.compile(rb"(?<![0-9])1[0-9]{10}(?![0-9])|[A-Za-z0-9._+-]+@[A-Za-z0-9-]+\.[A-Za-z.]+|M[0-9]{6}")
    personal = set(shape.findall((DEMO / "members.csv").read_bytes()))

    assert len(personal) > 3000
    assert not personal & set(shape.findall(text))
    assert b"203.0.113.7" not in text


def test_an_export_is_an_entry_of_the_ledger_it_exports(ledger: Books, tmp_path: Path) -> None:
    first, second = export(tmp_path / "one"), export(tmp_path / "two")

    assert first.sealed
    assert second.size == first.size + 1
    body = json.loads(bytes(AuditEntry.objects.get(id=second.entry).body))
    assert body["actor"] == {"k": "user", "ref": "officer-1"}
    assert set(body["d"]["files"]) == {
        "anchors.ndjson",
        "book.json",
        "checkpoints/sealed.ndjson",
        "payloads.ndjson",
        "states.ndjson",
    }
    assert verify(tmp_path / "one", tmp_path).whole
    assert verify(tmp_path / "two", tmp_path).whole


def test_what_is_said_while_the_export_runs_is_in_the_tree_and_not_in_the_states(
    ledger: Books, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the snapshot and the head somebody withdraws: a consistent cut, not a contradiction."""
    person = DataSubject.objects.order_by("id")[0]
    publish = sys.modules["audit.services.exports"]._publish

    def late(entry: object, wait: float) -> str:
        consent_withdraw(subject_id=person.id, purpose=None, channel=None, actor=OFFICER, at=timezone.now())
        return publish(entry, wait)

    monkeypatch.setattr("audit.services.exports._publish", late)
    export(tmp_path / "export")

    states = [json.loads(line) for line in (tmp_path / "export" / "states.ndjson").read_text().splitlines()]
    [row] = [row for row in states if row["subj"] == str(person.ref)]
    assert row["ver"] == person.version
    assert DataSubject.objects.get(id=person.id).version == person.version + 1
    assert verify(tmp_path / "export", tmp_path).whole


def test_people_nobody_exported_yet_may_follow(ledger: Books, tmp_path: Path) -> None:
    person = DataSubject.objects.order_by("id")[0]
    for _ in range(3):
        consent_withdraw(subject_id=person.id, purpose=None, channel=None, actor=OFFICER, at=timezone.now())

    export(tmp_path / "export")  # three entries that wait when the snapshot is taken

    assert Tree.objects.get().size == Checkpoint.objects.order_by("-size")[0].size
    assert verify(tmp_path / "export", tmp_path).whole


def test_an_export_needs_an_empty_folder(ledger: Books, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep me")

    with pytest.raises(ExportFolderError, match="not empty"):
        export(tmp_path)

    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_broken_ledger_is_exported_all_the_same_and_says_so(ledger: Books, tmp_path: Path) -> None:
    with transaction.atomic():
        entry = audit_record(actor=SYSTEM, event=Event("ledger.heartbeat"))
    run("UPDATE audit_entry SET body = body || ' '::bytea WHERE id = %s", entry)

    done = export(tmp_path / "export")

    assert not done.sealed
    verdict = verify(tmp_path / "export", tmp_path)
    assert verdict.exit_code == 3
    verdict.named("V7", "export_unsealed")


def test_the_command_exports_and_says_what(ledger: Books, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    call_command("audit_export", tmp_path / "export", wait=0)

    assert "entries exported" in capsys.readouterr().out
    assert verify(tmp_path / "export", tmp_path).whole
    with pytest.raises(CommandError, match="目录不是空的"):
        call_command("audit_export", tmp_path / "export", wait=0)


def test_the_report_is_for_people_in_both_languages(ledger: Books, tmp_path: Path) -> None:
    export(tmp_path / "export")
    (tmp_path / "export" / "book.json").write_text("{}\n")

    said = {}
    for language in ("zh", "en"):
        command = [sys.executable, "-I", "-S", "zhixu-verify", str(tmp_path / "export"), "--lang", language]
        done = subprocess.run(command, env={"PATH": os.defpath}, capture_output=True, timeout=60)
        said[language] = done.stdout.decode()
        assert done.returncode == 2

    assert "被改动" in said["zh"]
    assert "book.json does not have the digest that the log states" in said["en"]
    assert said["zh"].count("\n") == said["en"].count("\n")
