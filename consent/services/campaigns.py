"""Campaigns and their messages: changed, approved, reviewed. An approval is for what was approved, and nothing else."""

from __future__ import annotations

from datetime import datetime

from django.db import transaction

from audit.actors import Actor
from consent.decisions.rules.content import content_digest
from consent.errors import ApprovalRefusedError, CampaignNotFoundError, ContentChangedError, ContentNotFoundError
from consent.models import Campaign, Content
from governance.services.register import register_save

_NOT_APPROVED_WITH_IT = frozenset(
    {"id", "code", "name", "audience", "suppression_synced_at", "approved_at", "approved_by", "second_approver"}
)
"""What may change without a new approval: names, and what only tells of the day-to-day running."""


@transaction.atomic
def campaign_save(row: Campaign, *, actor: Actor, at: datetime) -> bool:
    """Save a campaign. Returns True if that ended its approval, because what was approved has changed."""
    before = None if row._state.adding else Campaign.objects.select_for_update().filter(pk=row.pk).first()
    ended = bool(before and before.approved_at and _terms(before) != _terms(row))
    if ended:
        row.approved_at, row.approved_by, row.second_approver = None, "", ""
    register_save(row, code=row.code, actor=actor, at=at)
    return ended


def _terms(row: Campaign) -> list[object]:
    return [
        getattr(row, field.attname) for field in row._meta.concrete_fields if field.name not in _NOT_APPROVED_WITH_IT
    ]


@transaction.atomic
def campaign_approve(*, campaign: str, name: str, actor: Actor, at: datetime) -> Campaign:
    """Approve a campaign as it stands; a second person's approval is noted beside the first.

    `name`: who approves, as it is shown.

    Raises:
        CampaignNotFoundError.
        ApprovalRefusedError: the same person twice, or there are two approvals already.
    """
    row = Campaign.objects.select_for_update().filter(code=campaign).first()
    if row is None:
        raise CampaignNotFoundError("Unknown campaign.", campaign=campaign)
    if row.approved_at is None:
        row.approved_at, row.approved_by = at, name
    elif row.second_approver:
        raise ApprovalRefusedError("Approved by two persons already.", campaign=campaign)
    elif row.approved_by == name:
        raise ApprovalRefusedError("The second approver must be another person.", campaign=campaign)
    else:
        row.second_approver = name
    register_save(row, code=row.code, action="approved", actor=actor, at=at)
    return row


@transaction.atomic
def content_review(*, content: str, digest: str, approve: bool, name: str, actor: Actor, at: datetime) -> Content:
    """Approve or reject the text of a message. `digest`: of the text the reviewer has read.

    Raises:
        ContentNotFoundError.
        ContentChangedError: the text is not the one that was read.
    """
    row = Content.objects.select_for_update().filter(code=content).first()
    if row is None:
        raise ContentNotFoundError("Unknown content.", content=content)
    if content_digest(row.subject, row.body, row.landing_url) != digest:
        raise ContentChangedError("The text has changed since it was read.", content=content)
    row.review_state = "approved" if approve else "rejected"
    row.reviewer, row.review_sha256 = name, digest if approve else ""
    register_save(row, code=row.code, action=row.review_state, actor=actor, at=at)
    return row
