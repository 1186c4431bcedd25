# Security of a cluster, over a real hub: who may say what, and what nobody believes.
#
# One hub and one controller are shared. A hub that somebody captured is played by a user who may say and
# hear everything, as a hub may.

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bigtop.cluster import claims, keys, link
from bigtop.cluster.keys import USER, ForgedError, KeyPair
from bigtop.cluster.places import Identity, read_token
from bigtop.control.addresses import UnreachableError
from bigtop.errors import CommandError
from tests.support.cluster import Cluster

CALM = {"boot": "x", "sequence": 1, "version": "1", "epoch": "", "apps": {}, "watchers": {}}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with tempfile.TemporaryDirectory() as folder, Cluster(Path(folder)) as running:
        yield running


def heard(cluster: Cluster, identity: Identity, use: Callable[[Any], Any]) -> Any:
    """Connect as somebody, and return what `use` of the connection comes to."""

    async def run() -> Any:
        client = await link.connected(cluster.authority.cluster, identity)
        try:
            return await use(client)
        finally:
            await client.close()

    return asyncio.run(run())


def hub_of(cluster: Cluster) -> Identity:
    """Return somebody who may all that a hub may: say anything to anybody, and hear everything."""
    return cluster.authority.identity("captured", claims.CONTROLLER)


def signed(cluster: Cluster, node: str, by: KeyPair | None = None, /, **said: Any) -> bytes:
    what = {
        "app": "site",
        "artifact": {"kind": "folder", "source": "/nowhere", "hash": "0" * 64},
        "prepare": "",
    }
    about = {"cluster": "test", "to": node, "kind": "assign", "app": "site", "number": 1, "revision": 1}
    body = {**about, "what": what, "epoch": 1, "is_first": False, **said}
    return (by or cluster.authority.signer).signed(body)


@pytest.fixture(scope="module")
def agent(cluster: Cluster) -> str:
    """Return the name of a node with an agent, whose supervisor is not there."""
    cluster.join("guarded")
    folder = str(cluster.folder / "guarded")
    words = ("-P", "-m", "bigtop.cluster.agent", folder, f"ipc://{folder}/nobody", "operate")
    cluster.start("agent", sys.executable, *words)
    cluster.wait(lambda told: told["nodes"]["guarded"]["state"] == "alive")
    return "guarded"


def told(cluster: Cluster, node: str, data: bytes) -> dict[str, Any]:
    """Return what a node answers to a word that came by a hub."""

    async def use(client: Any) -> Any:
        return json.loads((await client.request(f"bt.test.cmd.{node}", data, timeout=30)).data)

    return dict(heard(cluster, hub_of(cluster), use))


@pytest.mark.parametrize(
    "forbidden",
    ["bt.test.hb.two", "bt.test.cmd.two", "bt.test.op", "bt.test.ask.two", "$JS.API.INFO", "$KV.bigtop.x"],
)
def test_the_key_of_a_node_cannot_speak_for_another(cluster: Cluster, forbidden: str) -> None:
    one = cluster.join("one").identity
    cluster.join("two")

    async def use(client: Any) -> list[str]:
        errors: list[str] = []
        seen = asyncio.Event()

        async def note(error: Exception) -> None:
            errors.append(str(error))
            seen.set()

        client._error_cb = note
        await client.publish("bt.test.hb.one", json.dumps(CALM).encode())
        await client.flush(30)
        assert errors == []
        await client.publish(forbidden, json.dumps({**CALM, "boot": "forged"}).encode())
        await asyncio.wait_for(seen.wait(), 30)
        return errors

    (error,) = heard(cluster, one, use)
    assert "permissions violation for publish" in error.lower()
    assert (
        cluster.wait(lambda told: told["nodes"]["one"]["state"] == "alive")["nodes"]["two"]["state"]
        != "alive"
    )


