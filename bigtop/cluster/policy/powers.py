# Powers of those who ask a controller: which role each question takes.
#
# Rule: pure. Who has the keys of the cluster and names no role may everything; a console names that of the
# person who asks.

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from bigtop.errors import CommandError

_ROLES: Final = ("view", "operate", "admin")  # each includes the one before it
NEEDED: Final[Mapping[str, str]] = {
    "status": "view",
    **dict.fromkeys(("apply", "steer", "cordon", "tags", "command"), "operate"),
}


def check(said: Mapping[str, Any]) -> None:
    """CommandError: who asks may not, by the role that is said."""
    role, needed = said.get("role", "admin"), NEEDED.get(str(said.get("kind")), "admin")
    if role not in _ROLES or _ROLES.index(role) < _ROLES.index(needed):
        raise CommandError(f"{said.get('kind')} needs the role {needed}, not {role}")
