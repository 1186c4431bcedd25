# The ACME machine: from the names that are wanted to a certificate (RFC 8555), one question at a time.
#
# Rules: pure. handle() takes what happened and returns what is to be done next; all that is kept is State.
# It looks before it acts: an order that is under way, perhaps of a keeper that was killed, is asked for how
# it stands, and that says what comes next. So the address of the order is all that has to outlive a keeper.
# Whoever fails to answer is asked again, a few times; each wait is limited, and so is the whole.

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from bigtop.keeper.acme import challenges, jose, problems, resources, retry_after
from bigtop.keeper.acme.challenges import Challenge
from bigtop.keeper.acme.messages import (
    Action,
    Answered,
    Event,
    Fail,
    Finish,
    Get,
    NotShown,
    Post,
    RememberAccount,
    RememberOrder,
    Show,
    Shown,
    Unreachable,
    Wait,
    Withdraw,
    Woken,
)
from bigtop.keeper.acme.problems import Fault, Problem
from bigtop.keeper.acme.resources import Authorization, Directory, MalformedError, Order
from bigtop.keeper.acme.state import Goal, Phase, State
from bigtop.keeper.certificates import plain
from bigtop.record import replace

_RETRIES: Final = 4  # of one question that got no answer
_ANEW: Final = 2  # orders that are begun again because one was spoilt
_FIRST_PAUSE: Final = 0.1  # seconds between looks; each is twice as long as the last, if the CA says nothing
_LONGEST_PAUSE: Final = 10.0
_PATIENCE: Final = 60.0  # seconds that a CA may ask for before we rather come back another time


Step = tuple[State, tuple[Action, ...]]


def begin(goal: Goal, now: float, account: str = "", order_url: str = "") -> Step:
    """Return the first step; `account` and `order_url` are what was to be remembered, earlier."""
    state = State(goal, now + goal.patience, account=account, order_url=order_url)
    return _ask(state, Get(goal.directory))


def handle(state: State, event: Event, now: float) -> Step:
    """Return what follows from an event."""
    if now >= state.deadline and state.phase is not Phase.DOWNLOAD:
        return _fail(state, f"the CA was not done within {state.goal.patience:.0f} seconds", Fault.ISSUER)
    match event:
        case Answered():
            try:
                return _answered(state, event, now)
            except MalformedError as error:
                return _fail(state, str(error), Fault.ISSUER)
        case Unreachable(text):
            return _again(state, now, text, None)
        case Woken() if state.last is not None:
            return state, (state.last,)
        case Shown() if state.phase is Phase.SHOWING:
            urls = tuple(challenge.url for challenge in state.shown)
            return _respond(replace(state, phase=Phase.RESPONDING, queue=urls), now)
        case NotShown(text):
            return _fail(state, text, Fault.SETUP)
    return state, ()


# ---- answers


def _answered(state: State, answer: Answered, now: float) -> Step:
    if answer.status in (429, 500, 502, 503, 504):
        problem = problems.read(answer.status, answer.body)
        wanted = retry_after.read(answer.fields, now)
        if answer.status == 429 and wanted is None:
            return _fail_by(state, problem)
        return _again(state, now, problems.words(problem), wanted)
    state = replace(state, retries=0)
    if answer.status >= 400:
        return _refused(state, problems.read(answer.status, answer.body), now)
    return _HANDLERS[state.phase](state, answer, now)


def _again(state: State, now: float, text: str, wanted: float | None) -> Step:
    """Ask the same once more, a little later, or give up until the CA wants to be asked."""
    pause = 2.0**state.retries
    until = max(now + pause, wanted or 0.0)
    if state.retries >= _RETRIES or until > now + _PATIENCE:
        # The order is not spoilt: it is kept.
        fail = Fail(f"{state.phase.value}: {text}", Fault.ISSUER, wanted or 0.0)
        return state, (*_withdrawal(state), fail)
    return replace(state, retries=state.retries + 1), (Wait(until),)


def _refused(state: State, problem: Problem, now: float) -> Step:
    if problem.kind == "accountDoesNotExist" and state.account and state.anew < _ANEW:
        # An order belongs to its account, so both are gone.
        new, actions = _with_account(
            replace(state, account="", order_url="", order=None, shown=(), anew=state.anew + 1)
        )
        return new, (*_withdrawal(state), RememberAccount(""), RememberOrder(""), *actions)
    match state.phase:
        case Phase.ORDER | Phase.AUTHORIZATIONS | Phase.POLLING | Phase.DOWNLOAD if state.anew < _ANEW:
            return _anew(state)
        case Phase.RESPONDING:  # it was said before, by a keeper that was killed; looking tells
            return _responded(state, Answered(problem.status), now)
        case Phase.NEW_ORDER if state.goal.replaces:
            # It was renewed already, or this CA did not make it.
            return _new_order(replace(state, goal=replace(state.goal, replaces="")))
        case Phase.FINALIZING if problem.kind == "orderNotReady":
            return _look_again(state, now, None)
    return _fail_by(state, problem)


