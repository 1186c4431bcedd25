"""A WSGI application that takes as many milliseconds as the path says, and tells how many it took indeed."""

import time


def app(environ, start_response):
    began = time.perf_counter()
    time.sleep(float(environ["PATH_INFO"].strip("/")) / 1000)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str((time.perf_counter() - began) * 1000).encode()]
