"""Until when a worker may act: asked by every adapter right before something leaves this process.

The lease stands in Postgres, and every write under it looks at its token. Nothing else can look: the Engine, the
previews' databases and the disk take what they are told, and a process that is frozen between its last look and the
telling tells them minutes later. So a lease carries a fence: the moment until which it surely holds, on this machine's
own clock. The fence of the task at hand is found through a context variable, which tasks and threads inherit.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from math import inf

from orchestrator.preview.errors import LeaseLost

LEASE_SECONDS = 10.0
"""How long a silent worker keeps its lease: the time after which another takes a killed worker's work."""

MARGIN_SECONDS = 2.0
"""How much earlier than the lease its fence falls.

It is for the way from the question to the other side's acting, which is long on a machine that is busy, and for a
database whose clock is set forward by less. That two clocks run at different rates makes 5 ms of a lease at most: the
kernel disciplines its own by 500 ppm.
"""

_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def now() -> float:
    """Seconds on a clock that nobody sets, and that goes on while we are stopped and while the machine sleeps."""
    return time.clock_gettime(_CLOCK)


@dataclass(slots=True, eq=False)
class Fence:
    """Stands between one holding of a lease and the world. Threads may ask it, and one that fell is never raised."""

    clock: Callable[[], float] = now
    _until: float = -inf
    _fallen: bool = False

    @property
    def is_up(self) -> bool:
        """Whether the lease surely holds."""
        return not self._fallen and self.clock() < self._until

    def extend(self, sent_at: float, seconds: float = LEASE_SECONDS) -> None:
        """The lease was taken or renewed, for `seconds`, by a query not yet sent at `sent_at` by this fence's clock.

        The database counts from when the query reached it, so the lease ends later than what is counted from here.
        """
        self._until = max(self._until, sent_at + seconds - MARGIN_SECONDS)

    def fall(self) -> None:
        """The lease was given back, or is known to be another's: whatever still wants to act is too late."""
        self._fallen = True

    def require(self) -> None:
        """Raises LeaseLost when the lease may be another's by now."""
        if not self.is_up:
            raise LeaseLost("the lease was given back or not renewed in time: another worker may hold it")


_current: ContextVar[Fence | None] = ContextVar("fence", default=None)


@contextmanager
def under(fence: Fence | None) -> Iterator[None]:
    """What is done here, and in the tasks and threads that begin here, asks this fence; with None it asks none.

    None is for ending what is our own under a name that nobody else can use, such as a build by its id.
    """
    token = _current.set(fence)
    try:
        yield
    finally:
        _current.reset(token)


def current() -> Fence | None:
    """The fence that `require` asks."""
    return _current.get()


def require() -> None:
    """To be called right before an effect. Raises LeaseLost; who acts under no lease is not stopped."""
    fence = _current.get()
    if fence is not None:
        fence.require()
