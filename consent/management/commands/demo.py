"""See it work: load a retailer, screen its campaigns, answer one check, then serve admin, API and customer page."""

from __future__ import annotations

import json
import secrets
import socket
import threading
import urllib.request
from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.core.servers.basehttp import ThreadedWSGIServer, WSGIRequestHandler
from django.core.wsgi import get_wsgi_application
from django.utils import timezone

from audit.actors import SYSTEM, Actor
from audit.errors import ZhixuError
from audit.problems import words_of
from audit.services.sequencing import sequencer_running
from consent.decisions.reasons import REASONS, Reason
from consent.management.progress import Progress
from consent.management.tables import table
from consent.models import Screening
from consent.selectors.jobs import job_error
from consent.selectors.register import audience_of, register_live
from consent.services.demo import demo_campaign_prepare, demo_people
from consent.services.preferences import preference_link_create
from consent.services.samples import sample_is_loaded, sample_load
from consent.services.screenings import AudienceFile, screening_run, screening_start
from governance.services.clients import client_create_or_reset

DEMO_CLIENT = "demo"
DEMO_SCOPES = [
    "decisions:check",
    "decisions:simulate",
    "screenings:run",
    "consents:write",
    "consents:read",
    "inbound:write",
    "audit:read",
]
OFFICER = "officer"
_OUTCOMES = ("allow", "deny", "hold", "defer", "invalid")


class Command(BaseCommand):
    help = "Load a sample retailer, screen its campaigns, show a check, and serve everything."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--once", action="store_true", help="do it all, print it, and exit")
        parser.add_argument("--port", type=int, default=8000)
        parser.add_argument("--data", type=Path, default=Path(settings.BASE_DIR) / "samples" / "demo")

    def handle(self, *args: Any, **options: Any) -> None:
        folder: Path = options["data"]
        if not folder.is_dir():
            raise CommandError(f"{folder} is no folder")
        port: int = options["port"]
        _refuse_taken(port)
        settings.ZHIXU["BASE_URL"] = f"http://127.0.0.1:{port}"
        call_command("migrate", verbosity=0, interactive=False)
        try:
            self._load(folder)
            self._screen(folder)
            with sequencer_running(), _serving(port):
                self._show(port)
                if not options["once"]:
                    self._wait()
        except ZhixuError as error:
            raise CommandError(f"{error.code}: {words_of(error)}") from None

    def _load(self, folder: Path) -> None:
        if sample_is_loaded(folder):
            self._say(f"the retailer of {folder} is loaded already")
            return

        def step(name: str, counts: dict[str, int]) -> None:
            self._say(f"{name}: {', '.join(f'{n:,} {key}' for key, n in counts.items())}")

        self._say(f"loading {folder}")
        sample_load(folder=folder, actor=SYSTEM, at=timezone.now(), on_step=step)

    def _screen(self, folder: Path) -> None:
        """Screen every campaign that has an audience, as of the time it is planned for."""
        lines = []
        for campaign, plan in register_live().rules.plans.items():
            audience = audience_of(campaign)
            if not audience:
                continue
            as_of = plan.planned_at or timezone.now()
            done = Screening.objects.filter(campaign=campaign, as_of=as_of, status="done").first()
            done = done or self._screen_one(folder, campaign, audience, as_of)
            counts = done.counts
            refusals = sorted(
                ((code, n) for code, n in done.by_code.items() if code != Reason.ALLOW.name), key=lambda pair: -pair[1]
            )
            top = ", ".join(f"{code} {n} {_law(code)}".strip() for code, n in refusals[:2])
            lines.append(
                [
                    campaign,
                    done.rows_done,
                    *(counts[name] for name in _OUTCOMES[:4]),
                    counts["invalid"] + counts["duplicates"],
                    top,
                ]
            )
        head = ["campaign", "rows", *_OUTCOMES, "top reasons (article)"]
        self.stdout.write(f"\n{table(head, lines, right=(1, 2, 3, 4, 5, 6))}\n")

    def _screen_one(self, folder: Path, campaign: str, audience: dict[str, str], as_of: Any) -> Screening:
        screening = screening_start(
            audience=AudienceFile((folder / audience["file"]).resolve(), "csv", audience["column"]),
            campaign=campaign,
            subject_type=audience["identifier"],
            actor=SYSTEM,
            at=timezone.now(),
            as_of=as_of,
        )
        progress = Progress(f"screening {campaign}")
        done = screening_run(screening.pk, on_progress=progress)
        progress.done()
        if done is None or done.status != "done":
            raise CommandError(f"screening {campaign} failed: {job_error(done) if done else 'taken over'}")
        return done

    def _show(self, port: int) -> None:
        at = timezone.now()
        base = f"http://127.0.0.1:{port}"
        secret = client_create_or_reset(name=DEMO_CLIENT, scopes=DEMO_SCOPES, actor=SYSTEM, at=at)
        password = _officer_password()
        campaign = demo_campaign_prepare(actor=SYSTEM, at=at)
        people = demo_people(campaign)
        token = _token(base, secret)
        body: dict[str, object] = {"subject": {"type": "email", "id": people.allowed}, "campaign": campaign}
        self.stdout.write("One check:\n")
        self.stdout.write(
            f"  TOKEN=$(curl -s {base}/oauth/token/ -d grant_type=client_credentials -d client_id={DEMO_CLIENT} "
            f"-d client_secret={secret} | python3 -c 'import json,sys; print(json.load(sys.stdin)[\"access_token\"])')"
        )
        self.stdout.write(
            f'  curl -s {base}/api/v1/decisions/check -H "Authorization: Bearer $TOKEN" '
            f"-H 'Content-Type: application/json' -d '{json.dumps(body)}'\n"
        )
        self.stdout.write(_indented(_post(base, token, body)))
        if people.refused:
            self.stdout.write(f"\nThe same for {people.refused}:\n")
            self.stdout.write(
                _indented(_post(base, token, body | {"subject": {"type": "email", "id": people.refused}}))
            )
        link = preference_link_create(subject_id=people.subject_id, actor=Actor("system", "demo"), at=at)
        rows = [
            ["admin", f"{base}/admin/", f"{OFFICER} / {password}"],
            ["API docs", f"{base}/api/docs/", f"client {DEMO_CLIENT} / {secret}"],
            ["a customer's choices", f"{base}{link}", ""],
        ]
        self.stdout.write(f"\n{table(['page', 'address', 'sign in'], rows)}\n")

    def _wait(self) -> None:
        self._say("serving; Ctrl-C stops everything")
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            self._say("stopping")

    def _say(self, text: str) -> None:
        self.stderr.write(f"· {text}")
        self.stderr.flush()


