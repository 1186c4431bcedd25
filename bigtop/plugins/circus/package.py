# Package `circus` for plugins that run without it: its logger, and the version whose words are understood.

from __future__ import annotations

from bigtop.log import logger as get_logger

__version__ = "0.19.0"
version_info = (0, 19, 0)
logger = get_logger("bigtop.circus")
