"""The verifier: whoever rewrites the ledger is named; what breaks is named; and it knows its standards."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import random
import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from django.db import connection
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st
from pytest_django import DjangoDbBlocker

from audit.domain.canonical import canonical_json
from audit.domain.checkpoint import Head, head_text
from audit.domain.details import checked_details
from audit.domain.ids import uuid7
from audit.domain.merkle import (
    HASH_BYTES,
    CompactRange,
    consistency_proof,
    leaf_hash,
    tree_root,
    verify_consistency,
)
from audit.domain.note import split_note
from audit.domain.tiles import subtree_reader, tiles_grow
from audit.models import Anchor, AuditEntry, Checkpoint, Leaf, Payload, Tree
from audit.services.record import database_now
from audit.services.sequencer import ledger_signer, ledger_step, origin
from audit.signing import Ed25519Signer, note_open
from consent.domain.evidence import book_row
from consent.domain.records import Record, Slot, Standing, State, stand
from consent.models import DataSubject
from consent.services.records import NewRecord, _event, consent_withdraw
from consent.services.states import states_rebuild
from governance.domain.identifiers import IdentifierType
from governance.models import Channel
from governance.services.register import register_save
from tests.audit.conftest import Books
from tests.audit.evidence import OFFICER, Verdict, database_of, export, run, verifier, verify
from tests.consent.test_fold import BOOK, NOON, SAID, read
from tests.strategies import WORLDS, few

VECTORS = Path(__file__).resolve().parent.parent / "vectors" / "ledger"
FLIPS = max(200, WORLDS)


def vectors(name: str) -> Any:
    return json.loads((VECTORS / name).read_text())


# -- the clean run, next to which every attack stands ----------------------------------------------------------------


@pytest.fixture(scope="module")
def clean(books: Books, django_db_blocker: DjangoDbBlocker, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The export of the untouched ledger; it verifies against all that the auditor holds."""
    home = tmp_path_factory.mktemp("clean")
    with django_db_blocker.unblock(), database_of(books.database):
        export(home / "export")
    verdict = verify(home / "export", home, *held(books))
    assert verdict.whole, verdict.findings
    assert {check["result"] for name, check in verdict.report["checks"].items() if name != "V11"} == {"ok"}
    return home / "export"


def held(books: Books) -> list[str]:
    """Return what the auditor holds: the key, a head and a receipt he got before."""
    key = ledger_signer("checkpoint").verifier
    return ["--key", key, "--previous", str(books.head), "--receipt", str(books.receipt)]


@pytest.fixture
def judged(clean: Path, ledger: Books, tmp_path: Path) -> Callable[[], Verdict]:
    """Export the ledger as it now is and let the outsider judge it, with all that he holds."""

    def judge() -> Verdict:
        export(tmp_path / "export")
        return verify(tmp_path / "export", tmp_path, *held(ledger))

    return judge


def person(number: int) -> DataSubject:
    """lin, zhao and the guest, in this order."""
    return DataSubject.objects.order_by("id")[number]


def entry_of(kind: str, *, last: bool = False) -> tuple[int, AuditEntry]:
    entry = AuditEntry.objects.filter(type=kind).order_by("-recorded_at" if last else "recorded_at")[0]
    return Leaf.objects.get(entry_id=entry.id).idx, entry


def rewritten(entry: AuditEntry, old: bytes, new: bytes) -> None:
    """Change an entry's body, and its leaf hash with it."""
    body = bytes(entry.body)
    assert old in body
    body = body.replace(old, new)
    run("UPDATE audit_entry SET body = %s, leaf_hash = %s WHERE id = %s", body, leaf_hash(body), entry.id)


