"""The judge: holds what is there against what GitHub says, once the storm is over."""

import asyncio
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import httpx

from orchestrator.preview.state import State
from tests.chaos.apps import Fate
from tests.chaos.people import Life
from tests.chaos.remains import bridges_without_network, remains
from tests.chaos.stage import Stage
from tests.chaos.truth import Seen, faults, wanted_state
from tests.chaos.watch import Key, Watch
from tests.forge import PullRequest
from tests.support.engine import engine

QUIET_SECONDS = 300.0
"""How long previewd may take, after the storm, until all is as it should be: what it still has to tell of a hundred
pull requests goes out at the pace of GitHub's limit on writes."""

LOOK_SECONDS = 1.0

_HEADLINES: Mapping[State, str] = {
    State.READY: "Preview ready",
    State.FAILED: "Preview failed",
    State.WAITING: "No preview yet",
    State.REMOVED: "Preview removed",
}


@dataclass(slots=True, kw_only=True)
class Verdict:
    """What is wrong, in words; nothing where all is well."""

    lost: list[str] = field(default_factory=list)
    """Events that were acknowledged, or that happened, and have no effect."""
    leaked: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    """Pull requests that did not end right, or are told something untrue."""
    quiet_seconds: float = 0.0
    """How long it took until nothing changed any more."""

    def all(self) -> list[str]:
        return [*self.lost, *self.leaked, *self.wrong]


