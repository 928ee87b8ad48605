"""Historic consents and lists as retailers hand them over: what is taken, what is refused, and what never happens."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st
from pytest_django import DjangoDbBlocker

from consent.decisions.engine import judge_send
from consent.decisions.history import Contact
from consent.errors import FileUnreadableError
from consent.models import ConsentImport, ConsentRecord, DataSubject, Suppression
from consent.screening.set_based import SetBasedBackend
from consent.selectors.register import register_live
from consent.services import list_imports
from consent.services.imports import consents_import_run, consents_import_start, import_errors_path
from consent.services.samples import LISTS
from consent.services.states import states_verify
from governance.crypto.blind_index import lookup
from governance.domain.identifiers import IdentifierType
from tests.conftest import DEMO
from tests.strategies import few
from tests.worlds import ACTOR, VECTORS, World, base_world, constraints_now, patched, register_store, undone

IMPORTED_AT = datetime(2026, 11, 20, 14, 0, tzinfo=UTC)
NOW = datetime(2026, 11, 21, 2, 0, tzinfo=UTC)
ROWS = json.loads((VECTORS / "imports" / "rows.json").read_text())
FILES = json.loads((VECTORS / "imports" / "files.json").read_text())
REPLIES = json.loads((VECTORS / "imports" / "replies.json").read_text())
FINE = ROWS["row"] | {"text_hash": hashlib.sha256(b"privacy@1").hexdigest()[:8]}

Row = dict[str, str]


def cases() -> Iterator[tuple[str, Row, str]]:
    for case in ROWS["cases"]:
        row = patched(patched(FINE, ROWS.get(case.get("with", ""), {})), case["given"])
        yield case["name"], row, case["gives"]
        for near in case.get("but", ()):
            yield f"{case['name']}, but {near['name']}", patched(row, near["given"]), near["gives"]


CASES = list(cases())


@pytest.fixture(scope="module", autouse=True)
def retailer_of_three(
    django_db_setup: None, django_db_blocker: DjangoDbBlocker, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[None]:
    """Lin is grown up, An fourteen on 1 June 2026, Bo a child whose mother agreed from March to September."""
    folder = tmp_path_factory.mktemp("lists")
    members = folder / "members.csv"
    members.write_text(
        "会员号,手机号,邮箱,生日,注册时间\n"
        "M000001,13800000001,lin@example.com,1990-05-01,2024-01-01\n"
        "M000002,13800000002,an@example.com,2012-06-01,2024-01-01\n"
        "M000003,13800000003,bo@example.com,2016-01-01,2024-01-01\n"
    )
    guardians = folder / "guardians.csv"
    guardians.write_text(
        "会员号,监护人,关系,同意用途,同意时间,撤回时间,凭证号\n"
        "M000003,周梅,母,marketing.promotion,2026-03-01 12:00:00,2026-09-01 12:00:00,G1\n"
    )
    with django_db_blocker.unblock(), undone():
        register_store(World(base_world()))
        list_imports.members_import(path=members, actor=ACTOR, at=IMPORTED_AT)
        list_imports.guardians_import(path=guardians, actor=ACTOR, at=IMPORTED_AT)
        constraints_now()
        yield


@pytest.fixture
def imported(db: None, tmp_path: Path) -> Callable[..., ConsentImport]:
    """Import rows as one file and return the job."""

    def run(*rows: Row, dry_run: bool = False, name: str = "consents.csv") -> ConsentImport:
        return run_file(csv_of(rows, tmp_path / name), dry_run=dry_run)

    return run


def csv_of(rows: tuple[Row, ...] | list[Row], path: Path) -> Path:
    head = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, head, restval="")
    writer.writeheader()
    writer.writerows(rows)
    path.write_text(text.getvalue())
    return path


def run_file(path: Path, *, dry_run: bool = False) -> ConsentImport:
    job = consents_import_start(path=path, dry_run=dry_run, imported_at=IMPORTED_AT, actor=ACTOR)
    done = consents_import_run(job.pk)
    assert done is not None
    assert done.status == "done", done.error_code
    return done


def refused(job: ConsentImport) -> list[tuple[int, str]]:
    lines = import_errors_path(job).read_text().splitlines()[1:]
    return [(int(number), code) for number, code in (line.split(",") for line in lines)]


def grant(**more: str) -> Row:
    return FINE | {"event_id": ""} | more


def withdrawal(**more: str) -> Row:
    return {"member_id": "M000001", "act": "withdraw", "event_time": "2026-07-01 12:00:00"} | more


def answer(value: str = "13800000001") -> str:
    """Return the first code by which an SMS to this number is judged now."""
    world = World(base_world())
    judgement = judge_send(world.plan, register=world.register, at=NOW)
    contact = Contact(IdentifierType.PHONE, lookup(IdentifierType.PHONE, f"+86{value}"))
    [verdict] = SetBasedBackend(register_live()).screen([contact], judgement)
    return verdict.primary.name


def everything() -> dict[str, list[Any]]:
    """Return all rows of the product's tables, but of jobs."""
    return {
        model._meta.db_table: sorted(map(repr, model._base_manager.values_list()))
        for label in ("consent", "governance")
        for model in apps.get_app_config(label).get_models()
        if model is not ConsentImport
    }


