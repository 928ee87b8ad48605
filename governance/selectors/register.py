"""Read the register as plain values, in a fixed number of queries."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from governance.domain.identifiers import IdentifierType
from governance.domain.register import (
    Assessment,
    Channel,
    Contract,
    DataField,
    House,
    Mechanism,
    Policy,
    Purpose,
    Recipient,
    policy_from,
)
from governance.domain.terms import PolicyState, PurposeKind, WordListKind
from governance.models import (
    Brand,
    Controller,
    CrossBorderCount,
    ImpactAssessment,
    PolicyRevision,
    RegisterHead,
    WordList,
)
from governance.models import Channel as ChannelRow
from governance.models import DataField as DataFieldRow
from governance.models import Purpose as PurposeRow
from governance.models import Recipient as RecipientRow


@dataclass(frozen=True)
class GovernedRegister:
    """The governance half of the register, with the database keys that statements need."""

    version: int
    entity: str
    member_id_pattern: str
    purposes: Mapping[str, Purpose]
    purpose_words: Mapping[str, list[str]]
    channels: Mapping[str, Channel]
    channel_words: Mapping[str, list[str]]
    fields: Mapping[str, DataField]
    recipients: Mapping[str, Recipient]
    assessments: Mapping[str, Assessment]
    brands: Mapping[str, str]
    policy: Policy
    house: House
    purpose_keys: Mapping[str, int]
    channel_keys: Mapping[str, int]
    recipient_keys: Mapping[str, int]


def register_version() -> int:
    """Return the version of the register as it is now."""
    return RegisterHead.objects.get(id=1).version


def register_governed(*, draft_policy: bool = False) -> GovernedRegister:
    """Read the whole governance register. Call it inside one repeatable-read or serial section for one picture.

    `draft_policy`: take the newest draft of the house policy instead of the published one.
    """
    version = register_version()
    controller = Controller.objects.first()
    purposes = list(PurposeRow.objects.prefetch_related("contains"))
    channels = list(ChannelRow.objects.all())
    recipients = list(RecipientRow.objects.select_related("agreement", "mechanism").prefetch_related("subprocessors"))
    return GovernedRegister(
        version=version,
        entity=controller.name if controller else "",
        member_id_pattern=controller.member_id_pattern if controller else Controller().member_id_pattern,
        purposes={p.code: _purpose(p) for p in purposes},
        purpose_words={p.code: list(p.aliases) for p in purposes},
        channels={c.code: Channel(c.code, IdentifierType(c.identifier_type), c.name) for c in channels},
        channel_words={c.code: list(c.aliases) for c in channels},
        fields={f.code: _field(f) for f in DataFieldRow.objects.prefetch_related("allowed_purposes")},
        recipients={r.code: _recipient(r) for r in recipients},
        assessments={
            a.code: _assessment(a) for a in ImpactAssessment.objects.prefetch_related("purposes", "recipients")
        },
        brands={b.code: b.name for b in Brand.objects.all()},
        policy=_policy(draft=draft_policy),
        house=_house(),
        purpose_keys={p.code: p.pk for p in purposes},
        channel_keys={c.code: c.pk for c in channels},
        recipient_keys={r.code: r.pk for r in recipients},
    )


def _purpose(row: PurposeRow) -> Purpose:
    contains = frozenset(narrow.code for narrow in row.contains.all())
    return Purpose(row.code, PurposeKind(row.kind), row.legal_basis or None, contains, row.name)


def _field(row: DataFieldRow) -> DataField:
    return DataField(
        id=row.code,
        category=row.category,
        sensitive=row.sensitive,
        group=row.group or None,
        behaviour=row.behaviour,
        device=row.device,
        source=row.source,
        allowed_purposes=frozenset(purpose.code for purpose in row.allowed_purposes.all()),
        aggregate=row.aggregate or None,
        bulk_class=row.bulk_class or None,
        tier=row.tier,
    )


def _recipient(row: RecipientRow) -> Recipient:
    agreement = getattr(row, "agreement", None)
    mechanism = getattr(row, "mechanism", None)
    return Recipient(
        id=row.code,
        role=row.role,
        country=row.country,
        contract=Contract(
            (
                agreement.purpose,
                agreement.method,
                agreement.categories,
                agreement.measures,
                agreement.duties,
                agreement.assistance,
            ),
            agreement.valid_from,
            agreement.valid_to,
        )
        if agreement
        else None,
        allowed_fields=None if row.allowed_fields is None else frozenset(row.allowed_fields),
        unapproved_subprocessors=any(not sub.approved for sub in row.subprocessors.all()),
        restricted_categories=frozenset(row.restricted_categories),
        mechanism=Mechanism(mechanism.kind, mechanism.valid_from, mechanism.valid_to) if mechanism else None,
        name=row.name,
    )


def _assessment(row: ImpactAssessment) -> Assessment:
    return Assessment(
        id=row.code,
        approved_at=row.approved_at,
        expires_on=row.expires_on,
        purposes=frozenset(purpose.code for purpose in row.purposes.all()),
        recipients=frozenset(recipient.code for recipient in row.recipients.all()),
        automated_decisions=row.automated_decisions,
        sensitive_groups=frozenset(row.sensitive_groups),
        overseas=row.overseas,
    )


def _policy(*, draft: bool) -> Policy:
    state = PolicyState.DRAFT if draft else PolicyState.PUBLISHED
    row = PolicyRevision.objects.filter(state=state).order_by("-revision").first()
    return policy_from(row.values, row.revision) if row else policy_from({}, 0)


def _house() -> House:
    words = {row.kind: tuple(row.words) for row in WordList.objects.all()}
    return House(
        signatures={b.code: tuple(b.signatures) for b in Brand.objects.all()},
        promotion_words=words.get(WordListKind.PROMOTION, ()),
        prohibited_words=words.get(WordListKind.PROHIBITED, ()),
        absolute_words=words.get(WordListKind.ABSOLUTE, ()),
        optout_phrases=words.get(WordListKind.OPTOUT_PHRASE, ()),
        verified_domains=frozenset(words.get(WordListKind.EMAIL_DOMAIN, ())),
        barred_for_minors=frozenset(words.get(WordListKind.BARRED_FOR_MINORS, ())),
        needing_approval=frozenset(words.get(WordListKind.NEEDING_APPROVAL, ())),
        cross_border={c.year: (c.ordinary, c.sensitive) for c in CrossBorderCount.objects.all()},
    )
