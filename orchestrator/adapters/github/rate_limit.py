"""How often GitHub may be written to: so many times a minute and so many times an hour. Pure: callers bring the time.

The limits on what makes content are those of GitHub's "Rate limits for the REST API". It does not say which requests
make content, so all that change something are counted.
"""

from collections import deque
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Window:
    """No more than `most` writes in any `seconds`."""

    seconds: float
    most: int


WINDOWS = (Window(60, 80), Window(3600, 500))

PROGRESS_DIVISOR = 2
"""News of progress may use one half of each window: there is always room for how it ended."""


class RateLimit:
    """The writes of the last hour, and what they leave room for. Times are seconds of one clock that never jumps."""

    def __init__(self, windows: tuple[Window, ...] = WINDOWS) -> None:
        self._windows = windows
        self._written: deque[float] = deque(maxlen=max(window.most for window in windows))

    def note(self, now: float) -> None:
        """A write goes out."""
        self._written.append(now)

    def delay(self, now: float, *, final: bool) -> float:
        """Seconds until there is room for another write; 0 when there is room now."""
        return max(self._wait(window, now, final=final) for window in self._windows)

    def _wait(self, window: Window, now: float, *, final: bool) -> float:
        most = window.most if final else window.most // PROGRESS_DIVISOR
        within = [at for at in self._written if at > now - window.seconds]
        # As many of the oldest have to leave the window as there are too many for one more.
        return max(0.0, within[len(within) - most] + window.seconds - now) if len(within) >= most else 0.0
