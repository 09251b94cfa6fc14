"""HTTP requests that ask the fence at the last moment: of httpx, whose transports tell what they are about to do."""

from collections.abc import Mapping
from typing import Any

from orchestrator.runtime import fence


async def _ask(event: str, _: Mapping[str, Any]) -> None:
    if event == "http11.send_request_headers.started":
        fence.require()


FENCED = {"trace": _ask}
"""Extensions for a request: it has its connection, and is about to be written to it. Raises LeaseLost."""
