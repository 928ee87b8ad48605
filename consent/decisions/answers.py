"""What a caller is told: reasons in words, duties of an allowed send, and what would help a denied one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from consent.decisions.engine import SendJudgement, Verdict
from consent.decisions.facts import Plan, Register
from consent.decisions.reasons import REASONS, Reason
from governance.domain.calendar import day_of

ENGLISH = "en"


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a decision on one person rests on, as far as it is known. References and times, no personal data."""

    grant: str | None = None
    granted_at: datetime | None = None
    notice: str | None = None
    point: str | None = None
    refusal: str | None = None
    refused_at: datetime | None = None
    sent_in_window: int = 0


_AFTER_REFUSAL = (Reason.CONSENT_WITHDRAWN,)
_ABOUT_GRANT = (
    Reason.ALLOW,
    Reason.CONSENT_PENDING,
    Reason.CONSENT_INVALID_FORM,
    Reason.CONSENT_BUNDLED,
    Reason.CONSENT_SCOPE_CHANGED,
    Reason.CONSENT_EXPIRED,
    Reason.CONSENT_NO_EVIDENCE,
)
_DETAIL = {
    Reason.CONSENT_WITHDRAWN: (
        "个人已于 {refused:%Y-%m-%d} 拒绝或撤回同意",
        "Refused or withdrawn on {refused:%Y-%m-%d}",
    ),
    Reason.CONSENT_EXPIRED: (
        "{granted:%Y-%m-%d} 的同意期限已届满",
        "The period of the consent of {granted:%Y-%m-%d} is over",
    ),
}


def message(reason: Reason, language: str, evidence: Evidence | None = None) -> str:
    """Return a reason in words; with its date where that is known."""
    place = 1 if language == ENGLISH else 0
    if evidence and reason in _DETAIL:
        known = {
            "refused": day_of(evidence.refused_at) if evidence.refused_at else None,
            "granted": day_of(evidence.granted_at) if evidence.granted_at else None,
        }
        needed = "refused" if "{refused" in _DETAIL[reason][0] else "granted"
        if known[needed]:
            return _DETAIL[reason][place].format(**known)
    info = REASONS[reason]
    return info.en if language == ENGLISH else info.zh


def reasons(verdict: Verdict, language: str, evidence: Evidence | None = None) -> list[dict[str, object]]:
    """Return every reason as the API shows it, the primary one marked."""
    shown = []
    for code in verdict.codes:
        info = REASONS[code]
        legal = info.kind == "legal"
        entry: dict[str, object] = {
            "code": code.name,
            "primary": code is verdict.primary,
            "kind": info.kind,
            "law": [law.ref for law in info.law] if legal else [],
            "sources": [{"ref": law.ref, "confidence": law.confidence} for law in info.law] if legal else [],
            "message": message(code, language, evidence),
        }
        if evidence and (found := _evidence(code, evidence)):
            entry["evidence"] = found
        shown.append(entry)
    return shown


def _evidence(code: Reason, evidence: Evidence) -> dict[str, object]:
    if code in _AFTER_REFUSAL and evidence.refusal:
        return {"event": evidence.refusal, "said_at": _time(evidence.refused_at)}
    if code in _ABOUT_GRANT and evidence.grant:
        found = {
            "event": evidence.grant,
            "notice": evidence.notice,
            "granted_at": _time(evidence.granted_at),
            "point": evidence.point,
        }
        return {key: value for key, value in found.items() if value is not None}
    return {}


def _time(at: datetime | None) -> str | None:
    return at.isoformat() if at else None


