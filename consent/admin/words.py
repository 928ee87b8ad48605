"""Stored words of consent and decisions as people read them. The values are in consent/domain/terms.py."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from audit.admin_base import Labels
from consent.domain.sends import SendFinding, SendStatus
from consent.domain.terms import (
    Act,
    Bundle,
    Control,
    Outcome,
    PointKind,
    SendKind,
    Severity,
    Sourcing,
    SuppressionKind,
    WxAction,
)
from consent.selectors.people import Stand

ACTS: Labels = {
    Act.GRANT.value: _("agreed"),
    Act.RENEW.value: _("renewed"),
    Act.CONFIRM.value: _("confirmed"),
    Act.DENY.value: _("refused"),
    Act.WITHDRAW.value: _("withdrew"),
}
CONTROLS: Labels = {
    Control.CHECKBOX.value: _("checkbox"),
    Control.TOGGLE.value: _("switch"),
    Control.BUTTON.value: _("button"),
    Control.SIGNATURE.value: _("signature"),
    Control.VOICE.value: _("voice"),
    Control.REPLY.value: _("reply"),
    Control.CONTINUE_TO_USE.value: _("by going on"),
}
BUNDLES: Labels = {
    Bundle.OWN.value: _("on its own"),
    Bundle.TERMS.value: _("as a clause of terms"),
    Bundle.ACCEPT_ALL.value: _("one button for several"),
}
POINTS: Labels = {
    PointKind.APP.value: _("app"),
    PointKind.MINI_PROGRAM.value: _("mini program"),
    PointKind.WEB.value: _("website"),
    PointKind.STORE.value: _("store"),
    PointKind.CALL_CENTER.value: _("call centre"),
    PointKind.SMS.value: _("SMS reply"),
    PointKind.IMPORT.value: _("migrated list"),
}
SOURCINGS: Labels = {
    Sourcing.LAWFUL.value: _("lawful"),
    Sourcing.UNPROVEN.value: _("unproven"),
    Sourcing.UNLAWFUL.value: _("unlawful"),
}
SENDS: Labels = {
    SendKind.MARKETING.value: _("marketing"),
    SendKind.SERVICE.value: _("service"),
    SendKind.SOLICITATION.value: _("request for consent"),
}
WX_ACTIONS: Labels = {
    WxAction.ACCEPT.value: _("accepted"),
    WxAction.REJECT.value: _("refused"),
    WxAction.BAN.value: _("refused for good"),
}
SUPPRESSIONS: Labels = {
    SuppressionKind.OPT_OUT.value: _("opt-out"),
    SuppressionKind.LISTED.value: _("our list"),
    SuppressionKind.CARRIER.value: _("carrier's blacklist"),
}
OUTCOMES: Labels = {
    Outcome.ALLOW.value: _("allow"),
    Outcome.ALLOW_WITH_OBLIGATIONS.value: _("allow with obligations"),
    Outcome.DEFER.value: _("defer"),
    Outcome.HOLD.value: _("hold"),
    Outcome.DENY.value: _("deny"),
}
OUTCOME_NUMBERS: Labels = {
    0: OUTCOMES["allow"],
    1: OUTCOMES["allow_with_obligations"],
    2: OUTCOMES["defer"],
    3: OUTCOMES["hold"],
    4: OUTCOMES["deny"],
}
SEVERITIES: Labels = {
    Severity.WARN.value: _("note"),
    Severity.STRIP.value: _("allow, less"),
    Severity.DEFER.value: _("defer"),
    Severity.HOLD.value: _("hold"),
    Severity.DENY.value: _("deny"),
}
KINDS: Labels = {
    "legal": _("law"),
    "policy": _("house policy"),
    "platform": _("platform rule"),
}
CONFIDENCES: Labels = {
    "R1": _("the text of the law was read"),
    "R2": _("from a secondary source"),
    "I": _("our reading"),
}
STATUSES: Labels = {
    "queued": _("queued"),
    "running": _("running"),
    "done": _("done"),
    "failed": _("failed"),
    "cancelled": _("cancelled"),
    "expired": _("expired"),
}
REVIEWS: Labels = {
    "pending": _("pending"),
    "approved": _("approved"),
    "rejected": _("rejected"),
}
STANDS: Labels = {
    Stand.GRANTED: _("agreed"),
    Stand.REFUSED: _("refused"),
    Stand.PENDING: _("not confirmed yet"),
    Stand.EXPIRED: _("expired"),
    Stand.DEFECTIVE: _("does not count"),
    Stand.STALE: _("notice changed, ask again"),
    Stand.NARROWER: _("only a narrower purpose"),
    Stand.OTHER_CHANNEL: _("other channel only"),
    Stand.NEVER: _("never asked"),
}
DEFECTS: Labels = {
    "bad_form": _("no clear act"),
    "bundled": _("bundled"),
    "no_evidence": _("no proof"),
}
OBLIGATIONS: Labels = {
    "APPEND_OPTOUT_TEXT": _("Append the opt-out text"),
    "SHOW_SENDER_SIGNATURE": _("Show the sender's signature"),
    "EMAIL_AD_PREFIX": _("Begin the subject with the advertising mark"),
    "SEND_WINDOW": _("Send within these hours"),
    "FREQUENCY_REMAINING": _("Messages left under the frequency cap"),
    "DROP_FIELDS": _("Leave out these fields"),
    "USE_GENERIC_VARIANT": _("Use the generic variant"),
    "REPORT_SEND": _("Report the send"),
}
REMEDIES: Labels = {
    "ASK_AGAIN": _("Asking for consent again is possible after the cooling-off period."),
    "ASK_FOR_CONSENT": _("Ask for consent, on its own and with the notice in force."),
    "AWAIT_CONFIRMATION": _("Wait until the person confirms."),
    "ASK_FOR_SEPARATE_CONSENT": _("Ask for the separate consent this use needs."),
    "SEND_LATER": _("Send later."),
}
FINDINGS: Labels = {
    SendFinding.NO_DECISION: _("no decision of ours"),
    SendFinding.DENIED: _("sent despite a no"),
    SendFinding.LATE: _("after the decision had expired"),
    SendFinding.WITHDRAWN: _("after a withdrawal"),
    SendFinding.OUTSIDE_WINDOW: _("outside the hours"),
    SendFinding.UNMET: _("a duty was not met"),
    SendFinding.UNREPORTED: _("a duty was not reported"),
    SendFinding.OTHER_VENDOR: _("by another vendor"),
    SendFinding.OTHER_CHANNEL: _("over another channel"),
    SendFinding.OTHER_CAMPAIGN: _("for another campaign"),
    SendFinding.OTHER_PERSON: _("to somebody else"),
    SendFinding.DOUBLE: _("sent twice"),
}
"""What is wrong with a send, in a few words."""
APOLOGIES: Labels = {
    SendFinding.NO_DECISION: _("it was sent without being checked with our records first"),
    SendFinding.DENIED: _("it was sent although the check said no"),
    SendFinding.LATE: _("it was sent too long after the check"),
    SendFinding.WITHDRAWN: _("it was sent although you had said no"),
    SendFinding.OTHER_CHANNEL: _("it was sent over a channel that was not checked"),
    SendFinding.OTHER_CAMPAIGN: _("it was sent for something that was not checked"),
    SendFinding.OTHER_PERSON: _("it was sent on a check of somebody else"),
}
"""The same in a letter to the person it was sent to."""
SEND_STATUSES: Labels = {
    SendStatus.DELIVERED.value: _("delivered"),
    SendStatus.FAILED.value: _("failed"),
}
REVEALS: Labels = {
    "complaint": _("A complaint is being handled"),
    "subject_request": _("The person asked for it"),
    "authority": _("An authority or court asked for it"),
    "dispute": _("The consent is disputed"),
    "inspection": _("Inspection of the evidence"),
}
PRIVATE: Labels = {
    "ip": _("address (IP)"),
    "user_agent": _("browser"),
    "attachment": _("attachment"),
}
