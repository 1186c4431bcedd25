# The tutorial, typed in: its files, its commands, and what it shows of their output.
#
# What differs from run to run is left out of the comparison: numbers, folders, the user, the spaces between
# columns. Lines of the log are looked for there; of what a command prints, every line must be on the page.

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.site import ROOT, Site, until
from tests.support.stack import Stack

PAGE = (ROOT / "docs/tutorial.md").read_text()
BLOCK = re.compile(r'^```(\w+)(?: title="([^"]+)")?\n(.*?)^```', re.DOTALL | re.MULTILINE)
# Other people's processes in the list of all, and what root alone is told.
NOT_OURS = r"^ *\d+ +\d+ bigtop: (?!.* \[hello\])|defunct|uid is not given"
NEEDED = ("curl", "pgrep", "ps")

pytestmark = pytest.mark.skipif(not all(map(shutil.which, NEEDED)), reason=f"needs {', '.join(NEEDED)}")


def section(title: str) -> list[tuple[str, str]]:
    """Return the blocks below a heading: language, text."""
    text = PAGE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]
    assert text, title
    return [(language, body) for language, _, body in BLOCK.findall(text)]


def file(name: str) -> str:
    return next(body for _, title, body in BLOCK.findall(PAGE) if title == name)


def plain(text: str, folder: Path) -> list[str]:
    """Return the lines of an output without what differs from run to run."""
    text = text.replace("/home/ann/tour", str(folder)).replace(str(folder), "FOLDER")
    text = re.sub(r"(?<=this Bigtop is )[\w ]+", "BUILD", text)
    text = re.sub(r"\b[0-9a-f]{16}-\d+\b", "ID", text)  # of a request
    text = re.sub(r"\b[\d.]+m?s\b", "TIME", text)
    text = re.sub(r"(\d +bigtop: +)\S+( +\d+ )", r"\1USER\2", text)
    lines = (" ".join(re.sub(r"[\d.:]*\d[\d.:]*", "N", line).split()) for line in text.splitlines())
    return [line for line in lines if line and not line.startswith("build ")]


def pairs(blocks: list[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """Yield each block of commands with the output that follows it, or with none."""
    for (language, body), (following, shown) in zip(blocks, [*blocks[1:], ("", "")], strict=True):
        if language == "console":
            yield body, shown if following == "text" and not is_log(shown) else ""


def is_log(shown: str) -> bool:
    return "] [" in shown.splitlines()[0]


class Reader:
    """Somebody who types in what the page says, beside what runs."""

    def __init__(self, site: Site, folder: Path, name: str) -> None:
        self._site, self._folder = site, folder
        self._env = {**site._env, "BIGTOP_CTL_ENDPOINT": name}

    def type(self, commands: str) -> list[str]:
        """Return what the commands print, both streams, without what differs."""
        worker = next((str(pid) for pid, title in self._site.workers().items() if "worker 1 " in title), "")
        text = re.sub(r"\$\(pgrep[^)]*\)", worker, commands)  # others may have a site of this name
        text = text.replace("curl http", "curl -s http")
        begun = "until bigtop ctl requests 2>&1 | grep -q ' app '; do sleep 0.1; done"
        text = text.replace("/slow &", f"/slow >/dev/null 2>&1 &\n{begun}")
        if ":8000" in text:
            text = text.replace(":8000", f":{self._site.port}")
        done = subprocess.run(
            ["bash", "-c", f'bigtop() {{ "{sys.executable}" -m bigtop "$@"; }}\n{text}'],
            cwd=self._folder,
            env=self._env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
        )
        ours = [line for line in done.stdout.splitlines() if not re.search(NOT_OURS, line)]
        return plain("\n".join(ours), self._folder)

    def compare(self, commands: str, shown: str) -> None:
        """Type in the commands; each line that they print must be among those shown."""
        printed = self.type(commands)
        if shown:
            assert printed, commands
            assert set(printed) <= set(plain(shown, self._folder)), commands

    def follow(self, title: str) -> None:
        """Type in the commands of a section, compare, and look for its lines of the log."""
        for commands, shown in pairs(section(title)):
            self.compare(commands, shown)
        for language, text in section(title):
            if language == "text" and is_log(text):
                self.expect(text)

    def expect(self, text: str) -> None:
        """Wait until the log has these lines."""
        wanted = set(plain(text, self._folder))

        def there() -> bool:
            log = re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1:8000", self._site.log())
            return wanted <= set(plain(log, self._folder))

        until(there, f"{text}\n{self._site.log()}")


def test_the_tour_of_a_site(tmp_path: Path) -> None:
    code = tmp_path / "hello.py"
    over = tmp_path / "over"  # what the slow page waits for
    wait = f"[time.sleep(0.01) for _ in iter(lambda: os.path.exists({str(over)!r}), True)]"
    code.write_text(file("hello.py").replace("time.sleep(20)", wait))
    with Site("hello:app", "--workers", "2", cwd=tmp_path) as site:
        reader = Reader(site, tmp_path, "hello")
        serve, change = section("Serve something"), section("Change the code")
        reader.expect(serve[2][1])
        for commands, shown in pairs(serve[3:]):
            reader.compare(commands, shown)
        reader.follow("Look at the processes")
        over.touch()
        reader.follow("Kill a worker")
        code.write_text(code.read_text().replace("hello from", "hi from"))
        reader.compare(change[0][1], change[1][1])
        reader.expect(change[2][1])
        code.write_text(code.read_text().replace('"text/plain")])', '"text/plain")]'))
        reader.compare(change[3][1], change[4][1])
        reader.expect(change[5][1])
        reader.compare(change[6][1], change[7][1])
        reader.follow("Scale")
        reader.follow("Stop")
        assert site.wait() == 0


def test_the_tour_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "hello.py").write_text(file("hello.py"))
    text = file("stack.toml")
    check, checked, mistake, _run, started, ask, answer = [
        body for _, body in section("Run other programs beside it")[1:]
    ]
    with Stack(text.replace("workers = 2", 'workers = 2\nbind = ["127.0.0.1:0"]'), cwd=tmp_path) as site:
        reader = Reader(site, tmp_path, "stack")
        reader.expect(
            "\n".join(line for line in started.splitlines() if "hello" in line or "clock: " in line)
        )
        reader.compare(ask, answer)
        (tmp_path / "stack.toml").write_text(text)
        assert reader.type(check) == plain(checked, tmp_path)
        (tmp_path / "stack.toml").write_text(text.replace("workers", "wrokers"))
        assert reader.type(check) == plain(mistake, tmp_path)
