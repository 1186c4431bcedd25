# The table of Textual, with a supervisor that runs behind it; keys are pressed by Textual's pilot.

from __future__ import annotations

import asyncio
import io
import socket
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest

from bigtop.top.app import Top
from bigtop.top.model import keys
from bigtop.top.model.rows import Key
from tests.support.pilot import Seat, seated
from tests.support.site import DEADLINE, Site, until
from tests.support.stack import Stack

FILE = """
[app.web]
app = "tests.apps.hanging:wsgi"
bind = ["127.0.0.1:0"]
workers = 2
timeout = 0
graceful_timeout = 1

[watcher.mail]
cmd = "sleep 1000"
numprocesses = 2

[watcher.chatty]
cmd = '''{python} -uc "import time; [(print('line', n), time.sleep(0.1)) for n in range(10**6)]"'''

[watcher.chatty.stdout_stream]
class = "FileStream"
filename = "{folder}/chatty.log"
"""

Scenario = Callable[[Seat], Coroutine[Any, Any, None]]


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with Stack(FILE) as running:
        for name in ("web", "mail", "chatty"):
            running.wait_for(f"{name}: started")
        yield running


_left: list[asyncio.AbstractEventLoop] = []  # which cannot be ended


def play(scenario: Scenario, *endpoints: str, operates: bool = False) -> None:
    """Play a scenario. Where that does not end, fail with where each task stands: what does not heed a
    cancellation is not waited for."""

    async def run() -> None:
        async with seated(endpoints, operates=operates) as seat:
            await scenario(seat)

    loop = asyncio.new_event_loop()
    playing = loop.create_task(run())
    done, _ = loop.run_until_complete(asyncio.wait([playing], timeout=4 * DEADLINE))
    if not done:
        _left.append(loop)
        stacks = io.StringIO()
        for task in asyncio.all_tasks(loop):
            task.print_stack(file=stacks)
        raise AssertionError(f"it does not end:\n{stacks.getvalue()}")
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()
    playing.result()


def test_the_tree_with_figures_fits_80_by_24(stack: Stack) -> None:
    async def scenario(seat: Seat) -> None:
        await seat.see("▾ chatty")
        screen = await seat.wait_for(lambda _seen: seat.app.watching.nodes[0].is_complete(), "the figures")
        await seat.see("socket 127.0.0.1:")
        assert len(screen) <= 24
        assert max(map(len, seat.screen())) <= 80
        assert screen[1].startswith("NAME▲")
        assert screen[-1].startswith("? help")
        expected = ["stack", "chatty", "1", "mail", "1", "2", "web", "1", "2", "(bigtop)"]
        assert seat.names() == expected

    play(scenario, stack.endpoint)


def test_lines_are_chosen_opened_and_folded(stack: Stack) -> None:
    async def scenario(seat: Seat) -> None:
        await seat.choose("mail")
        await seat.press("enter")
        await seat.see("▸ mail")
        assert "2" not in seat.names()[:5]
        await seat.press("enter")
        await seat.see("▾ mail")
        await seat.choose("(bigtop)")
        await seat.press("enter")
        await seat.see("fork server of web")
        await seat.press("end", "pageup", "pagedown")
        assert seat.app.table.chosen is not None
        assert seat.app.table.chosen.name == seat.names()[-1]

    play(scenario, stack.endpoint)


def test_a_mouse_chooses_opens_and_sorts(stack: Stack) -> None:
    async def scenario(seat: Seat) -> None:
        await seat.see("▾ mail")
        at = seat.names().index("mail")
        await seat.pilot.click("Table", offset=(3, at))
        assert seat.app.table.chosen is not None
        assert seat.app.table.chosen.name == "mail"
        await seat.pilot.click("Table", offset=(3, at))
        await seat.see("▸ mail")
        heading = seat.screen()[1]
        await seat.pilot.click(seat.app.head, offset=(heading.index("PSS"), 1))
        await seat.see("PSS▼")
        await seat.pilot.click(seat.app.head, offset=(heading.index("PSS"), 1))
        await seat.see("PSS▲")
        await seat.see("socket 127.0.0.1:")
        await seat.pilot.click(seat.app.below, offset=(1, 0))  # which is no title
        assert seat.app.view.sort == "memory"

    play(scenario, stack.endpoint)


def test_a_long_table_is_scrolled_below_its_heading() -> None:
    with Stack('[watcher.many]\ncmd = "sleep 1000"\nnumprocesses = 30\n') as stack:
        stack.wait_for("many: started")

        async def scenario(seat: Seat) -> None:
            await seat.wait_for(lambda _seen: seat.names().count("30"), "all processes")
            await seat.press("end")
            await seat.see("(bigtop)")
            await seat.miss("▾ stack")
            pid = str(stack.pids("many")[-1])

            def stand_aligned(seen: list[str]) -> bool:
                """Whether titles end where their figures end."""
                lines = [line for line in seen if pid in line]
                return bool(lines) and lines[0].index(pid) + len(pid) == seen[1].index("PID") + len("PID")

            await seat.wait_for(stand_aligned, "the heading above its columns")
            await seat.press("home")
            await seat.see("▾ stack")

        play(scenario, stack.endpoint)


