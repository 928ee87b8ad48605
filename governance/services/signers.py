"""Signers of this installation, each with a key of its own from the signing root."""

from __future__ import annotations

from functools import cache

from audit.options import option
from audit.signing import Ed25519Signer, Signer
from governance.crypto.keyring import derived_key, keyring


@cache
def signer(use: str) -> Signer:
    """Return the signer for one use, such as `manifest`. Its name is `<tenant>/<use>`.

    The one for `checkpoint` bears the ledger's own name, as C2SP tlog-checkpoint asks.
    """
    return _signer(use, keyring()["sign"].active)


def verifiers(use: str) -> list[str]:
    """Return the verifiers of all keys in the key ring for one use, the active one first: old notes stay good."""
    root = keyring()["sign"]
    versions = sorted(root.keys, key=lambda version: (version != root.active, -version))
    return [_signer(use, version).verifier for version in versions]


@cache
def _signer(use: str, version: int) -> Ed25519Signer:
    tenant = option("TENANT")
    name = f"zhixu.{tenant}/audit" if use == "checkpoint" else f"{tenant}/{use}"
    return Ed25519Signer(name, derived_key("sign", version, tenant, use))
