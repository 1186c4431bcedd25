# bigtop.serve(): what `bigtop serve` does, for programs.

from __future__ import annotations

import os
from collections.abc import Sequence

from bigtop.cli.serve.serve import run
from bigtop.config.serve.arguments import layer
from bigtop.config.serve.sources import gather
from bigtop.system import descriptors, signals


def serve(
    app: str, *, bind: str | Sequence[str] | None = None, workers: int | str | None = None, **options: object
) -> int:
    """Serve "pkg.mod:attr" until told to stop, and return the exit status; main thread only.

    Takes every option of `bigtop serve --help` with `_` for `-`, gunicorn's names of settings too. What is
    not given comes from the environment, as it does for the command. Raises ConfigError, BindError, AppError.
    """
    descriptors.settle()
    signals.heed_children()
    return run(gather(app, os.environ, layer({"bind": bind, "workers": workers, **options})))
