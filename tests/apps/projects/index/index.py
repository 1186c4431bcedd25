# Index of packages: a Flask application that answers over a socket in the file system.

from __future__ import annotations

from flask import Flask, Response, request
from witness import page

app = Flask(__name__)


@app.get("/simple/<name>/")
def simple(name: str) -> str:
    return f"<a href='{request.url_root}files/{name}'>{name}</a>"


@app.route("/environ", methods=["GET", "POST"])
def environ() -> Response:
    return Response(page(request.environ), content_type="application/json")
