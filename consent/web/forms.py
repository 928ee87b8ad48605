"""What the stop buttons send."""

from __future__ import annotations

from typing import Any

from django import forms
from django.core.exceptions import ValidationError

EVERYTHING = "everything"


class StopForm(forms.Form):
    """One button. Its scope is spelled out: an empty form must never mean everything."""

    link = forms.UUIDField()  # the link the button was shown for, in case another one was opened since
    stop = forms.ChoiceField(choices=[(EVERYTHING, ""), ("channel", ""), ("choice", ""), ("separate", "")])
    purpose = forms.CharField(max_length=64, required=False)
    channel = forms.CharField(max_length=64, required=False)
    field_group = forms.CharField(max_length=40, required=False)
    recipient = forms.CharField(max_length=64, required=False)

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        named = {name for name in ("purpose", "channel", "field_group", "recipient") if data.get(name)}
        complete = {
            EVERYTHING: named == set(),
            "channel": named == {"channel"},
            "choice": named == {"purpose", "channel"},
            "separate": "purpose" in named and "channel" not in named,
        }
        if not complete.get(data.get("stop", ""), False):
            raise ValidationError("the button names no scope", code="scope")
        return data

    @property
    def scope(self) -> dict[str, Any]:
        """The scope as `preference_stop` takes it."""
        data = self.cleaned_data
        return {
            "purpose": data["purpose"] or None,
            "channel": data["channel"] or None,
            "separate": data["stop"] == "separate",
            "field_group": data["field_group"] or None,
            "recipient": data["recipient"] or None,
        }
