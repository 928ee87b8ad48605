"""Find data keys and unwrap them. A key that is destroyed is gone at once: every use reads its row."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from threading import Lock
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from audit.options import option
from governance.crypto.envelope import FieldKey
from governance.crypto.keyring import derived_key, info
from governance.errors import SealBrokenError
from governance.models import DataKey, EpochKey

_CACHE_SIZE = 10_000
_cache: OrderedDict[UUID, FieldKey] = OrderedDict()
_epochs: dict[UUID, AESGCM] = {}
_lock = Lock()


def data_keys_get(owners: Iterable[UUID], *, use: str = "profile") -> dict[UUID, FieldKey]:
    """Return the active data keys of these owners; an owner whose key is destroyed has none."""
    rows = DataKey.objects.filter(owner__any=list(owners), use=use, state="active").values_list(
        "id", "owner", "version", "epoch_id", "wrapped"
    )
    return {
        owner: _unwrapped(key_id, owner, use, version, epoch, bytes(wrapped))
        for key_id, owner, version, epoch, wrapped in rows
    }


def _unwrapped(key_id: UUID, owner: UUID, use: str, version: int, epoch: UUID, wrapped: bytes) -> FieldKey:
    with _lock:
        if key_id in _cache:
            _cache.move_to_end(key_id)
            return _cache[key_id]
    try:
        key = epoch_cipher(epoch).decrypt(wrapped[:12], wrapped[12:], wrap_aad(key_id, owner, use, version, epoch))
    except InvalidTag as error:
        raise SealBrokenError("A data key cannot be unwrapped.", key=str(key_id)) from error
    field_key = FieldKey(key_id, version, key)
    keys_remember([field_key])
    return field_key


def keys_remember(keys: Iterable[FieldKey]) -> None:
    with _lock:
        for key in keys:
            _cache[key.id] = key
        while len(_cache) > _CACHE_SIZE:
            _cache.popitem(last=False)


def wrap_aad(key_id: UUID, owner: UUID, use: str, version: int, epoch: UUID) -> bytes:
    return info("zx/dk/1", option("TENANT"), key_id.bytes, owner.bytes, use, str(version), epoch.bytes)


def epoch_cipher(epoch_id: UUID) -> AESGCM:
    if epoch_id not in _epochs:
        epoch = EpochKey.objects.get(id=epoch_id)
        wrapped, root = bytes(epoch.wrapped), int(epoch.root_id)
        try:
            key = root_cipher(root).decrypt(wrapped[:12], wrapped[12:], epoch_aad(epoch_id, root))
        except InvalidTag as error:
            raise SealBrokenError("The key ring does not open this database; restore the right key ring.") from error
        _epochs[epoch_id] = AESGCM(key)
    return _epochs[epoch_id]


def root_cipher(version: int) -> AESGCM:
    return AESGCM(derived_key("kek", version, option("TENANT")))


def epoch_aad(epoch_id: UUID, root: int) -> bytes:
    return info("zx/ek/1", option("TENANT"), epoch_id.bytes, str(root))


def keys_forget() -> None:
    """Drop every key held in memory; the next use reads them again."""
    with _lock:
        _cache.clear()
        _epochs.clear()
