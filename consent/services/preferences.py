"""What a person does on his own page: it is opened by a link, and it stops things. It never starts any."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import Max
from django.urls import reverse

from audit.actors import Actor
from audit.domain.ids import uuid7
from audit.errors import InvalidInputError
from audit.services.record import Event, ObjectRef, audit_record
from consent.domain.links import LIFETIME, SHORTEST_LIFETIME, token_digest, token_new
from consent.domain.records import Record
from consent.domain.terms import NO, Act, Bundle, Control, WxAction
from consent.errors import SubjectNotFoundError
from consent.models import ConsentRecord, DataSubject, Identifier, PreferenceLink, TemplateSubscription
from consent.selectors.register import LiveRegister, register_live
from consent.services.records import NewRecord, consent_withdraw, records_append


@transaction.atomic
def preference_link_create(*, subject_id: int, actor: Actor, at: datetime, lifetime: timedelta = LIFETIME) -> str:
    """Return the path of a new link to a person's own page. It is shown this once: only its hash is stored.

    Whoever has it can see and stop, as often as he likes, and nothing more. Source: 个人信息保护法 第十五条;
    互联网电子邮件服务管理办法 第十四条第二款 (30 days at least).

    Raises:
        SubjectNotFoundError: there is no such person.
    """
    if lifetime < SHORTEST_LIFETIME:
        raise ValueError(f"a link works for at least {SHORTEST_LIFETIME.days} days")
    ref = DataSubject.objects.filter(pk=subject_id).values_list("ref", flat=True).first()
    if ref is None:
        raise SubjectNotFoundError("Unknown person.")
    token = token_new()
    link = PreferenceLink.objects.create(
        subject_id=subject_id, token_sha256=token_digest(token), expires_at=at + lifetime
    )
    event = Event(
        "preference_link.created",
        subject=ref,
        object=ObjectRef("preference_link", str(link.id)),
        details={"scope": "withdraw"},
    )
    audit_record(actor=actor, event=event)
    return reverse("preferences:open", args=[token])


@transaction.atomic
def preference_stop(
    *,
    subject_id: int,
    purpose: str | None,
    channel: str | None,
    actor: Actor,
    at: datetime,
    separate: bool = False,
    field_group: str | None = None,
    recipient: str | None = None,
    request_id: str = "",
) -> str:
    """Stop what a person wants stopped and return the reference of the record; the next check denies.

    `purpose` and `channel` None mean all of them; `separate` names one separate consent (单独同意). Saying the
    same twice is one "no" with one record, as long as nothing was agreed to in between. Source: 个人信息保护法
    第十五条.

    Raises:
        InvalidInputError: a name that is not in the register; nothing was recorded.
        SubjectNotFoundError: there is no such person.
    """
    register = register_live()
    _require_known(register, purpose, channel, recipient)
    if not DataSubject.objects.select_for_update().filter(pk=subject_id).exists():
        raise SubjectNotFoundError("Unknown person.")
    said = _said_already(subject_id, register, purpose, channel, separate, field_group, recipient)
    if said:
        return said
    # A "no" is the last word: never dated before what is on record, should the clock of another host be ahead.
    latest = ConsentRecord.objects.filter(subject_id=subject_id).aggregate(at=Max("said_at"))["at"]
    at = max(at, latest or at)
    if not separate:
        return consent_withdraw(
            subject_id=subject_id, purpose=purpose, channel=channel, actor=actor, at=at, request_id=request_id
        )
    record = Record(
        ref=str(uuid7()),
        seq=0,
        at=at,
        act=Act.WITHDRAW,
        purpose=purpose,
        channel=None,
        separate=True,
        field_group=field_group,
        recipient=recipient,
        control=Control.BUTTON,
        bundle=Bundle.OWN,
    )
    records_append([NewRecord(subject_id, record)], register=register, actor=actor, at=at, request_id=request_id)
    return record.ref


def _require_known(register: LiveRegister, purpose: str | None, channel: str | None, recipient: str | None) -> None:
    """Refuse unknown names: the wide reading of a doubtful "no" is for words, not for forged forms."""
    named = ((purpose, register.rules.book.purposes), (channel, register.rules.channels))
    for name, known in (*named, (recipient, register.rules.recipients)):
        if name is not None and name not in known:
            raise InvalidInputError("Not in the register.")


def _said_already(
    subject_id: int,
    register: LiveRegister,
    purpose: str | None,
    channel: str | None,
    separate: bool,
    field_group: str | None,
    recipient: str | None,
) -> str | None:
    """Return the reference of the same "no" if it still is the person's last word, with no "yes" of any kind since."""
    governed = register.governed
    records = ConsentRecord.objects.filter(subject_id=subject_id)
    scope: dict[str, Any] = {
        "purpose_id": governed.purpose_keys[purpose] if purpose else None,
        "channel_id": governed.channel_keys[channel] if channel else None,
        "separate": separate,
        "field_group": field_group or "",
        "recipient_id": governed.recipient_keys[recipient] if recipient else None,
    }
    same = records.filter(act=Act.WITHDRAW, **scope).order_by("-id").first()
    if same is None or records.filter(id__gt=same.id).exclude(act__in=NO).exists():
        return None
    accepted_since = TemplateSubscription.objects.filter(
        lookup__any=list(Identifier.objects.filter(subject_id=subject_id).values_list("lookup", flat=True)),
        action=WxAction.ACCEPT,
        said_at__gt=same.said_at,
    )
    return None if accepted_since.exists() else str(same.ref)
