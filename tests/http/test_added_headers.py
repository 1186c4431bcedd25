# Fields that are added to answers: where the application said nothing.

from __future__ import annotations

from bigtop.http.answers.added_headers import SECURITY, AddedHeaders
from bigtop.http.handlers import Draft
from bigtop.http.messages import Request

ANY = Request()


def added(filter_: AddedHeaders, *headers: tuple[str, str]) -> list[tuple[str, str]]:
    draft = Draft("200 OK", list(headers), 5)
    filter_.filter(ANY, draft)
    assert draft.headers[: len(headers)] == list(headers)
    return draft.headers[len(headers) :]


def test_what_a_browser_is_told() -> None:
    secure = AddedHeaders((), True)
    assert added(secure) == list(SECURITY)
    assert added(secure, ("x-frame-options", "DENY"), ("REFERRER-POLICY", "no-referrer")) == [SECURITY[0]]
    assert added(AddedHeaders((), False)) == []


def test_frames_are_the_business_of_a_policy_that_names_them() -> None:
    secure = AddedHeaders((), True)
    policy = ("Content-Security-Policy", "default-src 'self'; Frame-Ancestors https://a.example")
    assert added(secure, policy) == list(SECURITY[:2])
    assert added(secure, ("Content-Security-Policy", "default-src 'self'")) == list(SECURITY)


def test_own_fields() -> None:
    pairs = (("Link", "</a.css>"), ("Link", "</b.js>"), ("X-Frame-Options", "DENY"))
    own = AddedHeaders(pairs, True)
    assert added(own) == [*pairs, *SECURITY[:2]]
    assert added(own, ("link", "")) == [pairs[2], *SECURITY[:2]]
    assert added(AddedHeaders(pairs, False)) == list(pairs)
