"""The register that decisions read: one picture of everything, held in memory as long as its version stands.

Triggers raise the version with every change of a registered row. A live statement returns the version it saw;
if it is not the version of the register in hand, the answer is thrown away and judged again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from threading import Lock

from consent.decisions.facts import Content, Plan, Register
from consent.domain.records import ConsentBook, Notice, NoticeRef, Point, Slot, Terms
from consent.domain.terms import PointKind
from consent.domain.vocabulary import Vocabulary, word_map
from consent.models import Campaign, CollectionPoint, NoticeVersion, SourceBatch
from consent.models import Content as ContentRow
from consent.models import Slot as SlotRow
from governance.selectors.register import GovernedRegister, register_governed, register_version


@dataclass(frozen=True)
class LiveRegister:
    """The register with the database keys that statements need."""

    rules: Register
    governed: GovernedRegister
    words: Vocabulary
    slot_keys: Mapping[Slot, int]
    notice_keys: Mapping[NoticeRef, int]
    point_keys: Mapping[str, int]
    source_batches: Mapping[str, tuple[str, bool]]  # batch → (source, has proof of origin)
    field_groups: frozenset[str]

    @property
    def version(self) -> int:
        return self.rules.version

    @cached_property
    def purpose_codes(self) -> dict[int, str]:
        return {key: code for code, key in self.governed.purpose_keys.items()}

    @cached_property
    def channel_codes(self) -> dict[int, str]:
        return {key: code for code, key in self.governed.channel_keys.items()}

    @cached_property
    def recipient_codes(self) -> dict[int, str]:
        return {key: code for code, key in self.governed.recipient_keys.items()}

    @cached_property
    def notice_refs(self) -> dict[int, NoticeRef]:
        return {key: ref for ref, key in self.notice_keys.items()}

    @cached_property
    def point_codes(self) -> dict[int, str]:
        return {key: code for code, key in self.point_keys.items()}


_held: LiveRegister | None = None
_lock = Lock()


def register_live(*, version: int | None = None) -> LiveRegister:
    """Return the register in memory, reading it anew if it is not of `version` (default: ask the database)."""
    global _held
    wanted = register_version() if version is None else version
    with _lock:
        if _held is None or _held.version != wanted:
            _held = register_read()
        return _held


def register_in_hand() -> LiveRegister:
    """Return the register in memory without asking whether it is current; read it if there is none."""
    return _held or register_live()


def register_read(*, draft_policy: bool = False) -> LiveRegister:
    """Read the whole register as one picture: read again if a change committed in between."""
    while True:
        register = _read(draft_policy=draft_policy)
        if draft_policy or register_version() == register.version:
            return register


def _read(*, draft_policy: bool) -> LiveRegister:
    governed = register_governed(draft_policy=draft_policy)
    notices = list(NoticeVersion.objects.select_related("notice").prefetch_related("terms"))
    points = list(CollectionPoint.objects.all())
    contents = {c.pk: _content(c) for c in ContentRow.objects.all()}
    plans = {c.code: _plan(c, contents) for c in Campaign.objects.all()}
    slots = list(SlotRow.objects.select_related("purpose", "channel", "recipient"))
    batches = {b.code: (b.source, bool(b.provenance_doc)) for b in SourceBatch.objects.all()}
    book = ConsentBook(
        purposes=governed.purposes,
        channels={code: channel.uses_phone for code, channel in governed.channels.items()},
        points={p.code: Point(p.code, PointKind(p.kind), frozenset(p.double_opt_in)) for p in points},
        notices={notice.ref: notice for notice in map(_notice, notices)},
        double_opt_in_days=governed.policy.double_opt_in_days,
    )
    rules = Register(
        version=governed.version,
        book=book,
        channels=governed.channels,
        fields=governed.fields,
        recipients=governed.recipients,
        assessments=governed.assessments,
        plans=plans,
        policy=governed.policy,
        house=governed.house,
    )
    words = Vocabulary(
        word_map(governed.purpose_words.items()),
        word_map(governed.channel_words.items()),
        frozenset(book.marketing_purposes),
    )
    return LiveRegister(
        rules=rules,
        governed=governed,
        words=words,
        slot_keys={_slot(row): row.pk for row in slots},
        notice_keys={NoticeRef(v.notice.code, v.version): v.pk for v in notices},
        point_keys={p.code: p.pk for p in points},
        source_batches=batches,
        field_groups=frozenset(f.group for f in governed.fields.values() if f.group),
    )


def _slot(row: SlotRow) -> Slot:
    return Slot(
        row.purpose.code,
        row.channel.code if row.channel else None,
        row.field_group or None,
        row.recipient.code if row.recipient else None,
    )


def _notice(row: NoticeVersion) -> Notice:
    return Notice(
        ref=NoticeRef(row.notice.code, row.version),
        effective_at=row.effective_at,
        material=row.material,
        affects=frozenset(row.affects),
        terms={
            t.purpose: Terms(t.valid_months, frozenset(t.categories), t.declared_per_month) for t in row.terms.all()
        },
        text_sha256=row.text_sha256,
    )


def _content(row: ContentRow) -> Content:
    return Content(
        id=row.code,
        subject=row.subject,
        body=row.body,
        landing_url=row.landing_url,
        sender_name=row.sender_name,
        contact=row.contact,
        optout_tested_at=row.optout_tested_at,
        optout_requires_login=row.optout_requires_login,
        optout_valid_until=row.optout_valid_until,
        review_state=row.review_state,
        review_sha256=row.review_sha256,
        exceptions=frozenset(e["term"] for e in row.exceptions if e.get("proof")),
        unproven_claims=any(not claim.get("proof") for claim in row.claims),
        approval_no=row.approval_no,
        from_domain=row.from_domain,
        one_click_close=row.one_click_close,
    )


def _plan(row: Campaign, contents: Mapping[int, Content]) -> Plan:
    return Plan(
        campaign=row.code,
        purpose=row.purpose,
        channel=row.channel,
        kind=row.kind,
        planned_at=row.planned_at,
        brand=row.brand,
        approved_at=row.approved_at,
        second_approver=row.second_approver,
        recipient_count=row.recipient_count,
        personalised=row.personalised,
        generic_variant=row.generic_variant,
        adm_refusal_link=row.adm_refusal_link,
        fields=tuple(row.fields),
        segment_fields=tuple(row.segment_fields),
        required_fields=tuple(row.required_fields),
        recipient=row.recipient or None,
        route=row.route,
        suppression_synced_at=row.suppression_synced_at,
        content=contents.get(row.content_id or 0),
        product_categories=frozenset(row.product_categories),
        price_rule_fields=tuple(row.price_rule_fields),
        assessment=row.assessment or None,
        template_id=row.template_id,
        asks_for=(row.asks_for_purpose, row.asks_for_channel) if row.asks_for_purpose else None,
    )


def audience_of(campaign: str) -> dict[str, str]:
    """Return how a campaign's audience file is named and read (`file`, `column`, `identifier`), or an empty dict."""
    return Campaign.objects.filter(code=campaign).values_list("audience", flat=True).first() or {}
