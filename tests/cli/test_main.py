# The program as people start it: help, version, messages and exit statuses, from real processes.

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from bigtop import build
from bigtop.cli.root import COMMANDS
from bigtop.config.serve.option import Group
from bigtop.config.serve.options import OPTIONS

WSGI = """\
def app(environ, start_response):
    start_response("200 OK", [])
    return [b""]
"""


def bigtop(*argv: str, cwd: Path | None = None, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "bigtop", *argv],
        capture_output=True,
        text=True,
        cwd=cwd,
        env={"PATH": os.environ["PATH"], **environ},
        timeout=60,
    )


# ---- help


def test_help_names_every_command() -> None:
    done = bigtop("--help")
    assert (done.returncode, done.stderr) == (0, "")
    for name, (_, line) in COMMANDS.items():
        assert re.search(rf"^  {name} +{re.escape(line)}$", done.stdout, re.MULTILINE)
    assert "_BIGTOP_COMPLETE=bash_source" in done.stdout


@pytest.mark.parametrize("argv", [["--help"], ["--version"], []], ids=str)
def test_help_and_version_import_no_command(argv: list[str]) -> None:
    program = (
        "import sys; from bigtop.cli.main import main\n"
        f"sys.argv = ['bigtop', *{argv}]\n"
        "try: main()\n"
        "finally: print(sorted(n for n in sys.modules if n.startswith('bigtop.')), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (
        done.stderr.splitlines()[-1]
        == "['bigtop.build', 'bigtop.cli', 'bigtop.cli.main', 'bigtop.cli.root', 'bigtop.errors', "
        "'bigtop.http', 'bigtop.system', 'bigtop.system.descriptors', 'bigtop.system.signals']"
    )


def test_version() -> None:
    done = bigtop("--version")
    assert done.returncode == 0
    assert re.fullmatch(rf"bigtop \S+, {build.kind()}\n", done.stdout)


def test_help_of_serve_shows_every_option_under_its_heading() -> None:
    done = bigtop("serve", "--help")
    assert (done.returncode, done.stderr) == (0, "")
    text = " ".join(done.stdout.split())
    unwrapped = "".join(done.stdout.split())  # a long default is broken behind its hyphens
    for option in OPTIONS:
        for flag in option.flags:
            assert f" {flag}" in text
        assert f"[${option.variable}" in text
        if option.default:
            assert f"default:{''.join(option.default)}]".replace(" ", "") in unwrapped
    headings = [line[:-1] for line in done.stdout.splitlines() if line.endswith(":") and line[0] != " "]
    assert headings == [group.value for group in Group]


def test_help_of_serve_fits_a_terminal() -> None:
    assert max(map(len, bigtop("serve", "--help").stdout.splitlines())) <= 80


def test_bash_completes_options() -> None:
    done = bigtop(
        "serve",
        _BIGTOP_COMPLETE="bash_complete",
        COMP_WORDS="bigtop serve --max-re",
        COMP_CWORD="2",
    )
    assert done.stdout.split() == ["plain,--max-requests", "plain,--max-requests-jitter"]


# ---- what is wrong, and with which status


@pytest.mark.parametrize(
    ("argv", "status", "message"),
    [
        (["serve"], 2, "Missing argument 'APP'"),
        (["serve", "x:y", "--wokers", "2"], 2, "No such option"),
        (["serve", "x:y", "z:z"], 2, "unexpected extra argument"),
        (["sreve"], 2, "No such command"),
        (["serve", "x:y", "-w", "0"], 78, "bigtop: --workers: must be auto or a whole number"),
        (
            ["serve", "x:y", "--check-config", "-k", "nothing"],
            78,
            "bigtop: --backend: there is no",
        ),
        (["serve", "no_such_module:app", "--check-config"], 3, "no_such_module"),
    ],
)
def test_exit_status_and_message(argv: list[str], status: int, message: str) -> None:
    done = bigtop(*argv)
    assert done.returncode == status, done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_every_mistake_has_its_line() -> None:
    done = bigtop("serve", "x:y", "-w", "0", BIGTOP_THREADS="few")
    assert [line.partition(": must")[0] for line in done.stderr.splitlines()] == [
        "bigtop: --workers",
        "bigtop: $BIGTOP_THREADS",
    ]


# ---- --print-config, --check-config


def test_print_config(tmp_path: Path) -> None:
    done = bigtop("serve", "--print-config", "-b", ":80", BIGTOP_APP="shop:app", WEB_CONCURRENCY="3")
    lines = [" ".join(line.split()) for line in done.stdout.splitlines()]
    assert (done.returncode, done.stderr) == (0, "")
    assert lines[0] == "app = shop:app"
    assert "workers = 3 # $WEB_CONCURRENCY" in lines
    assert "bind = :80 # --bind" in lines


def test_check_config_loads_the_application_and_binds_nothing(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(WSGI)
    with socket.create_server(("127.0.0.1", 0)) as holder:
        taken = f"127.0.0.1:{holder.getsockname()[1]}"
        done = bigtop("serve", "shop:app", "--check-config", "-b", taken, cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (
        0,
        f"shop:app: OK, WSGI on backend wsgi, {build.kind()}\n",
        "",
    )


def test_check_config_uses_chdir_and_env(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text("import os\nos.environ['SHOP']\n" + WSGI)
    (tmp_path / "lib").mkdir()
    good = bigtop("serve", "shop:app", "--check-config", "--chdir", str(tmp_path), "-e", "SHOP=1")
    assert good.returncode == 0, good.stderr
    bad = bigtop("serve", "shop:app", "--check-config", "--chdir", str(tmp_path))
    assert bad.returncode == 3
    assert "KeyError: 'SHOP'" in bad.stderr


def test_check_config_shows_the_traceback_of_the_application(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text("def broken():\n    return {}['stock']\nbroken()\n")
    done = bigtop("serve", "shop:app", "--check-config", cwd=tmp_path)
    assert done.returncode == 3
    assert "KeyError: 'stock'" in done.stderr
    assert "in broken" in done.stderr
    assert "bigtop/" not in done.stderr, "frames that are not the application's"
    assert done.stderr.splitlines()[-1].startswith("bigtop: ")


def test_check_config_refuses_what_the_backend_cannot_do(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(WSGI)
    done = bigtop("serve", "shop:app", "--check-config", "--interface=asgi", "-k", "wsgi", cwd=tmp_path)
    assert done.returncode == 78
    assert done.stderr.startswith("bigtop: backend 'wsgi' does not support ASGI applications")
