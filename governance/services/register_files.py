"""Load the register from files: organisation.json, purposes.json, recipients.json."""

from __future__ import annotations

import hashlib
from datetime import datetime
from pathlib import Path

from django.db import transaction

from audit.actors import Actor
from audit.services.record import Event, ObjectRef, audit_record
from governance.domain.documents import DocumentError, Entry, entries, read_json
from governance.domain.identifiers import IDENTIFIER_TYPES
from governance.domain.register import PolicyError, policy_from
from governance.domain.terms import PolicyState, WordListKind
from governance.errors import RegisterFileError
from governance.models import (
    Agreement,
    Brand,
    Channel,
    Controller,
    CrossBorderCount,
    DataField,
    ImpactAssessment,
    PolicyRevision,
    Purpose,
    Recipient,
    Subprocessor,
    TransferMechanism,
    WordList,
)

FILES = ("organisation.json", "purposes.json", "recipients.json")
CONTRACT_CLAUSES = ("purpose", "method", "categories", "measures", "duties", "assistance")
WIDER = {"marketing.personalised": ["marketing.promotion"]}
"""PER implies DIR content but not the reverse (pipl-rules section 17), unless a file says otherwise."""


@transaction.atomic
def register_import(*, folder: Path, member_id_pattern: str, actor: Actor, at: datetime) -> None:
    """Create or update everything the three files name. Nothing is deleted.

    Raises:
        RegisterFileError: a file is missing or wrong; nothing has changed then.
    """
    try:
        organisation = Entry(read_json(folder / FILES[0]), FILES[0])
        purposes = Entry(read_json(folder / FILES[1]), FILES[1])
        recipients = entries(read_json(folder / FILES[2]), FILES[2])
        _load_entity(organisation, member_id_pattern)
        _load_channels(organisation)
        _load_purposes(purposes.entries("purposes"))
        _load_fields(purposes.entries("fields"))
        for recipient in recipients:
            _load_recipient(recipient)
        for assessment in organisation.entries("pias"):
            _load_assessment(assessment)
        _load_policy(organisation, at)
    except DocumentError as error:
        raise RegisterFileError(error.message, **error.places) from None
    for name in FILES:
        digest = hashlib.sha256((folder / name).read_bytes()).hexdigest()
        details: dict[str, object] = {"kind": "file", "code": name, "action": "loaded", "sha256": digest}
        audit_record(actor=actor, event=Event("register.changed", object=ObjectRef("register", name), details=details))


def _load_entity(organisation: Entry, member_id_pattern: str) -> None:
    entity = organisation.entry("legal_entity")
    if entity is None:
        raise DocumentError("%(place)s is missing.", place=f"{organisation.place}.legal_entity")
    Controller.objects.update_or_create(
        id=1,
        defaults={
            "code": entity.text("id"),
            "name": entity.text("name"),
            "region": entity.text("region", ""),
            "persons": entity.number("persons", 0),
            "small_mode": entity.flag("small_mode"),
            "member_id_pattern": member_id_pattern,
        },
    )
    for brand in organisation.entries("brands"):
        Brand.objects.update_or_create(
            code=brand.text("id"),
            defaults={"name": brand.text("name", brand.text("id")), "signatures": brand.texts("signatures")},
        )
    lexicon = organisation.entry("lexicon")
    lists = {
        WordListKind.PROMOTION: lexicon.texts("promotion") if lexicon else [],
        WordListKind.PROHIBITED: lexicon.texts("prohibited") if lexicon else [],
        WordListKind.ABSOLUTE: lexicon.texts("absolute") if lexicon else [],
        WordListKind.OPTOUT_PHRASE: organisation.texts("optout_phrases"),
        WordListKind.EMAIL_DOMAIN: organisation.texts("verified_email_domains"),
        WordListKind.BARRED_FOR_MINORS: organisation.texts("categories_barred_for_minors"),
        WordListKind.NEEDING_APPROVAL: organisation.texts("categories_needing_approval"),
    }
    for kind, words in lists.items():
        WordList.objects.update_or_create(kind=kind.value, defaults={"words": words})
    for year, count in organisation.table("cross_border"):
        if not year.isdigit():
            raise DocumentError("%(place)s: a year is expected.", place=count.place)
        CrossBorderCount.objects.update_or_create(
            year=int(year),
            defaults={"ordinary": count.number("ordinary", 0), "sensitive": count.number("sensitive", 0)},
        )


def _load_channels(organisation: Entry) -> None:
    for code, channel in organisation.table("channels"):
        kind = IDENTIFIER_TYPES.get(channel.text("identifier"))
        if kind is None:
            raise DocumentError(
                "%(place)s: one of these is expected: %(words)s",
                place=f"{channel.place}.identifier",
                words=", ".join(IDENTIFIER_TYPES),
            )
        aliases = channel.texts("aliases")
        Channel.objects.update_or_create(
            code=code,
            defaults={
                "name": channel.text("name", aliases[0] if aliases else code),
                "identifier_type": kind.value,
                "aliases": aliases,
            },
        )


