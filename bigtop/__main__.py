# The program `bigtop`: a head start for what will serve, then the command line.
#
# Rule: what is imported here is imported by fork servers and workers, too.

from __future__ import annotations

import gc
import os
import sys

# Each of them says that nothing will be served, or not by this process. Whoever says so in another way has a
# fork server started that ends without a word.
_NOT_HERE = {"-h", "--help", "--check-config", "--print-config", "-D", "--daemon"}


def main() -> None:
    """Run the program; what the console script `bigtop` calls."""
    gc.disable()  # what is imported stays: looking for garbage among it takes a tenth of the start
    early = None
    is_first = os.environ.keys().isdisjoint(("_BIGTOP_COMPLETE", "BIGTOP_UPGRADE"))
    if sys.argv[1:2] == ["serve"] and _NOT_HERE.isdisjoint(sys.argv) and is_first:
        from bigtop.workers import head_start

        early = head_start.begin() if head_start.is_possible() else None
    from bigtop.cli import main as command_line

    command_line.main(early)


if __name__ == "__main__":
    main()
