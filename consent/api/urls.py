from django.urls import path

from consent.api import lean
from consent.api.views import consents, decisions, receipts, screenings, sends

app_name = "api"
urlpatterns = [
    path("decisions/check", lean.check, name="check"),
    path("decisions/check-batch", lean.check_batch, name="check-batch"),
    path("decisions/fields", decisions.FieldsView.as_view(), name="fields"),
    path("meta", decisions.MetaView.as_view(), name="meta"),
    path("uploads", screenings.UploadView.as_view(), name="uploads"),
    path("screenings", screenings.ScreeningListView.as_view(), name="screenings"),
    path("screenings/<str:screening_id>", screenings.ScreeningView.as_view(), name="screening"),
    path("screenings/<str:screening_id>/cancel", screenings.ScreeningCancelView.as_view(), name="screening-cancel"),
    path("screenings/<str:screening_id>/recheck", screenings.ScreeningRecheckView.as_view(), name="screening-recheck"),
    path(
        "screenings/<str:screening_id>/manifest", screenings.ScreeningManifestView.as_view(), name="screening-manifest"
    ),
    path(
        "screenings/<str:screening_id>/files/<str:name>", screenings.ScreeningFileView.as_view(), name="screening-file"
    ),
    path("consents", consents.ConsentView.as_view(), name="consents"),
    path("consents/query", consents.ConsentQueryView.as_view(), name="consent-query"),
    path("receipts/verify", receipts.ReceiptVerifyView.as_view(), name="receipt-verify"),
    path("receipts/<str:receipt_id>", receipts.ReceiptView.as_view(), name="receipt"),
    path("consent-imports", consents.ConsentImportListView.as_view(), name="consent-imports"),
    path("consent-imports/<str:import_id>", consents.ConsentImportView.as_view(), name="consent-import"),
    path(
        "consent-imports/<str:import_id>/errors",
        consents.ConsentImportErrorsView.as_view(),
        name="consent-import-errors",
    ),
    path("send-receipts", sends.SendReceiptsView.as_view(), name="send-receipts"),
    path("send-receipt-imports", sends.SendReceiptImportListView.as_view(), name="send-receipt-imports"),
    path("send-receipt-imports/<str:report_id>", sends.SendReceiptImportView.as_view(), name="send-receipt-import"),
    path(
        "send-receipt-imports/<str:report_id>/errors",
        sends.SendReceiptImportErrorsView.as_view(),
        name="send-receipt-import-errors",
    ),
    path("send-reconciliations", sends.SendReconciliationView.as_view(), name="send-reconciliations"),
    path("send-reconciliations/file", sends.SendReconciliationFileView.as_view(), name="send-reconciliation-file"),
    path("preference-links", consents.PreferenceLinkView.as_view(), name="preference-links"),
]
