# Runs a module with Bigtop's sources: python -m tests.support.sources MODULE ARGUMENT...
#
# A compiled build has them beside what was made of them, so that both can be tried in one environment.

from __future__ import annotations

import runpy
import sys
from importlib.machinery import SOURCE_SUFFIXES, FileFinder, SourceFileLoader
from importlib.util import find_spec
from os.path import commonpath


def prefer_sources() -> None:
    """Import no module of Bigtop but from its source; nothing of it may be imported yet."""
    spec = find_spec("bigtop")
    assert "bigtop" not in sys.modules
    assert spec is not None, "Bigtop is installed"
    assert spec.submodule_search_locations, "it is a package"
    [folder] = spec.submodule_search_locations

    def hook(path: str) -> FileFinder:
        if not path.startswith("/") or commonpath([folder, path]) != folder:
            raise ImportError(path)  # which is for the hooks behind this one
        return FileFinder(path, (SourceFileLoader, SOURCE_SUFFIXES))

    sys.path_hooks.insert(0, hook)
    sys.path_importer_cache.clear()


if __name__ == "__main__":
    prefer_sources()
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
