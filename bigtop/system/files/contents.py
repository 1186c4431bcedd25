# Contents of a file that somebody writes by hand, and what is wrong with them.

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def contents(path: str, make: Callable[[str], T]) -> T:
    """Return what `make` says of the text in a file. ValueError names the file, and the line if it is one."""
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read()
    except UnicodeDecodeError:
        raise ValueError(f"{path} is no text in UTF-8") from None
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from None
    try:
        return make(text)
    except ValueError as error:
        raise ValueError(f"{path}:{error}") from None
