# The environment as layers, from the weakest to the strongest:
#
#     $WEB_CONCURRENCY, $PORT, $FORWARDED_ALLOW_IPS,   what platforms and gunicorn call them
#     $SCRIPT_NAME
#     $GUNICORN_CMD_ARGS                               flags, as on gunicorn's command line
#     $BIGTOP_WORKERS ...                              one variable for each option
#     $BIGTOP_CMD_ARGS                                 flags, as on the command line
#
# Rule: a variable that is empty counts as not set (compose files and unit files make them so). An option that
# may be repeated takes several words, quoted as in a shell.

from __future__ import annotations

from collections.abc import Mapping

from bigtop.config.serve import flags
from bigtop.config.serve.options import BIND, FORWARDED_ALLOW_IPS, OPTIONS, ROOT_PATH, WORKERS
from bigtop.config.serve.settings import Given, Layer
from bigtop.errors import ConfigError

CMD_ARGS = "BIGTOP_CMD_ARGS"
GUNICORN_CMD_ARGS = "GUNICORN_CMD_ARGS"
# variable -> (option, the text before its value)
_CONVENTIONS = {
    "WEB_CONCURRENCY": (WORKERS, ""),
    "PORT": (BIND, "0.0.0.0:"),
    "FORWARDED_ALLOW_IPS": (FORWARDED_ALLOW_IPS, ""),
    "SCRIPT_NAME": (ROOT_PATH, ""),
}


def conventions(environ: Mapping[str, str]) -> Layer:
    return {
        option.name: Given((before + environ[variable],), f"${variable}")
        for variable, (option, before) in _CONVENTIONS.items()
        if environ.get(variable)
    }


def flags_and_variables(environ: Mapping[str, str]) -> list[Layer]:
    """Return the others; raises ConfigError when words cannot be told apart or a flag is unknown."""
    return [_cmd_args(environ, GUNICORN_CMD_ARGS), _variables(environ), _cmd_args(environ, CMD_ARGS)]


def _variables(environ: Mapping[str, str]) -> Layer:
    layer: dict[str, Given] = {}
    for option in OPTIONS:
        text = environ.get(option.variable)
        if text:
            texts = tuple(words_of(text, option.variable)) if option.many else (text,)
            layer[option.name] = Given(texts, f"${option.variable}")
    return layer


def _cmd_args(environ: Mapping[str, str], variable: str) -> Layer:
    return flags.parse(words_of(environ.get(variable, ""), variable), f"${variable}")


def words_of(text: str, variable: str) -> list[str]:
    """Return the words of a variable, quoted as in a shell; ConfigError names it."""
    if not text:
        return []
    import shlex

    try:
        return shlex.split(text)
    except ValueError as error:
        raise ConfigError(f"${variable}: {str(error).lower()} in {text!r}") from error
