# Close codes of WebSockets (RFC 6455, 7.4.1) that are more than numbers here.

from __future__ import annotations

from typing import Final

NO_STATUS: Final = 1005  # a close frame without a code
ABNORMAL: Final = 1006  # no close frame at all
INTERNAL_ERROR: Final = 1011
SERVICE_RESTART: Final = 1012
