# bigtop.serve() and the names of the package.

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import bigtop


def test_the_menu() -> None:
    assert set(bigtop.__all__) <= set(dir(bigtop))
    for name in bigtop.__all__:
        assert callable(getattr(bigtop, name))
    with pytest.raises(AttributeError, match="module 'bigtop' has no attribute 'sevre'"):
        bigtop.sevre  # noqa: B018


def test_importing_the_package_imports_little() -> None:
    program = "import bigtop, sys; print(sorted(n for n in sys.modules if n.startswith('bigtop')))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['bigtop', 'bigtop.errors']"


def test_mistakes_are_exceptions(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(bigtop.ConfigError, match="did you mean 'workers'"):
        bigtop.serve("x:y", wokers=2)
    with pytest.raises(bigtop.ConfigError, match=r"^workers: must be auto or a whole number"):
        bigtop.serve("x:y", workers=0)
    monkeypatch.setenv("BIGTOP_THREADS", "few")
    with pytest.raises(bigtop.ConfigError, match=r"^\$BIGTOP_THREADS: must be"):
        bigtop.serve("x:y", workers=1)


def test_a_missing_application_is_an_exception() -> None:
    with pytest.raises(bigtop.AppError, match="no_such_module"):
        bigtop.serve("no_such_module:app", check_config=True)


def test_what_serving_meets_is_an_exception_and_leaves_nothing(tmp_path: Path) -> None:
    """In a process of its own: serve() takes signals and children of the process that it is called in."""
    (tmp_path / "broken.py").write_text("1 / 0\n")
    program = """if True:
        import bigtop, psutil, signal, socket
        with socket.create_server(("127.0.0.1", 0)) as holder:
            try:
                bigtop.serve("tests.apps.site:app", bind=f"127.0.0.1:{holder.getsockname()[1]}")
            except bigtop.BindError as error:
                print(error)
        for preload in ("on", "off"):
            try:
                bigtop.serve("broken:app", bind="127.0.0.1:0", preload=preload)
            except bigtop.AppError as error:
                print(error, error.traceback)
        assert not psutil.Process().children()
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
        assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == set()
    """
    path = os.pathsep.join([str(tmp_path), str(Path(bigtop.__file__).parents[1])])
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[1],
        env={**os.environ, "PYTHONPATH": path},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "it is held by process" in done.stdout
    assert done.stdout.count("ZeroDivisionError: division by zero") >= 2


def test_print_config_from_python(capsys: pytest.CaptureFixture[str]) -> None:
    assert bigtop.serve("x:y", bind=["127.0.0.1:1", ":2"], workers=3, print_config=True) == 0
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert "bind = 127.0.0.1:1 :2 # bind" in lines
    assert "workers = 3 # workers" in lines


def test_mypy_knows_the_library(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        "import bigtop\n"
        'status: int = bigtop.serve("x:y", workers=8, bind="127.0.0.1:80", timeout=3)\n'
        'bigtop.serve(1, workers="auto")\n'
    )
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--config-file=", "--follow-imports=silent", program],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "MYPYPATH": str(Path(bigtop.__file__).parents[1])},
    )
    assert 'program.py:3: error: Argument 1 to "serve" has incompatible type "int"' in done.stdout
    assert "Found 1 error" in done.stdout
