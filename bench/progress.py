# What the harness is doing, for whoever waits.

import sys


def tell(text: str) -> None:
    """Show progress: one line that changes on a terminal, plain lines elsewhere."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)
    elif text:
        print(text, file=sys.stderr, flush=True)