def tree_rebuilt(entries: list[UUID], heads: list[int]) -> None:
    """Rewrite the whole ledger over these entries, heads of these sizes signed with the stolen key."""
    signed = dict(Checkpoint.objects.values_list("size", "signed_at"))
    times = sorted(signed.values())
    bodies = {row.id: bytes(row.body) for row in AuditEntry.objects.filter(id__in=entries)}
    leaves = [leaf_hash(bodies[entry]) for entry in entries]
    for table in ("audit_leaf", "audit_tile", "audit_checkpoint"):
        run(f"DELETE FROM {table}")
    tree = CompactRange()
    signer = ledger_signer("checkpoint")
    at = 0
    for place, size in enumerate(heads):
        grown = tiles_grow(tree, leaves[at:size])
        for (level, n), data in grown.items():
            run(
                "INSERT INTO audit_tile (level, n, hashes) VALUES (%s, %s, %s)"
                " ON CONFLICT (level, n) DO UPDATE SET hashes = audit_tile.hashes || excluded.hashes",
                level, n, data,
            )  # fmt: skip
        note = signer.sign(head_text(Head(origin(), size, tree.root())))
        run(
            "INSERT INTO audit_checkpoint (size, root, note, signed_at) VALUES (%s, %s, %s, %s)",
            size, tree.root(), note, times[place],
        )  # fmt: skip
        at = size
    kept = entries[: heads[-1]]
    run(
        "INSERT INTO audit_leaf (idx, entry_id) SELECT * FROM unnest(%s::bigint[], %s::uuid[])",
        [*range(len(kept))],
        kept,
    )
    if waiting := entries[heads[-1] :]:
        run("INSERT INTO audit_pending (entry_id) SELECT unnest(%s::uuid[])", waiting)
    edge = b"".join(tree.hashes)
    run("UPDATE audit_tree SET size = %s, edge = %s, root = %s", tree.size, edge, tree.root())


def in_order() -> list[UUID]:
    return list(Leaf.objects.order_by("idx").values_list("entry_id", flat=True))


def sizes() -> list[int]:
    return list(Checkpoint.objects.order_by("size").values_list("size", flat=True))


# -- a malicious administrator of the database (docs: threat A-07) ---------------------------------------------------


def test_a_flipped_state_is_named_by_person_and_slot(judged: Callable[[], Verdict]) -> None:
    """1. zhao's "no" is taken out of his state, so that the next check allows."""
    zhao = person(1)
    run("UPDATE consent_state SET refusal_id = NULL, refused_at = NULL WHERE subject_id = %s", zhao.id)

    verdict = judged()

    assert verdict.exit_code == 2
    found = verdict.named("V7", "state_differs", person=str(zhao.ref), slot="purpose=marketing.promotion channel=sms")
    assert set(found["expected"]) == {"refusal", "refused_at"}
    assert found["found"] == {"refusal": None, "refused_at": None}


def test_a_deleted_entry_is_named_by_its_place(judged: Callable[[], Verdict]) -> None:
    """2. The row of a withdrawal is deleted."""
    index, entry = entry_of("consent.withdrawn")
    run("DELETE FROM audit_entry WHERE id = %s", entry.id)

    verdict = judged()

    assert verdict.exit_code == 2
    verdict.named("V1", "entry_missing", index=index)


def test_a_renumbered_version_is_named_by_entry_and_person(judged: Callable[[], Verdict]) -> None:
    """3. The version of an act is changed, so that another one can take its place."""
    index, entry = entry_of("consent.granted")
    version = json.loads(bytes(entry.body))["ver"]
    rewritten(entry, b'"ver":%d' % version, b'"ver":%d' % (version + 40))

    verdict = judged()

    assert verdict.exit_code == 2
    verdict.named("V1", "entry_changed", index=index, entry=str(entry.id))
    verdict.named("V8", "version_gap", person=str(entry.subject_ref))


def test_a_lowered_version_of_a_person_is_named(judged: Callable[[], Verdict]) -> None:
    """3b. The person's own row is set back, as if the last act had never been."""
    zhao = person(1)
    run("UPDATE consent_subject SET version = version - 1 WHERE id = %s", zhao.id)

    verdict = judged()

    verdict.named("V7", "version_ahead", person=str(zhao.ref), expected=zhao.version, found=zhao.version - 1)


def test_swapped_places_are_named_with_where_they_belong(judged: Callable[[], Verdict]) -> None:
    """4. A grant and a withdrawal exchange their places in the tree."""
    one, granted = entry_of("consent.granted")
    other, withdrawn = entry_of("consent.withdrawn", last=True)
    run("UPDATE audit_leaf SET idx = -1 WHERE idx = %s", one)
    run("UPDATE audit_leaf SET idx = %s WHERE idx = %s", one, other)
    run("UPDATE audit_leaf SET idx = %s WHERE idx = -1", other)

    verdict = judged()

    assert verdict.exit_code == 2
    verdict.named("V1", "entry_moved", index=one, entry=str(withdrawn.id), expected=other)
    verdict.named("V1", "entry_moved", index=other, entry=str(granted.id), expected=one)


