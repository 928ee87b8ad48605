"""A consent receipt in the shape of ISO/IEC TS 27560:2023, as JSON-LD with W3C DPV terms.

Every field follows from the bodies of the audit entries it is about, but for what is said around them: the
controller's name, where to withdraw, and names for codes. So whoever holds a receipt can make it again from the
bodies inside it, and see what was altered. It names nobody: the person is our own random reference.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from audit.domain.canonical import canonical_json

SCHEMA = "zhixu/consent-receipt/1"
STANDARD = "ISO/IEC TS 27560:2023"
PROOF = "zx:proof"
NUMBER = "dct:identifier"
CONTEXT = {
    "dct": "http://purl.org/dc/terms/",
    "dpv": "https://w3id.org/dpv#",
    "rdf": "http://www.w3.org/1999/02/22-rdf-syntax-ns#",
    "skos": "http://www.w3.org/2004/02/skos/core#",
    "zx": "urn:zhixu:receipt:",
}
EVERYTHING = "*"
"""Purpose or channel of a "no" that names none: it is about all of them."""

_STATUS = {
    "consent.granted": ("grant", "dpv:ConsentGiven"),
    "consent.renewed": ("renew", "dpv:RenewedConsentGiven"),
    "consent.confirmed": ("confirm", "dpv:ConsentGiven"),
    "consent.denied": ("deny", "dpv:ConsentRefused"),
    "consent.withdrawn": ("withdraw", "dpv:ConsentWithdrawn"),
}
_AROUND = ("/dpv:hasDataController/dpv:hasName", "/zx:withdrawal", "/zx:names", f"/{PROOF}")
"""What does not follow from the entries. The signature over the whole document covers it."""


@dataclass(frozen=True, slots=True)
class Around:
    """What a receipt says beside its entries."""

    controller: str
    withdraw_at: str  # address of the page where all consent can be withdrawn; without a token
    names: Mapping[str, str] = field(default_factory=dict)  # code → name, as the register has it


def receipt_number(entry: UUID) -> str:
    """Return the public id of the receipt whose first entry this is."""
    return f"rcp_{entry.hex}"


def receipt_fields(bodies: Sequence[Mapping[str, Any]], around: Around) -> dict[str, Any]:
    """Return a receipt without its proof. Raises KeyError, TypeError or ValueError if these are no acts of consent.

    `bodies` are the entries of one act, in the order of the person's versions.
    """
    first = bodies[0]
    return {
        "@context": CONTEXT,
        "@id": f"urn:uuid:{UUID(first['id'])}",
        "@type": "dpv:ConsentReceipt",
        NUMBER: receipt_number(UUID(first["id"])),
        "dct:conformsTo": STANDARD,
        "zx:schema": SCHEMA,
        "dct:issued": first["t"],
        "dpv:hasDataSubject": {"@id": f"urn:uuid:{UUID(first['subj'])}", "@type": "dpv:DataSubject"},
        "dpv:hasDataController": {
            "@id": f"urn:zhixu:controller:{first['tenant']}",
            "@type": "dpv:DataController",
            "dpv:hasName": around.controller,
        },
        "dpv:hasProcess": [_process(body) for body in bodies],
        "zx:withdrawal": {"dpv:isExercisedAt": around.withdraw_at},
        "zx:names": dict(around.names),
    }


def _process(body: Mapping[str, Any]) -> dict[str, Any]:
    act, status = _STATUS[body["type"]]
    said: Mapping[str, Any] = body.get("d", {})
    group, recipient = said.get("group"), said.get("recipient")
    return {
        "@id": f"urn:uuid:{UUID(body['id'])}",
        "@type": "dpv:Process",
        "dpv:hasPurpose": said.get("purpose", EVERYTHING),
        "zx:channel": None if said.get("separate") else said.get("channel", EVERYTHING),
        "dpv:hasRecipient": [recipient] if recipient else [],
        "dpv:hasPersonalData": [group] if group else [],
        "dpv:hasLegalBasis": "dpv:Consent",
        "zx:separateConsent": bool(said.get("separate")),
        "dpv:hasNotice": _notice(said),
        "dpv:hasConsentStatus": {
            "@type": status,
            "zx:act": act,
            "dpv:isIndicatedBy": "dpv:DataSubject",
            "dpv:isIndicatedAtTime": said["said_at"],
            "dpv:hasIndicationMethod": said.get("control"),
            "dpv:isExercisedAt": said.get("point"),
            "zx:preTicked": said.get("pre_checked"),
            "zx:askedWith": said.get("bundle"),
            "zx:evidenceClass": said.get("evidence"),
            "zx:validUntil": said.get("valid_until"),
        },
        "zx:version": body["ver"],
        "zx:recordedBy": body["actor"]["k"],
    }


def _notice(said: Mapping[str, Any]) -> dict[str, Any] | None:
    if "notice" not in said:
        return None
    code, _at, version = str(said["notice"]).rpartition("@")
    return {
        "@type": "dpv:ConsentNotice",
        NUMBER: code,
        "dct:hasVersion": version,
        "dct:language": said.get("language"),
        "zx:textSha256": said.get("text_sha256") or said.get("text_hash"),
    }


def codes_of(bodies: Sequence[Mapping[str, Any]]) -> set[str]:
    """Return the codes of purposes, channels and recipients that a receipt names."""
    named = ("purpose", "channel", "recipient")
    return {str(body["d"][name]) for body in bodies for name in named if body.get("d", {}).get(name)}


def signed_bytes(document: Mapping[str, Any]) -> bytes:
    """Return what the signature over a whole receipt covers: everything but the proof, in canonical form."""
    return canonical_json({name: value for name, value in document.items() if name != PROOF})


def altered_places(document: Mapping[str, Any], bodies: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the JSON pointers of all fields that do not follow from the bodies. Raises as `receipt_fields` does."""
    expected = receipt_fields(bodies, Around("", ""))
    return [place for place in _differences(expected, document, "") if not place.startswith(_AROUND)]


def _differences(expected: object, found: object, place: str) -> Iterator[str]:
    if isinstance(expected, dict) and isinstance(found, dict):
        for name in (*expected, *(name for name in found if name not in expected)):
            at = f"{place}/{str(name).replace('~', '~0').replace('/', '~1')}"
            if name in expected and name in found:
                yield from _differences(expected[name], found[name], at)
            else:
                yield at
    elif isinstance(expected, list) and isinstance(found, list):
        for n in range(max(len(expected), len(found))):
            if n < len(expected) and n < len(found):
                yield from _differences(expected[n], found[n], f"{place}/{n}")
            else:
                yield f"{place}/{n}"
    elif type(expected) is not type(found) or expected != found:
        yield place
