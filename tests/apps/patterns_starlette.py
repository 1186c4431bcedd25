"""A Starlette site with few routes, of which some are mounted."""

from pathlib import Path

from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles


async def article(request):
    return PlainTextResponse(f"article {request.path_params['number']}")


async def fail(request):
    raise RuntimeError(request.path_params["number"])


app = Starlette(
    routes=[
        Route("/articles/{number:int}/", article),
        Mount("/shop", routes=[Route("/items/{number:int}", article)]),
        Mount("/of/{tenant}", routes=[Route("/items/{number:int}", article)]),
        Mount("/files", StaticFiles(directory=Path(__file__).parent)),
        Route("/fail/{number:int}", fail),
    ]
)