def test_an_exchanged_payload_is_named_by_its_entry(judged: Callable[[], Verdict]) -> None:
    """5. The sealed evidence of an act is exchanged for another."""
    payload = Payload.objects.order_by("entry_id")[0]
    run("UPDATE audit_payload SET sealed = sealed || '\\x00'::bytea WHERE entry_id = %s", payload.entry_id)

    verdict = judged()

    assert verdict.exit_code == 2
    index = Leaf.objects.get(entry_id=payload.entry_id).idx
    verdict.named("V10", "payload_changed", entry=str(payload.entry_id), index=index)


def test_a_deleted_payload_is_named_unless_its_person_was_erased(judged: Callable[[], Verdict], ledger: Books) -> None:
    """5b. Deleting evidence is for erasure, and erasure leaves an entry."""
    payload = Payload.objects.order_by("entry_id")[0]
    run("DELETE FROM audit_payload WHERE entry_id = %s", payload.entry_id)

    verdict = judged()

    verdict.named("V10", "payload_missing", entry=str(payload.entry_id), person=str(payload.subject_ref))


def test_an_announced_key_that_was_exchanged_is_named(judged: Callable[[], Verdict]) -> None:
    """6. The administrator puts a key of his own into the announcement and signs all heads with it.

    Rows of data keys do not show in an export: nothing sealed is opened by an outsider. What he can exchange to be
    believed is the key that the ledger announces.
    """
    index, entry = next(
        (Leaf.objects.get(entry_id=row.id).idx, row)
        for row in AuditEntry.objects.filter(type="key.announced")
        if json.loads(bytes(row.body))["d"]["use"] == "checkpoint"
    )
    signer = Ed25519Signer(origin(), b"m" * 32)
    rewritten(entry, ledger_signer("checkpoint").verifier.encode(), signer.verifier.encode())
    heads_signed_by(signer)

    verdict = judged()

    assert verdict.exit_code == 2
    verdict.named("V1", "entry_changed", index=index, entry=str(entry.id))
    verdict.named("V12", "key_differs")


def heads_signed_by(signer: Ed25519Signer) -> None:
    for head in Checkpoint.objects.order_by("size"):
        text, _ = split_note(head.note)
        run("UPDATE audit_checkpoint SET note = %s WHERE size = %s", signer.sign(text), head.size)


def test_an_entry_changed_together_with_its_leaf_is_found_by_the_signed_root(judged: Callable[[], Verdict]) -> None:
    """7. Triggers off: body, leaf hash and tile are all changed to fit each other. Only the signature does not."""
    index, entry = entry_of("consent.withdrawn")
    covering = min(size for size in sizes() if size > index)
    rewritten(entry, b"consent.withdrawn", b"consent.confirmed")
    leaf = bytes(AuditEntry.objects.get(id=entry.id).leaf_hash)
    n, place = divmod(index, 256)
    start = place * HASH_BYTES
    run(
        "UPDATE audit_tile SET hashes = overlay(hashes PLACING %s FROM %s FOR 32) WHERE level = 0 AND n = %s",
        leaf, start + 1, n,
    )  # fmt: skip

    verdict = judged()

    assert verdict.exit_code == 2
    found = verdict.named("V4", "head_contradicts", size=covering)
    assert found["since"] <= index < covering
    verdict.named("V2", "root_differs")


def test_heads_signed_anew_by_another_key_are_named_with_the_key(judged: Callable[[], Verdict]) -> None:
    """8. All heads are signed again, with a key nobody announced."""
    signer = Ed25519Signer(origin(), b"m" * 32)
    heads_signed_by(signer)

    verdict = judged()

    assert verdict.exit_code == 2
    name, number, _ = signer.verifier.split("+", 2)
    for size in sizes()[:3]:
        verdict.named("V3", "signature_missing", size=size)
        verdict.named("V12", "key_unannounced", size=size, found=f"{name} {number}")


