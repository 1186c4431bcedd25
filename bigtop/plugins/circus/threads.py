# Threads that plugins of Circus import from circus.fixed_threading, which once mended those of Python.

from __future__ import annotations

from threading import RLock, Thread, Timer, get_ident

__all__ = ["RLock", "Thread", "Timer", "get_ident"]
