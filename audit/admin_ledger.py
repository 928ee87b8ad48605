"""Is the ledger whole? One page that says so, what it rests on, and the signed heads as they are."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.utils.html import format_html
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.csrf import csrf_protect
from django.views.decorators.http import require_safe

from audit.admin_base import ACTORS, Labels, LedgerAdmin, actor_of, choice_filter, day_or_time, tag, user_names, yes_no
from audit.errors import VerificationRunningError
from audit.models import Anchor, Checkpoint, Verification
from audit.selectors.entries import entries_of_type
from audit.selectors.ledger import heads_newest, tree_now
from audit.services.sequencer import MERGE_DELAY, ledger_verifiers
from audit.services.standing import ledger_standing
from audit.services.verification import AT_ONCE, ledger_verify, verification_begin, verification_running

_SAFE = method_decorator(require_safe)
_PROTECTED = method_decorator(csrf_protect)

TROUBLES: Labels = {
    "broken": _("The last verification found that the ledger is not what was written."),
    "late": _("Entries wait longer than they may. Is the sequencer running?"),
    "behind": _("Entries have waited for more than ten seconds."),
    "never_verified": _("It has not been verified yet."),
    "verification_old": _("The last verification is more than a day old."),
    "no_anchor": _("No signed head is kept outside this database. Who owns it could rewrite everything unseen."),
    "anchor_stale": _("A place outside has not kept a head for too long."),
}
VERDICTS: Labels = {
    "allow": _("The ledger is whole"),
    "hold": _("The ledger is whole as far as is known"),
    "deny": _("The ledger cannot be relied on"),
}
FINDINGS: Labels = {
    "body_changed": _("An entry was changed after it was written"),
    "columns_differ": _("What stands beside an entry is not what the entry says"),
    "entry_missing": _("An entry of the tree is gone"),
    "leaf_missing": _("A place of the tree is empty"),
    "leaf_beyond_tree": _("A leaf stands outside the tree"),
    "entry_outside": _("An entry is neither in the tree nor waiting for it"),
    "pending_twice": _("An entry waits though it is in the tree"),
    "pending_orphan": _("A waiting entry is gone"),
    "payload_changed": _("A sealed payload is not the one its entry commits to"),
    "payload_orphan": _("A sealed payload belongs to no entry"),
    "tile_differs": _("A part of the tree is not what its leaves give"),
    "tile_count": _("Parts of the tree are missing, or there are too many"),
    "root_differs": _("The stored root is not that of the tree"),
    "head_differs": _("A signed head names another tree"),
    "head_unsigned": _("A head does not bear our signature"),
    "head_beyond_tree": _("A larger tree was signed than there is"),
    "anchor_differs": _("What was put outside names another tree"),
}
RESULTS: Labels = {"whole": _("whole"), "broken": _("not whole")}
KINDS: Labels = {
    "file": _("file"),
    "mail": _("mail"),
    "command": _("command"),
    "witness": _("witness"),
}
USES: Labels = {
    "checkpoint": _("signed heads"),
    "receipt": _("receipts"),
    "manifest": _("screening manifests"),
}


def shown_findings(findings: list[dict[str, Any]]) -> list[tuple[Any, int, list[str]]]:
    """Return findings in words, with how many there are and where the first of them stand."""
    return [(FINDINGS.get(f["code"], f["code"]), f["count"], f["places"]) for f in findings]


@admin.register(Checkpoint)
class CheckpointAdmin(LedgerAdmin):
    list_display = ("size", "signed_at", "short_root")
    fields = ("size", "signed_at", "full_root", "signed_note")
    readonly_fields = ("full_root", "signed_note")
    amounts = ("size",)
    change_form_template = "admin/audit/checkpoint/change_form.html"
    empty_hint = _("The sequencer signs a head whenever the ledger has grown.")

    def name_of(self, obj: Checkpoint) -> str:
        return gettext("Signed head of %(size)s entries") % {"size": f"{obj.size:,}"}

    @admin.display(description=_("root"))
    def short_root(self, head: Checkpoint) -> str:
        return format_html("<code>{}…</code>", bytes(head.root).hex()[:16])

    @admin.display(description=_("root"))
    def full_root(self, head: Checkpoint) -> str:
        return format_html("<code>{}</code>", bytes(head.root).hex())

    @admin.display(description=_("signed note"))
    def signed_note(self, head: Checkpoint) -> str:
        return format_html("<pre>{}</pre>", head.note)

    def get_urls(self) -> list[Any]:
        wrap = self.admin_site.admin_view
        return [
            path("<int:size>/note/", wrap(self.note_view), name="audit_checkpoint_note"),
            *super().get_urls(),
        ]

    def pages(self) -> list[Any]:
        """Return the pages that stand beside the models in the navigation."""
        wrap = self.admin_site.admin_view
        return [
            path("ledger/", wrap(self.ledger_view), name="audit_ledger"),
            path("ledger/verify/", wrap(self.verify_view), name="audit_ledger_verify"),
        ]

    @_SAFE
    def note_view(self, request: HttpRequest, size: int) -> HttpResponse:
        """Hand out a signed head as a file, byte by byte as it was signed."""
        self._allow(request)
        head = Checkpoint.objects.filter(size=size).first()
        if head is None:
            raise Http404
        return text_file(head.note, f"checkpoint-{size}.txt")

    @_SAFE
    def ledger_view(self, request: HttpRequest) -> HttpResponse:
        """Say whether the ledger is whole, and what that rests on."""
        self._allow(request)
        now = timezone.now()
        standing = ledger_standing(now)
        verification = standing.verification
        verifiers = {verifier for use in USES for verifier in ledger_verifiers(use)[:1]}
        asked_by = user_names([verification.actor_ref]) if verification and verification.actor_kind == "user" else {}
        context = {
            **self.admin_site.each_context(request),
            "title": gettext("Is the ledger whole?"),
            "opts": self.opts,
            "standing": standing,
            "verdict": VERDICTS[standing.colour],
            "troubles": [TROUBLES[trouble] for trouble in standing.troubles],
            "root": standing.root.hex(),
            "verification": verification,
            "result": RESULTS.get(verification.result, verification.result) if verification else "",
            "asked_by": (
                asked_by.get(verification.actor_ref, "")
                or f"{ACTORS.get(verification.actor_kind, verification.actor_kind)} {verification.actor_ref}"
                if verification
                else ""
            ),
            "seconds": (verification.finished_at - verification.started_at).total_seconds() if verification else 0,
            "findings": shown_findings(verification.findings) if verification else [],
            "running": verification_running(),
            "may_verify": request.user.has_perm("audit.add_verification"),
            "numbers": {
                "size": f"{standing.size:,}",
                "pending": f"{standing.pending:,}",
                "head": f"{standing.head.size:,}" if standing.head else "",
                "verified": f"{verification.size:,}" if verification else "",
                "heads": f"{verification.heads:,}" if verification else "",
            },
            "heads": [(head, head.root.hex()[:16], f"{head.size:,}", f"{head.grown:,}") for head in heads_newest()],
            "anchors": [(anchor, KINDS.get(anchor.state.kind, anchor.state.kind)) for anchor in standing.anchors],
            "keys": [
                (entry, USES.get(entry.details.get("use"), ""), entry.details.get("verifier") in verifiers)
                for entry in entries_of_type(["key.announced"], limit=20)
            ],
            "merge_delay": int(MERGE_DELAY.total_seconds()),
        }
        return TemplateResponse(request, "admin/audit/ledger.html", context)

    @_PROTECTED
    def verify_view(self, request: HttpRequest) -> HttpResponse:
        """Verify now: while the page waits, or behind it if the ledger is large."""
        back = HttpResponseRedirect(reverse("admin:audit_ledger"))
        if request.method != "POST":
            return back
        self._allow(request, "audit.add_verification")
        actor = actor_of(request)
        if tree_now()[0] > AT_ONCE:
            verification_begin(actor=actor)
            self.message_user(request, gettext("The verification has begun. Come back in a while."), messages.INFO)
            return back
        try:
            found = ledger_verify(actor=actor)
        except VerificationRunningError:
            self.message_user(request, gettext("A verification is under way."), messages.INFO)
            return back
        if found.result == "whole":
            self.message_user(request, gettext("Verified: the ledger is whole."), messages.SUCCESS)
        else:
            self.message_user(request, gettext("Verified: the ledger is not whole."), messages.ERROR)
        return back

    @staticmethod
    def _allow(request: HttpRequest, permission: str = "audit.view_checkpoint") -> None:
        if not request.user.has_perm(permission):
            raise PermissionDenied


@admin.register(Anchor)
class AnchorAdmin(LedgerAdmin):
    list_display = ("anchored_at", "kind", "target", "size", "kept")
    list_filter = (choice_filter("kind", KINDS, _("kind")), "succeeded")
    fields = ("anchored_at", "kind", "target", "size", "kept", "anchored", "reply")
    readonly_fields = ("kept", "anchored")
    labels: ClassVar[dict[str, Labels]] = {"kind": KINDS}
    amounts = ("size",)
    empty_hint = _("Signed heads are put outside this database where settings say so.")

    def name_of(self, obj: Anchor) -> str:
        return f"{KINDS.get(obj.kind, obj.kind)} · {day_or_time(obj.anchored_at)}"

    @admin.display(description=_("succeeded"))
    def kept(self, anchor: Anchor) -> str:
        return tag(yes_no(anchor.succeeded), "zx-allow" if anchor.succeeded else "zx-deny")

    @admin.display(description=_("what was anchored"))
    def anchored(self, anchor: Anchor) -> str:
        return format_html("<pre>{}</pre>", anchor.note)


@admin.register(Verification)
class VerificationAdmin(LedgerAdmin):
    list_display = ("finished_at", "outcome", "size", "heads", "pending", "asked_by")
    fields = ("finished_at", "started_at", "outcome", "size", "root_hex", "heads", "pending", "found", "asked_by")
    readonly_fields = ("outcome", "root_hex", "found", "asked_by")
    list_filter = (choice_filter("result", RESULTS, _("result")),)
    amounts = ("size", "heads", "pending")
    empty_hint = _("The ledger is verified once a day, and whenever somebody asks.")

    def name_of(self, obj: Verification) -> str:
        return f"{day_or_time(obj.finished_at)} · {RESULTS.get(obj.result, obj.result)}"

    @admin.display(description=_("result"))
    def outcome(self, row: Verification) -> str:
        return tag(RESULTS.get(row.result, row.result), "zx-allow" if row.result == "whole" else "zx-deny")

    @admin.display(description=_("root"))
    def root_hex(self, row: Verification) -> str:
        return format_html("<code>{}</code>", bytes(row.root).hex())

    @admin.display(description=_("findings"))
    def found(self, row: Verification) -> str:
        lines = [f"{words}: {count} ({', '.join(places)})" for words, count, places in shown_findings(row.findings)]
        return format_html("<pre>{}</pre>", "\n".join(lines)) if lines else "–"

    @admin.display(description=_("asked by"))
    def asked_by(self, row: Verification) -> str:
        return f"{ACTORS.get(row.actor_kind, row.actor_kind)} {row.actor_ref}".strip()


def text_file(text: str, name: str) -> HttpResponse:
    """Return a text as a file to keep."""
    return HttpResponse(
        text,
        content_type="text/plain; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"},
    )
