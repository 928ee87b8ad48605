"""Worlds as data: the cases of tests/vectors become pure facts, or rows in PostgreSQL.

A world is one JSON object in which everything is fine: one consenting adult, a good campaign, a good vendor, a
good message. A case changes what differs (a merge patch, RFC 7396: null takes away) and states the answer. The
same case is judged by the pure engine without a database and, stored as rows, by every backend.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from datetime import date, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from django.db import connection, transaction

from audit.actors import Actor
from audit.domain.ids import uuid7
from consent.decisions.engine import SendJudgement, Verdict, judge_row, judge_send
from consent.decisions.facts import Content, Plan, Register, RowFacts
from consent.decisions.history import Contact, ContactFacts, Listing, Person, Sent, Subscription, row_facts
from consent.decisions.rules.content import content_digest
from consent.domain.imports import Guardianship, Member, sourcing_of
from consent.domain.records import ConsentBook, Notice, NoticeRef, Point, Record, Terms
from consent.domain.terms import Act, Bundle, Control, PointKind, SendKind, SubjectStatus, SuppressionKind, WxAction
from governance.domain.calendar import SHANGHAI, start_of_day
from governance.domain.identifiers import IDENTIFIER_TYPES, IdentifierType, canonical_reader
from governance.domain.register import (
    Assessment,
    Channel,
    Contract,
    DataField,
    House,
    Mechanism,
    Purpose,
    Recipient,
    policy_from,
)
from governance.domain.terms import PurposeKind

VECTORS = Path(__file__).parent / "vectors"
MEMBER_ID_PATTERN = "M[0-9]{6}"
ACTOR = Actor("user", "officer-1")
CLAUSES = ("purpose", "method", "categories", "measures", "duties", "assistance")

Json = dict[str, Any]


# -- reading ---------------------------------------------------------------------------------------------------------


def patched(target: Any, patch: Any) -> Any:
    """Apply a JSON merge patch (RFC 7396) and return the result; nothing is changed in place."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = patched(result.get(key), value)
    return result


def facts_in(patch: Any, world: Any) -> int:
    """Count the facts a patch states: one thing added, taken away or given another value is one fact."""
    if not isinstance(patch, dict) or not isinstance(world, dict):
        return 1
    return sum(facts_in(value, world.get(key)) for key, value in patch.items())


def base_world() -> Json:
    return json.loads((VECTORS / "base.json").read_text())


@dataclass(frozen=True)
class Case:
    """One world and the answer it must get: the outcome, then every code in order."""

    file: str  # the reason the case is about
    name: str
    rule: str  # lines of the catalogue it stands for, such as "PIPL-15-EASY T1"
    world: Json
    gives: str
    near_miss_of: str = ""
    facts: int = 0  # facts by which a near miss differs

    @property
    def fires(self) -> bool:
        return self.file in self.gives.split()

    @property
    def answers(self) -> tuple[str, ...]:
        return tuple(self.gives.split())


def cases_read(folder: Path = VECTORS / "decisions") -> list[Case]:
    return [case for path in sorted(folder.glob("*.json")) for case in _cases(path)]


def _cases(path: Path) -> Iterator[Case]:
    base = base_world()
    for entry in json.loads(path.read_text()):
        world = base
        for preset in entry.get("with", ()):
            world = patched(world, base["presets"][preset])
        world = patched(world, entry.get("given", {}))
        rule = entry.get("rule", "")
        yield Case(path.stem, entry["name"], rule, world, entry["gives"])
        for near in entry.get("but", ()):
            yield Case(
                path.stem,
                f"{entry['name']}, but {near['name']}",
                near.get("rule", ""),
                patched(world, near["given"]),
                near["gives"],
                near_miss_of=entry["name"],
                facts=facts_in(near["given"], world),
            )