class Judge:
    def __init__(
        self,
        stage: Stage,
        watch: Watch,
        lives: Sequence[Life],
        *,
        uninvolved: PullRequest | None = None,
        foreign_bridges: Collection[str] = (),
        with_comments: bool = True,
    ) -> None:
        """`uninvolved` may own things while it is open; `foreign_bridges` were without a network before the storm."""
        self._stage, self._watch, self._lives = stage, watch, lives
        self._uninvolved, self._foreign_bridges = uninvolved, foreign_bridges
        self._with_comments = with_comments
        self.newest: Verdict | None = None
        """What was wrong at the last look, for whoever waits with us."""

    async def judge(self, accepted: Collection[str], seconds: float = QUIET_SECONDS) -> Verdict:
        """Look until nothing is wrong any more, or the time is over; what is wrong then."""
        began = time.monotonic()
        while True:
            is_last = time.monotonic() - began > seconds
            self.newest = verdict = await self._look(accepted, whole=is_last)
            verdict.quiet_seconds = time.monotonic() - began
            if is_last or not verdict.all():
                return verdict
            await asyncio.sleep(LOOK_SECONDS)

    async def _look(self, accepted: Collection[str], *, whole: bool) -> Verdict:
        """One look, from the cheap to the dear; unless it is to be `whole`, up to the first thing that is wrong."""
        rows = await self._watch.look()
        verdict = Verdict()
        for look in (self._ends, self._told, self._served, self._owned):
            await look(verdict, rows)
            if verdict.all() and not whole:
                return verdict
        verdict.lost += await self._forgotten(accepted)
        return verdict

    async def _ends(self, verdict: Verdict, rows: Mapping[Key, Seen]) -> None:
        for life in self._lives:
            row = rows.get(life.key)
            is_lost = row is None or row.is_settled  # nobody is going to do anything about it any more
            found = [f"{life.name}: {fault}" for fault in faults(life.told(), row)]
            (verdict.lost if is_lost else verdict.wrong).extend(found)

    async def _told(self, verdict: Verdict, _: Mapping[Key, Seen]) -> None:
        if self._with_comments:
            verdict.wrong += self._untrue_comments()

    async def _served(self, verdict: Verdict, rows: Mapping[Key, Seen]) -> None:
        verdict.wrong += await self._wrong_answers(rows) + await self._wrong_containers(rows)
        verdict.wrong += await self._code_of_strangers() + await asyncio.to_thread(self._secrets_told)

    async def _owned(self, verdict: Verdict, _: Mapping[Key, Seen]) -> None:
        verdict.leaked += await self._leaks()

    async def _forgotten(self, accepted: Collection[str]) -> list[str]:
        """Deliveries that were acknowledged and are not known."""
        known = {row["id"] for row in await self._stage.rows("SELECT id FROM deliveries")}
        return [f"delivery {guid} was acknowledged and is not recorded" for guid in accepted if guid not in known]

    async def _leaks(self) -> list[str]:
        pulls = [life.pull for life in self._lives] + ([self._uninvolved] if self._uninvolved else [])
        alive = {(pull.repository.id, pull.number) for pull in pulls if pull.state == "open"}
        listed = await asyncio.to_thread(self._stage.cli, "leaks")
        told = (
            [] if listed.returncode == 0 else [f"`previewd leaks`: {line}" for line in listed.stdout.splitlines()[:-1]]
        )
        bridges = await asyncio.to_thread(bridges_without_network) - set(self._foreign_bridges)
        return [
            *told,
            *await remains(self._stage, alive),
            *(f"rules of the packet filter for {bridge}, whose network is gone" for bridge in sorted(bridges)),
        ]

    def _untrue_comments(self) -> list[str]:
        found: list[str] = []
        for life in self._lives:
            bodies = [c.body for c in life.pull.repository.comments.values() if c.number == life.pull.number]
            known = self._watch.row(life.key) is not None
            if len(bodies) != int(known):
                found.append(f"{life.name}: {len(bodies)} comments where there should be {int(known)}")
            for body in bodies:
                found += [f"{life.name}: its comment does not say {words!r}" for words in _missing(life, body)]
        return found

    async def _wrong_answers(self, rows: Mapping[Key, Seen]) -> list[str]:
        known = [(life, rows[life.key]) for life in self._lives if life.key in rows]
        return [f"{life.name}: {fault}" for life, row in known for fault in await self._judge_visit(life, row.host)]

    async def _judge_visit(self, life: Life, host: str) -> list[str]:
        try:
            return _judge_answer(life, await self._stage.proxy.get("/", headers={"Host": host}))
        except httpx.HTTPError as error:
            return [f"its host gives no answer: {error!r}"]

    async def _wrong_containers(self, rows: Mapping[Key, Seen]) -> list[str]:
        """What is recorded to serve is what runs, no more and no less, and the route leads to one of them."""
        wanted = [(life, rows[life.key]) for life in self._lives if wanted_state(life.told()) is State.READY]
        return await asyncio.to_thread(lambda: [line for life, row in wanted for line in self._compare(life, row)])

    def _compare(self, life: Life, row: Seen) -> Iterable[str]:
        labels = [f"dev.previewd.{name}={value}" for name, value in self._labels(life.key).items()]
        with engine() as api:
            containers = api.containers(filters={"label": labels})
        names = {container["Names"][0].removeprefix("/") for container in containers}
        if names != set(row.serving_containers):
            yield f"{life.name}: {sorted(row.serving_containers)} are said to serve, and {sorted(names)} run"
        networks = [network for c in containers for network in c["NetworkSettings"]["Networks"].values()]
        address = (row.serving_upstream or "").partition(":")[0]
        if address not in {network["IPAddress"] for network in networks}:
            yield f"{life.name}: its route leads to {address}, where none of its containers is"

    def _labels(self, key: Key) -> Mapping[str, object]:
        return {"instance": self._stage.instance, "repository": key[0], "pull": key[1]}

    async def _code_of_strangers(self) -> list[str]:
        """Commits that never had leave to run have no deployment."""
        strangers = {life.key: life for life in self._lives if life.script.by_stranger}
        rows = await self._stage.rows("SELECT DISTINCT repository, number FROM deployments")
        deployed = [strangers.get((row["repository"], row["number"])) for row in rows]
        return [f"{life.name}: a stranger's code was deployed" for life in deployed if life is not None]

    def _secrets_told(self) -> list[str]:
        """No secret of the installation stands in a comment or in a log."""
        places = {
            f"{path.name}": path.read_text("utf-8", "replace") for path in (self._stage.data_dir / "log").iterdir()
        }
        for life in self._lives:
            places |= {f"a comment on {life.name}": c.body for c in life.pull.repository.comments.values()}
        words = self._stage.words_to_hide()
        return [f"a secret stands in {place}" for place, text in places.items() if any(word in text for word in words)]


def _missing(life: Life, body: str) -> list[str]:
    state = wanted_state(life.told())
    wanted = [_HEADLINES[state]]
    if state in (State.READY, State.FAILED):
        wanted.append(life.pull.head_sha[:7])
    return [words for words in wanted if words not in body]


def _judge_answer(life: Life, answer: httpx.Response) -> list[str]:
    state = wanted_state(life.told())
    mine = {change.answer for change in life.changes.values() if change.fate is Fate.READY}
    if answer.is_success and answer.text not in mine:
        return [f"its host answers with something foreign: {answer.text[:40]!r}"]
    if state is State.READY and answer.text != life.changes[life.pull.head_sha].answer:
        return [f"it should answer as its head does, and answers {answer.status_code} {answer.text[:40]!r}"]
    if state is State.REMOVED and answer.status_code not in (httpx.codes.NOT_FOUND, httpx.codes.GONE):
        return [f"it is removed, and its host answers {answer.status_code}"]
    return []
