# meinheld installed for real, by the very command that its missing is answered with, and serving.

from __future__ import annotations

import subprocess
import sys
import sysconfig
from importlib.util import find_spec
from pathlib import Path

import pytest

from bigtop.backends import catalogue
from tests.support.site import ROOT


def test_the_command_in_the_error_makes_it_work(tmp_path: Path) -> None:
    if sysconfig.get_config_var("Py_GIL_DISABLED"):
        pytest.skip("meinheld's C needs the GIL")
    if find_spec("pip") is None:
        pytest.skip("needs pip (python -m ensurepip)")
    bin_ = tmp_path / "venv/bin"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv"], check=True)
    # Bigtop and what it needs come from here, and pip; meinheld must come from the command.
    site = next((tmp_path / "venv/lib").glob("python*/site-packages"))
    (site / "here.pth").write_text(f"{ROOT}\n{sysconfig.get_path('purelib')}\n")
    pip = f"#!{bin_}/python\nimport sys\nfrom pip._internal.cli.main import main\nsys.exit(main())\n"
    (bin_ / "pip").write_text(pip)
    (bin_ / "pip").chmod(0o755)
    (tmp_path / "hide.py").write_text(
        "import sys\nsys.meta_path.insert(0, type('Hide', (), {'find_spec': staticmethod(lambda name, *_:"
        " (_ for _ in ()).throw(ModuleNotFoundError(name=name)) if name == 'meinheld' else None)}))\n"
        "from bigtop.__main__ import main\nmain()\n"
    )
    serve = ["worker", "--port", "0", "-k", "meinheld", "tests.apps.site:app"]
    without = subprocess.run(
        [bin_ / "python", tmp_path / "hide.py", *serve], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    command = without.stderr.partition("try: ")[2].strip()
    assert command == catalogue.install_command("meinheld")

    home = {"PATH": f"{bin_}:/usr/local/bin:/usr/bin:/bin", "HOME": str(tmp_path)}
    installed = subprocess.run(
        command.replace("pip install", "pip install --force-reinstall --no-cache-dir"),
        shell=True, env=home, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert installed.returncode == 0, installed.stderr
    script = (
        "import meinheld, sys\nassert meinheld.__file__.startswith(sys.argv[1])\nsys.path.insert(0, '.')\n"
        "from tests.support.backend_server import BackendServer\n"
        "with BackendServer('tests.apps.conformance:wsgi', backend='meinheld') as server:\n"
        "    with server.connect() as client:\n"
        "        print(client.get('/hello').body)\n"
    )
    served = subprocess.run(
        [bin_ / "python", "-c", script, tmp_path], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert "hello" in served.stdout, served.stderr
