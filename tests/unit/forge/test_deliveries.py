"""Deliveries: what follows from which change, their signature, and a courier that cannot be relied on."""

import asyncio
import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from typing import NamedTuple
from urllib.parse import parse_qs

import pytest
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from orchestrator.preview.state import PreviewId
from tests.forge import ContentType, Deliverer, Delivery, Forge, PullRequest
from tests.forge.deliveries import signatures
from tests.forge.server import ServerThread
from webhooks.receiver import events


class Received(NamedTuple):
    headers: dict[str, str]
    body: bytes


class Receiver:
    """A webhook that takes everything and remembers it."""

    def __init__(self) -> None:
        self.received: list[Received] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        self.received.append(Received(dict(request.headers), await request.body()))
        await Response(status_code=202)(scope, receive, send)

    @property
    def guids(self) -> list[str]:
        return [received.headers["x-github-delivery"] for received in self.received]


@pytest.fixture
def receiver() -> Receiver:
    return Receiver()


@pytest.fixture
def hook_url(receiver: Receiver) -> Iterator[str]:
    server = ServerThread()
    server.serve(receiver)
    yield f"{server.url}/webhooks/github"
    server.stop()


@pytest.fixture
async def deliverer(hook_url: str) -> AsyncIterator[Deliverer]:
    async with Deliverer(hook_url) as running:
        yield running


@pytest.fixture
def deliveries(forge: Forge, pull: PullRequest) -> list[Delivery]:
    forge.push(pull, {"a": b"a"})
    forge.close(pull)
    return forge.take_deliveries()


def test_githubs_own_check_vector_holds() -> None:
    signed = signatures("It's a Secret to Everybody", b"Hello, World!")["X-Hub-Signature-256"]
    assert signed == "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"


def test_every_change_is_told_once_and_in_order(forge: Forge, pull: PullRequest) -> None:
    first = pull.head_sha
    second = forge.push(pull, {"a": b"a"})
    forge.convert_to_draft(pull)
    forge.ready_for_review(pull)
    third = forge.force_push(pull, {"b": b"b"})
    forge.close(pull)
    forge.reopen(pull)
    told = forge.take_deliveries()
    assert [delivery.action for delivery in told] == [
        "opened",
        "synchronize",
        "converted_to_draft",
        "ready_for_review",
        "synchronize",
        "closed",
        "reopened",
    ]
    moves = [(d.payload["before"], d.payload["after"]) for d in told if d.action == "synchronize"]
    assert moves == [(first, second), (second, third)]
    assert len({delivery.guid for delivery in told}) == len(told)
    assert forge.take_deliveries() == []


def test_a_payload_is_of_its_own_moment(deliveries: list[Delivery]) -> None:
    assert [delivery.payload["pull_request"]["state"] for delivery in deliveries] == ["open", "open", "closed"]
    opened, pushed, _ = deliveries
    assert opened.payload["pull_request"]["head"]["sha"] != pushed.payload["pull_request"]["head"]["sha"]


def test_a_closed_pull_request_takes_no_push(forge: Forge, pull: PullRequest) -> None:
    forge.close(pull)
    with pytest.raises(ValueError, match="closed"):
        forge.push(pull, {"a": b"a"})


def test_the_webhook_of_a_repository_names_no_installation() -> None:
    with Forge(installation=None) as forge:
        repository = forge.create_repository("octo/app", {"a": b"a"})
        forge.commit(repository, "feature", {"a": b"b"})
        forge.open_pull(repository, "feature", author="mona")
        (delivery,) = forge.take_deliveries()
    assert "installation" not in delivery.payload
    assert delivery.headers["X-GitHub-Hook-Installation-Target-Type"] == "repository"


async def test_a_delivery_arrives_signed(
    deliverer: Deliverer, receiver: Receiver, forge: Forge, deliveries: list[Delivery]
) -> None:
    assert (await deliverer.send(deliveries[0])).status_code == 202
    ((headers, body),) = receiver.received
    digest = hmac.new(forge.secret.encode(), body, hashlib.sha256).hexdigest()
    assert headers["x-hub-signature-256"] == f"sha256={digest}"
    assert headers["x-github-event"] == "pull_request"
    assert headers["x-github-hook-id"] == str(forge.hook_id)
    assert headers["user-agent"].startswith("GitHub-Hookshot/")
    assert json.loads(body) == deliveries[0].payload


async def test_a_form_is_signed_as_it_is_sent(
    deliverer: Deliverer, receiver: Receiver, forge: Forge, deliveries: list[Delivery]
) -> None:
    await deliverer.send(replace(deliveries[0], content_type=ContentType.FORM))
    ((headers, body),) = receiver.received
    assert headers["content-type"] == "application/x-www-form-urlencoded"
    assert headers["x-hub-signature-256"] == signatures(forge.secret, body)["X-Hub-Signature-256"]
    assert json.loads(parse_qs(body.decode())["payload"][0]) == deliveries[0].payload


async def test_without_a_secret_nothing_is_signed(
    deliverer: Deliverer, receiver: Receiver, deliveries: list[Delivery]
) -> None:
    await deliverer.send(replace(deliveries[0], secret=""))
    assert "x-hub-signature-256" not in receiver.received[0].headers


async def test_a_ping_is_delivered(deliverer: Deliverer, receiver: Receiver, forge: Forge, pull: PullRequest) -> None:
    await deliverer.send(forge.ping(pull.repository, deliverer.url))
    ((headers, body),) = receiver.received
    assert headers["x-github-event"] == "ping"
    assert json.loads(body)["hook"]["config"]["url"] == deliverer.url


async def test_order_doubling_and_loss(deliverer: Deliverer, receiver: Receiver, deliveries: list[Delivery]) -> None:
    opened, pushed, closed = deliveries
    await deliverer.send_reversed([opened, pushed])
    assert receiver.guids == [pushed.guid, opened.guid]
    await deliverer.send_twice(opened)
    assert receiver.guids[2:] == [opened.guid, opened.guid]
    deliverer.lose(closed)
    assert closed.guid not in receiver.guids
    await deliverer.redeliver(closed.guid)
    assert receiver.guids[-1] == closed.guid
    assert receiver.received[-1].body == closed.body


async def test_a_late_delivery_is_overtaken(
    deliverer: Deliverer, receiver: Receiver, deliveries: list[Delivery]
) -> None:
    opened, pushed, _ = deliveries
    late = asyncio.create_task(deliverer.send_late(opened, seconds=0.2))
    await deliverer.send(pushed)
    await late
    assert receiver.guids == [pushed.guid, opened.guid]


def test_whatever_people_do_to_a_pull_request_leads_to_a_look(forge: Forge, pull: PullRequest) -> None:
    forge.commit(pull.repository, "release", {"a": b"a"})
    forge.push(pull, {"feature.txt": b"two\n"})
    forge.retarget(pull, "release")
    forge.label(pull, "preview")
    forge.unlabel(pull, "preview")
    forge.convert_to_draft(pull)
    forge.ready_for_review(pull)
    forge.close(pull)
    forge.reopen(pull)
    for delivery in forge.take_deliveries():
        found = events.read(delivery.event, delivery.content_type, delivery.body)
        assert isinstance(found, events.PullRequestEvent), delivery.action
        assert found.preview == PreviewId(pull.repository.id, pull.number)
