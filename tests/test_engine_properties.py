"""What no world may ever show: a send without a yes, a no that does not count, a finding that helps."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from consent.decisions.bits import BITS, bits_of, verdict_of
from consent.decisions.engine import Verdict, judge_send, verdict
from consent.decisions.reasons import Reason
from consent.domain.records import Slot, stand
from consent.domain.terms import Severity, WxAction
from tests.strategies import WHO, few, worlds
from tests.worlds import GivenPerson, Json, World, answers, judge_pure, patched

MARKETING = worlds().map(lambda drawn: patched(drawn[0], {"plan": drawn[1][0] | {"kind": "marketing"}}))


def judged(source: Json) -> dict[str, Verdict]:
    """Judge every row that the world's channel could have, by what is found on the people alone."""
    world = World(source)
    judgement = replace(judge_send(world.plan, register=world.register, at=world.at), findings={})
    return {row: judge_pure(world, judgement, row) for row in rows_of(source)}


def rows_of(source: Json) -> list[str]:
    kind = source["channels"][source["plan"]["channel"]]
    return [who for who in WHO if who.startswith(f"{kind}:")]


def sendable(source: Json) -> set[str]:
    return {row for row, found in judged(source).items() if found.outcome.may_send}


@given(MARKETING)
@few(40)
def test_nothing_but_a_grant_is_ever_allowed_for_marketing(source: Json) -> None:
    assert sendable(source) <= agreed(World(source))


def agreed(world: World) -> set[str]:
    """The rows for which somebody who holds them gave a good and confirmed yes, or accepted the template."""
    plan = world.plan
    if plan.channel == "wx_sub":
        return {
            f"wechat_openid:{value}"
            for _, value, x in world.subscriptions
            if x.action is WxAction.ACCEPT and x.template == plan.template_id and x.at <= world.at
        }
    rows = set()
    for person in world.people:
        said = [record for record in person.records if record.at <= world.at]
        standing = stand(said, book=world.book, phone_bound_at=person.member.phone_bound_at)
        state = standing.states.get(Slot(plan.purpose, plan.channel))
        if state and state.granted and state.confirmed and not (state.bad_form or state.bundled or state.no_evidence):
            rows |= held_by(person, world.source)
    return rows


def held_by(person: GivenPerson, source: Json) -> set[str]:
    spec = source["people"][person.name]
    kinds = ("phone", "email", "wechat_openid", "member_id")
    return {f"{kind}:{spec[kind]}" for kind in kinds if spec.get(kind)}


@given(MARKETING)
@few(40)
def test_a_no_to_everything_in_the_last_second_is_never_sent_to(source: Json) -> None:
    no = {"act": "withdraw", "at": source["at"], "purpose": "*", "channel": "*"}
    said = patched(source, {"people": {name: {"records": {"no": no}} for name in source["people"]}})

    held = {row for person in World(source).people for row in held_by(person, source)}
    assert sendable(said) & held == set()


@given(
    MARKETING, st.sampled_from(["listed", "opt_out", "carrier"]), st.sampled_from(["*", "sms"]), st.sampled_from(WHO)
)
@few(40)
def test_one_more_line_on_a_list_never_opens_a_way(source: Json, kind: str, scope: str, who: str) -> None:
    listed = patched(source, {"listings": {"more": {"kind": kind, "who": who, "scope": scope, "at": source["at"]}}})

    assert sendable(listed) <= sendable(source)


@given(MARKETING, st.integers(1, 4), st.data())
@few(40)
def test_one_more_message_sent_never_opens_a_way(source: Json, times: int, data: st.DataObject) -> None:
    plan = source["plan"]
    who = data.draw(st.sampled_from(rows_of(source)))
    send = {"who": who, "channel": plan["channel"], "at": source["at"], "template": plan.get("template_id", "")}

    sent = patched(source, {"sends": {"more": send | {"times": times}}})

    assert sendable(sent) <= sendable(source)


@given(MARKETING)
@few(40)
def test_nobody_can_tell_a_stranger_from_a_member_who_was_never_asked(source: Json) -> None:
    """Same outcome and same codes: the answer does not say who is a member."""
    named = {"phone": "13899999999", "email": "new@example.com", "member_id": "M999999"}
    kind = source["channels"][source["plan"]["channel"]]
    value = named.get(kind, "oNew000000000000000000000000")
    known = {"member_id": "M999999", "registered": source["at"][:10]} | {kind: value}

    stranger = judge_pure(World(source), row=f"{kind}:{value}")
    member = judge_pure(World(patched(source, {"people": {"new": known}})), row=f"{kind}:{value}")

    assert answers(stranger) == answers(member)


FINDINGS = st.dictionaries(
    st.sampled_from([reason for reason in Reason if reason is not Reason.ALLOW]),
    st.sampled_from(list(Severity)),
    max_size=8,
)


@given(FINDINGS, FINDINGS, st.booleans())
@few(300)
def test_no_finding_ever_makes_a_denial_sendable(
    one: dict[Reason, Severity], more: dict[Reason, Severity], m: bool
) -> None:
    both = more | one

    before, after = verdict(one.items(), marketing=m), verdict(both.items(), marketing=m)

    order = ["allow", "allow_with_obligations", "defer", "hold", "deny"]
    assert order.index(after.outcome.value) >= order.index(before.outcome.value)
    assert set(before.codes) - {Reason.ALLOW} <= set(after.codes)


@given(FINDINGS, st.booleans())
@few(300)
def test_the_worst_finding_decides(findings: dict[Reason, Severity], marketing: bool) -> None:
    decided = verdict(findings.items(), marketing=marketing)

    weights = set(findings.values())
    assert (decided.outcome.value == "deny") is (Severity.DENY in weights)
    assert (decided.outcome.value == "hold") is (Severity.HOLD in weights and Severity.DENY not in weights)
    assert decided.outcome.may_send is (not weights & {Severity.DENY, Severity.HOLD, Severity.DEFER})
    assert (Reason.ALLOW in decided.codes) is decided.outcome.may_send
    assert list(decided.codes) == sorted(decided.codes)


@given(st.lists(st.sampled_from(BITS), unique_by=lambda found: found[0]), FINDINGS, st.booleans())
@few(300)
def test_findings_survive_being_stored_as_bits(
    found: list[tuple[Reason, Severity]], send: dict[Reason, Severity], marketing: bool
) -> None:
    bits = bits_of(dict(found))
    combined = dict(send)
    for reason, severity in found:
        if reason not in combined or severity.rank > combined[reason].rank:
            combined[reason] = severity

    assert verdict_of(bits, send, marketing=marketing) == verdict(combined.items(), marketing=marketing)
