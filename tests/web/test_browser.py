# The console in a real browser: Debian's Chromium, driven by Playwright. One browser and one stack for all.
#
# Needs the system's chromium: apt-get install --no-install-recommends chromium fonts-dejavu-core

from __future__ import annotations

import itertools
import os
import re
import signal
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from tests.support.browser import PATIENCE, expect, launched, opened, unfit
from tests.support.console import Console
from tests.support.figures import subscribed
from tests.support.site import DEADLINE, until
from tests.support.stack import Stack

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

LONG = 60.0

SHOP = """
import os, time

RELEASED = os.path.join(os.path.dirname(os.path.abspath(__file__)), "released")

def app(environ, start_response):
    until = time.monotonic() + float(environ["QUERY_STRING"] or 0)
    while time.monotonic() < until and not os.path.exists(RELEASED):
        time.sleep(0.01)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"ok"]
"""
# Says what it is told to, by the file that is written.
TALKER = """
import json, os, sys, time

here = os.path.dirname(os.path.abspath(__file__))
print("ready to talk", flush=True)
while True:
    path = os.path.join(here, "say")
    if os.path.exists(path):
        with open(path) as file:
            order = json.load(file)
        os.unlink(path)
        for number in range(order["times"]):
            print(order["text"].replace("{n}", str(number)), file=getattr(sys, order["stream"]))
            if number % 50 == 49:
                sys.stdout.flush()
                time.sleep(order.get("pause", 0))
        sys.stdout.flush()
        sys.stderr.flush()
    time.sleep(0.05)
"""
TEXT = """
[stats]
history = true
[app.shop]
app = "{folder}/code/shop.py:app"
bind = "127.0.0.1:0"
workers = 2
threads = 2
timeout = 600
[watcher.plain]
cmd = "sleep 1000"
[watcher.talker]
cmd = "{python} -u {folder}/talker.py"
"""
OTHER = """
[watcher.far]
cmd = "sleep 1000"
"""


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    stack = Stack(TEXT, "site.toml")
    (stack.folder / "code").mkdir()
    (stack.folder / "code/shop.py").write_text(SHOP)
    (stack.folder / "talker.py").write_text(TALKER)
    with stack:
        stack.wait_for("shop: started")
        yield stack


@pytest.fixture(scope="module")
def console(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Console]:
    folder = tmp_path_factory.mktemp("console")
    words = ("-e", f"site={stack.endpoint}", "-e", f"far=ipc://{folder}/far.ctl")
    with Console(folder, *words) as console:
        console.run("user", "ann", "--role", "operate", said="correct horse battery\n")
        yield console


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with launched() as browser:
        yield browser


@pytest.fixture
def page(browser: Browser, console: Console) -> Iterator[Page]:
    with opened(browser, console) as page:
        yield page


@pytest.fixture
def url(console: Console) -> str:
    return f"http://127.0.0.1:{console.port}"


def shop(stack: Stack) -> str:
    return stack.log().partition("shop: listening on ")[2].split()[0]


def tile(page: Page, name: str) -> Any:
    return page.locator(".tile", has=page.get_by_text(name, exact=True))


def say(stack: Stack, text: str, times: int = 1, stream: str = "stdout", pause: float = 0.0) -> None:
    """Have the talker say something, and return when it is at that."""
    import json

    part = stack.folder / "say.part"
    part.write_text(json.dumps({"text": text, "times": times, "stream": stream, "pause": pause}))
    part.rename(stack.folder / "say")
    until(lambda: not (stack.folder / "say").exists(), "the talker to hear it")


def until_lines_come(page: Page, stack: Stack, text: str) -> None:
    """Return when the page shows what is said, and not only what was said before it asked."""
    lines = page.locator(".line:not(.hidden)", has_text=text)
    first = 0  # that are shown at once

    def come() -> bool:
        nonlocal first
        say(stack, text)
        shown = lines.count()
        first = first or shown
        return shown > first

    until(come, "lines to come")


# ---- what is seen


