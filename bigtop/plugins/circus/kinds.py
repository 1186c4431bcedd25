# Kinds of plugins: Circus' are told apart from Bigtop's by their base class.

from __future__ import annotations


def is_of_circus(kind: type) -> bool:
    """Say whether a class is a plugin of Circus, be it of the package or of our own."""
    return any(each.__name__ == "CircusPlugin" for each in kind.__mro__)


def is_ours(kind: type) -> bool:
    """Say whether a plugin is one that Bigtop brings: its options are known, and so is what it may do."""
    return kind.__module__.startswith("bigtop.plugins.circus.")
