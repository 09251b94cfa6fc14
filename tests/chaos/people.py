"""Those who open, push and close: they play the scripts on the stand-in for GitHub, and know what must come of it."""

import asyncio
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from tests.chaos.apps import Change, Shape, files
from tests.chaos.post import Post
from tests.chaos.script import Act, Script, Verb
from tests.chaos.truth import Told, faults
from tests.chaos.watch import Watch
from tests.forge import Forge, PullRequest, Repository

WRITER, STRANGER = "ada", "mallory"

LONGEST_WAIT_SECONDS = 40.0
"""Who waits for a preview in a storm does not wait for ever: the next push may be what heals it."""

POLL_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Place:
    """A repository, and what its stacks consist of."""

    repository: Repository
    shape: Shape


@dataclass(slots=True, kw_only=True, eq=False)
class Life:
    """A pull request, and every change that it ever was."""

    script: Script
    pull: PullRequest
    place: Place
    changes: dict[str, Change] = field(default_factory=dict)
    """By commit, oldest first."""

    @property
    def key(self) -> tuple[int, int]:
        return self.pull.repository.id, self.pull.number

    @property
    def name(self) -> str:
        return f"{self.pull.repository.name}#{self.pull.number}"

    def told(self) -> Told:
        """What GitHub says of it now."""
        return Told(
            is_open=self.pull.state == "open",
            is_draft=self.pull.draft,
            by_stranger=self.script.by_stranger,
            head=self.pull.head_sha,
            changes=dict(self.changes),
        )


class People:
    """All of them. What they do is done when a method returns; what GitHub says of it is on its way."""

    def __init__(self, forge: Forge, post: Post, watch: Watch, shapes: Iterable[Shape]) -> None:
        self._forge, self._post, self._watch = forge, post, watch
        self.places = [self._found(number, shape) for number, shape in enumerate(shapes)]
        self.lives: list[Life] = []
        self.done: Counter[Verb] = Counter()
        self.gave_up = 0
        """How often somebody stopped waiting."""

    async def play(self, scripts: Iterable[Script], *, at_once: int) -> None:
        """Play all scripts, so many side by side."""
        waiting = iter(scripts)

        async def player() -> None:
            for script in waiting:
                await self._play(script)

        async with asyncio.TaskGroup() as group:
            for _ in range(at_once):
                group.create_task(player())

    async def close_all(self) -> None:
        """Close whatever is open, and let GitHub's word arrive."""
        for life in self.lives:
            if life.pull.state == "open":
                self._forge.close(life.pull)
        await self._post.bring(self._forge.take_deliveries(), well=True)

    async def _play(self, script: Script) -> None:
        place = self.places[script.place % len(self.places)]
        life: Life | None = None
        for act in script.acts:
            life = self._do(act, script, place, life)
            self.done[act.verb] += 1
            await self._post.bring(self._forge.take_deliveries())
            await self._wait(act, life)

    def _do(self, act: Act, script: Script, place: Place, life: Life | None) -> Life:
        forge, change = self._forge, act.change
        if life is None:
            assert change is not None, act
            return self._open(script, place, change)
        pull = life.pull
        match act.verb:
            case Verb.PUSH:
                assert change is not None
                life.changes[forge.push(pull, files(change, place.shape))] = change
            case Verb.REWRITE:
                assert change is not None
                life.changes[forge.force_push(pull, files(change, place.shape))] = change
            case Verb.GO_BACK:
                forge.reset(pull, _an_older(life.changes, pull.head_sha))
            case Verb.DRAFT:
                forge.convert_to_draft(pull)
            case Verb.UNDRAFT:
                forge.ready_for_review(pull)
            case Verb.CLOSE:
                forge.close(pull)
            case Verb.REOPEN:
                forge.reopen(pull)
            case Verb.OPEN:
                raise AssertionError("it is open already")
        return life

    def _open(self, script: Script, place: Place, change: Change) -> Life:
        sha = self._forge.commit(place.repository, script.title, files(change, place.shape))
        author = STRANGER if script.by_stranger else WRITER
        pull = self._forge.open_pull(place.repository, script.title, author=author, title=script.title)
        life = Life(script=script, pull=pull, place=place, changes={sha: change})
        self.lives.append(life)
        return life

    async def _wait(self, act: Act, life: Life) -> None:
        if act.pause is not None:
            await asyncio.sleep(act.pause)
            return
        deadline = time.monotonic() + LONGEST_WAIT_SECONDS
        while faults(life.told(), self._watch.row(life.key)):
            if time.monotonic() > deadline:
                self.gave_up += 1
                return
            await asyncio.sleep(POLL_SECONDS)

    def _found(self, number: int, shape: Shape) -> Place:
        first = files(Change(answer="main"), shape)
        repository = self._forge.create_repository(f"acme/{shape.value}-{number}", first)
        self._forge.set_permission(repository, WRITER, "write")
        return Place(repository, shape)


def _an_older(changes: Mapping[str, Change], head: str) -> str:
    others = [sha for sha in changes if sha != head]
    return others[len(others) // 2] if others else head
