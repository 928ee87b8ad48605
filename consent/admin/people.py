"""People: found by an identifier that goes into no address, shown masked, and every look leaves a trace."""

from __future__ import annotations

from typing import Any, ClassVar
from uuid import UUID

from django.contrib import admin, messages
from django.contrib.admin.views.main import ChangeList
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.loader import render_to_string
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.utils.html import format_html_join
from django.utils.http import urlencode
from django.utils.translation import gettext, override
from django.utils.translation import gettext_lazy as _
from django.views.decorators.csrf import csrf_protect
from django.views.decorators.debug import sensitive_post_parameters, sensitive_variables
from django.views.decorators.http import require_safe

from audit.admin_base import Labels, LedgerAdmin, actor_of, choice_filter, tag
from audit.selectors.entries import Entry, entries_of_subject
from consent.admin.reconciliations import tags_of
from consent.admin.shown import reason_words, shown_duties, shown_findings, shown_remedies, shown_verdict
from consent.admin.words import (
    ACTS,
    APOLOGIES,
    BUNDLES,
    CONTROLS,
    DEFECTS,
    OUTCOMES,
    SEND_STATUSES,
    SENDS,
    SOURCINGS,
    STANDS,
    SUPPRESSIONS,
)
from consent.domain.terms import SubjectStatus
from consent.errors import SubjectNotFoundError
from consent.models import DataSubject
from consent.selectors.audiences import campaign_choices
from consent.selectors.people import Cell, MaskedIdentifier, identifiers_masked, slots_list, states_page
from consent.selectors.register import register_in_hand, register_live
from consent.services.explanations import subject_explain
from consent.services.letters import letter_write
from consent.services.people import people_search, person_view
from consent.services.send_proofs import send_prove, sends_of_person
from governance.admin.words import IDENTIFIERS
from governance.domain.cells import clean, parse_instant

_SECRET = method_decorator([sensitive_post_parameters("identifier"), csrf_protect])
_SAFE = method_decorator(require_safe)

STATUS_WORDS: Labels = {
    SubjectStatus.FROZEN: _("frozen: may only be stored"),
    SubjectStatus.DECEASED: _("deceased"),
    SubjectStatus.ERASED: _("erased or account closed"),
}


def status_words(status: int) -> list[Any]:
    """Return in words what stands against using a person's data; empty for nothing."""
    return [words for flag, words in STATUS_WORDS.items() if status & flag]


class StatusFilter(admin.SimpleListFilter):
    title = _("status")
    parameter_name = "status"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("0", _("active")), *((str(flag.value), words) for flag, words in STATUS_WORDS.items())]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        value = self.value()
        if value == "0":
            return queryset.filter(status=0)
        if value in {str(flag.value) for flag in STATUS_WORDS}:
            wanted = [status for status in range(8) if status & int(value)]
            return queryset.filter(status__in=wanted)
        return queryset