def later(world: Json, years: int) -> Json:
    """Move a whole world by years. By a multiple of four, leap days, months and birthdays stay what they are."""
    text = json.dumps(world, ensure_ascii=False)
    moved = re.sub(r'(?<=")(?:19|20)[0-9]{2}(?=-|"|年)', lambda year: str(int(year[0]) + years), text)
    return json.loads(moved)  # type: ignore[no-any-return]


def own(world: Json, number: int) -> Json:
    """Give a world identifiers, a campaign and notices of its own, so that many can live in one database."""
    text = json.dumps(world, ensure_ascii=False)
    text = re.sub(r'"(\w+)(?=@[0-9])', rf'"\1-{number}', text)
    text = re.sub(r"138[0-9]{4}([0-9]{4})", rf"138{number:04}\1", text)
    text = re.sub(r"M[0-9]{4}([0-9]{2})", rf"M{number:04}\1", text)
    text = re.sub(r"@example\.com", f"@{number}.example.com", text)
    text = re.sub(r"oLin[0-9]{4}", f"oLin{number:04}", text)
    return patched(json.loads(text), {"plan": {"campaign": f"d-{number}"} if "campaign" in world["plan"] else {}})  # type: ignore[no-any-return]


# -- plain values ----------------------------------------------------------------------------------------------------


def instant(value: str | None) -> datetime | None:
    """Read an instant; without an offset it is Shanghai time."""
    if value is None:
        return None
    at = datetime.fromisoformat(value)
    return at if at.tzinfo else at.replace(tzinfo=SHANGHAI)


def day(value: str | None) -> date | None:
    return date.fromisoformat(value) if value else None


def _sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _pair(text: str) -> tuple[str, str]:
    head, _, tail = text.partition(":")
    return head, tail


@dataclass(frozen=True)
class GivenPerson:
    """One person of a world: as an export describes him, with what he and his guardian said."""

    name: str
    member: Member
    guest: tuple[IdentifierType, str] | None
    records: tuple[Record, ...]
    guardianships: tuple[Guardianship, ...]


