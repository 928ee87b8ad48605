"""What a send rests on and what is wrong with it, one send at a time: a plain reading of the reconciliation.

No database: a history is plain values. Receivers and people are small numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, time, timedelta

from consent.domain.sends import REPORTED_DUTIES, SendFinding
from governance.domain.calendar import SHANGHAI

TTL = timedelta(seconds=60)
SKEW = timedelta(seconds=5)
GENERIC, DROP = "USE_GENERIC_VARIANT", "DROP_FIELDS"

F = SendFinding


@dataclass(frozen=True)
class Duties:
    """What is owed for one campaign, channel and purpose, by the register."""

    codes: tuple[str, ...]
    vendor: str
    marketing: bool
    window: tuple[time, time] | None
    purpose: str
    heard: frozenset[str]  # purposes whose "no" the purpose hears
    wider: frozenset[str]


@dataclass(frozen=True)
class Answer:
    """One decision, or one row of a screening with what it said when."""

    name: str
    receiver: str
    campaign: str
    channel: str
    purpose: str
    subject: str | None = None
    recipient: str | None = None  # asked for; "" in house; None: not said
    decided_at: datetime | None = None  # of a decision
    outcome: int = 0
    extra: tuple[str, ...] = ()  # duties of this person alone
    passes: tuple[tuple[datetime, datetime, datetime], ...] = ()  # judged, valid from, valid until
    before: tuple[tuple[datetime, int], ...] = ()  # until, outcome: what the row said earlier
    screening: str = ""

    def at(self, sent_at: datetime) -> Said | None:
        """Return what was answered when the send went out, or None if that was nothing yet."""
        if self.decided_at is not None:
            known = self.decided_at <= sent_at + SKEW
            return Said(self.outcome, self.decided_at, self.decided_at + TTL) if known else None
        done = [one for one in self.passes if one[1] <= sent_at + SKEW]
        if not done:
            return None
        judged, _, until = max(done, key=lambda one: one[1])
        earlier = [outcome for end, outcome in sorted(self.before) if end > sent_at]
        return Said(earlier[0] if earlier else self.outcome, judged, until)


@dataclass(frozen=True)
class Said:
    outcome: int
    at: datetime
    expires: datetime


@dataclass(frozen=True)
class Word:
    """A "yes" or a "no" of a person; purpose and channel None: all."""

    person: str
    gives: bool
    purpose: str | None
    channel: str | None
    said_at: datetime
    recorded_at: datetime


@dataclass(frozen=True)
class Listed:
    receiver: str
    kind: str
    channel: str | None
    said_at: datetime | None
    recorded_at: datetime
    removed_at: datetime | None = None


@dataclass(frozen=True)
class Send:
    name: str
    receiver: str
    campaign: str
    channel: str
    sent_at: datetime
    kind: str = "marketing"
    decision: str | None = None  # named; may be unknown
    row: str | None = None  # named row of a screening
    screening: str | None = None  # named screening, the row found by receiver
    recipient: str | None = None  # None: not said; "" in house
    met: frozenset[str] = frozenset()
    unmet: frozenset[str] = frozenset()
    delivered: bool = True


@dataclass(frozen=True)
class History:
    holders: Mapping[str, frozenset[str]]  # receiver → people
    reachable: frozenset[str]  # receivers that are phones or addresses
    answers: tuple[Answer, ...] = ()
    words: tuple[Word, ...] = ()
    listed: tuple[Listed, ...] = ()
    sends: tuple[Send, ...] = ()
    duties: Mapping[tuple[str, str, str], Duties] = field(default_factory=dict)
    marketing: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Judged:
    answer: str | None
    findings: SendFinding


def reconcile(history: History) -> dict[str, Judged]:
    """Return what each send rests on and its findings."""
    found = {send.name: _one(send, history) for send in history.sends}
    for send in history.sends:
        rest = _rest(send, found[send.name], history)
        same = [o for o in history.sends if o.delivered and rest and _rest(o, found[o.name], history) == rest]
        if send.delivered and any((o.sent_at, o.name) < (send.sent_at, send.name) for o in same):
            found[send.name] = Judged(found[send.name].answer, found[send.name].findings | F.DOUBLE)
    return found


def _needs(send: Send, history: History) -> bool:
    return send.kind != "service" or send.campaign in history.marketing


def _judged(send: Send, history: History) -> bool:
    return _needs(send, history) or bool(send.decision or send.row or send.screening)


def _rest(send: Send, judged: Judged, history: History) -> object:
    if not _judged(send, history):
        return None
    if judged.answer is not None:
        return judged.answer
    return (send.receiver, send.campaign, send.channel) if send.campaign else None


def _candidates(send: Send, history: History) -> list[Answer]:
    if send.decision:
        return [a for a in history.answers if a.name == send.decision]
    if send.row:
        return [a for a in history.answers if a.name == send.row]
    if send.screening:
        return [a for a in history.answers if a.screening == send.screening and a.receiver == send.receiver]
    return [
        a
        for a in history.answers
        if send.campaign
        and (a.receiver, a.campaign, a.channel) == (send.receiver, send.campaign, send.channel)
        and (a.decided_at is None or a.decided_at <= send.sent_at + SKEW)
    ]


def _one(send: Send, history: History) -> Judged:
    if not _judged(send, history):
        return Judged(None, F(0))
    said = [(a, s) for a in _candidates(send, history) if (s := a.at(send.sent_at))]
    good = [(a, s) for a, s in said if s.outcome <= 1 and send.sent_at <= s.expires]
    best = max(good or said, key=lambda pair: (pair[1].at, pair[0].decided_at is not None, pair[0].name), default=None)
    answer, answered = best if best else (None, None)
    place = (answer.campaign, answer.channel, answer.purpose) if answer else (send.campaign, send.channel, "")
    duties = history.duties[place]
    findings = F(0)
    if answered is None:
        findings |= F.NO_DECISION
    elif answered.outcome > 1:
        findings |= F.DENIED
    elif send.sent_at > answered.expires:
        findings |= F.LATE
    if _needs(send, history):
        if _refused(send, answer, answered, duties, history):
            findings |= F.WITHDRAWN
        if send.delivered and duties.window and not _open(send.sent_at, *duties.window):
            findings |= F.OUTSIDE_WINDOW
    if answered and answered.outcome <= 1 and send.delivered:
        findings |= _owed(send, answer, duties)
    if answer:
        findings |= _other(send, answer, duties, history)
    return Judged(answer.name if answer else None, findings)


def _open(at: datetime, opens: time, closes: time) -> bool:
    now = at.astimezone(SHANGHAI).time()
    return opens <= now < closes if opens <= closes else now >= opens or now < closes


def _owed(send: Send, answer: Answer | None, duties: Duties) -> SendFinding:
    extra = set(answer.extra if answer and duties.marketing else ())
    owed = {code for code in duties.codes if code in REPORTED_DUTIES} | extra
    findings = F(0)
    if set(duties.codes) & send.unmet:
        findings |= F.UNMET
    if owed - send.met - send.unmet:
        findings |= F.UNREPORTED
    return findings


def _other(send: Send, answer: Answer, duties: Duties, history: History) -> SendFinding:
    findings = F(0)
    vendor = duties.vendor if answer.recipient is None else answer.recipient
    if send.recipient is not None and send.recipient != vendor:
        findings |= F.OTHER_VENDOR
    if answer.channel != send.channel:
        findings |= F.OTHER_CHANNEL
    if answer.campaign != send.campaign:
        findings |= F.OTHER_CAMPAIGN
    if _elsewhere(send, answer, history):
        findings |= F.OTHER_PERSON
    return findings


def _elsewhere(send: Send, answer: Answer, history: History) -> bool:
    """Tell whether an answer is about another receiver. Of two kinds of identifier it is who holds them."""
    if _kind(answer.receiver) == _kind(send.receiver):
        return answer.receiver != send.receiver
    return answer.subject not in history.holders.get(send.receiver, frozenset())


def _kind(receiver: str) -> str:
    return receiver.partition(":")[0]


def _refused(send: Send, answer: Answer | None, said: Said | None, duties: Duties, history: History) -> bool:
    people = set(history.holders.get(send.receiver, ()))
    if answer and answer.subject and not _elsewhere(send, answer, history):
        people.add(answer.subject)

    def new(recorded_at: datetime) -> bool:
        return recorded_at <= send.sent_at and (said is None or recorded_at > said.at)

    def given(person: str, purposes: frozenset[str], after: datetime | None) -> bool:
        return any(
            w.gives
            and w.person == person
            and w.recorded_at <= send.sent_at
            and w.channel == send.channel
            and w.purpose in purposes
            and (after is None or w.said_at > after)
            for w in history.words
        )

    own = frozenset({duties.purpose})
    for word in history.words:
        if word.gives or word.person not in people or not new(word.recorded_at):
            continue
        if word.channel not in (None, send.channel):
            continue
        heard = word.purpose is None or word.purpose in duties.heard
        wider = word.purpose in duties.wider and not given(word.person, own, None)
        if (heard or wider) and not given(word.person, own | duties.wider, word.said_at):
            return True
    mine = {r for r, holders in history.holders.items() if r in history.reachable and holders & people}
    for listed in history.listed:
        if listed.kind == "carrier" or not new(listed.recorded_at):
            continue
        to_come = listed.said_at is not None and listed.said_at > send.sent_at
        if to_come or (listed.removed_at is not None and listed.removed_at <= send.sent_at):
            continue
        here = listed.receiver == send.receiver and listed.channel in (None, send.channel)
        if not here and not (listed.channel is None and listed.receiver in mine):
            continue
        lifted = (
            listed.kind == "opt_out"
            and listed.said_at
            and any(given(person, own | duties.wider, listed.said_at) for person in people)
        )
        if not lifted:
            return True
    return False
