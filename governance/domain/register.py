"""The register as plain values: what rules read of purposes, channels, data, recipients and house policy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, time

from audit.domain.worded import WordedError
from governance.domain.identifiers import IdentifierType
from governance.domain.terms import PurposeKind


@dataclass(frozen=True, slots=True)
class Purpose:
    """A purpose of the register. `contains` names the narrower purposes a consent to it includes."""

    id: str
    kind: PurposeKind
    legal_basis: str | None
    contains: frozenset[str] = frozenset()
    name: str = ""


@dataclass(frozen=True, slots=True)
class Channel:
    id: str
    identifier: IdentifierType
    name: str = ""

    @property
    def uses_phone(self) -> bool:
        return self.identifier is IdentifierType.PHONE


@dataclass(frozen=True, slots=True)
class DataField:
    """A field of the data catalogue (pipl-rules section 16)."""

    id: str
    category: str
    sensitive: bool = False
    group: str | None = None  # sensitive group a separate consent names
    behaviour: bool = False  # using it makes the send an automated decision
    device: bool = False
    source: str = ""
    allowed_purposes: frozenset[str] = frozenset()
    aggregate: str | None = None
    bulk_class: str | None = None
    tier: str = "T1"


@dataclass(frozen=True, slots=True)
class Contract:
    """The entrusting contract. `clauses` are the six of PIPL 21 and 59."""

    clauses: tuple[str, ...]
    valid_from: date | None
    valid_to: date | None


@dataclass(frozen=True, slots=True)
class Mechanism:
    """A route for sending data abroad: `assessment`, `scc` or `cert` (PIPL 38)."""

    kind: str
    valid_from: date | None
    valid_to: date | None


@dataclass(frozen=True, slots=True)
class Recipient:
    id: str
    role: str  # ENTRUSTED, INDEPENDENT or JOINT
    country: str
    contract: Contract | None = None
    allowed_fields: frozenset[str] | None = None  # None: no list
    unapproved_subprocessors: bool = False
    restricted_categories: frozenset[str] = frozenset()
    mechanism: Mechanism | None = None
    name: str = ""

    @property
    def abroad(self) -> bool:
        """Hong Kong, Macau and Taiwan count as abroad here (pipl-rules XB-PIA)."""
        return self.country != "CN"


@dataclass(frozen=True, slots=True)
class Assessment:
    """A personal-information impact assessment (个人信息保护影响评估) and what it covers."""

    id: str
    approved_at: datetime | None
    expires_on: date | None
    purposes: frozenset[str]
    recipients: frozenset[str]
    automated_decisions: bool
    sensitive_groups: frozenset[str]
    overseas: bool


@dataclass(frozen=True, slots=True)
class Policy:
    """House rules: never law, and the officer may change them."""

    revision: int
    quiet_windows: Mapping[str, tuple[time, time]]
    frequency_cap: Mapping[str, tuple[int, int]]  # channel → (messages, days)
    reask_cooldown_days: int
    retention_inactive_months: int | None
    double_opt_in_days: int
    optout_route_test_days: int
    suppression_max_age_hours: int
    bulk_thresholds: Mapping[str, int]
    campaign_required: bool = False


@dataclass(frozen=True, slots=True)
class House:
    """What the legal entity says of itself: signatures, word lists, product lists, counters."""

    signatures: Mapping[str, tuple[str, ...]]  # brand → signatures
    promotion_words: tuple[str, ...]
    prohibited_words: tuple[str, ...]
    absolute_words: tuple[str, ...]
    optout_phrases: tuple[str, ...]
    verified_domains: frozenset[str]
    barred_for_minors: frozenset[str]
    needing_approval: frozenset[str]
    cross_border: Mapping[int, tuple[int, int]]  # year → (ordinary, sensitive) persons sent abroad


DEFAULT_POLICY: dict[str, object] = {
    "quiet_windows": {"sms": ["08:00", "21:00"], "phone": ["09:00", "20:00"], "app_push": ["08:00", "21:00"]},
    "frequency_cap": {},
    "reask_cooldown_days": 180,
    "retention_inactive_months": 36,
    "double_opt_in_days": 7,
    "optout_route_test_days": 7,
    "suppression_max_age_hours": 24,
    "bulk_thresholds": {"trajectory_financial": 25, "order_health": 250, "other": 2500},
    "campaign_required": False,
}


class PolicyError(WordedError):
    """Policy values that cannot be; the message names the key."""


def policy_from(values: Mapping[str, object], revision: int) -> Policy:
    """Read stored policy values, defaults for what is absent.

    Raises:
        PolicyError: an unknown key or a value of the wrong kind; the message names the key.
    """
    unknown = set(values) - set(DEFAULT_POLICY)
    if unknown:
        raise PolicyError("Unknown keys of the policy: %(keys)s.", keys=", ".join(sorted(unknown)))
    merged = DEFAULT_POLICY | dict(values)
    months = merged["retention_inactive_months"]
    return Policy(
        revision=revision,
        quiet_windows={c: (_clock(c, pair[0]), _clock(c, pair[1])) for c, pair in _pairs(merged, "quiet_windows")},
        frequency_cap={
            c: (_count("frequency_cap", cap.get("max")), _count("frequency_cap", cap.get("days")))
            for c, cap in _tables(merged, "frequency_cap")
        },
        reask_cooldown_days=_count("reask_cooldown_days", merged["reask_cooldown_days"]),
        retention_inactive_months=None if months is None else _count("retention_inactive_months", months),
        double_opt_in_days=_count("double_opt_in_days", merged["double_opt_in_days"]),
        optout_route_test_days=_count("optout_route_test_days", merged["optout_route_test_days"]),
        suppression_max_age_hours=_count("suppression_max_age_hours", merged["suppression_max_age_hours"]),
        bulk_thresholds={c: _count("bulk_thresholds", n) for c, n in _table(merged, "bulk_thresholds").items()},
        campaign_required=bool(merged["campaign_required"]),
    )


def _table(values: Mapping[str, object], key: str) -> Mapping[str, object]:
    table = values[key]
    if not isinstance(table, Mapping):
        raise PolicyError("%(key)s: an object is expected.", key=key)
    return table


def _tables(values: Mapping[str, object], key: str) -> list[tuple[str, Mapping[str, object]]]:
    found = []
    for name, entry in _table(values, key).items():
        if not isinstance(entry, Mapping):
            raise PolicyError("%(key)s: an object is expected.", key=f"{key}.{name}")
        found.append((name, entry))
    return found


def _pairs(values: Mapping[str, object], key: str) -> list[tuple[str, list[object]]]:
    found = []
    for name, entry in _table(values, key).items():
        if not isinstance(entry, list) or len(entry) != 2:
            raise PolicyError("%(key)s: a pair of times is expected.", key=f"{key}.{name}")
        found.append((name, entry))
    return found


def _clock(channel: str, text: object) -> time:
    try:
        return time.fromisoformat(str(text))
    except ValueError:
        raise PolicyError(
            "%(key)s: %(value)s is no time of day.", key=f"quiet_windows.{channel}", value=str(text)[:40]
        ) from None


def _count(key: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise PolicyError("%(key)s: a whole number is expected, not negative.", key=key)
    return value
