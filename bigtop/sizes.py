# Sizes in bytes, as people write them: 8190, 64k, 10M, 2G; the letters are powers of 1024, as nginx has them.

from __future__ import annotations

import re

_FACTORS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}


def size(text: str, minimum: int = 0) -> int:
    """Return the bytes that `text` means; ValueError says what would be right."""
    match = re.fullmatch(r"([0-9]{1,15})([kmg]?)", text.strip().lower())
    number = int(match[1]) * _FACTORS[match[2]] if match else -1
    if number < minimum:
        raise ValueError(f"must be a size of at least {minimum} such as 8190, 64k or 10M, got {text!r}")
    return number
