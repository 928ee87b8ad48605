"""Changing what is registered. One service for every register: the rows, their parts and the trace, or nothing."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from datetime import date, datetime

from django.db import models, transaction
from django.db.models import CASCADE, Max, Model

from audit.actors import Actor
from audit.domain.canonical import canonical_json
from audit.services.record import Event, ObjectRef, audit_record
from governance.domain.register import PolicyError, policy_from
from governance.domain.terms import PolicyState
from governance.errors import PolicyInvalidError
from governance.models import PolicyRevision


@transaction.atomic
def register_save(
    row: Model,
    *,
    code: str,
    actor: Actor,
    at: datetime,
    sets: Mapping[str, Collection[Model]] | None = None,
    parts: Sequence[Model] = (),
    removed: Sequence[Model] = (),
    action: str = "",
) -> None:
    """Save a registered row with its parts and note who did it.

    `sets`: many-to-many name → its members. `parts`: rows that belong to it, changed or new; `removed`: those that
    go. The entry holds the SHA-256 of the canonical values as they are afterwards, never the values.
    """
    done = action or ("created" if row._state.adding else "changed")
    row.save()
    for name, members in (sets or {}).items():
        getattr(row, name).set(members)
    for part in removed:
        part.delete()
    for part in parts:
        part.save()
    kind = row._meta.model_name or ""
    details: dict[str, object] = {"kind": kind, "code": code, "action": done, "sha256": register_digest(row)}
    event = Event("register.changed", object=ObjectRef(kind, code), details=details)
    audit_record(actor=actor, event=event)


def register_digest(row: Model) -> str:
    """Return the SHA-256 (hex) of a row's canonical values, its parts and the codes it names included."""
    return hashlib.sha256(canonical_json(_values(row))).hexdigest()


def _values(row: Model) -> dict[str, object]:
    stored = type(row)._base_manager.get(pk=row.pk)
    values: dict[str, object] = {}
    for field in stored._meta.concrete_fields:
        if not field.primary_key:
            values[field.attname] = _plain(field, getattr(stored, field.attname))
    for many in stored._meta.many_to_many:
        values[many.name] = sorted(
            str(getattr(member, "code", member.pk)) for member in getattr(stored, many.name).all()
        )
    for relation in stored._meta.related_objects:
        if relation.hidden or relation.many_to_many or relation.on_delete is not CASCADE:
            continue
        owned = relation.related_model._base_manager.filter(**{relation.field.name: stored}).order_by("pk")
        values[relation.get_accessor_name() or ""] = [_values(part) for part in owned]
    return values


def _plain(field: models.Field, value: object) -> object:  # type: ignore[type-arg]
    """Return a value as canonical JSON can hold it; free-form JSON as its own sorted text."""
    if isinstance(field, models.JSONField):
        return json.dumps(value, sort_keys=True, ensure_ascii=False)
    if isinstance(value, date):
        return value.isoformat()
    return value


@transaction.atomic
def policy_draft_save(row: PolicyRevision, *, actor: Actor, at: datetime) -> None:
    """Save a draft of the house policy; a new one gets the next revision number.

    Raises:
        PolicyInvalidError: the values cannot be read, or the revision is no draft any more.
    """
    if row.state != PolicyState.DRAFT:
        raise PolicyInvalidError("Only a draft can be changed.", revision=row.revision)
    if row._state.adding:
        newest = PolicyRevision.objects.aggregate(newest=Max("revision"))["newest"] or 0
        row.revision = newest + 1
    _policy_check(row)
    register_save(row, code=str(row.revision), actor=actor, at=at)


@transaction.atomic
def policy_publish(*, revision: int, actor: Actor, at: datetime) -> PolicyRevision:
    """Put a draft of the house policy in force; the one before it is retired. Every later decision reads it.

    Raises:
        PolicyInvalidError: no such draft, or its values cannot be read.
    """
    locked = {row.revision: row for row in PolicyRevision.objects.select_for_update().order_by("revision")}
    draft = locked.get(revision)
    if draft is None or draft.state != PolicyState.DRAFT:
        raise PolicyInvalidError("Only a draft can be published.", revision=revision)
    _policy_check(draft)
    for row in locked.values():
        if row.state == PolicyState.PUBLISHED:
            row.state = PolicyState.RETIRED.value
            register_save(row, code=str(row.revision), action="retired", actor=actor, at=at)
    draft.state, draft.published_at = PolicyState.PUBLISHED.value, at
    register_save(draft, code=str(revision), action="published", actor=actor, at=at)
    return draft


def _policy_check(row: PolicyRevision) -> None:
    try:
        policy_from(row.values, row.revision)
    except PolicyError as error:
        raise PolicyInvalidError(error.message, **error.places, revision=row.revision) from None