def _load_purposes(purposes: list[Entry]) -> None:
    wider = {}
    for purpose in purposes:
        code = purpose.text("id")
        kind = purpose.text("kind")
        if kind not in ("marketing", "service", "separate"):
            raise DocumentError("%(place)s: marketing, service or separate is expected.", place=f"{purpose.place}.kind")
        Purpose.objects.update_or_create(
            code=code,
            defaults={
                "name": purpose.text("name", code),
                "kind": kind,
                "legal_basis": purpose.text("legal_basis", ""),
                "aliases": purpose.texts("aliases"),
            },
        )
        wider[code] = purpose.optional_texts("contains") or WIDER.get(code, [])
    for code, narrower in wider.items():
        Purpose.objects.get(code=code).contains.set(Purpose.objects.filter(code__in=narrower))


def _load_fields(fields: list[Entry]) -> None:
    for field in fields:
        code = field.text("id")
        sensitive = field.flag("sensitive")
        data_field, _ = DataField.objects.update_or_create(
            code=code,
            defaults={
                "name": field.text("name", code),
                "category": field.text("category", ""),
                "tier": field.text("tier", "T1"),
                "sensitive": sensitive,
                "group": field.text("group", code if sensitive else ""),
                "behaviour": field.flag("behaviour"),
                "device": field.flag("device"),
                "source": field.text("source", ""),
                "aggregate": field.text("aggregate", ""),
                "bulk_class": field.text("bulk_class", ""),
            },
        )
        data_field.allowed_purposes.set(Purpose.objects.filter(code__in=field.texts("allowed_purposes")))


def _load_recipient(entry: Entry) -> None:
    code = entry.text("id")
    recipient, _ = Recipient.objects.update_or_create(
        code=code,
        defaults={
            "name": entry.text("name", code),
            "role": entry.text("role"),
            "country": entry.text("country").upper(),
            "allowed_fields": entry.optional_texts("allowed_fields"),
            "restricted_categories": entry.texts("restricted_categories"),
        },
    )
    contract = entry.entry("contract")
    if contract is None:
        Agreement.objects.filter(recipient=recipient).delete()
    else:
        clauses = {name: contract.text(name, "") for name in CONTRACT_CLAUSES}
        dates = {"valid_from": contract.day("valid_from"), "valid_to": contract.day("valid_to")}
        Agreement.objects.update_or_create(recipient=recipient, defaults=clauses | dates)
    for sub in entry.entries("subprocessors"):
        Subprocessor.objects.update_or_create(
            recipient=recipient, name=sub.text("name"), defaults={"approved": sub.flag("approved")}
        )
    mechanism = entry.entry("cross_border_mechanism")
    if mechanism is None:
        TransferMechanism.objects.filter(recipient=recipient).delete()
    else:
        first, last = mechanism.day("valid_from"), mechanism.day("valid_to")
        if first is None or last is None:
            raise DocumentError("%(place)s: valid_from and valid_to are days.", place=mechanism.place)
        kind = mechanism.text("kind", mechanism.text("type", ""))
        TransferMechanism.objects.update_or_create(
            recipient=recipient, defaults={"kind": kind, "valid_from": first, "valid_to": last}
        )


def _load_assessment(entry: Entry) -> None:
    assessment, _ = ImpactAssessment.objects.update_or_create(
        code=entry.text("id"),
        defaults={
            "approved_at": entry.instant("approved_at"),
            "expires_on": entry.day("expires_at"),
            "automated_decisions": entry.flag("automated_decisions"),
            "sensitive_groups": entry.texts("sensitive_groups"),
            "overseas": entry.flag("overseas"),
        },
    )
    assessment.purposes.set(Purpose.objects.filter(code__in=entry.texts("purposes")))
    assessment.recipients.set(Recipient.objects.filter(code__in=entry.texts("recipients")))


def _load_policy(organisation: Entry, at: datetime) -> None:
    values = organisation.raw("policy") or {}
    if not isinstance(values, dict):
        raise DocumentError("%(place)s: an object is expected.", place=f"{organisation.place}.policy")
    newest = PolicyRevision.objects.order_by("-revision").first()
    if newest is not None and newest.state == PolicyState.PUBLISHED and newest.values == values:
        return
    revision = newest.revision + 1 if newest else 1
    try:
        policy_from(values, revision)
    except PolicyError as error:
        raise DocumentError(error.message, **error.places) from None
    PolicyRevision.objects.filter(state=PolicyState.PUBLISHED).update(state=PolicyState.RETIRED)
    PolicyRevision.objects.create(revision=revision, state=PolicyState.PUBLISHED.value, values=values, published_at=at)
