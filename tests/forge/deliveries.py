"""Signed deliveries, and the courier that brings them, or brings them badly."""

import asyncio
import hashlib
import hmac
import json
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlencode

import httpx

TIMEOUT_SECONDS = 10.0
"""GitHub gives up on a receiver after so long."""


class ContentType(StrEnum):
    """The two forms in which a webhook may be set up to receive."""

    JSON = "application/json"
    FORM = "application/x-www-form-urlencoded"


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One event for one webhook. Body and headers follow from the fields: `dataclasses.replace` makes variants,
    such as one with a wrong secret or in form encoding, that are consistent in themselves.
    """

    event: str
    payload: Mapping[str, Any]
    secret: str
    hook_id: int
    target_id: int
    target_type: str = "repository"
    content_type: ContentType = ContentType.JSON
    guid: str = field(default_factory=lambda: str(uuid.uuid4()))

    @property
    def action(self) -> str | None:
        return self.payload.get("action")

    @property
    def body(self) -> bytes:
        """The bytes that are sent, and signed."""
        text = json.dumps(self.payload)
        return (urlencode({"payload": text}) if self.content_type is ContentType.FORM else text).encode()

    @property
    def headers(self) -> dict[str, str]:
        """The headers that GitHub sends. Without a secret nothing is signed."""
        return {
            "Accept": "*/*",
            "Content-Type": self.content_type.value,
            "User-Agent": "GitHub-Hookshot/0000000",
            "X-GitHub-Event": self.event,
            "X-GitHub-Delivery": self.guid,
            "X-GitHub-Hook-ID": str(self.hook_id),
            "X-GitHub-Hook-Installation-Target-Type": self.target_type,
            "X-GitHub-Hook-Installation-Target-ID": str(self.target_id),
            **(signatures(self.secret, self.body) if self.secret else {}),
        }


def signatures(secret: str, body: bytes) -> dict[str, str]:
    """Sign the raw body, with SHA-256 and in the old form beside it."""
    key = secret.encode()
    return {
        "X-Hub-Signature": f"sha1={hmac.new(key, body, hashlib.sha1).hexdigest()}",
        "X-Hub-Signature-256": f"sha256={hmac.new(key, body, hashlib.sha256).hexdigest()}",
    }


class Deliverer:
    """Posts deliveries to a webhook. Like GitHub it tries once; a receiver that fails gets no second call.

    `known` holds every delivery that passed through, the lost ones too, so that they can be redelivered.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.known: dict[str, Delivery] = {}
        # Straight to the receiver: a proxy named in the environment has no business between two local servers.
        self._client = httpx.AsyncClient(timeout=TIMEOUT_SECONDS, trust_env=False)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        await self._client.aclose()

    async def send(self, delivery: Delivery) -> httpx.Response:
        """Post a delivery and return the receiver's answer; raises httpx.HTTPError when there is none."""
        self.known[delivery.guid] = delivery
        return await self._client.post(self.url, content=delivery.body, headers=delivery.headers)

    async def send_all(self, deliveries: Iterable[Delivery]) -> list[httpx.Response]:
        """Post one after the other, in this order."""
        return [await self.send(delivery) for delivery in deliveries]

    async def send_twice(self, delivery: Delivery) -> tuple[httpx.Response, httpx.Response]:
        """Post the same delivery twice at the same time."""
        return await asyncio.gather(self.send(delivery), self.send(delivery))

    async def send_late(self, delivery: Delivery, seconds: float) -> httpx.Response:
        """Post a delivery after a while."""
        await asyncio.sleep(seconds)
        return await self.send(delivery)

    async def send_reversed(self, deliveries: Sequence[Delivery]) -> list[httpx.Response]:
        """Post the newest first. Any other order is `send_all` of a list in that order."""
        return await self.send_all(reversed(deliveries))

    def lose(self, delivery: Delivery) -> None:
        """Post nothing. GitHub never tries again by itself."""
        self.known[delivery.guid] = delivery

    async def redeliver(self, guid: str) -> httpx.Response:
        """Post a known delivery again, as the button on GitHub does: same GUID, same body."""
        return await self.send(self.known[guid])