def test_a_truncated_end_is_named_against_a_head_held_outside(judged: Callable[[], Verdict], ledger: Books) -> None:
    """9. The last entries, heads and the anchor go; the stolen key signs what is left. The auditor has a later head."""
    first = sizes()[0]
    entries = in_order()
    run("DELETE FROM audit_anchor")
    tree_rebuilt(entries[:first], [first])
    run("DELETE FROM audit_entry WHERE NOT id = ANY(%s)", entries[:first])

    verdict = judged()

    assert verdict.exit_code == 2
    size = int(ledger.head.read_text().splitlines()[1])
    verdict.named("V4", "tree_truncated", file=ledger.head.name, size=size)
    verdict.named("V9", "receipt_early", entry=ledger.entry)  # broken once the merge delay has passed


def test_a_rolled_back_ledger_is_named_against_anchor_and_head(judged: Callable[[], Verdict], ledger: Books) -> None:
    """10. With the stolen key the ledger is set back and grown again, longer than before, without one withdrawal."""
    anchored = Anchor.objects.get().size
    index, early = entry_of("consent.withdrawn")
    wanted = [entry for entry in in_order() if entry != early.id]
    tree_rebuilt(wanted, sizes()[:-1])
    run("DELETE FROM audit_entry WHERE id = %s", early.id)

    verdict = judged()

    assert verdict.exit_code == 2
    assert index < anchored
    verdict.named("V4", "head_contradicts", file=f"anchors.ndjson:{Anchor.objects.get().id}", size=anchored)
    verdict.named("V4", "head_contradicts", file=ledger.head.name)
    verdict.named("V8", "version_gap", person=str(early.subject_ref))


def test_a_back_dated_entry_is_named(judged: Callable[[], Verdict]) -> None:
    """11. An entry of yesterday is inserted by the right way in: the sequencer takes it, its time gives it away."""
    entry = uuid7()
    at = database_now() - timedelta(days=1)
    body = {
        "v": 1,
        "id": str(entry),
        "t": at.isoformat(timespec="microseconds").replace("+00:00", "Z"),
        "type": "ledger.heartbeat",
        "tenant": "test",
        "actor": {"k": "system", "ref": ""},
    }
    encoded = canonical_json(body)
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO audit_entry (id, body, leaf_hash, type, actor_kind, actor_ref, object_kind, object_ref,"
            " recorded_at) VALUES (%s, %s, %s, 'ledger.heartbeat', 'system', '', '', '', %s)",
            [entry, encoded, leaf_hash(encoded), at],
        )

    verdict = judged()

    assert verdict.exit_code == 2
    index = Leaf.objects.get(entry_id=entry).idx
    found = verdict.named("V6", "time_early", index=index, entry=str(entry))
    assert found["found"] == body["t"]


def test_a_deleted_anchor_is_named(judged: Callable[[], Verdict]) -> None:
    """12. The row that says where a head is kept is deleted."""
    anchor = Anchor.objects.get()
    run("DELETE FROM audit_anchor")

    verdict = judged()

    assert verdict.exit_code == 2
    verdict.named("V4", "anchor_missing", found=anchor.id, size=anchor.size)


def test_an_entry_kept_out_of_the_tree_is_named_with_its_person(judged: Callable[[], Verdict], ledger: Books) -> None:
    """A-09. A withdrawal is committed, and its pending row is dropped before the sequencer comes."""
    zhao = person(1)
    consent_withdraw(subject_id=zhao.id, purpose=None, channel=None, actor=OFFICER, at=timezone.now())
    run("DELETE FROM audit_pending")

    verdict = judged()

    assert verdict.exit_code == 2
    verdict.named("V7", "version_unfounded", person=str(zhao.ref), expected=zhao.version, found=zhao.version + 1)


def test_a_stolen_key_cannot_introduce_another_without_the_old_one(judged: Callable[[], Verdict]) -> None:
    """A key is believed once a head signed by its elders covers its announcement, not by its own word."""
    last = Checkpoint.objects.order_by("-size")[0]
    signer = Ed25519Signer(origin(), b"n" * 32)
    text, _ = split_note(last.note)
    run("UPDATE audit_checkpoint SET note = %s WHERE size = %s", signer.sign(text), last.size)

    verdict = judged()

    verdict.named("V3", "signature_missing", size=last.size)
    assert verdict.exit_code == 2