@pytest.mark.parametrize("secret", ["bt.test.cmd.two", "bt.test.>", "_INBOX.>", "$KV.>"])
def test_a_node_cannot_hear_what_is_for_others(cluster: Cluster, secret: str) -> None:
    one = cluster.join("one").identity

    async def use(client: Any) -> str:
        seen: asyncio.Future[str] = asyncio.get_running_loop().create_future()

        async def note(error: Exception) -> None:
            if not seen.done():
                seen.set_result(str(error))

        client._error_cb = note
        await client.subscribe(secret)
        return await asyncio.wait_for(seen, 30)

    assert "permissions violation for subscription" in heard(cluster, one, use).lower()


def test_somebody_without_claims_of_this_cluster_is_not_let_in(cluster: Cluster) -> None:
    pair, stranger = KeyPair.made(USER), KeyPair.made(keys.ACCOUNT)
    jwt = claims.of_user(stranger, pair.public, "x", claims.CONTROLLER)
    with pytest.raises(UnreachableError, match=r"(?i)authorization"):
        heard(cluster, Identity("x", pair.seed, jwt), lambda client: client.flush(10))
    one = cluster.join("one").identity
    with pytest.raises(UnreachableError, match=r"(?i)authorization"):  # claims alone are not a key
        heard(cluster, Identity("one", pair.seed, one.jwt), lambda client: client.flush(10))


def test_a_captured_hub_cannot_have_a_node_run_anything(cluster: Cluster, agent: str) -> None:
    forged = signed(cluster, agent, KeyPair.made(USER), number=9, epoch=9)
    answer = told(cluster, agent, forged)
    assert answer["status"] == "refused"
    assert "whose word does not count" in answer["reason"]
    changed = json.loads(signed(cluster, agent, number=9))
    changed["body"] = changed["body"].replace("/nowhere", "/tmp")
    for data in (json.dumps(changed).encode(), b"{}", b"\xff", b"[]", b'"x"', b"null"):
        assert "no signature that holds" in told(cluster, agent, data)["reason"]
    for other in ({"to": "two"}, {"cluster": "other"}):
        assert told(cluster, agent, signed(cluster, agent, **other))["reason"] == "signed for somebody else"
    run = {"kind": "command", "command": "quit", "properties": {}}
    assert (
        "does not count" in told(cluster, agent, signed(cluster, agent, KeyPair.made(USER), **run))["reason"]
    )
    assert not (cluster.folder / agent / "state.json").exists()


def test_old_epochs_are_refused_and_what_comes_twice_acts_once(cluster: Cluster, agent: str) -> None:
    assert told(cluster, agent, signed(cluster, agent, epoch=1, number=3)) == {"status": "ok", "word": "new"}
    again = told(cluster, agent, signed(cluster, agent, epoch=1, number=3))
    assert again == {"status": "ok", "word": "repeated"}
    assert "older than 3" in told(cluster, agent, signed(cluster, agent, epoch=1, number=2))["reason"]
    seal = cluster.authority.signer.signed({"kind": "epoch", "cluster": "test", "epoch": 2}).decode()
    command = {"kind": "command", "command": "status", "properties": {}, "seal": seal}
    told(cluster, agent, signed(cluster, agent, epoch=2, number=1, **command))
    reason = told(cluster, agent, signed(cluster, agent, epoch=1, number=4))["reason"]
    assert reason == "epoch 1 is over, this is 2"
    stored = json.loads((cluster.folder / agent / "state.json").read_text())
    assert stored["fence"]["epoch"] == 2
    # The controller hears of it by the node, and leads in a higher one from then on.
    cluster.wait(lambda told: told["epoch"] > 2)


