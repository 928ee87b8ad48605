"""A campaign with everything it names, fetched from the database, and the findings on it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any

from consent.decisions.reasons import Reason
from consent.decisions.rules.content import has_ad_prefix
from consent.domain.terms import Severity
from consent.models import Campaign, Content
from governance.domain.calendar import SHANGHAI
from governance.domain.register import DEFAULT_POLICY
from governance.models import (
    Agreement,
    Brand,
    Channel,
    CrossBorderCount,
    DataField,
    ImpactAssessment,
    PolicyRevision,
    Purpose,
    Recipient,
    TransferMechanism,
    WordList,
)

DENY, HOLD, DEFER, WARN = Severity.DENY, Severity.HOLD, Severity.DEFER, Severity.WARN
CLAUSES = ("purpose", "method", "categories", "measures", "duties", "assistance")

Findings = dict[Reason, Severity]


def add(findings: Findings, code: Reason, severity: Severity) -> None:
    if code not in findings or severity.rank > findings[code].rank:
        findings[code] = severity


@dataclass
class Send:
    campaign: Campaign
    content: Content
    purpose: Purpose
    channel: Channel
    fields: list[DataField]
    recipient: Recipient | None
    policy: dict[str, Any]
    words: dict[str, list[str]]
    signatures: list[str]
    at: datetime
    today: date
    marketing: bool
    automated: bool
    sensitive: list[DataField]

    @property
    def overseas(self) -> bool:
        return self.recipient is not None and self.recipient.country != "CN"

    @property
    def one_time(self) -> bool:
        return self.channel.code == "wx_sub"


def send_load(code: str, at: datetime, findings: Findings) -> Send | None:
    """Fetch the campaign. None if it cannot be judged; then `findings` says why."""
    campaign = Campaign.objects.select_related("content").filter(code=code).first()
    if campaign is None:
        add(findings, Reason.POLICY_GAP, DENY)
        return None
    content = campaign.content
    if not campaign.purpose or not campaign.channel or content is None or campaign.kind not in ("marketing", "service"):
        add(findings, Reason.E_INPUT, DENY)
        return None
    try:
        purpose = Purpose.objects.get(code=campaign.purpose)
        channel = Channel.objects.get(code=campaign.channel)
    except (Purpose.DoesNotExist, Channel.DoesNotExist):
        add(findings, Reason.POLICY_GAP, DENY)
        return None
    names = {*campaign.fields, *campaign.segment_fields}
    fields = list(DataField.objects.filter(code__in=names).prefetch_related("allowed_purposes"))
    recipient = None
    if campaign.recipient:
        recipient = Recipient.objects.select_related("agreement", "mechanism").filter(code=campaign.recipient).first()
    if len(fields) < len(names) or (campaign.recipient and recipient is None):
        add(findings, Reason.POLICY_GAP, DENY)
    words = {row.kind: row.words for row in WordList.objects.all()}
    text = f"{content.subject}\n{content.body}"
    return Send(
        campaign=campaign,
        content=content,
        purpose=purpose,
        channel=channel,
        fields=fields,
        recipient=recipient,
        policy=DEFAULT_POLICY | PolicyRevision.objects.get(state="published").values,
        words=words,
        signatures=[signature for brand in Brand.objects.all() for signature in brand.signatures],
        at=at,
        today=at.astimezone(SHANGHAI).date(),
        marketing=campaign.kind == "marketing"
        or purpose.kind == "marketing"
        or any(word in text for word in words.get("promotion", [])),
        automated=campaign.personalised or any(field.behaviour for field in fields),
        sensitive=[field for field in fields if field.sensitive],
    )


def judge_send(send: Send, findings: Findings) -> None:
    """Add what is wrong with the campaign itself."""
    _data_use(send, findings)
    if send.recipient:
        _recipient(send, send.recipient, findings)
    _papers(send, findings)
    _content(send, findings)
    _timing(send, findings)


def _data_use(send: Send, findings: Findings) -> None:
    purpose, campaign = send.purpose, send.campaign
    if not purpose.legal_basis:
        add(findings, Reason.NO_LEGAL_BASIS, DENY)
    elif send.marketing and purpose.legal_basis not in ("consent", "request"):
        add(findings, Reason.BASIS_NOT_ALLOWED_FOR_MARKETING, DENY)
    for field in send.fields:
        allowed = [p.code for p in field.allowed_purposes.all()]
        if purpose.code not in allowed:
            add(findings, Reason.FIELD_PURPOSE_MISMATCH, DENY)
            if field.sensitive:
                add(findings, Reason.SENSITIVE_NOT_NECESSARY, DENY)
        if field.source == "CCTV":
            add(findings, Reason.CCTV_PURPOSE, DENY)
    if send.recipient and send.recipient.allowed_fields is not None:
        needed = set(campaign.fields) & set(campaign.required_fields)
        if needed - set(send.recipient.allowed_fields):
            add(findings, Reason.FIELD_PURPOSE_MISMATCH, DENY)
    if len({field.aggregate for field in send.fields if field.aggregate}) >= 3:
        add(findings, Reason.AGGREGATED_SENSITIVE, HOLD)


def _recipient(send: Send, recipient: Recipient, findings: Findings) -> None:
    if send.overseas and not _mechanism_in_place(send, recipient):
        add(findings, Reason.XB_NO_MECHANISM, DENY)
    try:
        agreement = recipient.agreement
    except Agreement.DoesNotExist:
        agreement = None
    if agreement is None or not _within(send.today, agreement.valid_from, agreement.valid_to):
        add(findings, Reason.VENDOR_NO_DPA, DENY)
    elif not all(getattr(agreement, clause) for clause in CLAUSES):
        add(findings, Reason.VENDOR_NO_DPA, HOLD)
    if recipient.subprocessors.filter(approved=False).exists():
        add(findings, Reason.SUBPROCESSOR_NOT_APPROVED, DENY)
    if send.marketing:
        synced = send.campaign.suppression_synced_at
        if synced is None or send.at - synced > timedelta(hours=send.policy["suppression_max_age_hours"]):
            add(findings, Reason.VENDOR_SUPPRESSION_STALE, DENY)
        if set(recipient.restricted_categories) & set(send.campaign.product_categories):
            add(findings, Reason.CARRIER_CATEGORY, WARN)


def _mechanism_in_place(send: Send, recipient: Recipient) -> bool:
    count = CrossBorderCount.objects.filter(year=send.today.year).first()
    ordinary, sensitive = (count.ordinary, count.sensitive) if count else (0, 0)
    if send.sensitive:
        sensitive = max(sensitive, 1)
    if ordinary < 100_000 and sensitive == 0:
        return True
    try:
        mechanism = recipient.mechanism
    except TransferMechanism.DoesNotExist:
        return False
    if not _within(send.today, mechanism.valid_from, mechanism.valid_to):
        return False
    if ordinary >= 1_000_000 or sensitive >= 10_000:
        return mechanism.kind == "assessment"
    return mechanism.kind in ("assessment", "scc", "cert")


def _within(day: date, first: date | None, last: date | None) -> bool:
    return first is not None and last is not None and first <= day <= last


def _papers(send: Send, findings: Findings) -> None:
    campaign = send.campaign
    if (send.recipient or send.automated or send.sensitive) and not _assessed(send):
        add(findings, Reason.PIA_MISSING, DENY)
    if send.marketing and send.automated and not campaign.generic_variant and not campaign.adm_refusal_link:
        add(findings, Reason.ADM_NO_OPTION, HOLD)
    if send.marketing and campaign.price_rule_fields:
        for field in DataField.objects.filter(code__in=campaign.price_rule_fields):
            if field.behaviour or field.device:
                add(findings, Reason.PRICE_DISCRIMINATION_REVIEW, HOLD)
    if campaign.approved_at is None or campaign.approved_at > send.at:
        add(findings, Reason.CAMPAIGN_NOT_APPROVED, HOLD)
    if send.marketing and send.channel.code == "sms" and campaign.route != "marketing":
        add(findings, Reason.ROUTE_MISMATCH, HOLD)
    if send.marketing and send.channel.code == "wx_template":
        add(findings, Reason.WX_TEMPLATE_NO_MARKETING, DENY)
    thresholds = send.policy["bulk_thresholds"]
    classes = ["other", *(field.bulk_class for field in send.fields)]
    limit = min((thresholds[name] for name in classes if name in thresholds), default=0)
    if campaign.recipient_count > limit and not campaign.second_approver:
        add(findings, Reason.BULK_APPROVAL, HOLD)


def _assessed(send: Send) -> bool:
    assessment = ImpactAssessment.objects.filter(code=send.campaign.assessment).first()
    if assessment is None or assessment.approved_at is None or assessment.approved_at > send.at:
        return False
    if assessment.expires_on is None or assessment.expires_on < send.today:
        return False
    if not assessment.purposes.filter(pk=send.purpose.pk).exists():
        return False
    if send.recipient and not assessment.recipients.filter(pk=send.recipient.pk).exists():
        return False
    groups = {field.group or field.code for field in send.sensitive}
    return (
        (assessment.automated_decisions or not send.automated)
        and groups <= set(assessment.sensitive_groups)
        and (assessment.overseas or not send.overseas)
    )


def _content(send: Send, findings: Findings) -> None:
    content, words = send.content, send.words
    text = f"{content.subject}\n{content.body}"
    if content.review_state != "approved":
        add(findings, Reason.CONTENT_NOT_REVIEWED, HOLD)
    else:
        reviewed = f"{content.subject}\n{content.body}\n{content.landing_url}"
        if hashlib.sha256(reviewed.encode()).hexdigest() != content.review_sha256:
            add(findings, Reason.CONTENT_CHANGED, HOLD)
    if any(word in text for word in words.get("prohibited", [])):
        add(findings, Reason.CONTENT_PROHIBITED, DENY)
    channel = send.channel.code
    if channel == "sms":
        signed = any(content.body.startswith(f"【{signature}】") for signature in send.signatures)
        if not signed or not content.contact:
            add(findings, Reason.NO_SENDER_ID, HOLD)
    if not send.marketing:
        return
    excepted = [e["term"] for e in content.exceptions if e.get("proof")]
    if any(word in text and word not in excepted for word in words.get("absolute", [])):
        add(findings, Reason.CONTENT_ABSOLUTE_TERM, HOLD)
    if set(send.campaign.product_categories) & set(words.get("needing_approval", [])) and not content.approval_no:
        add(findings, Reason.CONTENT_NEEDS_APPROVAL, HOLD)
    if any(not claim.get("proof") for claim in content.claims):
        add(findings, Reason.CONTENT_EVIDENCE_MISSING, HOLD)
    if channel in ("email", "phone"):
        signed = content.sender_name in send.signatures and content.sender_name in content.body
        if not signed or not content.contact:
            add(findings, Reason.NO_SENDER_ID, HOLD)
    if channel in ("sms", "email") and not _optout_works(send):
        add(findings, Reason.NO_OPTOUT, HOLD)
    if channel == "email":
        if not has_ad_prefix(content.subject):
            add(findings, Reason.EMAIL_NO_AD_PREFIX, HOLD)
        if content.from_domain not in words.get("email_domain", []):
            add(findings, Reason.SENDER_SPOOF, HOLD)
    if channel == "popup" and not content.one_click_close:
        add(findings, Reason.POPUP_NO_CLOSE, HOLD)


def _optout_works(send: Send) -> bool:
    content = send.content
    tested = content.optout_tested_at
    since = send.at - timedelta(days=send.policy["optout_route_test_days"])
    if tested is None or not since <= tested <= send.at or content.optout_requires_login:
        return False
    if send.channel.code == "email":
        until = content.optout_valid_until
        if until is None or until < send.today + timedelta(days=30):
            return False
    return any(phrase in content.body for phrase in send.words.get("optout_phrase", []))


def _timing(send: Send, findings: Findings) -> None:
    window = send.policy["quiet_windows"].get(send.channel.code)
    if not send.marketing or not window:
        return
    opens, closes = (time.fromisoformat(text) for text in window)
    now = send.at.astimezone(SHANGHAI).time()
    is_open = opens <= now < closes if opens <= closes else now >= opens or now < closes
    if not is_open:
        add(findings, Reason.QUIET_HOURS, DEFER)