def test_sorting_by_keys(stack: Stack) -> None:
    async def scenario(seat: Seat) -> None:
        await seat.see("NAME▲")
        await seat.press("greater_than_sign")
        await seat.see("PID▲")
        await seat.press("i")
        await seat.see("PID▼")
        await seat.press("less_than_sign")
        await seat.see("NAME▲")

    play(scenario, stack.endpoint)


def test_a_filter_is_written_kept_and_taken_back(stack: Stack) -> None:
    async def scenario(seat: Seat) -> None:
        await seat.see("▾ web")
        await seat.press("slash", *"mail")
        await seat.miss("▾ web")
        assert seat.names() == ["stack", "mail", "1", "2"]
        await seat.press("enter", "down")  # keys are for the table again
        assert seat.app.table.has_focus
        assert seat.names() == ["stack", "mail", "1", "2"]
        await seat.press("escape")
        await seat.see("▾ web")
        await seat.press("slash", *"web", "escape")
        await seat.see("▾ mail")
        assert seat.app.table.has_focus

    play(scenario, stack.endpoint)


def test_the_stack_of_a_request_is_one_key_away(stack: Stack) -> None:
    with socket.create_connection(("127.0.0.1", stack.port)) as client:
        client.sendall(b"GET /sleep HTTP/1.1\r\nHost: x\r\n\r\n")

        async def scenario(seat: Seat) -> None:
            await seat.choose("GET /sleep")
            await seat.press("enter")
            await seat.see("hang_sleep")
            await seat.press("q")
            await seat.miss("hang_sleep")
            await seat.choose("mail")
            await seat.press("k")  # of two processes it is not known which is meant
            await seat.see("name one of mail/1, mail/2")
            await seat.press("escape")
            await seat.choose("stack")
            await seat.press("k")
            await seat.hear("choose a worker, a process")

        try:
            play(scenario, stack.endpoint)
        finally:
            (row,) = stack.call("requests")["requests"]
            stack.call("kill", name="web", pid=row["pid"], signum="KILL", waiting=True)


def test_logs_go_on(stack: Stack) -> None:
    async def scenario(seat: Seat) -> None:
        await seat.choose("chatty")
        await seat.press("l")
        await seat.see("stdout: line")
        first = seat.screen()[-1]
        await seat.wait_for(lambda seen: seen[-1] != first and "stdout: line" in seen[-1], "further lines")
        await seat.press("q")
        await seat.choose("mail")
        await seat.press("l")
        await seat.see("has neither stdout_stream nor stderr_stream")
        await seat.press("q")
        await seat.choose("stack")
        await seat.press("l")
        await seat.hear("choose a watcher or a process")

    play(scenario, stack.endpoint)


def test_help_and_events(stack: Stack) -> None:
    async def scenario(seat: Seat) -> None:
        await seat.see("▾ mail")
        await seat.press("question_mark")
        await seat.see("It only looks.")
        await seat.press("escape", "e")
        await seat.see("nothing has happened since this began")
        await seat.press("q")
        await seat.provoke(lambda: stack.call("signal", name="mail", signum="USR1"), "mail died")
        await seat.press("e")
        await seat.see("events")
        await seat.see("mail died")

    play(scenario, stack.endpoint)
    until(lambda: len(stack.pids("mail")) == 2, "its successor")


def test_every_key_is_in_the_help() -> None:
    named = {"question_mark": "?", "slash": "/", "less_than_sign": "<", "greater_than_sign": ">"}
    named |= {"plus": "+", "minus": "-"}
    bound = {named.get(key, key) for one in Top.BINDINGS for key in one.key.split(",")}  # type: ignore[union-attr]
    told = keys.help_text(operates=True)
    words = {word for line in told.splitlines() for word in line[:12].split()}
    assert bound - {"escape", "left", "right"} <= words


@pytest.mark.parametrize("key", ["r", "plus", "minus", "x"])
def test_who_only_looks_changes_nothing(key: str, stack: Stack) -> None:
    before = stack.pids("mail")

    async def scenario(seat: Seat) -> None:
        await seat.choose("mail")
        await seat.press(key)
        await seat.see("it only looks")

    play(scenario, stack.endpoint)
    assert stack.pids("mail") == before


