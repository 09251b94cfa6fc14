"""Puts something in front of a claim's calls, in place: what it calls of itself goes there too."""

import inspect
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

from orchestrator.store.claims import Claim

_WITHIN = frozenset({"keep", "keep_renewing", "newer", "read", "take"})
"""Of a claim: what only waits, or calls `renew` and `row` itself."""

Front = Callable[[str, Callable[[], Awaitable[Any]]], Awaitable[Any]]
"""Gets the name of a method, with its topic and a dot before it, and the call itself, which it makes or does not."""


def intercept(claim: Claim, front: Front) -> None:
    """Have every coroutine method of a claim and of its topics go through `front`."""
    for topic, part in claim_parts(claim):
        for name, method in inspect.getmembers(part, inspect.iscoroutinefunction):
            if name[0] != "_" and name not in _WITHIN:
                setattr(part, name, _through(f"{topic}{name}", method, front))


def claim_parts(claim: Claim) -> Iterator[tuple[str, object]]:
    """A claim and its topics, with what stands before the names of their methods."""
    yield "", claim
    for name, part in vars(claim).items():
        if type(part).__module__.startswith("orchestrator.store."):
            yield f"{name}.", part


def _through(name: str, method: Callable[..., Awaitable[Any]], front: Front) -> Callable[..., Awaitable[Any]]:
    async def call(*arguments: Any, **named: Any) -> Any:
        return await front(name, lambda: method(*arguments, **named))

    return call
