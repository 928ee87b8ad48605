"""Random worlds: a handful of people who share numbers and addresses, and everything that can be said about them.

Times are drawn close to the instant that is judged and to each other, so that ties and boundaries are common.
"""

from __future__ import annotations

import os
from datetime import date, datetime, timedelta
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from governance.domain.calendar import SHANGHAI, add_months, day_of
from tests.worlds import Json, base_world, patched

WORLDS = int(os.environ.get("ZHIXU_WORLDS", "0"))
"""How many random worlds to try. Unset: the same few every time."""


def few(number: int) -> settings:
    """Return the settings for a property: `number` examples, or as many as ZHIXU_WORLDS says."""
    return settings(
        max_examples=WORLDS or number,
        derandomize=not WORLDS,
        database=None,
        deadline=None,
        print_blob=False,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
    )


PROMOTION, PERSONALISED, ORDER = "marketing.promotion", "marketing.personalised", "service.order"
PHONES = ["13800000001", "13800000002"]
EMAILS = ["a@example.com", "b@example.com"]
OPENIDS = ["oPersonA0000000000000000000_", "oPersonB0000000000000000000_"]
CHANNELS = ["sms", "email", "app_push", "wx_sub", "phone"]
WHO = [
    *(f"phone:{phone}" for phone in [*PHONES, "13800000009"]),
    *(f"email:{email}" for email in EMAILS),
    *(f"wechat_openid:{openid}" for openid in OPENIDS),
    *(f"member_id:M00000{number}" for number in range(1, 5)),
]

INSTANTS = [
    datetime(2026, 11, 21, 10, 0, tzinfo=SHANGHAI),
    datetime(2026, 11, 1, 0, 0, tzinfo=SHANGHAI),
    datetime(2026, 2, 28, 23, 59, 59, tzinfo=SHANGHAI),
    datetime(2028, 2, 29, 12, 0, tzinfo=SHANGHAI),
    datetime(2026, 3, 1, 0, 0, tzinfo=SHANGHAI),
    datetime(2026, 12, 31, 16, 0, tzinfo=SHANGHAI),
]

RICH: Json = {
    "notices": {
        "privacy@2": {
            "effective_at": "2026-06-01 00:00",
            "material": True,
            "affects": [PERSONALISED, "share.partner"],
            "terms": {
                PROMOTION: {"months": 6, "categories": ["contact", "profile"], "a_month": {"sms": 2, "email": 1}},
                PERSONALISED: {"months": 1, "categories": ["contact", "profile", "purchase", "health"]},
                "share.partner": {"months": 12, "categories": []},
            },
        },
        "form@1": {
            "effective_at": "2026-01-05 00:00",
            "terms": {
                PROMOTION: {"categories": ["contact"], "a_month": {"wx_sub": 1}},
                PERSONALISED: {"categories": []},
            },
        },
    },
    "points": {"web": {"double_opt_in": ["email", "sms"]}},
    "policy": {"frequency_cap": {"sms": {"max": 2, "days": 30}, "email": {"max": 1, "days": 7}}},
    "people": {"lin": None},
}


def rich_register() -> Json:
    """The base world with a register in which more can go wrong, and without people."""
    return patched(base_world(), RICH)  # type: ignore[no-any-return]


SPANS = [
    timedelta(0),
    timedelta(seconds=1),
    timedelta(hours=3),
    timedelta(days=1),
    timedelta(days=6, hours=23),
    timedelta(days=7),
    timedelta(days=30),
    timedelta(days=31),
    timedelta(days=180),
    timedelta(days=365),
]


def _text(at: datetime) -> str:
    return at.isoformat()


def past(now: datetime) -> st.SearchStrategy[str]:
    return st.sampled_from(SPANS).map(lambda span: _text(now - span))


def around(now: datetime) -> st.SearchStrategy[str]:
    ahead = [timedelta(seconds=-1), timedelta(days=-2)]
    return st.sampled_from([*SPANS, *ahead]).map(lambda span: _text(now - span))


def maybe(strategy: st.SearchStrategy[Any], often: int = 4) -> st.SearchStrategy[Any]:
    """Draw a value, or (`often` times more often) nothing."""
    return st.integers(0, often).flatmap(lambda n: strategy if n == 0 else st.none())


def mostly(usual: Any, *others: Any, weight: int = 4) -> st.SearchStrategy[Any]:
    return st.sampled_from([usual] * weight * max(1, len(others)) + list(others))


def days_near(day: date) -> st.SearchStrategy[str]:
    return st.sampled_from([-400, -2, -1, 0, 1, 30]).map(lambda n: (day + timedelta(days=n)).isoformat())


NOS = ["deny", "withdraw"]


Focus = tuple[str, str]
"""The purpose and channel a world is mostly about, so that its acts, lists and sends meet."""


