# What a release consists of. The wheels themselves take minutes: make wheels, make test-compiled.

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import tomllib
from configparser import ConfigParser
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

pytestmark = pytest.mark.case("D3")


def tracked() -> list[str]:
    if not (ROOT / ".git").exists():
        pytest.skip("no checkout")
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    names = subprocess.check_output(command, cwd=ROOT, text=True).splitlines()
    return [name for name in names if (ROOT / name).exists()]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of what the repository holds."""
    folder = tmp_path / "copy"
    for name in tracked():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, folder / name)
    return folder


def test_a_source_distribution_holds_all_that_the_repository_holds(copy: Path) -> None:
    command = [sys.executable, "-c", "from setuptools import build_meta as b; b.build_sdist('.')"]
    subprocess.run(command, cwd=copy, check=True, capture_output=True)
    (archive,) = copy.glob("*.tar.gz")
    with tarfile.open(archive) as opened:
        held = {member.name.partition("/")[2] for member in opened.getmembers() if member.isfile()}
    assert set(tracked()) - held == set()
    more = {name for name in held - set(tracked()) if not name.startswith("bigtop.egg-info/")}
    assert more == {"PKG-INFO"}


# Stands for mypyc where it is installed and cannot work: nothing is compiled, and that takes no minutes.
NO_MYPYC = 'def mypycify(*names, **options):\n    raise SystemExit("not now")\n'


def built(copy: Path, **more: str) -> tuple[str, str]:
    """Build as pip does, with a terminal; return what that shows, and what pip would keep to itself."""
    (copy / "lib/mypyc").mkdir(parents=True)
    (copy / "lib/mypyc/__init__.py").touch()
    (copy / "lib/mypyc/build.py").write_text(NO_MYPYC)
    kept = copy / "kept.txt"
    build = f"import pty; pty.spawn(['sh', '-c', '{sys.executable} setup.py build >kept.txt 2>&1'])"
    environ = {**os.environ, "PYTHONPATH": str(copy / "lib"), **more}
    done = subprocess.run(
        [sys.executable, "-c", build],
        cwd=copy,
        env=environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return done.stdout, kept.read_text()


def test_a_build_that_compiles_says_how_long_and_how_to_do_without(copy: Path) -> None:
    for said in built(copy):
        assert "bigtop: compiling" in said
        assert "about 3 minutes on one core; BIGTOP_PURE=1 leaves them as they are" in said


def test_a_pure_build_says_nothing_of_compiling(copy: Path) -> None:
    for said in built(copy, BIGTOP_PURE="1"):
        assert "bigtop: compiling" not in said


def test_wheels_are_made_for_each_python_that_is_supported() -> None:
    setup = ConfigParser(interpolation=None)
    setup.read(ROOT / "setup.cfg")
    lines = setup["metadata"]["classifiers"].splitlines()
    supported = [line.rpartition(" ")[2] for line in lines if "Python :: 3." in line]
    built = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["cibuildwheel"]["build"]
    assert built == [f"cp{version.replace('.', '')}-*" for version in supported]


def test_an_installed_bigtop_serves() -> None:
    """The trial that each wheel passes before it counts, on the Bigtop that is tested here."""
    command = [sys.executable, "-m", "bigtop", "--version"]
    kind = subprocess.check_output(command, text=True).strip().partition(", ")[2]
    trial = [sys.executable, "-P", ROOT / "tests/wheel.py"]
    done = subprocess.run([*trial, kind], capture_output=True, text=True)
    assert (done.returncode, done.stdout.rpartition(": ")[2]) == (0, "served\n"), done.stderr
    other = "pure Python" if kind == "compiled" else "compiled"
    done = subprocess.run([*trial, other], capture_output=True, text=True)
    assert (done.returncode, done.stderr.startswith(f"wanted a Bigtop that is {other}")) == (1, True)
