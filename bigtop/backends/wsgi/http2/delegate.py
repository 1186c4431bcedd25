# Delegate of a stream of HTTP/2: who stands for the worker that runs its call (delegation/).

from __future__ import annotations

from typing import Protocol


class Delegate(Protocol):
    """One stream's; leader only."""

    @property
    def has_begun(self) -> bool:
        """Whether the application is called, or was."""

    def resume(self) -> bool:
        """The client has taken something: go on if that is enough, and say so."""

    def abandon(self) -> None:
        """Nobody waits for the answer any more."""
