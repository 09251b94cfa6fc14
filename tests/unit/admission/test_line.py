"""Who may begin and who waits: the fair order of the line, the walk along it, and the arithmetic in words."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Network

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.admission.line import Entry, fair_order, place_of, walk
from orchestrator.admission.room import Disk, Machine, MachineLimits, Use, room, with_connections
from orchestrator.admission.words import reason, told_reason
from orchestrator.databases.connections import Budget
from orchestrator.preview.state import PreviewId, Resource

START = datetime(2026, 1, 1, tzinfo=UTC)
GIB = 1 << 30
LIMITS = MachineLimits(
    slots=4,
    previews=100,
    pool=IPv4Network("10.213.0.0/16"),
    subnet_prefix=27,
    free_disk_bytes=4 * GIB,
    free_memory_bytes=512 << 20,
)
SLOT = frozenset({Resource.SLOT})

arrivals = st.lists(st.tuples(st.integers(1, 5), st.integers(0, 50)), min_size=1, max_size=40)
"""The repository and the second of each."""


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def entry(
    repository: int, number: int, seconds: float = 0, *needs: Resource, told: tuple[Resource, int] | None = None
) -> Entry:
    return Entry(
        preview=PreviewId(repository, number),
        generation=1,
        joined_at=at(seconds),
        needs=frozenset(needs) or SLOT,
        told=told,
    )


def line_of(came: Sequence[tuple[int, int]]) -> list[Entry]:
    return [entry(repository, number, seconds) for number, (repository, seconds) in enumerate(came, start=1)]


@given(arrivals)
def test_each_repositorys_first_comes_before_any_ones_second(came: list[tuple[int, int]]) -> None:
    order = fair_order(line_of(came), {})
    repositories = {repository for repository, _ in came}
    assert {each.preview.repository for each in order[: len(repositories)]} == repositories


@given(arrivals)
def test_inside_of_a_repository_who_came_first_is_served_first(came: list[tuple[int, int]]) -> None:
    order = fair_order(line_of(came), {})
    assert sorted(order, key=lambda each: each.preview) == sorted(line_of(came), key=lambda each: each.preview)
    for repository in {repository for repository, _ in came}:
        own = [each.joined_at for each in order if each.preview.repository == repository]
        assert own == sorted(own)


@given(arrivals, st.lists(st.integers(1, 5), max_size=60))
def test_nobody_starves_while_others_keep_coming(came: list[tuple[int, int]], coming: list[int]) -> None:
    """One is served at a time, and each time somebody else joins: a newcomer passes a waiting one of another once."""
    line, served, now = line_of(came), dict[int, datetime](), 100.0
    waits = {repository: 0 for repository, _ in came}
    newcomers = iter(coming)
    while line:
        first = fair_order(line, served)[0]
        line.remove(first)
        now += 1
        served[first.preview.repository] = at(now)
        waiting = {each.preview.repository for each in line}
        waits = {each: waits.get(each, 0) + 1 if each != first.preview.repository else 0 for each in waiting}
        assert all(turns <= 5 for turns in waits.values()), "five repositories: nobody's next waits for a sixth turn"
        if (repository := next(newcomers, None)) is not None:
            line.append(entry(repository, int(now), now))


@given(arrivals)
def test_the_order_that_was_told_is_the_order_of_service(came: list[tuple[int, int]]) -> None:
    line, served, now = line_of(came), dict[int, datetime](), 100.0
    told, order = fair_order(line, served), list[Entry]()
    while line:
        order.append(fair_order(line, served)[0])
        line.remove(order[-1])
        now += 1
        served[order[-1].preview.repository] = at(now)
    assert order == told


def test_a_hundred_of_one_repository_do_not_hold_up_anothers_first() -> None:
    crowd = [entry(1, number, number) for number in range(1, 101)]
    assert fair_order([*crowd, entry(2, 7, 500)], {1: at(200)})[1].preview == PreviewId(2, 7)
    assert fair_order([*crowd, entry(2, 7, 500)], {1: at(501)})[0].preview == PreviewId(2, 7)


@given(arrivals, st.integers(0, 6), st.integers(0, 6))
def test_nobody_is_let_in_without_room_and_no_room_is_left_unused(
    came: list[tuple[int, int]], slots: int, connections: int
) -> None:
    line = [
        entry(repository, number, seconds, Resource.SLOT, *([Resource.CONNECTIONS] if seconds % 2 else []))
        for number, (repository, seconds) in enumerate(came, start=1)
    ]
    turns = walk(line, {Resource.SLOT: slots, Resource.CONNECTIONS: connections})
    begun = [turn.entry for turn in turns if turn.lacks is None]
    assert len(begun) <= slots
    assert sum(Resource.CONNECTIONS in each.needs for each in begun) <= connections
    if len(begun) < slots:
        assert all(turn.lacks in {None, Resource.CONNECTIONS} for turn in turns)


def test_who_lacks_connections_is_passed_by_who_needs_none() -> None:
    line = [entry(1, 1, 1, Resource.SLOT, Resource.CONNECTIONS), entry(1, 2, 2), entry(1, 3, 3)]
    turns = walk(line, {Resource.SLOT: 1, Resource.CONNECTIONS: 0})
    assert [(turn.lacks, turn.place) for turn in turns] == [
        (Resource.CONNECTIONS, 1),
        (None, 0),
        (Resource.SLOT, 1),
    ]


def test_a_newcomers_place_is_behind_those_who_lack_the_same() -> None:
    own = entry(1, 9, 9)
    order = [
        entry(1, 1, 1, told=(Resource.SLOT, 1)),
        entry(1, 2, 2, told=(Resource.CONNECTIONS, 1)),
        own,
        entry(2, 3, 3, told=(Resource.SLOT, 2)),
    ]
    assert place_of(order, own, Resource.SLOT) == 2


def test_the_observations_show_their_numbers() -> None:
    machine = Machine(
        disks=(Disk(name="the disk of previewd's data", free=9 * GIB), Disk(name="the other", free=int(3.19 * GIB))),
        memory=300 << 20,
    )
    use = Use(slots=4, previews=100, addresses=65536, foreign_subnets=2, leaked={Resource.NETWORKS: 3})
    found = room(LIMITS, use, machine)
    assert found.free == {
        Resource.SLOT: 0,
        Resource.PREVIEWS: 0,
        Resource.NETWORKS: 0,
        Resource.DISK: 0,
        Resource.MEMORY: 0,
    }
    assert found.said == {
        Resource.SLOT: "this machine works on 4 previews at once",
        Resource.PREVIEWS: "this machine keeps 100 previews live at once, and 100 are",
        Resource.NETWORKS: "all 2,048 subnets of 10.213.0.0/16 are taken, 2 of them by something else on this machine; "
        "3 of the subnets belong to no live preview: `previewd leaks` lists them",
        Resource.DISK: "the other has 3.1 GiB free, and previewd keeps 4 GiB free",
        Resource.MEMORY: "this machine has 300 MiB of memory available, and previewd keeps 512 MiB free",
    }


def test_what_cannot_be_seen_limits_nobody() -> None:
    found = room(LIMITS, Use(), Machine())
    assert not {Resource.DISK, Resource.MEMORY} & found.free.keys()
    assert walk([entry(1, 1, 0, *Resource)], found.free)[0].lacks is None


def test_connections_that_are_promised_are_counted_and_leaked_ones_are_named() -> None:
    budget = Budget(max_connections=100, reserved=13, granted={"a": 20}, in_use={})
    found = with_connections(room(LIMITS, Use(), Machine()), budget, 20, promised=1, orphans=1)
    assert found.free[Resource.CONNECTIONS] == 2
    assert "20 of them are promised to 1 database, " in found.said[Resource.CONNECTIONS]
    assert "1 of the databases belongs to no live preview" in found.said[Resource.CONNECTIONS]


def test_the_pull_request_is_told_an_exact_place_up_to_the_tenth() -> None:
    third = reason(Resource.SLOT, 3, "this machine works on 4 previews at once")
    assert third == "it waits for its turn, third in line: this machine works on 4 previews at once"
    assert told_reason(third, 3) == third
    far = reason(Resource.SLOT, 212, "this machine works on 4 previews at once")
    assert far == "it waits for its turn, number 212 in line: this machine works on 4 previews at once"
    assert told_reason(far, 212) == "it waits for its turn, more than 10 before it: " + far.partition(": ")[2]