def _has_directory(state: State, answer: Answered, now: float) -> Step:
    directory = resources.directory(answer.body)
    goal = state.goal
    if goal.profile and goal.profile not in directory.profiles:
        offered = ", ".join(directory.profiles) or "none"
        return _fail(state, f"the CA has no profile {goal.profile!r}; it has: {offered}", Fault.SETUP)
    if directory.wants_binding and goal.binding is None and not state.account:
        text = "the CA takes accounts of its own only: it wants a key id and a secret for EAB"
        return _fail(state, text, Fault.SETUP)
    return _with_account(replace(state, directory=directory))


def _with_account(state: State) -> Step:
    """Make an account unless there is one, and go on."""
    if state.account:
        return _look(state) if state.order_url else _new_order(state)
    directory, goal = _directory(state), state.goal
    payload: dict[str, object] = {"termsOfServiceAgreed": True}
    if goal.email:
        payload["contact"] = [f"mailto:{goal.email}"]
    if goal.binding is not None:
        kid, secret = goal.binding
        payload["externalAccountBinding"] = jose.binding(goal.key, kid, secret, directory.new_account)
    post = Post(directory.new_account, payload, "", directory.new_nonce)
    return _ask(replace(state, phase=Phase.ACCOUNT), post)


def _has_account(state: State, answer: Answered, _now: float) -> Step:
    url = resources.checked_url(answer.fields.get("location"), "the account")
    state, actions = _with_account(replace(state, account=url))
    return state, (RememberAccount(url), *actions)


def _new_order(state: State) -> Step:
    goal = state.goal
    payload: dict[str, object] = {"identifiers": [_identifier(name) for name in goal.names]}
    if goal.profile:
        payload["profile"] = goal.profile
    if goal.replaces:
        payload["replaces"] = goal.replaces
    state = replace(state, phase=Phase.NEW_ORDER, order_url="", order=None, looks=0)
    return _ask(state, _post(state, _directory(state).new_order, payload, is_final=True))


def _has_order(state: State, answer: Answered, now: float) -> Step:
    url = resources.checked_url(answer.fields.get("location"), "the order")
    state, actions = _with_order(replace(state, order_url=url), resources.order(answer.body), answer, now)
    return state, (RememberOrder(url), *actions)


def _looked(state: State, answer: Answered, now: float) -> Step:
    return _with_order(state, resources.order(answer.body), answer, now)


def _with_order(state: State, order: Order, answer: Answered, now: float) -> Step:
    """Go on by what the order's status says."""
    state = replace(state, order=order)
    if set(order.names) != {plain(name) for name in state.goal.names}:
        return _anew(state)  # one that is under way for other names
    match order.status:
        case "pending" if state.looks == 0:
            state = replace(state, phase=Phase.AUTHORIZATIONS, found=(), queue=order.authorizations)
            return _next_authorization(state, now)
        case "ready":
            payload = {"csr": jose.encoded(state.goal.request)}
            state = replace(state, phase=Phase.FINALIZING)
            return _ask(state, _post(state, order.finalize, payload, is_final=True))
        case "pending" | "processing":
            return _look_again(state, now, retry_after.read(answer.fields, now))
        case "valid" if order.certificate:
            return _ask(replace(state, phase=Phase.DOWNLOAD, looks=0), _post(state, order.certificate, None))
    if state.anew < _ANEW and not state.shown and order.error is None:
        return _anew(state)
    return _fail_by(state, order.error or Problem("", f"the order is {order.status}"))


def _has_certificate(state: State, answer: Answered, _now: float) -> Step:
    if b"-----BEGIN CERTIFICATE-----" not in answer.body:
        raise MalformedError("what the CA sent as certificate is none")
    return state, (*_withdrawal(state), Finish(answer.body))


# ---- authorisations


def _next_authorization(state: State, now: float) -> Step:
    if state.queue:
        return _ask(state, _post(state, state.queue[0], None))
    if not state.found:  # all were shown before
        return _look_again(state, now, None)
    state = replace(state, phase=Phase.SHOWING, shown=state.found, last=None)
    return state, (Show(state.shown),)


def _has_authorization(state: State, answer: Answered, now: float) -> Step:
    authorization = resources.authorization(answer.body)
    state = replace(state, queue=state.queue[1:])
    if authorization.status == "valid":
        return _next_authorization(state, now)
    if authorization.status != "pending":  # revoked, expired, or failed before
        return _spoilt(state, authorization)
    for kind in state.goal.kinds:
        for offer in authorization.offers:
            if offer.kind == kind and challenges.is_token(offer.token):
                answer_text = f"{offer.token}.{jose.thumbprint(state.goal.key)}"
                found = Challenge(kind, authorization.name, offer.token, answer_text, offer.url)
                return _next_authorization(replace(state, found=(*state.found, found)), now)
    offered = ", ".join(offer.kind for offer in authorization.offers) or "nothing"
    wanted = ", ".join(state.goal.kinds)
    text = f"the CA offers {offered} for {authorization.name}, and {wanted} is what can be done here"
    return _fail(state, text, Fault.SETUP)


