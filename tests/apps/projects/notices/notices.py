# Notices: a Flask application that waits for others while it answers.

from __future__ import annotations

import time

from flask import Flask, Response, request
from witness import page

app = Flask(__name__)


@app.get("/wait")
def wait() -> str:
    time.sleep(0.05)
    return "waited"


@app.get("/patched")
def patched() -> dict[str, object]:
    return {"sleep": time.sleep.__module__}


@app.route("/environ", methods=["GET", "POST"])
def environ() -> Response:
    return Response(page(request.environ), content_type="application/json")