def test_the_front_page_says_what_needs_attention_and_shows_the_rest(page: Page) -> None:
    expect(page.locator(".verdict")).to_contain_text("1 problem")  # the other daemon is away
    expect(page.locator(".concerns li")).to_contain_text("does not answer")
    expect(tile(page, "shop")).to_contain_text("2")
    expect(tile(page, "plain")).to_contain_text("1")
    assert page.title() == "(1) Bigtop"
    page.get_by_placeholder("Search watchers").fill("pla")
    expect(page.locator(".tile")).to_have_count(1)
    assert page.url.endswith("#/?q=pla")
    page.reload()
    expect(page.locator(".tile")).to_have_count(1)  # what is looked for has an address


def test_a_worker_that_was_killed_shows_at_once(page: Page, stack: Stack, url: str) -> None:
    page.goto(f"{url}/#/w/site/plain")
    (pid,) = stack.pids("plain")
    row = page.get_by_role("region", name="Processes").locator("tbody tr", has_text=str(pid))
    expect(row).to_be_visible()
    os.kill(pid, signal.SIGKILL)
    # Two seconds where nothing else runs; tests share their machine.
    expect(row).to_have_count(0)
    expect(page.locator("tr", has_text="died").first).to_contain_text("exit_code -9")
    expect(page.locator(".stat", has_text="Restarts")).to_contain_text("signal 1")


def test_a_chart_moves(page: Page, stack: Stack, url: str) -> None:
    page.goto(f"{url}/#/w/site/shop")
    chart = page.locator("figure", has_text="Requests per second")
    expect(chart.locator("canvas")).to_be_visible()
    count = "() => document.querySelector('figure b').textContent"
    ending = threading.Event()

    def visit() -> None:
        while not ending.wait(0.02):
            with suppress(OSError):
                urllib.request.urlopen(shop(stack), timeout=DEADLINE).read()

    visitor = threading.Thread(target=visit)
    visitor.start()
    try:
        until(lambda: page.evaluate(f"parseFloat(({count})()) > 0"), "a rate")
        picture = "() => document.querySelector('figure canvas').toDataURL()"
        before = page.evaluate(picture)
        until(lambda: page.evaluate(picture) != before, "another picture")
    finally:
        ending.set()
        visitor.join()


def test_a_console_that_is_opened_after_the_incident_shows_it(stack: Stack, tmp_path: Path) -> None:
    def visited() -> bool:
        """Ask until the stats process has seen it; a page is then of a console that never looked before."""
        urllib.request.urlopen(shop(stack), timeout=DEADLINE).read()
        with subscribed(endpoint, "stat.shop") as figures:
            figures.next("stat.shop")
        with subscribed(endpoint, "history.shop") as figures:
            requests = figures.next("history.shop").get("requests", {"columns": [], "fine": []})
        return any((row[requests["columns"].index("rate")] or 0) > 0 for row in requests["fine"])

    endpoint = str(stack.call("globaloptions")["options"]["stats_endpoint"])
    until(visited, "a rate in the past")
    now = time.time()
    with Console(tmp_path, "-e", f"site={stack.endpoint}") as console:
        client = console.client()

        def told() -> list[dict[str, Any]]:
            found = client.look("watcher", daemon="site", watcher="shop")
            columns = found["values"]["columns"]
            return [dict(zip(columns, one, strict=True)) for one in found["news"].get("points", ())]

        until(lambda: [one for one in told() if one["time"] < now and (one["rate"] or 0) > 0], "the incident")
        before = [one for one in told() if one["time"] < now]
        assert any(one["p99"] is not None for one in before)
        assert any(one["memory"] and one["rate"] is not None for one in before)  # one point has both


def test_a_hung_request_is_found_and_its_stack_read(page: Page, stack: Stack, url: str) -> None:
    def visit() -> None:
        with suppress(OSError):
            urllib.request.urlopen(f"{shop(stack)}/hangs?{LONG}", timeout=2 * LONG).read()

    visitor = threading.Thread(target=visit, daemon=True)
    visitor.start()
    released = stack.folder / "code/released"
    try:
        page.goto(f"{url}/#/requests")
        row = page.locator("tr", has_text="GET /hangs")
        expect(row).to_contain_text("in the application")
        page.get_by_placeholder("Search").fill("hangs")
        row.get_by_role("button", name="Stack").click()
        expect(page.locator("dialog pre")).to_contain_text("shop.py")
        expect(page.locator("dialog pre")).to_contain_text("GET /hangs")
        page.keyboard.press("Escape")
        expect(page.locator("dialog")).to_have_count(0)
    finally:  # a reload would wait for it, in other tests
        released.touch()
        visitor.join(DEADLINE)
        released.unlink()


