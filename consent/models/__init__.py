from consent.models.campaigns import Campaign, Content
from consent.models.contacts import SendRecord, Suppression, TemplateSubscription
from consent.models.decisions import (
    ConsentImport,
    Decision,
    DecisionSeal,
    Job,
    PreferenceLink,
    Screening,
    ScreeningRow,
    Upload,
)
from consent.models.notices import CollectionPoint, Notice, NoticeTerms, NoticeVersion, SourceBatch
from consent.models.records import ConsentRecord, ConsentState, Slot
from consent.models.sends import ScreeningPass, ScreeningRowPast, SendMatch, SendReceipt, SendReport
from consent.models.subjects import DataSubject, Guardianship, Identifier, SubjectProfile

__all__ = [
    "Campaign",
    "CollectionPoint",
    "ConsentImport",
    "ConsentRecord",
    "ConsentState",
    "Content",
    "DataSubject",
    "Decision",
    "DecisionSeal",
    "Guardianship",
    "Identifier",
    "Job",
    "Notice",
    "NoticeTerms",
    "NoticeVersion",
    "PreferenceLink",
    "Screening",
    "ScreeningPass",
    "ScreeningRow",
    "ScreeningRowPast",
    "SendMatch",
    "SendReceipt",
    "SendRecord",
    "SendReport",
    "Slot",
    "SourceBatch",
    "SubjectProfile",
    "Suppression",
    "TemplateSubscription",
    "Upload",
]
