"""Plans how what exists becomes what should, with a reason for each action, and says which things are leaks. Pure.

There are two ways of acting only. To *look* is to have a preview looked at again, so that the worker makes it right
under its lease and behind the gate; to *remove* is for what no preview owns and is surely ours. What nobody could be
asked about is unknown (None), which is never the same as empty: from an unknown part no action follows.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace

from orchestrator.databases.templates import Template, branch_hash
from orchestrator.ports.engine import ContainerStatus, EngineObject
from orchestrator.preview import names
from orchestrator.preview.names import DatabaseKind, Names
from orchestrator.preview.records import Known
from orchestrator.preview.state import PreviewId, State
from orchestrator.preview.trust import Pull, Run, Verdict, Wait, may_run
from orchestrator.reconcile.liveness import failure_of
from orchestrator.reconcile.world import Action, Actual, Do, Kind, Wanted

_READERS = ("triage", "read", "none")


_PERHAPS_ANOTHERS = "it goes when GitHub knows it, else it may be another previewd's with the same PREVIEWD_INSTANCE"


_IsUsed = Callable[[Known, str], bool]
"""Whether a live preview has a use for a thing of its own, by the thing's name."""


def plan(wanted: Wanted, actual: Actual, memory_bytes: int = 0) -> list[Action]:
    """Everything that has to be done, and why. Empty when all is well. `memory_bytes` is the limit that is told."""
    return [
        *_pulls(wanted),
        *_serving(wanted, actual, memory_bytes),
        *_routes(wanted, actual),
        *_containers(wanted, actual),
        *_networks(wanted, actual),
        *_volumes(wanted, actual),
        *_images(wanted, actual),
        *_databases(wanted, actual),
        *_templates(wanted, actual),
        *_subnets(wanted, actual),
        *_checkouts(wanted, actual),
        *_folders(wanted, Kind.FILES, actual.files),
        *_folders(wanted, Kind.BACKUPS, actual.backups),
        *_remains(wanted, actual),
        *_build_cache(wanted, actual),
        *_untold(wanted),
    ]


# Pull requests


def _pulls(wanted: Wanted) -> Iterator[Action]:
    for repository, pulls in wanted.open.items():
        for number, pull in pulls.items():
            known = wanted.previews.get(PreviewId(repository, number))
            if reason := _overlooked(pull, known):
                yield _look_at(PreviewId(repository, number), reason)
        for known in wanted.previews.values():
            preview = known.preview
            of_repository = preview.repository == repository and not preview.is_template
            if of_repository and preview.number not in pulls and known.steady and not known.is_removed:
                yield _look_at(preview, "the pull request is not open any more, and nobody said so")


def _overlooked(pull: Pull, known: Known | None) -> str:
    """Why an open pull request has to be looked at; empty when it has not."""
    if known is None:
        return "the pull request is open, and nobody said so"
    if not known.steady:
        return ""
    verdict = may_run(pull, "write")
    match known.state:
        case State.REMOVED:
            return "the pull request is open again, and nobody said so"
        case State.READY | State.FAILED | State.SLEEPING if verdict != Run(known.commit or ""):
            return _changed(verdict)
        case State.WAITING if isinstance(verdict, Run) and not _waits_for_its_author(pull, known):
            return "nothing about the pull request makes it wait any more"
        case _:
            return ""


def _changed(verdict: Verdict) -> str:
    return f"{verdict.commit[:12]} was pushed, and nobody said so" if isinstance(verdict, Run) else verdict.reason


def _waits_for_its_author(pull: Pull, known: Known) -> bool:
    """It waits for a permission, of which the list of open pull requests says nothing."""
    verdicts = (may_run(pull, permission) for permission in _READERS)
    return any(isinstance(verdict, Wait) and known.reason.startswith(verdict.reason) for verdict in verdicts)


def _look_at(preview: PreviewId, reason: str) -> Action:
    return Action(do=Do.LOOK, kind=Kind.PULL, name=str(preview), preview=preview, reason=reason, leaked=False)


# What serves


def _serving(wanted: Wanted, actual: Actual, memory_bytes: int) -> Iterator[Action]:
    if actual.containers is None:
        return
    present = _by_preview(actual.containers)
    for known in _steady(wanted):
        found = failure_of(known.serving, present.get(known.preview, ()), memory_bytes)
        if found and (found.is_routed or known.state is State.READY):
            yield Action(
                do=Do.LOOK,
                kind=Kind.SERVING,
                name=known.host,
                preview=known.preview,
                reason=found.reason,
                leaked=False,
            )