class MaskedList(ChangeList):
    """A page of people with their identifiers masked, loaded for the whole page at once."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        people = list(self.result_list)
        found = identifiers_masked([person.pk for person in people])
        for person in people:
            person.masked = found.get(person.pk, [])
        self.result_list = people


@admin.register(DataSubject)
class DataSubjectAdmin(LedgerAdmin):
    list_display = ("number", "identifiers", "kind", "state", "sourcing", "last_active_on")
    list_display_links = ("number",)
    list_filter = (
        StatusFilter,
        choice_filter("sourcing", SOURCINGS, _("source")),
        "is_guest",
    )
    ordering = ("-id",)
    labels: ClassVar[dict[str, Labels]] = {"sourcing": SOURCINGS}
    tags = ("sourcing",)
    change_list_template = "admin/consent/datasubject/change_list.html"
    empty_hint = _("Nobody is recorded yet. Import members, or record consents through the API.")

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return MaskedList

    @admin.display(description=_("person"))
    def number(self, person: DataSubject) -> str:
        return f"#{person.pk}"

    @admin.display(description=_("identifiers"))
    def identifiers(self, person: DataSubject) -> str:
        shown: list[MaskedIdentifier] = getattr(person, "masked", [])
        return format_html_join(" · ", '<span class="zx-nowrap">{}</span>', ((item.value or "–",) for item in shown))

    @admin.display(description=_("kind"))
    def kind(self, person: DataSubject) -> str:
        return gettext("guest") if person.is_guest else gettext("member")

    @admin.display(description=_("status"))
    def state(self, person: DataSubject) -> str:
        tags = [(tag(words, "zx-deny"),) for words in status_words(person.status)]
        return format_html_join(" ", "{}", tags) if tags else gettext("active")

    def name_of(self, obj: DataSubject) -> str:
        return gettext("Person #%(number)s") % {"number": obj.pk}

    def trail(self, obj: DataSubject) -> list[Entry]:
        return entries_of_subject(obj.ref)

    def get_urls(self) -> list[Any]:
        wrap = self.admin_site.admin_view
        return [
            path("search/", wrap(self.search_view), name="consent_datasubject_search"),
            path("<int:pk>/why/", wrap(self.why_view), name="consent_datasubject_why"),
            path("<int:pk>/letter/", wrap(self.letter_view), name="consent_datasubject_letter"),
            *super().get_urls(),
        ]

    def pages(self) -> list[Any]:
        """Return the pages that stand beside the models in the navigation."""
        wrap = self.admin_site.admin_view
        return [
            path("why/", wrap(self.ask_why_view), name="consent_why"),
            path("states/", wrap(self.states_view), name="consent_states"),
        ]

    def _context(self, request: HttpRequest, title: Any, **more: Any) -> dict[str, Any]:
        if not self.has_view_permission(request):
            raise PermissionDenied
        return {
            **self.admin_site.each_context(request),
            "title": title,
            "opts": self.opts,
            "kinds": IDENTIFIERS,
            **more,
        }

    @_SECRET
    @method_decorator(sensitive_variables("text"))
    def search_view(self, request: HttpRequest) -> HttpResponse:
        """Find people by an identifier in the body of the request. It is neither shown again nor kept."""
        if request.method != "POST":
            return HttpResponseRedirect(reverse("admin:consent_datasubject_changelist"))
        context = self._context(request, gettext("Search for a person"))
        text = request.POST.get("identifier", "").strip()
        campaign = request.POST.get("campaign", "")
        where = "admin.why" if campaign else "admin.search"
        found = people_search(text=text, where=where, actor=actor_of(request), at=timezone.now())
        if len(found.people) == 1:
            return HttpResponseRedirect(self._address(found.people[0].pk, campaign))
        context |= {
            "found": found,
            "campaign": campaign,
            "people": [
                (
                    person,
                    found.identifiers.get(person.pk, []),
                    status_words(person.status),
                    self._address(person.pk, campaign),
                )
                for person in found.people
            ],
            "touches": [(touch, SUPPRESSIONS.get(touch.kind, touch.kind)) for touch in found.touches],
            "read_as": [IDENTIFIERS.get(kind.value, kind.word) for kind in found.kinds],
        }
        return TemplateResponse(request, "admin/consent/datasubject/search.html", context)

    def _address(self, pk: int, campaign: str) -> str:
        if campaign:
            return f"{reverse('admin:consent_datasubject_why', args=[pk])}?{urlencode({'campaign': campaign})}"
        return reverse("admin:consent_datasubject_change", args=[pk])

    @_SAFE
    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        """Show the page of one person."""
        context = self._context(request, "")
        person = None
        if object_id.isdigit():
            person = person_view(
                subject_id=int(object_id), where="admin.person", actor=actor_of(request), at=timezone.now()
            )
        if person is None:
            raise Http404
        names = {"purposes": person.purposes, "channels": person.channels}
        recipients = person.register.rules.recipients
        context |= {
            "title": gettext("Person #%(number)s") % {"number": person.subject.pk},
            "original": person.subject,
            "person": person,
            "statuses": status_words(person.subject.status),
            "sourcing": SOURCINGS.get(person.subject.sourcing, person.subject.sourcing),
            "identifiers": [(IDENTIFIERS.get(item.kind.value), item) for item in person.identifiers],
            "matrix": [
                (
                    names["purposes"].get(purpose, purpose),
                    purpose,
                    [(names["channels"].get(channel, channel), *_shown_cell(cell)) for channel, cell in row],
                )
                for purpose, row in person.matrix
            ],
            "separate": [
                (
                    names["purposes"].get(item.purpose, item.purpose),
                    item.group,
                    getattr(recipients.get(item.recipient), "name", item.recipient),
                    *_shown_cell(item.cell),
                )
                for item in person.separate
            ],
            "touches": [
                (
                    SUPPRESSIONS.get(touch.kind, touch.kind),
                    names["channels"].get(touch.scope, touch.scope),
                    touch,
                )
                for touch in person.touches
            ],
            "guardians": [
                (row, [names["purposes"].get(code, code) for code in purposes]) for row, purposes in person.guardians
            ],
            "records": [
                (
                    row,
                    ACTS.get(row.act, row.act),
                    CONTROLS.get(row.control, row.control),
                    BUNDLES.get(row.bundle, row.bundle) if row.act in ("grant", "renew") else "",
                )
                for row in person.records
            ],
            "decisions": [(row, OUTCOMES[row.outcome.value], reason_words(row.primary)) for row in person.decisions],
            "sends": [(row, SENDS.get(row.kind, row.kind)) for row in person.sends],
            "restricted": [names["purposes"].get(code, code) for code in person.restricted],
            "campaigns": campaign_choices(),
        }
        return TemplateResponse(request, "admin/consent/datasubject/person.html", context)

    @_SAFE
    def ask_why_view(self, request: HttpRequest) -> HttpResponse:
        """Ask which person and which campaign. The answer goes through the search."""
        context = self._context(request, gettext("Why may, or may not, this person be contacted?"))
        context["campaigns"] = campaign_choices()
        context["chosen"] = request.GET.get("campaign", "")
        return TemplateResponse(request, "admin/consent/why_ask.html", context)

    @_SAFE
    def why_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Answer for one person and one campaign: now, or as of an instant."""
        context = self._context(request, gettext("Why may, or may not, this person be contacted?"))
        code = request.GET.get("campaign", "")
        campaigns = dict(campaign_choices())
        if code not in campaigns:
            return HttpResponseRedirect(reverse("admin:consent_datasubject_change", args=[pk]))
        given = request.GET.get("as_of", "").strip()
        as_of = parse_instant(clean(given)) if given else None
        if given and as_of is None:
            self.message_user(request, gettext("That is no date and time. Judged as of now."), messages.WARNING)
        try:
            found = subject_explain(
                subject_id=pk, campaign=code, as_of=as_of, actor=actor_of(request), at=timezone.now()
            )
        except SubjectNotFoundError:
            raise Http404 from None
        context |= {
            "original": DataSubject(pk=pk),
            "found": found,
            "campaign": code,
            "campaign_name": campaigns[code],
            "campaigns": list(campaigns.items()),
            "outcome": found.verdict.outcome.value if found.verdict else "",
            "outcome_word": OUTCOMES[found.verdict.outcome.value] if found.verdict else "",
            "reasons": shown_verdict(found.verdict, found.evidence) if found.verdict else [],
            "findings": [] if found.verdict else shown_findings(found.judgement.findings),
            "duties": shown_duties(found.obligations),
            "remedies": shown_remedies(found.remedies),
            "identifier_kind": IDENTIFIERS.get(found.identifier.kind.value) if found.identifier else "",
            "touches": [
                (SUPPRESSIONS.get(touch.kind, touch.kind), _channel_name(touch.scope), touch) for touch in found.touches
            ],
            "decisions": [
                (row, OUTCOMES[row.outcome.value], [(code.name, reason_words(code)) for code in row.codes])
                for row in found.decisions
            ],
            "as_of_value": timezone.localtime(found.judged_at).strftime("%Y-%m-%dT%H:%M") if as_of else "",
            "planned_value": timezone.localtime(found.plan.planned_at).strftime("%Y-%m-%dT%H:%M:%S")
            if found.plan.planned_at
            else "",
        } | self._sends(request, pk, code)
        return TemplateResponse(request, "admin/consent/why.html", context)

    def _sends(self, request: HttpRequest, pk: int, campaign: str) -> dict[str, Any]:
        """Return the messages of a campaign that went to a person, and the proof of one of them."""
        sent = sends_of_person(pk, campaign=campaign)
        wanted = request.GET.get("send", "")
        match = next((row for row in sent if str(row.receipt_id) == wanted), sent[0] if sent else None)
        proof = send_prove(match, subject_id=pk, actor=actor_of(request)) if match else None
        grant = proof.grant if proof else None
        return {
            "sends": [(row, SEND_STATUSES.get(row.receipt.status), tags_of(row.findings)) for row in sent],
            "proof": proof,
            "proof_codes": [(code.name, reason_words(code)) for code in proof.decision.codes]
            if proof and proof.decision
            else [],
            "proof_outcome": OUTCOMES[proof.decision.outcome.value] if proof and proof.decision else "",
            "act": ACTS.get(grant.act, grant.act) if grant else "",
            "control": CONTROLS.get(grant.control, grant.control) if grant else "",
        }

    @method_decorator(csrf_protect)
    def letter_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Write the letter that answers why a message was sent: a page to print, kept nowhere."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        if request.method != "POST":
            return HttpResponseRedirect(reverse("admin:consent_datasubject_change", args=[pk]))
        spoken = "en" if request.GET.get("lang") == "en" else "zh-hans"
        try:
            letter = letter_write(
                subject_id=pk,
                campaign=request.POST.get("campaign", ""),
                receipt_id=UUID(request.POST.get("send", "")),
                language=spoken,
                actor=actor_of(request),
                at=timezone.now(),
            )
        except (SubjectNotFoundError, ValueError):
            raise Http404 from None
        with override(spoken):
            grant = letter.proof.grant
            context = {
                "letter": letter,
                "kind": IDENTIFIERS.get(letter.kind, ""),
                "act": ACTS.get(grant.act, grant.act) if grant else "",
                "control": CONTROLS.get(grant.control, grant.control) if grant else "",
                "wrong": [APOLOGIES[finding] for finding in letter.wrong],
                "gap": " " if spoken == "en" else "",  # between sentences
            }
            html = render_to_string("admin/consent/letter.html", context, request)
        response = HttpResponse(html)
        response["Cache-Control"] = "no-store"
        response["Content-Language"] = spoken
        return response

    @_SAFE
    def states_view(self, request: HttpRequest) -> HttpResponse:
        """Show where people stand in one slot, a page at a time along the key."""
        context = self._context(request, gettext("Consent states"))
        register = register_live()
        slots = slots_list(register)
        chosen = _number(request.GET.get("slot")) or (slots[0][0] if slots else 0)
        said = request.GET.get("said", "")
        after = _number(request.GET.get("after"))
        refused = {"yes": False, "no": True}.get(said)
        rows, more = states_page(slot_id=chosen, refused=refused, after=after, at=timezone.now())
        purposes, channels = register.rules.book.purposes, register.rules.channels
        recipients = register.rules.recipients

        def words(slot: Any) -> str:
            purpose = purposes[slot.purpose].name if slot.purpose in purposes else slot.purpose
            if slot.channel:
                return f"{purpose} · {getattr(channels.get(slot.channel), 'name', slot.channel)}"
            about = slot.field_group or getattr(recipients.get(slot.recipient), "name", slot.recipient) or ""
            return f"{purpose} · {gettext('separate consent')} {about}".strip()

        context |= {
            "slots": [(key, words(slot)) for key, slot in slots],
            "chosen": chosen,
            "said": said,
            "after": after,
            "rows": [(row, *_shown_cell(row.cell)) for row in rows],
            "next": rows[-1].subject_id if more and rows else 0,
        }
        return TemplateResponse(request, "admin/consent/states.html", context)


def _channel_name(code: str) -> str:
    channel = register_in_hand().rules.channels.get(code)
    return channel.name if channel else code


def _number(text: str | None) -> int:
    return int(text) if text and text.isdigit() and len(text) < 19 else 0


def _shown_cell(cell: Cell) -> tuple[Cell, Any, str]:
    """Return a cell with its words and what is wrong with it."""
    return cell, STANDS[cell.stand], ", ".join(str(DEFECTS[name]) for name in cell.defects)
