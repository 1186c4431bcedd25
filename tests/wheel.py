# Trial of an installed Bigtop, as of a wheel: python -P tests/wheel.py compiled
#
# Needs nothing but Bigtop, and must not see the checkout: -P keeps this folder out of the path.

from __future__ import annotations

import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path

APP = """\
def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"served"]
"""
COMMAND = (sys.executable, "-m", "bigtop")


def main(kind: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "hello.py").write_text(APP)
        told = subprocess.check_output([*COMMAND, "--version"], cwd=folder, text=True).strip()
        if not told.endswith(f", {kind}"):
            sys.exit(f"wanted a Bigtop that is {kind}, but this is {told}")
        serve = [*COMMAND, "serve", "hello:app", "--bind", "127.0.0.1:0", "--control", "off"]
        with subprocess.Popen(serve, cwd=folder, stderr=subprocess.PIPE, text=True) as server:
            try:
                assert server.stderr is not None
                address = next(line.split()[-1] for line in server.stderr if "listening on" in line)
                with urllib.request.urlopen(address, timeout=30) as answer:
                    print(f"{told}: {answer.read().decode()}")
            finally:
                server.terminate()
                server.communicate()


if __name__ == "__main__":
    main(sys.argv[1])