def _routes(wanted: Wanted, actual: Actual) -> Iterator[Action]:
    """The router reads a preview anew when it is looked at."""
    for known in wanted.previews.values():
        answered = (actual.routes or {}).get(known.host)
        wants = known.serving.upstream or ""
        if answered is None or not known.steady or answered == wants:
            continue
        said = f"Caddy leads {known.host} to {answered or 'nothing'}, and {wants or 'nothing'} serves"
        yield Action(
            do=Do.LOOK,
            kind=Kind.ROUTE,
            name=known.host,
            preview=known.preview,
            reason=said,
            leaked=bool(answered and not wants),
        )


def _by_preview(containers: Iterable[ContainerStatus]) -> Mapping[PreviewId | None, list[ContainerStatus]]:
    found: defaultdict[PreviewId | None, list[ContainerStatus]] = defaultdict(list)
    for status in containers:
        found[names.preview_of(dict(status.labels))].append(status)
    return found


def _steady(wanted: Wanted) -> Iterator[Known]:
    return (known for known in wanted.previews.values() if known.steady and not known.is_removed)


# Things of the Engine


def _containers(wanted: Wanted, actual: Actual) -> Iterator[Action]:
    for thing in _objects(actual, Kind.CONTAINER):
        yield from _owned(wanted, Kind.CONTAINER, thing, lambda known, name: name in known.serving.containers)


def _networks(wanted: Wanted, actual: Actual) -> Iterator[Action]:
    """A preview's networks go with the last container that serves in them."""
    if actual.containers is None:
        return
    used = _networks_in_use(wanted, actual.containers)
    for thing in _objects(actual, Kind.NETWORK):
        yield from _owned(wanted, Kind.NETWORK, thing, lambda _, name: name in used)


def _networks_in_use(wanted: Wanted, containers: Iterable[ContainerStatus]) -> frozenset[str]:
    serving = {name for known in wanted.previews.values() for name in known.serving.containers}
    return frozenset(network for status in containers if status.name in serving for network in status.networks)


def _volumes(wanted: Wanted, actual: Actual) -> Iterator[Action]:
    """A named volume stays for as long as its preview does; an anonymous one, while a container has it."""
    if actual.containers is None:
        return
    used = frozenset(volume for status in actual.containers for volume in status.volumes)

    def is_used(known: Known, name: str) -> bool:
        project = Names(instance=wanted.instance, preview=known.preview).project
        return name.startswith(f"{project}_") or name in used

    for thing in _objects(actual, Kind.VOLUME):
        yield from _owned(wanted, Kind.VOLUME, thing, is_used)


def _images(wanted: Wanted, actual: Actual) -> Iterator[Action]:
    """All previews of a repository share its images. While one of them is under way, it may be about to use any.

    What a container was made from goes after that container, which may be of somebody who tries an image of ours.
    """
    if actual.containers is None:
        return
    in_use = {status.image for status in actual.containers}
    busy = {str(repository) for repository in _busy(wanted)}
    others = (thing for thing in actual.objects or () if thing.kind != Kind.IMAGE)
    owners = (names.preview_of(dict(thing.labels)) for thing in others)
    busy |= {str(owner.repository) for owner in owners if owner and owner not in wanted.previews}
    for thing in _objects(actual, Kind.IMAGE):
        ours = thing.name.startswith((f"{wanted.instance}/", "sha256:"))
        is_free = thing.name not in wanted.images and thing.id not in in_use
        if ours and is_free and thing.labels.get(names.REPOSITORY_LABEL) not in busy:
            yield _remove(Kind.IMAGE, thing.name, "no preview uses it")


def _busy(wanted: Wanted) -> set[int]:
    """Repositories of which something is under way."""
    return {known.preview.repository for known in wanted.previews.values() if not known.steady}


def _objects(actual: Actual, kind: Kind) -> list[EngineObject]:
    return [thing for thing in actual.objects or () if thing.kind == kind]


def _owned(wanted: Wanted, kind: Kind, thing: EngineObject, is_used: _IsUsed) -> Iterator[Action]:
    labels = dict(thing.labels)
    preview = names.preview_of(labels)
    if preview is not None:
        for action in _of_preview(wanted, kind, thing.name, preview, is_used):
            yield replace(action, id=thing.id)
    elif names.REPOSITORY_LABEL not in labels:  # with it alone, somebody made it himself from an image of ours
        yield replace(_remove(kind, thing.name, "its labels name no preview"), id=thing.id)


def _of_preview(
    wanted: Wanted, kind: Kind, name: str, preview: PreviewId, is_used: _IsUsed | None = None
) -> Iterator[Action]:
    """What is to be done about a thing of a preview. Without `is_used` a live preview may have it."""
    known = wanted.previews.get(preview)
    if not preview.fits:
        return  # nothing of ours is numbered so
    if known is None and preview.repository not in wanted.repositories:
        reason = f"it is of preview {preview}, and nothing is known here of its repository: {_PERHAPS_ANOTHERS}"
        yield _leaked(Do.LOOK, kind, name, reason, preview)
    elif known is None and preview.is_template:
        yield _remove(kind, name, f"nobody knows of a template of repository {preview.repository}", preview)
    elif known is None:
        reason = f"it is of preview {preview}, of which nothing is known here"
        yield _leaked(Do.LOOK, kind, name, reason, preview)
    elif not known.steady:
        return
    elif known.is_removed:
        yield _leaked(Do.CLEAR, kind, name, f"preview {preview} is removed", preview)
    elif is_used and not is_used(known, name):
        yield _leaked(Do.LOOK, kind, name, f"preview {preview} does not use it", preview)


