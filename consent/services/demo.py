"""What the demo needs beside the retailer's files: one campaign of today, and people to ask about."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction

from audit.actors import Actor
from audit.services.record import Event, ObjectRef, audit_record
from consent.decisions.engine import judge_send
from consent.decisions.history import Contact
from consent.decisions.reasons import Reason
from consent.errors import CampaignNotFoundError
from consent.models import Campaign, Content, Identifier
from consent.screening.set_based import SetBasedBackend
from consent.selectors.profiles import identifiers_open
from consent.selectors.register import register_live
from governance.domain.identifiers import IdentifierType

LIVE = "demo-live"
_SAMPLE = 500


@dataclass(frozen=True, slots=True)
class DemoPeople:
    """Somebody who may be written to, somebody who withdrew; invented, or they would not be shown."""

    allowed: str
    subject_id: int
    refused: str | None


@transaction.atomic
def demo_campaign_prepare(*, actor: Actor, at: datetime) -> str:
    """Copy an approved e-mail campaign as one of this very moment, with papers that are fresh, and return its code.

    E-mail because house policy has no quiet hours for it: the demo answers the same at night.
    """
    source = Campaign.objects.filter(channel="email", kind="marketing", approved_at__lte=at).exclude(code=LIVE)
    recipients = register_live().rules.recipients
    for campaign in sorted(
        source, key=lambda c: (c.recipient not in recipients or recipients[c.recipient].abroad, c.code)
    ):
        content = campaign.content
        if content is None or content.review_state != "approved":
            continue
        live_content = Content.objects.filter(code=LIVE).first() or Content(code=LIVE)
        _copy(content, live_content)
        live_content.optout_tested_at, live_content.optout_valid_until = at, (at + timedelta(days=400)).date()
        live_content.save()
        live = Campaign.objects.filter(code=LIVE).first() or Campaign(code=LIVE)
        _copy(campaign, live)
        live.content, live.planned_at, live.suppression_synced_at, live.audience = live_content, at, at, {}
        live.name = f"{campaign.name}（演示）"
        live.save()
        if not judge_send(register_live().rules.plans[LIVE], register=register_live().rules, at=at).findings:
            event = Event(
                "register.changed", object=ObjectRef("campaign", LIVE), details={"code": LIVE, "action": "demo"}
            )
            audit_record(actor=actor, event=event)
            return LIVE
    raise CampaignNotFoundError("The folder has no approved e-mail campaign to show a check with.")


def _copy(source: Campaign | Content, target: Campaign | Content) -> None:
    for field in source._meta.concrete_fields:
        if field.attname not in ("id", "code"):
            setattr(target, field.attname, getattr(source, field.attname))


def demo_people(campaign: str) -> DemoPeople:
    """Return people of the loaded retailer for the demo: one who is allowed, one who withdrew."""
    register = register_live()
    plan = register.rules.plans[campaign]
    judgement = judge_send(plan, register=register.rules, at=plan.planned_at or datetime.now().astimezone())
    rows = list(
        Identifier.objects.filter(type=IdentifierType.EMAIL, subject__is_guest=False)
        .select_related("subject")
        .order_by("id")[:_SAMPLE]
    )
    contacts = [Contact(IdentifierType.EMAIL, bytes(row.lookup)) for row in rows]
    verdicts = SetBasedBackend(register).screen(contacts, judgement)
    allowed = next((row for row, v in zip(rows, verdicts, strict=True) if v.outcome.may_send), None)
    refused = next((row for row, v in zip(rows, verdicts, strict=True) if v.primary is Reason.CONSENT_WITHDRAWN), None)
    if allowed is None:
        raise CampaignNotFoundError("Nobody of this retailer may be written to; there is no check to show.")
    values = identifiers_open([row for row in (allowed, refused) if row])
    return DemoPeople(values[allowed.id], allowed.subject_id, values[refused.id] if refused else None)
