# Memory of a Django application with and without preloading, beside gunicorn: `python -m bench.memory`.
#
# Each server starts, answers twice 400 requests, each on a connection of its own and 8 at a time, and then
# rests; one more has a worker of 40 requests become the fork server meanwhile.
# What is counted is the PSS of all its processes: a page that n of them share counts 1/n in each.

from __future__ import annotations

import os
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path
from statistics import median
from typing import NamedTuple

from bench import machine, procfs

ROUNDS, WORKERS, REQUESTS = 3, 4, 400
ROOT = Path(__file__).parents[1]


class Site(NamedTuple):
    title: str
    folder: Path
    app: str
    path: str


SITES = (
    Site("Django hello: `bench.apps.django_hello`", ROOT, "bench.apps.django_hello:app", "/"),
    Site("Django site with ORM and admin: `mysite.wsgi`", ROOT / "examples" / "django_site",
         "mysite.wsgi:application", "/"),
)  # fmt: skip
COMMANDS = {
    "gunicorn": f"gunicorn -w {WORKERS} -b {{address}} {{app}}",
    "gunicorn, preloaded": f"gunicorn -w {WORKERS} -b {{address}} --preload {{app}}",
    "Bigtop, `--preload off`": f"bigtop serve -w {WORKERS} -b {{address}} --preload off {{app}}",
    "Bigtop, `--preload on`": f"bigtop serve -w {WORKERS} -b {{address}} --preload on {{app}}",
    "Bigtop, `--refork 40`": f"bigtop serve -w {WORKERS} -b {{address}} --refork 40 {{app}}",
}


class Figures(NamedTuple):
    """Bytes of PSS: all processes, the median worker, and how many processes there are."""

    tree: int
    worker: int
    processes: int


def measure(command: str, site: Site, environ: dict[str, str]) -> Figures:
    """Start a server, ask it, and look at its memory."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    words = shlex.split(command.format(address=address, app=site.app))
    words[0] = str(Path(sys.executable).with_name(words[0]))
    quiet = subprocess.DEVNULL
    server = subprocess.Popen(words, cwd=site.folder, env=environ, stdout=quiet, stderr=quiet)
    try:
        _until_it_answers(address)
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(_get, [f"http://{address}{site.path}"] * REQUESTS))
            _until_all_are_replaced(server.pid)
            list(pool.map(_get, [f"http://{address}{site.path}"] * REQUESTS))
        pids = procfs.tree([server.pid])
        memory = {pid: procfs.pss(pid) for pid in pids}
        workers = sorted(memory)[-WORKERS:]  # which are the last to be forked
        return Figures(sum(memory.values()), int(median(memory[pid] for pid in workers)), len(memory))
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(60)


def _until_all_are_replaced(server: int) -> None:
    """Wait until the same processes are there for a second."""
    before: set[int] = set()
    end = time.monotonic() + 60
    while (pids := set(procfs.tree([server]))) != before and time.monotonic() < end:
        before = pids
        time.sleep(1)


def _until_it_answers(address: str) -> None:
    host, _, port = address.partition(":")
    end = time.monotonic() + 60
    while time.monotonic() < end:
        try:
            socket.create_connection((host, int(port)), 1).close()
            return
        except OSError:
            time.sleep(0.05)
    raise TimeoutError(f"nobody at {address}")


def _get(url: str) -> None:
    with urllib.request.urlopen(url, timeout=60) as response:
        response.read()


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="bench-memory-") as folder:
        report(prepared(folder))


def prepared(folder: str) -> dict[str, str]:
    """Return the environment of the servers: the site's data and what Python compiles are in `folder`."""
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environ |= {"PYTHONPATH": str(ROOT), "PYTHONPYCACHEPREFIX": folder, "DJANGO_DATA": f"{folder}/data"}
    for words in (["migrate", "-v0"], ["collectstatic", "--noinput", "-v0"]):
        subprocess.run([sys.executable, "manage.py", *words], cwd=SITES[1].folder, env=environ, check=True)
    return environ


def report(environ: dict[str, str]) -> None:
    """Measure, and print a table for each site."""
    facts = machine.facts()
    print(
        f"{facts['cpu']}, {facts['cores']} cores, Linux {facts['kernel']}, Python {facts['python']}\n"
        f"{date.today()}, commit {facts['commit']}; {ROUNDS} rounds in turns, medians (lowest-highest)\n"
    )
    for site in SITES:
        found: dict[str, list[Figures]] = {name: [] for name in COMMANDS}
        for number in range(ROUNDS + 1):
            for name, command in COMMANDS.items():
                figures = measure(command, site, environ)
                if number:  # in the first round Python compiles what it imports
                    found[name].append(figures)
        print(f"| {site.title} | processes | all, MiB | a worker, MiB |\n| --- | ---: | ---: | ---: |")
        for name, runs in found.items():
            trees, workers = [one.tree for one in runs], [one.worker for one in runs]
            print(f"| {name} | {runs[0].processes} | {_mib(trees)} | {_mib(workers)} |")
        print()


def _mib(values: list[int]) -> str:
    low, middle, high = (value / 2**20 for value in (min(values), median(values), max(values)))
    return f"{middle:.1f} ({low:.1f}-{high:.1f})"


if __name__ == "__main__":
    main()
