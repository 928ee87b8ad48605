"""The four families of errors. Services raise them; config/api_errors.py gives them an HTTP status."""

from __future__ import annotations

from typing import ClassVar


class ZhixuError(Exception):
    """An error with a stable public code. `context` holds codes and names, never personal data.

    `message` is a message id whose named places `context` fills; doors translate it, `str` is English.
    """

    code: ClassVar[str] = "error"

    def __init__(self, message: str, /, **context: object) -> None:
        super().__init__(message % context if context else message)
        self.message = message
        self.context = context


class NotFoundError(ZhixuError):
    code = "not_found"


class NotPermittedError(ZhixuError):
    code = "not_permitted"


class ConflictError(ZhixuError):
    code = "conflict"


class InvalidInputError(ZhixuError):
    code = "invalid_input"


class AuditOutsideTransactionError(ConflictError):
    """A trace without a transaction could stand without its change, or the other way round."""

    code = "audit_outside_transaction"


class LedgerBrokenError(ConflictError):
    """What is stored is not what was written. Nothing more is signed until a person has looked."""

    code = "ledger_broken"


class ExportFolderError(InvalidInputError):
    """An export is written into an empty folder of its own."""

    code = "export_folder"


class LedgerLateError(ConflictError):
    """What must be published first was not."""

    code = "ledger_late"


class AnchorFailedError(ConflictError):
    """A checkpoint could not be put where it should be kept; it is tried again."""

    code = "anchor_failed"


class AnchorDisagreesError(AnchorFailedError):
    """What is kept outside is not a past of our tree: the ledger was rolled back or rewritten."""

    code = "anchor_disagrees"


class VerificationRunningError(ConflictError):
    """The ledger is being verified; one at a time is enough."""

    code = "verification_running"


class EntryNotFoundError(NotFoundError):
    code = "entry_not_found"


class CheckpointNotFoundError(NotFoundError):
    code = "checkpoint_not_found"


class TileNotFoundError(NotFoundError):
    code = "tile_not_found"