# -- rows ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("row", "gives"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_a_row_is_taken_whole_or_refused_with_its_code(
    imported: Callable[..., ConsentImport], row: Row, gives: str
) -> None:
    job = imported(row)

    assert refused(job) == ([] if gives == "taken" else [(1, gives)])
    assert (job.accepted, job.refused) == ((1, 0) if gives == "taken" else (0, 1))
    assert ConsentRecord.objects.count() == job.accepted
    assert job.by_code == ({} if gives == "taken" else {gives: 1})


def test_every_code_of_refusal_has_a_case() -> None:
    from consent.domain.imports import RowError

    assert {gives for _, _, gives in CASES} == {"taken", *RowError}


def test_a_refused_row_names_nobody_new(imported: Callable[..., ConsentImport]) -> None:
    people = DataSubject.objects.count()

    imported(grant(member_id="", phone="13800000009", evidence=""))
    assert DataSubject.objects.count() == people

    imported(grant(member_id="", phone="13800000009"))
    assert DataSubject.objects.count() == people + 1


def test_a_row_with_a_cell_too_few_or_too_many_is_unreadable_and_the_next_is_not(db: None, tmp_path: Path) -> None:
    path = csv_of([grant()], tmp_path / "consents.csv")
    head, row = path.read_text().splitlines()
    path.write_text("\n".join([head, row.rsplit(",", 1)[0], f"{row},surplus", "", row]) + "\n")

    job = run_file(path)

    assert (job.accepted, refused(job)) == (1, [(1, "E_INPUT"), (2, "E_INPUT"), (3, "E_INPUT")])


@pytest.mark.parametrize(
    "column", ["event_id", "point", "notice", "text_hash", "control", "proof", "recipient", "purpose", "channel"]
)
def test_ten_thousand_characters_in_a_cell_break_nothing(imported: Callable[..., ConsentImport], column: str) -> None:
    job = imported(grant(**{column: "长" * 10_000}), grant(event_time="2026-06-02"))

    assert job.rows_done == job.accepted + job.refused == 2
    assert (2, "E_INPUT") not in refused(job)
    assert job.accepted >= 1


@pytest.mark.parametrize("year", ["0001", "1000", "1899"])
def test_the_first_day_of_time_that_programs_write_for_none_is_a_date_like_any_other(
    imported: Callable[..., ConsentImport], year: str
) -> None:
    """`0001-01-01` is what .NET writes for no date. A "no" so dated must not be lost, nor break what comes after."""
    imported(withdrawal(event_time=f"{year}-01-01 00:00:00"))
    assert answer() == "CONSENT_WITHDRAWN"

    imported(grant(), name="later.csv")
    assert answer() == "ALLOW"
    assert list(states_verify()) == []


