# Deploys of a site: what a new generation has to show, from options.

from __future__ import annotations

from typing import Final

from bigtop.config.serve import options as o
from bigtop.config.serve.option import Option
from bigtop.config.serve.settings import DEFAULT, ServeConfig
from bigtop.errors import ConfigError
from bigtop.record import replace
from bigtop.supervisor.policy.deploys.comparison import Thresholds
from bigtop.supervisor.policy.deploys.deploy import DeployPolicy

_ENDLESS: Final = 86400.0  # seconds; a worker has --boot-timeout until it is ready


def policy(config: ServeConfig, scheme: str) -> DeployPolicy:
    """Return what a deploy has to show; `scheme` is how clients speak. ConfigError: options that make no
    sense so."""
    if not config[o.WARM_UP]:
        _refuse_alone(config, o.HEALTH_CHECK, (o.HEALTH_CHECK_HEADER,))
    _refuse_alone(config, o.CHECK_COMMAND, (o.CHECK_TIMEOUT,))
    _refuse_alone(config, o.CANARY_TIME, (o.CANARY_ERRORS, o.CANARY_LATENCY, o.CANARY_REQUESTS))
    return DeployPolicy(
        health=config[o.HEALTH_CHECK],
        scheme=scheme,
        headers=config[o.HEALTH_CHECK_HEADER],
        command=config[o.CHECK_COMMAND] or "",
        command_timeout=config[o.CHECK_TIMEOUT],
        warm_up=tuple(replace(check, limit=_ENDLESS) for check in config[o.WARM_UP]),
        max_surge=config[o.MAX_SURGE],
        max_unavailable=_unavailable(config),
        keep_generations=config[o.KEEP_GENERATIONS],
        canary_time=config[o.CANARY_TIME],
        thresholds=Thresholds(config[o.CANARY_ERRORS], config[o.CANARY_LATENCY], config[o.CANARY_REQUESTS]),
    )


def _unavailable(config: ServeConfig) -> int:
    if not config[o.MAX_SURGE] and not config[o.MAX_UNAVAILABLE]:
        origin = config.settings[o.MAX_SURGE.name].given.origin
        raise ConfigError(
            f"{origin}: 0 takes {o.MAX_UNAVAILABLE.flag} 1 or more: no worker could be replaced otherwise"
        )
    return config[o.MAX_UNAVAILABLE]


def holding(config: ServeConfig) -> str | None:
    """Return the flag for which workers have to be ready without clients; None: there is no such."""
    return next(
        (
            option.flag
            for option in (o.HEALTH_CHECK, o.CHECK_COMMAND, o.CANARY_TIME, o.WARM_UP)
            if config[option]
        ),
        None,
    )


def _refuse_alone(config: ServeConfig, main: Option[object], others: tuple[Option[object], ...]) -> None:
    for option in others:
        origin = config.settings[option.name].given.origin
        if not config[main] and origin != DEFAULT:
            raise ConfigError(f"{origin}: does nothing without {main.flag}")
