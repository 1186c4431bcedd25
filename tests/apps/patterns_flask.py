"""A Flask site with few routes, one with many, and one below paths that clients choose."""

from flask import Blueprint, Flask

app = Flask(__name__)
shop = Blueprint("shop", __name__, url_prefix="/shop")


@app.get("/articles/<int:number>/")
def article(number):
    return f"article {number}"


@shop.get("/items/<int:number>")
def item(number):
    return f"item {number}"


@app.get("/fail/<int:number>")
def fail(number):
    raise RuntimeError(number)


app.register_blueprint(shop)

many = Flask("many")
for _number in range(100):
    many.add_url_rule(f"/{_number}/<path:rest>", f"at{_number}", lambda rest: rest)


def tenants(environ, start_response):
    """The site below the first part of each path."""
    _, tenant, rest = environ["PATH_INFO"].split("/", 2)
    environ["SCRIPT_NAME"], environ["PATH_INFO"] = f"/{tenant}", f"/{rest}"
    return app(environ, start_response)
