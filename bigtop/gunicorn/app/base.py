# Applications that bring their settings along, as `gunicorn.app.base` has them.
#
# Rule: run() does not come back. The process becomes the supervisor, which has nothing of the application in
# it; and the program is executed once more, up to run(), in each process that needs it (hooks/program.py).

from __future__ import annotations

import argparse
import runpy
import sys
from collections.abc import Mapping
from typing import Any

from bigtop import loader
from bigtop.gunicorn.config import Config
from bigtop.hooks import program


class BaseApplication:
    """Derive from it: load_config() calls self.cfg.set(), or init() returns settings; load() returns the
    application, or `app_uri` names it. What is not derived is the command `bigtop serve`."""

    app_uri: str | None = None

    def __init__(self, usage: str | None = None, prog: str | None = None) -> None:
        self.usage = usage
        self.prog = prog
        self.cfg: Any = None
        self.callable: Any = None
        self.do_load_config()

    def do_load_config(self) -> None:
        """Have the settings be made. A mistake in that ends the program with status 1."""
        try:
            self.load_default_config()
            self.load_config()
        except Exception as error:  # whatever other people's load_config() raises
            print(f"\nError: {error}", file=sys.stderr, flush=True)
            sys.exit(1)

    def load_default_config(self) -> None:
        self.cfg = Config(self.usage, prog=self.prog)

    def load_config(self) -> None:
        """Set what there is to be set."""
        given = self.init(None, argparse.Namespace(), sys.argv[1:])
        for name, value in (given or {}).items():
            self.cfg.set(name.lower(), value)

    def init(self, parser: Any, opts: Any, args: list[str]) -> Mapping[str, object] | None:
        """Return settings."""
        return None

    def load_config_from_file(self, filename: str) -> Mapping[str, Any]:
        """Take the settings of a file of gunicorn's; return all that it defines."""
        defined = runpy.run_path(filename, run_name="__config__")
        for name in defined.keys() & self.cfg.settings.keys():
            self.cfg.set(name, defined[name])
        return defined

    def load(self) -> Any:
        """Return what is served, for WSGI or ASGI. Called where the application is. AppError says why that
        cannot be imported."""
        return loader.load(self.app_uri or self.cfg.wsgi_app or "").app

    def wsgi(self) -> Any:
        """Return what load() does, which is called once."""
        if self.callable is None:
            self.callable = self.load()
        return self.callable

    def run(self) -> None:
        """Serve; never returns. ConfigError where there is no program that could be executed once more."""
        if type(self) is BaseApplication:
            program.become_server(sys.argv[1:])
        program.reached(self)


Application = BaseApplication
