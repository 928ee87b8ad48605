from __future__ import annotations

from audit.errors import ConflictError, InvalidInputError, NotFoundError


class NoticeTextMismatchError(InvalidInputError):
    """The text of a notice does not have the digest that is claimed for it."""

    code = "notice_text_mismatch"


class FileUnreadableError(InvalidInputError):
    """A table file cannot be read; `reason` is the code of the table reader."""

    code = "file_unreadable"


class ConsentRefusedError(InvalidInputError):
    """An act of consent is refused; `reason` is the reason code, `item` its place in the request."""

    code = "consent_refused"


class CampaignNotFoundError(NotFoundError):
    code = "campaign_not_found"


class ScreeningNotFoundError(NotFoundError):
    code = "screening_not_found"


class ScreeningNotReadyError(ConflictError):
    code = "screening_not_ready"


class ImportNotFoundError(NotFoundError):
    code = "consent_import_not_found"


class UploadNotFoundError(NotFoundError):
    code = "upload_not_found"


class UploadTooLargeError(InvalidInputError):
    code = "upload_too_large"


class ReceiptNotFoundError(NotFoundError):
    code = "receipt_not_found"


class SubjectNotFoundError(NotFoundError):
    code = "subject_not_found"


class IdentifierMalformedError(InvalidInputError):
    code = "identifier_malformed"


class IdentifierAmbiguousError(ConflictError):
    code = "identifier_ambiguous"


class LinkInvalidError(NotFoundError):
    """A preference link is unknown or over; both look the same."""

    code = "link_invalid"


class ApprovalRefusedError(ConflictError):
    """An approval that would not count: twice by the same person, or one too many."""

    code = "approval_refused"


class ContentNotFoundError(NotFoundError):
    code = "content_not_found"


class ContentChangedError(ConflictError):
    """What was read is not what is stored."""

    code = "content_changed"


class NoticeBackdatedError(InvalidInputError):
    code = "notice_backdated"


class DecisionNotFoundError(NotFoundError):
    code = "decision_not_found"


class RuleSetUnknownError(ConflictError):
    """A decision of another rule set is judged again by the release that holds it, not by this one."""

    code = "rule_set_unknown"
