# What an application may count on around its call: tasks, contexts, cancellation, timeouts, task groups. Each
# check returns what it saw, so that two servers can be compared.

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import sniffio

colour: contextvars.ContextVar[str] = contextvars.ContextVar("colour", default="none")
seen: list[Any] = []


async def app(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] != "http":
        raise NotImplementedError
    check: Callable[[], Awaitable[object]] = CHECKS[scope["path"].strip("/")]
    body = repr(await check()).encode()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})


async def current_task() -> object:
    before = asyncio.current_task()
    await asyncio.sleep(0)
    await asyncio.sleep(0.01)
    after = asyncio.current_task()
    assert isinstance(before, asyncio.Task)
    return before is after, before in asyncio.all_tasks(), before.get_loop() is asyncio.get_running_loop()


async def a_task_each() -> object:
    task = asyncio.current_task()
    known = any(task is other for other in seen)
    seen.append(task)
    return known


async def contexts() -> object:
    """Nothing of an earlier request is seen; what is set lasts over suspension and reaches child tasks."""
    before = colour.get()
    colour.set("red")
    await asyncio.sleep(0)

    async def child() -> tuple[str, str]:
        inherited = colour.get()
        colour.set("blue")
        return inherited, colour.get()

    inside = await asyncio.create_task(child())
    return before, inside, colour.get()


async def reset_token() -> object:
    token = colour.set("red")
    await asyncio.sleep(0)
    colour.reset(token)  # fails in another context than that of set()
    return colour.get()


async def timeout_before_suspension() -> object:
    try:
        async with asyncio.timeout(0.01):
            await asyncio.sleep(10)
    except TimeoutError:
        task = asyncio.current_task()
        assert task is not None
        return "timed out", task.cancelling()
    return "not timed out"


async def cancelled_by_a_child() -> object:
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().call_soon(task.cancel, "why")
    try:
        await asyncio.sleep(10)
    except asyncio.CancelledError as error:
        task.uncancel()
        return "cancelled", error.args
    return "not cancelled"


async def task_group() -> object:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(asyncio.sleep(0.01, number)) for number in range(3)]
    return [task.result() for task in tasks]


async def failing_task_group() -> object:
    async def fail() -> None:
        raise ValueError("inside")

    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(fail())
            await asyncio.sleep(10)
    except ExceptionGroup as error:
        return [str(one) for one in error.exceptions]
    return "no failure"


async def anyio_group() -> object:
    results: list[int] = []

    async def work(number: int) -> None:
        await anyio.sleep(0.001 * number)
        results.append(number)

    async with anyio.create_task_group() as group:
        for number in range(3):
            group.start_soon(work, number)
    return sniffio.current_async_library(), results


async def anyio_cancellation() -> object:
    with anyio.move_on_after(0.01) as scope:
        await anyio.sleep(10)
    with anyio.CancelScope() as inner:
        inner.cancel()
        await anyio.sleep(0)
    return scope.cancelled_caught, inner.cancelled_caught


async def anyio_threads() -> object:
    colour.set("green")
    return await anyio.to_thread.run_sync(colour.get), await asyncio.to_thread(colour.get)


async def shielded() -> object:
    done: list[str] = []

    async def work() -> None:
        await asyncio.sleep(0.01)
        done.append("done")

    task = asyncio.ensure_future(work())
    try:
        await asyncio.wait_for(asyncio.shield(task), 0.001)
    except TimeoutError:
        await task
    return done


CHECKS: dict[str, Callable[[], Awaitable[object]]] = {
    check.__name__: check
    for check in (
        current_task,
        a_task_each,
        contexts,
        reset_token,
        timeout_before_suspension,
        cancelled_by_a_child,
        task_group,
        failing_task_group,
        anyio_group,
        anyio_cancellation,
        anyio_threads,
        shielded,
    )
}