@dataclass(frozen=True)
class World:
    """A world as plain values. Identifiers are in clear, canonical."""

    source: Json

    # the register

    @cached_property
    def at(self) -> datetime:
        return instant(self.source["at"])  # type: ignore[return-value]

    @cached_property
    def book(self) -> ConsentBook:
        s = self.source
        return ConsentBook(
            purposes={
                key: Purpose(key, PurposeKind(p["kind"]), p.get("basis"), frozenset(p.get("contains", ())))
                for key, p in s["purposes"].items()
            },
            channels={key: kind == "phone" for key, kind in s["channels"].items()},
            points={
                key: Point(key, PointKind(p["kind"]), frozenset(p.get("double_opt_in", ())))
                for key, p in s["points"].items()
            },
            notices={notice.ref: notice for notice in self._notices()},
            double_opt_in_days=policy_from(s["policy"], 1).double_opt_in_days,
        )

    def _notices(self) -> Iterator[Notice]:
        for key, n in self.source["notices"].items():
            name, _, version = key.partition("@")
            yield Notice(
                ref=NoticeRef(name, int(version)),
                effective_at=instant(n["effective_at"]),  # type: ignore[arg-type]
                material=n.get("material", False),
                affects=frozenset(n.get("affects", ())),
                terms={
                    purpose: Terms(t.get("months"), frozenset(t["categories"]), t.get("a_month", {}))
                    for purpose, t in n["terms"].items()
                },
                text_sha256=_sha(key),
            )

    @cached_property
    def register(self) -> Register:
        s = self.source
        return Register(
            version=1,
            book=self.book,
            channels={key: Channel(key, IDENTIFIER_TYPES[kind]) for key, kind in s["channels"].items()},
            fields={key: self._field(key, f) for key, f in s["fields"].items()},
            recipients={key: self._recipient(key, r) for key, r in s["recipients"].items()},
            assessments={key: self._assessment(key, a) for key, a in s["assessments"].items()},
            plans={self.plan.campaign: self.plan} if self.plan.campaign else {},
            policy=policy_from(s["policy"], 1),
            house=self._house(s["house"]),
        )

    @staticmethod
    def _field(key: str, f: Json) -> DataField:
        known = {field.name for field in fields(DataField)} - {"id", "allowed_purposes"}
        return DataField(
            id=key, allowed_purposes=frozenset(f["purposes"]), **{k: v for k, v in f.items() if k in known}
        )

    @staticmethod
    def _recipient(key: str, r: Json) -> Recipient:
        contract = r.get("contract")
        mechanism = r.get("mechanism")
        allowed = r.get("allowed_fields")
        return Recipient(
            id=key,
            role=r["role"],
            country=r["country"],
            contract=contract
            and Contract(
                tuple(contract.get(clause, "agreed") for clause in CLAUSES),
                day(contract.get("from")),
                day(contract.get("to")),
            ),
            allowed_fields=None if allowed is None else frozenset(allowed),
            unapproved_subprocessors=not all(r.get("subprocessors", {}).values()),
            restricted_categories=frozenset(r.get("restricted_categories", ())),
            mechanism=mechanism and Mechanism(mechanism["kind"], day(mechanism["from"]), day(mechanism["to"])),
        )

    @staticmethod
    def _assessment(key: str, a: Json) -> Assessment:
        return Assessment(
            id=key,
            approved_at=instant(a.get("approved_at")),
            expires_on=day(a.get("expires_on")),
            purposes=frozenset(a["purposes"]),
            recipients=frozenset(a["recipients"]),
            automated_decisions=a.get("automated", False),
            sensitive_groups=frozenset(a.get("groups", ())),
            overseas=a.get("overseas", False),
        )

    @staticmethod
    def _house(h: Json) -> House:
        return House(
            signatures={brand: tuple(names) for brand, names in h["signatures"].items()},
            promotion_words=tuple(h["promotion"]),
            prohibited_words=tuple(h["prohibited"]),
            absolute_words=tuple(h["absolute"]),
            optout_phrases=tuple(h["optout_phrases"]),
            verified_domains=frozenset(h["email_domains"]),
            barred_for_minors=frozenset(h["barred_for_minors"]),
            needing_approval=frozenset(h["needing_approval"]),
            cross_border={int(year): (n["ordinary"], n["sensitive"]) for year, n in h["cross_border"].items()},
        )

    # the send

    @cached_property
    def plan(self) -> Plan:
        p = dict(self.source["plan"])
        asks = p.pop("asks_for", None)
        lists = {
            name: tuple(p.pop(name, ()))
            for name in ("fields", "segment_fields", "required_fields", "price_rule_fields")
        }
        times = {name: instant(p.pop(name, None)) for name in ("approved_at", "suppression_synced_at")}
        return Plan(
            campaign=p.pop("campaign", None),
            planned_at=None if p.pop("unplanned", False) else self.at,
            product_categories=frozenset(p.pop("product_categories", ())),
            asks_for=_pair(asks) if asks else None,
            content=self._content(),
            **(p | lists | times),
        )

    def _content(self) -> Content | None:
        c = self.source.get("content")
        if c is None:
            return None
        c = dict(c)
        reviewed = patched(c, c.pop("reviewed", {}))
        digest = content_digest(reviewed["subject"], reviewed["body"], reviewed["landing_url"])
        return Content(
            id=f"text of {self.source['plan'].get('campaign')}",
            optout_tested_at=instant(c.pop("optout_tested_at", None)),
            optout_valid_until=day(c.pop("optout_valid_until", None)),
            review_sha256=digest,
            exceptions=frozenset(c.pop("exceptions", ())),
            **c,
        )

    @property
    def channel(self) -> Channel:
        return self.register.channels[self.plan.channel]

    @cached_property
    def row(self) -> tuple[IdentifierType, str]:
        """The identifier of the audience row: that of a person, or one that is given as `kind:value`."""
        row = self.source["row"]
        if ":" in row:
            return self.contact(row)
        kind = IDENTIFIER_TYPES[self.source["channels"].get(self.plan.channel, "phone")]
        value = self.source["people"][row][kind.word]
        return kind, self._canonical(kind, value)

    # the people and the lists

    @cached_property
    def batches(self) -> dict[str, tuple[str, bool]]:
        return {key: (b["source"], b["proved"]) for key, b in self.source.get("batches", {}).items()}

    @cached_property
    def people(self) -> list[GivenPerson]:
        seqs = iter(range(1, 10_000))
        return [self._person(name, spec, seqs) for name, spec in self.source["people"].items()]

    def _person(self, name: str, spec: Json, seqs: Iterator[int]) -> GivenPerson:
        held = {
            kind: self._canonical(kind, spec[kind.word])
            for kind in (IdentifierType.PHONE, IdentifierType.EMAIL, IdentifierType.WECHAT_OPENID)
            if spec.get(kind.word)
        }
        member = Member(
            member_id=spec.get("member_id", ""),
            phone=held.get(IdentifierType.PHONE),
            email=held.get(IdentifierType.EMAIL),
            wechat_openid=held.get(IdentifierType.WECHAT_OPENID),
            phone_bound_at=instant(spec.get("phone_bound_at")),
            births=list(spec.get("births", ())),
            last_active_at=_midnight(spec.get("last_active")),
            registered_at=_midnight(spec.get("registered")),
            status=SubjectStatus(sum(SubjectStatus[word] for word in spec.get("status", ()))),
            batches=list(spec.get("batches", [""])),
            personalisation_off_at=instant(spec.get("personalisation_off_at")),
            paused_until=day(spec.get("paused_until")),
            restricted=frozenset(spec.get("restricted", ())),
            recycled_on=[day(spec["recycled_on"])] if "recycled_on" in spec else [],
        )
        return GivenPerson(
            name=name,
            member=member,
            guest=None if member.member_id else next(iter(held.items())),
            records=tuple(self._record(spec, next(seqs)) for spec in spec.get("records", {}).values()),
            guardianships=tuple(
                Guardianship(frozenset(g["purposes"]), instant(g["given_at"]), instant(g.get("withdrawn_at")))  # type: ignore[arg-type]
                for g in spec.get("guardians", {}).values()
            ),
        )

    def _record(self, spec: Json, seq: int) -> Record:
        r = patched(self.source["record"], spec)
        notice = None
        if r.get("notice"):
            name, _, version = r["notice"].partition("@")
            notice = NoticeRef(name, int(version))
        separate = r["channel"] == "separate"
        return Record(
            ref=str(uuid7()),
            seq=seq,
            at=instant(r["at"]),  # type: ignore[arg-type]
            act=Act(r["act"]),
            purpose=None if r["purpose"] == "*" else r["purpose"],
            channel=None if separate or r["channel"] == "*" else r["channel"],
            separate=separate,
            field_group=r.get("group"),
            recipient=r.get("recipient"),
            point=r.get("point"),
            notice=notice,
            text_hash=r.get("text_hash", _sha(r["notice"])[:8] if notice else ""),
            control=Control(r["control"]) if r.get("control") else None,
            pre_checked=None if r.get("pre_checked") == "unknown" else r.get("pre_checked"),
            bundle=Bundle(r["bundle"]),
            valid_until=day(r.get("valid_until")),
            evidence=r.get("evidence", ""),
            proof=r.get("proof", False),
        )

    @cached_property
    def listings(self) -> list[tuple[IdentifierType, str, Listing]]:
        return [
            (
                *self.contact(x["who"]),
                Listing(SuppressionKind(x["kind"]), x["scope"], instant(x.get("at")), instant(x.get("removed_at"))),
            )
            for x in self.source.get("listings", {}).values()
        ]

    @cached_property
    def sends(self) -> list[tuple[IdentifierType, str, Sent]]:
        return [
            (
                *self.contact(x["who"]),
                Sent(x["channel"], instant(x["at"]), SendKind(x.get("kind", "marketing")), x.get("template", "")),  # type: ignore[arg-type]
            )
            for x in self.source.get("sends", {}).values()
            for _ in range(x.get("times", 1))
        ]

    @cached_property
    def subscriptions(self) -> list[tuple[IdentifierType, str, Subscription]]:
        return [
            (*self.contact(x["who"]), Subscription(x["template"], WxAction(x["action"]), instant(x["at"])))  # type: ignore[arg-type]
            for x in self.source.get("subscriptions", {}).values()
        ]

    @cached_property
    def pure_people(self) -> list[Person]:
        """The people as the pure engine reads them."""
        return [_pure_person(self, person) for person in self.people]

    @cached_property
    def live(self) -> bool:
        """Whether the stored states stand for the instant judged: nobody said anything after it."""
        return all(record.at <= self.at for person in self.people for record in person.records)

    def contact(self, text: str) -> tuple[IdentifierType, str]:
        word, value = _pair(text)
        kind = IDENTIFIER_TYPES[word]
        return kind, self._canonical(kind, value)

    @staticmethod
    def _canonical(kind: IdentifierType, value: str) -> str:
        canonical = canonical_reader(kind, MEMBER_ID_PATTERN)(value)
        if canonical is None:
            raise ValueError(f"no {kind.word}: {value}")
        return canonical


