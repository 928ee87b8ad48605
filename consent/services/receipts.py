"""Consent receipts: made again from the trail whenever they are asked for, and checked whoever brings one."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.urls import reverse
from django.utils.translation import gettext_noop as _

from audit.domain.checkpoint import Head, document_text, head_read, proof_read
from audit.domain.merkle import leaf_hash, verify_inclusion
from audit.models import AuditEntry
from audit.selectors.entries import entries_together, entry_body
from audit.selectors.ledger import inclusion_of, leaf_index, leaf_of
from audit.services.receipts import receipt_document_sign, receipt_of, receipt_open, signed_text
from audit.services.sequencer import MERGE_DELAY, origin
from consent.domain.receipts import (
    NUMBER,
    PROOF,
    Around,
    altered_places,
    codes_of,
    receipt_fields,
    receipt_number,
    signed_bytes,
)
from consent.errors import ReceiptNotFoundError
from consent.selectors.register import LiveRegister, register_live

FAMILY = "consent."
MOST_ENTRIES = 200

REASONS: dict[str, str] = {
    "malformed": _("This is no receipt of ours: a part is missing or cannot be read."),
    "signature": _("The signature is not ours, or does not fit what it signs."),
    "leaf": _("The entry inside is not the one that was signed."),
    "altered": _("This field does not say what the entry says."),
    "inclusion": _("The proof does not lead to a signed head of the ledger."),
    "promise_broken": _(
        "The receipt is genuine, but the ledger does not hold its entry. Keep it: it proves that something is wrong."
    ),
}


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why a receipt is not valid. `pointer` is a JSON pointer into what was given (RFC 6901)."""

    code: str
    pointer: str = ""


@dataclass(frozen=True, slots=True)
class ProvedEntry:
    """An entry a valid signature is about. `index` None: not in the tree yet, or not there at all."""

    id: UUID
    index: int | None


@dataclass(slots=True)
class ReceiptCheck:
    """What a check of a receipt found."""

    troubles: list[Trouble] = field(default_factory=list)
    entries: list[ProvedEntry] = field(default_factory=list)

    @property
    def valid(self) -> bool:
        return not self.troubles

    def found(self, code: str, pointer: str = "") -> None:
        self.troubles.append(Trouble(code, pointer))


@dataclass(frozen=True, slots=True)
class Receipt:
    number: str
    subject: UUID
    named: Mapping[str, list[str]]  # purposes, channels, recipients
    document: dict[str, Any]


def receipt_get(*, entry: UUID) -> Receipt:
    """Return the receipt of the act this entry belongs to, with a proof for every entry the tree covers by now.

    Raises:
        ReceiptNotFoundError: there is no such act of consent.
    """
    rows = entries_together(entry, prefix=FAMILY)
    if not rows:
        raise ReceiptNotFoundError("There is no such receipt.")
    register = register_live()
    bodies = [entry_body(row) for row in rows]
    fields = receipt_fields(bodies, _around(bodies, register))
    digest = hashlib.sha256(signed_bytes(fields)).digest()
    proof = {
        "zx:signature": receipt_document_sign(str(fields[NUMBER]), digest),
        "zx:entries": [_entry_proof(row) for row in rows],
    }
    said: list[Mapping[str, Any]] = [body.get("d", {}) for body in bodies]  # type: ignore[misc]
    named = {key: [str(d[key]) for d in said if d.get(key)] for key in ("purpose", "channel", "recipient")}
    return Receipt(receipt_number(rows[0].id), rows[0].subject_ref, named, fields | {PROOF: proof})  # type: ignore[arg-type]


def _around(bodies: Sequence[Mapping[str, Any]], register: LiveRegister) -> Around:
    rules = register.rules
    known = {code: item.name for code, item in rules.book.purposes.items()}
    known |= {code: item.name for code, item in rules.channels.items()}
    known |= {code: item.name for code, item in rules.recipients.items()}
    names = {code: known[code] for code in sorted(codes_of(bodies)) if code.isascii() and known.get(code)}
    page = f"{settings.ZHIXU['BASE_URL']}{reverse('preferences:page')}"
    return Around(register.governed.entity, page, names)


