"""Campaigns and messages: what is planned, what stands against it, and who could be reached."""

from __future__ import annotations

from functools import partial
from typing import Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import path, reverse
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.csrf import csrf_protect

from audit.admin_base import Labels, actor_of, choice_filter, tag
from audit.errors import ZhixuError
from audit.problems import words_of
from consent.admin import offers
from consent.admin.shown import channel_words, chart_of, counted, purpose_words, shown_findings
from consent.admin.words import OUTCOMES, REVIEWS
from consent.decisions.engine import Findings, judge_send, verdict
from consent.decisions.rules.content import content_digest
from consent.domain.terms import Outcome, Severity
from consent.models import Campaign, Content
from consent.selectors.audiences import REACHABLE_ROWS, rows_reachable, screening_latest, screening_open
from consent.selectors.register import register_in_hand, register_live
from consent.services.campaigns import campaign_approve, campaign_save, content_review
from consent.services.predictions import Prediction, campaign_audience_file, campaign_sample, campaign_screen
from governance.admin.base import RegisterForm
from governance.admin.fields import PairsField
from governance.admin.register import CodedAdmin

_PROTECTED = method_decorator(csrf_protect)


class ContentForm(RegisterForm):
    exceptions = PairsField(
        "term",
        "proof",
        label=_("absolute terms with exception"),
        required=False,
        help_text=_("One a line: term | where its proof is. Without proof it does not count (AdLaw 9)."),
    )
    claims = PairsField(
        "text",
        "proof",
        label=_("claims and their proof"),
        required=False,
        help_text=_("One a line: claim | where its proof is (AdLaw 8, 11, 28)."),
    )


@admin.register(Content)
class ContentAdmin(CodedAdmin):
    form = ContentForm
    list_display = ("code", "opening", "review_state", "reviewer")
    tags = ("review_state",)
    list_filter = (choice_filter("review_state", REVIEWS, _("review")),)
    search_fields = ("code", "body", "subject")
    readonly_fields = ("review_state", "reviewer", "review_sha256")
    fieldsets = (
        (_("What it says"), {"fields": ("code", "subject", "body", "landing_url", "sender_name", "contact")}),
        (
            _("How to opt out"),
            {"fields": ("optout_route", "optout_tested_at", "optout_requires_login", "optout_valid_until")},
        ),
        (_("Proof"), {"fields": ("exceptions", "claims", "approval_no", "from_domain", "one_click_close")}),
        (_("Review"), {"fields": ("review_state", "reviewer", "review_sha256")}),
    )
    labels: ClassVar[dict[str, Labels]] = {"review_state": REVIEWS}
    change_form_template = "admin/consent/content/change_form.html"
    rows: ClassVar[dict[str, int]] = {"body": 8}
    help_texts: ClassVar[dict[str, Any]] = CodedAdmin.help_texts | {
        "body": _("Every character counts: a review approves exactly this text."),
        "subject": _("E-mail only. Advertising begins with 广告 or AD (EmailReg 13)."),
        "contact": _("How the receiver can answer (AdLaw 43)."),
        "optout_route": _("How a person says no: keyword, link, hotline."),
        "optout_requires_login": _("An opt-out that needs a login does not count as easy."),
    }

    @admin.display(description=_("text"))
    def opening(self, content: Content) -> str:
        text = content.subject or content.body
        return text if len(text) <= 40 else f"{text[:40]}…"

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any) -> Any:
        obj = context.get("original")
        if obj is not None:
            digest = content_digest(obj.subject, obj.body, obj.landing_url)
            context |= {
                "digest": digest,
                "review_word": REVIEWS.get(obj.review_state, obj.review_state),
                "changed": obj.review_state == "approved" and obj.review_sha256 != digest,
                "may_review": self.has_change_permission(request, obj),
            }
        return super().render_change_form(request, context, *args, **kwargs)

    def get_urls(self) -> list[Any]:
        view = self.admin_site.admin_view(self.review_view)
        return [path("<int:pk>/review/", view, name="consent_content_review"), *super().get_urls()]

    @_PROTECTED
    def review_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        if request.method != "POST":
            return HttpResponseRedirect(reverse("admin:consent_content_change", args=[pk]))
        content = self.get_object(request, str(pk))
        if content is None:
            raise Http404
        if not self.has_change_permission(request, content):
            raise PermissionDenied
        approve = "approve" in request.POST
        act = partial(
            content_review,
            content=content.code,
            digest=request.POST.get("digest", ""),
            approve=approve,
            name=request.user.get_username(),
            actor=actor_of(request),
            at=timezone.now(),
        )
        self.tell(request, act, gettext("This text is approved.") if approve else gettext("This text is rejected."))
        return HttpResponseRedirect(reverse("admin:consent_content_change", args=[pk]))


_FINE = (Outcome.ALLOW.value, Outcome.ALLOW_WITH_OBLIGATIONS.value)


