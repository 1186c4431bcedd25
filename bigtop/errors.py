# Errors: what can go wrong, by whose fault it is.
#
# Rule: an error that a person made carries one message that names the place (flag, file:line, header, frame)
# and says what would be right. A programming error is none of these classes: it propagates and ends the
# process loudly, which is what a supervisor is for. What other people wrote (a line of a file, the text of an
# exception) passes through one_line() before it becomes a part of a message.

from __future__ import annotations

from collections.abc import Iterator


def one_line(text: str) -> str:
    """Return `text` with everything escaped that ends a line, moves a cursor or cannot be seen."""
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in text
    )


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and what it comes from, each once: `raise error from error` leads in a circle."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


class BigtopError(Exception):
    """Base of every error that Bigtop reports on purpose; `exit_status` is what the program ends with."""

    exit_status = 1


class ConfigError(BigtopError):
    """A flag, a file, a variable or an argument is wrong. Nothing was started. EX_CONFIG of sysexits(3)."""

    exit_status = 78


class AlreadyRunsError(BigtopError):
    """Another process holds the pid file: this one runs already."""

    exit_status = 4


class BindError(BigtopError):
    """An address cannot be bound; the message says who holds it where that can be found."""

    exit_status = 1


class AppError(BigtopError):
    """The application could not be loaded.

    `traceback` is the application's own, beginning at its first frame, or "" when the application
    was never reached (wrong module name, missing attribute).
    """

    exit_status = 3

    def __init__(self, message: str, traceback: str = "") -> None:
        super().__init__(message)
        self.traceback = traceback


class ProtocolError(BigtopError):
    """A client broke HTTP; `status` is the answer it gets (4xx or 5xx), with `fields` that belong to that,
    after which the connection closes."""

    def __init__(self, status: int, reason: str, fields: tuple[tuple[str, str], ...] = ()) -> None:
        super().__init__(reason)
        self.status = status
        self.fields = fields


class CommandError(BigtopError):
    """An operator's command cannot be carried out; becomes a reply."""


class AnswerOver(OSError):  # noqa: N818 - no error, but how an answer ends
    """The application goes on behind the end of its answer. An OSError, as for a client that has left."""


def error_of(exc_info: object) -> BaseException:
    """Return the error to raise again for what start_response() was given."""
    if isinstance(exc_info, (tuple, list)) and len(exc_info) == 3:
        kind, error, trace = exc_info
        if isinstance(error, BaseException):
            return error.with_traceback(trace)
        if kind is error is trace is None:  # as it returns where nothing is handled
            return AssertionError("start_response() was called behind the head, and exc_info has no error")
    raise TypeError(f"start_response(): exc_info is {exc_info!r:.100}, not what sys.exc_info() returns")