def _remove(kind: Kind, name: str, reason: str, preview: PreviewId | None = None) -> Action:
    return _leaked(Do.REMOVE, kind, name, reason, preview)


def _leaked(do: Do, kind: Kind, name: str, reason: str, preview: PreviewId | None) -> Action:
    """What is done about a thing that exists and should not."""
    return Action(do=do, kind=kind, name=name, preview=preview, reason=reason, leaked=True)


# Databases, and what lies on disk


def _databases(wanted: Wanted, actual: Actual) -> Iterator[Action]:
    for name in actual.databases or ():
        preview = names.preview_of_database(wanted.instance, name)
        if preview is not None:
            yield from _of_preview(wanted, Kind.DATABASE, name, preview, _is_kept)


def _is_kept(known: Known, database: str) -> bool:
    """Its own, what people asked for, and what it may have to go back to."""
    instance = database.partition("_")[0]
    is_own = names.kind_of_database(instance, database) is DatabaseKind.PREVIEW
    return is_own or names.was_asked_for(instance, database) or database in known.snapshots


def _templates(wanted: Wanted, actual: Actual) -> Iterator[Action]:
    """Templates of several base branches may be there; of each only the newest, and none that is half made."""
    for template in actual.templates or ():

        def is_needed(known: Known, _: str, template: Template = template) -> bool:
            if template.made_of is None:
                return False
            is_of_branch = template.made_of["branch"] == branch_hash(known.branch)
            return not is_of_branch or known.state is not State.READY or template.made_of["commit"] == known.commit

        yield from _of_preview(wanted, Kind.TEMPLATE, template.name, PreviewId(template.repository, 0), is_needed)


def _subnets(wanted: Wanted, actual: Actual) -> Iterator[Action]:
    if actual.containers is None:
        return
    used = _networks_in_use(wanted, actual.containers)
    for network, preview in (actual.subnets or {}).items():
        yield from _of_preview(wanted, Kind.SUBNET, network, preview, lambda _, name: name in used)


def _checkouts(wanted: Wanted, actual: Actual) -> Iterator[Action]:
    live = {known.preview.repository for known in wanted.previews.values() if not (known.is_removed and known.steady)}
    for found in actual.checkouts or ():
        if found.number is not None:
            preview = PreviewId(found.repository, found.number)
            yield from _of_preview(wanted, Kind.CHECKOUT, str(preview), preview)
        elif found.repository not in live:
            preview = PreviewId(found.repository, 0)
            yield _remove(Kind.CHECKOUT, str(preview), "it holds nothing, and its repository has no preview", preview)


def _folders(wanted: Wanted, kind: Kind, found: Iterable[PreviewId] | None) -> Iterator[Action]:
    for preview in found or ():
        yield from _of_preview(wanted, kind, str(preview), preview)


def _remains(wanted: Wanted, actual: Actual) -> Iterator[Action]:
    """While something of the repository is under way, it may be just being removed."""
    busy = _busy(wanted)
    for left in actual.remains or ():
        if left.repository not in busy:
            yield _remove(
                Kind.FILES, left.path, "its removal did not come to its end: some of it may be another account's"
            )


# What is limited, and what is told


def _build_cache(wanted: Wanted, actual: Actual) -> Iterator[Action]:
    size, limit = actual.build_cache_bytes or 0, wanted.build_cache_bytes
    if limit and size > limit:
        reason = f"it takes {size >> 20} MiB, and the limit is {limit >> 20} MiB: the oldest of it goes"
        yield replace(_remove(Kind.CACHE, "what builds left", reason), leaked=False)


def _untold(wanted: Wanted) -> Iterator[Action]:
    """What the forge still shows of a removed preview has leaked there."""
    for known in wanted.previews.values():
        if known.untold:
            yield _tell(known, Kind.COMMENT, str(known.preview))
            yield from (_tell(known, Kind.DEPLOYMENT, commit) for commit in sorted(known.shown) if known.is_removed)


def _tell(known: Known, kind: Kind, name: str) -> Action:
    reason = f"preview {known.preview} is removed, and {known.untold}" if known.is_removed else known.untold
    return Action(do=Do.TELL, kind=kind, name=name, preview=known.preview, reason=reason, leaked=known.is_removed)
