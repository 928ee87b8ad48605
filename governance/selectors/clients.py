"""Who an access token belongs to, and what its client may touch."""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from oauth2_provider.models import get_access_token_model

from governance.models import APIClient


@dataclass(frozen=True)
class Principal:
    """An authenticated API client. Null limits nothing."""

    client: APIClient
    scopes: frozenset[str]

    is_authenticated = True

    @property
    def ref(self) -> str:
        return str(self.client.pk)

    def may(
        self,
        *,
        brand: str | None = None,
        purposes: Iterable[str] = (),
        channels: Iterable[str] = (),
        fields: Iterable[str] = (),
        recipients: Iterable[str] = (),
    ) -> bool:
        """Tell whether everything named lies within the client's limits."""
        limits = (
            (self.client.brands, [brand] if brand is not None else []),
            (self.client.purposes, purposes),
            (self.client.channels, channels),
            (self.client.fields, fields),
            (self.client.recipients, recipients),
        )
        return all(limit is None or set(named) <= set(limit) for limit, named in limits)


def token_checksum(token: str) -> str:
    """Return what is stored of an access token."""
    return hashlib.sha256(token.encode()).hexdigest()


def principal_for(token: str, *, ip: str, at: datetime) -> Principal | None:
    """Return the client a token speaks for now, or None: unknown, expired, inactive, or from the wrong network."""
    return principal_for_checksum(token_checksum(token), ip=ip, at=at)


def principal_for_checksum(checksum: str, *, ip: str, at: datetime) -> Principal | None:
    """The same for a token known by its checksum only."""
    row = (
        get_access_token_model()
        .objects.select_related("application")
        .filter(token_checksum=checksum, expires__gt=at, application__active=True)
        .first()
    )
    if row is None:
        return None
    client = row.application
    if (client.expires_at and client.expires_at <= at) or not _within(ip, client.networks):
        return None
    return Principal(client, frozenset(row.scope.split()) & frozenset(client.scopes))


def _within(ip: str, networks: list[str] | None) -> bool:
    if networks is None:
        return True
    try:
        address = ipaddress.ip_address(ip)
    except ValueError:
        return False
    return any(address in ipaddress.ip_network(network, strict=False) for network in networks)
