# Object `cfg` of hooks: every setting by gunicorn's name, as it finally is.

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any


class Cfg:
    """`settings` are values in JSON; `namespace` is what a file defines, hooks and classes included."""

    def __init__(self, settings: str, namespace: Mapping[str, Any]) -> None:
        self._values: dict[str, Any] = json.loads(settings)
        self._namespace = namespace
        for name, number in (("user", os.geteuid()), ("group", os.getegid())):
            if name in self._values:
                self._values[name] = number

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        if name in self._values:
            return self._values[name]
        if name in self._namespace:
            return self._namespace[name]
        raise AttributeError(f"No configuration setting for: {name}")

    def set(self, name: str, value: object) -> None:
        """Change a setting for whoever looks at this object; what was made from it stays as it is."""
        self._values[name] = value

    def for_logs(self, errorlog: str | None) -> Cfg:
        """Return what loggers are told: another place for what belongs into Bigtop's log."""
        told = Cfg("{}", self._namespace)
        told._values = {**self._values, "errorlog": errorlog, "capture_output": False}
        return told

    @property
    def logger_class(self) -> Any:
        """A class as a file defines it, or the name of one."""
        given, defined = self._values.get("logger_class"), self._namespace.get("logger_class")
        is_that = isinstance(defined, type) and given == f"{defined.__module__}.{defined.__qualname__}"
        return defined if is_that else given

    @property
    def logconfig_dict(self) -> Any:
        """As a file defines it: there may be anything in it."""
        return self._values.get("logconfig_dict") or self._namespace.get("logconfig_dict") or {}

    @property
    def address(self) -> list[Any]:
        return [_address(text) for text in self._values.get("bind", ())]

    @property
    def env(self) -> dict[str, str]:
        return dict(text.split("=", 1) for text in self._values.get("raw_env", ()))

    @property
    def uid(self) -> int:
        return os.geteuid()

    @property
    def gid(self) -> int:
        return os.getegid()

    @property
    def is_ssl(self) -> bool:
        return False

    @property
    def worker_class_str(self) -> str:
        return str(self._values.get("worker_class"))


def _address(text: str) -> object:
    host, colon, port = text.rpartition(":")
    if text.startswith("unix:") or not colon or not port.isdigit():
        return text.removeprefix("unix:")
    return host.strip("[]"), int(port)
