# What the project says of itself, checked: links lead somewhere, commands exist, generated pages are current.

from __future__ import annotations

import itertools
import logging
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from configparser import ConfigParser
from pathlib import Path

import click
import pytest

from bigtop.cli import ca, cluster, compress, init, top, web
from bigtop.cli.ctl import ctl
from bigtop.cli.root import root
from bigtop.config.gunicorn import flags as gunicorn
from bigtop.config.serve import uvicorn
from bigtop.config.serve.options import OPTIONS
from bigtop.supervisor.policy import log_lines, messages
from tests.cases import CASES, marked_tests

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/*/*.md")])
BLOCK = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
COMMENT = re.compile(r"(?:^|  )# .*", re.MULTILINE)
QUOTED = re.compile(r'"[^"]*"|\'[^\']*\'')  # another program's flags may stand in there
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


def prose(page: Path) -> str:
    return BLOCK.sub("", page.read_text())


def anchors(page: Path) -> set[str]:
    """Return the names that forges and mkdocs give to the headings of a page."""
    headings = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in HEADING.findall(prose(page)))
    return {heading.strip().replace(" ", "-") for heading in headings}


def commands(page: Path) -> Iterator[str]:
    """Yield each command of the console blocks of a page, without prompt and comment."""
    for language, text in BLOCK.findall(page.read_text()):
        if language == "console":
            for line in text.splitlines():
                yield line.removeprefix("$ ").partition(" #")[0].strip()


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_links_lead_somewhere(page: Path) -> None:
    broken = []
    for link in LINK.findall(prose(page)):
        if not link.startswith(("http://", "https://")):
            target, _, anchor = link.partition("#")
            path = (page.parent / target).resolve() if target else page
            if not path.exists() or (anchor and anchor not in anchors(path)):
                broken.append(link)
    assert not broken


def test_every_page_can_be_reached_from_the_index() -> None:
    index = ROOT / "docs/index.md"
    linked = {(index.parent / link.partition("#")[0]).resolve() for link in LINK.findall(index.read_text())}
    assert sorted({page for page in PAGES if ROOT / "docs" in page.parents} - linked - {index}) == []


@pytest.mark.case("D4")
@pytest.mark.parametrize("page", ["README.md", "docs/index.md", "CONTRIBUTING.md"])
def test_the_security_policy_is_linked(page: str) -> None:
    links = LINK.findall((ROOT / page).read_text())
    assert "SECURITY.md" in {Path(link).name for link in links}
    policy = (ROOT / "SECURITY.md").read_text()
    for heading in ("Report a vulnerability", "What is supported", "What counts"):
        assert f"## {heading}" in policy


def test_tests_named_in_the_documentation_exist() -> None:
    named = [match for page in PAGES for match in re.findall(r"`([\w/]+\.py)::(\w+)`", page.read_text())]
    assert named
    missing = [
        f"{file}::{test}"
        for file, test in named
        if not (ROOT / "tests" / file).exists() or f"def {test}(" not in (ROOT / "tests" / file).read_text()
    ]
    assert not missing


def test_files_of_ours_that_comments_and_pages_name_exist() -> None:
    """A file is named by its own name or with folders before it, as in `wsgi/call.py` or `call.py`."""
    folders = ("bigtop", "tests", "docs", "bench", "examples")
    known = [file.relative_to(ROOT) for folder in folders for file in (ROOT / folder).rglob("*.py")]
    ends = {"/".join(file.parts[n:]) for file in known for n in range(len(file.parts))} | {"setup.py"}
    comments = {
        file: COMMENT.findall((ROOT / file).read_text()) for file in known if file.parts[0] == "bigtop"
    }
    pages = {page.relative_to(ROOT): re.findall(r"`[^`\n]+`", prose(page)) for page in PAGES}
    missing = [
        f"{file}: {name}"
        for file, texts in {**comments, **pages}.items()
        for text in texts
        for name in re.findall(r"(?<![\w/.<*:])[a-z_][\w/]*\.py\b", text)
        if name not in ends
    ]
    assert missing == []


def ctl_flags() -> set[str]:
    context = click.Context(ctl.command)
    groups = [
        ctl.command,
        *(ctl.command.get_command(context, word) for word in ctl.command.list_commands(context)),
    ]
    return {flag for command in groups for param in command.params for flag in param.opts}


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_commands_in_the_documentation_exist(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    flags = {flag for option in OPTIONS for flag in option.flags} | uvicorn.FLAGS | gunicorn.FLAGS
    unknown = []
    for command in commands(page):
        match QUOTED.sub("", command).split():
            case ["make", target, *_] if target not in targets:
                unknown.append(command)
            case ["bigtop", "serve", *words]:
                unknown += [
                    word for word in words if word.startswith("-") and word.split("=")[0] not in flags
                ]
            case ["bigtop", "ctl", *words]:
                known = ctl_flags()
                unknown += [
                    word for word in words if word.startswith("-") and word.split("=")[0] not in known
                ]
            case ["bigtop", word, *words] if word in (
                "backends",
                "check",
                "compress",
                "convert",
                "run",
                "top",
                "worker",
            ):
                known = {
                    flag
                    for option in root.get_command(click.Context(root), word).params
                    for flag in option.opts
                }
                unknown += [flag for flag in words if flag.startswith("-") and flag not in known]
            case ["bigtop", "init", "systemd", *words]:
                known = {flag for option in init.systemd.params for flag in option.opts}
                ours = itertools.takewhile(lambda word: word not in ("serve", "run"), words)
                unknown += [flag for flag in ours if flag.startswith("-") and flag not in known]
            case ["bigtop", "web", *words]:
                groups = [web.command, *web.command.commands.values()]
                known = {flag for group in groups for option in group.params for flag in option.opts}
                unknown += [flag for flag in words if flag.startswith("-") and flag not in known]
            case ["bigtop", "cluster", *words]:
                groups = [cluster.command, *cluster.command.commands.values()]
                known = {flag for group in groups for option in group.params for flag in option.opts}
                unknown += [flag for flag in words if flag.startswith("-") and flag not in known]
            case ["bigtop", "ca", word, *words] if word in ca.command.commands:
                known = {flag for option in ca.command.commands[word].params for flag in option.opts}
                unknown += [flag for flag in words if flag.startswith("-") and flag not in known]
            case ["bigtop", *_]:
                unknown.append(command)
    assert not unknown


def test_options_named_in_prose_exist() -> None:
    flags = (
        {flag for option in OPTIONS for flag in option.flags} | uvicorn.FLAGS | gunicorn.FLAGS | ctl_flags()
    )
    flags |= {flag for param in [*top.command.params, *compress.command.params] for flag in param.opts}
    flags |= {
        "--from",
        "--nats-server",
        "--lease",
        "--help",
        "--no-reload",
        "--no-monkey",
        "--init",
        "--keep-commands",
        "--time",
    }
    mentioned = {flag for page in PAGES for flag in re.findall(r"`(--[a-z_-]+)", prose(page))}
    assert mentioned - flags == set()


def test_generated_pages_are_current(tmp_path: Path) -> None:
    subprocess.run([sys.executable, ROOT / "docs/generate.py", tmp_path], check=True)
    pages = list((tmp_path / "reference").iterdir())
    assert pages
    for page in pages:
        assert page.read_text() == (ROOT / "docs/reference" / page.name).read_text(), "run: make docs"
    architecture = "explanation/architecture.md"
    assert (tmp_path / architecture).read_text() == (ROOT / "docs" / architecture).read_text(), (
        "run: make docs"
    )


def test_the_page_of_architecture_has_a_row_for_each_folder_with_its_files() -> None:
    page = (ROOT / "docs/explanation/architecture.md").read_text()
    rows = re.findall(r"^\| `([\w/]+)/` \| [^|\n]+ \| ([^|\n]*) \|$", page, re.MULTILINE)
    folders: dict[str, set[str]] = {}
    for path in (ROOT / "bigtop").rglob("*.py"):
        if not path.stem.startswith("__"):
            folder = path.parent.relative_to(ROOT / "bigtop").as_posix()
            folders.setdefault("bigtop" if folder == "." else folder, set()).add(path.stem)
    assert {folder: set(re.findall(r"`(\w+)`", files)) for folder, files in rows} == folders


def test_marks_of_cases_name_cases_and_each_case_has_one() -> None:
    tested = marked_tests(ROOT / "tests")
    numbers = [case.number for case in CASES]
    assert len(numbers) == len(set(numbers))
    assert {number: tests for number, tests in tested.items() if number not in numbers} == {}
    missing = [case.number for case in CASES if case.tested and case.number not in tested]
    assert missing == [], "no test bears the mark of these cases"
    found = [case.number for case in CASES if not case.tested and case.number in tested]
    assert found == [], "delete `tested=False` of these cases in tests/cases.py"


def test_news_fragments_are_well_formed() -> None:
    config = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["towncrier"]
    types = "|".join(kind["directory"] for kind in config["type"])
    fragments = [path for path in (ROOT / config["directory"]).iterdir() if path.name != ".gitignore"]
    for path in fragments:
        assert re.fullmatch(rf"\+[a-z0-9-]+\.({types})\.md", path.name), f"a fragment is +WORDS.({types}).md"
        assert path.read_text().strip(), f"{path.name} says nothing"
    assert config["start_string"].strip() in (ROOT / config["filename"]).read_text()


def test_each_dependency_has_a_reason() -> None:
    setup = ConfigParser(interpolation=None)
    setup.read(ROOT / "setup.cfg")
    required = set(re.findall(r"^\w+", setup["options"]["install_requires"], re.MULTILINE))
    reasons = set(
        re.findall(r"^\| (\w+) \|", (ROOT / "docs/explanation/design.md").read_text(), re.MULTILINE)
    )
    assert required == reasons - {"package"}


def test_python_versions_agree() -> None:
    setup = ConfigParser(interpolation=None)
    setup.read(ROOT / "setup.cfg")
    oldest = setup["options"]["python_requires"].removeprefix(">=")
    assert setup["mypy"]["python_version"] == oldest
    assert f"({oldest.replace('.', ', ')})" in (ROOT / "Makefile").read_text()
    assert f"Python {oldest} or newer" in (ROOT / "README.md").read_text()


NOTICES = [
    messages.Started(),
    messages.Stopped(),
    messages.Reloaded(2),
    messages.ReloadFailed(3, 2, "it cannot be imported"),
    messages.GaveUp("it cannot be imported"),
    messages.Report(1, "GET / for 31 s"),
    messages.Died(1, 1, messages.ExitStatus(signal=9), was_ready=True, deaths=1, wait=0),
    messages.Died(1, 1, messages.ExitStatus(code=1), was_ready=False, deaths=4, wait=8.0),
    messages.Died(1, 1, messages.ExitStatus(code=1), was_ready=True, deaths=1, wait=None),
]


@pytest.mark.parametrize("notice", NOTICES, ids=lambda notice: type(notice).__name__)
def test_log_lines_are_those_of_the_documentation(notice: messages.Notice) -> None:
    page = (ROOT / "docs/reference/logs.md").read_text()
    rows = re.findall(r"^\| `(SITE: .*?)` \| (\w+) \|", page, re.MULTILINE)
    level, text = log_lines.line("shop", notice, ["Traceback"])
    first = text.splitlines()[0]
    patterns = {re.sub(r"\b[A-Z]+\b", ".+", re.escape(line)): name for line, name in rows}
    levels = {name for pattern, name in patterns.items() if re.fullmatch(pattern, first)}
    assert levels == {logging.getLevelName(level).lower()}
