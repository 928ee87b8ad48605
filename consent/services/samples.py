"""Load a retailer's folder (the format of docs/samples.md) and judge its campaigns as of their planned time."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from pathlib import Path

from audit.actors import Actor
from consent.decisions.engine import Verdict, judge_send
from consent.decisions.history import Contact
from consent.domain.vocabulary import IDENTIFIERS
from consent.errors import FileUnreadableError
from consent.models import ConsentImport
from consent.screening.audience import read_audience
from consent.screening.reference import ReferenceBackend
from consent.selectors.register import LiveRegister, audience_of, register_live
from consent.services import list_imports
from consent.services.imports import consents_import_run, consents_import_start, file_sha256, import_errors_path
from consent.services.register_files import register_load
from governance.crypto.blind_index import lookup_maker
from governance.domain.cells import clean, parse_instant
from governance.domain.identifiers import canonical_reader
from governance.domain.tables import TableError
from governance.errors import RegisterFileError

MEMBER_ID_PATTERN = "M[0-9]{6}"
_CHUNK = 5_000

LISTS: dict[str, Callable[..., dict[str, int]]] = {
    "members.csv": list_imports.members_import,
    "guardians.csv": list_imports.guardians_import,
    "suppression.csv": list_imports.suppressions_import,
    "optouts.csv": list_imports.optouts_import,
    "send_log.csv": list_imports.sends_import,
    "wechat_subscriptions.csv": list_imports.subscriptions_import,
}


@dataclass(frozen=True, slots=True)
class AudienceAnswer:
    """The answer to one row of an audience. `verdict` None: the row is invalid or a duplicate."""

    row_no: int
    kind: str  # judged, invalid or duplicate
    verdict: Verdict | None = None

    def cells(self) -> tuple[str, str, str, str]:
        """Return row_no, outcome, primary and codes as the expected files write them."""
        if self.verdict is None:
            return str(self.row_no), self.kind, "", ""
        codes = ";".join(code.name for code in self.verdict.codes)
        return str(self.row_no), self.verdict.outcome.value, self.verdict.primary.name, codes


def sample_load(
    *, folder: Path, actor: Actor, at: datetime, on_step: Callable[[str, dict[str, int]], None] | None = None
) -> Path:
    """Load everything in a folder, consents last; returns the path of the consent import's error file.

    Raises:
        RegisterFileError, FileUnreadableError: the folder is not in the format; the message names the place.
    """
    register_load(folder=folder, member_id_pattern=MEMBER_ID_PATTERN, actor=actor, at=at)
    for name, load in LISTS.items():
        counts = load(path=folder / name, actor=actor, at=at) if (folder / name).exists() else {}
        if on_step:
            on_step(name, counts)
    job = consents_import_start(
        path=folder / "consents.csv", dry_run=False, imported_at=imported_at(folder), actor=actor
    )
    done = consents_import_run(job.pk)
    if done is None or done.status != "done":
        raise FileUnreadableError("The consent import did not finish.", reason=done.error_code if done else "job_lost")
    if on_step:
        on_step("consents.csv", {"accepted": done.accepted, "refused": done.refused, "replayed": done.replayed})
    return import_errors_path(done)


def sample_is_loaded(folder: Path) -> bool:
    """Tell whether the folder was loaded to its end: its consents come last. Loading again is safe either way."""
    path = folder / "consents.csv"
    return path.exists() and ConsentImport.objects.filter(status="done", sha256=file_sha256(path)).exists()


def imported_at(folder: Path) -> datetime:
    """Return the instant the folder says it is imported at: later events are not accepted."""
    value = json.loads((folder / "organisation.json").read_text(encoding="utf-8-sig")).get("imported_at")
    at = parse_instant(clean(value)) if isinstance(value, str) else None
    if at is None:
        raise RegisterFileError("organisation.json.imported_at is missing or unreadable.")
    return at


def audience_judge(*, folder: Path, campaign: str) -> Iterator[AudienceAnswer]:
    """Judge every row of a campaign's audience as of the time the campaign is planned for, in order.

    Raises:
        FileUnreadableError: the audience file cannot be read to its end.
    """
    register = register_live()
    audience = audience_of(campaign)
    plan = register.rules.plans[campaign]
    judgement = judge_send(plan, register=register.rules, at=plan.planned_at or imported_at(folder))
    backend = ReferenceBackend(register)
    rows = _audience_rows(folder / audience["file"], audience, register)
    while part := list(islice(rows, _CHUNK)):
        contacts = [contact for _, _, contact in part if contact]
        verdicts = iter(backend.screen(contacts, judgement))
        for number, kind, contact in part:
            yield AudienceAnswer(number, kind, next(verdicts) if contact else None)


def _audience_rows(
    path: Path, audience: Mapping[str, str], register: LiveRegister
) -> Iterator[tuple[int, str, Contact | None]]:
    identifier = IDENTIFIERS[audience["identifier"].casefold()]
    read = canonical_reader(identifier, register.governed.member_id_pattern)
    make = lookup_maker(identifier)
    seen: set[bytes] = set()
    try:
        for row in read_audience(path, form="csv", column=audience["column"], carry=()):
            value = read(row.value) if row.value is not None else None
            lookup = make(value) if value else b""
            if not lookup:
                yield row.number, "invalid", None
            elif lookup in seen:
                yield row.number, "duplicate", None
            else:
                seen.add(lookup)
                yield row.number, "judged", Contact(identifier, lookup)
    except TableError as error:
        raise FileUnreadableError(error.message, what=error.what, reason=error.code, row=error.row) from None
