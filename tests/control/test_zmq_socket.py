# A ZeroMQ socket on the event loop that rests after some messages.

from __future__ import annotations

import asyncio

import zmq

from bigtop.control.server.zmq_socket import EdgeSocket


def test_it_rests_after_a_batch_however_many_there_are_and_whatever_is_sent() -> None:
    pause = 0.05

    async def received() -> list[tuple[bytes, float]]:
        context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        loop = asyncio.get_running_loop()
        sender, receiver = context.socket(zmq.PAIR), context.socket(zmq.PAIR)
        receiver.bind("inproc://x")
        sender.connect("inproc://x")
        for number in range(25):
            sender.send(b"%d" % number)
        taken: list[tuple[bytes, float]] = []
        everything = loop.create_future()

        def take(frames: list[zmq.Frame]) -> None:
            taken.append((frames[0].bytes, loop.time()))
            edge.send([b"answer"])
            if len(taken) == 25:
                everything.set_result(None)

        edge = EdgeSocket(receiver, take, batch=10, pause=pause)
        await asyncio.wait_for(everything, 30)
        edge.close(0)
        context.destroy(linger=0)
        return taken

    taken = asyncio.run(received())
    assert [frame for frame, _ in taken] == [b"%d" % number for number in range(25)]
    times = [when for _, when in taken]
    # A timer of the loop may be early by what its clock resolves.
    assert times[10] - times[9] > pause * 0.9
    assert times[20] - times[19] > pause * 0.9
