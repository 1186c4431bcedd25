# Debian's Chromium, driven by Playwright, and pages of the console in it.
#
# Needs the system's chromium: apt-get install --no-install-recommends chromium fonts-dejavu-core

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.console import Console
from tests.support.site import DEADLINE

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
if CHROMIUM is None:
    pytest.skip(
        "needs Chromium: apt-get install --no-install-recommends chromium fonts-dejavu-core",
        allow_module_level=True,
    )
playwright = pytest.importorskip("playwright.sync_api", reason="needs: pip install 'bigtop[test]'")
expect = playwright.expect
PATIENCE = DEADLINE * 1000  # milliseconds
expect.set_options(timeout=PATIENCE)


@contextmanager
def launched() -> Iterator[Browser]:
    with playwright.sync_playwright() as one:
        root = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = one.chromium.launch(executable_path=CHROMIUM, args=[*root, "--disable-dev-shm-usage"])
        yield browser
        browser.close()


@contextmanager
def opened(browser: Browser, console: Console, role: str = "admin", **options: Any) -> Iterator[Page]:
    """Open the console as somebody who has logged in by a link; what its scripts complain of fails."""
    options = {"viewport": {"width": 1280, "height": 800}, "locale": "en-GB", "timezone_id": "UTC"} | options
    context: BrowserContext = browser.new_context(**options)
    context.set_default_timeout(PATIENCE)
    page = context.new_page()
    troubles: list[str] = []
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.on("console", lambda said: troubles.append(said.text) if said.type == "error" else None)
    try:
        page.goto(console.link(role))
        page.wait_for_selector(".verdict .level:not(:empty)")
        yield page
        assert troubles == []
    finally:
        context.close()


def unfit(page: Page, width: int, path: str = "") -> list[str]:
    """Return what of a page does not fit so many pixels, or is nothing for screen readers."""
    axe = pytest.importorskip(
        "axe_playwright_python.sync_playwright", reason="needs: pip install 'bigtop[test]'"
    )
    found = axe.Axe().run(page).response["violations"]
    wide = page.evaluate("() => document.documentElement.scrollWidth")
    return [f"{path}: {wide} pixels"] * (wide > width) + [
        f"{path}: {one['id']}: {[node['html'][:200] for node in one['nodes'][:3]]}"
        for one in found
        if one["impact"] in ("serious", "critical")
    ]