def _respond(state: State, now: float) -> Step:
    if state.queue:
        return _ask(state, _post(state, state.queue[0], {}))
    assert state.order is not None
    state = replace(state, phase=Phase.POLLING, queue=state.order.authorizations, looks=0)
    return _poll(state, now, None)


def _responded(state: State, _answer: Answered, now: float) -> Step:
    return _respond(replace(state, queue=state.queue[1:]), now)


def _poll(state: State, now: float, wanted: float | None) -> Step:
    """Look at the next authorisation, after a pause."""
    state = replace(state, last=_post(state, state.queue[0], None), looks=state.looks + 1)
    return state, (Wait(_pause(state, now, wanted)),)


def _polled(state: State, answer: Answered, now: float) -> Step:
    authorization = resources.authorization(answer.body)
    match authorization.status:
        case "pending":
            return _poll(state, now, retry_after.read(answer.fields, now))
        case "valid" if len(state.queue) > 1:
            state = replace(state, queue=state.queue[1:], looks=0)
            return _ask(state, _post(state, state.queue[0], None))
        case "valid":
            withdrawal = _withdrawal(state)
            # From here on an order that is pending is one that the CA has not looked at yet.
            state, actions = _look(replace(state, shown=(), queue=(), looks=1))
            return state, (*withdrawal, *actions)
    return _spoilt(state, authorization)


def _spoilt(state: State, authorization: Authorization) -> Step:
    """An authorisation failed, or was taken back: with what was said of it, or by a new order."""
    for offer in authorization.offers:
        if offer.error is not None:
            return _fail_by(state, offer.error, authorization.name, offer.kind)
    if state.anew < _ANEW:
        return _anew(state)
    return _fail(state, f"the CA calls {authorization.name} {authorization.status}", Fault.NAME)


# ---- steps that are shared


_HANDLERS: Final[Mapping[Phase, Callable[[State, Answered, float], Step]]] = {
    Phase.DIRECTORY: _has_directory,
    Phase.ACCOUNT: _has_account,
    Phase.NEW_ORDER: _has_order,
    Phase.ORDER: _looked,
    Phase.AUTHORIZATIONS: _has_authorization,
    Phase.RESPONDING: _responded,
    Phase.POLLING: _polled,
    Phase.FINALIZING: _looked,
    Phase.DOWNLOAD: _has_certificate,
}


def _ask(state: State, question: Get | Post) -> Step:
    return replace(state, last=question), (question,)


def _look(state: State) -> Step:
    return _ask(replace(state, phase=Phase.ORDER), _post(state, state.order_url, None))


def _look_again(state: State, now: float, wanted: float | None) -> Step:
    state, _question = _look(replace(state, looks=state.looks + 1))
    return state, (Wait(_pause(state, now, wanted)),)


def _pause(state: State, now: float, wanted: float | None) -> float:
    """Return when to look again: as the CA wants it, within limits, or after a pause that grows."""
    if wanted is not None:
        return min(max(wanted, now + _FIRST_PAUSE), now + _PATIENCE)
    return now + min(_LONGEST_PAUSE, _FIRST_PAUSE * 2.0 ** min(state.looks - 1, 10))


def _anew(state: State) -> Step:
    """Forget the order and begin another one."""
    withdrawal = _withdrawal(state)
    state, actions = _new_order(replace(state, anew=state.anew + 1, shown=(), found=(), queue=()))
    return state, (*withdrawal, RememberOrder(""), *actions)


def _post(state: State, url: str, payload: Mapping[str, object] | None, is_final: bool = False) -> Post:
    return Post(url, payload, state.account, _directory(state).new_nonce, is_final)


def _directory(state: State) -> Directory:
    assert state.directory is not None
    return state.directory


def _identifier(name: str) -> dict[str, str]:
    return {"type": "ip" if _is_address(name) else "dns", "value": name}


def _is_address(name: str) -> bool:
    return ":" in name or name.rpartition(".")[2].isdigit()


def _withdrawal(state: State) -> tuple[Action, ...]:
    return (Withdraw(state.shown),) if state.shown else ()


def _fail_by(state: State, problem: Problem, name: str = "", kind: str = "") -> Step:
    return _fail(state, problems.words(problem, name, kind), problems.fault(problem))


def _fail(state: State, text: str, fault: Fault) -> Step:
    """End; the order is forgotten, because it is spoilt or took too long."""
    return state, (*_withdrawal(state), RememberOrder(""), Fail(text, fault))
