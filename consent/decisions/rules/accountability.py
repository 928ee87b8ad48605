"""Campaign rules about papers and people: assessment, approval, options, size, hours."""

from __future__ import annotations

from consent.decisions.facts import SendFacts
from consent.domain.terms import Severity
from governance.domain.calendar import SHANGHAI
from governance.domain.register import Assessment

DENY, HOLD, DEFER = Severity.DENY, Severity.HOLD, Severity.DEFER


def pia_missing(c: SendFacts) -> Severity | None:
    """PIPL-55-PIA, VENDOR-PIA, XB-PIA · PIPL 55, 56 · R1. Entrusting, automated decisions, sensitive data."""
    if c.recipient is None and not c.automated and not c.sensitive_groups:
        return None
    if c.plan.campaign is None:
        filed = list(c.register.assessments.values())
    else:
        filed = [a for a in [c.register.assessments.get(c.plan.assessment or "")] if a]
    return None if any(_covers(a, c) for a in filed) else DENY


def _covers(a: Assessment, c: SendFacts) -> bool:
    return (
        a.approved_at is not None
        and a.approved_at <= c.at
        and a.expires_on is not None
        and c.today <= a.expires_on
        and c.plan.purpose in a.purposes
        and (c.recipient is None or c.recipient.id in a.recipients)
        and (a.automated_decisions or not c.automated)
        and c.sensitive_groups <= a.sensitive_groups
        and (a.overseas or c.recipient is None or not c.recipient.abroad)
    )


def adm_no_option(c: SendFacts) -> Severity | None:
    """PIPL-24-OPTION · PIPL 24(2) · R1. A non-personal variant or an easy way to refuse."""
    offered = c.plan.generic_variant or c.plan.adm_refusal_link
    return HOLD if c.plan.campaign is not None and c.automated and not offered else None


def price_discrimination_review(c: SendFacts) -> Severity | None:
    """PIPL-24-PRICE · PIPL 24(1), AlgoReg 21 · R1. Prices made from behaviour or device need a second look."""
    fields = [c.register.fields.get(name) for name in c.plan.price_rule_fields]
    return HOLD if any(f and (f.behaviour or f.device) for f in fields) else None


def campaign_not_approved(c: SendFacts) -> Severity | None:
    """House rule: nothing goes out that nobody approved, or that differs from what was approved."""
    if c.plan.campaign is None:
        return HOLD if c.policy.campaign_required and c.marketing else None
    approved = c.plan.approved_at is not None and c.plan.approved_at <= c.at
    return HOLD if not approved or c.plan.deviates else None


def bulk_approval(c: SendFacts) -> Severity | None:
    """EXPORT-BULK · house policy after SPP-Crim 5. Large sends need a second approver."""
    thresholds = c.policy.bulk_thresholds
    classes = ["other", *(f.bulk_class for f in c.used if f.bulk_class)]
    limit = min((thresholds[name] for name in classes if name in thresholds), default=0)
    return HOLD if c.plan.recipient_count > limit and not c.plan.second_approver else None


def quiet_hours(c: SendFacts) -> Severity | None:
    """POL-QUIET · house policy: no statute fixes hours. [from, to), over midnight if from is later than to."""
    window = c.policy.quiet_windows.get(c.plan.channel)
    if window is None:
        return None
    opens, closes = window
    now = c.at.astimezone(SHANGHAI).time()
    open_now = opens <= now < closes if opens <= closes else now >= opens or now < closes
    return None if open_now else DEFER


def route_mismatch(c: SendFacts) -> Severity | None:
    """SMS-PORT-SEPARATION · practice, not law. Marketing goes over a marketing route."""
    sms = c.plan.campaign is not None and c.plan.channel == "sms"
    return HOLD if sms and c.plan.route != "marketing" else None
