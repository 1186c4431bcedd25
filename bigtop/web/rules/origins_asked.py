# Requests of ASGI in the words of access/origins.py.
#
# Rule: pure.

from __future__ import annotations

import hmac
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

from bigtop.web.access.origins import Asked


def of(scope: Mapping[str, Any]) -> Asked:
    fields: dict[str, str] = {}
    doubled = set()
    for name, value in scope["headers"]:
        word = name.decode("latin-1").lower()
        if word in fields:
            doubled.add(word)
        fields[word] = value.decode("latin-1")
    return Asked(scope.get("method", "GET"), scope["scheme"], fields, frozenset(doubled))


def query(scope: Mapping[str, Any]) -> dict[str, str]:
    """Return what stands behind the ? of a URL; of what is there twice the last."""
    return dict(parse_qsl(scope["query_string"].decode("latin-1")[:4096]))


def equal(one: str, other: str) -> bool:
    """Compare without telling by the time how much of it is right."""
    return hmac.compare_digest(one.encode(), other.encode())
