# Kinds of challenges, by the words of CAs (RFC 8555, 8.3 and 8.4; RFC 8737).
#
# They are apart from what meets them, so that who gives orders needs no cryptography.

from __future__ import annotations

from typing import Final

HTTP: Final = "http-01"
ALPN: Final = "tls-alpn-01"
DNS: Final = "dns-01"
