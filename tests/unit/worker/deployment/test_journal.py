"""What is kept of a deployment's output: its beginning, its end, and no secret."""

from typing import cast

import pytest

from orchestrator.preview.state import Step
from orchestrator.store.deployments import Logs
from tests.support.wait import eventually
from worker.deployment import journal
from worker.deployment.journal import Journal


class Lines:
    """A store that takes lines."""

    def __init__(self) -> None:
        self.taken: list[str] = []

    async def append(self, _: int, __: Step, lines: list[str]) -> None:
        self.taken += lines


async def test_of_too_much_output_the_beginning_and_the_end_are_kept() -> None:
    store = Lines()
    kept = Journal(cast("Logs", store), 1)
    line = "x" * 4000
    for number in range(2000):
        await kept.say(f"{number} {line}")
    await kept.close()
    assert store.taken[0].startswith("0 x")
    assert store.taken[-1].startswith("1999 x")
    cut = [line for line in store.taken if line.startswith("(")]
    assert [text.partition(" ")[2] for text in cut] == [
        "than 4 MiB: the end follows when this is over)",
        "lines are not kept)",
    ]
    assert sum(len(line) for line in store.taken) < journal.MAX_OCTETS + (journal.END_LINES + 2) * 4000
    assert kept.tail[-1] == store.taken[-1]


async def test_little_output_is_kept_whole() -> None:
    store = Lines()
    kept = Journal(cast("Logs", store), 1)
    await kept.say("one")
    await kept.close()
    assert store.taken == ["one"]


async def test_secrets_are_blanked_the_longest_first() -> None:
    store = Lines()
    kept = Journal(cast("Logs", store), 1)
    kept.conceal(["geheim"])
    kept.conceal(["geheimnis", ""])
    await kept.say("das geheimnis ist geheim")
    await kept.close()
    assert store.taken == ["das … ist …"]


class Away(Lines):
    """A store that does not answer at first."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0

    async def append(self, deployment: int, step: Step, lines: list[str]) -> None:
        self.asked += 1
        if self.asked <= 2:
            raise ConnectionRefusedError
        await super().append(deployment, step, lines)


async def test_what_is_said_while_postgres_is_away_is_written_once_it_is_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "FLUSH_SECONDS", 0.001)
    store = Away()
    kept = Journal(cast("Logs", store), 1)
    await kept.say("one")
    kept.step = Step.BUILD
    await kept.say("two")
    await eventually(lambda: _are(store.taken, 2), "both are written")
    await kept.say("three")
    await kept.close()
    assert store.taken == ["one", "two", "three"]


async def _are(found: list[str], count: int) -> bool:
    return len(found) == count
