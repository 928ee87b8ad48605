"""Receipts: our signed promise that an entry stands in the tree within the merge delay.

Ed25519 signatures are deterministic (RFC 8032), so a receipt is made again from its entry whenever it is asked for.
"""

from __future__ import annotations

import json
from uuid import UUID

from audit.domain.checkpoint import receipt_text
from audit.errors import NotFoundError
from audit.models import AuditEntry
from audit.services.sequencer import ledger_signer, origin


def receipt_sign(entry_id: UUID) -> str:
    """Return the signed receipt of an entry. Raises NotFoundError."""
    entry = AuditEntry.objects.filter(id=entry_id).first()
    if entry is None:
        raise NotFoundError("there is no such entry")
    recorded_at = json.loads(bytes(entry.body))["t"]
    return ledger_signer("receipt").sign(receipt_text(origin(), entry.id, bytes(entry.leaf_hash), recorded_at))
