# What a keeper tells, and what workers ask it.

from __future__ import annotations

import os
import select
import socket
from collections.abc import Iterator
from contextlib import suppress
from threading import Thread

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bigtop.keeper.publishing import page, publication, questions
from bigtop.keeper.publishing.answers import Answers
from bigtop.keeper.publishing.publication import Challenges, Published, Standing
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


def test_a_snapshot_comes_as_it_was_and_nobody_changes_it(ends: Ends) -> None:
    data = publication.certificates_text([Published("a", ("a.com",), "PEM" * 100_000)])
    publication.send(ends[0], publication.CERTIFICATES, 7, data)
    first = publication.receive(ends[1])
    assert first is not None
    assert (first.topic, first.generation) == ("certificates", 7)
    assert first.content() == first.content() == data
    assert not os.get_inheritable(first.fd)
    with pytest.raises(OSError, match="not permitted"):
        os.pwrite(first.fd, b"x", 0)
    with pytest.raises(OSError, match="not permitted"):
        os.ftruncate(first.fd, 0)
    (found,) = publication.read_certificates(first.content())
    assert found == Published("a", ("a.com",), "PEM" * 100_000)
    os.close(first.fd)
    ends[0].close()
    assert publication.receive(ends[1]) is None


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
    standing = Standing("a", ("a.com", "b.com"), "line", 1.5, 2.5, "error", 3, ("hint",))
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
        reply = questions.ask(ends[0].fileno(), questions.HTTP, "token")
        assert reply is not None
        question = questions.receive(ends[1])
        assert question is not None
        assert (question.kind, question.word) == ("http", "token")
        questions.answer(question, text)
        assert reply.recv(100) == text
        reply.close()


def test_who_asks_or_answers_may_be_gone(ends: Ends) -> None:
    line = ends[0].fileno()
    reply = questions.ask(line, questions.ALPN, "a.com")
    assert reply is not None
    question = questions.receive(ends[1])
    assert question is not None
    reply.close()
    questions.answer(question, b"answer")
    reply = questions.ask(line, questions.ALPN, "a.com")
    assert reply is not None
    question = questions.receive(ends[1])
    assert question is not None
    question.reply.close()
    with suppress(ConnectionResetError):  # it had a question that nobody has read
        assert reply.recv(100) == b""
    reply.close()
    ends[1].close()
    assert questions.ask(line, questions.HTTP, "token") is None


def test_a_keeper_that_does_not_answer_is_not_asked_for_ever(ends: Ends) -> None:
    asked = []
    while (reply := questions.ask(ends[0].fileno(), questions.HTTP, "token")) is not None:
        asked.append(reply)
        assert len(asked) < 10_000
    for reply in asked:
        reply.close()


@pytest.fixture
def shown() -> Iterator[tuple[int, int]]:
    found = page.create()
    yield found
    for fd in found:
        os.close(fd)


def test_a_page_is_read_as_it_was_written_and_by_readers_only_read(shown: tuple[int, int]) -> None:
    written, read = shown
    assert page.read(read) == b""
    for data in (b"long" * 100_000, b"", b"short"):
        page.write(written, data)
        assert page.read(read) == page.read(read) == data
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.pwrite(read, b"x", 0)
    os.pwrite(written, b"x", 40)  # somebody is about to write
    assert page.read(read) == b""


def test_what_is_not_on_the_page_is_asked_for(ends: Ends, shown: tuple[int, int]) -> None:
    answers = Answers(shown[1], ends[0].fileno(), 30)
    page.write(shown[0], publication.challenges_text({"token": "answer"}, {"a.com": "PEM"}))
    assert (answers.answer("token"), answers.pair("A.com")) == ("answer", "PEM")
    with pytest.raises(BlockingIOError):
        questions.receive(ends[1])

    def keep() -> None:
        for text in (b"another", b"PEM 2", b""):
            select.select([ends[1]], [], [], 30)
            question = questions.receive(ends[1])
            assert question is not None
            questions.answer(question, text)

    keeper = Thread(target=keep)
    keeper.start()
    try:
        assert answers.answer("other") == "another"
        assert answers.pair("b.com") == "PEM 2"
        assert answers.answer("third") is None
        assert answers.answer("other") == "another", "a CA comes from several places at once"
    finally:
        keeper.join(60)


def test_a_keeper_that_hangs_costs_a_moment_and_is_left_alone(ends: Ends, shown: tuple[int, int]) -> None:
    answers = Answers(shown[1], ends[0].fileno())
    assert answers.answer("token") is None
    question = questions.receive(ends[1])
    assert question is not None
    question.reply.close()
    assert answers.answer("other") is None
    with pytest.raises(BlockingIOError):
        questions.receive(ends[1])


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
