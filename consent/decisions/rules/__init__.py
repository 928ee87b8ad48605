"""The rule book: every rule once, in order of precedence. Nothing else knows the order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from consent.decisions.facts import HolderFacts, Requirement, RowFacts, SendFacts
from consent.decisions.reasons import Reason
from consent.decisions.rules import (
    accountability,
    consent,
    content,
    data_use,
    frequency,
    person,
    recipients,
    refusal,
)
from consent.domain.terms import Severity


class Sees(StrEnum):
    """Whose facts a holder rule sees, and how holders combine (samples/README 5.2)."""

    OUT = "out"  # sets a holder aside, if another one is left
    PRESENT = "present"  # fires if it fires for any holder not set aside
    EVERYONE = "everyone"  # fires for any holder at all: his own "no"
    ENOUGH = "enough"  # one holder without a denial among these is enough


@dataclass(frozen=True, slots=True)
class SendRule:
    """A rule of the campaign stage. `stops`: nothing else is judged once it fires."""

    reason: Reason
    fires: Callable[[SendFacts], Severity | None]
    marketing: bool = False
    stops: bool = False


@dataclass(frozen=True, slots=True)
class HolderRule:
    reason: Reason
    fires: Callable[[HolderFacts, Requirement], Severity | None]
    sees: Sees
    marketing: bool = False


@dataclass(frozen=True, slots=True)
class RowRule:
    reason: Reason
    fires: Callable[[RowFacts, Requirement], Severity | None]
    marketing: bool = False


Rule = SendRule | HolderRule | RowRule

RULES: tuple[Rule, ...] = (
    # what cannot be judged
    SendRule(Reason.E_INPUT, data_use.missing_input, stops=True),
    SendRule(Reason.POLICY_GAP, data_use.unregistered_purpose, stops=True),
    SendRule(Reason.POLICY_GAP, data_use.unregistered_part),
    # the person
    HolderRule(Reason.SUBJECT_ERASED, person.subject_erased, Sees.OUT),
    HolderRule(Reason.PROCESSING_FROZEN, person.processing_frozen, Sees.PRESENT),
    HolderRule(Reason.SUBJECT_DECEASED, person.subject_deceased, Sees.PRESENT),
    HolderRule(Reason.SOURCE_UNLAWFUL, person.source_unlawful, Sees.OUT),
    HolderRule(Reason.CHILD_NO_GUARDIAN_CONSENT, person.child_no_guardian_consent, Sees.PRESENT, marketing=True),
    HolderRule(Reason.MINOR_ADM_MARKETING, person.minor_adm_marketing, Sees.PRESENT, marketing=True),
    HolderRule(Reason.PRODUCT_TO_MINOR, person.product_to_minor, Sees.PRESENT, marketing=True),
    # the person's own "no"
    RowRule(Reason.OPTED_OUT, refusal.opted_out, marketing=True),
    RowRule(Reason.CONSENT_WITHDRAWN, refusal.consent_withdrawn, marketing=True),
    HolderRule(Reason.PROCESSING_RESTRICTED, refusal.processing_restricted, Sees.EVERYONE),
    HolderRule(Reason.PAUSED_BY_CUSTOMER, refusal.paused_by_customer, Sees.EVERYONE, marketing=True),
    HolderRule(Reason.IDENTIFIER_NOT_OWNED, person.identifier_not_owned, Sees.OUT),
    RowRule(Reason.CARRIER_BLACKLIST, refusal.carrier_blacklist),
    # the consent
    HolderRule(Reason.NO_CONSENT, consent.no_consent, Sees.ENOUGH, marketing=True),
    HolderRule(Reason.CONSENT_PENDING, consent.consent_pending, Sees.ENOUGH, marketing=True),
    HolderRule(Reason.CONSENT_CHANNEL_NOT_COVERED, consent.consent_channel_not_covered, Sees.ENOUGH, marketing=True),
    HolderRule(Reason.CONSENT_INVALID_FORM, consent.consent_invalid_form, Sees.ENOUGH, marketing=True),
    HolderRule(Reason.CONSENT_BUNDLED, consent.consent_bundled, Sees.ENOUGH, marketing=True),
    HolderRule(Reason.CONSENT_SCOPE_CHANGED, consent.consent_scope_changed, Sees.ENOUGH, marketing=True),
    HolderRule(Reason.CONSENT_EXPIRED, consent.consent_expired, Sees.ENOUGH, marketing=True),
    HolderRule(Reason.CONSENT_NO_EVIDENCE, consent.consent_no_evidence, Sees.ENOUGH, marketing=True),
    # the use of data
    SendRule(Reason.NO_LEGAL_BASIS, data_use.no_legal_basis),
    SendRule(Reason.BASIS_NOT_ALLOWED_FOR_MARKETING, data_use.basis_not_allowed_for_marketing, marketing=True),
    SendRule(Reason.FIELD_PURPOSE_MISMATCH, data_use.field_purpose_mismatch),
    SendRule(Reason.CCTV_PURPOSE, data_use.cctv_purpose),
    SendRule(Reason.SENSITIVE_NOT_NECESSARY, data_use.sensitive_not_necessary),
    HolderRule(
        Reason.SENSITIVE_NO_SEPARATE_CONSENT, consent.sensitive_no_separate_consent, Sees.ENOUGH, marketing=True
    ),
    # recipients
    HolderRule(
        Reason.THIRD_PARTY_NO_SEPARATE_CONSENT,
        consent.third_party_no_separate_consent,
        Sees.ENOUGH,
        marketing=True,
    ),
    SendRule(Reason.XB_NO_MECHANISM, recipients.xb_no_mechanism),
    HolderRule(Reason.XB_NO_SEPARATE_CONSENT, consent.xb_no_separate_consent, Sees.ENOUGH, marketing=True),
    SendRule(Reason.VENDOR_NO_DPA, recipients.vendor_no_dpa),
    SendRule(Reason.SUBPROCESSOR_NOT_APPROVED, recipients.subprocessor_not_approved),
    SendRule(Reason.VENDOR_SUPPRESSION_STALE, recipients.vendor_suppression_stale, marketing=True),
    # papers
    SendRule(Reason.PIA_MISSING, accountability.pia_missing),
    HolderRule(Reason.PERSONALISATION_OFF, person.personalisation_off, Sees.PRESENT, marketing=True),
    SendRule(Reason.ADM_NO_OPTION, accountability.adm_no_option, marketing=True),
    SendRule(Reason.PRICE_DISCRIMINATION_REVIEW, accountability.price_discrimination_review, marketing=True),
    SendRule(Reason.AGGREGATED_SENSITIVE, data_use.aggregated_sensitive),
    HolderRule(Reason.RETENTION_EXPIRED, person.retention_expired, Sees.OUT, marketing=True),
    SendRule(Reason.CAMPAIGN_NOT_APPROVED, accountability.campaign_not_approved),
    # content
    SendRule(Reason.CONTENT_NOT_REVIEWED, content.content_not_reviewed),
    SendRule(Reason.CONTENT_CHANGED, content.content_changed),
    SendRule(Reason.CONTENT_PROHIBITED, content.content_prohibited),
    SendRule(Reason.CONTENT_ABSOLUTE_TERM, content.content_absolute_term, marketing=True),
    SendRule(Reason.CONTENT_NEEDS_APPROVAL, content.content_needs_approval, marketing=True),
    SendRule(Reason.CONTENT_EVIDENCE_MISSING, content.content_evidence_missing, marketing=True),
    SendRule(Reason.NO_SENDER_ID, content.no_sender_id),
    SendRule(Reason.NO_OPTOUT, content.no_optout, marketing=True),
    SendRule(Reason.EMAIL_NO_AD_PREFIX, content.email_no_ad_prefix, marketing=True),
    SendRule(Reason.SENDER_SPOOF, content.sender_spoof, marketing=True),
    SendRule(Reason.POPUP_NO_CLOSE, content.popup_no_close, marketing=True),
    # channel and platform
    RowRule(Reason.WX_NO_SUBSCRIPTION, frequency.wx_no_subscription, marketing=True),
    RowRule(Reason.QUOTA_EXHAUSTED, frequency.quota_exhausted, marketing=True),
    SendRule(Reason.WX_TEMPLATE_NO_MARKETING, content.wx_template_no_marketing, marketing=True),
    SendRule(Reason.ROUTE_MISMATCH, accountability.route_mismatch, marketing=True),
    SendRule(Reason.CARRIER_CATEGORY, recipients.carrier_category, marketing=True),
    # timing
    RowRule(Reason.DECLARED_FREQUENCY_EXCEEDED, frequency.declared_frequency_exceeded, marketing=True),
    RowRule(Reason.REASK_TOO_SOON, refusal.reask_too_soon, marketing=True),
    RowRule(Reason.FREQUENCY_CAP, frequency.frequency_cap, marketing=True),
    SendRule(Reason.QUIET_HOURS, accountability.quiet_hours, marketing=True),
    SendRule(Reason.BULK_APPROVAL, accountability.bulk_approval),
)

SEND_RULES = tuple(rule for rule in RULES if isinstance(rule, SendRule))
HOLDER_RULES = tuple(rule for rule in RULES if isinstance(rule, HolderRule))
ROW_RULES = tuple(rule for rule in RULES if isinstance(rule, RowRule))
