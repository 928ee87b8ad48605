"""Where each encrypted value of the consent tables lives: the place its ciphertext is bound to."""

from __future__ import annotations

from uuid import UUID

from audit.options import option
from governance.crypto.envelope import Place


def identifier_place(row: UUID, subject: UUID) -> Place:
    return Place(option("TENANT"), "consent_identifier", "sealed", row, subject)


def profile_place(column: str, subject: UUID, row_version: int = 1) -> Place:
    return Place(option("TENANT"), "consent_subject_profile", column, subject, subject, row_version)


def guardian_place(row: UUID, child: UUID) -> Place:
    return Place(option("TENANT"), "consent_guardianship", "guardian", row, child)
