# The clock of everything that is measured while requests are answered.
#
# A name of its own because of mypyc: what is Final in a compiled module is found at once, while a function
# that was imported is looked up in the namespace of who imports it, for as much as reading the clock costs.

from __future__ import annotations

import time
from typing import Final

monotonic_ns: Final = time.monotonic_ns
