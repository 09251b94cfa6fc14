"""A guard against work without end."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

PROCESSOR_SECONDS = 30.0
"""Some hundred times what any of them takes. Of this process alone: how busy the machine is makes no difference."""


@contextmanager
def ends(processor_seconds: float = PROCESSOR_SECONDS) -> Iterator[None]:
    """Stop what is done here, with an AssertionError, once it has taken so much of the processor.

    What waits takes nothing of it: that is ended by the time limit which every test has.
    """

    def stop(_: int, __: FrameType | None) -> None:
        raise AssertionError(f"it is at work for {processor_seconds:g} s of the processor, and has no end")

    before = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, processor_seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)