def _law(code: str) -> str:
    info = REASONS[Reason[code]]
    return f"({info.law[0].ref})" if info.kind == "legal" and info.law else f"({info.kind})"


def _officer_password() -> str:
    password = secrets.token_urlsafe(9)
    user, _ = get_user_model().objects.get_or_create(
        username=OFFICER, defaults={"is_staff": True, "is_superuser": True}
    )
    user.set_password(password)
    user.save()
    return password


def _refuse_taken(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except (OSError, OverflowError):
            raise CommandError(f"port {port} is taken; choose another one with --port") from None


class _QuietHandler(WSGIRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: addresses of requests are no news here."""


@contextmanager
def _serving(port: int) -> Iterator[None]:
    server = ThreadedWSGIServer(("127.0.0.1", port), _QuietHandler)
    server.set_app(get_wsgi_application())
    thread = threading.Thread(target=server.serve_forever, name="zhixu-demo", daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()


def _token(base: str, secret: str) -> str:
    form = f"grant_type=client_credentials&client_id={DEMO_CLIENT}&client_secret={secret}"
    request = urllib.request.Request(f"{base}/oauth/token/", data=form.encode())  # noqa: S310 - our own server
    with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 - our own server
        token: str = json.load(answer)["access_token"]
        return token


def _post(base: str, token: str, body: dict[str, object]) -> object:
    request = urllib.request.Request(  # noqa: S310 - our own server
        f"{base}/api/v1/decisions/check",
        data=json.dumps(body).encode(),
        headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 - our own server
        return json.load(answer)


def _indented(answer: object) -> str:
    text = json.dumps(answer, ensure_ascii=False, indent=2)
    return "\n".join(f"  {line}" for line in text.splitlines())
