# Deploys, deaths and scaling under fire: no client loses anything but with a worker that is killed with -9.
# bench/torture.py has what happens; `python -m bench torture --seconds 3600` is the longer one.
#
# Each part of "nothing accepted is lost" has a test of its own (those of a backend are in tests/backends):
# - reload: test_verified_deploys.py, test_while_serving.py (200 clients), test_wsgi_handoff.py,
#   test_asgi_site.py, test_mounts.py, test_https.py; fewer workers: the first four of them
# - TERM: test_start_and_stop.py; what waits in the kernel then: test_wsgi_handoff.py; half requests, and the
#   rest of answers: test_wsgi_drain.py, test_asgi_drain.py
# - INT cuts off what runs, and says so: test_last_words.py
# - max-requests: test_while_serving.py; max-age and memory: test_retirement.py
# - upgrades of Bigtop: test_upgrade.py (clients and followers go on, broken versions change nothing)
# - other people's servers: test_backends.py
# - a worker that crashes: test_while_serving.py; requests that wait for it: test_wsgi_handoff.py
# - connections that move: test_wsgi_handoff.py, test_wsgi_worker_handoff.py, test_asgi_site.py
# - WebSockets are told to come again: test_asgi_site.py, test_wsgi_websocket.py, test_tls.py

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from bench import torture
from bench.releases import BROKEN, Releases
from bench.remains import Census
from bench.torture import Patience, Story
from bench.visitors import Visit

# This machine may have much else to do. Where it stops the last worker for a moment between its last look at
# a socket and the end of that, whoever connects just then is reset: so nobody comes while it ends.
PATIENCE = Patience(boot=8.0, back=60.0, until_the_end=False)


UPGRADES = ("upgrade and kill", "version that cannot start", "version that cannot take over")


@pytest.mark.parametrize(("interface", "seconds"), [("wsgi", 20.0), ("asgi", 10.0)])
def test_nothing_is_lost_but_with_a_worker_that_is_killed(
    interface: str, seconds: float, tmp_path: Path
) -> None:
    story = torture.suffer(sys.executable, seconds, 1, interface, PATIENCE, tmp_path / "log", UPGRADES)
    assert story.complaints() == [], (tmp_path / "log").read_text()
    assert story.done


USUAL = Census(90, 3, 6, 0, 25 << 20)
FINE = Story(30.0, 1, {"kill": 60}, USUAL, USUAL, status=0, counts={"answered": 9})


@pytest.mark.parametrize(
    ("story", "complaint"),
    [
        (FINE, ""),
        (replace(FINE, after=replace(USUAL, threads=8)), ""),
        (replace(FINE, after=replace(USUAL, threads=12)), "threads: 11 became 12"),
        (replace(FINE, after=replace(USUAL, fds=91)), "fds: 90 became 91"),
        (replace(FINE, after=replace(USUAL, zombies=1)), "1 zombies"),
        (replace(FINE, after=replace(USUAL, private=30 << 20)), "5,242,880 bytes more after 60 actions"),
        (
            replace(FINE, back={"syntax error": [0.5, 5.5]}),
            "syntax error: the old code alone answered after 5.5",
        ),
        (replace(FINE, unexplained=["fresh-1"]), "fresh-1"),
        (replace(FINE, problems=["a problem"]), "a problem"),
        (replace(FINE, counts={"reset": 1}), "nobody was answered"),
        (replace(FINE, skipped=2), "2 requests were not sent"),
        (replace(FINE, left=1), "1 processes are left"),
        (replace(FINE, status=1), "exit status 1"),
        (replace(FINE, after=None), "it did not come to its end"),
    ],
)
def test_whatever_is_wrong_is_told(story: Story, complaint: str) -> None:
    said = story.complaints()
    assert len(said) == bool(complaint)
    assert complaint in "".join(said)


def test_lines_about_lost_requests_are_understood() -> None:
    line = (
        "[WARNING] GET /stream/stream-38 (19e3-9) from 127.0.0.1 is cut off after 0.1 s: its worker 6 is gone"
    )
    assert torture.LOST_LINE.findall(line) == ["stream-38"]


def test_how_the_canary_time_went_is_understood() -> None:
    compared = "passed its canary time: 5 requests, 0.0% 5xx, nine of ten within 2 s; the old ones 9, 0.0%, "
    found = [torture.PASSED.search(f"{compared}{time}\n") for time in ("7.16 ms", "1.5 s")]
    assert [match and (match[1], match[2]) for match in found] == [("7.16", "ms"), ("1.5", "s")]
    few = torture.PASSED.search("passed its canary time: 1 request, too few to compare\n")
    assert few is not None
    assert few[1] is None


def test_who_may_answer_at_which_time(tmp_path: Path) -> None:
    releases = Releases(tmp_path, "wsgi")

    def answered_by(version: str, due: float = 1e12) -> bool:
        releases.out_of_turn.clear()
        releases.check(Visit("kept", "kept-1", due=due, version=version))
        return not releases.out_of_turn

    def answering(*versions: str) -> bool:
        return [one for one in ("v1", "v2", "v3", "v4", "v5") if answered_by(one)] == list(versions)

    assert answering("v1")
    assert releases.write() == "v2"
    assert answering("v1", "v2")
    releases.succeeded()
    assert answering("v2")
    assert answered_by("v1", due=0.0), "who came before may be answered by what was there before"
    assert releases.write("syntax error") == "v3"
    assert answering("v2")
    releases.failed()
    assert "'v2'" in (tmp_path / "released.py").read_text()
    assert releases.write("5xx under traffic") == "v4"
    assert answering("v2", "v4")
    releases.failed()
    assert answering("v2")
    assert releases.write() == "v5"
    releases.undecided()
    assert answering("v2", "v5")


@pytest.mark.parametrize("what", BROKEN)
def test_code_is_broken_as_it_is_said_to_be(what: str, tmp_path: Path) -> None:
    Releases(tmp_path, "asgi").write(what)
    code = (tmp_path / "released.py").read_text()
    if what == "syntax error":
        with pytest.raises(SyntaxError):
            compile(code, "released.py", "exec")
        return
    compile(code, "released.py", "exec")
    first, _, rest = code.partition("\n")
    assert bool(first) != ("''" not in rest), "it fails at its start, or has an ailment"
