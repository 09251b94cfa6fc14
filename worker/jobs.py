"""The jobs that arq runs. Each takes a preview's id and says nothing back: what was done stands in Postgres."""

from typing import Any

import structlog

from orchestrator.preview import PreviewId
from worker import converge as _converge
from worker import report as _report
from worker.context import Hands

HANDS = "hands"
"""Under this key arq's context holds our hands."""

_log = structlog.get_logger()


async def converge(context: dict[Any, Any], preview: str) -> None:
    await _run(_converge.converge, context[HANDS], preview)


async def report(context: dict[Any, Any], preview: str) -> None:
    await _run(_report.report, context[HANDS], preview)


async def _run(work: Any, hands: Hands, preview: str) -> None:
    """The edge: a fault must not reach arq, which would keep it to itself; the sweep asks for the work again."""
    with structlog.contextvars.bound_contextvars(preview=preview):
        try:
            await work(hands, PreviewId.parse(preview))
        except Exception:  # noqa: BLE001 - see the docstring
            _log.exception("job failed")
