# Kinds of plugins: Circus' are told apart from Bigtop's by their base class.

from __future__ import annotations


def is_one(kind: type) -> bool:
    """Say whether a class is a plugin of Circus, be it of the package or of our own."""
    return any(each.__name__ == "CircusPlugin" for each in kind.__mro__)
