"""The OpenAPI document is true: valid, complete, and no call it allows breaks the server."""

from __future__ import annotations

import json
from typing import Any

import pytest
import requests
import schemathesis
from django.urls import URLPattern, URLResolver, get_resolver
from hypothesis import HealthCheck, settings
from schemathesis.checks import not_a_server_error
from schemathesis.schemas import BaseSchema

from tests.demo_server import DemoServer


@pytest.fixture(scope="session")
def document(demo: DemoServer) -> dict[str, Any]:
    answer = requests.get(f"{demo.base}/api/schema/?format=json", timeout=60)
    body: dict[str, Any] = answer.json()
    return body


def test_every_api_address_is_in_the_document(document: dict[str, Any]) -> None:
    described = {path.replace("{", "<str:").replace("}", ">") for path in document["paths"]}

    assert described == set(_routes(get_resolver().url_patterns, "/"))


def _routes(patterns: list[URLPattern | URLResolver], prefix: str) -> list[str]:
    found: list[str] = []
    for pattern in patterns:
        path = prefix + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            found += _routes(pattern.url_patterns, path)
        elif path.startswith("/api/v1/"):
            found.append(path.replace("<path:", "<str:"))
    return found


def test_it_is_openapi_3_1_with_client_credentials(document: dict[str, Any]) -> None:
    scheme = document["components"]["securitySchemes"]["oauth2"]

    assert document["openapi"].startswith("3.1")
    assert scheme["flows"]["clientCredentials"]["tokenUrl"] == "/oauth/token/"
    assert "decisions:check" in scheme["flows"]["clientCredentials"]["scopes"]


def test_the_reference_page_loads_nothing_from_elsewhere(demo: DemoServer) -> None:
    page = requests.get(f"{demo.base}/api/docs/", timeout=60)

    assert page.status_code == 200
    assert "default-src 'self'" in page.headers["Content-Security-Policy"]
    assert 'src="http' not in page.text
    assert 'href="http' not in page.text


@pytest.fixture(scope="session")
def fuzzed(demo: DemoServer) -> BaseSchema:
    return schemathesis.openapi.from_url(f"{demo.base}/api/schema/?format=json")


@schemathesis.serializer("application/x-ndjson")
def lines_of_json(context: Any, value: Any) -> Any:
    """Write a list as lines, and anything else as the one line it is."""
    return b"\n".join(json.dumps(line).encode() for line in (value if isinstance(value, list) else [value]))


schema = schemathesis.pytest.from_fixture("fuzzed")


@pytest.fixture(scope="session")
def fuzz_token(demo: DemoServer) -> str:
    return demo.token()


@schema.parametrize()
@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
def test_no_call_breaks_the_server(case: schemathesis.Case, fuzz_token: str) -> None:
    case.call_and_validate(headers={"Authorization": f"Bearer {fuzz_token}"}, checks=(not_a_server_error,))
