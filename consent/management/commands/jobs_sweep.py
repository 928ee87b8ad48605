"""Start jobs whose worker died, delete files whose day is over. Run it every minute."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand
from django.utils import timezone

from consent.services.jobs import jobs_sweep
from consent.services.screenings import screenings_expire
from consent.services.uploads import uploads_expire


class Command(BaseCommand):
    help = "Restart orphaned jobs and delete expired files."

    def handle(self, *args: Any, **options: Any) -> None:
        at = timezone.now()
        started, screenings, uploads = jobs_sweep(), screenings_expire(at=at), uploads_expire(at=at)
        self.stdout.write(f"{started} jobs started, {screenings} screenings and {uploads} uploads expired")
