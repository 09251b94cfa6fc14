"""Structured logs: one line an event, with the preview that it is about; secrets are masked."""

import logging
import re
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog

_SECRET_NAME = re.compile(r"password|secret|token|authorization|private_key|jwt", re.IGNORECASE)
_URL_PASSWORD = re.compile(r"(\b\w+://[^\s:/@]*:)[^\s@/]+@")
_BEARER = re.compile(r"\b(gh[pousr]_\w{8,}|github_pat_\w+|(?<=[Bb]earer )\S+)")


def configure(log_format: str) -> None:
    """Send structlog's and the standard library's records to standard error, as JSON lines or for people."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        mask,
    ]
    renderer: Any = (
        structlog.processors.JSONRenderer()
        if log_format == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    logging.basicConfig(handlers=[handler], level=logging.INFO, force=True)
    for noisy in ("httpx", "arq.worker", "uvicorn.access"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


def mask(_: object, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Blank values whose names or shapes say that they are secret."""
    for name, value in event.items():
        if _SECRET_NAME.search(name):
            event[name] = "…"
        elif isinstance(value, str):
            event[name] = mask_text(value)
    return event


def mask_text(text: str) -> str:
    """Blank passwords in URLs and tokens of known shapes."""
    return _BEARER.sub("…", _URL_PASSWORD.sub(r"\1…@", text))
