"""Registered codes to choose from, as (code, words) pairs. One query each."""

from __future__ import annotations

from governance.models import Channel, DataField, Purpose

Choices = list[tuple[str, str]]


def purpose_choices() -> Choices:
    return [(code, f"{name} ({code})") for code, name in Purpose.objects.values_list("code", "name")]


def channel_choices() -> Choices:
    return [(code, f"{name} ({code})") for code, name in Channel.objects.values_list("code", "name")]


def field_choices() -> Choices:
    return [(code, f"{name} ({code})") for code, name in DataField.objects.values_list("code", "name")]


def group_choices() -> Choices:
    """Return the sensitive groups that fields of the catalogue name."""
    groups = DataField.objects.filter(sensitive=True).exclude(group="").order_by("group")
    return [(group, group) for group in groups.values_list("group", flat=True).distinct()]
