"""From what a caller names to the plan that is judged. What differs from the approved campaign is a finding."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields, replace
from datetime import datetime
from functools import lru_cache

from consent.decisions.facts import Plan, Register
from governance.domain.terms import PurposeKind


@dataclass(frozen=True, slots=True)
class Asked:
    """What a check names. None: not said, so the campaign's own value counts."""

    purpose: str | None = None
    channel: str | None = None
    brand: str | None = None
    campaign: str | None = None
    fields: tuple[str, ...] | None = None
    recipient: str | None = None
    in_house: bool = False  # the caller says there is no recipient
    personalised: bool | None = None
    planned_at: datetime | None = None


@lru_cache(maxsize=1024)
def asked_text(asked: Asked) -> str:
    """Return what was said of a check as JSON, for keeping: what was not said is left out."""
    said = {field.name: value for field in fields(asked) if (value := getattr(asked, field.name)) not in (None, False)}
    if asked.personalised is False:
        said["personalised"] = False
    if asked.planned_at:
        said["planned_at"] = asked.planned_at.isoformat()
    return json.dumps(said, ensure_ascii=False, separators=(",", ":"))


def asked_read(text: str) -> Asked:
    """Return what `asked_text` kept."""
    said = json.loads(text or "{}")
    if "fields" in said:
        said["fields"] = tuple(said["fields"])
    if "planned_at" in said:
        said["planned_at"] = datetime.fromisoformat(said["planned_at"])
    return Asked(**said)


def plan_of(asked: Asked, register: Register, at: datetime) -> Plan:
    """Return the plan of a check. A campaign nobody registered gives a plan with `unknown_campaign`."""
    base = register.plans.get(asked.campaign) if asked.campaign else None
    if base is None:
        return _bare_plan(asked, register, at)
    asked_recipient = None if asked.in_house else asked.recipient or base.recipient
    plan = replace(
        base,
        purpose=base.purpose if asked.purpose is None else asked.purpose,
        channel=base.channel if asked.channel is None else asked.channel,
        brand=base.brand if asked.brand is None else asked.brand,
        fields=base.fields if asked.fields is None else asked.fields,
        recipient=asked_recipient,
        personalised=base.personalised if asked.personalised is None else asked.personalised,
        planned_at=asked.planned_at or base.planned_at,
    )
    return replace(plan, deviates=_deviates(plan, base))


def _bare_plan(asked: Asked, register: Register, at: datetime) -> Plan:
    purpose = register.book.purposes.get(asked.purpose or "")
    service = purpose is not None and purpose.kind is PurposeKind.SERVICE
    return Plan(
        campaign=asked.campaign,
        purpose=asked.purpose or "",
        channel=asked.channel or "",
        kind="service" if service else "marketing",
        planned_at=asked.planned_at or at,
        brand=asked.brand or "",
        personalised=bool(asked.personalised),
        fields=asked.fields or (),
        recipient=asked.recipient,
        unknown_campaign=asked.campaign is not None,
    )


def _deviates(plan: Plan, base: Plan) -> bool:
    """Tell whether a plan goes beyond what the campaign was approved for. Using less is no deviation."""
    same = (plan.purpose, plan.channel, plan.brand, plan.recipient) == (
        base.purpose,
        base.channel,
        base.brand,
        base.recipient,
    )
    more = not set(plan.fields) <= {*base.fields, *base.segment_fields} or (plan.personalised and not base.personalised)
    return not same or more
