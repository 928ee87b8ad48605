"""The peer's one address."""

from __future__ import annotations

from django.urls import path

from benchmarks.naive.views import CheckView

urlpatterns = [path("api/v1/decisions/check", CheckView.as_view())]
