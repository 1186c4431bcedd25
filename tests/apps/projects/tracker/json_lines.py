# Lines of JSON for a log, one shape for what servers say and one for answered requests.

from __future__ import annotations

import json
import logging


class Said(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return json.dumps(self.facts(record))

    def facts(self, record: logging.LogRecord) -> dict[str, object]:
        return {"level": record.levelname, "logger": record.name, "message": record.getMessage()}


class Answered(Said):
    def facts(self, record: logging.LogRecord) -> dict[str, object]:
        atoms = record.args
        assert isinstance(atoms, dict)
        return {
            **super().facts(record),
            "method": atoms["m"],
            "path": atoms["U"],
            "query": atoms["q"],
            "status": atoms["s"],
            "bytes": atoms["B"],
            "agent": atoms["a"],
            "referer": atoms["f"],
            "proto": atoms["H"],
            "network": atoms["{x-network}i"],
            "type": atoms["{content-type}o"],
            "host": atoms["{server_name}e"],
        }
