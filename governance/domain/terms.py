"""The words of the register: closed lists that are stored, sent and shown. Values are never changed or reused."""

from __future__ import annotations

from enum import StrEnum


class PurposeKind(StrEnum):
    MARKETING = "marketing"
    SERVICE = "service"
    SEPARATE = "separate"


class LegalBasis(StrEnum):
    """Grounds of PIPL 13(1); `REQUEST` is the consumer's own request (CPL 29(3))."""

    CONSENT = "consent"
    REQUEST = "request"
    CONTRACT = "contract"
    LEGAL_DUTY = "legal_duty"
    EMERGENCY = "emergency"
    NEWS = "news"
    PUBLIC_DATA = "public_data"
    OTHER_LAW = "other_law"


class RecipientRole(StrEnum):
    """What a recipient is before the law."""

    ENTRUSTED = "ENTRUSTED"  # 受托人, PIPL 21
    INDEPENDENT = "INDEPENDENT"  # 接收方, PIPL 23
    JOINT = "JOINT"  # 共同处理者, PIPL 20


class MechanismKind(StrEnum):
    """Routes for sending data abroad, PIPL 38."""

    ASSESSMENT = "assessment"
    SCC = "scc"
    CERT = "cert"


class WordListKind(StrEnum):
    """House lists the rules read."""

    PROMOTION = "promotion"
    PROHIBITED = "prohibited"
    ABSOLUTE = "absolute"
    OPTOUT_PHRASE = "optout_phrase"
    EMAIL_DOMAIN = "email_domain"
    BARRED_FOR_MINORS = "barred_for_minors"
    NEEDING_APPROVAL = "needing_approval"


class PolicyState(StrEnum):
    DRAFT = "draft"
    PUBLISHED = "published"
    RETIRED = "retired"


class Scope(StrEnum):
    """What an API client may do. One scope per duty."""

    DECISIONS_CHECK = "decisions:check"
    DECISIONS_SIMULATE = "decisions:simulate"
    SCREENINGS_RUN = "screenings:run"
    CONSENTS_WRITE = "consents:write"
    CONSENTS_READ = "consents:read"
    INBOUND_WRITE = "inbound:write"
    CATALOG_READ = "catalog:read"
    AUDIT_READ = "audit:read"
