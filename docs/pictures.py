# Painter of the pictures of `bigtop top` in docs/assets/: python docs/pictures.py
#
# Rule: nothing is drawn by hand. A site is started and visited, the program looks at it, and Textual writes
# down what is on its screen. So pictures change with every run; who changed what they show makes new ones.

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
import tempfile
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

ASSETS = Path(__file__).resolve().parent / "assets"
SIZE = (100, 22)
APP = """
import time

def app(environ, start_response):
    time.sleep({"/report": 60.0, "/search": 0.03}.get(environ["PATH_INFO"], 0.002))
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"ok"]
"""
FILE = """
[app.shop]
app = "shop:app"
chdir = "."
bind = ["127.0.0.1:0"]
workers = 4
threads = 2

[watcher.mailer]
cmd = "sleep 1000"
numprocesses = 2
"""


@contextmanager
def running(folder: Path) -> Iterator[str]:
    """Run the site; yield where it listens."""
    (folder / "shop.py").write_text(APP)
    (folder / "shop.toml").write_text(FILE)
    with open(folder / "log", "w") as log:
        words = [sys.executable, "-m", "bigtop", "run", "shop.toml"]
        process = subprocess.Popen(words, cwd=folder, stdout=log, stderr=log)
    try:
        while not (found := re.search(r"listening on (http://[\d.:]+)", (folder / "log").read_text())):
            if process.poll() is not None:
                raise SystemExit((folder / "log").read_text())
        yield found[1]
    finally:
        process.terminate()
        process.wait()


def visit(url: str, over: threading.Event) -> None:
    while not over.is_set():
        with suppress(OSError):
            urllib.request.urlopen(url, timeout=100).read()  # noqa: S310 - it is ours
        over.wait(0.02)


async def paint() -> None:
    from bigtop.top import places
    from bigtop.top.app import Top
    from bigtop.top.model.rows import View

    app = Top(places.find(["shop"], None, None), View(), operates=False)
    async with app.run_test(size=SIZE) as pilot:
        await pilot.pause(20)
        app.draw()
        write("top", app.export_screenshot(title="bigtop top"))
        await pilot.press("question_mark")
        await pilot.pause(1)
        write("top-help", app.export_screenshot(title="bigtop top"))


def write(name: str, svg: str) -> None:
    # The fonts that Textual names are on another host: what the reader has does as well.
    svg = re.sub(r"@font-face \{.*?\}\n", "", svg, flags=re.DOTALL)
    (ASSETS / f"{name}.svg").write_text(re.sub(r"[ \t]+$", "", svg, flags=re.MULTILINE))


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        os.environ["XDG_RUNTIME_DIR"] = name
        over = threading.Event()
        with running(Path(name)) as url:
            for path in ("/", "/", "/search", "/report"):
                threading.Thread(target=visit, args=(url + path, over), daemon=True).start()
            try:
                asyncio.run(paint())
            finally:
                over.set()


if __name__ == "__main__":
    main()