def test_a_daemon_comes_and_goes_and_the_rest_does_not_notice(
    page: Page, console: Console, stack: Stack
) -> None:
    far = page.get_by_role("region", name="far")
    expect(far).to_contain_text("away")
    place = console.log_path.parent / "far.ctl"
    with Stack(f'[circus]\nendpoint = "ipc://{place}"\n' + OTHER, "far.toml"):
        expect(tile(page, "far")).to_be_visible()
        expect(page.locator(".verdict")).not_to_contain_text("problem")
    expect(far).to_contain_text("away")
    expect(tile(page, "shop")).to_be_visible()


def test_sessions_go_on_in_a_console_that_starts_anew_until_somebody_ends_them(
    browser: Browser, stack: Stack, tmp_path: Path
) -> None:
    words = ("-e", f"site={stack.endpoint}")
    with opened_of(browser, tmp_path, words) as (page, port):
        expect(page.locator(".live")).to_have_text("■no line")
        with Console(tmp_path, *words, bind=f"127.0.0.1:{port}") as console:
            expect(page.locator(".live")).to_have_text("●live")
            page.reload()
            page.goto(f"http://127.0.0.1:{port}/#/w/site/plain")
            page.get_by_role("button", name="Restart").click()
            page.get_by_role("dialog").get_by_role("button", name="Restart").click()
            expect(page.locator(".toast")).to_contain_text("Restart plain: done")
            console.run("logout")
            expect(page.get_by_label("Password")).to_be_visible()


@contextmanager
def opened_of(browser: Browser, folder: Path, words: tuple[str, ...]) -> Iterator[tuple[Page, int]]:
    """Open a console that ends then."""
    context = browser.new_context()
    context.set_default_timeout(PATIENCE)
    page = context.new_page()
    with Console(folder, *words) as console:
        page.goto(console.link())
        expect(page.locator(".live")).to_have_text("●live")
        port = console.port
    yield page, port
    context.close()


def test_where_no_websocket_gets_through_the_console_is_asked(
    page: Page, console: Console, stack: Stack, url: str
) -> None:
    page.add_init_script(
        """window.WebSocket = class {
            static OPEN = 1;
            constructor() { setTimeout(() => this.onclose({ code: 1006 }), 10); }
            send() {}
            close() {}
        }"""
    )
    page.reload()
    expect(page.locator(".live")).to_have_text("▲slower")
    expect(tile(page, "plain")).to_be_visible()
    page.goto(f"{url}/#/events")
    stack.ctl("restart", "plain", "--waiting")
    expect(page.locator("tbody tr").first).to_contain_text("plain")
    page.goto(f"{url}/#/w/site/plain")
    expect(page.locator(".stat", has_text="Processes")).to_contain_text("1 of 1")


# ---- logs


def test_lines_of_a_log_are_text_and_are_taken_apart(page: Page, stack: Stack, url: str) -> None:
    page.goto(f"{url}/#/logs?w=site%0Atalker")
    expect(page.locator(".lines")).to_contain_text("ready to talk")
    say(stack, "<img src=x onerror=\"document.title='gotcha'\"><script>alert(1)</script>")
    expect(page.locator(".lines")).to_contain_text("<img src=x onerror=")
    assert page.locator(".lines img, .lines script").count() == 0
    assert "gotcha" not in page.title()
    say(stack, '{"level": "error", "message": "no disk", "host": "a1"}')
    line = page.locator(".line.error", has_text="no disk")
    expect(line.locator(".field", has_text="host=")).to_contain_text("a1")
    say(stack, "\x1b[32mgreen\x1b[0m")
    expect(page.locator(".a32")).to_have_text("green")
    frames = 'Traceback (most recent call last):\n  File "x.py", line 1, in f\n    1 / 0'
    trace = f"{frames}\nZeroDivisionError: division"
    say(stack, trace, stream="stderr")
    folded = page.locator(".line", has_text="ZeroDivisionError")
    expect(folded).to_have_count(1)
    expect(page.locator(".line", has_text='File "x.py"')).to_have_count(0)
    folded.get_by_role("button").click()
    expect(page.locator(".line", has_text='File "x.py"')).to_have_count(1)