def obligations(
    plan: Plan, judgement: SendJudgement, verdict: Verdict, register: Register, evidence: Evidence | None = None
) -> list[dict[str, object]]:
    """Return the duties of an allowed send, each with its value. A denied one has none."""
    if not verdict.outcome.may_send or not judgement.marketing:
        return []
    policy, house = register.policy, register.house
    duties: list[tuple[str, object]] = []
    if plan.channel in ("sms", "email"):
        phrase = _phrase(plan, house.optout_phrases)
        duties.append(("APPEND_OPTOUT_TEXT", phrase))
    if plan.channel in ("sms", "email", "phone"):
        signatures = house.signatures.get(plan.brand) or next(iter(house.signatures.values()), ())
        duties.append(("SHOW_SENDER_SIGNATURE", f"【{signatures[0]}】" if signatures else ""))
    if plan.channel == "email":
        duties.append(("EMAIL_AD_PREFIX", "【广告】"))
    if window := policy.quiet_windows.get(plan.channel):
        opens, closes = window
        duties.append(("SEND_WINDOW", {"from": f"{opens:%H:%M}", "to": f"{closes:%H:%M}", "tz": "Asia/Shanghai"}))
    if cap := policy.frequency_cap.get(plan.channel):
        used = evidence.sent_in_window if evidence else 0
        duties.append(("FREQUENCY_REMAINING", {"max": cap[0], "days": cap[1], "remaining": max(cap[0] - used, 0)}))
    if dropped := _dropped(plan, judgement, verdict, register):
        duties.append(("DROP_FIELDS", dropped))
    if Reason.PERSONALISATION_OFF in verdict.codes:
        duties.append(("USE_GENERIC_VARIANT", True))
    duties.append(("REPORT_SEND", True))
    return [{"code": code, "value": value} for code, value in duties]


def _phrase(plan: Plan, phrases: Iterable[str]) -> str:
    body = plan.content.body if plan.content else ""
    known = list(phrases)
    return next((phrase for phrase in known if phrase in body), known[0] if known else "")


def _dropped(plan: Plan, judgement: SendJudgement, verdict: Verdict, register: Register) -> list[str]:
    """Fields the recipient may not have, and sensitive ones without their separate consent."""
    dropped: list[str] = []
    if judgement.requirement and Reason.SENSITIVE_NO_SEPARATE_CONSENT in verdict.codes:
        dropped += [name for names in judgement.requirement.strip_consents.values() for name in names]
    recipient = register.recipients.get(plan.recipient or "")
    if recipient and recipient.allowed_fields is not None:
        dropped += [name for name in plan.fields if name not in recipient.allowed_fields]
    return list(dict.fromkeys(dropped))


_ASK = (
    Reason.NO_CONSENT,
    Reason.CONSENT_CHANNEL_NOT_COVERED,
    Reason.CONSENT_INVALID_FORM,
    Reason.CONSENT_BUNDLED,
    Reason.CONSENT_SCOPE_CHANGED,
    Reason.CONSENT_EXPIRED,
    Reason.CONSENT_NO_EVIDENCE,
)
_SEPARATE = (
    Reason.SENSITIVE_NO_SEPARATE_CONSENT,
    Reason.THIRD_PARTY_NO_SEPARATE_CONSENT,
    Reason.XB_NO_SEPARATE_CONSENT,
)


def remedies(verdict: Verdict, register: Register, evidence: Evidence | None = None) -> list[dict[str, object]]:
    """Return what could change a denial. There is no override; after a "no" asking again has to wait."""
    if verdict.outcome.may_send:
        return []
    found: list[dict[str, object]] = []
    codes = set(verdict.codes)
    if Reason.CONSENT_WITHDRAWN in codes:
        entry: dict[str, object] = {"code": "ASK_AGAIN"}
        if evidence and evidence.refused_at:
            wait = timedelta(days=register.policy.reask_cooldown_days)
            entry["not_before"] = (day_of(evidence.refused_at) + wait).isoformat()
        found.append(entry)
    elif codes & set(_ASK):
        found.append({"code": "ASK_FOR_CONSENT"})
    if Reason.CONSENT_PENDING in codes:
        found.append({"code": "AWAIT_CONFIRMATION"})
    if codes & set(_SEPARATE):
        found.append({"code": "ASK_FOR_SEPARATE_CONSENT"})
    if codes & {Reason.QUIET_HOURS, Reason.FREQUENCY_CAP}:
        found.append({"code": "SEND_LATER"})
    return found