def test_a_late_promise_and_a_forged_one_are_told_apart(clean: Path, books: Books, tmp_path: Path) -> None:
    forged = tmp_path / "forged.txt"
    forged.write_text(books.receipt.read_text().replace(books.entry, str(uuid4())))

    verdict = verify(clean, tmp_path, "--receipt", str(forged), str(books.receipt))

    assert verdict.exit_code == 2
    verdict.named("V9", "receipt_bad", file="forged.txt")
    assert verdict.report["checks"]["V9"]["findings"] == 1


def test_silence_of_more_than_five_minutes_is_incomplete_and_not_tampering(clean: Path) -> None:
    module = verifier()
    note = (clean / "checkpoint").read_text()
    for seconds, result in ((300, "ok"), (301, "incomplete")):
        report = module.Report()
        one = module.Verifier(module.Folder(str(clean)), report)
        one.heads = [
            module.Head(note, "sealed", "2026-11-21T10:00:00.000000Z"),
            module.Head(note, "sealed", module.stamp_moved("2026-11-21T10:00:00.000000Z", timedelta(seconds=seconds))),
        ]

        one.heartbeat()

        assert report.result == result


def test_a_register_changed_since_the_states_were_folded_is_no_tampering(ledger: Books, tmp_path: Path) -> None:
    """A new channel: zhao's "no" to everything covers it, and his stored states do not say so yet."""
    fax = Channel(code="fax", identifier_type=IdentifierType.PHONE.value)
    register_save(fax, code="fax", actor=OFFICER, at=timezone.now())
    export(tmp_path / "before")
    states_rebuild()
    export(tmp_path / "after")

    before, after = verify(tmp_path / "before", tmp_path), verify(tmp_path / "after", tmp_path)

    assert before.exit_code == 3
    before.named("V7", "states_outdated", index=entry_of("register.changed", last=True)[0])
    before.named("V7", "state_missing", person=str(person(1).ref), severity="incomplete")
    assert after.whole


# -- folders made to break the verifier ------------------------------------------------------------------------------


def report_of(folder: Path) -> Any:
    """Verify in this process: the same code, without starting Python each time. Silence is no finding here."""
    report = verifier().verify(str(folder))
    report.findings = [finding for finding in report.findings if finding["code"] != "heartbeat_gap"]
    report.worst["V11"] = None
    return report


INFORMATIONAL = {"export.json": {"exported_at", "product"}, "checkpoints/newest.ndjson": {"signed_at"}}
"""What no check rests on: when it was, and by which version. A head's time only bounds others, and is not signed."""


def means_the_same(clean: Path, broken: Path, name: str) -> bool:
    """Tell whether a changed file says the same but for what is only information: then the change harms nobody."""
    informational = INFORMATIONAL.get(name)
    if informational is None:
        return False

    def said(folder: Path) -> list[object]:
        rows = [json.loads(line) for line in (folder / name).read_text().splitlines()]
        return [{key: value for key, value in row.items() if key not in informational} for row in rows]

    try:
        one, other = said(clean), said(broken)
    except ValueError:
        return False
    known = {"export.json": {"format", "origin", "verifiers", "tree_size", "entry"}}.get(name, {"size", "note"})
    return [{k: row[k] for k in known} for row in one] == [{k: row.get(k) for k in known} for row in other]


def test_no_flipped_bit_and_no_truncation_passes(clean: Path, tmp_path: Path) -> None:
    """F-14: over all files of an export; each is found, or proved to say the same."""
    chance = random.Random(20261122)  # noqa: S311 - the same flips every time
    names = sorted(str(path.relative_to(clean)) for path in clean.rglob("*") if path.is_file())
    outcomes: dict[str, int] = {"tampered": 0, "incomplete": 0, "ok": 0}
    for number in range(FLIPS):
        broken = tmp_path / "broken"
        shutil.copytree(clean, broken)
        name = names[number % len(names)] if number < 2 * len(names) else chance.choice(names)
        data = bytearray((clean / name).read_bytes())
        if not data:
            data = bytearray(b"\x00")
        elif number % 4 == 3:
            del data[chance.randrange(len(data)) :]
        else:
            data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        (broken / name).write_bytes(bytes(data))

        report = report_of(broken)

        codes = {finding["code"] for finding in report.findings}
        assert "internal" not in codes, (name, report.findings)
        outcomes[report.result] += 1
        if report.result == "ok":
            assert means_the_same(clean, broken, name), (number, name)
        shutil.rmtree(broken)
    assert outcomes["ok"] < FLIPS / 10
    assert outcomes["tampered"] > FLIPS / 3


