"""Everything a rule may look at: the register, the plan of a send, and what is known of one audience row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from functools import cached_property

from consent.domain.records import EMPTY, ConsentBook, NoticeRef, Slot, State
from consent.domain.terms import Sourcing, SubjectStatus
from governance.domain.calendar import day_of
from governance.domain.identifiers import IdentifierType
from governance.domain.register import Assessment, Channel, DataField, House, Policy, Recipient
from governance.domain.terms import PurposeKind


@dataclass(frozen=True, slots=True)
class Content:
    """The message: what it says, who says it, and what was reviewed."""

    id: str
    subject: str
    body: str
    landing_url: str
    sender_name: str
    contact: str
    optout_tested_at: datetime | None
    optout_requires_login: bool
    optout_valid_until: date | None
    review_state: str
    review_sha256: str
    exceptions: frozenset[str]  # absolute terms with a proven exception
    unproven_claims: bool
    approval_no: str
    from_domain: str
    one_click_close: bool


@dataclass(frozen=True, slots=True)
class Plan:
    """One send as planned: a campaign of the register, or (`campaign` None) a bare purpose and channel."""

    campaign: str | None
    purpose: str
    channel: str
    kind: str  # marketing or service; anything else is missing input
    planned_at: datetime | None
    brand: str = ""
    approved_at: datetime | None = None
    second_approver: str = ""
    recipient_count: int = 0
    personalised: bool = False
    generic_variant: bool = False
    adm_refusal_link: bool = False
    fields: tuple[str, ...] = ()
    segment_fields: tuple[str, ...] = ()
    required_fields: tuple[str, ...] = ()
    recipient: str | None = None
    route: str = ""
    suppression_synced_at: datetime | None = None
    content: Content | None = None
    product_categories: frozenset[str] = frozenset()
    price_rule_fields: tuple[str, ...] = ()
    assessment: str | None = None
    template_id: str = ""
    asks_for: tuple[str, str] | None = None  # (purpose, channel)
    deviates: bool = False  # differs from what the campaign was approved for
    unknown_campaign: bool = False


@dataclass(frozen=True)
class Register:
    """One consistent reading of everything that is registered. Immutable; `version` names it."""

    version: int
    book: ConsentBook
    channels: Mapping[str, Channel]
    fields: Mapping[str, DataField]
    recipients: Mapping[str, Recipient]
    assessments: Mapping[str, Assessment]
    plans: Mapping[str, Plan]  # by campaign
    policy: Policy
    house: House


@dataclass(frozen=True)
class SendFacts:
    """What a campaign rule sees: the plan with everything it names looked up, at one instant."""

    plan: Plan
    at: datetime
    register: Register

    @cached_property
    def today(self) -> date:
        return day_of(self.at)

    @property
    def policy(self) -> Policy:
        return self.register.policy

    @property
    def house(self) -> House:
        return self.register.house

    @cached_property
    def used(self) -> list[DataField]:
        """Registered fields that go to the vendor or choose the people."""
        names = dict.fromkeys((*self.plan.fields, *self.plan.segment_fields))
        return [self.register.fields[name] for name in names if name in self.register.fields]

    @cached_property
    def unknown_fields(self) -> bool:
        return any(name not in self.register.fields for name in (*self.plan.fields, *self.plan.segment_fields))

    @cached_property
    def recipient(self) -> Recipient | None:
        return self.register.recipients.get(self.plan.recipient or "")

    @cached_property
    def text(self) -> str:
        content = self.plan.content
        return f"{content.subject}\n{content.body}" if content else ""

    @cached_property
    def marketing(self) -> bool:
        """Any sign of marketing makes it marketing, whatever the campaign says (pipl-rules MKT-KIND)."""
        purpose = self.register.book.purposes.get(self.plan.purpose)
        return (
            self.plan.kind == "marketing"
            or (purpose is not None and purpose.kind is PurposeKind.MARKETING)
            or any(word in self.text for word in self.house.promotion_words)
        )

    @cached_property
    def automated(self) -> bool:
        """Automated decision-making in the sense of PIPL 73(2): personal behaviour chooses or shapes it."""
        return self.plan.personalised or any(f.behaviour for f in self.used)

    @cached_property
    def sensitive_groups(self) -> frozenset[str]:
        return frozenset(f.group or f.id for f in self.used if f.sensitive)


@dataclass(frozen=True, slots=True)
class Requirement:
    """What the campaign stage asks of every person; the subject stage needs nothing else."""

    at: datetime
    today: date
    marketing: bool
    purpose: str
    channel: Channel
    one_time: bool  # WeChat one-time subscription: the subscription is the consent
    template_id: str
    automated: bool
    generic_variant: bool
    barred_for_minors: bool
    scope_changed: Mapping[str, frozenset[NoticeRef]]  # by the grant's own purpose
    strip_consents: Mapping[Slot, tuple[str, ...]]  # separate consent → fields dropped without it
    deny_consents: frozenset[Slot]
    third_party: Slot | None
    cross_border: Slot | None
    separate_stale: Mapping[str, frozenset[NoticeRef]]
    retention_months: int | None
    month_starts_at: datetime
    frequency_cap: int | None
    window_starts_at: datetime | None
    asks_for: Slot | None
    asks_for_identifier: IdentifierType | None
    reask_cooldown_days: int


@dataclass(frozen=True, slots=True)
class HolderFacts:
    """One person who holds the row's identifier, as he stands at the requirement's instant."""

    status: SubjectStatus = SubjectStatus.ACTIVE
    sourcing: Sourcing = Sourcing.LAWFUL
    lost_on: date | None = None  # the day the number went to somebody else
    last_active_on: date | None = None
    child: bool = False  # under 14
    minor: bool = False  # under 18
    guardian: bool = False  # a guardian's consent for the purpose is in force
    personalisation_off_at: datetime | None = None
    paused_until: date | None = None
    restricted: frozenset[str] = frozenset()
    state: State = EMPTY
    granted_elsewhere: bool = False  # the purpose is granted on another channel
    narrower_granted: bool = False  # only a narrower purpose is granted on this channel
    held: frozenset[Slot] = frozenset()  # separate consents in force
    asked: State = EMPTY  # the state of what the message asks for
    asked_optouts: tuple[datetime | None, ...] = ()  # opt-outs that touch his identifier of the asked channel
    subject: str = ""  # opaque reference, for evidence


STRANGER = HolderFacts()
"""A person nobody knows is judged like a member who never consented."""


@dataclass(frozen=True, slots=True)
class RowFacts:
    """One audience row: who holds its identifier and what was said to and by that identifier."""

    holders: tuple[HolderFacts, ...] = (STRANGER,)
    optouts: tuple[datetime | None, ...] = ()  # opt-outs that touch the row; None is never lifted
    listed: bool = False
    carrier_listed: bool = False
    sent_this_month: int = 0
    sent_in_window: int = 0
    last_solicited_at: datetime | None = None
    subscriptions: int = 0  # accepts of the template after the last ban
    subscriptions_used: int = 0
    subscribed_at: datetime | None = None  # latest accept
    out: tuple[bool, ...] = field(default=())  # per holder; filled by the engine
    lift_at: datetime | None = None  # filled by the engine
    asked_lift_at: datetime | None = None  # filled by the engine

    @property
    def present(self) -> tuple[HolderFacts, ...]:
        """The holders who are not set aside (all of them, if all are out)."""
        return not_out(self.holders, self.out)


def not_out(holders: tuple[HolderFacts, ...], out: tuple[bool, ...]) -> tuple[HolderFacts, ...]:
    """Return the holders who are not out, or all of them if all are. `out`: one per holder."""
    if all(out):
        return holders
    return tuple(h for h, is_out in zip(holders, out, strict=True) if not is_out)
