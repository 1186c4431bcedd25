# Settings of gunicorn as they finally are, for hooks that look at cfg.

from __future__ import annotations

import json

from bigtop.config.gunicorn.setting import AppName, ByApplication, Hook, Setting, Taken
from bigtop.config.gunicorn.settings import SETTINGS
from bigtop.config.serve import options as o
from bigtop.config.serve.settings import ServeConfig
from bigtop.supervisor.policy.scaling import Bounds
from bigtop.system.files import workdir

_TEXTS = (o.BIND.name, o.ENV.name, o.BACKEND.name)  # that hooks are given as they were written


def effective(config: ServeConfig) -> str:
    """Return the settings as JSON, by gunicorn's names; hooks are none of them, nor what files alone have."""
    values = {
        name: _value(config, setting)
        for name, setting in SETTINGS.items()
        if not isinstance(setting.fate, (Hook, ByApplication))
    }
    values["chdir"] = values["chdir"] or workdir.current()
    return json.dumps(values, default=str)


def _value(config: ServeConfig, setting: Setting) -> object:
    match setting.fate:
        case AppName():
            return config.app
        case Taken(option):
            given = config.settings[option.name]
            file = config.file
            if option.name in _TEXTS:
                return list(given.given.texts) if option.many else given.given.texts[-1]
            by_file = file is not None and given.given == file.layer.get(option.name)
            if file is not None and by_file and setting.name in file.values:
                return file.values[setting.name]  # of the type in which it was written
            return _plain(given.value)
    return setting.default


def _plain(value: object) -> object:
    match value:
        case "on" | "off":
            return value == "on"
        case float() if value.is_integer():
            return int(value)
        case Bounds():
            return value.least
        case tuple():
            pairs = [item for item in value if isinstance(item, tuple)]
            return dict(pairs) if pairs else list(value)
    return value
