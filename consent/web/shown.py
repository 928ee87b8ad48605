"""Choices in words: the rows of the page, in the language of the request."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from typing import Any

from django.utils.translation import gettext, pgettext
from django.utils.translation import gettext_lazy as _

from audit.models import AuditEntry
from audit.selectors.entries import entry_body
from consent.decisions.engine import CROSS_BORDER_PURPOSE
from consent.domain.receipts import receipt_number
from consent.domain.records import NoticeRef
from consent.selectors.preferences import Choice, Preferences, StopReceipt
from consent.web.words import channel_name, channel_place, group_name, purpose_about, purpose_name, recipient_name
from governance.domain.calendar import day_of

_ACTS = {
    "consent.granted": _("You agreed"),
    "consent.renewed": _("You agreed again"),
    "consent.confirmed": _("You confirmed"),
    "consent.denied": _("You refused"),
    "consent.withdrawn": _("You stopped"),
}


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the page. `button` holds the hidden fields of its stop button; empty: nothing to stop."""

    name: str
    setting: str
    at: datetime | None
    until: date | None
    denied: bool
    notice: NoticeRef | None = None
    notice_title: str = ""
    point: str = ""
    whole_name: str = ""  # for those who hear the button without seeing its row
    button: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Group:
    """Rows under one heading."""

    name: str
    rows: list[Row]
    about: str = ""
    also_stops: str = ""  # what stops with it


@dataclass(frozen=True, slots=True)
class Shown:
    on: list[Group]
    separate: list[Row]
    off: list[Group]
    anything_on: bool
    paused_until: date | None


@dataclass(frozen=True, slots=True)
class Receipt:
    everything: bool
    what: str
    said_at: datetime
    number: str


def shown_preferences(found: Preferences) -> Shown:
    """Sort a person's choices into what is on, what is agreed separately, and what is off."""
    on, off = [], []
    for topic in sorted(found.topics, key=lambda topic: len(topic.purpose.contains)):
        name = purpose_name(topic.purpose)
        choices = sorted(topic.choices, key=lambda choice: channel_place(choice.slot.channel or ""))
        rows = [_general_row(choice, name, found) for choice in choices]
        if active := [row for row in rows if row.button]:
            wider = _listed(purpose_name(purpose) for purpose in topic.also_stops)
            on.append(Group(name, active, purpose_about(topic.purpose.id), wider))
        if rest := [row for row in rows if not row.button]:
            off.append(Group(name, _merged(rest)))
    if found.one_time:
        row = _one_time_row(found.one_time)
        about = gettext("Each tap on “Allow” in WeChat lets us send one message.")
        (on if row.button else off).append(Group(row.name, [row], about))
    return Shown(
        on=on,
        separate=[_separate_row(choice, found) for choice in found.separate],
        off=_merged_groups(off),
        anything_on=found.anything_on,
        paused_until=found.paused_until,
    )


def _merged(rows: list[Row]) -> list[Row]:
    """Say once what holds for several channels alike."""
    alike: dict[object, list[Row]] = {}
    for row in rows:
        alike.setdefault(_said(row), []).append(row)
    return [replace(same[0], name=_listed(row.name for row in same)) for same in alike.values()]


def _merged_groups(groups: list[Group]) -> list[Group]:
    """Say once what holds for several purposes alike."""
    alike: dict[object, list[Group]] = {}
    for group in groups:
        alike.setdefault(tuple((row.name, _said(row)) for row in group.rows), []).append(group)
    return [replace(same[0], name=_listed(group.name for group in same)) for same in alike.values()]


def _said(row: Row) -> object:
    return row.setting, day_of(row.at) if row.at else None, row.until, row.denied


def _listed(names: Iterable[str]) -> str:
    return pgettext("between the items of a list", ", ").join(names)