def _midnight(value: str | None) -> datetime | None:
    return start_of_day(date.fromisoformat(value)) if value else None


# -- the pure engine -------------------------------------------------------------------------------------------------


def judge_pure(world: World, judgement: SendJudgement | None = None, row: str | None = None) -> Verdict:
    """Judge a world by the rules alone: no database, no clock, look-up values in clear.

    `row`: another audience row than the world's own, as `kind:value`.
    """
    judgement = judgement or judge_send(world.plan, register=world.register, at=world.at)
    if judgement.requirement is None:
        return judge_row(RowFacts(), judgement)
    contact = _clear(*(world.contact(row) if row else world.row))
    holders = [person for person in world.pure_people if contact in person.contacts]
    facts = row_facts(contact, holders, about=about(world), requirement=judgement.requirement, book=world.book)
    return judge_row(facts, judgement)


def about(world: World) -> Any:
    """Return the reader of what is recorded about an identifier."""
    return lambda contact: ContactFacts(
        listings=[x for kind, value, x in world.listings if _clear(kind, value) == contact],
        sent=[x for kind, value, x in world.sends if _clear(kind, value) == contact],
        subscriptions=[x for kind, value, x in world.subscriptions if _clear(kind, value) == contact],
    )


def _clear(kind: IdentifierType, value: str) -> Contact:
    return Contact(kind, value.encode())