class ReviewFilter(admin.SimpleListFilter):
    """Campaigns somebody still has to look at."""

    title = _("approval")
    parameter_name = "approval"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("no", _("not approved")), ("yes", _("approved"))]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        if self.value() in ("no", "yes"):
            return queryset.filter(approved_at__isnull=self.value() == "no")
        return queryset


class CampaignForm(RegisterForm):
    audience = forms.JSONField(
        label=_("audience file"),
        required=False,
        widget=forms.Textarea(attrs={"rows": 3, "class": "zx-json", "spellcheck": "false"}),
        help_text=_("JSON: file, column, identifier. The file stands in the folder for audiences on this host."),
    )

    def clean_audience(self) -> dict[str, Any]:
        audience = self.cleaned_data["audience"] or {}
        if not isinstance(audience, dict) or not all(isinstance(value, str) for value in audience.values()):
            raise forms.ValidationError(gettext("A JSON object of texts is expected."))
        return audience


@admin.register(Campaign)
class CampaignAdmin(offers.FreshOffers, CodedAdmin):
    form = CampaignForm
    list_display = ("name", "code", "planned_at", "purpose_name", "channel_name", "recipient_count", "standing")
    amounts = ("recipient_count",)
    list_filter = (ReviewFilter,)
    ordering = ("-planned_at", "code")
    search_fields = ("code", "name", "purpose", "channel", "brand", "recipient")
    readonly_fields = ("approved_at", "approved_by", "second_approver")
    fieldsets = (
        (
            None,
            {"fields": ("code", "name", "brand", "kind", ("purpose", "channel"), ("planned_at", "recipient_count"))},
        ),
        (_("Message"), {"fields": ("content", "template_id", "product_categories")}),
        (
            _("Data"),
            {
                "classes": ("collapse",),
                "fields": (
                    "fields",
                    "required_fields",
                    "segment_fields",
                    "price_rule_fields",
                    ("personalised", "generic_variant", "adm_refusal_link"),
                ),
            },
        ),
        (
            _("Recipient"),
            {"classes": ("collapse",), "fields": ("recipient", "route", "suppression_synced_at", "assessment")},
        ),
        (
            _("A message that asks for consent"),
            {"classes": ("collapse",), "fields": (("asks_for_purpose", "asks_for_channel"),)},
        ),
        (_("Audience"), {"classes": ("collapse",), "fields": ("audience",)}),
        (_("Approval"), {"fields": ("approved_at", "approved_by", "second_approver")}),
    )
    codes: ClassVar[Any] = {
        "brand": offers.brands,
        "kind": offers.kinds,
        "purpose": offers.purposes,
        "channel": offers.channels,
        "fields": offers.fields,
        "required_fields": offers.fields,
        "segment_fields": offers.fields,
        "price_rule_fields": offers.fields,
        "recipient": offers.recipients,
        "assessment": offers.assessments,
        "asks_for_purpose": offers.purposes,
        "asks_for_channel": offers.channels,
    }
    change_form_template = "admin/consent/campaign/change_form.html"
    empty_hint = _("A campaign is one planned send. Without one in the register, nothing can be approved or screened.")
    help_texts: ClassVar[dict[str, Any]] = CodedAdmin.help_texts | {
        "kind": _("Any sign of marketing makes it marketing, whatever stands here."),
        "fields": _("Fields that go to the recipient."),
        "required_fields": _("Without these the message makes no sense: a person who refused them is denied."),
        "segment_fields": _("Fields that choose who is in the audience."),
        "price_rule_fields": _("Fields that prices or offers are made from (PIPL 24)."),
        "route": _("The recipient's route, such as marketing or notice."),
        "suppression_synced_at": _("When the recipient last got our opt-outs."),
    }

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        register_live()
        return super().changelist_view(request, extra_context)

    @admin.display(description=_("purpose"), ordering="purpose")
    def purpose_name(self, campaign: Campaign) -> str:
        return purpose_words(campaign.purpose)

    @admin.display(description=_("channel"), ordering="channel")
    def channel_name(self, campaign: Campaign) -> str:
        return channel_words(campaign.channel)

    @admin.display(description=_("campaign as it stands"))
    def standing(self, campaign: Campaign) -> str:
        """Show what everybody would get. Nothing is asked of the database."""
        if campaign.approved_at is None:
            return tag(_("not approved"), "zx-hold")
        rules = register_in_hand().rules
        plan = rules.plans.get(campaign.code)
        if plan is None:
            return "–"
        now = timezone.now()
        judgement = judge_send(plan, register=rules, at=max(campaign.planned_at or now, now))
        outcome = verdict(judgement.findings.items(), marketing=judgement.marketing).outcome.value
        return tag(OUTCOMES[outcome], f"zx-{outcome}") if outcome not in _FINE else str(_("nothing against it"))

    def save_registered(self, request: HttpRequest, row: Any, **_parts: Any) -> None:
        if campaign_save(row, actor=actor_of(request), at=timezone.now()):
            self.message_user(
                request,
                gettext("What was approved has changed, so the approval has ended. It needs a new one."),
                messages.WARNING,
            )

    def get_urls(self) -> list[Any]:
        wrap = self.admin_site.admin_view
        return [
            path("<int:pk>/predict/", wrap(self.predict_view), name="consent_campaign_predict"),
            path("<int:pk>/approve/", wrap(self.approve_view), name="consent_campaign_approve"),
            *super().get_urls(),
        ]

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any) -> Any:
        obj = context.get("original")
        if obj is not None:
            context |= self._judged(request, obj)
        return super().render_change_form(request, context, *args, **kwargs)

    def _judged(self, request: HttpRequest, campaign: Campaign) -> dict[str, Any]:
        """Return what stands against the campaign now, and what may be expected of its audience."""
        register = register_live()
        now = timezone.now()
        at = max(campaign.planned_at or now, now)
        plan = register.rules.plans[campaign.code]
        judgement = judge_send(plan, register=register.rules, at=at)
        found = verdict(judgement.findings.items(), marketing=judgement.marketing)
        screening = screening_latest(campaign.code)
        sample: Prediction | None = getattr(request, "zhixu_sample", None)
        counts = sample.counts if sample else screening.counts if screening else {}
        by_code = sample.by_code if sample else screening.by_code if screening else {}
        judged = sum(counts.get(name, 0) for name in ("allow", "deny", "hold", "defer"))
        return {
            "judged_at": at,
            "planned_ahead": at > now,
            "outcome": found.outcome.value,
            "outcome_word": OUTCOMES[found.outcome.value],
            "findings": shown_findings(judgement.findings),
            "purpose_name": getattr(register.rules.book.purposes.get(campaign.purpose), "name", "") or campaign.purpose,
            "channel_name": getattr(register.rules.channels.get(campaign.channel), "name", "") or campaign.channel,
            "recipient_name": getattr(register.rules.recipients.get(campaign.recipient), "name", "")
            or campaign.recipient,
            "content": campaign.content,
            "recipient_count": f"{campaign.recipient_count:,}",
            "review_word": REVIEWS.get(campaign.content.review_state) if campaign.content else "",
            "screening": None if sample else screening,
            "running": screening_open(campaign.code),
            "sample": sample,
            "counts": counted(counts) if judged else [],
            "counts_invalid": counts.get("invalid", 0),
            "counts_duplicates": counts.get("duplicates", 0),
            "chart": chart_of(by_code, judged),
            "reachable": self._reachable(sample, screening, judgement.findings),
            "has_file": campaign_audience_file(campaign.code) is not None,
            "may_approve": self.has_change_permission(request, campaign),
        }

    @staticmethod
    def _reachable(sample: Prediction | None, screening: Any, findings: Findings) -> int | None:
        """Return how many could be contacted once nothing stands against the campaign itself; None: not asked."""
        if not any(weight in (Severity.DENY, Severity.HOLD, Severity.DEFER) for weight in findings.values()):
            return None
        if sample is not None:
            return sample.reachable
        if screening is None or screening.as_of or screening.rows_done > REACHABLE_ROWS:
            return None  # as of an instant, single rows are not kept
        return rows_reachable(screening)

    @_PROTECTED
    def predict_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Screen the campaign's own file; without one, judge a sample and show it on the spot."""
        if request.method != "POST":
            return self._back(pk)
        campaign = self._campaign(request, pk, view=True)
        at = timezone.now()
        try:
            screening = campaign_screen(campaign=campaign.code, actor=actor_of(request), at=at)
        except ZhixuError as error:
            self.message_user(request, words_of(error), messages.ERROR)
            return self._back(pk)
        if screening is not None:
            self.message_user(request, gettext("The audience file is being screened."), messages.INFO)
            return self._back(pk)
        request.zhixu_sample = campaign_sample(campaign=campaign.code, at=at)  # type: ignore[attr-defined]
        request.method = "GET"
        return self.change_view(request, str(pk))

    @_PROTECTED
    def approve_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        if request.method != "POST":
            return self._back(pk)
        campaign = self._campaign(request, pk, view=False)
        act = partial(
            campaign_approve,
            campaign=campaign.code,
            name=request.user.get_username(),
            actor=actor_of(request),
            at=timezone.now(),
        )
        self.tell(request, act, gettext("The campaign is approved as it stands."))
        return self._back(pk)

    def _campaign(self, request: HttpRequest, pk: int, *, view: bool) -> Campaign:
        campaign = self.get_object(request, str(pk))
        if campaign is None:
            raise Http404
        allowed = self.has_view_permission if view else self.has_change_permission
        if not allowed(request, campaign):
            raise PermissionDenied
        return campaign  # type: ignore[no-any-return]

    def _back(self, pk: int) -> HttpResponse:
        return HttpResponseRedirect(reverse("admin:consent_campaign_change", args=[pk]))
