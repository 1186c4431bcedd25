# gunicorn's flags, so that `gunicorn` in a script can be replaced by `bigtop serve`.
#
# Rule: only those are here that no option of ours has. They are understood, but not shown by --help.

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Final

from bigtop.config.gunicorn.layer import layer
from bigtop.config.gunicorn.setting import Setting
from bigtop.config.gunicorn.settings import SETTINGS
from bigtop.config.serve.options import OPTIONS
from bigtop.config.serve.settings import Layer

if TYPE_CHECKING:
    import click

_OURS: Final = frozenset(flag for option in OPTIONS for flag in option.flags)
_THEIRS: Final = {
    setting.name: flags
    for setting in SETTINGS.values()
    if (flags := [flag for flag in setting.flags if flag not in _OURS])
}
FLAGS: Final = frozenset(flag for flags in _THEIRS.values() for flag in flags)


def parameters() -> list[click.Parameter]:
    return [_parameter(SETTINGS[name], flags) for name, flags in _THEIRS.items()]


def _parameter(setting: Setting, flags: list[str]) -> click.Option:
    import click  # here: most command lines do without

    name = _parameter_name(setting.name)
    if not setting.takes:
        return click.Option([*flags, name], is_flag=True, default=None, hidden=True)
    return click.Option(
        [*flags, name], metavar=setting.takes, multiple=_is_many(setting), default=None, hidden=True
    )


def kinds() -> Iterator[tuple[list[str], str, bool, bool]]:
    """Return of each parameter its flags, its name, whether these take a value, and whether several."""
    for name, flags in _THEIRS.items():
        setting = SETTINGS[name]
        yield flags, _parameter_name(name), bool(setting.takes), _is_many(setting)


def _is_many(setting: Setting) -> bool:
    return setting.default == []


def _parameter_name(name: str) -> str:
    return f"gunicorn_{name}"


def collect(params: Mapping[str, object], where: str) -> Layer:
    """Return what click found; `where` ends the origin's name. ConfigError for flags that are refused."""
    values, origins = given(params)
    return layer(values, {name: origin + where for name, origin in origins.items()})


def given(params: Mapping[str, object]) -> tuple[dict[str, object], dict[str, str]]:
    """Return what click found, and the flag of each, by gunicorn's names."""
    values: dict[str, object] = {}
    origins: dict[str, str] = {}
    for name, flags in _THEIRS.items():
        match params.get(_parameter_name(name)):
            case None | ():
                continue
            case bool():
                values[name] = SETTINGS[name].switched
            case tuple(several):
                values[name] = list(several)
            case value:
                values[name] = value
        origins[name] = next(flag for flag in flags if flag.startswith("--"))
    return values, origins