def test_logs_are_filtered_paused_and_downloaded(page: Page, stack: Stack, url: str) -> None:
    page.goto(f"{url}/#/logs?w=site%0Atalker")
    expect(page.locator(".lines")).to_contain_text("ready to talk")
    say(stack, "number {n} of three", 3)
    expect(page.locator(".line:not(.hidden)", has_text="of three")).to_have_count(3)
    page.get_by_placeholder("Filter").fill("number [01]")
    expect(page.locator(".line:not(.hidden)")).to_have_count(2)
    assert "q=number" in page.url
    page.get_by_placeholder("Filter").fill("number [")
    expect(page.get_by_placeholder("Filter")).to_have_attribute("aria-invalid", "true")
    page.get_by_placeholder("Filter").fill("")
    page.locator(".lines").focus()
    page.keyboard.press("Space")
    expect(page.get_by_role("button", name="Go on")).to_be_visible()
    say(stack, "while it was paused")
    expect(page.locator(".foot")).to_contain_text("1 new")
    expect(page.locator(".line", has_text="while it was paused")).to_have_count(0)
    page.keyboard.press("Space")
    expect(page.locator(".line:not(.hidden)", has_text="while it was paused")).to_have_count(1)
    with page.expect_download() as download:
        page.get_by_role("button", name="Download").click()
    assert "talker stdout number 2 of three" in Path(download.value.path()).read_text()


def test_a_flood_of_lines_takes_no_more_room_than_a_few_of_them(
    page: Page, stack: Stack, console: Console, url: str
) -> None:
    page.goto(f"{url}/#/logs?w=site%0Atalker")
    expect(page.locator(".lines")).to_contain_text("ready to talk")
    process = psutil.Process(console.process.pid)
    before = process.memory_info().rss
    total = 20_000
    say(
        stack,
        "line {n} of a flood, which is as long as lines of logs are: GET /a/b?c=d 200 0.012",
        total,
        pause=0.01,
    )

    def is_over() -> bool:
        """The last line may be one that was dropped; what is said when there is room again is not."""
        say(stack, "the flood is over")
        return bool(page.locator(".line:not(.hidden)", has_text="the flood is over").count())

    until(is_over, "the end of the flood")
    # What was dropped on the way would be told there, too; figures of speed are measured elsewhere.
    expect(page.locator(".foot")).to_contain_text("10000 lines")
    assert page.locator(".line").count() < 120  # elements, however many lines there are
    assert process.memory_info().rss - before < 64 << 20


HELD = """
const send = WebSocket.prototype.send;
const held = [];
window.holds = false;
WebSocket.prototype.send = function (text) {
    if (window.holds && JSON.parse(text).do === "more") held.push([this, text]);
    else send.call(this, text);
};
window.letGo = () => {
    window.holds = false;
    for (const [socket, text] of held.splice(0)) send.call(socket, text);
};
"""


def test_lines_that_a_page_cannot_take_are_dropped_and_told_where_they_are_missing(
    page: Page, stack: Stack, url: str
) -> None:
    """The page says for a while that it has not shown what it was sent; no line is neither there nor told."""
    page.add_init_script(HELD)
    page.goto(f"{url}/#/logs?w=site%0Atalker")
    for turn in itertools.count(1):
        page.reload()
        until_lines_come(page, stack, f"before turn {turn}")
        page.evaluate("() => { window.holds = true; }")
        say(stack, f"turn {turn}, line {{n}} of too many", 12_000)
        last = f"turn {turn}, line 11999 of"
        until(lambda last=last: last in str(stack.call("tail", name="talker", lines=1)), "all of them")  # type: ignore[misc]
        page.evaluate("() => window.letGo()")
        say(stack, f"turn {turn} is over")
        expect(page.locator(".line:not(.hidden)", has_text=f"turn {turn} is over")).to_be_visible()
        if "dropped" in page.locator(".foot").inner_text() or turn == 5:
            break
    dropped = int(re.findall(r"([0-9]+) dropped", page.locator(".foot").inner_text())[0])
    with page.expect_download() as download:
        page.get_by_role("button", name="Download").click()
    there: list[int] = []
    missing: list[int] = []
    for line in Path(download.value.path()).read_text().splitlines():
        if number := re.search(rf"turn {turn}, line ([0-9]+) of", line):
            # Where some are missing, that many are told just before.
            assert int(number[1]) == len(there) + sum(missing)
            there.append(int(number[1]))
        elif line.startswith("# "):
            missing.append(int(line.split()[1]))
    assert dropped == sum(missing) > 0
    assert len(there) + dropped in (12_000, 12_001)  # with the last one


