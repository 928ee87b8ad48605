"""Receipts: our signed promise that an entry stands in the tree within the merge delay.

Ed25519 signatures are deterministic (RFC 8032), so a receipt is made again from its entry whenever it is asked for.
"""

from __future__ import annotations

from uuid import UUID

from audit.domain.checkpoint import Promise, document_text, receipt_read, receipt_text
from audit.domain.note import NoteError
from audit.errors import NotFoundError
from audit.models import AuditEntry
from audit.selectors.entries import entry_body
from audit.services.sequencer import ledger_signer, ledger_verifiers, origin
from audit.signing import note_open


def receipt_sign(entry_id: UUID) -> str:
    """Return the signed receipt of an entry. Raises NotFoundError."""
    entry = AuditEntry.objects.filter(id=entry_id).first()
    if entry is None:
        raise NotFoundError("there is no such entry")
    return receipt_of(entry)


def receipt_of(entry: AuditEntry) -> str:
    """Return the signed receipt of an entry at hand."""
    recorded_at = str(entry_body(entry)["t"])
    return ledger_signer("receipt").sign(receipt_text(origin(), entry.id, bytes(entry.leaf_hash), recorded_at))


def receipt_document_sign(number: str, digest: bytes) -> str:
    """Return the signed note over a whole receipt document."""
    return ledger_signer("receipt").sign(document_text(origin(), number, digest))


def receipt_open(note: str) -> Promise:
    """Return what a receipt promises if we signed it. Raises NoteError."""
    promise = receipt_read(signed_text(note, "receipt"))
    if promise.origin != origin():
        raise NoteError("a receipt of another ledger")
    return promise


def signed_text(note: str, use: str) -> str:
    """Return the text of a note that one of our keys for this use has signed. Raises NoteError."""
    for verifier in ledger_verifiers(use):
        try:
            return note_open(note, verifier)
        except NoteError:
            continue
    raise NoteError("not signed by us")
