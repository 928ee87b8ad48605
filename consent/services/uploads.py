"""Files sent to work on: streamed to disk, capped, hashed; deleted after a day."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path
from uuid import UUID

from audit.domain.ids import uuid7
from audit.options import option
from consent.errors import UploadNotFoundError, UploadTooLargeError
from consent.models import Upload


def upload_path(upload_id: UUID) -> Path:
    return Path(option("STATE")) / "uploads" / upload_id.hex


def upload_store(*, chunks: Iterable[bytes], client_id: int | None, at: datetime) -> Upload:
    """Write a stream to disk and keep its digest. Raises UploadTooLargeError; nothing is kept then."""
    limit = option("UPLOAD_MAX_BYTES")
    upload = Upload(id=uuid7(), client_id=client_id, size=0)
    path = upload_path(upload.id)
    path.parent.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    try:
        with path.open("wb") as file:
            for chunk in chunks:
                upload.size += len(chunk)
                if upload.size > limit:
                    raise UploadTooLargeError("The file is too large.", limit_bytes=limit)
                digest.update(chunk)
                file.write(chunk)
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    upload.sha256 = digest.hexdigest()
    upload.save(force_insert=True)
    return upload


def upload_find(*, upload_id: UUID, client_id: int | None) -> Path:
    """Return the path of a client's own upload. Unknown, foreign and deleted look the same: UploadNotFoundError."""
    known = Upload.objects.filter(id=upload_id, client_id=client_id).exists()
    path = upload_path(upload_id)
    if not known or not path.exists():
        raise UploadNotFoundError("No such upload.")
    return path


def uploads_expire(*, at: datetime) -> int:
    """Delete uploads older than a day. Returns how many."""
    old = Upload.objects.filter(created_at__lt=at - timedelta(hours=option("SCREENING_TTL_HOURS")))
    ids = list(old.values_list("id", flat=True))
    for upload_id in ids:
        upload_path(upload_id).unlink(missing_ok=True)
    old.delete()
    return len(ids)
