# Keep-alive: which answer is the last on its connection, and how the connection ends after that.
#
# Rule 1: an answer that is the last says so (`Connection: close`). HTTP/1.1 has no way to take back an open
# connection: a request may be on its way when it closes. So a worker that drains does not close idle
# connections at once, but waits for one more request each, whose answer is the last; only a client that is
# silent all the time, and speaks in the very moment of the close, has to try again (RFC 9110, 9.2.2 expects
# that). A connection that another worker can take over goes there between two requests instead.
# Rule 2: after the last answer a connection closes at once if its client asked for that: nothing more comes.
# The others may be sending. A close with unread input is a reset, which can destroy the answer before the
# client has read it (RFC 9112, 9.6), so these are closed by halves, and what still comes is dropped.

from __future__ import annotations

from bigtop.http.engine import CLOSED, Engine


def is_last(keeps: bool, draining: bool, has_heir: bool) -> bool:
    """Whether the answer to a request that came just now is the last on its connection.

    `keeps`: connections may wait for another request at all; `has_heir`: another worker can go on with it.
    """
    return not keeps or (draining and not has_heir)


def may_send(engine: Engine) -> bool:
    """Whether a client may be sending still, as far as it has said, when the last answer is out."""
    return engine.phase is not CLOSED or engine.error is not None
