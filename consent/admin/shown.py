"""Decisions as pages show them: reasons in words, bars of a chart. No queries."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from django.utils.translation import get_language

from consent.admin.words import CONFIDENCES, KINDS, OBLIGATIONS, OUTCOMES, REMEDIES, SEVERITIES
from consent.decisions.answers import ENGLISH, Evidence, message, reasons
from consent.decisions.engine import Verdict
from consent.decisions.reasons import REASONS, Law, Reason
from consent.domain.laws import citation
from consent.domain.terms import Outcome, Severity
from consent.selectors.register import register_in_hand


def language() -> str:
    """Return the language rules and laws are shown in: Chinese unless the page is English."""
    return ENGLISH if (get_language() or "").startswith("en") else "zh-hans"


@dataclass(frozen=True, slots=True)
class ShownLaw:
    text: str
    ref: str
    confidence: str
    meaning: Any


@dataclass(frozen=True, slots=True)
class ShownReason:
    """One reason. `laws` is empty for what is no law: house policy and platform rules never pass for it."""

    code: str
    severity: str
    severity_word: Any
    kind: str
    kind_word: Any
    message: str
    other: str  # the same in the other language
    laws: list[ShownLaw]
    override: str
    primary: bool = False
    evidence: Mapping[str, Any] | None = None


def shown_reason(reason: Reason, severity: Severity | None, evidence: Evidence | None = None) -> ShownReason:
    info = REASONS[reason]
    spoken = language()
    weight = severity.value if severity else "allow"
    return ShownReason(
        code=reason.name,
        severity=weight,
        severity_word=SEVERITIES.get(weight, OUTCOMES["allow"]),
        kind=info.kind,
        kind_word=KINDS[info.kind],
        message=message(reason, spoken, evidence),
        other=message(reason, ENGLISH if spoken != ENGLISH else "zh-hans", evidence),
        laws=[_law(law) for law in info.law] if info.kind == "legal" else [],
        override=info.override,
    )


def _law(law: Law) -> ShownLaw:
    return ShownLaw(citation(law.ref, language()), law.ref, law.confidence, CONFIDENCES.get(law.confidence, ""))


def shown_findings(findings: Mapping[Reason, Severity]) -> list[ShownReason]:
    """Return the findings of a campaign stage in order of precedence."""
    return [shown_reason(reason, severity) for reason, severity in sorted(findings.items())]


def shown_verdict(verdict: Verdict, evidence: Evidence | None) -> list[ShownReason]:
    """Return all reasons of a verdict in order, the primary one marked, with what each rests on."""
    weights = dict(verdict.findings)
    facts = {str(entry["code"]): entry.get("evidence") for entry in reasons(verdict, language(), evidence)}
    shown = []
    for reason in verdict.codes:
        line = shown_reason(reason, weights.get(reason), evidence)
        proof: Any = facts.get(reason.name)
        shown.append(replace(line, primary=reason is verdict.primary, evidence=_with_times(proof)))
    return shown


def _with_times(proof: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """Return evidence with its instants as instants, so that a page shows them in the officer's time."""
    if not proof:
        return None
    return {key: datetime.fromisoformat(value) if key.endswith("_at") else value for key, value in proof.items()}


def purpose_words(code: str) -> str:
    """Return the name of a registered purpose, or its code. The register must be in hand."""
    return getattr(register_in_hand().rules.book.purposes.get(code), "name", "") or code


def channel_words(code: str) -> str:
    """Return the name of a registered channel, or its code. The register must be in hand."""
    return getattr(register_in_hand().rules.channels.get(code), "name", "") or code


def reason_words(reason: Reason) -> str:
    """Return a reason in the words of the page's language."""
    return message(reason, language())


def shown_duties(duties: Iterable[Mapping[str, object]]) -> list[tuple[str, Any, str]]:
    """Return obligations as (code, words, value)."""
    return [(str(duty["code"]), OBLIGATIONS.get(duty["code"], duty["code"]), _value(duty["value"])) for duty in duties]


def shown_remedies(found: Iterable[Mapping[str, object]]) -> list[tuple[str, Any, str]]:
    """Return remedies as (code, words, earliest day)."""
    return [
        (str(remedy["code"]), REMEDIES.get(remedy["code"], remedy["code"]), str(remedy.get("not_before", "")))
        for remedy in found
    ]


def _value(value: object) -> str:
    if value is True:
        return ""
    if isinstance(value, list):
        return ", ".join(map(str, value))
    if isinstance(value, Mapping):
        if "from" in value:
            return f"{value['from']}–{value['to']}"
        if "remaining" in value:
            return f"{value['remaining']} / {value['max']} · {value['days']} d"
    return str(value)


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar of a chart, in the units of its viewBox."""

    code: str
    words: str
    label: str  # as much of the words as fits
    count: int
    share: str
    weight: str
    y: int
    label_y: int
    width: float
    end: float


@dataclass(frozen=True, slots=True)
class Chart:
    """A bar chart drawn on the server, for the eye; the table beside it says the same."""

    bars: list[Bar]
    width: int
    height: int
    total: int


_WIDTH, _ROW, _TOP = 360, 44, 18


_EM = 12  # the size of the chart's text


def _fitted(label: str) -> str:
    """Return as much of a label as fits above its bar: Chinese is a square per character, Latin about half of one."""
    room = float(_WIDTH)
    for place, letter in enumerate(label):
        room -= _EM if ord(letter) > 0x2E7F else _EM * 0.56
        if room < 0:
            return f"{label[: place - 1]}…"
    return label


def chart_of(by_code: Mapping[str, int], total: int) -> Chart:
    """Return the chart of counts by reason code, the largest first, what is allowed on top."""
    known = [(Reason[code], count) for code, count in by_code.items() if code in Reason.__members__ and count]
    ordered = sorted(known, key=lambda item: (item[0] is not Reason.ALLOW, -item[1], item[0]))
    most = max((count for _, count in ordered), default=1)
    bars = []
    for place, (reason, count) in enumerate(ordered):
        width = round((_WIDTH - 70) * count / most, 1)
        weight = "allow" if reason is Reason.ALLOW else REASONS[reason].severity.value
        bars.append(
            Bar(
                code=reason.name,
                words=message(reason, language()),
                label=_fitted(message(reason, language())),
                count=count,
                share=f"{100 * count / total:.1f}%" if total else "",
                weight=weight,
                y=place * _ROW + _TOP + 4,
                label_y=place * _ROW + _TOP - 2,
                width=max(width, 2),
                end=max(width, 2) + 6,
            )
        )
    return Chart(bars, _WIDTH, max(len(bars) * _ROW + 4, _ROW), total)


@dataclass(frozen=True, slots=True)
class Counted:
    outcome: str
    word: Any
    count: int
    share: str


def counted(counts: Mapping[str, int]) -> list[Counted]:
    """Return counts by outcome in a fixed order, with their share of the rows that were judged."""
    total = sum(counts.get(name, 0) for name in ("allow", "defer", "hold", "deny"))
    return [
        Counted(
            name,
            OUTCOMES[name],
            counts.get(name, 0),
            f"{100 * counts.get(name, 0) / total:.1f}%" if total else "–",
        )
        for name in (Outcome.ALLOW.value, Outcome.DEFER.value, Outcome.HOLD.value, Outcome.DENY.value)
    ]
