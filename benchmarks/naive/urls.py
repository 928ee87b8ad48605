"""The peer's addresses."""

from __future__ import annotations

from django.urls import path

from benchmarks.naive.views import BatchInView, BatchView, CheckView

urlpatterns = [
    path("api/v1/decisions/check", CheckView.as_view()),
    path("api/v1/decisions/check-batch", BatchView.as_view()),
    path("api/v1/decisions/check-batch-in", BatchInView.as_view()),
]
