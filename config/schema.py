"""The OpenAPI document: what the generator cannot see, written down."""

from __future__ import annotations

import re
from typing import Any

from consent.domain.sends import DUTIES
from governance.domain.terms import Scope

_PROBLEM = {
    "type": "object",
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "code": {"type": "string"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {name: {"type": "string"} for name in ("pointer", "code", "detail")},
            },
        },
        "request_id": {"type": "string"},
    },
}
_SUBJECT = {
    "type": "object",
    "required": ["type", "id"],
    "additionalProperties": False,
    "properties": {
        "type": {
            "type": "string",
            "enum": [
                "phone",
                "email",
                "member_id",
                "wechat_openid",
                "wechat_unionid",
                "device",
                "phone_hmac",
                "subject",
            ],
        },
        "id": {"type": "string", "minLength": 1, "maxLength": 200, "examples": ["+8613800138000"]},
        "app": {"type": "string", "description": "WeChat app id, for wechat_openid"},
    },
}
_SEND = {
    "purpose": {"type": "string", "examples": ["marketing.promotion"]},
    "channel": {"type": "string", "examples": ["sms"]},
    "brand": {"type": "string"},
    "campaign": {"type": "string"},
    "fields": {"type": "array", "maxItems": 100, "items": {"type": "string"}},
    "recipient": {"type": ["string", "null"]},
    "personalised": {"type": "boolean"},
    "planned_at": {"type": "string", "format": "date-time"},
}
_LEDGER: dict[str, Any] = {
    "type": ["object", "null"],
    "description": "the newest signed head of the ledger; null before the first",
    "properties": {"size": {"type": "integer"}, "root": {"type": "string"}},
}
_DECISION = {
    "type": "object",
    "required": ["decision", "outcome", "reasons", "obligations"],
    "properties": {
        "decision": {"type": "boolean"},
        "outcome": {"type": "string", "enum": ["allow", "allow_with_obligations", "defer", "hold", "deny"]},
        "decision_id": {"type": "string"},
        "reasons": {"type": "array", "items": {"type": "object"}},
        "obligations": {"type": "array", "items": {"type": "object"}},
        "remedies": {"type": "array", "items": {"type": "object"}},
        "rule_set": {"type": "string"},
        "policy": {"type": "integer"},
        "subject_version": {"type": "integer"},
        "ledger": _LEDGER,
        "evaluated_at": {"type": "string", "format": "date-time"},
        "expires_at": {"type": "string", "format": "date-time"},
        "simulated": {"type": "boolean"},
    },
}
_SCHEMAS = {
    "Problem": _PROBLEM,
    "Subject": _SUBJECT,
    "CheckRequest": {
        "type": "object",
        "required": ["subject"],
        "additionalProperties": False,
        "properties": {
            "subject": {"$ref": "#/components/schemas/Subject"},
            **_SEND,
            "as_of": {"type": "string", "format": "date-time", "description": "needs decisions:simulate"},
            "rule_set": {"type": "string", "enum": ["draft"], "description": "needs decisions:simulate"},
        },
    },
    "SendReceiptLine": {
        "type": "object",
        "required": ["sent_at"],
        "additionalProperties": False,
        "description": "one line: a message that was sent, resting on decision_id, on screening and row_no, or found "
        "by subject, campaign and channel",
        "properties": {
            "sent_at": {"type": "string", "format": "date-time"},
            "decision_id": {"type": "string", "examples": ["dec_0192f0c1d2e37c4b8a5f000000000000"]},
            "screening": {"type": "string", "examples": ["scr_0192f0c1d2e37c4b8a5f000000000000"]},
            "row_no": {"type": "integer", "minimum": 1, "description": "of the screening's allow file"},
            "subject": {"$ref": "#/components/schemas/Subject"},
            "campaign": {"type": "string", "maxLength": 64},
            "channel": {"type": "string", "examples": ["sms"]},
            "recipient": {"type": ["string", "null"], "description": "the vendor that sent it; null: sent in house"},
            "kind": {"type": "string", "enum": ["marketing", "service", "solicitation"], "default": "marketing"},
            "template": {"type": "string", "maxLength": 64},
            "obligations": {
                "type": "object",
                "additionalProperties": False,
                "properties": {
                    name: {"type": "array", "items": {"type": "string", "enum": list(DUTIES)}}
                    for name in ("met", "unmet")
                },
            },
            "status": {"type": "string", "enum": ["delivered", "failed"], "default": "delivered"},
            "message_id": {"type": "string", "maxLength": 100, "description": "the sender's own; no identifier"},
        },
    },
    "Decision": _DECISION,
    "BatchRequest": {
        "type": "object",
        "required": ["items"],
        "additionalProperties": False,
        "properties": {
            "defaults": {"type": "object", "properties": _SEND},
            "items": {
                "type": "array",
                "maxItems": 1000,
                "items": {
                    "type": "object",
                    "properties": {
                        "cid": {"type": "string", "maxLength": 64},
                        "subject": {"$ref": "#/components/schemas/Subject"},
                        **_SEND,
                    },
                },
            },
            "options": {"type": "object", "properties": {"view": {"type": "string", "enum": ["basic", "full"]}}},
        },
    },
    "BatchAnswer": {
        "type": "object",
        "properties": {
            "results": {"type": "object", "additionalProperties": {"type": "object"}},
            "counts": {"type": "object"},
            "rule_set": {"type": "string"},
            "ledger": _LEDGER,
            "evaluated_at": {"type": "string", "format": "date-time"},
            "expires_at": {"type": "string", "format": "date-time"},
        },
    },
}
_ERRORS = {
    "400": "malformed body, wrong types or unknown fields",
    "401": "no valid access token",
    "403": "scope or limits of the client",
    "413": "body or item count over its cap",
    "415": "not application/json",
    "429": "over the rate limit",
    "503": "cannot answer now; treat as deny",
}