def _pure_person(world: World, given: GivenPerson) -> Person:
    m = given.member
    held = {
        IdentifierType.MEMBER_ID: m.member_id,
        IdentifierType.PHONE: m.phone,
        IdentifierType.EMAIL: m.email,
        IdentifierType.WECHAT_OPENID: m.wechat_openid,
    }
    wide = {w for purpose in m.restricted for w in (purpose, *world.book.wider(purpose))}
    phone = _clear(IdentifierType.PHONE, m.phone) if m.phone else None
    return Person(
        ref=given.name,
        contacts=frozenset(_clear(kind, value) for kind, value in held.items() if value),
        status=m.status,
        sourcing=sourcing_of(m.batches, world.batches),
        births=tuple(m.births),
        last_active_on=m.last_active_on,
        lost_on={phone: m.lost_on} if phone and m.lost_on else {},
        phone_bound_at=m.phone_bound_at,
        personalisation_off_at=m.personalisation_off_at,
        paused_until=m.paused_until,
        restricted=frozenset(wide),
        records=given.records,
        guardianships=given.guardianships,
    )


# -- PostgreSQL ------------------------------------------------------------------------------------------------------


class _UndoError(Exception):
    pass


@contextmanager
def undone() -> Iterator[None]:
    """Run in a savepoint that is rolled back at the end, whatever happens."""
    try:
        with transaction.atomic():
            yield
            raise _UndoError
    except _UndoError:
        pass


