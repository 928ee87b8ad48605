"""Keys, sealed fields and look-up values, held against the primitives themselves.

What the product computes is computed here a second time from the format (docs/formats.md), with raw AES-GCM, HKDF
written out over `hmac`, and `hashlib`; nothing of the product's cryptography is used for it.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import struct
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from django.conf import LazySettings, settings
from hypothesis import given
from hypothesis import strategies as st

from governance.crypto.blind_index import keyed_digest, lookup, lookup_version
from governance.crypto.envelope import OVERHEAD, FieldKey, Place, key_id_of
from governance.crypto.keyring import USES, derived_key, keyring, keyring_create
from governance.domain.identifiers import IdentifierType, canonical_reader
from governance.errors import KeyringError, SealBrokenError
from governance.models import DataKey, EpochKey
from governance.selectors.keys import data_keys_get, keys_forget
from governance.services.keys import data_keys_ensure
from tests.strategies import few

KEY_ID = UUID("01234567-89ab-7def-8123-456789abcdef")
KEY = bytes(range(32))
NONCE = bytes(range(12))
PLACE = Place("shop", "consent_identifier", "sealed", UUID(int=1), UUID(int=2))
PHONE = "+8613800138000"


def framed(*parts: bytes) -> bytes:
    return b"".join(struct.pack(">I", len(part)) + part for part in parts)


def hkdf(root: bytes, info: bytes) -> bytes:
    """RFC 5869 with SHA-256, no salt, one block."""
    extracted = hmac.new(bytes(32), root, hashlib.sha256).digest()
    return hmac.new(extracted, info + b"\x01", hashlib.sha256).digest()


def aad(place: Place, key_id: UUID = KEY_ID, version: int = 1) -> bytes:
    return framed(
        b"zx/fe/1",
        place.tenant.encode(),
        place.table.encode(),
        place.column.encode(),
        place.row.bytes,
        place.subject.bytes,
        str(place.row_version).encode(),
        key_id.bytes,
        str(version).encode(),
        b"1",
    )


@pytest.fixture
def key() -> FieldKey:
    return FieldKey(KEY_ID, 1, KEY)


@pytest.fixture
def ring(tmp_path: Path, settings: LazySettings) -> Iterator[Path]:
    """A key ring of this test alone; what the process remembers of another is dropped before and after."""
    path = tmp_path / "keyring.json"
    keyring_create(path)
    settings.ZHIXU = settings.ZHIXU | {"KEYRING": path, "KEYRING_AUTOCREATE": False}
    forget()
    yield path
    forget()


def forget() -> None:
    keyring.cache_clear()
    derived_key.cache_clear()
    keys_forget()


def ring_change(path: Path, change: Any) -> None:
    stored = json.loads(path.read_text())
    change(stored)
    path.write_text(json.dumps(stored))
    forget()


# -- the sealed field ------------------------------------------------------------------------------------------------


def test_a_sealed_value_is_what_the_format_says(key: FieldKey) -> None:
    padded = PHONE.encode() + b"\x80" + bytes(16 - len(PHONE) - 1)
    commitment = hkdf(KEY, framed(b"zhixu/commit/v1", KEY_ID.bytes, b"1"))
    head = b"zx1" + b"\x01" + KEY_ID.bytes + struct.pack(">I", 1) + commitment + NONCE
    expected = head + AESGCM(KEY).encrypt(NONCE, padded, aad(PLACE))

    assert key.seal(PHONE, PLACE, NONCE) == expected
    assert key.open(expected, PLACE) == PHONE
    assert key_id_of(expected) == KEY_ID


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=300))
@few(100)
def test_what_was_sealed_opens_again_and_its_length_says_only_its_size(text: str) -> None:
    key = FieldKey(KEY_ID, 1, KEY)

    sealed = key.seal(text, PLACE)

    assert key.open(sealed, PLACE) == text
    size = len(sealed) - OVERHEAD
    assert size & (size - 1) == 0
    assert size >= 16


def test_the_same_value_is_sealed_differently_each_time(key: FieldKey) -> None:
    assert len({key.seal(PHONE, PLACE) for _ in range(100)}) == 100


@pytest.mark.parametrize(
    "other",
    [
        {"tenant": "another"},
        {"table": "consent_subject_profile"},
        {"column": "name"},
        {"row": UUID(int=3)},
        {"subject": UUID(int=3)},
        {"row_version": 2},
        {"table": "consent_identifiers", "column": "ealed"},
    ],
)
def test_a_value_moved_to_another_place_does_not_open(key: FieldKey, other: dict[str, Any]) -> None:
    sealed = key.seal(PHONE, PLACE)

    assert key.open(sealed, PLACE) == PHONE
    with pytest.raises(SealBrokenError):
        key.open(sealed, replace(PLACE, **other))


def test_no_byte_of_a_sealed_value_can_be_changed_or_cut(key: FieldKey) -> None:
    sealed = key.seal(PHONE, PLACE)

    for place in range(len(sealed)):
        for bit in (0x01, 0x80):
            with pytest.raises(SealBrokenError):
                key.open(sealed[:place] + bytes([sealed[place] ^ bit]) + sealed[place + 1 :], PLACE)
        with pytest.raises(SealBrokenError):
            key.open(sealed[:place], PLACE)
    with pytest.raises(SealBrokenError):
        key.open(sealed + b"\0", PLACE)


def test_another_key_under_the_same_name_is_refused_by_its_commitment(key: FieldKey) -> None:
    sealed = FieldKey(KEY_ID, 1, bytes(32)).seal(PHONE, PLACE)

    with pytest.raises(SealBrokenError, match="commitment"):
        key.open(sealed, PLACE)


@pytest.mark.parametrize("other", [FieldKey(uuid4(), 1, KEY), FieldKey(KEY_ID, 2, KEY)])
def test_a_key_of_another_name_or_version_is_refused(key: FieldKey, other: FieldKey) -> None:
    with pytest.raises(SealBrokenError, match="another key"):
        other.open(key.seal(PHONE, PLACE), PLACE)


def test_what_is_no_sealed_value_names_no_key(key: FieldKey) -> None:
    for value in (b"", b"zx1", bytes(200), b"zx2" + key.seal(PHONE, PLACE)[3:]):
        with pytest.raises(SealBrokenError):
            key_id_of(value)


def test_a_key_does_not_show_itself(key: FieldKey) -> None:
    assert "00010203" not in repr(key).replace(" ", "")
    assert KEY.hex() not in repr(key)


# -- look-up values --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", IdentifierType)
def test_a_look_up_value_is_keyed_blake2b_under_a_key_of_its_own(ring: Path, kind: IdentifierType) -> None:
    root = base64.b64decode(json.loads(ring.read_text())["index"]["keys"]["1"])
    tenant = settings.ZHIXU["TENANT"].encode()
    index = hkdf(root, framed(b"zhixu/index/v1", tenant, kind.name.lower().encode()))

    assert lookup(kind, PHONE) == hashlib.blake2b(PHONE.encode(), key=index, digest_size=16).digest()


def test_the_same_value_has_one_look_up_value_and_each_kind_of_identifier_another(ring: Path) -> None:
    assert lookup(IdentifierType.PHONE, PHONE) == lookup(IdentifierType.PHONE, PHONE)
    assert len({lookup(kind, "13800138000") for kind in IdentifierType}) == len(IdentifierType)


def test_another_legal_entity_has_other_look_up_values(ring: Path, settings: LazySettings) -> None:
    here = lookup(IdentifierType.PHONE, PHONE)
    settings.ZHIXU = settings.ZHIXU | {"TENANT": "another"}
    forget()

    assert lookup(IdentifierType.PHONE, PHONE) != here


@pytest.mark.parametrize(
    ("kind", "ways"),
    [
        (IdentifierType.PHONE, ["13800138000", "+86 138-0013-8000", "008613800138000", "１３８００１３８０００"]),
        (IdentifierType.EMAIL, ["lin@example.com", " LIN@Example.COM", "ｌｉｎ@example.com"]),
        (IdentifierType.MEMBER_ID, ["M000001", "m000001 ", "Ｍ000001"]),
    ],
)
def test_however_it_is_written_an_identifier_is_found(ring: Path, kind: IdentifierType, ways: list[str]) -> None:
    read = canonical_reader(kind, "M[0-9]{6}")

    assert len({lookup(kind, read(way) or way) for way in ways}) == 1


def test_no_look_up_value_can_be_had_without_the_key(ring: Path) -> None:
    """There are 7 * 10**9 mobile numbers: an unkeyed digest of one is the number."""
    value = lookup(IdentifierType.PHONE, PHONE)

    for text in (PHONE, PHONE[1:], PHONE[3:]):
        data = text.encode()
        for name in sorted(hashlib.algorithms_guaranteed):
            if not name.startswith("shake"):
                assert hashlib.new(name, data).digest()[:16] != value
        assert hashlib.blake2b(data, digest_size=16).digest() != value


@given(st.lists(st.text(max_size=6), min_size=1, max_size=4), st.lists(st.text(max_size=6), min_size=1, max_size=4))
@few(200)
def test_digests_for_telling_repeats_apart_join_their_parts_unambiguously(one: list[str], other: list[str]) -> None:
    assert (keyed_digest(*one) == keyed_digest(*other)) == (one == other)
    assert keyed_digest("ab", "c") != keyed_digest("a", "bc")


def test_every_use_has_a_root_of_its_own_and_no_key_serves_two(ring: Path) -> None:
    stored = json.loads(ring.read_text())
    roots = {use: stored[use]["keys"]["1"] for use in USES}

    assert len(set(roots.values())) == len(USES)
    assert len({derived_key(use, 1, "shop", "phone") for use in USES}) == len(USES)
    assert len({derived_key("index", 1, *parts) for parts in (("shop", "phone"), ("sho", "pphone"), ("shop",))}) == 3


def test_equal_roots_still_give_each_use_another_key(ring: Path) -> None:
    def same(stored: Any) -> None:
        for use in USES:
            stored[use]["keys"]["1"] = base64.b64encode(KEY).decode()

    ring_change(ring, same)

    assert len({derived_key(use, 1, "shop", "phone") for use in USES}) == len(USES)


# -- rotation --------------------------------------------------------------------------------------------------------


def rotated(use: str) -> Any:
    def change(stored: Any) -> None:
        stored[use]["keys"]["2"] = base64.b64encode(os.urandom(32)).decode()
        stored[use]["active"] = 2

    return change


def test_after_the_root_was_rotated_what_is_sealed_opens_and_new_people_are_sealed_too(db: None, ring: Path) -> None:
    old, new = uuid4(), uuid4()
    sealed = data_keys_ensure([old])[old].seal(PHONE, PLACE)

    ring_change(ring, rotated("kek"))

    assert data_keys_get([old])[old].open(sealed, PLACE) == PHONE
    assert data_keys_ensure([new])[new].seal(PHONE, PLACE)


def test_a_ring_that_lost_the_root_in_use_opens_nothing_and_says_which_is_missing(db: None, ring: Path) -> None:
    owner = uuid4()
    data_keys_ensure([owner])
    ring_change(ring, rotated("kek"))
    assert owner in data_keys_get([owner])

    ring_change(ring, lambda stored: stored["kek"]["keys"].pop("1"))

    with pytest.raises(KeyringError, match="kek key 1"):
        data_keys_get([owner])


def test_the_ring_of_another_installation_does_not_open_this_database(db: None, ring: Path) -> None:
    owner = uuid4()
    data_keys_ensure([owner])

    ring_change(ring, lambda stored: stored["kek"]["keys"].update({"1": base64.b64encode(KEY).decode()}))

    with pytest.raises(SealBrokenError, match="right key ring"):
        data_keys_get([owner])


def test_rotating_the_index_key_changes_the_version_that_new_look_up_values_carry(ring: Path) -> None:
    before = lookup_version(), lookup(IdentifierType.PHONE, PHONE)

    ring_change(ring, rotated("index"))

    assert (before[0], lookup_version()) == (1, 2)
    assert lookup(IdentifierType.PHONE, PHONE) != before[1]


def test_one_person_one_data_key_and_a_destroyed_one_is_gone_at_once(db: None, ring: Path) -> None:
    lin, zhao = uuid4(), uuid4()
    keys = data_keys_ensure([lin, zhao])
    assert keys[lin].id != keys[zhao].id
    assert data_keys_ensure([lin])[lin].id == keys[lin].id

    DataKey.objects.filter(owner=lin).update(state="destroyed")

    assert set(data_keys_get([lin, zhao])) == {zhao}


@pytest.mark.parametrize("column", ["owner", "use", "epoch"])
def test_a_wrapped_data_key_given_to_another_owner_or_use_does_not_open(db: None, ring: Path, column: str) -> None:
    lin, zhao = uuid4(), uuid4()
    data_keys_ensure([lin])
    row = DataKey.objects.filter(owner=lin)
    if column == "epoch":
        old = EpochKey.objects.get()
        EpochKey.objects.filter(pk=old.pk).update(state="decrypt_only")
        other = EpochKey.objects.create(id=uuid4(), root_id=old.root_id, wrapped=old.wrapped)
        row.update(epoch=other)
    else:
        row.update(**{column: {"owner": zhao, "use": "evidence"}[column]})
    forget()

    with pytest.raises(SealBrokenError):
        data_keys_get([zhao if column == "owner" else lin], use="evidence" if column == "use" else "profile")


def test_no_key_stands_in_the_database_in_clear(db: None, ring: Path) -> None:
    owner = uuid4()
    data_keys_ensure([owner])
    roots = [base64.b64decode(r["keys"]["1"]) for r in json.loads(ring.read_text()).values()]

    for row in (DataKey.objects.get(owner=owner), EpochKey.objects.get()):
        assert len(bytes(row.wrapped)) == 12 + 32 + 16
        assert not any(root in bytes(row.wrapped) for root in roots)


# -- the file --------------------------------------------------------------------------------------------------------


def test_a_new_ring_can_be_read_by_its_owner_only_and_is_never_written_over(ring: Path) -> None:
    before = ring.read_bytes()

    keyring_create(ring)

    assert ring.stat().st_mode & 0o777 == 0o600
    assert ring.read_bytes() == before
    assert [path.name for path in ring.parent.iterdir()] == ["keyring.json"]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o644, 0o666])
def test_a_ring_that_others_can_touch_is_refused(ring: Path, mode: int) -> None:
    assert set(keyring()) == set(USES)
    forget()
    ring.chmod(mode)

    with pytest.raises(KeyringError, match=r"keyring\.json can be read by others; chmod 600"):
        lookup(IdentifierType.PHONE, PHONE)


def test_without_a_ring_nothing_is_looked_up_and_none_is_made(ring: Path) -> None:
    ring.unlink()

    with pytest.raises(KeyringError, match=r"keyring\.json is missing; set ZHIXU_KEYRING or run keyring_create"):
        lookup(IdentifierType.PHONE, PHONE)
    assert not ring.exists()


def short(stored: Any) -> None:
    stored["kek"]["keys"]["1"] = base64.b64encode(b"short").decode()


def absent(stored: Any) -> None:
    stored["index"]["active"] = 7


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{}",
        "[]",
        "null",
        '{"kek": {"active": 1, "keys": {"1": "AAAA"}}}',
        "not json",
    ],
)
def test_a_damaged_ring_is_refused_and_its_content_is_not_told(ring: Path, content: str) -> None:
    ring.write_text(content)
    forget()

    with pytest.raises(KeyringError, match="is damaged") as refusal:
        keyring()
    assert "AAAA" not in str(refusal.value)


@pytest.mark.parametrize("change", [short, absent])
def test_a_ring_with_a_short_key_or_without_the_active_one_is_refused(ring: Path, change: Any) -> None:
    ring_change(ring, change)

    with pytest.raises(KeyringError):
        keyring()


def test_a_ring_that_is_no_text_is_damaged_too(ring: Path) -> None:
    ring.write_bytes(b"\xff\xfe\x00")
    forget()

    with pytest.raises(KeyringError, match="is damaged"):
        keyring()


def test_a_ring_does_not_show_its_keys(ring: Path) -> None:
    stored = json.loads(ring.read_text())

    shown = repr(keyring())

    for root in stored.values():
        assert root["keys"]["1"] not in shown
        assert repr(base64.b64decode(root["keys"]["1"])) not in shown
