# What a keeper tells, and what workers ask it.

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bigtop.keeper.publishing import publication, questions
from bigtop.keeper.publishing.publication import Challenges, Latest, Published, Standing
from bigtop.keeper.publishing.questions import Pace

Ends = tuple[socket.socket, socket.socket]


@pytest.fixture
def ends() -> Iterator[Ends]:
    pair = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    for end in pair:
        end.setblocking(False)
    yield pair
    for end in pair:
        end.close()


def test_a_snapshot_goes_on_as_it_came_and_nobody_changes_it(ends: Ends) -> None:
    data = publication.certificates_text([Published("a", ("a.com",), "PEM" * 100_000)])
    publication.send(ends[0], publication.CERTIFICATES, 7, data)
    first = publication.receive(ends[1])
    assert first is not None
    assert (first.topic, first.generation) == ("certificates", 7)
    publication.pass_on(ends[1], first.text, first.fd)
    second = publication.receive(ends[0])
    assert second is not None
    for one in (first, second):
        assert one.content() == one.content() == data
        assert not os.get_inheritable(one.fd)
    with pytest.raises(OSError, match="not permitted"):
        os.pwrite(second.fd, b"x", 0)
    with pytest.raises(OSError, match="not permitted"):
        os.ftruncate(second.fd, 0)
    (found,) = publication.read_certificates(second.content())
    assert found == Published("a", ("a.com",), "PEM" * 100_000)
    for one in (first, second):
        os.close(one.fd)
    ends[0].close()
    assert publication.receive(ends[1]) is None


def test_who_comes_later_is_given_the_last_of_each_topic(ends: Ends) -> None:
    before = len(os.listdir("/proc/self/fd"))
    latest = Latest()
    for number, (topic, text) in enumerate([("status", b"1"), ("certificates", b"2"), ("status", b"3")]):
        publication.send(ends[0], topic, number, text)
        assert latest.take(ends[1]) is not None
    assert [(one.topic, one.generation, one.content()) for one in latest.all()] == [
        ("certificates", 1, b"2"),
        ("status", 2, b"3"),
    ]
    assert len(os.listdir("/proc/self/fd")) == before + 2
    for one in latest.all():
        publication.pass_on(ends[1], one.text, one.fd)
        passed = publication.receive(ends[0])
        assert passed is not None
        assert (passed.text, passed.content()) == (one.text, one.content())
        os.close(passed.fd)
    latest.close()
    assert len(os.listdir("/proc/self/fd")) == before
    ends[0].close()
    assert latest.take(ends[1]) is None


def test_what_is_no_snapshot_leaves_no_descriptor(ends: Ends) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for text, fds in ((b"status x", [0]), (b"status 1", []), (b"status 1", [0, 0]), (b"\xff", [0])):
        socket.send_fds(ends[0], [text], fds)
        with pytest.raises(ValueError):
            publication.receive(ends[1])
    assert len(os.listdir("/proc/self/fd")) == before
    with pytest.raises(BlockingIOError):
        publication.receive(ends[1])


def test_a_standing_and_challenges_are_read_as_they_were_written() -> None:
    standing = Standing("a", ("a.com", "b.com"), "line", 1.5, 2.5, "error", 3)
    assert publication.read_status(publication.status_text([standing])) == [standing]
    known = Challenges(publication.challenges_text({"token": "answer"}, {"a.com": "PEM"}))
    assert (known.answer("token"), known.answer("other")) == ("answer", None)
    assert (known.pair("A.com"), known.pair("b.com")) == ("PEM", None)
    assert Challenges().answer("token") is None


@pytest.mark.parametrize(
    ("path", "token"),
    [
        ("/.well-known/acme-challenge/abc", "abc"),
        ("/.well-known/acme-challenge/", None),
        ("/.well-known/acme-challenge/a/b", None),
        ("/.well-known/acme-challenge", None),
        ("/abc", None),
        ("abc", None),
    ],
)
def test_the_token_of_a_path(path: str, token: str | None) -> None:
    assert publication.token(path) == token


def test_a_question_and_its_answer(ends: Ends) -> None:
    for text in (b"answer", b""):
        reply = questions.ask(ends[0], questions.HTTP, "token")
        assert reply is not None
        question = questions.receive(ends[1])
        assert question is not None
        assert (question.kind, question.word) == ("http", "token")
        questions.answer(question, text)
        assert questions.answered(reply) == (text or None)


def test_who_asks_or_answers_may_be_gone(ends: Ends) -> None:
    reply = questions.ask(ends[0], questions.ALPN, "a.com")
    assert reply is not None
    question = questions.receive(ends[1])
    assert question is not None
    reply.close()
    questions.answer(question, b"answer")
    reply = questions.ask(ends[0], questions.ALPN, "a.com")
    assert reply is not None
    question = questions.receive(ends[1])
    assert question is not None
    question.reply.close()
    assert questions.answered(reply) is None
    ends[1].close()
    assert questions.ask(ends[0], questions.HTTP, "token") is None


def test_a_keeper_that_does_not_answer_is_not_asked_for_ever(ends: Ends) -> None:
    asked = []
    while (reply := questions.ask(ends[0], questions.HTTP, "token")) is not None:
        asked.append(reply)
        assert len(asked) < 10_000
    for reply in asked:
        assert questions.answered(reply) is None


def test_what_is_no_question_leaves_no_descriptor(ends: Ends) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for text, fds in ((b"http ../x", [0]), (b"http token", []), (b"what token", [0]), (b"http a", [0, 0])):
        socket.send_fds(ends[0], [text], fds)
        assert questions.receive(ends[1]) is None
    assert len(os.listdir("/proc/self/fd")) == before


@given(st.lists(st.tuples(st.floats(0, 2), st.sampled_from(["a", "b", "c", "../d", "", "x" * 300]))))
def test_strangers_cannot_make_workers_ask_much(asked: list[tuple[float, str]]) -> None:
    pace, now, times = Pace(), 1000.0, []
    for pause, word in asked:
        now += pause
        if pace.may_ask(word, now):
            assert word in "abc"
            assert not any(old == word and now - at < 1 for at, old in times)
            times.append((now, word))
    for number in range(100):
        if pace.may_ask(f"t{number}", now):
            times.append((now, "t"))
    assert sum(now - at < 1 for at, _ in times) <= 20