def register_store(world: World) -> None:
    """Store the register of a world as rows. The database holds no other register."""
    from consent import models as consent
    from governance import models as governance

    s, register = world.source, world.register
    governance.Controller.objects.create(
        id=1, code="lanhua", name="兰花零售（上海）有限公司", member_id_pattern=MEMBER_ID_PATTERN
    )
    purposes = _stored(
        governance.Purpose,
        {
            p.id: governance.Purpose(code=p.id, kind=p.kind.value, legal_basis=p.legal_basis or "")
            for p in register.book.purposes.values()
        },
    )
    for purpose in register.book.purposes.values():
        if purpose.contains:
            purposes[purpose.id].contains.set([purposes[code] for code in purpose.contains])
    _stored(
        governance.Channel,
        {c.id: governance.Channel(code=c.id, identifier_type=c.identifier.value) for c in register.channels.values()},
    )
    data_fields = _stored(
        governance.DataField,
        {
            f.id: governance.DataField(
                code=f.id,
                category=f.category,
                tier="T1",
                sensitive=f.sensitive,
                group=f.group or "",
                behaviour=f.behaviour,
                device=f.device,
                source=f.source,
                aggregate=f.aggregate or "",
                bulk_class=f.bulk_class or "",
            )
            for f in register.fields.values()
        },
    )
    allowed = governance.DataField.allowed_purposes.through
    allowed.objects.bulk_create(
        allowed(datafield_id=data_fields[f.id].pk, purpose_id=purposes[p].pk)
        for f in register.fields.values()
        for p in f.allowed_purposes
    )
    recipients = _stored(
        governance.Recipient,
        {
            r.id: governance.Recipient(
                code=r.id,
                role=r.role,
                country=r.country,
                allowed_fields=None if r.allowed_fields is None else sorted(r.allowed_fields),
                restricted_categories=sorted(r.restricted_categories),
            )
            for r in register.recipients.values()
        },
    )
    for r in register.recipients.values():
        if r.contract:
            governance.Agreement.objects.create(
                recipient=recipients[r.id],
                valid_from=r.contract.valid_from,
                valid_to=r.contract.valid_to,
                **dict(zip(CLAUSES, r.contract.clauses, strict=True)),
            )
        for name, approved in s["recipients"][r.id].get("subprocessors", {}).items():
            governance.Subprocessor.objects.create(recipient=recipients[r.id], name=name, approved=approved)
        if r.mechanism:
            governance.TransferMechanism.objects.create(
                recipient=recipients[r.id],
                kind=r.mechanism.kind,
                valid_from=r.mechanism.valid_from,
                valid_to=r.mechanism.valid_to,
            )
    for a in register.assessments.values():
        row = governance.ImpactAssessment.objects.create(
            code=a.id,
            approved_at=a.approved_at,
            expires_on=a.expires_on,
            automated_decisions=a.automated_decisions,
            sensitive_groups=sorted(a.sensitive_groups),
            overseas=a.overseas,
        )
        row.purposes.set([purposes[code] for code in a.purposes])
        row.recipients.set([recipients[code] for code in a.recipients])
    governance.PolicyRevision.objects.create(revision=1, state="published", values=s["policy"])
    house = register.house
    governance.Brand.objects.bulk_create(
        governance.Brand(code=code, name=code, signatures=list(names)) for code, names in house.signatures.items()
    )
    words = {
        "promotion": house.promotion_words,
        "prohibited": house.prohibited_words,
        "absolute": house.absolute_words,
        "optout_phrase": house.optout_phrases,
        "email_domain": house.verified_domains,
        "barred_for_minors": house.barred_for_minors,
        "needing_approval": house.needing_approval,
    }
    governance.WordList.objects.bulk_create(
        governance.WordList(kind=kind, words=list(listed)) for kind, listed in words.items()
    )
    governance.CrossBorderCount.objects.bulk_create(
        governance.CrossBorderCount(year=year, ordinary=ordinary, sensitive=sensitive)
        for year, (ordinary, sensitive) in house.cross_border.items()
    )
    consent.CollectionPoint.objects.bulk_create(
        consent.CollectionPoint(code=p.id, kind=p.kind.value, double_opt_in=sorted(p.double_opt_in))
        for p in register.book.points.values()
    )
    consent.SourceBatch.objects.bulk_create(
        consent.SourceBatch(code=code, source=source, provenance_doc="a paper" if proved else "")
        for code, (source, proved) in world.batches.items()
    )
    notices_store(register.book.notices.values())
    campaign_store(world)


