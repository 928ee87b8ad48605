"""Fill a shop's database as its web role: the sample retailer, a client of the API, an officer, a customer's link."""

from __future__ import annotations

import json
import secrets
import sys
from pathlib import Path

import django

django.setup()

from django.contrib.auth import get_user_model  # noqa: E402
from django.utils import timezone  # noqa: E402

from audit.actors import SYSTEM, Actor  # noqa: E402
from consent.management.commands.demo import DEMO_SCOPES  # noqa: E402
from consent.services.demo import demo_campaign_prepare, demo_people  # noqa: E402
from consent.services.preferences import preference_link_create  # noqa: E402
from consent.services.samples import sample_load  # noqa: E402
from governance.services.clients import client_create_or_reset  # noqa: E402

at = timezone.now()
sample_load(folder=Path(sys.argv[1]), actor=SYSTEM, at=at)
people = demo_people(demo_campaign_prepare(actor=SYSTEM, at=at))
password = secrets.token_urlsafe(9)
get_user_model().objects.create_superuser("officer", password=password)
json.dump(
    {
        "secret": client_create_or_reset(name="demo", scopes=DEMO_SCOPES, actor=SYSTEM, at=at),
        "password": password,
        "link": preference_link_create(subject_id=people.subject_id, actor=Actor("system", "demo"), at=at),
        "allowed": people.allowed,
        "refused": people.refused,
    },
    sys.stdout,
)