# -- files -----------------------------------------------------------------------------------------------------------

CELLS = {
    "phone": "１３８ ００００-0009",
    "purpose": "marketing.promotion",
    "channel": "sms",
    "act": "撤回",
    "event_time": "2026年7月1日",
    "": "备注",
}


def file_of(case: dict[str, Any]) -> bytes:
    if "hex" in case:
        return bytes.fromhex(case["hex"])
    from consent.domain.vocabulary import CONSENT_COLUMNS
    from governance.domain.cells import clean

    names = {word.casefold(): name for name, words in CONSENT_COLUMNS.items() for word in (name, *words)}
    row = [CELLS[names.get(clean(head).casefold(), "")] for head in case["head"]]
    separator, newline = case.get("separator", ","), case.get("newline", "\n")
    text = newline.join(separator.join(cells) for cells in (case["head"], row)) + newline
    return text.encode(case["encoding"])


@pytest.mark.parametrize("case", FILES, ids=[case["name"] for case in FILES])
def test_a_file_is_read_to_its_end_or_refused_before_anything_is_queued(
    db: None, tmp_path: Path, case: dict[str, Any]
) -> None:
    path = tmp_path / "consents.csv"
    path.write_bytes(file_of(case))

    if case["gives"] == "done":
        assert run_file(path).accepted == 1
        assert answer("13800000009") == "CONSENT_WITHDRAWN"
    else:
        with pytest.raises(FileUnreadableError) as refusal:
            consents_import_start(path=path, dry_run=False, imported_at=IMPORTED_AT, actor=ACTOR)
        assert refusal.value.context["reason"] == case["gives"]
        assert not ConsentImport.objects.exists()


def test_a_quote_that_never_closes_is_refused_and_a_quoted_line_break_is_not(db: None, tmp_path: Path) -> None:
    path = csv_of([grant(proof="first line\nsecond line")], tmp_path / "consents.csv")
    assert run_file(path).accepted == 1

    path.write_text(path.read_text() + '"' + "x" * 200_000)
    with pytest.raises(FileUnreadableError) as refusal:
        run_file(path)
    assert refusal.value.context["reason"] == "broken_csv"


def test_a_file_of_headers_only_is_an_import_of_nothing(db: None, tmp_path: Path) -> None:
    path = tmp_path / "consents.csv"
    path.write_text("act,event_time\n")

    assert (run_file(path).rows_done, ConsentRecord.objects.count()) == (0, 0)


# -- what never happens ----------------------------------------------------------------------------------------------

MIXED = [
    grant(event_id="E1"),
    withdrawal(event_id="E2"),
    grant(event_id="E1"),
    grant(event_id="E1", channel="email"),
    grant(event_id="E3", evidence=""),
    grant(),
    grant(),
    grant(member_id="", phone="13800000009", event_id="E4"),
]


def test_a_dry_run_judges_every_row_as_the_import_does_and_changes_nothing(
    imported: Callable[..., ConsentImport],
) -> None:
    before = everything()

    tried = imported(*MIXED, dry_run=True)
    assert everything() == before
    done = imported(*MIXED)

    numbers = [(job.rows_done, job.accepted, job.refused, job.replayed, job.by_code) for job in (tried, done)]
    assert numbers == [(8, 5, 2, 1, {"CONSENT_NO_EVIDENCE": 1, "E_INPUT": 1})] * 2
    assert refused(tried) == refused(done) == [(4, "E_INPUT"), (5, "CONSENT_NO_EVIDENCE")]
    assert everything() != before


def test_the_same_file_again_changes_nothing(imported: Callable[..., ConsentImport]) -> None:
    first = imported(*MIXED)
    before = everything()

    again = imported(*MIXED)

    assert everything() == before
    assert (again.accepted, again.replayed, refused(again)) == (0, 6, refused(first))