def test_a_token_lets_one_node_in_once_and_an_expired_one_nobody(cluster: Cluster) -> None:
    token = cluster.authority.token(60)
    cluster.join("three", token)
    with pytest.raises(CommandError, match="the token was used before"):
        cluster.join("four", token)
    with pytest.raises(UnreachableError, match=r"(?i)authorization|expired"):
        cluster.join("four", cluster.authority.token(-5))
    with pytest.raises(CommandError, match="there is a node three with another key"):
        identity_of_another(cluster, "three")
    # One whose claims were made to last although it has expired.
    number = read_token(cluster.authority.token(-5))[1].name
    identity = cluster.authority.identity(number, claims.joiner("test", number))

    async def use(client: Any) -> Any:
        said = json.dumps({"name": "five", "tags": [], "key": "x"}).encode()
        return (await client.request(f"bt.test.join.{number}", said, timeout=30)).data

    answer = keys.opened(heard(cluster, identity, use), {cluster.authority.signer.public})
    assert answer["error"] == "the token has expired"
    assert not {"four", "five"} & set(cluster.ask("status")["nodes"])


def test_who_joins_has_a_name_and_a_key_of_its_own(cluster: Cluster) -> None:
    known, token = cluster.join("six").identity, cluster.authority.token(60)
    identity, mine = read_token(token)[1], KeyPair.made(USER).public
    right = {"name": "seven", "tags": ["web"], "key": mine}

    async def use(client: Any) -> list[str]:
        found = []
        for said in (
            {**right, "name": "a b"},
            {**right, "tags": ["a.>"]},
            {**right, "tags": ["a"] * 33},
            {**right, "key": "x"},
            {**right, "key": KeyPair.made(keys.ACCOUNT).public},
            {**right, "key": KeyPair.of(known.seed).public},
            {**right, "tags": 7},
            [],
        ):
            subject = f"bt.test.join.{identity.name}"
            reply = await client.request(subject, json.dumps(said).encode(), timeout=30)
            found.append(str(keys.opened(reply.data, {cluster.authority.signer.public})["error"]))
        return found

    told = heard(cluster, identity, use)
    assert [text.partition(":")[0] for text in told] == [
        *["names of nodes and tags have letters, digits, _ and -; 32 tags at most"] * 3,
        *["this is no key of a node"] * 2,
        "this key is that of a node with another name",
        *["no sense in it"] * 2,
    ]
    assert cluster.join("seven", token).identity.name == "seven", "it was not used up"


@pytest.mark.parametrize("size", [claims.ANSWER, claims.ANSWER + 1])
def test_a_node_cannot_say_more_at_once_than_an_answer_takes(cluster: Cluster, size: int) -> None:
    async def use(client: Any) -> bool:
        client._max_payload = 2 * size  # nats-py would hold it back itself
        await client.publish("bt.test.hb.one", b"x" * size)

        async def closed() -> None:
            while not client.is_closed:
                await asyncio.sleep(0.01)

        answered, hung_up = asyncio.create_task(client.flush(30)), asyncio.create_task(closed())
        await asyncio.wait({answered, hung_up}, return_when=asyncio.FIRST_COMPLETED)
        is_answered = answered.done() and not answered.cancelled() and answered.exception() is None
        for task in (answered, hung_up):
            task.cancel()
        await asyncio.gather(answered, hung_up, return_exceptions=True)
        return is_answered

    assert heard(cluster, cluster.join("one").identity, use) is (size == claims.ANSWER)


def identity_of_another(cluster: Cluster, name: str) -> None:
    from bigtop.cluster import asking

    asyncio.run(asking.join(cluster.authority.token(60), "", name, (), cluster.folder / "elsewhere"))