def test_every_missing_file_is_named(clean: Path, tmp_path: Path) -> None:
    for path in sorted(path for path in clean.rglob("*") if path.is_file()):
        broken = tmp_path / "broken"
        shutil.copytree(clean, broken)
        name = str(path.relative_to(clean))
        (broken / name).unlink()

        report = report_of(broken)

        assert report.result != "ok"
        assert name in {finding.get("file") for finding in report.findings}, name
        shutil.rmtree(broken)


NONSENSE = {
    "nothing": b"",
    "zeros": b"\0" * 100,
    "deep lists": b"[" * 100_000,
    "deep objects": b'{"a":' * 100_000,
    "a float beyond": b'{"size":1e400}\n',
    "a number too long": b'{"size":' + b"9" * 5000 + b"}\n",
    "half a character": b'{"subj":"\\ud800"}\n',
    "null": b"null\n",
    "a list": b"[]\n",
    "a text": b'"text"\n',
    "no UTF-8": b"\xff\xfe\n",
    "wrong kinds": b'{"note":{},"size":[],"entry":1,"sha256":2,"subj":3,"ver":"x","states":{},"id":[]}\n',
    "wrong kinds of a book": b'{"purposes":[1],"marketing":{},"channels":"x","points":null,"notices":[{}]}\n',
    "a line without end": b"x" * 17_000_000,
}
FILES = [
    "export.json",
    "book.json",
    "states.ndjson",
    "payloads.ndjson",
    "anchors.ndjson",
    "checkpoints/sealed.ndjson",
    "checkpoint",
    "tile/0/000",
    "tile/entries/000",
]


@pytest.mark.parametrize("name", FILES)
def test_nonsense_in_any_file_is_named_and_breaks_nothing(clean: Path, tmp_path: Path, name: str) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(clean, broken)
    for what, content in NONSENSE.items():
        (broken / name).write_bytes(content)

        report = report_of(broken)

        assert report.result != "ok", what
        assert "internal" not in {finding["code"] for finding in report.findings}, (what, report.findings)
        assert name in {finding.get("file") for finding in report.findings}, what


