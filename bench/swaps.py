# Certificates that change under fire: `python -m bench.swaps [HANDSHAKES]`, 10,000 unless it says so.
#
# A site with four workers serves two certificates by turns, which change ten times a second: the files are
# written anew, and Bigtop is told to read them. Meanwhile the load generator shakes hands on new connections,
# half of the time with a session of before. Each handshake proves by its signature that the key belongs to
# the certificate. The exit status is 1 if one of them failed, or no change came through.

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

from bench import workshop
from bench.server import StartError, connect, free_port, stop

MOST, WORKERS, CONNECTIONS = 100_000, 4, 8
PAUSE = 0.1  # seconds between two changes
START_SECONDS = 30.0


def main() -> int:
    handshakes = int(sys.argv[1]) if sys.argv[1:] else 10_000
    if not 0 < handshakes <= MOST:
        raise SystemExit(f"python -m bench.swaps [HANDSHAKES]: 1 to {MOST}")
    with tempfile.TemporaryDirectory(prefix="bench-swaps-") as name:
        folder, port = Path(name), free_port()
        pairs = [_made(folder / number) for number in ("first", "second")]
        _serve_with(folder, pairs[0])
        site = _start(folder, port)
        try:
            over, changes = threading.Event(), Counter[str]()
            thread = threading.Thread(target=_change, args=(folder, pairs, over, changes))
            thread.start()
            try:
                told = [_shake_hands(folder, port, handshakes // 2, *more) for more in ((), ("--resume",))]
            finally:
                over.set()
                thread.join()
        finally:
            stop([site])
    done = sum(one["handshakes"] for one in told)
    resumed = sum(one["resumed"] for one in told)
    failed = {kind: sum(one["errors"][kind] for one in told) for kind in told[0]["errors"]}
    print(f"{done} handshakes, {resumed} of them resumed; {changes['done']} changes; failures: {failed}")
    return 1 if any(failed.values()) or done < handshakes // 2 * 2 or not changes["done"] else 0


def _made(folder: Path) -> tuple[Path, Path]:
    folder.mkdir()
    return workshop.certificate(folder)


def _serve_with(folder: Path, pair: tuple[Path, Path]) -> None:
    for made, name in zip(pair, ("site.pem", "site.key"), strict=True):
        shutil.copyfile(made, folder / "written")
        os.replace(folder / "written", folder / name)


def _start(folder: Path, port: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "bigtop", "serve", "bench.apps.hello:app", "--workers", str(WORKERS)]
    command += ["--bind", f"127.0.0.1:{port}", "--tls", f"files:{folder}/site.pem,{folder}/site.key"]
    command += ["--control", f"{folder}/site.ctl", "--log-level", "warning"]
    site = subprocess.Popen(command, cwd=workshop.ROOT, start_new_session=True)
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and site.poll() is None:
        try:
            connect(port, tls=True).close()
        except OSError:
            time.sleep(0.05)
        else:
            return site
    stop([site])
    raise StartError("the site did not start")


def _change(folder: Path, pairs: list[tuple[Path, Path]], over: threading.Event, done: Counter[str]) -> None:
    from bigtop.control.client.client import Client  # where its packages are

    with Client(f"{folder}/site.ctl", timeout=60) as control:
        while not over.wait(PAUSE):
            _serve_with(folder, pairs[(done["done"] + 1) % 2])
            control.call("certificates", do="reload")
            done["done"] += 1


def _shake_hands(folder: Path, port: int, handshakes: int, *more: str) -> dict[str, dict[str, int]]:
    request = folder / "request"
    request.write_bytes(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    command = [str(workshop.ensure_load(tls=True)), "--port", str(port), "--request", f"all:1:{request}"]
    command += ["--requests", str(handshakes), "--connections", str(CONNECTIONS), "--seconds", "600"]
    run = subprocess.run(
        [*command, "--tls", "--reconnect", *more], capture_output=True, text=True, check=True
    )
    told: dict[str, dict[str, int]] = json.loads(run.stdout)
    return told


if __name__ == "__main__":
    sys.exit(main())
