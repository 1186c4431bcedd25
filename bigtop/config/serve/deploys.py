# Deploys of a site: what a new generation has to show, from options.

from __future__ import annotations

from bigtop.config.serve import options as o
from bigtop.config.serve.option import Option
from bigtop.config.serve.settings import DEFAULT, ServeConfig
from bigtop.errors import ConfigError
from bigtop.supervisor.policy.comparison import Thresholds
from bigtop.supervisor.policy.deploy import DeployPolicy


def policy(config: ServeConfig, scheme: str) -> DeployPolicy:
    """Return what a deploy has to show; `scheme` is how clients speak. ConfigError: options that make no
    sense so."""
    _refuse_alone(config, o.HEALTH_CHECK, (o.HEALTH_CHECK_HEADER,))
    _refuse_alone(config, o.CHECK_COMMAND, (o.CHECK_TIMEOUT,))
    _refuse_alone(config, o.CANARY_TIME, (o.CANARY_ERRORS, o.CANARY_LATENCY, o.CANARY_REQUESTS))
    return DeployPolicy(
        health=config[o.HEALTH_CHECK],
        scheme=scheme,
        headers=config[o.HEALTH_CHECK_HEADER],
        command=config[o.CHECK_COMMAND] or "",
        command_timeout=config[o.CHECK_TIMEOUT],
        keep_generations=config[o.KEEP_GENERATIONS],
        canary_time=config[o.CANARY_TIME],
        thresholds=Thresholds(config[o.CANARY_ERRORS], config[o.CANARY_LATENCY], config[o.CANARY_REQUESTS]),
    )


def holding(config: ServeConfig) -> str | None:
    """Return the flag for which workers have to be ready without clients; None: there is no such."""
    return next(
        (option.flag for option in (o.HEALTH_CHECK, o.CHECK_COMMAND, o.CANARY_TIME) if config[option]), None
    )


def _refuse_alone(config: ServeConfig, main: Option[object], others: tuple[Option[object], ...]) -> None:
    for option in others:
        origin = config.settings[option.name].given.origin
        if not config[main] and origin != DEFAULT:
            raise ConfigError(f"{origin}: does nothing without {main.flag}")
