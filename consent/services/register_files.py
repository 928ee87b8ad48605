"""Load notices, collection points, source batches, contents and campaigns from files."""

from __future__ import annotations

import hashlib
from datetime import datetime
from pathlib import Path

from django.db import transaction

from audit.actors import Actor
from audit.services.record import Event, ObjectRef, audit_record
from consent.domain.terms import PointKind
from consent.errors import NoticeTextMismatchError
from consent.models import Campaign, CollectionPoint, Content, Notice, NoticeTerms, NoticeVersion, SourceBatch
from governance.domain.documents import DocumentError, Entry, entries, read_json
from governance.errors import RegisterFileError
from governance.services.register_files import register_import

FILES = ("notices.json", "contents.json", "campaigns.json")


@transaction.atomic
def register_load(*, folder: Path, member_id_pattern: str, actor: Actor, at: datetime) -> None:
    """Load the whole register of a folder in the sample format, in one transaction.

    Raises:
        RegisterFileError: a file is missing or wrong.
        NoticeTextMismatchError: a notice's text does not have the digest stated.
    """
    register_import(folder=folder, member_id_pattern=member_id_pattern, actor=actor, at=at)
    try:
        organisation = Entry(read_json(folder / "organisation.json"), "organisation.json")
        for point in organisation.entries("collection_points"):
            _load_point(point)
        for batch in organisation.entries("import_batches"):
            _load_batch(batch)
        for notice in entries(read_json(folder / FILES[0]), FILES[0]):
            _load_notice(notice, folder)
        for content in entries(read_json(folder / FILES[1]), FILES[1]):
            _load_content(content, folder)
        for campaign in entries(read_json(folder / FILES[2]), FILES[2]):
            _load_campaign(campaign)
    except DocumentError as error:
        raise RegisterFileError(error.message, **error.places) from None
    for name in FILES:
        digest = hashlib.sha256((folder / name).read_bytes()).hexdigest()
        details: dict[str, object] = {"kind": "file", "code": name, "action": "loaded", "sha256": digest}
        audit_record(actor=actor, event=Event("register.changed", object=ObjectRef("register", name), details=details))


def _load_point(entry: Entry) -> None:
    code = entry.text("id")
    kind = entry.text("kind")
    if kind not in set(PointKind):
        raise DocumentError(
            "%(place)s: one of these is expected: %(words)s", place=f"{entry.place}.kind", words=", ".join(PointKind)
        )
    CollectionPoint.objects.update_or_create(
        code=code,
        defaults={"name": entry.text("name", code), "kind": kind, "double_opt_in": entry.texts("double_opt_in")},
    )


def _load_batch(entry: Entry) -> None:
    SourceBatch.objects.update_or_create(
        code=entry.text("id"),
        defaults={
            "source": entry.text("source", ""),
            "collected_by": entry.text("collected_by", ""),
            "collected_on": entry.day("collected_at"),
            "basis": entry.text("basis", ""),
            "provenance_doc": entry.text("provenance_doc", ""),
        },
    )


def _load_notice(entry: Entry, folder: Path) -> None:
    notice, _ = Notice.objects.get_or_create(code=entry.text("id"))
    number = entry.number("version")
    data = _text_file(entry, "text_file", folder)
    digest = entry.text("text_sha256")
    if hashlib.sha256(data).hexdigest() != digest:
        raise NoticeTextMismatchError(
            "%(place)s: the text does not have the SHA-256 stated.", place=entry.place, notice=notice.code
        )
    effective_at = entry.instant("effective_at")
    if effective_at is None:
        raise DocumentError("%(place)s is missing or unreadable.", place=f"{entry.place}.effective_at")
    if NoticeVersion.objects.filter(notice=notice, version=number).exists():
        return  # a published version never changes
    version = NoticeVersion.objects.create(
        notice=notice,
        version=number,
        effective_at=effective_at,
        material=entry.flag("material"),
        affects=entry.texts("affects"),
        change=entry.text("change", ""),
        text=data.decode(),
        text_sha256=digest,
    )
    NoticeTerms.objects.bulk_create(
        NoticeTerms(
            notice_version=version,
            purpose=purpose,
            valid_months=terms.optional_number("valid_months"),
            categories=terms.texts("categories"),
            declared_per_month=terms.raw("declared_per_month") or {},
        )
        for purpose, terms in entry.table("purposes")
    )


