# How the class of a plugin is found.

from __future__ import annotations

from pathlib import Path

import pytest

from bigtop.errors import ConfigError
from bigtop.plugins import Plugin, lookup

MODULE = """
from bigtop.plugins import Plugin

class Scaler(Plugin):
    pass
"""


def test_a_package_gives_its_plugin_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # What pip leaves behind after installing a package with this entry point.
    (tmp_path / "bigtop_scaler.py").write_text(MODULE)
    info = tmp_path / "scaler-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: scaler\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[bigtop.plugins]\nscaler = bigtop_scaler:Scaler\n")
    monkeypatch.syspath_prepend(tmp_path)
    found = lookup.find("scaler")
    assert issubclass(found, Plugin)
    assert found is lookup.find("bigtop_scaler.Scaler") is lookup.find("bigtop_scaler:Scaler")


@pytest.mark.parametrize("name", [*lookup.BUILTINS, *lookup.OF_CIRCUS])
def test_what_comes_with_bigtop_is_there(name: str) -> None:
    assert (lookup.find(name).__doc__ or "").endswith(".")


def test_what_fails_in_a_module_goes_through(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bigtop_broken.py").write_text("import nothing_of_that_name\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="nothing_of_that_name"):
        lookup.find("bigtop_broken.Scaler")
    with pytest.raises(ConfigError, match="there is no module bigtop_missing"):
        lookup.find("bigtop_missing.deep.Scaler")