def _entry_proof(row: AuditEntry) -> dict[str, str | None]:
    inclusion = inclusion_of(row.id)
    return {
        "zx:body": base64.b64encode(bytes(row.body)).decode(),
        "zx:receipt": receipt_of(row),
        "zx:inclusion": inclusion.text if inclusion else None,
    }


def receipt_check(given: object, *, at: datetime) -> ReceiptCheck:
    """Say whether a receipt is genuine and whole: a document, or the signed note of one entry as text.

    Nothing that is given is believed; garbage is an answer, not an error.
    """
    check = ReceiptCheck()
    try:
        if isinstance(given, str):
            _check_note(given, check, at)
        elif isinstance(given, dict):
            _check_document(given, check, at)
        else:
            check.found("malformed")
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError):
        check.found("malformed")
    return check


def _check_note(note: str, check: ReceiptCheck, at: datetime) -> None:
    try:
        promise = receipt_open(note)
    except ValueError:
        check.found("signature")
        return
    _check_kept(promise.entry, promise.leaf, datetime.fromisoformat(promise.recorded_at), "", check, at)


def _check_document(document: dict[str, Any], check: ReceiptCheck, at: datetime) -> None:
    proof = document[PROOF]
    entries: list[dict[str, Any]] = proof["zx:entries"]
    if not 0 < len(entries) <= MOST_ENTRIES or set(proof) != {"zx:signature", "zx:entries"}:
        raise ValueError("no entries")
    bodies = []
    for n, entry in enumerate(entries):
        bodies.append(_check_entry(entry, f"/{PROOF}/zx:entries/{n}", check, at))
    first = bodies[0]
    if any(
        (body["t"], body["subj"], body["tenant"]) != (first["t"], first["subj"], first["tenant"]) for body in bodies
    ):
        check.found("altered", f"/{PROOF}/zx:entries")
    for place in altered_places(document, bodies):
        check.found("altered", place)
    _check_signature(document, proof["zx:signature"], check)


def _check_entry(entry: dict[str, Any], place: str, check: ReceiptCheck, at: datetime) -> dict[str, Any]:
    """Check one entry from the inside out: its bytes, what was promised of them, their place in the tree."""
    encoded = base64.b64decode(entry["zx:body"], validate=True)
    leaf = leaf_hash(encoded)
    body: dict[str, Any] = json.loads(encoded)
    if set(entry) != {"zx:body", "zx:receipt", "zx:inclusion"}:
        raise ValueError("unknown parts")
    try:
        promise = receipt_open(entry["zx:receipt"])
    except ValueError:
        check.found("signature", f"{place}/zx:receipt")
        return body
    if (promise.leaf, str(promise.entry), promise.recorded_at) != (leaf, body["id"], body["t"]):
        check.found("leaf", f"{place}/zx:body")
        return body
    if entry["zx:inclusion"] is not None and not _included(leaf, entry["zx:inclusion"]):
        check.found("inclusion", f"{place}/zx:inclusion")
    _check_kept(promise.entry, leaf, datetime.fromisoformat(promise.recorded_at), place, check, at)
    return body


def _included(leaf: bytes, text: str) -> bool:
    try:
        index, path, note = proof_read(text)
        head: Head = head_read(signed_text(note, "checkpoint"))
    except ValueError:
        return False
    return head.origin == origin() and verify_inclusion(leaf, index, head.size, path, head.root)


def _check_kept(entry: UUID, leaf: bytes, recorded_at: datetime, place: str, check: ReceiptCheck, at: datetime) -> None:
    """Look for the entry in our own tree: what was promised must be there once the merge delay is over."""
    index = leaf_index(entry)
    if index is not None and leaf_of(index) != leaf:
        index = None
    check.entries.append(ProvedEntry(entry, index))
    if index is None and at > recorded_at + MERGE_DELAY + timedelta(seconds=1):
        check.found("promise_broken", place)


def _check_signature(document: dict[str, Any], note: str, check: ReceiptCheck) -> None:
    digest = hashlib.sha256(signed_bytes(document)).digest()
    try:
        text = signed_text(note, "receipt")
    except ValueError:
        check.found("signature", f"/{PROOF}/zx:signature")
        return
    if text != document_text(origin(), str(document.get(NUMBER)), digest) and not any(
        t.code == "altered" for t in check.troubles
    ):
        check.found("altered", "")  # a part that follows from no entry: a name, an address
