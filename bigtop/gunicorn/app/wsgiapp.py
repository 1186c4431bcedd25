# gunicorn's own command, as `gunicorn.app.wsgiapp` has it for programs.

from __future__ import annotations

from bigtop.gunicorn.app.base import BaseApplication

WSGIApplication = BaseApplication


def run(prog: str | None = None) -> None:
    """Be `bigtop serve` with the arguments of this program; never returns."""
    WSGIApplication("%(prog)s [OPTIONS] [APP_MODULE]", prog=prog).run()