@st.composite
def records(draw: st.DrawFn, now: datetime, focus: Focus) -> Json:
    """One act: a yes that may be defective in every way, or a no of any width."""
    act = draw(st.sampled_from(["grant", "grant", "grant", "grant", "renew", "confirm", *NOS]))
    record: Json = {"act": act, "at": draw(past(now))}
    if draw(st.integers(0, 3)) == 0:
        record |= {"channel": "separate"} | draw(
            st.sampled_from(
                [
                    {"purpose": "share.partner", "recipient": "partner"},
                    {"purpose": "crossborder.transfer", "recipient": "us-mail"},
                    {"purpose": PERSONALISED, "group": "health"},
                    {"purpose": PERSONALISED, "group": "child"},
                    {"purpose": PROMOTION, "group": "health"},
                ]
            )
        )
        if act in NOS:
            for part in ("purpose", "recipient", "group"):
                if draw(st.integers(0, 2)) == 0:
                    record[part] = "*" if part == "purpose" else None
    else:
        record["purpose"] = draw(mostly(focus[0], PROMOTION, PERSONALISED, weight=2))
        record["channel"] = draw(mostly(focus[1], *CHANNELS, weight=3))
        if act in NOS:
            record["purpose"] = draw(mostly(record["purpose"], "*"))
            record["channel"] = draw(mostly(record["channel"], "*"))
    return record | {
        "point": draw(mostly("app", "web", "web", "old_list", weight=3)),
        "notice": draw(mostly("privacy@1", "privacy@2", "privacy@2", "form@1", "", weight=3)),
        "control": draw(mostly("toggle", "signature", "continue_to_use", "", weight=10)),
        "pre_checked": draw(mostly(False, True, "unknown", weight=10)),
        "bundle": draw(mostly("own", "terms", "accept_all", weight=6)),
        "evidence": draw(mostly("A", "B", "C", "", weight=10)),
        "proof": draw(mostly(True, False, weight=15)),
        "valid_until": draw(maybe(days_near(day_of(now)), often=8)),
    }


def _guardians(now: datetime) -> st.SearchStrategy[Json]:
    one = st.fixed_dictionaries(
        {
            "given_at": around(now),
            "purposes": st.lists(st.sampled_from([PROMOTION, PERSONALISED]), min_size=1, unique=True),
            "withdrawn_at": maybe(around(now), often=1),
        }
    )
    return st.lists(one, max_size=2).map(lambda found: {str(n): g for n, g in enumerate(found)})


@st.composite
def members(draw: st.DrawFn, number: int, now: datetime, focus: Focus) -> Json:
    today = day_of(now)
    limit = add_months(today, -36)
    births = [
        add_months(today, -12 * 14),
        add_months(today, -12 * 14) - timedelta(days=1),
        add_months(today, -12 * 18),
        add_months(today, -12 * 18) - timedelta(days=1),
        date(2012, 2, 29),
        date(2008, 2, 29),
    ]
    said = draw(st.lists(records(now, focus), max_size=4))
    if draw(st.integers(0, 2)):
        said.insert(0, {"at": draw(past(now)), "purpose": focus[0], "channel": focus[1]})
    phone = draw(mostly(draw(st.sampled_from(PHONES)), None))
    return {
        "member_id": f"M00000{number}",
        "phone": phone,
        "email": draw(mostly(draw(st.sampled_from(EMAILS)), None)),
        "wechat_openid": draw(mostly(draw(st.sampled_from(OPENIDS)), None)),
        "phone_bound_at": draw(maybe(around(now))) if phone else None,  # a time binds nothing without a number
        "births": draw(
            st.one_of(
                st.just(["1990-05-01"]),
                st.just(["1990-05-01"]),
                st.just([]),
                st.lists(
                    st.one_of(
                        st.sampled_from(births).map(date.isoformat),
                        st.sampled_from(["2012", "2012-02", "20090101", "00后", "2010-13-45"]),
                    ),
                    max_size=2,
                ),
            )
        ),
        "registered": draw(maybe(st.just("2019-01-01"), often=1)),
        "last_active": draw(mostly(*map(date.isoformat, [today, limit, limit - timedelta(days=1)]))),
        "status": draw(maybe(st.lists(st.sampled_from(["FROZEN", "DECEASED", "ERASED"]), unique=True), often=9)) or [],
        "batches": draw(mostly([""], ["bought"], ["unproven"], ["bought", "unproven"], ["bought", ""], weight=8)),
        "personalisation_off_at": draw(maybe(around(now), often=6)),
        "paused_until": draw(maybe(days_near(today), often=8)),
        "restricted": draw(maybe(st.lists(st.sampled_from([PROMOTION, PERSONALISED, ORDER]), max_size=2), often=6))
        or [],
        "records": {str(n): record for n, record in enumerate(said)},
        "guardians": draw(_guardians(now)),
    } | ({"recycled_on": draw(st.one_of(st.just(""), days_near(today)))} if draw(st.integers(0, 8)) == 0 else {})


