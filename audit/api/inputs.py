"""Serializer base for API input: unknown fields are an error, never ignored."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.utils.translation import gettext
from rest_framework import serializers
from rest_framework.exceptions import ErrorDetail


class StrictInput(serializers.Serializer):  # type: ignore[type-arg]
    """A serializer that refuses fields it does not know (docs/api.md, rule 4)."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Give each nested `Input` a name of its own in the OpenAPI document: `ConsentView.Input` → `ConsentInput`."""
        super().__init_subclass__(**kwargs)
        cls._spectacular_annotation = {  # type: ignore[attr-defined]
            "component_name": cls.__qualname__.replace("View.", "").replace(".", "")
        }

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, Mapping):
            unknown = {str(key)[:60]: [gettext("This field is not known.")] for key in data if key not in self.fields}
            if unknown:
                raise serializers.ValidationError(
                    {key: ErrorDetail(text[0], code="unknown_field") for key, text in unknown.items()}
                )
        return super().to_internal_value(data)
