# Service that trains models: a WSGI application that shows what of its settings reaches it.

from __future__ import annotations

import os

from witness import page


def create():
    def app(environ, start_response):
        is_asked = environ["PATH_INFO"] == "/limit"
        body = os.environ["TRAINING_LIMIT"].encode() if is_asked else page(environ)
        start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
        return [body]

    return app
