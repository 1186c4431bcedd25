# The same tests over the compiled build: make test-compiled
#
# What `pip install .` makes is put beside a copy of the tests, where nothing can be mistaken for it. Before
# that it is made without a compiler, and must work as well. Takes minutes, so `make test` does without.

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "build" / "compiled"
PACKAGE = ("bigtop", "setup.py", "pyproject.toml", "setup.cfg", "README.md", "LICENSE")
BESIDE = ("tests", "bench", "docs", "examples", "setup.cfg", "setup.py", "README.md")


def install(name: str, **environ: str) -> Path:
    """Install as users do, into an environment that borrows all else from this one; return its Python."""
    # From a copy: what is left of an earlier build must not be taken for a part of this one.
    source, target = FOLDER / name / "source", FOLDER / name / "venv"
    for part in PACKAGE:
        _copy(ROOT / part, source / part)
    venv.create(target, symlinks=True)
    python = target / "bin/python"
    borrow = Path(sysconfig.get_path("purelib", vars={"base": str(target)})) / "borrowed.pth"
    lender = Path(sysconfig.get_path("purelib"))
    borrow.write_text(f"{lender}\n")
    for starts in lender.glob("*coverage.pth"):  # Python executes none of a folder that it only borrows
        _copy(starts, borrow.with_name(f"z_{starts.name}"))
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-deps", "--force"]
    subprocess.run([*pip, str(source)], check=True, env={**os.environ, **environ})
    lend_programs(python.parent)
    return python


def lend_programs(folder: Path) -> None:
    """Put the programs of this environment (gunicorn, coverage) into `folder`, to be run by its Python."""
    here = Path(sys.executable).parent
    for program in here.iterdir():
        copy = folder / program.name
        if copy.exists() or not program.is_file() or program.is_symlink():
            continue
        script = program.read_bytes()
        if script.startswith(b"#!") and os.fsencode(here / "python") in script.partition(b"\nimport")[0]:
            copy.write_bytes(script.replace(os.fsencode(here), os.fsencode(folder)))
            copy.chmod(0o755)


def kind(python: Path) -> str:
    """Return what the Bigtop of an environment says of itself."""
    command = [python, "-m", "bigtop", "--version"]
    done = subprocess.run(command, check=True, cwd=FOLDER, stdout=subprocess.PIPE, text=True)
    return done.stdout.strip().partition(", ")[2]


def main(arguments: Sequence[str]) -> int:
    shutil.rmtree(FOLDER, ignore_errors=True)
    for name, environ, wanted in (
        ("without-compiler", {"CC": "/bin/false"}, "pure Python"),
        ("not-wanted", {"BIGTOP_PURE": "1"}, "pure Python"),
        ("compiled", {}, "compiled"),
    ):
        python = install(name, **environ)
        print(f"{name}: {kind(python)}", flush=True)
        if kind(python) != wanted:
            return 1
    here = FOLDER / "tests"
    for part in BESIDE:
        _copy(ROOT / part, here / part)
    # That one makes an environment which borrows from this one, and this one has only borrowed.
    ignored = "--ignore=tests/backends/test_meinheld_install.py"
    return subprocess.run([python, "-m", "pytest", ignored, *arguments], cwd=here).returncode


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", "var", "*.so"))
    else:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, target)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
