# Autobahn's test suite against our WebSockets: make autobahn WSTEST=/path/to/wstest CASES='1.* 12.1.*'
#
# It needs Python 2.7 (pip install autobahntestsuite), so it is no part of `make test`; what it found is in
# backends/test_asgi_websocket.py. All 517 cases take a quarter of an hour, nearly all of it in the suite.

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

from tests.support.backend_server import BackendServer

GOOD = {"OK", "INFORMATIONAL"}


def main(wstest: str, cases: list[str]) -> int:
    """Run `cases`; return 1 when any is failed or not strict."""
    program = shutil.which(wstest)
    if program is None:
        print(
            f"there is no {wstest}: install autobahntestsuite for Python 2.7, then make autobahn WSTEST=..."
        )
        return 2
    with (
        tempfile.TemporaryDirectory() as folder,
        BackendServer("tests.apps.asgi_basic:app", backend="asgi") as it,
    ):
        host, port = it.address
        spec = {
            "outdir": folder,
            "servers": [{"agent": "bigtop", "url": f"ws://{host}:{port}/echo"}],
            "cases": cases or ["*"],
            "exclude-cases": [],
            "exclude-agent-cases": {},
        }
        file = Path(folder, "spec.json")
        file.write_text(json.dumps(spec))
        subprocess.run([program, "-m", "fuzzingclient", "-s", str(file)], check=True, cwd=folder)
        found = json.loads(Path(folder, "index.json").read_text())["bigtop"]
    for case, result in found.items():
        if not {result["behavior"], result["behaviorClose"]} <= GOOD:
            print(f"case {case}: {result['behavior']}, close {result['behaviorClose']}")
    print(dict(Counter(result["behavior"] for result in found.values())))
    return any(result["behavior"] not in GOOD for result in found.values())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
