# The check of plugins before anything runs: each mistake with its line, and the role of each.

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bigtop.config.file.daemon import load
from bigtop.errors import ConfigError
from bigtop.launch.run import plugin_preflight
from bigtop.plugins.lookup import BUILTINS
from bigtop.plugins.orders import PROGRAM
from bigtop.record import replace


def test_what_is_wrong_is_told_with_its_line(tmp_path: Path) -> None:
    text = """
[watcher.plain]
cmd = "sleep 1000"
[plugin.a]
use = "tests.apps.plugins.Recorder"
filename = "x/"
[plugin.b]
use = "tests.apps.plugins.Recorder"
[plugin.c]
use = "tests.apps.nothing.Recorder"
[plugin.d]
use = "tests.apps.plugins.Nothing"
[plugin.e]
use = "nothing"
[plugin.f]
use = "tests.apps.plugins.NeverChecked"
[plugin.g]
use = "json.JSONDecoder"
[plugin.h]
use = "tests.apps.plugins.Recorder"
filename = "x"
timse = 3
[plugin.i]
cmd = "no-such-program -x"
[plugin.j]
cmd = "/etc/passwd"
[plugin.k]
cmd = "sh"
args = ["-c", "no-such-program"]
"""
    path = tmp_path / "stack.toml"
    path.write_text(text)
    with pytest.raises(ConfigError) as error:
        plugin_preflight.checked(load(str(path)))
    ours = ", ".join(sorted(set(BUILTINS) - {PROGRAM}))
    said = (
        str(error.value).replace(f"{tmp_path}/", "").replace(ours, "{}").replace(os.environ["PATH"], "$PATH")
    )
    or_it = "or it may not be executed"
    assert said.splitlines() == [
        "stack.toml:6: filename: must not be a folder",
        "stack.toml:7: [plugin:b] filename: is needed: where it writes",
        "stack.toml:10: use: there is no module tests.apps.nothing",
        "stack.toml:12: use: tests.apps.plugins has no class Nothing",
        "stack.toml:14: use: there is no plugin 'nothing'; Bigtop has {}; others are package.module.Class",
        "stack.toml:16: use: check() has no supervisor to talk to: call('list') is for start()",
        "stack.toml:18: use: json.JSONDecoder is no subclass of bigtop.plugins.Plugin",
        "stack.toml:22: timse: there is no such option; did you mean times?",
        f"stack.toml:24: cmd: no-such-program: there is no such program on its PATH ($PATH), {or_it}",
        f"stack.toml:26: cmd: /etc/passwd: there is no such program, {or_it}",
    ]


def test_roles_are_those_of_sections_or_of_classes(tmp_path: Path) -> None:
    path = tmp_path / "stack.toml"
    path.write_text(
        """
[plugin.a]
use = "tests.plugins.test_bench.QueueScaler"
watcher = "w"
[plugin.b]
use = "tests.plugins.test_bench:QueueScaler"
watcher = "w"
role = "admin"
[plugin.c]
use = "tests.apps.plugins.Crashes"
"""
    )
    checked = plugin_preflight.checked(load(str(path)))
    assert [each.granted for each in checked.plugins] == ["operate", "admin", "view"]
    # What has not changed is not asked anew: here there is nobody who could answer.
    known = (replace(checked.plugins[0], granted="known"), *checked.plugins[1:])
    after = plugin_preflight.checked(load(str(path)), replace(checked, plugins=known))
    assert [each.granted for each in after.plugins] == ["known", "admin", "view"]