@st.composite
def people(draw: st.DrawFn, now: datetime, focus: Focus) -> Json:
    found = {f"member {n}": draw(members(n, now, focus)) for n in range(1, draw(st.integers(1, 4)) + 1)}
    for kind, value in draw(
        st.lists(
            st.sampled_from([("phone", PHONES[0]), ("phone", PHONES[1]), ("email", EMAILS[0])]), max_size=2, unique=True
        )
    ):
        said = draw(st.lists(records(now, focus), max_size=3))
        found[f"guest {value}"] = {kind: value, "records": {str(n): record for n, record in enumerate(said)}}
    return {name: patched({}, person) for name, person in found.items()}


def lists(now: datetime, focus: Focus) -> st.SearchStrategy[Json]:
    listing = st.fixed_dictionaries(
        {
            "kind": st.sampled_from(["opt_out", "opt_out", "listed", "carrier"]),
            "who": st.sampled_from(WHO),
            "scope": st.sampled_from(["*", "*", "sms", "email", "app_push", "wx_sub"]),
            "at": st.one_of(st.none(), around(now), around(now), around(now)),
            "removed_at": maybe(around(now), often=2),
        }
    ).map(lambda x: patched({}, x if x["kind"] != "opt_out" else x | {"removed_at": None}))
    send = st.fixed_dictionaries(
        {
            "who": st.sampled_from(WHO),
            "channel": mostly(focus[1], *CHANNELS, weight=1),
            "at": around(now),
            "kind": st.sampled_from(["marketing", "marketing", "service", "solicitation"]),
            "template": st.sampled_from(["T-new", "T-new", "T-old", ""]),
            "times": st.integers(1, 3),
        }
    )
    subscription = st.fixed_dictionaries(
        {
            "who": st.sampled_from([who for who in WHO if who.startswith("wechat")]),
            "template": st.sampled_from(["T-new", "T-new", "T-old"]),
            "action": st.sampled_from(["accept", "accept", "reject", "ban"]),
            "at": around(now),
        }
    )

    def numbered(strategy: st.SearchStrategy[Json], most: int) -> st.SearchStrategy[Json]:
        return st.lists(strategy, max_size=most).map(lambda found: {str(n): item for n, item in enumerate(found)})

    return st.fixed_dictionaries(
        {"listings": numbered(listing, 4), "sends": numbered(send, 5), "subscriptions": numbered(subscription, 3)}
    )


@st.composite
def plans(draw: st.DrawFn, focus: Focus) -> Json:
    purpose = draw(mostly(focus[0], PROMOTION, PERSONALISED, ORDER, weight=2))
    channel = draw(mostly(focus[1], *CHANNELS, weight=2))
    fields = ["city", "last_category", "skin_condition", "baby_birthday"]
    extra = draw(mostly([], draw(st.lists(st.sampled_from(fields), unique=True)), weight=4))
    plan = {
        "purpose": purpose,
        "channel": channel,
        "kind": "service" if purpose == ORDER else "marketing",
        "fields": extra,
        "segment_fields": draw(mostly([], ["city"], ["last_category"], ["skin_condition"], weight=2)),
        "required_fields": draw(st.lists(st.sampled_from(extra), max_size=1)) if extra else [],
        "personalised": draw(st.booleans()),
        "generic_variant": draw(st.booleans()),
        "adm_refusal_link": True,
        "recipient": draw(mostly(None, "yunqiao", "partner", "us-mail", weight=4)),
        "product_categories": draw(mostly([], ["alcohol"], weight=3)),
        "template_id": draw(mostly("T-new", "T-old", "")),
        "asks_for": draw(
            maybe(
                st.sampled_from(
                    [f"{PROMOTION}:email", f"{PROMOTION}:sms", f"{PERSONALISED}:wx_sub", f"{PROMOTION}:app_push"]
                ),
                often=2,
            )
        ),
    }
    return patched({}, plan)  # type: ignore[no-any-return]


@st.composite
def worlds(draw: st.DrawFn, sends: int = 1) -> tuple[Json, list[Json]]:
    """People and lists at some instant, and what is to be sent to them."""
    now = draw(st.sampled_from(INSTANTS))
    focus = draw(st.sampled_from([PROMOTION, PERSONALISED])), draw(st.sampled_from(["sms", *CHANNELS]))
    population = patched(
        rich_register(), {"at": _text(now), "people": draw(people(now, focus)), **draw(lists(now, focus))}
    )
    return population, [draw(plans(focus)) for _ in range(sends)]
