"""Find screenings, imports and send reports of a client. Unknown and foreign look the same."""

from __future__ import annotations

from uuid import UUID

from consent.models import ConsentImport, Screening, SendReport


def screening_for(screening_id: UUID, *, client_id: int) -> Screening | None:
    return Screening.objects.filter(pk=screening_id, client_id=client_id).first()


def consent_import_for(import_id: UUID, *, client_id: int) -> ConsentImport | None:
    return ConsentImport.objects.filter(pk=import_id, client_id=client_id).first()


def send_report_for(report_id: UUID, *, client_id: int) -> SendReport | None:
    return SendReport.objects.filter(pk=report_id, client_id=client_id).first()