def test_a_file_that_grew_adds_only_what_is_new(imported: Callable[..., ConsentImport]) -> None:
    imported(*MIXED)

    grown = imported(*MIXED, grant(event_id="E9", event_time="2026-08-01"), grant(), name="grown.csv")

    assert (grown.accepted, grown.replayed) == (2, 6)


def test_an_event_id_belongs_to_the_first_who_used_it_in_other_files_too(
    imported: Callable[..., ConsentImport],
) -> None:
    imported(grant(event_id="E1"))

    job = imported(grant(event_id="E1"), grant(event_id="E1", proof="another"), name="other.csv")

    assert (job.replayed, refused(job)) == (1, [(2, "E_INPUT")])


def test_an_export_never_ends_a_no_unless_the_person_said_yes_afterwards_himself(
    imported: Callable[..., ConsentImport],
) -> None:
    imported(grant(), withdrawal())
    assert answer() == "CONSENT_WITHDRAWN"

    imported(grant(event_time="2026-06-30 23:59:59"), name="an older yes.csv")
    assert answer() == "CONSENT_WITHDRAWN"
    imported(grant(event_time="2026-08-01", point="old_list"), name="a migrated list.csv")
    assert answer() == "CONSENT_WITHDRAWN"
    imported(grant(event_time="2026-08-01", control="continue_to_use"), name="a defective yes.csv")
    assert answer() == "CONSENT_WITHDRAWN"
    imported(grant(event_time="2026-07-01 12:00:00"), name="a yes of the same second.csv")
    assert answer() == "CONSENT_WITHDRAWN"
    imported(grant(event_time="2026-08-01"), name="a yes of his own.csv")
    assert answer() == "ALLOW"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({}, "CONSENT_WITHDRAWN"),
        ({"purpose": "nobody knows", "channel": "nobody knows"}, "CONSENT_WITHDRAWN"),
        ({"purpose": "marketing.promotion", "channel": "sms"}, "CONSENT_WITHDRAWN"),
        ({"purpose": "marketing.promotion", "channel": "全部"}, "CONSENT_WITHDRAWN"),
        ({"purpose": "marketing.promotion", "channel": "email"}, "ALLOW"),
        ({"purpose": "service.order", "channel": "sms"}, "ALLOW"),
        ({"purpose": "share.partner", "recipient": "partner"}, "ALLOW"),
        ({"member_id": "M000002"}, "ALLOW"),
    ],
)
def test_a_no_that_names_nothing_readable_means_everything_and_a_narrow_one_only_what_it_names(
    imported: Callable[..., ConsentImport], change: Row, code: str
) -> None:
    imported(grant(), withdrawal(**change))

    assert answer() == code


ACTS = [
    grant(event_time="2026-05-01"),
    withdrawal(event_time="2026-06-01"),
    grant(event_time="2026-07-01", point="store"),
    withdrawal(event_time="2026-08-01", purpose="marketing.promotion", channel="email"),
    grant(event_time="2026-08-02", act="renew"),
    grant(event_time="2026-08-02", channel="email", point="web"),
    grant(event_time="2026-08-03", channel="email", act="confirm"),
]


def standing() -> list[tuple[object, ...]]:
    from consent.models import ConsentState

    return sorted(
        ConsentState.objects.values_list(
            "slot__purpose", "slot__channel", "origin_at", "refused_at", "confirmed", "grant__said_at"
        ),
        key=repr,
    )


@given(st.permutations(range(len(ACTS))), st.integers(0, len(ACTS)))
@few(6)
def test_events_in_any_order_and_in_two_files_leave_people_where_the_order_of_time_does(
    db: None, tmp_path_factory: pytest.TempPathFactory, order: list[int], cut: int
) -> None:
    folder = tmp_path_factory.mktemp("orders")
    with undone():
        run_file(csv_of(ACTS, folder / "in_order.csv"))
        expected = standing()
    with undone():
        shuffled = [ACTS[place] for place in order]
        for number, part in enumerate((shuffled[:cut], shuffled[cut:])):
            if part:
                run_file(csv_of(part, folder / f"{number}.csv"))

        assert standing() == expected
        assert list(states_verify()) == []


