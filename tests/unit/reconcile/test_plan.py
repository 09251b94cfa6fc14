"""The plan: a table of what may be wrong, and worlds that Hypothesis makes."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.databases.templates import Template, branch_hash
from orchestrator.ports.engine import ContainerStatus, EngineObject
from orchestrator.ports.sources import Checkout
from orchestrator.preview.names import FIRST_SNAPSHOT, MARK_LENGTH, Names, template
from orchestrator.preview.records import Known, Serving
from orchestrator.preview.state import PreviewId, State
from orchestrator.preview.trust import Pull
from orchestrator.reconcile.plan import plan
from orchestrator.reconcile.world import Action, Actual, Do, Kind, Remains, Wanted

PREVIEW, GONE, BASE = PreviewId(1, 7), PreviewId(1, 8), PreviewId(1, 0)
COMMIT = "a" * 40
NAMES = Names(instance="previewd", preview=PREVIEW)
APP, NETWORK = NAMES.container("app", "x"), NAMES.network()
NOTHING = Serving(upstream=None, routed="", containers=frozenset(), running=frozenset())
LIVE = Known(
    preview=PREVIEW,
    state=State.READY,
    reason="",
    commit=COMMIT,
    branch="feature",
    host="pr-7.example.com",
    generation=1,
    serving=Serving(upstream="10.0.0.2:80", routed=f"{APP}:80", containers=frozenset({APP}), running=frozenset({APP})),
    steady=True,
)
REMOVED = replace(LIVE, preview=GONE, state=State.REMOVED, commit=None, host="pr-8.example.com", serving=NOTHING)
TEMPLATE = Template(
    name=template("previewd", 1, "x"), repository=1, made_of={"branch": branch_hash("main"), "commit": COMMIT}
)
MAIN = replace(LIVE, preview=BASE, branch="main", host="pr-0.example.com", serving=NOTHING)
PULL = Pull(
    repository=1,
    repository_name="acme/shop",
    clone_url="",
    number=7,
    open=True,
    draft=False,
    title="",
    author="ada",
    author_is_bot=False,
    head_commit=COMMIT,
    head_branch="feature",
    head_repository=1,
    base_branch="main",
)
WANTED = Wanted(
    instance="previewd",
    previews={known.preview: known for known in (LIVE, REMOVED, MAIN)},
    open={1: {7: PULL}},
    images=frozenset({"previewd/1:used"}),
)


def container(name: str = APP, preview: PreviewId = PREVIEW, **said: Any) -> ContainerStatus:
    given: dict[str, Any] = {
        "id": name,
        "name": name,
        "labels": Names(instance="previewd", preview=preview).labels(),
        "image": "i",
        "running": True,
        "exit_code": None,
        "started": True,
        "addresses": {NETWORK: "10.0.0.2"},
        "networks": frozenset({NETWORK}),
        "volumes": frozenset({"f" * 64}),
        "created_at": datetime(2026, 1, 1, tzinfo=UTC),
    }
    return ContainerStatus(**given | said)


def thing(kind: str, name: str, owner: PreviewId = PREVIEW, labels: dict[str, str] | None = None) -> EngineObject:
    if labels is None:
        labels = Names(instance="previewd", preview=owner).labels()
    return EngineObject(kind=kind, id=name, name=name, labels=labels)


OBJECTS = (
    thing("container", APP),
    thing("network", NETWORK),
    thing("volume", NAMES.volume("data")),
    thing("volume", "f" * 64),
    thing("image", "previewd/1:used", labels=NAMES.image_labels()),
)
ACTUAL = Actual(
    objects=OBJECTS,
    containers=(container(),),
    databases=(NAMES.database,),
    templates=(TEMPLATE,),
    routes={LIVE.host: "10.0.0.2:80"},
    subnets={NETWORK: PREVIEW},
    checkouts=(Checkout(repository=1, number=7), Checkout(repository=1, number=0)),
    files=(PREVIEW,),
    backups=(PREVIEW,),
)


def knowing(*known: Known, **changes: Any) -> Wanted:
    return replace(WANTED, previews={**WANTED.previews, **{one.preview: one for one in known}}, **changes)


def having(*objects: EngineObject, **changes: Any) -> Actual:
    return replace(ACTUAL, objects=(*OBJECTS, *objects), **changes)


def test_the_plan_of_a_healthy_world_is_empty() -> None:
    assert plan(WANTED, ACTUAL) == []


OTHER = PreviewId(2, 3)
CASES: list[tuple[str, Wanted, Actual, tuple[Do, Kind, str]]] = [
    (
        "an open pull request without a row",
        replace(WANTED, open={1: {7: PULL, 9: replace(PULL, number=9)}}),
        ACTUAL,
        (Do.LOOK, Kind.PULL, "1-9"),
    ),
    ("a closed one", replace(WANTED, open={1: {}}), ACTUAL, (Do.LOOK, Kind.PULL, "1-7")),
    (
        "a pushed one",
        replace(WANTED, open={1: {7: replace(PULL, head_commit="b" * 40)}}),
        ACTUAL,
        (Do.LOOK, Kind.PULL, "1-7"),
    ),
    (
        "one that is a draft by now",
        replace(WANTED, open={1: {7: replace(PULL, draft=True)}}),
        ACTUAL,
        (Do.LOOK, Kind.PULL, "1-7"),
    ),
    (
        "a reopened one",
        replace(WANTED, open={1: {7: PULL, 8: replace(PULL, number=8)}}),
        ACTUAL,
        (Do.LOOK, Kind.PULL, "1-8"),
    ),
    (
        "a container that ended",
        WANTED,
        replace(ACTUAL, containers=(container(running=False, exit_code=1),)),
        (Do.LOOK, Kind.SERVING, LIVE.host),
    ),
    ("a route elsewhere", WANTED, replace(ACTUAL, routes={LIVE.host: "10.0.0.9:80"}), (Do.LOOK, Kind.ROUTE, LIVE.host)),
    ("a container too many", WANTED, having(thing("container", "c")), (Do.LOOK, Kind.CONTAINER, "c")),
    ("a network too many", WANTED, having(thing("network", "n")), (Do.LOOK, Kind.NETWORK, "n")),
    ("an anonymous volume", WANTED, having(thing("volume", "e" * 64)), (Do.LOOK, Kind.VOLUME, "e" * 64)),
    ("of a removed one", WANTED, having(thing("volume", "v", GONE)), (Do.CLEAR, Kind.VOLUME, "v")),
    ("of an unknown one", WANTED, having(thing("volume", "v", OTHER)), (Do.LOOK, Kind.VOLUME, "v")),
    (
        "of an unknown template",
        replace(WANTED, previews={PREVIEW: LIVE}),
        replace(having(thing("volume", "v", BASE)), templates=(), checkouts=()),
        (Do.REMOVE, Kind.VOLUME, "v"),
    ),
    ("of an unknown repository", WANTED, having(thing("volume", "v", PreviewId(2, 0))), (Do.LOOK, Kind.VOLUME, "v")),
    (
        "of no preview",
        WANTED,
        having(thing("network", "n", labels={"dev.previewd.instance": "previewd"})),
        (Do.REMOVE, Kind.NETWORK, "n"),
    ),
    (
        "an image that nobody uses",
        WANTED,
        having(thing("image", "previewd/1:old", labels=NAMES.image_labels())),
        (Do.REMOVE, Kind.IMAGE, "previewd/1:old"),
    ),
    (
        "a snapshot",
        WANTED,
        replace(ACTUAL, databases=(NAMES.database, NAMES.snapshot(3))),
        (Do.LOOK, Kind.DATABASE, NAMES.snapshot(3)),
    ),
    (
        "a way back that nobody will go",
        knowing(replace(LIVE, snapshots=frozenset({NAMES.way_back("a" * MARK_LENGTH)}))),
        replace(ACTUAL, databases=tuple(NAMES.way_back(mark * MARK_LENGTH) for mark in "ab")),
        (Do.LOOK, Kind.DATABASE, NAMES.way_back("b" * MARK_LENGTH)),
    ),
    (
        "a database of a removed one",
        WANTED,
        replace(ACTUAL, databases=("previewd_1_8",)),
        (Do.CLEAR, Kind.DATABASE, "previewd_1_8"),
    ),
    (
        "a template half made",
        WANTED,
        replace(ACTUAL, templates=(replace(TEMPLATE, made_of=None),)),
        (Do.LOOK, Kind.TEMPLATE, TEMPLATE.name),
    ),
    (
        "an older template",
        WANTED,
        replace(ACTUAL, templates=(replace(TEMPLATE, made_of={"branch": branch_hash("main"), "commit": "0"}),)),
        (Do.LOOK, Kind.TEMPLATE, TEMPLATE.name),
    ),
    ("a subnet", WANTED, replace(ACTUAL, subnets={"n": PREVIEW}), (Do.LOOK, Kind.SUBNET, "n")),
    ("a ref", WANTED, replace(ACTUAL, checkouts=(Checkout(repository=1, number=8),)), (Do.CLEAR, Kind.CHECKOUT, "1-8")),
    (
        "a repository without a ref",
        WANTED,
        replace(ACTUAL, checkouts=(Checkout(repository=5, number=None),)),
        (Do.REMOVE, Kind.CHECKOUT, "5-0"),
    ),
    ("bound files", WANTED, replace(ACTUAL, files=(GONE,)), (Do.CLEAR, Kind.FILES, "1-8")),
    ("backups", WANTED, replace(ACTUAL, backups=(OTHER,)), (Do.LOOK, Kind.BACKUPS, "2-3")),
]


@pytest.mark.parametrize(
    ("wanted", "actual", "expected"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
def test_what_is_wrong_is_planned_with_a_reason(wanted: Wanted, actual: Actual, expected: tuple[Do, Kind, str]) -> None:
    (action,) = plan(wanted, actual)
    assert (action.do, action.kind, action.name) == expected
    assert action.reason


QUIET: list[tuple[str, Wanted, Actual]] = [
    ("labels that came with an image", WANTED, having(thing("container", "c", labels=NAMES.image_labels()))),
    ("a number that no row can have", WANTED, having(thing("volume", "v", PreviewId(1 << 63, 1)))),
    ("an image that a container was made from", WANTED, having(
        replace(thing("image", "previewd/1:tried", labels=NAMES.image_labels()), id="i")
    )),
    ("a snapshot that somebody asked for", WANTED, replace(ACTUAL, databases=(NAMES.snapshot(FIRST_SNAPSHOT),))),
    ("a build cache within its limit", replace(WANTED, build_cache_bytes=9), replace(ACTUAL, build_cache_bytes=9)),
    ("what is being removed", knowing(replace(MAIN, steady=False)), replace(ACTUAL, remains=(Remains("x", 1),))),
    ("an image of another name", WANTED, having(thing("image", "somebody/app:1", labels=NAMES.image_labels()))),
    ("a database of somebody else", WANTED, replace(ACTUAL, databases=("shop", "previewd2_1_7", "previewd_owner"))),
    (
        "a snapshot to go back to",
        knowing(replace(LIVE, snapshots=frozenset({NAMES.snapshot(3)}))),
        replace(ACTUAL, databases=(NAMES.snapshot(3),)),
    ),
    ("an image while its repository is busy", knowing(replace(MAIN, steady=False)), having(
        thing("image", "previewd/1:new", labels=NAMES.image_labels())
    )),
    ("a repository that was not asked about", replace(WANTED, open={}), ACTUAL),
    (
        "the other templates of a repository",
        WANTED,
        replace(ACTUAL, templates=(replace(TEMPLATE, made_of={"branch": branch_hash("v2"), "commit": "0"}),)),
    ),
    (
        "who waits for a permission",
        knowing(replace(LIVE, state=State.WAITING, commit=None, serving=NOTHING, reason=(
            "its author, ada, has no write access to the repository (GitHub says: read), and code of such authors "
            "does not run here without approval"
        ))),
        replace(ACTUAL, objects=(), containers=(), subnets={}, routes={}),
    ),
]  # fmt: skip


@pytest.mark.parametrize(("wanted", "actual"), [case[1:] for case in QUIET], ids=[case[0] for case in QUIET])
def test_what_is_no_business_of_ours_is_left_alone(wanted: Wanted, actual: Actual) -> None:
    assert plan(wanted, actual) == []


# Worlds

_previews = st.sampled_from([PREVIEW, GONE, BASE, OTHER, PreviewId(2, 0), PreviewId(3, 1)])
_states = st.sampled_from(State)
_things = st.lists(
    st.tuples(st.sampled_from(["container", "network", "volume"]), st.sampled_from("abcd"), _previews), max_size=6
)


@st.composite
def _worlds(draw: st.DrawFn) -> tuple[Wanted, Actual]:
    rows = draw(st.dictionaries(_previews, st.tuples(_states, st.booleans()), max_size=5))
    known = {
        preview: replace(LIVE, preview=preview, state=state, steady=steady, serving=NOTHING, host=str(preview))
        for preview, (state, steady) in rows.items()
    }
    things = {(kind, name): thing(kind, name, owner) for kind, name, owner in draw(_things)}
    databases = draw(st.lists(_previews.map(lambda one: f"previewd_{one.repository}_{one.number}"), unique=True))
    return (
        Wanted(instance="previewd", previews=known),
        Actual(
            objects=tuple(things.values()),
            containers=tuple(
                container(one.name, preview=PreviewId(*_owner(one)))
                for one in things.values()
                if one.kind == "container"
            ),
            databases=tuple(databases),
            files=tuple(draw(st.lists(_previews, unique=True))),
        ),
    )


def _owner(one: EngineObject) -> tuple[int, int]:
    return int(one.labels["dev.previewd.repository"]), int(one.labels["dev.previewd.pull"])


@given(_worlds())
def test_carried_out_it_leaves_nothing_to_do(world: tuple[Wanted, Actual]) -> None:
    wanted, actual = world
    left = _carried_out(wanted, actual, plan(wanted, actual))
    assert plan(*left) == []


@given(_worlds())
def test_nobody_under_way_and_nothing_unknown_is_acted_upon(world: tuple[Wanted, Actual]) -> None:
    wanted, actual = world
    busy = {preview for preview, known in wanted.previews.items() if not known.steady}
    assert not busy & {action.preview for action in plan(wanted, actual)}
    blind = replace(actual, objects=None, containers=None)
    assert {action.kind for action in plan(wanted, blind)} <= {Kind.DATABASE, Kind.FILES}
    assert plan(wanted, Actual()) == []


def _carried_out(wanted: Wanted, actual: Actual, actions: Sequence[Action]) -> tuple[Wanted, Actual]:
    """What the worker makes of it: whoever is looked at keeps what it uses, and who has no row gets one, removed."""
    gone = {(action.kind.value, action.name) for action in actions}
    rows = {action.preview: replace(REMOVED, preview=action.preview, host="") for action in actions if action.preview}
    kept_files = tuple(one for one in actual.files or () if ("files", str(one)) not in gone)
    return (
        replace(wanted, previews={**rows, **wanted.previews}),
        replace(
            actual,
            objects=tuple(one for one in actual.objects or () if (one.kind, one.name) not in gone),
            containers=tuple(one for one in actual.containers or () if ("container", one.name) not in gone),
            databases=tuple(name for name in actual.databases or () if ("database", name) not in gone),
            files=kept_files,
        ),
    )
