# Rollouts over simulated fleets, as many seeds as somebody has time for: `python -m tests.fuzz.rollouts`
#
# Rule: what a seed does is the same each time, so the number of one that fails is all that has to be known.

from __future__ import annotations

import argparse
import sys
import time
import traceback
from collections.abc import Sequence

from tests.support.fleet import live_through


def main(arguments: Sequence[str] | None = None) -> int:
    """Return 0 if no invariant was broken, else 1."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.rollouts", description="Try many rollouts.")
    parser.add_argument("--seeds", type=int, default=2000, help="how many (2000)")
    parser.add_argument("--first", type=int, default=0, help="the first of them (0)")
    parser.add_argument("--nodes", type=int, nargs="+", default=[3, 10, 30, 60], help="(3 10 30 60)")
    options = parser.parse_args(arguments)
    begun, failed = time.monotonic(), list[int]()
    for seed in range(options.first, options.first + options.seeds):
        try:
            live_through(seed, tuple(options.nodes))
        except Exception:  # whatever it is, its seed is what has to be known
            failed.append(seed)
            print(f"seed {seed}:\n{traceback.format_exc()}", file=sys.stderr)
    took = time.monotonic() - begun
    print(f"{options.seeds} seeds, {took:.0f} s; failed: {', '.join(map(str, failed)) or 'none'}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