# -- lists -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", REPLIES, ids=[f"{case['channel']}: {case['text'] or 'nothing'}" for case in REPLIES])
def test_a_reply_is_an_opt_out_of_what_it_says(db: None, tmp_path: Path, case: dict[str, Any]) -> None:
    who = {"email": "lin@example.com", "app_push": "M000001"}.get(case["channel"], "13800000001")
    path = csv_of(
        [{"channel": case["channel"], "identifier": who, "text": case["text"], "received_at": "2026-07-01"}],
        tmp_path / "optouts.csv",
    )

    list_imports.optouts_import(path=path, actor=ACTOR, at=IMPORTED_AT)

    scopes = [row.channel.code if row.channel else "*" for row in Suppression.objects.select_related("channel")]
    assert scopes == ([case["scope"]] if case["scope"] else [])


def suppressed(folder: Path, **cells: str) -> str:
    """Import a list of one row for a person who agreed, and return how an SMS is judged after it."""
    run_file(csv_of([grant()], folder / "consents.csv"))
    row = {"type": "phone", "identifier": "13800000001", "scope": "sms", "added_at": "2026-07-01"} | cells
    list_imports.suppressions_import(path=csv_of([row], folder / "suppression.csv"), actor=ACTOR, at=IMPORTED_AT)
    return answer()


@pytest.mark.parametrize(
    ("cells", "code"),
    [
        ({}, "OPTED_OUT"),
        ({"scope": "全部"}, "OPTED_OUT"),
        ({"scope": "a word nobody knows"}, "OPTED_OUT"),
        ({"added_at": "nobody knows when"}, "OPTED_OUT"),
        ({"added_at": "0001-01-01"}, "OPTED_OUT"),
        ({"added_at": "2062-07-01"}, "OPTED_OUT"),
        ({"removed_at": "nobody knows when"}, "OPTED_OUT"),
        ({"removed_at": "2030-01-01"}, "OPTED_OUT"),
        ({"identifier": "+86 138-0000-0001"}, "OPTED_OUT"),
        ({"type": "member_id", "identifier": "m000001", "scope": ""}, "OPTED_OUT"),
        ({"reason": "运营商黑名单"}, "CARRIER_BLACKLIST"),
        ({"removed_at": "2026-08-01"}, "ALLOW"),
        ({"scope": "email"}, "ALLOW"),
        ({"identifier": "13800000002"}, "ALLOW"),
        ({"identifier": "no number"}, "ALLOW"),
        ({"type": "passport"}, "ALLOW"),
    ],
)
def test_a_listed_number_is_left_alone_whatever_else_the_row_fails_to_say(
    db: None, tmp_path: Path, cells: Row, code: str
) -> None:
    assert suppressed(tmp_path, **cells) == code


@pytest.mark.parametrize("name", LISTS)
@pytest.mark.parametrize("content", [b"", b"\x00\x01", "渠道\n".encode("utf-16"), b"nothing,of\nthe,kind\n"])
def test_a_list_that_cannot_be_read_is_refused_and_changes_nothing(
    db: None, tmp_path: Path, name: str, content: bytes
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    before = everything()

    with pytest.raises(FileUnreadableError):
        LISTS[name](path=path, actor=ACTOR, at=IMPORTED_AT)
    assert everything() == before


def test_every_list_of_a_retailer_imported_again_adds_nothing(retailer: Path, db: None) -> None:
    tables = ("consent_suppression", "consent_send_record", "consent_template_subscription", "consent_guardianship")
    before = {name: rows for name, rows in everything().items() if name in tables}
    people = DataSubject.objects.count()

    for name, load in LISTS.items():
        load(path=DEMO / name, actor=ACTOR, at=timezone.now())

    assert {name: rows for name, rows in everything().items() if name in tables} == before
    assert DataSubject.objects.count() == people
