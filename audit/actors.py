"""Who acts. Passed to every service, never ambient; a reference, never a name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

ActorKind = Literal["customer", "user", "api", "system"]


@dataclass(frozen=True, slots=True)
class Actor:
    """One acting party. `ref` is our own opaque id (user pk, client id, subject ref), no personal data."""

    kind: ActorKind
    ref: str = ""


SYSTEM = Actor("system")