def shown_receipt(receipt: StopReceipt, found: Preferences) -> Receipt:
    """Name what was stopped. The number is the public id of the record."""
    everything = receipt.purpose is None and receipt.channel is None
    if receipt.purpose is None:
        parts = [_channel(receipt.channel, found)] if receipt.channel else []
    elif receipt.channel is None:
        parts = [_separate_name(receipt.purpose, receipt.field_group, receipt.recipient, found)]
    else:
        parts = [purpose_name(found.purposes[receipt.purpose]), _channel(receipt.channel, found)]
    return Receipt(everything, " · ".join(parts), receipt.said_at, f"cev_{receipt.ref.hex}")


@dataclass(frozen=True, slots=True)
class Said:
    """What was said in one way at one time."""

    word: str
    at: datetime
    what: str


@dataclass(frozen=True, slots=True)
class Act:
    """What a person said at once, and the number of the receipt of it."""

    number: str
    said: list[Said]


def shown_acts(acts: Sequence[Sequence[AuditEntry]], found: Preferences) -> list[Act]:
    """Say in words what a person said, the newest first; what came in one import has one receipt."""
    shown = []
    for act in acts:
        alike: dict[tuple[str, datetime], list[str]] = {}
        for entry in act:
            body: dict[str, Any] = entry_body(entry)
            said = body.get("d", {})
            alike.setdefault((body["type"], datetime.fromisoformat(said["said_at"])), []).append(
                _said_name(said, found)
            )
        said_then = sorted(alike.items(), key=lambda pair: pair[0][1], reverse=True)
        lines = [Said(str(_ACTS[kind]), at, _listed(dict.fromkeys(what))) for (kind, at), what in said_then]
        shown.append(Act(receipt_number(act[0].id), lines))
    return shown


def _said_name(said: dict[str, Any], found: Preferences) -> str:
    purpose, channel = said.get("purpose"), said.get("channel")
    named = found.purposes.get(purpose or "")
    if said.get("separate") and named:
        return _separate_name(named.id, said.get("group"), said.get("recipient"), found)
    parts = [purpose_name(named)] if named else []
    parts += [_channel(channel, found)] if channel else []
    return " · ".join(parts) or gettext("everything")


def _general_row(choice: Choice, topic: str, found: Preferences) -> Row:
    channel = choice.slot.channel or ""
    button = {"stop": "choice", "purpose": choice.slot.purpose, "channel": channel}
    return _row(choice, _channel(channel, found), f"{topic} · {_channel(channel, found)}", button, found)


def _one_time_row(choice: Choice) -> Row:
    name = channel_name(choice.slot.channel or "", "")
    return _row(choice, name, name, {"stop": "channel", "channel": choice.slot.channel or ""}, None)


def _separate_row(choice: Choice, found: Preferences) -> Row:
    slot = choice.slot
    name = _separate_name(slot.purpose, slot.field_group, slot.recipient, found)
    button = {
        "stop": "separate",
        "purpose": slot.purpose,
        "field_group": slot.field_group or "",
        "recipient": slot.recipient or "",
    }
    return _row(choice, name, name, button, found)


def _row(choice: Choice, name: str, whole_name: str, button: dict[str, str], found: Preferences | None) -> Row:
    return Row(
        name=name,
        setting=choice.setting.value,
        at=choice.at,
        until=choice.until,
        denied=choice.denied,
        notice=choice.notice,
        notice_title=found.notice_titles.get(choice.notice, "") if found and choice.notice else "",
        point=found.point_names.get(choice.point or "", "") if found else "",
        whole_name=whole_name,
        button=button if choice.can_stop else {},
    )


def _channel(code: str, found: Preferences) -> str:
    return channel_name(code, found.channels[code].name if code in found.channels else "")


def _separate_name(purpose: str, group: str | None, recipient: str | None, found: Preferences) -> str:
    who = found.recipients.get(recipient or "")
    if who is not None:
        abroad = purpose == CROSS_BORDER_PURPOSE
        text = gettext("Sending your data abroad: %(who)s") if abroad else gettext("Giving your data to: %(who)s")
        return text % {"who": recipient_name(who)}
    what = purpose_name(found.purposes[purpose])
    if group:
        return gettext("Using your %(group)s for: %(what)s") % {"group": group_name(group), "what": what}
    return what
