"""The register's stored words as people read them. The stored values are in governance/domain/terms.py."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from audit.admin_base import Labels
from governance.domain.identifiers import IdentifierType
from governance.domain.terms import LegalBasis, MechanismKind, PolicyState, PurposeKind, RecipientRole, WordListKind

PURPOSE_KINDS: Labels = {
    PurposeKind.MARKETING.value: _("marketing"),
    PurposeKind.SERVICE.value: _("service"),
    PurposeKind.SEPARATE.value: _("separate consent"),
}
LEGAL_BASES: Labels = {
    LegalBasis.CONSENT.value: _("consent"),
    LegalBasis.REQUEST.value: _("request of the consumer"),
    LegalBasis.CONTRACT.value: _("contract"),
    LegalBasis.LEGAL_DUTY.value: _("legal duty"),
    LegalBasis.EMERGENCY.value: _("emergency"),
    LegalBasis.NEWS.value: _("news reporting"),
    LegalBasis.PUBLIC_DATA.value: _("data made public"),
    LegalBasis.OTHER_LAW.value: _("another law"),
}
ROLES: Labels = {
    RecipientRole.ENTRUSTED.value: _("entrusted party"),
    RecipientRole.INDEPENDENT.value: _("independent recipient"),
    RecipientRole.JOINT.value: _("joint controller"),
}
MECHANISMS: Labels = {
    MechanismKind.ASSESSMENT.value: _("security assessment"),
    MechanismKind.SCC.value: _("standard contract"),
    MechanismKind.CERT.value: _("certification"),
}
WORD_LISTS: Labels = {
    WordListKind.PROMOTION.value: _("words that make a message marketing"),
    WordListKind.PROHIBITED.value: _("prohibited words"),
    WordListKind.ABSOLUTE.value: _("absolute terms"),
    WordListKind.OPTOUT_PHRASE.value: _("opt-out phrases"),
    WordListKind.EMAIL_DOMAIN.value: _("verified sender domains"),
    WordListKind.BARRED_FOR_MINORS.value: _("product categories barred for minors"),
    WordListKind.NEEDING_APPROVAL.value: _("product categories that need an approval number"),
}
POLICY_STATES: Labels = {
    PolicyState.DRAFT.value: _("draft"),
    PolicyState.PUBLISHED.value: _("in force"),
    PolicyState.RETIRED.value: _("retired"),
}
IDENTIFIERS: Labels = {
    IdentifierType.PHONE.value: _("phone"),
    IdentifierType.EMAIL.value: _("e-mail"),
    IdentifierType.MEMBER_ID.value: _("member id"),
    IdentifierType.WECHAT_OPENID.value: _("WeChat openid"),
    IdentifierType.WECHAT_UNIONID.value: _("WeChat unionid"),
    IdentifierType.DEVICE.value: _("device"),
}
TIERS: Labels = {
    "T1": _("T1 general"),
    "T2": _("T2 raised"),
    "T3": _("T3 sensitive"),
}
POLICY_VALUES: Labels = {
    "quiet_windows": _("hours in which may be sent, by channel"),
    "frequency_cap": _("most messages to one person, by channel"),
    "reask_cooldown_days": _("days before a person who refused may be asked again"),
    "retention_inactive_months": _("months without activity after which a person is no longer contacted"),
    "double_opt_in_days": _("days in which a consent must be confirmed"),
    "optout_route_test_days": _("days for which a test of the opt-out route counts"),
    "suppression_max_age_hours": _("hours after which a recipient's opt-out list is out of date"),
    "bulk_thresholds": _("recipients from which a second approver is needed, by class of data"),
    "campaign_required": _("only registered campaigns may be checked"),
}
