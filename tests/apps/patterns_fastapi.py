"""A FastAPI site with few routes, of which some are included below a prefix or mounted."""

from fastapi import APIRouter, FastAPI, WebSocket

app = FastAPI()
shop = APIRouter(prefix="/items")
other = FastAPI()


@app.get("/articles/{number}/")
async def article(number: int):
    return number


@shop.get("/{number}")
async def item(number: int):
    return number


@app.get("/fail/{number}")
def fail(number: int):
    raise RuntimeError(number)


@other.get("/things/{number}")
async def thing(number: int):
    return number


@app.websocket("/socket/{number}")
async def talk(websocket: WebSocket, number: int):
    await websocket.accept()
    await websocket.close()


app.include_router(shop, prefix="/shop")
app.mount("/other", other)
