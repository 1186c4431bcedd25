# Cards: a Flask application whose connections have to be made anew in each worker.

from __future__ import annotations

import os

import store
from flask import Flask, Response, request
from witness import page

app = Flask(__name__)
IMPORTED_IN = os.getpid()


@app.get("/card/<name>")
def card(name: str) -> dict[str, object]:
    return {"name": name, "answer": store.pool.answer(), "preloaded": os.environ["CARDS_PRELOAD"]}


@app.get("/imported")
def imported() -> dict[str, bool]:
    return {"before the fork": os.getpid() != IMPORTED_IN}


@app.route("/environ", methods=["GET", "POST"])
def environ() -> Response:
    return Response(page(request.environ), content_type="application/json")


@app.get("/port")
def port() -> str:
    return os.environ["PORT"]
