# Worker class of the archive: uvicorn's, which is told where the site lies.

from __future__ import annotations

import os
from typing import Any, ClassVar

from uvicorn.workers import UvicornWorker


class PlacedWorker(UvicornWorker):
    CONFIG_KWARGS: ClassVar[dict[str, Any]] = {"root_path": os.getenv("ARCHIVE_PLACE", "")}
