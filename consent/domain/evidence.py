"""What folding must know beside the acts, as plain values that can be written down and read by others."""

from __future__ import annotations

from datetime import UTC

from consent.domain.records import ConsentBook, Notice


def book_row(book: ConsentBook) -> dict[str, object]:
    """Return what folding must know beside the acts. Lists are in the order in which the fold goes through them."""
    return {
        "purposes": [
            {"id": p.id, "kind": p.kind.value, "contains": sorted(p.contains)} for p in book.purposes.values()
        ],
        "marketing": book.marketing_purposes,
        "channels": [{"id": code, "phone": phone} for code, phone in book.channels.items()],
        "points": [
            {"id": p.id, "kind": p.kind.value, "double_opt_in": sorted(p.double_opt_in)} for p in book.points.values()
        ],
        "notices": [_notice_row(notice) for notice in book.notices.values()],
        "double_opt_in_days": book.double_opt_in_days,
    }


def _notice_row(notice: Notice) -> dict[str, object]:
    return {
        "id": f"{notice.ref.id}@{notice.ref.version}",
        "effective_at": notice.effective_at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z"),
        "text_sha256": notice.text_sha256,
        "terms": [
            {
                "purpose": purpose,
                "valid_months": terms.valid_months,
                "declared_per_month": [
                    {"channel": channel, "messages": number} for channel, number in terms.declared_per_month.items()
                ],
            }
            for purpose, terms in notice.terms.items()
        ],
    }
