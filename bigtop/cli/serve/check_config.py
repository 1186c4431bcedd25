# `bigtop serve --check-config`: the application loaded once, as a worker would, and nothing bound.
#
# The application is imported into this process, which is fine here and nowhere else: it ends right after.

from __future__ import annotations

import time

from bigtop import build, loader
from bigtop.backends import registry
from bigtop.backends.asgi.calls import mounted
from bigtop.config.serve.serve import ServeSpec
from bigtop.config.serve.specs import tls
from bigtop.config.serve.values import answer_values
from bigtop.hooks import load, source
from bigtop.record import replace
from bigtop.workers import identity


def check_config(spec: ServeSpec) -> str:
    """Load the application as a worker would and return a line that says so, behind one for each certificate.

    Raises AppError or ConfigError. User and group stay ours, so that a check needs no root.
    """
    identity.assume(replace(spec.identity, user=None, group=None))
    if spec.hooks.asks_for_something:
        for location in spec.hooks.locations:
            source.execute(location)
        load.LoadedHooks(spec.hooks)
    if spec.backend is not None:
        registry.load(spec.backend)(spec.options).prepare()
    main = loader.load(spec.app, factory=spec.factory, interface=spec.interface)
    loaded = mounted.load(main, spec.mounts, spec.options, otherwise=spec.interface)
    backend = registry.load(spec.backend or loaded.interface)
    unix = any(bind.path is not None for bind in spec.binds)
    options = spec.options.behind_mounts(loaded.interface) if spec.mounts else spec.options
    registry.require(backend, interface=loaded.interface, options=options, unix=unix, tls=spec.tls.is_wanted)
    lines = tls.described(spec.tls, time.time())
    if "answers.compress" in backend.features.heeds:
        lines += answer_values.described(options.answers.compress)
    elif note := registry.unheeded(backend, options):
        lines.append(note)
    return "\n".join(
        [*lines, f"{spec.app}: OK, {loaded.interface.upper()} on backend {backend.name}, {build.kind()}"]
    )