def _stored(model: Any, rows: Mapping[str, Any]) -> Mapping[str, Any]:
    model.objects.bulk_create(rows.values())
    return rows


def notices_store(notices: Iterable[Notice]) -> None:
    """Store notices with what they promise."""
    from consent.models import Notice as NoticeRow
    from consent.models import NoticeTerms, NoticeVersion

    notices = list(notices)
    heads = {name: NoticeRow(code=name) for name in {n.ref.id for n in notices}}
    _stored(NoticeRow, heads)
    versions = {
        n.ref: NoticeVersion(
            notice=heads[n.ref.id],
            version=n.ref.version,
            effective_at=n.effective_at,
            material=n.material,
            affects=sorted(n.affects),
            text=f"{n.ref.id}@{n.ref.version}",
            text_sha256=n.text_sha256,
        )
        for n in notices
    }
    NoticeVersion.objects.bulk_create(versions.values())
    NoticeTerms.objects.bulk_create(
        NoticeTerms(
            notice_version=versions[n.ref],
            purpose=purpose,
            valid_months=t.valid_months,
            categories=sorted(t.categories),
            declared_per_month=dict(t.declared_per_month),
        )
        for n in notices
        for purpose, t in n.terms.items()
    )


def campaign_store(world: World) -> None:
    """Store the campaign of a world and its message."""
    from consent.models import Campaign
    from consent.models import Content as ContentRow

    plan, content = world.plan, world.plan.content
    if plan.campaign is None:
        return
    row = None
    if content:
        row = ContentRow.objects.create(
            code=content.id,
            subject=content.subject,
            body=content.body,
            landing_url=content.landing_url,
            sender_name=content.sender_name,
            contact=content.contact,
            optout_tested_at=content.optout_tested_at,
            optout_requires_login=content.optout_requires_login,
            optout_valid_until=content.optout_valid_until,
            review_state=content.review_state,
            review_sha256=content.review_sha256,
            exceptions=[{"term": term, "proof": "a paper"} for term in sorted(content.exceptions)],
            claims=[{"text": "a claim", "proof": ""}] if content.unproven_claims else [],
            approval_no=content.approval_no,
            from_domain=content.from_domain,
            one_click_close=content.one_click_close,
        )
    asks = plan.asks_for or ("", "")
    Campaign.objects.create(
        code=plan.campaign,
        kind=plan.kind,
        purpose=plan.purpose,
        channel=plan.channel,
        planned_at=plan.planned_at,
        brand=plan.brand,
        approved_at=plan.approved_at,
        second_approver=plan.second_approver,
        recipient_count=plan.recipient_count,
        personalised=plan.personalised,
        generic_variant=plan.generic_variant,
        adm_refusal_link=plan.adm_refusal_link,
        fields=list(plan.fields),
        segment_fields=list(plan.segment_fields),
        required_fields=list(plan.required_fields),
        recipient=plan.recipient or "",
        route=plan.route,
        suppression_synced_at=plan.suppression_synced_at,
        content=row,
        product_categories=sorted(plan.product_categories),
        price_rule_fields=list(plan.price_rule_fields),
        assessment=plan.assessment or "",
        template_id=plan.template_id,
        asks_for_purpose=asks[0],
        asks_for_channel=asks[1],
    )