def _lean(operation: str, summary: str, request: str, answer: str) -> dict[str, Any]:
    problem = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {
        "post": {
            "operationId": operation,
            "summary": summary,
            "tags": ["decisions"],
            "security": [{"oauth2": ["decisions:check"]}],
            "requestBody": {
                "required": True,
                "content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{request}"}}},
            },
            "responses": {
                "200": {
                    "description": "A denial is 200 with decision false.",
                    "content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{answer}"}}},
                },
                **{status: {"description": text, "content": problem} for status, text in _ERRORS.items()},
            },
        }
    }


def add_lean_paths(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """Add the plain views of the check path, which no generator finds, and how to authenticate."""
    result["components"].setdefault("schemas", {}).update(_SCHEMAS)
    result["components"]["securitySchemes"] = {
        "oauth2": {
            "type": "oauth2",
            "flows": {"clientCredentials": {"tokenUrl": "/oauth/token/", "scopes": _scopes()}},
        }
    }
    for operations in result["paths"].values():
        for operation in operations.values():
            if operation.get("security") != []:
                operation["security"] = [{"oauth2": []}]
    result["paths"] |= {
        "/api/v1/decisions/check": _lean(
            "decisions_check", "May this person be contacted, now, for this?", "CheckRequest", "Decision"
        ),
        "/api/v1/decisions/check-batch": _lean(
            "decisions_check_batch", "The same for up to 1,000 people", "BatchRequest", "BatchAnswer"
        ),
    }
    for path, operations in result["paths"].items():
        for operation in operations.values():
            _file(path, operation)
    result["paths"] = dict(sorted(result["paths"].items(), key=lambda item: _place(item[0])))
    return result


_CHAPTERS = ("decisions", "screenings", "consents", "receipts", "sends", "audit", "about")
_CHAPTER_OF = {
    "uploads": "screenings",
    "consent-imports": "consents",
    "preference-links": "consents",
    "send-receipts": "sends",
    "send-receipt-imports": "sends",
    "send-reconciliations": "sends",
    "meta": "about",
}


def _chapter(path: str) -> str:
    part = path.removeprefix("/api/v1/").split("/")[0]
    return _CHAPTER_OF.get(part, part)


def _place(path: str) -> tuple[int, str]:
    chapter = _chapter(path)
    return (_CHAPTERS.index(chapter) if chapter in _CHAPTERS else len(_CHAPTERS), path)


def _file(path: str, operation: dict[str, Any]) -> None:
    """Put an operation into its chapter, under the first sentence of what its view says of itself."""
    operation["tags"] = [_chapter(path)]
    words = " ".join(operation.get("description", "").split())
    operation.setdefault("summary", re.split(r"(?<=[.?!])\s", words)[0].rstrip(".")[:120])


def _scopes() -> dict[str, str]:
    return {scope.value: scope.value for scope in Scope}