# ---- what is done


def test_two_people_of_different_roles_at_once(browser: Browser, console: Console, stack: Stack) -> None:
    with opened(browser, console, "view") as looks, opened(browser, console, "operate") as operates:
        for page in (looks, operates):
            page.goto(f"http://127.0.0.1:{console.port}/#/w/site/plain")
            expect(page.locator(".stat", has_text="Processes")).to_contain_text("1 of 1")
        assert looks.get_by_role("button", name="Scale").count() == 0
        assert looks.get_by_role("link", name="Audit").count() == 0
        operates.get_by_role("button", name="Scale").click()
        operates.get_by_label("Processes").last.fill("2")
        operates.get_by_role("dialog").get_by_role("button", name="Scale").click()
        expect(operates.locator(".toast")).to_contain_text("Scale plain to 2: done")
        expect(looks.locator(".stat", has_text="Processes")).to_contain_text("2 of 2")
    stack.ctl("scale", "plain", "1", "--waiting")


def test_broken_code_is_refused_and_the_old_code_goes_on(page: Page, stack: Stack, url: str) -> None:
    page.goto(f"{url}/#/w/site/shop")
    expect(page.locator(".crumbs")).to_contain_text("2 of 2 workers ready")
    code = stack.folder / "code/shop.py"
    code.write_text(SHOP + "\nthis is no Python\n")
    try:
        page.get_by_role("button", name="Reload").click()
        expect(page.get_by_role("dialog")).to_contain_text("the old code goes on")
        page.get_by_role("dialog").get_by_role("button", name="Reload").click()
        expect(page.locator(".toast")).to_contain_text("failed")
        expect(page.locator(".toast")).to_contain_text("SyntaxError")
        expect(page.locator("tr", has_text="reload failed")).to_be_visible()
        deploy = page.get_by_role("region", name="Deploy")
        expect(deploy).to_contain_text(
            re.compile("Deploy of generation [0-9]+failed: generation [0-9]+ goes on")
        )
        expect(deploy).to_contain_text("SyntaxError")
        assert urllib.request.urlopen(shop(stack), timeout=DEADLINE).read() == b"ok"
        page.goto(f"{url}/#/")
        expect(page.locator(".concerns")).to_contain_text("the reload failed")
    finally:
        code.write_text(SHOP)
    page.goto(f"{url}/#/w/site/shop")
    page.get_by_role("button", name="Reload").click()
    page.get_by_role("dialog").get_by_role("button", name="Reload").click()
    expect(page.locator(".toast", has_text="Reload shop: done")).to_be_visible()
    expect(page.get_by_role("region", name="Deploy")).to_contain_text("replace processes")
    expect(page.get_by_role("region", name="Deploy")).not_to_contain_text("failed")


DEPLOYS = """
[app.checked]
app = "{folder}/shop.py:app"
bind = "127.0.0.1:0"
workers = 2
check_command = "sh -c 'while [ ! -e {folder}/go ]; do sleep 0.05; done'"
check_timeout = 600
"""


def test_a_deploy_is_shown_step_by_step_and_can_be_rolled_back(browser: Browser, tmp_path: Path) -> None:
    stack = Stack(DEPLOYS)
    (stack.folder / "shop.py").write_text(SHOP)
    with stack:
        stack.wait_for("checked: started")
        with (
            Console(tmp_path, "-e", f"site={stack.endpoint}") as console,
            opened(browser, console, "operate") as page,
        ):
            page.goto(f"http://127.0.0.1:{console.port}/#/w/site/checked")
            deploy = page.get_by_role("region", name="Deploy")
            for end in ("rollback", "done"):
                page.get_by_role("button", name="Reload").click()
                page.get_by_role("dialog").get_by_role("button", name="Reload").click()
                expect(deploy.locator("li", has_text="load the code").get_by_role("img")).to_have_attribute(
                    "aria-label", "done"
                )
                step = deploy.locator("li", has_text="check command")
                expect(step.get_by_role("img")).to_have_attribute("aria-label", "running")
                if end == "rollback":
                    deploy.get_by_role("button", name="Roll back").click()
                    page.get_by_role("dialog").get_by_role("button", name="Roll back").click()
                    expect(deploy).to_contain_text("generation 1 goes on")
                    expect(deploy.get_by_role("button", name="Roll back")).to_be_hidden()
                else:
                    (stack.folder / "go").touch()
                    expect(step.get_by_role("img")).to_have_attribute("aria-label", "done")
                    expect(deploy).to_contain_text("replace processes")
                    expect(deploy.locator(".heading")).to_contain_text("done")


