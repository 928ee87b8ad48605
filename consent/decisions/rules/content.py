"""Campaign rules about the message. Without a campaign there is no message, and nothing to find."""

from __future__ import annotations

import hashlib
import re
from datetime import timedelta

from consent.decisions.facts import Content, SendFacts
from consent.domain.terms import Severity

DENY, HOLD = Severity.DENY, Severity.HOLD
UNSUBSCRIBE_MUST_WORK_DAYS = 30  # EmailReg 14(2)

_AD_BRACKETS = re.compile(r"(?:\[(?:广告|AD)\]|【(?:广告|AD)】|\((?:广告|AD)\)|（(?:广告|AD)）)", re.IGNORECASE)


def content_digest(subject: str, body: str, landing_url: str) -> str:
    """Return the SHA-256 (hex) that a review approves: subject, body and landing page, one a line."""
    return hashlib.sha256(f"{subject}\n{body}\n{landing_url}".encode()).hexdigest()


def content_not_reviewed(c: SendFacts) -> Severity | None:
    """AdLaw 4, 34 · I. A person has read and approved it."""
    return HOLD if c.plan.content and c.plan.content.review_state != "approved" else None


def content_changed(c: SendFacts) -> Severity | None:
    """House rule: an approval is for these bytes and no others."""
    content = c.plan.content
    if content is None or content.review_state != "approved":
        return None
    return None if content.review_sha256 == content_digest(content.subject, content.body, content.landing_url) else HOLD


def content_prohibited(c: SendFacts) -> Severity | None:
    """AD-09-FLAG, AD-16-MED, AD-17-DISEASE · AdLaw 9, 15–20, 22, 37 · R1."""
    return DENY if any(word in c.text for word in c.house.prohibited_words) else None


def content_absolute_term(c: SendFacts) -> Severity | None:
    """AD-09-3-ABS, AD-ABS-EXCEPT · AdLaw 9(3) · R1. An absolute term without a proven exception."""
    content = c.plan.content
    if content is None:
        return None
    return HOLD if any(word in c.text and word not in content.exceptions for word in c.house.absolute_words) else None


def content_needs_approval(c: SendFacts) -> Severity | None:
    """AD-46-PREAPPROVAL · AdLaw 46 · R1."""
    content = c.plan.content
    needed = bool(c.plan.product_categories & c.house.needing_approval)
    return HOLD if content and needed and not content.approval_no else None


def content_evidence_missing(c: SendFacts) -> Severity | None:
    """AD-11-CITE, AD-28-FALSE · AdLaw 8, 11, 28 · R1. A claim without its proof."""
    return HOLD if c.plan.content and c.plan.content.unproven_claims else None


def no_sender_id(c: SendFacts) -> Severity | None:
    """MKT-43-SENDERID, SMS26-IDENTITY · AdLaw 43(2) · R1; NetTrade 16 · R2. Who writes, and how to answer."""
    content = c.plan.content
    if content is None:
        return None
    signatures = [s for brand in c.house.signatures.values() for s in brand]
    if c.plan.channel == "sms":
        signed = any(content.body.startswith(f"【{s}】") for s in signatures)
    elif c.marketing and c.plan.channel in ("email", "phone"):
        signed = content.sender_name in signatures and content.sender_name in content.body
    else:
        return None
    return None if signed and content.contact else HOLD


def no_optout(c: SendFacts) -> Severity | None:
    """MKT-43-OPTOUT, EML-14-CONTACT-30D · AdLaw 43(2), EmailReg 14(2) · R1; NetTrade 16 · R2."""
    content = c.plan.content
    if content is None or c.plan.channel not in ("sms", "email"):
        return None
    return None if _optout_works(content, c) else HOLD


def _optout_works(content: Content, c: SendFacts) -> bool:
    tested = content.optout_tested_at
    since = c.at - timedelta(days=c.policy.optout_route_test_days)
    if tested is None or not since <= tested <= c.at or content.optout_requires_login:
        return False
    if c.plan.channel == "email":
        until = content.optout_valid_until
        if until is None or until < c.today + timedelta(days=UNSUBSCRIBE_MUST_WORK_DAYS):
            return False
    return any(phrase in content.body for phrase in c.house.optout_phrases)


def email_no_ad_prefix(c: SendFacts) -> Severity | None:
    """EML-13-AD-PREFIX · EmailReg 13(3) · R1. "ADIDAS" is no mark of advertising."""
    content = c.plan.content
    return HOLD if content and c.plan.channel == "email" and not has_ad_prefix(content.subject) else None


def has_ad_prefix(subject: str) -> bool:
    """Tell whether a subject begins with 广告 or AD, bare or in brackets; AD must be a word of its own."""
    text = subject.strip()
    if text.startswith("广告") or _AD_BRACKETS.match(text):
        return True
    return text[:2].upper() == "AD" and not text[2:3].isalnum()


def sender_spoof(c: SendFacts) -> Severity | None:
    """EML-13-ENVELOPE · EmailReg 13(1) · R1. Only from a domain that is proved to be ours."""
    content = c.plan.content
    email = content is not None and c.plan.channel == "email"
    return HOLD if email and content and content.from_domain not in c.house.verified_domains else None


def popup_no_close(c: SendFacts) -> Severity | None:
    """POPUP-44-ONECLICK · AdLaw 44(2) · R1."""
    content = c.plan.content
    return HOLD if content and c.plan.channel == "popup" and not content.one_click_close else None


def wx_template_no_marketing(c: SendFacts) -> Severity | None:
    """WX-TEMPLATE · platform. Service-account template messages carry no marketing."""
    return DENY if c.plan.channel == "wx_template" else None