def _text_file(entry: Entry, key: str, folder: Path) -> bytes:
    name = entry.text(key)
    path = (folder / name).resolve()
    if not path.is_relative_to(folder.resolve()) or not path.is_file():
        raise DocumentError("%(place)s: no file %(name)s in the folder.", place=f"{entry.place}.{key}", name=name)
    data = path.read_bytes()
    try:
        data.decode()
    except UnicodeDecodeError:
        raise DocumentError("%(place)s: %(name)s is not UTF-8.", place=f"{entry.place}.{key}", name=name) from None
    return data


def _load_content(entry: Entry, folder: Path) -> None:
    optout = entry.entry("optout") or Entry({}, entry.place)
    review = entry.entry("review") or Entry({}, entry.place)
    state = review.text("state", "pending")
    Content.objects.update_or_create(
        code=entry.text("id"),
        defaults={
            "subject": entry.text("subject", ""),
            "body": _text_file(entry, "body_file", folder).decode(),
            "landing_url": entry.text("landing_url", ""),
            "sender_name": entry.text("sender_name", ""),
            "contact": entry.text("contact", ""),
            "optout_route": optout.text("route", ""),
            "optout_tested_at": optout.instant("tested_at"),
            "optout_requires_login": optout.flag("requires_login"),
            "optout_valid_until": optout.day("valid_until"),
            "review_state": state if state in ("approved", "rejected") else "pending",
            "reviewer": review.text("reviewer", ""),
            "review_sha256": review.text("sha256", ""),
            "exceptions": [{"term": e.text("term"), "proof": e.text("proof", "")} for e in entry.entries("exceptions")],
            "claims": [{"text": c.text("text", ""), "proof": c.text("proof", "")} for c in entry.entries("claims")],
            "approval_no": entry.text("approval_no", ""),
            "from_domain": entry.text("from_domain", ""),
            "one_click_close": entry.flag("one_click_close"),
        },
    )


def _load_campaign(entry: Entry) -> None:
    code = entry.text("id")
    asks_for = entry.entry("asks_for")
    audience = entry.raw("audience") or {}
    Campaign.objects.update_or_create(
        code=code,
        defaults={
            "name": entry.text("name", code),
            "brand": entry.text("brand", ""),
            "kind": entry.text("kind", ""),
            "purpose": entry.text("purpose", ""),
            "channel": entry.text("channel", ""),
            "planned_at": entry.instant("planned_at"),
            "approved_at": entry.instant("approved_at"),
            "approved_by": entry.text("approved_by", ""),
            "second_approver": entry.text("second_approver", ""),
            "recipient_count": entry.number("recipient_count", 0),
            "personalised": entry.flag("personalised"),
            "generic_variant": entry.flag("generic_variant"),
            "adm_refusal_link": entry.flag("adm_refusal_link"),
            "fields": entry.texts("fields"),
            "required_fields": entry.texts("required_fields"),
            "segment_fields": entry.texts("segment_fields"),
            "recipient": entry.text("recipient", ""),
            "route": entry.text("route", ""),
            "suppression_synced_at": entry.instant("suppression_synced_at"),
            "content": Content.objects.filter(code=entry.text("content", "")).first(),
            "product_categories": entry.texts("product_categories"),
            "price_rule_fields": entry.texts("price_rule_fields"),
            "assessment": entry.text("pia", ""),
            "template_id": entry.text("template_id", ""),
            "asks_for_purpose": asks_for.text("purpose") if asks_for else "",
            "asks_for_channel": asks_for.text("channel") if asks_for else "",
            "audience": audience,
        },
    )
