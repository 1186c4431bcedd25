# Program beside the site: says with which port it was started, and waits.

from __future__ import annotations

import os
import signal
import sys

print(f"beside: {sys.argv[1:]} {os.environ['PORT']} {os.environ.get('GREETING')}", flush=True)
signal.pause()
