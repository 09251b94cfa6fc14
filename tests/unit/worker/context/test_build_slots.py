"""Builds take turns: so many at once, the repositories in turn, and nobody's end loses a turn."""

import asyncio

from worker.context.build_slots import BuildSlots


async def nothing(_: str) -> None:
    """Nobody listens."""


class Builds:
    def __init__(self, most: int) -> None:
        self.slots = BuildSlots(most)
        self.order: list[str] = []
        self.ends = asyncio.Semaphore(0)

    def begin(self, repository: int, name: str) -> asyncio.Task[None]:
        return asyncio.create_task(self._build(repository, name))

    async def _build(self, repository: int, name: str) -> None:
        async with self.slots.build(repository, nothing):
            self.order.append(name)
            await self.ends.acquire()


async def settle() -> None:
    """Let every task go as far as it can."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_the_repositories_that_wait_are_served_in_turn() -> None:
    builds = Builds(1)
    tasks = [builds.begin(1, f"a{number}") for number in range(4)]
    await settle()
    tasks += [builds.begin(2, "b0"), builds.begin(3, "c0"), builds.begin(2, "b1")]
    await settle()
    for _ in tasks:
        builds.ends.release()
        await settle()
    assert builds.order == ["a0", "a1", "b0", "c0", "a2", "b1", "a3"]


async def test_who_does_not_have_to_wait_is_told_nothing() -> None:
    turns, told = BuildSlots(1), list[str]()

    async def tell(observation: str) -> None:
        told.append(observation)

    async with turns.build(1, tell) as waited:
        assert not waited
        waiting = asyncio.create_task(turns.build(1, tell).__aenter__())
        await settle()
    assert await waiting
    assert told == ["this machine runs 1 build at once"]


async def test_a_build_that_is_cancelled_while_it_waits_keeps_no_turn() -> None:
    builds = Builds(1)
    first = builds.begin(1, "first")
    await settle()
    waiting, handed = builds.begin(1, "waiting"), builds.begin(1, "handed")
    await settle()
    waiting.cancel()
    await settle()
    first.cancel()
    await asyncio.sleep(0)
    handed.cancel()  # its turn has come in the same moment
    await asyncio.gather(first, waiting, handed, return_exceptions=True)
    last = builds.begin(1, "last")
    await settle()
    assert builds.order[-1] == "last"
    builds.ends.release()
    await last
