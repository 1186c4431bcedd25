# Disconnect messages: what an application is told when its client has left.

from __future__ import annotations

import traceback

from bigtop.errors import causes


class ClientDisconnected(OSError):  # noqa: N818 - no error of ours, but how the specification names it
    """The client has left in the middle of a stream. An OSError: the ASGI specification asks for one."""


def release(error: BaseException | None) -> None:
    """Let go of what the frames hold that a disconnect, `error`, went through.

    An error that is kept in one of its own frames (Django keeps the tasks that raised it) holds them all
    until the garbage collector comes, which may be long. Until then generators of a stream are not closed.
    """
    for cause in causes(error):
        traceback.clear_frames(cause.__traceback__)