def test_what_a_person_asked_cannot_be_asked_again_by_who_heard_it(cluster: Cluster) -> None:
    cluster.join("one")
    listening = hub_of(cluster)

    async def use(client: Any) -> Any:
        words = await client.subscribe("bt.test.op")
        await client.flush(10)
        from bigtop.cluster import asking

        await asking.ask(cluster.authority, "cordon", {"node": "one", "cordoned": True})
        hello, asked = await words.next_msg(30), await words.next_msg(30)
        assert hello.data == b"hello"
        await asking.ask(cluster.authority, "cordon", {"node": "one", "cordoned": False})
        replayed = (await client.request("bt.test.op", asked.data, timeout=30)).data
        forged = KeyPair.made(USER).signed({"kind": "cordon", "node": "one", "cordoned": True})
        return replayed, (await client.request("bt.test.op", forged, timeout=30)).data

    replayed, forged = heard(cluster, listening, use)
    trusted = {cluster.authority.signer.public}
    assert "was asked before" in keys.opened(replayed, trusted)["reason"]
    assert "does not count" in keys.opened(forged, trusted)["reason"]
    assert cluster.ask("status")["nodes"]["one"]["cordoned"] is False
    with pytest.raises(CommandError, match="there is no node nobody"):
        cluster.ask("cordon", node="nobody", cordoned=True)


@pytest.fixture
def spoiled(tmp_path: Path) -> Iterator[Cluster]:
    """One of a test's own, in which nobody leads any more behind it."""
    with Cluster(tmp_path) as running:
        yield running


def test_a_leader_that_was_asleep_leads_no_more_and_a_forged_store_is_not_believed(spoiled: Cluster) -> None:
    cluster = spoiled
    cluster.join("known")
    epoch = cluster.ask("status")["epoch"]
    cluster.start_controller("b")
    first = cluster.processes["controller-a"]
    os.kill(first.pid, signal.SIGSTOP)
    try:
        found = cluster.wait(lambda told: told["leader"] == "b")
        assert found["epoch"] > epoch
        assert "known" in found["nodes"]
    finally:
        os.kill(first.pid, signal.SIGCONT)
    cluster.wait(lambda told: told["leader"] == "b" and "a does not lead" in cluster.log())

    async def use(client: Any) -> None:
        bucket = await client.jetstream().key_value("bigtop")
        await bucket.put("node.evil", KeyPair.made(USER).signed({"key": "node.evil", "value": {}}))

    heard(cluster, hub_of(cluster), use)
    for name in ("controller-a", "controller-b"):
        cluster.processes[name].terminate()
        cluster.processes[name].wait(60)
    cluster.start_controller("c")

    def is_told(_told: Any) -> bool:
        raise AssertionError("it leads with a store that somebody else wrote to")

    until = "the store was changed by somebody else: node.evil"
    while until not in cluster.log():
        with pytest.raises(UnreachableError):
            is_told(cluster.ask_once("status"))


def test_signed_words_are_opened_by_nobody_but_who_they_are_of() -> None:
    pair = KeyPair.made(USER)
    again = KeyPair.of(pair.seed)
    assert (again.public, again.seed) == (pair.public, pair.seed)
    assert pair.public.startswith("U")
    assert pair.seed.startswith("SU")
    assert keys.opened(pair.signed({"a": 1}), {pair.public}) == {"a": 1}
    for data in (b"", b"1", pair.signed({"a": 1})[:-9], json.dumps({"by": pair.public}).encode()):
        with pytest.raises(ForgedError):
            keys.opened(data, {pair.public})


def test_a_node_that_beats_without_end_is_read_a_few_times(cluster: Cluster) -> None:
    loud = cluster.join("loud").identity
    cluster.join("calm")
    many = 1000

    async def use(client: Any) -> None:
        for number in range(many):
            said = {**CALM, "sequence": number + 1, "version": str(number + 1)}
            await client.publish("bt.test.hb.loud", json.dumps(said).encode())
        await client.flush(30)

    heard(cluster, loud, use)
    told = cluster.wait(lambda told: told["nodes"]["loud"]["version"] != "")
    assert "loud beats more often than it is heard" in cluster.log()
    assert int(told["nodes"]["loud"]["version"]) < many, "the last ones were not read"
    calm = cluster.join("calm").identity
    heard(cluster, calm, lambda client: client.publish("bt.test.hb.calm", json.dumps(CALM).encode()))
    cluster.wait(lambda told: told["nodes"]["calm"]["state"] != "lost" and told["nodes"]["calm"]["version"])
