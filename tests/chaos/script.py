"""What people do to pull requests, drawn by lot from a seed: the same seed gives the same acts. Pure."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from random import Random

from tests.chaos.apps import Change, Fate

MOST_CYCLES = 3
"""Of one pull request."""

BRIEF_SECONDS = 3.0
"""The longest pause of somebody who does not wait for the preview."""


class Verb(StrEnum):
    """What somebody does."""

    OPEN = "open"
    PUSH = "push"
    REWRITE = "rewrite"
    """Force-push a new commit in place of all others."""
    GO_BACK = "go back"
    """Force-push an older commit."""
    DRAFT = "draft"
    UNDRAFT = "undraft"
    CLOSE = "close"
    REOPEN = "reopen"


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """One thing that somebody does, and how long it is until the next."""

    verb: Verb
    change: Change | None = None
    """Of verbs that bring a commit."""
    pause: float | None = None
    """In seconds; None is until the preview stands where it should."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """The life of one pull request."""

    title: str
    place: int
    """Which of the storm's repositories it is in, modulo their number."""
    by_stranger: bool
    """Opened by somebody whose code may not run."""
    acts: tuple[Act, ...]

    @property
    def cycles(self) -> int:
        """How often it is opened, pushed to and closed."""
        return sum(act.verb is Verb.CLOSE for act in self.acts)


def scripts(seed: int, cycles: int, *, staying: int) -> list[Script]:
    """Lives with so many cycles in all, or a few more; `staying` of them are open in the end."""
    random = Random(seed)  # noqa: S311 - it is to be the same again
    written: list[Script] = []
    while sum(script.cycles for script in written) < cycles:
        written.append(_life(random, len(written), random.choice((1, 1, 2, MOST_CYCLES))))
    for number in range(staying):
        life = _life(random, len(written) + number, random.choice((0, 1)), stays=True)
        written.insert(random.randrange(len(written) + 1), life)
    return written


def _life(random: Random, number: int, cycles: int, *, stays: bool = False) -> Script:
    title = f"change-{number}"
    changes = _changes(random, title)
    acts: list[Act] = []
    for cycle in range(cycles + stays):
        acts += _opened(random, changes, is_first=cycle == 0)
        if cycle < cycles:
            acts.append(Act(verb=Verb.CLOSE, pause=_pause(random, waits=0.5)))
    return Script(title=title, place=random.randrange(1000), by_stranger=random.random() < 0.04, acts=tuple(acts))


def _opened(random: Random, changes: Iterator[Change], *, is_first: bool) -> list[Act]:
    """From an open, or reopen, up to right before the close."""
    first = Act(verb=Verb.OPEN, change=next(changes), pause=_pause(random)) if is_first else _reopened(random)
    acts = [first]
    for _ in range(random.choice((1, 1, 1, 1, 2))):
        acts += _pushed(random, changes)
    if random.random() < 0.12:
        acts += [Act(verb=Verb.DRAFT, pause=_pause(random)), Act(verb=Verb.UNDRAFT, pause=_pause(random))]
    return acts


def _reopened(random: Random) -> Act:
    return Act(verb=Verb.REOPEN, pause=_pause(random))


def _pushed(random: Random, changes: Iterator[Change]) -> list[Act]:
    match random.choices(("push", "burst", "rewrite", "back"), (60, 14, 13, 13))[0]:
        case "burst":
            hasty = [Act(verb=Verb.PUSH, change=next(changes), pause=0.0) for _ in range(random.randint(2, 4))]
            return [*hasty, Act(verb=Verb.PUSH, change=next(changes), pause=_pause(random))]
        case "rewrite":
            return [Act(verb=Verb.REWRITE, change=next(changes), pause=_pause(random))]
        case "back":
            forth = Act(verb=Verb.PUSH, change=next(changes), pause=_pause(random))
            return [forth, Act(verb=Verb.GO_BACK, pause=_pause(random))]
        case _:
            return [Act(verb=Verb.PUSH, change=next(changes), pause=_pause(random))]


def _pause(random: Random, waits: float = 0.55) -> float | None:
    """Until all is well, or a moment: then the next act comes while a worker is still at this one."""
    return None if random.random() < waits else random.uniform(0.0, BRIEF_SECONDS)


def _changes(random: Random, title: str) -> Iterator[Change]:
    """A third of them change nothing that runs, as most commits to a README do."""
    newest = Change(answer=f"{title}.0")
    for number in itertools.count(1):
        if random.random() < 0.35:
            yield replace(newest, note=f"note {number}")
            continue
        fate = random.choices(tuple(Fate), (88, 4, 4, 4))[0]
        newest = Change(answer=f"{title}.{number}", fate=fate, built=random.random() < 0.15)
        yield newest
