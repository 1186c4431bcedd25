# What an application is told when its client has left.

from __future__ import annotations


class ClientDisconnected(OSError):  # noqa: N818 - no error of ours, but how the specification names it
    """The client has left in the middle of a stream. An OSError: the ASGI specification asks for one."""
