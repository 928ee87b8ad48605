from governance.models.clients import APIClient, IdempotencyRecord
from governance.models.keys import DataKey, EpochKey
from governance.models.recipients import Agreement, ImpactAssessment, Recipient, Subprocessor, TransferMechanism
from governance.models.register import (
    Brand,
    Channel,
    Controller,
    CrossBorderCount,
    DataField,
    PolicyRevision,
    Purpose,
    RegisterHead,
    WordList,
)

__all__ = [
    "APIClient",
    "Agreement",
    "Brand",
    "Channel",
    "Controller",
    "CrossBorderCount",
    "DataField",
    "DataKey",
    "EpochKey",
    "IdempotencyRecord",
    "ImpactAssessment",
    "PolicyRevision",
    "Purpose",
    "Recipient",
    "RegisterHead",
    "Subprocessor",
    "TransferMechanism",
    "WordList",
]