def test_who_operates_scales_reloads_and_restarts(stack: Stack) -> None:
    before = stack.pids("mail")

    async def scenario(seat: Seat) -> None:
        await seat.choose("mail")
        await seat.press("plus")
        await seat.hear("mail: one process more: 3")
        assert len(stack.pids("mail")) == 3
        await seat.press("minus")
        await seat.hear("mail: one process less: 2")
        assert len(stack.pids("mail")) == 2
        await seat.press("r")
        await seat.hear("reload mail: stopped")
        after = stack.pids("mail")
        assert not set(before) & set(after)
        await seat.press("x")
        await seat.see("Restart mail? All of its processes stop, then they start.")
        await seat.press("n")
        await seat.miss("Restart mail?")
        assert stack.pids("mail") == after
        await seat.press("x")
        await seat.see("Restart mail?")
        await seat.press("y")
        await seat.hear("restart mail: stopped")
        assert not set(after) & set(stack.pids("mail"))

    play(scenario, stack.endpoint, operates=True)


def test_one_process_is_replaced(stack: Stack) -> None:
    async def scenario(seat: Seat) -> None:
        await seat.choose("mail")
        await seat.press("down")
        row = seat.app.table.chosen
        assert row is not None
        assert row.watcher == "mail"
        await seat.press("x")
        await seat.see(f"End process {row.pid} of mail?")
        await seat.press("y")
        await seat.see(f"replace process {row.pid} of mail: ok")
        assert row.pid not in stack.pids("mail")

    play(scenario, stack.endpoint, operates=True)
    until(lambda: len(stack.pids("mail")) == 2, "its successor")


def test_what_fails_is_told_with_its_reason() -> None:
    broken = '[watcher.broken]\ncmd = "/no/such/program"\nautostart = false\nmax_retry = 1\n'
    alone = '[watcher.one]\ncmd = "sleep 1000"\nsingleton = true\n'
    with Stack(broken + alone) as stack:
        stack.wait_for("one: started")

        async def scenario(seat: Seat) -> None:
            await seat.choose("one")
            await seat.press("plus")
            await seat.hear("a singleton")
            await seat.choose("broken")
            await seat.press("x")
            await seat.see("Restart broken?")
            await seat.press("y")
            await seat.see("used up its retries")

        play(scenario, stack.endpoint, operates=True)


def chosen(seat: Seat) -> Key:
    row = seat.app.table.chosen
    return () if row is None else row.key


def test_a_key_never_acts_on_a_stranger() -> None:
    """The chosen line goes: what it was below is chosen then, and not what came to stand in its place."""
    with Stack(
        '[watcher.a]\ncmd = "sleep 1000"\nnumprocesses = 2\n[watcher.b]\ncmd = "sleep 1000"\n'
    ) as stack:
        stack.wait_for("b: started")

        async def scenario(seat: Seat) -> None:
            await seat.choose("a")
            await seat.press("down", "down")
            assert chosen(seat)[:2] == ("stack", "a")
            assert len(chosen(seat)) == 3
            stack.call("decr", name="a", waiting=True)
            stack.call("kill", name="a", waiting=True)
            await seat.wait_for(lambda _seen: chosen(seat) == ("stack", "a"), "its end")
            stack.call("rm", name="a", waiting=True)
            await seat.wait_for(lambda _seen: chosen(seat) == ("stack",), "the end of a")

        play(scenario, stack.endpoint)


def test_several_supervisors_and_the_end_of_one(stack: Stack) -> None:
    with Site("tests.apps.wsgi_basic:app", "--name", "other") as site:
        where = str(site.folder / "bigtop" / "other.ctl")

        async def scenario(seat: Seat) -> None:
            await seat.see("▾ other")
            assert [one.row.name for one in seat.app.table.shown if not one.depth] == ["stack", "other"]
            site.stop()
            await seat.see("other: ")
            await seat.wait_for(lambda seen: "answer" in seen[1] or "reply" in seen[1], "the loss")
            await seat.see("▾ mail")

        play(scenario, stack.endpoint, where)


# ---- what keys mean


def test_keys_for_what_cannot_be_done_say_why() -> None:
    from bigtop.top.model import rows
    from bigtop.top.model.rows import OWN_NAME, View
    from tests.support.overview import node, overview, process, watcher

    made = node()
    web = watcher("web", [process(None, 1, "starting")])
    made.hear(overview(web), [], 1.0)
    view = View(toggled=frozenset({("site", OWN_NAME)}))
    found = {one.row.name: one.row for one in rows.arranged(rows.tree([made]), view)}
    assert keys.act("+", found["site"]) == "choose a watcher or a process for that"
    assert keys.act("x", found["supervisor"]) == "that is Bigtop itself"
    assert keys.act("x", found["1"]) == "that process has not started yet"
    reload_all = keys.act("r", found["site"])
    assert isinstance(reload_all, keys.Action)
    assert reload_all.question == "Reload every watcher of site?"
    assert reload_all.properties == {"waiting": True}
