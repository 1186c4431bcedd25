# A job that is done and ends: migrations, a clean-up.

import time

print(f"done at {time.strftime('%H:%M:%S')}", flush=True)
