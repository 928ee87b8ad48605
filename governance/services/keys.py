"""Data keys: made and wrapped. Values are sealed under a key of the person they are about."""

from __future__ import annotations

import os
from collections.abc import Iterable
from uuid import UUID, uuid4

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from django.db import transaction

from audit.bulk import copy_rows
from governance.crypto.envelope import FieldKey
from governance.crypto.keyring import KEY_BYTES, keyring
from governance.models import EpochKey
from governance.selectors.keys import (
    data_keys_get,
    epoch_aad,
    epoch_cipher,
    keys_remember,
    root_cipher,
    wrap_aad,
)


def data_keys_ensure(owners: Iterable[UUID], *, use: str = "profile") -> dict[UUID, FieldKey]:
    """Return the active data key of each owner, making those that are missing. In the caller's transaction."""
    wanted = list(dict.fromkeys(owners))
    found = data_keys_get(wanted, use=use)
    missing = [owner for owner in wanted if owner not in found]
    if not missing:
        return found
    epoch, cipher = _active_epoch()
    noise = os.urandom((KEY_BYTES + 12) * len(missing))
    rows, fresh = [], {}
    for place, owner in enumerate(missing):
        part = noise[place * 44 : (place + 1) * 44]
        key_id, key, nonce = uuid4(), part[:KEY_BYTES], part[KEY_BYTES:]
        wrapped = nonce + cipher.encrypt(nonce, key, wrap_aad(key_id, owner, use, 1, epoch))
        rows.append((key_id, owner, use, 1, epoch, wrapped, "active"))
        fresh[owner] = FieldKey(key_id, 1, key)
    copy_rows("governance_data_key", ("id", "owner", "use", "version", "epoch_id", "wrapped", "state"), rows)
    transaction.on_commit(lambda: keys_remember(fresh.values()))
    return found | fresh


def _active_epoch() -> tuple[UUID, AESGCM]:
    epoch = EpochKey.objects.filter(state="active").first()
    if epoch is None:
        root = keyring()["kek"].active
        epoch_id, key, nonce = uuid4(), os.urandom(KEY_BYTES), os.urandom(12)
        wrapped = nonce + root_cipher(root).encrypt(nonce, key, epoch_aad(epoch_id, root))
        epoch = EpochKey.objects.create(id=epoch_id, root_id=str(root), wrapped=wrapped)
    return epoch.id, epoch_cipher(epoch.id)
