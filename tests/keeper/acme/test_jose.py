# Signatures, checked by the examples of their RFCs and by cryptography itself.

from __future__ import annotations

import base64
import hashlib
import hmac
import json

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from hypothesis import given
from hypothesis import strategies as st

from bigtop.keeper.acme import jose

KEY = ec.generate_private_key(ec.SECP256R1())


@given(st.binary(max_size=100))
def test_base64url_goes_back(data: bytes) -> None:
    assert jose.decoded(jose.encoded(data)) == data
    assert "=" not in jose.encoded(data)


@pytest.mark.parametrize("text", ["a", "a b=", "ü", "AAAAA"])
def test_what_is_no_base64url(text: str) -> None:
    with pytest.raises(ValueError):
        jose.decoded(text)


def test_a_signature_is_that_of_the_key_over_what_was_sent() -> None:
    for payload, content in (({"b": 1, "a": "ü"}, b'{"a":"\\u00fc","b":1}'), (None, b""), ({}, b"{}")):
        words = json.loads(jose.signed(KEY, {"url": "https://x", "nonce": "n"}, payload))
        assert sorted(words) == ["payload", "protected", "signature"]
        assert json.loads(jose.decoded(words["protected"])) == {
            "alg": "ES256",
            "nonce": "n",
            "url": "https://x",
        }
        assert jose.decoded(words["payload"]) == content
        signature = jose.decoded(words["signature"])
        assert len(signature) == 64
        numbers = (int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big"))
        signed = f"{words['protected']}.{words['payload']}".encode()
        KEY.public_key().verify(encode_dss_signature(*numbers), signed, ec.ECDSA(hashes.SHA256()))


def test_the_thumbprint_is_of_the_members_that_count_in_their_order() -> None:
    public = jose.jwk(KEY)
    text = f'{{"crv":"P-256","kty":"EC","x":"{public["x"]}","y":"{public["y"]}"}}'
    digest = hashlib.sha256(text.encode()).digest()
    assert jose.thumbprint(public) == base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def test_numbers_with_zeros_in_front_keep_their_length() -> None:
    key = ec.derive_private_key(5441, ec.SECP256R1())
    public = jose.jwk(key)
    assert (len(public["x"]), len(public["y"])) == (43, 43)


def test_a_binding_is_signed_with_the_secret_of_the_other_account() -> None:
    bound = jose.binding(jose.jwk(KEY), "kid-1", b"secret", "https://ca/new-account")
    head = json.loads(jose.decoded(bound["protected"]))
    assert head == {"alg": "HS256", "kid": "kid-1", "url": "https://ca/new-account"}
    assert json.loads(jose.decoded(bound["payload"])) == jose.jwk(KEY)
    signed = f"{bound['protected']}.{bound['payload']}".encode()
    assert jose.decoded(bound["signature"]) == hmac.digest(b"secret", signed, "sha256")