def people_store(worlds: Sequence[World]) -> None:
    """Store the people of some worlds and what is on their lists, through the services that imports use."""
    from consent.models import Guardianship as GuardianshipRow
    from consent.models import SendRecord, Suppression, TemplateSubscription
    from consent.selectors.register import register_live
    from consent.services.records import NewRecord, records_append
    from consent.services.subjects import guests_ensure, holders_mark, members_find, members_store
    from governance.crypto.blind_index import lookup_maker

    register = register_live()
    governed = register.governed
    people = [person for world in worlds for person in world.people]
    instants = sorted({world.at for world in worlds})
    for at in instants:
        members = [p.member for world in worlds if world.at == at for p in world.people if not p.guest]
        members_store(members, register=register, actor=ACTOR, at=at)
    keys = members_find(p.member.member_id for p in people if not p.guest)
    guests = guests_ensure([p.guest for p in people if p.guest], actor=ACTOR, at=instants[0])
    owned = [(guests[p.guest] if p.guest else keys[p.member.member_id], p) for p in people]
    GuardianshipRow.objects.bulk_create(
        GuardianshipRow(
            child_id=key,
            guardian=b"sealed",
            relation="mother",
            purposes=[governed.purpose_keys[p] for p in sorted(g.purposes)],
            given_at=g.given_at,
            withdrawn_at=g.withdrawn_at,
            proof="a paper",
        )
        for key, person in owned
        for g in person.guardianships
    )
    said = [(key, record) for key, person in owned for record in person.records]
    records_append(
        [NewRecord(key, record, proof="a paper" if record.proof else "") for key, record in said],
        register=register,
        actor=ACTOR,
        at=max([instants[-1], *(record.at for _, record in said)]),
    )
    makers = {kind: lookup_maker(kind) for kind in IdentifierType}
    listed = [
        Suppression(
            type=kind.value,
            lookup=makers[kind](value),
            kind=x.kind.value,
            channel_id=None if x.scope == "*" else governed.channel_keys[x.scope],
            said_at=x.at,
            removed_at=x.removed_at,
        )
        for world in worlds
        for kind, value, x in world.listings
    ]
    Suppression.objects.bulk_create(listed)
    holders_mark({row.lookup for row in listed})
    SendRecord.objects.bulk_create(
        SendRecord(
            type=kind.value,
            lookup=makers[kind](value),
            channel_id=governed.channel_keys[x.channel],
            sent_at=x.at,
            kind=x.kind.value,
            template=x.template,
        )
        for world in worlds
        for kind, value, x in world.sends
    )
    TemplateSubscription.objects.bulk_create(
        TemplateSubscription(lookup=makers[kind](value), template=x.template, action=x.action.value, said_at=x.at)
        for world in worlds
        for kind, value, x in world.subscriptions
    )


def plain(register: Register) -> Register:
    """Return a register without what only numbers it, for comparing."""
    return replace(register, version=0)


def answers(verdict: Verdict) -> tuple[str, ...]:
    """Return outcome and codes, as the cases write them."""
    return verdict.outcome.value, *(code.name for code in verdict.codes)


def constraints_now() -> None:
    """Check all deferred constraints now, or the end of every test on these rows checks them again."""
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE; SET CONSTRAINTS ALL DEFERRED")
