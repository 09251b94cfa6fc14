"""Waiting for a condition with a deadline: the only way in which tests synchronise."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

POLL_SECONDS = 0.05

T = TypeVar("T")


async def eventually(condition: Callable[[], Awaitable[T | None]], what: str, seconds: float = 30) -> T:
    """Return the first true answer of `condition`; fail with `what` and the last answer after `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        answer = await condition()
        if answer:
            return answer
        if time.monotonic() > deadline:
            message = f"not within {seconds:g} s: {what} (last answer: {answer!r})"
            raise AssertionError(message)
        await asyncio.sleep(POLL_SECONDS)
