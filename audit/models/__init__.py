from audit.models.entries import AuditEntry
from audit.models.history import RowHistory
from audit.models.ledger import Anchor, Checkpoint, Leaf, Payload, PendingEntry, Tile, Tree, Verification

__all__ = [
    "Anchor",
    "AuditEntry",
    "Checkpoint",
    "Leaf",
    "Payload",
    "PendingEntry",
    "RowHistory",
    "Tile",
    "Tree",
    "Verification",
]
