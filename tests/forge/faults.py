"""What can go wrong at the forge: answers that fail, answers that come late."""

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

SECONDARY_LIMIT = "You have exceeded a secondary rate limit. Please wait a few minutes before you try again."
PRIMARY_LIMIT = "API rate limit exceeded."


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What happens to a request whose method and path fit. Without a status it is answered, only later."""

    status: int | None = None
    message: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    delay: float = 0.0
    """Seconds."""
    method: str = ""
    path: str = "/api/"
    """A part of the path; the API's by default, `.git/` for git."""

    def fits(self, method: str, path: str) -> bool:
        return self.path in path and self.method in {"", method}


def outage(status: int, *, method: str = "", path: str = "/api/") -> Fault:
    """A server that is down, as in 502, or any other plain failure."""
    return Fault(status=status, message="Server Error", method=method, path=path)


def secondary_limit(retry_after: int | None, *, method: str = "") -> Fault:
    """GitHub's limit on bursts: 403, and sometimes it says how many seconds to wait."""
    headers = {} if retry_after is None else {"retry-after": str(retry_after)}
    return Fault(status=403, message=SECONDARY_LIMIT, headers=headers, method=method)


def primary_limit(reset_in: int) -> Fault:
    """The hour's requests are used up: 403, nothing remaining, a reset `reset_in` seconds from now."""
    headers = {"x-ratelimit-remaining": "0", "x-ratelimit-reset": str(int(time.time()) + reset_in)}
    return Fault(status=403, message=PRIMARY_LIMIT, headers=headers)


class Faults:
    """The faults that are still to happen, oldest first."""

    def __init__(self) -> None:
        self._planned: list[Fault] = []
        self._lock = threading.Lock()

    def plan(self, fault: Fault, count: int) -> None:
        """Let a fault happen to the next `count` requests that fit it."""
        with self._lock:
            self._planned.extend([fault] * count)

    def take(self, method: str, path: str) -> Fault | None:
        """Take the oldest fault that fits this request."""
        with self._lock:
            fault = next((planned for planned in self._planned if planned.fits(method, path)), None)
            if fault is not None:
                self._planned.remove(fault)
            return fault

    def clear(self) -> None:
        """Forget what has not happened yet."""
        with self._lock:
            self._planned.clear()
