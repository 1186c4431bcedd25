# Signatures of ACME: JSON Web Signature (RFC 7515), Web Key (RFC 7517) and its thumbprint (RFC 7638).
#
# Rules: account keys are ECDSA on P-256, signatures ES256. JSON is written without blanks and in one order,
# so that the same words are the same bytes.

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Mapping

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

_SIZE = 32  # bytes of a number on P-256
Words = Mapping[str, object]


def encoded(data: bytes) -> str:
    """Return base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def decoded(text: str) -> bytes:
    """Raises ValueError."""
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("this is no base64url") from None


def jwk(key: ec.EllipticCurvePrivateKey) -> dict[str, str]:
    """Return the public half of an account key."""
    numbers = key.public_key().public_numbers()
    x, y = (encoded(number.to_bytes(_SIZE, "big")) for number in (numbers.x, numbers.y))
    return {"crv": "P-256", "kty": "EC", "x": x, "y": y}


def thumbprint(public: Words) -> str:
    """Return the thumbprint of a public key that jwk() made."""
    return encoded(hashlib.sha256(_json(public)).digest())


def signed(key: ec.EllipticCurvePrivateKey, head: Words, payload: Words | None) -> bytes:
    """Return the body of a POST: `head` names url, nonce, and jwk or kid; no payload is a POST-as-GET."""
    protected = encoded(_json({"alg": "ES256", **head}))
    content = "" if payload is None else encoded(_json(payload))
    r, s = decode_dss_signature(key.sign(f"{protected}.{content}".encode(), ec.ECDSA(hashes.SHA256())))
    signature = r.to_bytes(_SIZE, "big") + s.to_bytes(_SIZE, "big")
    return _json({"payload": content, "protected": protected, "signature": encoded(signature)})


def binding(public: Words, kid: str, secret: bytes, url: str) -> dict[str, str]:
    """Return what binds a new account to one that the CA has already (RFC 8555, 7.3.4)."""
    protected = encoded(_json({"alg": "HS256", "kid": kid, "url": url}))
    content = encoded(_json(public))
    signature = hmac.digest(secret, f"{protected}.{content}".encode(), "sha256")
    return {"payload": content, "protected": protected, "signature": encoded(signature)}


def _json(words: Words) -> bytes:
    return json.dumps(words, separators=(",", ":"), sort_keys=True).encode()
