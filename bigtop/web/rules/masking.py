# Masks of secrets in what is shown of a configuration.
#
# Rule: pure, and rather one mask too many: what only looks like a secret is masked, too. A mask does not tell
# how long the secret is.

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

MASK: Final = "••••••"
_NAMES: Final = re.compile(
    r"pass(word|wd|phrase)?|secret|token|api_?key|private|credential|auth|dsn|cookie|session|salt|signature"
    r"|(^|_)(key|pw|pwd)($|_)",
    re.IGNORECASE,
)
_IN_URLS: Final = re.compile(r"(?<=://)([^/\s:@]*):([^/\s@]+)(?=@)")
_IN_WORDS: Final = re.compile(
    r"(--?[\w-]*(?:pass(?:word|wd)?|secret|token|key|credential|dsn)[\w-]*(?:=|\s+))(\"[^\"]*\"|'[^']*'|\S+)",
    re.IGNORECASE,
)
_ASSIGNED: Final = re.compile(
    r"(?<![\w-])(\w*(?:pass(?:word|wd)?|secret|token|key|credential|dsn)\w*=)(\"[^\"]*\"|'[^']*'|\S+)",
    re.IGNORECASE,
)


def masked(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return options, or variables, without their secrets."""
    return {key: _value(key, value) for key, value in values.items()}


def _value(key: str, value: Any) -> Any:
    if isinstance(value, Mapping):
        return {inner: _value(inner, one) for inner, one in value.items()}
    if value not in (None, "", True, False) and _NAMES.search(key):
        return MASK
    if isinstance(value, list | tuple):
        return [_value("", one) for one in value]
    return words(value) if isinstance(value, str) else value


def words(text: str) -> str:
    """Return a command line, or an address, without passwords in it."""
    text = _IN_URLS.sub(rf"\1:{MASK}", text)
    text = _IN_WORDS.sub(rf"\1{MASK}", text)
    return _ASSIGNED.sub(rf"\1{MASK}", text)
