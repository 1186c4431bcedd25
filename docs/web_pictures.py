# Painter of the pictures of the web console in docs/assets/: python docs/web_pictures.py
#
# Rule: nothing is drawn by hand. A stack runs and is visited, and Chromium looks at it. So pictures change
# with every run; who changed what they show makes new ones.

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

ASSETS = Path(__file__).resolve().parent / "assets"
CHROMIUM = "/usr/bin/chromium"
APP = """
import random, time

def app(environ, start_response):
    path = environ["PATH_INFO"]
    time.sleep({"/report": 600.0, "/search": 0.03}.get(path, 0.002 + random.random() / 100))
    status = "503 Service Unavailable" if path == "/pay" else "200 OK"
    start_response(status, [("Content-Type", "text/plain")])
    return [b"ok"]
"""
TALKER = """
import json, sys, time

for number in range(10**9):
    print(json.dumps({"level": "info", "message": "sent", "to": f"customer-{number}", "ms": 20 + number % 7}))
    if number % 7 == 3:
        print("\\x1b[33mWARNING\\x1b[0m the server of mail is slow", file=sys.stderr)
    if number % 11 == 5:
        try:
            json.loads("{")
        except ValueError:
            import traceback
            traceback.print_exc()
    sys.stdout.flush()
    time.sleep(0.7)
"""
FILE = """
[circus]
endpoint = "ipc://{folder}/site.ctl"

[stats]
history = true

[app.shop]
app = "{folder}/shop.py:app"
bind = ["127.0.0.1:{port}"]
workers = 4
threads = 2
timeout = 900

[watcher.mailer]
cmd = "{python} -u {folder}/talker.py"
numprocesses = 2

[watcher.thumbnails]
cmd = "{python} -u {folder}/talker.py"

[watcher.import]
cmd = "false"
"""
MORE = """
[watcher.{name}]
cmd = "sleep 100000"
"""
NAMES = ("search-index", "cache-warmer", "invoices", "reports", "sitemap", "newsletter", "feeds", "archive")
PAGES = {
    "front": ("", 12.0),
    "watcher": ("w/site/shop", 25.0),
    "logs": ("logs?w=site%0Amailer&w=site%0Athumbnails", 4.0),
}


@contextmanager
def started(folder: Path, *words: str) -> Iterator[subprocess.Popen[bytes]]:
    env = {**os.environ, "XDG_RUNTIME_DIR": str(folder)}
    with open(folder / f"{words[0]}.log", "wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "bigtop", *words],
            env=env,
            stdout=log,
            stderr=log,
            stdin=subprocess.DEVNULL,
        )
    try:
        yield process
    finally:
        process.terminate()
        process.wait(60)


def waited_for(path: Path, text: str) -> None:
    end = time.monotonic() + 60
    while text not in (path.read_text(errors="replace") if path.exists() else ""):
        if time.monotonic() > end:
            raise SystemExit(f"{path}: no {text!r}")
        time.sleep(0.1)


def visit(port: int, ending: threading.Event) -> None:
    """Be many visitors until it ends."""
    number = 0
    while not ending.is_set():
        number += 1
        path = "/pay" if number % 90 == 0 else "/search" if number % 9 == 0 else "/"
        with suppress(OSError):
            urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5).read()


def wait_long(port: int) -> None:
    with suppress(OSError):
        urllib.request.urlopen(f"http://127.0.0.1:{port}/report", timeout=300).read()


def paint(page: Page, address: str) -> None:
    page.wait_for_selector(".verdict.bad")
    for name, (path, wait) in PAGES.items():
        page.goto(f"{address}/#/{path}")
        page.wait_for_timeout(wait * 1000)
        page.screenshot(path=str(ASSETS / f"web-{name}.png"), animations="disabled")


def main(port: int = 8811) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "shop.py").write_text(APP)
        (folder / "talker.py").write_text(TALKER)
        text = FILE.format(folder=folder, port=port, python=sys.executable)
        (folder / "site.toml").write_text(text + "".join(MORE.format(name=one) for one in NAMES))
        state = ("--state", str(folder / "state"))
        where = ("--bind", "127.0.0.1:0", "-e", f"site=ipc://{folder}/site.ctl")
        with started(folder, "run", str(folder / "site.toml")):
            waited_for(folder / "run.log", "shop: started")
            ending = threading.Event()
            for job in (*[threading.Thread(target=visit, args=(port, ending)) for _ in range(2)],):
                job.start()
            threading.Thread(target=wait_long, args=(port,), daemon=True).start()
            with started(folder, "web", *state, *where), sync_playwright() as playwright:
                waited_for(folder / "web.log", "serving bigtop.web")
                words = [sys.executable, "-m", "bigtop", "web", *state, "login-url"]
                link = subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()
                browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
                size = {"width": 1280, "height": 800}
                page = browser.new_page(viewport=size, locale="en-GB", timezone_id="UTC")  # type: ignore[arg-type]
                page.goto(link)
                paint(page, link.partition("/#")[0])
                browser.close()
            ending.set()


if __name__ == "__main__":
    main()
