# Sources of a site's options, from the weakest to the strongest:
#
#     the defaults; $WEB_CONCURRENCY, $PORT, $FORWARDED_ALLOW_IPS, $SCRIPT_NAME
#     the file of --config, which is gunicorn's
#     $GUNICORN_CMD_ARGS
#     $BIGTOP_WORKERS ..., $BIGTOP_CMD_ARGS
#     the command line, or the arguments of a call
#
# What hooks there are is said by that file, and by the module of --hooks.
#
# Rule: everything but the file is kept as it was at the start, so that the file can be read again.

from __future__ import annotations

import os
from collections.abc import Mapping

from bigtop.config.gunicorn import file as files
from bigtop.config.gunicorn.file import Execution
from bigtop.config.serve import environment
from bigtop.config.serve import options as o
from bigtop.config.serve.settings import ConfigFile, Layer, ServeConfig, resolve
from bigtop.config.serve.specs import acme
from bigtop.errors import ConfigError
from bigtop.hooks.spec import MODULE
from bigtop.record import Record, replace
from bigtop.system.files import workdir


class Sources(Record):
    """What was given besides the file, and where that is: "" for none."""

    app: str
    weak: tuple[Layer, ...]
    strong: tuple[Layer, ...]
    location: str

    def resolved(self, file: ConfigFile | None) -> ServeConfig:
        """Resolve all options. The application is "" in the answer where nobody named one."""
        layers = [*self.weak, *([] if file is None else [file.layer]), *self.strong]
        config = resolve(self.app, o.OPTIONS, layers)
        paste = config[o.PASTE]
        by_paste, by_file = (
            f"paste:{paste}" if paste is not None else "",
            file.app if file is not None else "",
        )
        return replace(acme.completed(config), app=self.app or by_paste or by_file, file=file)

    def file(self) -> Execution:
        return Execution(self.location, workdir.current())

    def read(self) -> ServeConfig:
        """Resolve all options; files are executed, and waited for."""
        config = self.resolved(files.read(self.file()) if self.location else None)
        module = hook_module(config)
        return config if module is None else replace(config, hooks=files.read(module))


def hook_module(config: ServeConfig) -> Execution | None:
    """Return the module of --hooks, which is found where the application is."""
    name = config[o.HOOKS]
    if name is None:
        return None
    folder = config[o.CHDIR] or workdir.current()
    places = tuple(os.path.join(folder, one) for one in config[o.PYTHONPATH])
    return Execution(f"{MODULE}{name}", folder, places, has_settings=False)


def gather(app: str, environ: Mapping[str, str], last: Layer, *, by_itself: bool = False) -> Sources:
    """Return what `environ` says and `last`, the command line or the arguments of a call, which wins.

    `by_itself`: a file that is where gunicorn looks for it need not be named. Raises ConfigError.
    """
    weak = environment.conventions(environ)
    strong = (*environment.flags_and_variables(environ), last)
    return Sources(app, (weak,), strong, _location(strong, by_itself))


def _location(layers: tuple[Layer, ...], by_itself: bool) -> str:
    given = next((layer[o.CONFIG.name] for layer in reversed(layers) if o.CONFIG.name in layer), None)
    if given is None:
        return files.by_itself() if by_itself else ""
    text = given.texts[-1]
    if text == files.OFF:
        return ""
    try:
        return files.location(text)
    except ValueError as error:
        raise ConfigError(f"{given.origin}: {error}") from None