def test_a_head_that_claims_more_than_there_is_ends_soon(clean: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(clean, broken)
    head = (broken / "checkpoint").read_text().splitlines(keepends=True)
    head[1] = "100000000000000000\n"
    (broken / "checkpoint").write_text("".join(head))

    report = report_of(broken)

    assert report.result == "tampered"
    assert {finding["check"] for finding in report.findings} >= {"V3", "V5"}


def test_links_out_of_the_folder_and_pipes_are_not_read(clean: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret.json"
    secret.write_text('{"purposes":[]}\n')
    for number, make in enumerate(
        [
            lambda path: path.symlink_to(secret),
            lambda path: os.mkfifo(path),
            lambda path: path.mkdir(),
        ]
    ):
        broken = tmp_path / f"broken-{number}"
        shutil.copytree(clean, broken)
        (broken / "book.json").unlink()
        make(broken / "book.json")

        report = report_of(broken)

        assert report.result != "ok"
        assert "book.json" in {finding.get("file") for finding in report.findings}
    broken = tmp_path / "moved"
    shutil.copytree(clean, broken)
    shutil.move(str(broken / "tile"), tmp_path / "elsewhere")
    (broken / "tile").symlink_to(tmp_path / "elsewhere")
    assert report_of(broken).result != "ok"


def test_names_from_a_folder_do_no_harm_to_a_terminal() -> None:
    assert verifier().plain("a\x1b[2Jb\r\u202ec") == "a\\x1b[2Jb\\x0d\\x202ec"


# -- the fold, written twice -----------------------------------------------------------------------------------------


def theirs(acts: list[Record], since: Any) -> tuple[Any, Any]:
    """Fold by the verifier: acts go through the entry's details and the book through its file, as in an export."""
    module = verifier()
    book = module.Book(json.loads(canonical_json(book_row(BOOK))))
    found = []
    for version, record in enumerate(acts, 1):
        event = _event(NewRecord(1, record, proof="paper" if record.proof else ""), uuid4(), version, record.at)
        details = json.loads(canonical_json(checked_details(event.type, event.details)))
        kind = module.ACTS[event.type]
        shape = module.Shape(module.act_key(kind, details), book)
        found.append((module.instant(details["said_at"]), kind, version, UUID(record.ref).bytes, shape))
    return module.stand(found, book, since and module.instant(since.isoformat()))


def ours(standing: Standing) -> dict[tuple[object, ...], tuple[object, ...]]:
    """Return a standing as the verifier says it."""
    module = verifier()

    def micros(at: Any) -> int | None:
        return module.instant(at.isoformat()) if at else None

    def said(state: State, narrower: bool) -> tuple[object, ...]:
        grant, refusal = state.grant, state.refusal
        return (
            UUID(grant.ref).bytes if grant else None,
            state.grant_purpose,
            f"{grant.notice.id}@{grant.notice.version}" if grant and grant.notice else None,
            micros(state.origin_at),
            UUID(refusal.ref).bytes if refusal else None,
            micros(refusal.at) if refusal else None,
            state.confirmed,
            state.bad_form,
            state.bundled,
            state.no_evidence,
            state.expires_on,
            state.declared,
            micros(state.lift_at),
            narrower,
        )

    states: dict[Slot, tuple[State, bool]] = {slot: (state, False) for slot, state in standing.states.items()}
    states |= {slot: (State(), True) for slot in standing.narrower}
    return {tuple(slot): said(*state) for slot, state in states.items()}


@given(SAID, st.booleans())
@few(300)
def test_the_verifier_s_fold_is_the_product_s(said: list[dict[str, Any]], bound: bool) -> None:
    acts = [replace(act, seq=n) for n, act in enumerate(read(said), 1)]
    since = NOON - timedelta(days=7) if bound else None
    standing = stand(acts, book=BOOK, phone_bound_at=since)

    states, granted = theirs(acts, since)

    assert states == ours(standing)
    assert granted == standing.granted


# -- standards -------------------------------------------------------------------------------------------------------


def test_trees_are_those_of_certificate_transparency() -> None:
    """RFC 6962 section 2.1: the product's tree and the verifier's, on the vectors everybody knows."""
    known = vectors("rfc6962.json")
    leaves = [leaf_hash(bytes.fromhex(leaf)) for leaf in known["leaves"]]
    module = verifier()
    edge = module.Edge()

    assert tree_root([]).hex() == module.Edge().root().hex() == known["empty"]
    for size, root in enumerate(known["roots"], 1):
        edge.append(leaves[size - 1])
        assert tree_root(leaves[:size]).hex() == edge.root().hex() == root
        tree = module.Tree()
        tree.feed(leaves[:size], [size])
        assert tree.roots[size].hex() == root
    reader = subtree_reader(lambda level, n: tiles_grow(CompactRange(), leaves)[level, n])
    for case in known["consistency"]:
        proof = [bytes.fromhex(step) for step in case["proof"]]
        assert consistency_proof(case["old"], case["new"], reader) == proof
        old, new = (bytes.fromhex(known["roots"][case[end] - 1]) for end in ("old", "new"))
        assert verify_consistency(case["old"], case["new"], proof, old, new)


@given(st.integers(1, 1300), st.integers(0, 2**32))
@few(40)
def test_the_verifier_s_tree_is_the_product_s_at_every_size(count: int, seed: int) -> None:
    leaves = [hashlib.sha256(f"{seed} {n}".encode()).digest() for n in range(count)]
    chance = random.Random(seed)  # noqa: S311
    wanted = sorted({chance.randint(1, count) for _ in range(6)} | {count})
    module, tree = verifier(), verifier().Tree()
    for start in range(0, count, 256):
        part = leaves[start : start + 256]
        tree.feed(part, [size - start for size in wanted if start < size <= start + len(part)])

    assert {size: tree.roots[size] for size in wanted} == {size: tree_root(leaves[:size]) for size in wanted}
    assert module.WIDTH == 256


def test_notes_are_those_of_c2sp() -> None:
    known = vectors("notes.json")
    module = verifier()
    for case in known["verified"]:
        name, public = module.verifier_read(case["key"])
        text, [(signer, number, signature)] = module.note_read(case["note"])
        assert (signer, number) == (name, module.key_id(name, public))
        assert module.ed25519_verify(public, signature, text.encode())
        assert note_open(case["note"], case["key"]) == text
        broken = case["note"].replace("e", "E", 1)
        with pytest.raises(ValueError, match="does not hold"):
            note_open(broken, case["key"])
    for case in known["read"]:
        text, [(signer, number, _)] = module.note_read(case["note"])
        assert (signer, number.hex()) == (case["name"], case["key_id"])
        assert text.count("\n\n") == 1
        assert split_note(case["note"])[0] == text
    case = known["checkpoint"]
    head = module.Head(case["note"], "example")
    assert (head.origin, head.size, head.root.hex()) == (case["origin"], case["size"], case["root"])
    assert head_text(Head(case["origin"], case["size"], head.root)) == head.text


def test_signatures_are_those_of_rfc_8032_and_wrong_ones_are_refused() -> None:
    module = verifier()
    for case in vectors("ed25519.json")["vectors"]:
        public, message, signature = (bytes.fromhex(case[name]) for name in ("public", "message", "signature"))
        order = module.L
        s = int.from_bytes(signature[32:], "little")

        assert module.ed25519_verify(public, signature, message)
        assert not module.ed25519_verify(public, signature, message + b"x")
        assert not module.ed25519_verify(public, signature[:-1], message)
        assert not module.ed25519_verify(public, signature[:32] + (s + order).to_bytes(32, "little"), message)
        for place in range(0, 64, 7):
            wrong = bytearray(signature)
            wrong[place] ^= 1 << place % 8
            assert not module.ed25519_verify(public, bytes(wrong), message)
    for small in (bytes(32), (1).to_bytes(32, "little"), (module.P - 1).to_bytes(32, "little")):
        assert not module.ed25519_verify(small, (1).to_bytes(32, "little") + bytes(32), b"anything")
    beyond = (module.P + 1).to_bytes(32, "little")
    assert module.point_decode(beyond) is None
    assert module.point_decode(b"\xff" * 32) is None


@given(st.binary(min_size=32, max_size=32), st.integers(1, 40), st.sets(st.integers(0, 39)))
@few(15)
def test_many_signatures_at_once_are_judged_like_each_alone(seed: bytes, count: int, bad: set[int]) -> None:
    key = Ed25519PrivateKey.from_private_bytes(seed)
    public = key.public_key().public_bytes_raw()
    signed = []
    for number in range(count):
        message = b"message %d" % number
        signature = key.sign(message if number not in bad else b"another")
        signed.append((signature, message))

    assert verifier().ed25519_verify_many(public, signed) == [number not in bad for number in range(count)]


def test_our_checkpoint_is_a_c2sp_checkpoint_by_the_letter(clean: Path) -> None:
    """Read by the specification alone, and its signature checked by `cryptography`, not by our own code."""
    note = (clean / "checkpoint").read_bytes().decode()
    text, gap, tail = note.rpartition("\n\n")
    named, size, root = text.split("\n")
    dash, signer, blob = tail.removesuffix("\n").split(" ")
    public = base64.b64decode(ledger_signer("checkpoint").verifier.split("+", 2)[2])[1:]
    raw = base64.b64decode(blob, validate=True)

    assert (gap, dash, signer) == ("\n\n", "\u2014", named)
    assert size == str(int(size))
    assert len(base64.b64decode(root, validate=True)) == 32
    assert raw[:4] == hashlib.sha256(signer.encode() + b"\n\x01" + public).digest()[:4]
    Ed25519PublicKey.from_public_bytes(public).verify(raw[4:], f"{text}\n".encode())


def test_steps_that_find_nothing_to_do_leave_a_ledger_that_verifies(
    ledger: Books, judged: Callable[[], Verdict]
) -> None:
    ledger_step()
    ledger_step()

    verdict = judged()

    assert verdict.whole
    assert Tree.objects.get().size == verdict.report["size"]