def test_a_configuration_is_read_again_after_its_plan_was_seen(page: Page, stack: Stack, url: str) -> None:
    page.goto(f"{url}/#/config")
    before = stack.file.read_text()
    stack.file.write_text(before + '[watcher.late]\ncmd = "sleep 1000"\n')
    page.get_by_role("button", name="Read the file again").click()
    expect(page.get_by_role("dialog").locator("pre")).to_contain_text("late")
    page.get_by_role("button", name="Cancel").click()
    assert "late" not in stack.call("list")["watchers"]
    page.get_by_role("button", name="Read the file again").click()
    page.get_by_role("button", name="Do it").click()
    expect(page.locator(".toast")).to_contain_text("done")
    assert "late" in stack.call("list")["watchers"]
    stack.file.write_text(before)
    page.goto(f"{url}/#/audit")
    expect(page.locator("tbody tr").first).to_contain_text("read the configuration again")


# ---- habits


def test_with_keys_alone(page: Page, stack: Stack) -> None:
    expect(tile(page, "plain")).to_be_visible()  # the page hears keys from then on
    page.keyboard.press("/")
    expect(page.get_by_placeholder("Search")).to_be_focused()
    page.keyboard.type("plain")
    page.keyboard.press("Escape")
    expect(page.get_by_placeholder("Search")).not_to_be_focused()
    expect(page.get_by_placeholder("Search")).to_have_value("plain")
    expect(page.locator(".tile")).to_have_count(1)
    page.keyboard.press("k")
    expect(tile(page, "plain")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_have_text("plain")
    page.get_by_role("button", name="Restart").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_contain_text("All processes of plain end")
    page.keyboard.press("Enter")
    expect(page.locator(".toast")).to_contain_text("Restart plain: done")
    page.keyboard.press("2")
    expect(page.locator("h1")).to_have_text("Requests")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_contain_text("Next row")
    page.keyboard.press("Escape")
    page.keyboard.press("u")
    expect(page.locator(".verdict")).to_be_visible()


def test_somebody_logs_in_by_password_and_out(browser: Browser, console: Console, url: str) -> None:
    context = browser.new_context()
    context.set_default_timeout(PATIENCE)
    page = context.new_page()
    page.goto(url)
    page.get_by_label("Name").fill("ann")
    page.get_by_label("Password").fill("not her password")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_have_text("the name or the password is wrong")
    page.get_by_label("Password").fill("correct horse battery")
    page.keyboard.press("Enter")
    expect(page.locator(".right")).to_contain_text("ann · operate")
    assert page.evaluate("() => document.cookie") == ""
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_label("Password")).to_be_visible()
    page.goto(f"{url}/#/requests")
    expect(page.get_by_label("Password")).to_be_visible()
    context.close()


PAGES = (
    "",
    "requests",
    "logs?w=site%0Atalker",
    "events",
    "sockets",
    "config",
    "audit",
    "w/site/shop",
    "w/site/plain",
)


FEW = ("", "logs?w=site%0Atalker", "w/site/shop")  # of each kind one


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_fit_a_phone_and_screen_readers(
    browser: Browser, console: Console, stack: Stack, url: str, scheme: str
) -> None:
    size = {"width": 375, "height": 700} if scheme == "dark" else {"width": 1280, "height": 800}
    with opened(browser, console, viewport=size, color_scheme=scheme) as page:
        for path in PAGES if scheme == "dark" else FEW:
            page.goto(f"{url}/#/{path}")
            expect(page.locator("main h1").first).to_be_attached()
            page.wait_for_timeout(300)
            assert unfit(page, size["width"], path) == []
