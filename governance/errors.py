from __future__ import annotations

from audit.errors import ConflictError, InvalidInputError, NotFoundError, NotPermittedError, ZhixuError


class KeyringError(ZhixuError):
    """Keys are missing or unusable. Nothing may go on without them."""

    code = "keyring_unusable"


class SealBrokenError(ZhixuError):
    """A stored value does not open: wrong key, other row, or changed bytes. Never shown as empty."""

    code = "seal_broken"


class RegisterFileError(InvalidInputError):
    """A register file cannot be read; the message names the file and the place."""

    code = "register_file_invalid"


class PolicyInvalidError(InvalidInputError):
    code = "policy_invalid"


class IdempotencyMismatchError(ConflictError):
    code = "idempotency_key_reused"


class IdempotencyBusyError(ConflictError):
    code = "idempotency_key_in_use"


class ScopeMissingError(NotPermittedError):
    code = "insufficient_scope"


class LimitExceededError(NotPermittedError):
    """The client's limits (brands, purposes, channels, fields, recipients, networks) do not allow this."""

    code = "client_limit"


class ClientNotFoundError(NotFoundError):
    code = "api_client_not_found"
