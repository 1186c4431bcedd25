# Roles of people: what each may, as roles of keys have it (control/commands/base.py).
#
# Rule: pure. The daemon enforces them; what stands here keeps the console from asking in vain.

from __future__ import annotations

from typing import Final

VIEW, OPERATE, ADMIN = "view", "operate", "admin"
ROLES: Final = (VIEW, OPERATE, ADMIN)  # each includes the one before it


def includes(role: str, needed: str) -> bool:
    """Say whether who has `role` may do what needs `needed`."""
    return ROLES.index(role) >= ROLES.index(needed)


def lower(one: str, other: str) -> str:
    """Return the one of two roles that may less."""
    return ROLES[min(ROLES.index(one), ROLES.index(other))]
