# Analytics: a WSGI application that counts what it answers for all workers together.

from __future__ import annotations

from prometheus_client import Counter
from witness import page

answers = Counter("answers", "Requests that were answered", ["path"])


def app(environ, start_response):
    answers.labels(path=environ["PATH_INFO"]).inc()
    body = page(environ)
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]
