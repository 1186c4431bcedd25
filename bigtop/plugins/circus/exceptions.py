# Exceptions that plugins of Circus import from circus.exc.

from __future__ import annotations

from bigtop.plugins.circus.client import CallError

__all__ = ["AlreadyExist", "ArgumentError", "CallError", "ConflictError", "MessageError"]


class AlreadyExist(Exception):  # noqa: N818 - the name is Circus'
    """A watcher is there already."""


class MessageError(Exception):
    """A message cannot be understood."""


class ArgumentError(Exception):
    """An argument is wrong, or their number."""


class ConflictError(Exception):
    """Another command has not ended."""
