# A worker as Celery's are: it does one job after the other until it is told to stop, and ends the last one.

import argparse
import signal
import threading

parser = argparse.ArgumentParser()
parser.add_argument("--name", default="worker")
parser.add_argument("--every", type=float, default=2.0, help="seconds that a job takes")
options = parser.parse_args()

told_to_stop = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: told_to_stop.set())

job = 0
while not told_to_stop.wait(options.every):
    job += 1
    print(f"{options.name}: job {job} done", flush=True)
print(f"{options.name}: goodbye", flush=True)
