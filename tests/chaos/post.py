"""GitHub's deliveries, brought as the internet brings them: some twice, some late and out of order, some never."""

import asyncio
from collections import Counter
from collections.abc import Iterable
from random import Random

import httpx

from tests.forge import Deliverer, Delivery

LATE_SECONDS = 4.0
AGAIN_SECONDS = 0.5

_LOST, _TWICE, _LATE = 0.04, 0.06, 0.10


class Post:
    """Brings deliveries. `loses` is whether one may be lost, on its way or because nobody answers the door.

    GitHub tries each only once. Without `loses` somebody presses its button "Redeliver" until it is taken.
    """

    def __init__(self, courier: Deliverer, random: Random, *, loses: bool) -> None:
        self._courier, self._random, self._loses = courier, random, loses
        self.counts: Counter[str] = Counter()
        """`sent`, `accepted`, `lost`, `twice`, `late`, `refused`."""
        self.accepted: set[str] = set()
        """The ids of what was answered with 2xx: these must be known for ever."""
        self._under_way: set[asyncio.Task[None]] = set()

    async def bring(self, deliveries: Iterable[Delivery], *, well: bool = False) -> None:
        """Bring them, or have them brought. `well` is without any accident, and until they are taken."""
        for delivery in deliveries:
            self.counts["sent"] += 1
            fate = 1.0 if well else self._random.random()
            if fate < _LOST and self._loses:
                self.counts["lost"] += 1
            elif _LOST <= fate < _LOST + _TWICE:
                self.counts["twice"] += 1
                await asyncio.gather(self._send(delivery), self._send(delivery))
            elif _LOST + _TWICE <= fate < _LOST + _TWICE + _LATE:
                self.counts["late"] += 1
                self._later(delivery, self._random.uniform(0.2, LATE_SECONDS))
            else:
                await self._send(delivery, until_taken=well)

    async def all_brought(self) -> None:
        """Wait for what is late."""
        await asyncio.gather(*self._under_way)

    async def stop(self) -> None:
        """Bring nothing more."""
        for task in self._under_way:
            task.cancel()
        await asyncio.gather(*self._under_way, return_exceptions=True)

    def _later(self, delivery: Delivery, seconds: float) -> None:
        async def bring() -> None:
            await asyncio.sleep(seconds)
            await self._send(delivery)

        task = asyncio.create_task(bring())
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    async def _send(self, delivery: Delivery, *, until_taken: bool = False) -> None:
        while not await self._is_taken(delivery):
            if self._loses and not until_taken:
                self.counts["refused"] += 1
                return
            await asyncio.sleep(AGAIN_SECONDS)

    async def _is_taken(self, delivery: Delivery) -> bool:
        try:
            answer = await self._courier.send(delivery)
        except httpx.HTTPError:
            return False
        if answer.is_success:
            self.accepted.add(delivery.guid)
        return answer.is_success
