"""Screenings from within: every row in one place, the delta and nothing but it, and files that harm nobody."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import string
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from pytest_django import DjangoDbBlocker

from audit.domain.ids import uuid7
from audit.domain.note import NoteError
from audit.signing import Ed25519Signer, note_open
from consent.domain.imports import Member
from consent.domain.terms import SuppressionKind
from consent.domain.vocabulary import STATES
from consent.errors import FileUnreadableError, ScreeningNotReadyError
from consent.models import Campaign, Screening, ScreeningRow, Suppression
from consent.screening.audience import FORMATS
from consent.selectors.register import register_live
from consent.services import screenings
from consent.services.records import NewRecord, consent_withdraw, records_append
from consent.services.screenings import (
    FILES,
    AudienceFile,
    Recheck,
    screening_cancel,
    screening_file,
    screening_folder,
    screening_recheck,
    screening_run,
    screening_start,
    screenings_expire,
)
from consent.services.subjects import holders_mark, members_find, members_store
from governance.crypto.blind_index import lookup
from governance.domain.identifiers import IdentifierType
from governance.models import Channel
from governance.services.signers import signer
from tests.worlds import ACTOR, World, base_world, constraints_now, patched, register_store, undone

PEOPLE = 12
MAIL = {
    "plan": {
        "channel": "email",
        "fields": ["email"],
        "approved_at": "2026-11-18 09:00",
        "recipient": None,
        "route": None,
        "suppression_synced_at": None,
        "segment_fields": None,
    },
    "content": {"subject": "（AD）新品到店", "from_domain": "mail.lanhua.example.com"},
}


def address(number: int) -> str:
    return f"u{number}@example.com"


@pytest.fixture(scope="module", autouse=True)
def retailer_of_twelve(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """Twelve who agreed to e-mail, and a campaign by e-mail: house policy has no quiet hours for it."""
    world = World(patched(base_world(), MAIL | {"at": datetime.now(UTC).isoformat()}))
    with django_db_blocker.unblock(), undone():
        register_store(world)
        Campaign.objects.update(planned_at=timezone.now())
        register = register_live()
        at = timezone.now() - timedelta(hours=1)
        members = [Member(f"M{n:06}", email=address(n), births=["1990-01-01"], batches=[""]) for n in range(PEOPLE)]
        members_store(members, register=register, actor=ACTOR, at=at)
        keys = members_find(member.member_id for member in members)
        yes = patched(
            base_world(), {"people": {"lin": {"records": {"yes": {"channel": "email", "at": "2026-06-01 12:00"}}}}}
        )
        [record] = World(yes).people[0].records
        for number in range(PEOPLE):
            new = NewRecord(keys[f"M{number:06}"], replace(record, ref=str(uuid7())), proof="a paper")
            records_append([new], register=register, actor=ACTOR, at=at)
        constraints_now()
        yield


@pytest.fixture
def audience(db: None, tmp_path: Path) -> Callable[..., AudienceFile]:
    def write(*values: str, form: str = "csv", data: bytes | None = None, **more: Any) -> AudienceFile:
        path = tmp_path / f"audience.{form}"
        path.write_bytes(("email\n" + "".join(f"{value}\n" for value in values)).encode() if data is None else data)
        return AudienceFile(path, form, **({"column": "email"} | more))

    return write


def started(audience: AudienceFile, **more: Any) -> Screening:
    return screening_start(
        audience=audience, campaign="d11", subject_type="email", actor=ACTOR, at=timezone.now(), **more
    )


def screened(audience: AudienceFile, **more: Any) -> Screening:
    done = screening_run(started(audience, **more).pk)
    assert done is not None
    assert done.status == "done", done.error_code
    return done


def rows(screening: Screening, name: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(screening_file(screening, name).read_text(), newline="")))


def recheck(screening: Screening, at: datetime | None = None) -> Recheck:
    return screening_recheck(screening=screening, actor=ACTOR, at=at or timezone.now())


def person(number: int) -> int:
    return members_find([f"M{number:06}"])[f"M{number:06}"]


EVERYBODY = [address(number) for number in range(PEOPLE)]


# -- every row once --------------------------------------------------------------------------------------------------


def test_every_row_stands_in_one_file_once_in_the_order_given(audience: Callable[..., AudienceFile]) -> None:
    consent_withdraw(subject_id=person(3), purpose=None, channel=None, actor=ACTOR, at=timezone.now())
    given = [*EVERYBODY, "no address", EVERYBODY[0].upper(), "stranger@example.com", "", " u1@example.com"]

    done = screened(audience(*given))

    numbers = {name: [int(row["row_no"]) for row in rows(done, name)] for name in FILES}
    assert numbers == {
        "allow": [1, 2, 3, *range(5, 13)],
        "deny": [4, 15],
        "invalid": [13, 14, 16, 17],
    }
    assert [row["reason"] for row in rows(done, "invalid")] == ["malformed", "duplicate", "malformed", "duplicate"]
    assert [row["primary"] for row in rows(done, "deny")] == ["CONSENT_WITHDRAWN", "NO_CONSENT"]
    assert done.rows_done == sum(done.counts.values()) == len(given)


@pytest.mark.parametrize("chunk", [1, 2, 5, 12, 100])
def test_the_size_of_a_chunk_changes_nothing(
    audience: Callable[..., AudienceFile], monkeypatch: pytest.MonkeyPatch, chunk: int
) -> None:
    consent_withdraw(subject_id=person(3), purpose=None, channel=None, actor=ACTOR, at=timezone.now())
    file = audience(*EVERYBODY, "no address", EVERYBODY[0], EVERYBODY[11])
    whole = screened(file)

    monkeypatch.setattr(screenings, "CHUNK", chunk)
    parts = screened(file)

    assert [screening_file(parts, n).read_bytes() for n in FILES] == [
        screening_file(whole, n).read_bytes() for n in FILES
    ]
    assert (parts.counts, parts.by_code) == (whole.counts, whole.by_code)


def test_the_past_and_the_present_agree_where_nothing_happened_between(audience: Callable[..., AudienceFile]) -> None:
    consent_withdraw(subject_id=person(3), purpose=None, channel=None, actor=ACTOR, at=timezone.now())
    file = audience(*EVERYBODY, "stranger@example.com")

    now, then = screened(file), screened(file, as_of=timezone.now())

    assert [screening_file(now, n).read_bytes() for n in FILES] == [screening_file(then, n).read_bytes() for n in FILES]
    assert then.valid_until is None
    with pytest.raises(ScreeningNotReadyError):
        recheck(then)


def test_statements_do_not_grow_with_the_rows_of_a_chunk(audience: Callable[..., AudienceFile]) -> None:
    screened(audience(EVERYBODY[0]))
    counts = []
    for times in (1, 100):
        more = [f"stranger{n}@example.com" for n in range(10 * times)]
        screening = started(audience(*EVERYBODY[:times], *more))
        with CaptureQueriesContext(
            connection,
        ) as queries:
            screening_run(screening.pk)
        counts.append(len(queries))

    assert counts[0] == counts[1]


# -- cancelling and expiring -----------------------------------------------------------------------------------------


def test_a_screening_cancelled_in_the_middle_writes_no_more_and_hands_out_nothing(
    audience: Callable[..., AudienceFile], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(screenings, "CHUNK", 5)
    screening = started(audience(*EVERYBODY))

    def cancel(done: int, total: int) -> None:
        if done == 5:
            assert screening_cancel(screening=screening, actor=ACTOR, at=timezone.now())

    assert screening_run(screening.pk, on_progress=cancel) is None

    screening.refresh_from_db()
    assert (screening.status, screening.rows_done, screening.manifest) == ("cancelled", 5, "")
    assert ScreeningRow.objects.filter(screening=screening).count() == 5
    with pytest.raises(ScreeningNotReadyError):
        screening_file(screening, "allow")
    assert screening_run(screening.pk) is None
    assert screening_cancel(screening=screening, actor=ACTOR, at=timezone.now()) is False


def test_the_files_of_a_screening_go_after_a_day_and_its_manifest_stays(audience: Callable[..., AudienceFile]) -> None:
    done = screened(audience(*EVERYBODY))
    assert done.finished_at is not None

    assert screenings_expire(at=done.finished_at + timedelta(hours=24)) == 0
    assert screening_file(done, "allow").exists()
    assert screenings_expire(at=done.finished_at + timedelta(hours=24, seconds=1)) == 1

    manifest = done.manifest
    done.refresh_from_db()
    assert (done.status, done.manifest) == ("expired", manifest)
    assert not screening_folder(done.pk).exists()
    with pytest.raises(ScreeningNotReadyError):
        recheck(done)


# -- the delta -------------------------------------------------------------------------------------------------------


def withdrawn() -> None:
    consent_withdraw(subject_id=person(3), purpose=None, channel="email", actor=ACTOR, at=timezone.now())


def withdrawn_otherwise() -> None:
    consent_withdraw(subject_id=person(3), purpose=None, channel="sms", actor=ACTOR, at=timezone.now())


def suppressed(number: int, channel: str | None) -> None:
    value = lookup(IdentifierType.EMAIL, address(number))
    Suppression.objects.create(
        type=IdentifierType.EMAIL.value,
        lookup=value,
        kind=SuppressionKind.OPT_OUT.value,
        channel=Channel.objects.get(code=channel) if channel else None,
        said_at=timezone.now(),
    )
    holders_mark({value})


def opted_out() -> None:
    suppressed(3, "email")


def opted_out_of_sms() -> None:
    suppressed(3, "sms")


def listed_by_member_id() -> None:
    value = lookup(IdentifierType.MEMBER_ID, "M000003")
    Suppression.objects.create(
        type=IdentifierType.MEMBER_ID.value, lookup=value, kind=SuppressionKind.LISTED.value, said_at=timezone.now()
    )
    holders_mark({value})


def closed() -> None:
    export("已注销")


def still_active() -> None:
    export("正常")


def export(state: str) -> None:
    member = Member("M000003", email=address(3), births=["1990-01-01"], batches=[""], status=STATES[state])
    members_store([member], register=register_live(), actor=ACTOR, at=timezone.now())


def a_child_holds_it_too() -> None:
    born = str(timezone.now().year - 10)
    member = Member("M000099", email=address(3), births=[f"{born}-01-01"], batches=[""])
    members_store([member], register=register_live(), actor=ACTOR, at=timezone.now())


@pytest.mark.parametrize(
    ("happening", "removed"),
    [
        (withdrawn, [4]),
        (withdrawn_otherwise, []),
        (opted_out, [4]),
        (opted_out_of_sms, []),
        (listed_by_member_id, [4]),
        (closed, [4]),
        (still_active, []),
        (a_child_holds_it_too, [4]),
        (lambda: None, []),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_recheck_finds_exactly_who_may_no_longer_be_written_to(
    audience: Callable[..., AudienceFile], happening: Callable[[], None], removed: list[int]
) -> None:
    done = screened(audience(*EVERYBODY))
    assert done.counts["allow"] == PEOPLE

    happening()
    found = recheck(done)

    assert found == Recheck(removed, [])
    done.refresh_from_db()
    assert done.counts["allow"] == PEOPLE - len(removed)
    lines = (screening_folder(done.pk) / "removed.csv").read_text().splitlines()
    assert lines == ["row_no,email", *(f"{number},{address(number - 1)}" for number in removed)]
    assert recheck(done) == Recheck([], [])


def test_a_recheck_finds_exactly_who_now_may_be(audience: Callable[..., AudienceFile]) -> None:
    withdrawn()
    done = screened(audience(*EVERYBODY, "stranger@example.com"))
    assert done.counts["deny"] == 2

    yes = patched(base_world(), {"people": {"lin": {"records": {"yes": {"channel": "email"}}}}})
    [record] = World(yes).people[0].records
    again = replace(record, ref=str(uuid7()), at=timezone.now())
    new = NewRecord(person(3), again, proof="a paper")
    records_append([new], register=register_live(), actor=ACTOR, at=timezone.now())

    assert recheck(done) == Recheck([], [4])


def test_a_change_of_the_register_judges_every_row_again(audience: Callable[..., AudienceFile]) -> None:
    done = screened(audience(*EVERYBODY))

    Campaign.objects.update(approved_at=None)

    assert recheck(done) == Recheck(list(range(1, PEOPLE + 1)), [])


def test_a_recheck_renews_the_manifest_and_the_time_it_is_good_for(audience: Callable[..., AudienceFile]) -> None:
    done = screened(audience(*EVERYBODY))
    first, until = done.manifest, done.valid_until
    at = timezone.now() + timedelta(minutes=5)

    recheck(done, at)

    done.refresh_from_db()
    assert done.manifest != first
    assert until is not None
    assert done.valid_until == at + timedelta(minutes=15) > until
    assert json.loads(note_open(done.manifest, signer("manifest").verifier))["counts"] == done.counts


# -- the manifest ----------------------------------------------------------------------------------------------------


def test_the_manifest_names_the_input_and_every_file_by_its_digest(audience: Callable[..., AudienceFile]) -> None:
    file = audience(*EVERYBODY, "no address")

    done = screened(file)

    signed = json.loads(note_open(done.manifest, signer("manifest").verifier))
    assert signed["input_sha256"] == hashlib.sha256(file.path.read_bytes()).hexdigest()
    assert signed["rows"] == PEOPLE + 1 == sum(signed["counts"].values())
    for name in FILES:
        data = screening_file(done, name).read_bytes()
        assert signed["files"][name] == {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}


def test_no_byte_of_a_manifest_can_be_changed(audience: Callable[..., AudienceFile]) -> None:
    manifest = screened(audience(*EVERYBODY)).manifest
    verifier = signer("manifest").verifier
    text = note_open(manifest, verifier)
    data = manifest.encode()

    for place in range(len(data)):
        changed = (data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]).decode(errors="replace")
        try:
            found = note_open(changed, verifier)
        except NoteError:
            continue
        raise AssertionError(f"byte {place} was changed and the note opens: {found == text}")


def test_a_signature_is_written_in_one_way_only(audience: Callable[..., AudienceFile]) -> None:
    """Base64 has bits at its end that say nothing; a changed one is a changed byte all the same."""
    manifest = screened(audience(*EVERYBODY)).manifest
    verifier = signer("manifest").verifier
    letters = string.ascii_uppercase + string.ascii_lowercase + string.digits + "+/"
    last = manifest.rstrip("=\n")[-1]

    changed = manifest.replace(f"{last}=\n", f"{letters[letters.index(last) + 1]}=\n")

    assert note_open(manifest, verifier)
    assert changed != manifest
    with pytest.raises(NoteError):
        note_open(changed, verifier)


def test_a_manifest_is_not_good_under_another_key(audience: Callable[..., AudienceFile]) -> None:
    manifest = screened(audience(*EVERYBODY)).manifest
    name = signer("manifest").verifier.partition("+")[0]
    stranger = Ed25519Signer(name, bytes(32))
    with pytest.raises(NoteError):
        note_open(manifest, stranger.verifier)


# -- files that harm nobody ------------------------------------------------------------------------------------------

FORMULAS = [
    "=cmd|' /C calc'!A0",
    "+1+1",
    "-2+3",
    "@SUM(A1)",
    "\t=1",
    " =1",
    "＝1+1",
    "＋1",
    "－1",
    "＠x",
    '=HYPERLINK("http://x.example","y")',
]


@pytest.mark.parametrize("formula", FORMULAS)
def test_a_carried_cell_never_runs_as_a_formula(audience: Callable[..., AudienceFile], formula: str) -> None:
    text = io.StringIO()
    csv.writer(text).writerows([("email", "note", formula), (EVERYBODY[0], formula, "fine"), ("x@y.cn", formula, "")])

    done = screened(audience(data=text.getvalue().encode(), carry=("note", formula)))

    for name in ("allow", "deny"):
        table = list(csv.reader(io.StringIO(screening_file(done, name).read_text(), newline="")))
        assert len(table) == 2
        for cell in (cell for line in table for cell in line):
            assert not cell.lstrip(" ").startswith(("=", "+", "-", "@", "\t", "＝", "＋", "－", "＠")), cell


def test_what_is_no_formula_is_carried_as_it_is(audience: Callable[..., AudienceFile]) -> None:
    notes = ["张三", "a=b", "1-2", 'say "no"', "one, two", "first\nsecond", ""]
    text = io.StringIO()
    csv.writer(text).writerows([("email", "note"), *zip(EVERYBODY, notes, strict=False)])

    done = screened(audience(data=text.getvalue().encode(), carry=("note",)))

    assert [row["note"] for row in rows(done, "allow")] == notes


def ndjson(*lines: str) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode()


@pytest.mark.parametrize(
    "line",
    [
        "not json",
        "[]",
        "null",
        '"u0@example.com"',
        "{}",
        '{"email": null}',
        '{"email": ["u0@example.com"]}',
        '{"email": true}',
        '{"email": 1e400}',
        '{"email": "\\ud800"}',
        '{"email": "\\u0000"}',
        f'{{"email": {"9" * 5000}}}',
        "[" * 100_000,
        '{"email":' * 50_000,
        "",
    ],
    ids=lambda line: line[:20],
)
def test_a_line_of_json_that_names_nobody_is_an_invalid_row_and_no_more(
    audience: Callable[..., AudienceFile], line: str
) -> None:
    good = json.dumps({"email": EVERYBODY[0], "note": "fine"})

    done = screened(audience(data=ndjson(line, good), form="ndjson", carry=("note",)))

    assert (done.rows_done, done.counts["invalid"], done.counts["allow"]) == (2, 1, 1)


@pytest.mark.parametrize("note", ['"\\ud800"', '"\\u0000"', "null", "[1, 2]", '{"a": 1}', "1e400", '"=1"'])
def test_anything_carried_from_json_can_be_written(audience: Callable[..., AudienceFile], note: str) -> None:
    line = f'{{"email": "{EVERYBODY[0]}", "note": {note}}}'

    done = screened(audience(data=ndjson(line), form="ndjson", carry=("note",)))

    assert done.counts["allow"] == 1


def parquet_of(columns: dict[str, list[Any]], **options: Any) -> bytes:
    import pyarrow
    from pyarrow import parquet

    data = io.BytesIO()
    parquet.write_table(pyarrow.table(columns), data, **options)
    return data.getvalue()


def test_columns_of_parquet_are_found_by_name_wherever_they_stand(audience: Callable[..., AudienceFile]) -> None:
    columns = {"note": ["a", None], "other": [1, 2], "email": [EVERYBODY[0], None]}

    done = screened(audience(data=parquet_of(columns), form="parquet", carry=("other", "note")))

    assert [(row["email"], row["other"], row["note"]) for row in rows(done, "allow")] == [(EVERYBODY[0], "1", "a")]
    assert done.counts["invalid"] == 1


def test_the_identifier_s_own_column_can_be_carried_too(audience: Callable[..., AudienceFile]) -> None:
    data = parquet_of({"email": EVERYBODY})

    assert screened(audience(data=data, form="parquet", carry=("email",))).counts["allow"] == PEOPLE
    assert screened(audience(*EVERYBODY, carry=("email",))).counts["allow"] == PEOPLE


@pytest.mark.parametrize("form", FORMATS)
def test_a_damaged_file_is_refused_and_nothing_is_queued(audience: Callable[..., AudienceFile], form: str) -> None:
    if form == "parquet":
        whole = parquet_of({"email": [f"user{n}@example.com" for n in range(20_000)]}, compression="gzip")
        data = whole[:2_000] + bytes(2_000) + whole[4_000:]
    else:
        data = b"email\n\x00\xff"

    with pytest.raises(FileUnreadableError):
        started(audience(data=data, form=form))
    assert not Screening.objects.exists()


def test_people_are_named_in_no_table_of_the_screening(audience: Callable[..., AudienceFile]) -> None:
    done = screened(audience(*EVERYBODY))

    stored = repr(list(ScreeningRow.objects.values_list())) + repr(Screening.objects.filter(pk=done.pk).values())
    assert "example.com" not in stored.replace("lanhua.example.com", "")
