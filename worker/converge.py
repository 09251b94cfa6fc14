"""Bring one preview to what its pull request asks for now. Called by the arq job; arq itself is not known here."""

import contextlib
from typing import Any

import structlog
from sqlalchemy import Row

from orchestrator.preview.errors import (
    AuthorError,
    ForgeUnavailable,
    LeaseLost,
    NoRoom,
    OperatorError,
    PreviewdError,
    Superseded,
    TemporaryError,
    Unavailable,
)
from orchestrator.preview.state import STATE_DURING, PreviewId, State, Step
from orchestrator.preview.trust import Pull, Remove, Run, Wait
from orchestrator.runtime import fence
from orchestrator.runtime.concurrency import run_watched
from orchestrator.store.faults import of_the_machine
from orchestrator.store.store import Lease
from worker import admission, base_branch
from worker.cleanup.images import tidy_images
from worker.cleanup.leftovers import discard_leftovers
from worker.cleanup.rollback import discard_snapshot, withdraw
from worker.cleanup.unserving import discard_unserving
from worker.context.context import WorkerContext
from worker.deployment.deployment import Deployment
from worker.deployment.explain import explain
from worker.deployment.gate import Gate, Look, keep, look
from worker.deployment.journal import Journal
from worker.serving import ServingFailure, find_failure, keep_serving, lead_away, require_another_life, tell
from worker.steps import build, database, environment, launch, probe, source, teardown

STEPS = (
    (Step.SOURCE, source.run),
    (Step.BUILD, build.run),
    (Step.DATABASE, database.run),
    (Step.ENVIRONMENT, environment.run),
    (Step.LAUNCH, launch.run),
    (Step.PROBE, probe.run),
)

TEMPLATE_STEPS = (*STEPS[:-1], (Step.PROBE, base_branch.finish))
"""Of a base branch, which serves nobody."""

MAX_ATTEMPTS = 4
"""After so many tries a fault of the machine is the operator's to look at."""

MAX_TEMPORARY_ATTEMPTS = 20
"""What should have passed by itself has not: with the pauses between them, these take a quarter of an hour."""

MIN_PAUSE_SECONDS = 1.0
MAX_DOUBLINGS = 6
"""The pause before another attempt doubles up to about a minute."""

_log = structlog.get_logger()


async def converge(context: WorkerContext, preview: PreviewId) -> None:
    """Act until nothing is left to do. Does nothing while another worker acts: that one sees newer generations."""
    while (lease := await context.store.acquire(preview)) is not None:
        try:
            with fence.under(lease.fence):
                await run_watched(_settle(context, lease), keep(context, lease))
        except LeaseLost as lost:
            _log.info("lease lost", preview=str(preview), reason=lost.message)
            return
        finally:
            freed = await context.store.release(lease)
        if freed:
            await admission.call_next(context)


async def _settle(context: WorkerContext, lease: Lease) -> None:
    """Answer the newest generation, and turn whatever stops us into a recorded state."""
    generation = await context.store.renew(lease)
    try:
        await _answer(context, lease, generation)
    except LeaseLost:
        raise
    except Superseded as superseded:
        await context.store.close_deployment(lease, "superseded", superseded)
    except AuthorError as error:
        await _fail(context, lease, generation, error)
    except NoRoom as error:
        if lease.preview.is_template:
            await _try_again(context, lease, generation, Unavailable(error.message, admission.LOOK_SECONDS))
        else:
            await admission.join(context, lease, error)
    except (TemporaryError, OperatorError) as error:
        await _try_again(context, lease, generation, error)
    except Exception as error:  # noqa: BLE001 - the edge of the job: whatever it is must end in a recorded state
        away = of_the_machine(error)
        if away is None:
            _log.exception("a fault of previewd's own", preview=str(lease.preview))
        await _try_again(context, lease, generation, away or OperatorError(f"internal error: {type(error).__name__}"))


async def _answer(context: WorkerContext, lease: Lease, generation: int) -> None:
    """Look at the pull request, and do what follows."""
    await _finish_removal(context, lease)
    looked = await _look(context, lease)
    if looked.pull is not None:
        await context.store.refresh(lease, looked.pull)
    match looked.verdict:
        case Remove(reason):
            await _remove(context, lease, generation, reason)
        case Wait() as wait:
            await _wait(context, lease, generation, wait)
        case Run(commit) if looked.pull is not None:
            gate = Gate(context, lease, generation, commit)
            await run_watched(_deploy(context, lease, gate, looked.pull), gate.watch())
        case Run():
            raise OperatorError("a pull request that is not there was allowed to run")


async def _look(context: WorkerContext, lease: Lease) -> Look:
    """Ask the forge. While it does not answer nothing is brought up, but what fell is led away from all the same."""
    try:
        return await look(context, lease.preview)
    except ForgeUnavailable:
        if (fallen := await find_failure(context, lease)) is not None:
            await lead_away(context, lease, fallen)
        raise


async def _deploy(context: WorkerContext, lease: Lease, gate: Gate, pull: Pull) -> None:
    row = await context.store.own(lease)
    answered, fallen = await _is_answered(context, lease, row, pull), await find_failure(context, lease)
    if answered and (fallen is None or row.state is State.FAILED):
        await _stay(context, lease, gate.generation, fallen)
        return
    if fallen is not None:
        await lead_away(context, lease, fallen)
    # Also after it had to wait in line, or a worker was killed while it was at it: what served is this very commit.
    again = fallen if row.serving_commit == pull.head_commit and row.forced <= row.settled else None
    reason = f"{again.reason}; it is brought up again" if again else f"commit {pull.head_commit[:12]} is to run"
    if lease.preview.is_template:
        await context.store.advance(lease, State.QUEUED, reason, commit=pull.head_commit)
        await _make_template(context, lease, gate, pull, row.host)
        return
    await admission.enter(context, lease, row, pull.head_commit, reason)
    await _run(await _open(context, lease, gate, pull, row.host), again)


async def _stay(context: WorkerContext, lease: Lease, generation: int, fallen: ServingFailure | None) -> None:
    """Nothing is to be deployed: have what serves go on, and nothing else be there."""
    await context.store.close_deployment(lease, "ready")  # a worker killed right after the promotion left it open
    await _discard(context, lease)
    await discard_leftovers(context, lease)
    if fallen is not None:
        await keep_serving(context, lease)
    await context.store.settle(lease, generation)


async def _is_answered(context: WorkerContext, lease: Lease, row: Row[Any], pull: Pull) -> bool:
    """Whether this commit came up already, or failed; of a branch, whether there is a template of it by now."""
    if row.commit != pull.head_commit or row.state not in (State.READY, State.FAILED) or row.forced > row.settled:
        return False
    return (
        not lease.preview.is_template or row.state is State.FAILED or await base_branch.is_whole(context, lease, pull)
    )


async def _make_template(context: WorkerContext, lease: Lease, gate: Gate, pull: Pull, host: str) -> None:
    """Have the template of a base branch, when no pull request has to wait for that."""
    if await base_branch.is_whole(context, lease, pull):
        await context.store.advance(lease, State.READY, f"{pull.base_branch} is a template")
        await context.store.settle(lease, gate.generation)
        return
    await base_branch.require_quiet(context)
    await _run(await _open(context, lease, gate, pull, host))


async def _open(context: WorkerContext, lease: Lease, gate: Gate, pull: Pull, host: str) -> Deployment:
    number = await context.store.start_deployment(lease, gate.generation, pull.head_commit)
    journal = Journal(context.store, number)
    return Deployment(context=context, lease=lease, gate=gate, pull=pull, host=host, number=number, journal=journal)


async def _run(deployment: Deployment, fallen: ServingFailure | None = None) -> None:
    """Bring the commit up; again, if it has `fallen`."""
    store, lease = deployment.context.store, deployment.lease
    try:
        if fallen is not None:
            await tell(deployment, fallen)
            await require_another_life(deployment, fallen)
        for step, run in TEMPLATE_STEPS if lease.preview.is_template else STEPS:
            await deployment.enter(step, STATE_DURING[step])
            await run(deployment)
            await deployment.leave()
    except PreviewdError as error:
        await explain(deployment, error)
        deployment.journal.conceal_in(error)
        raise
    finally:
        await deployment.journal.close()
    await store.close_deployment(lease, "ready")
    await _discard(deployment.context, lease, replaced=True)
    await base_branch.want(deployment)
    await store.settle(lease, deployment.gate.generation)
    if await find_failure(deployment.context, lease) is not None:  # what ends while a worker is at it goes unheard
        await store.looks.once_more(lease.preview)


async def _fail(context: WorkerContext, lease: Lease, generation: int, error: AuthorError) -> None:
    """The commit is at fault: say so, take its containers away, and leave alone what an older commit serves."""
    await context.store.close_deployment(lease, "failed", error)
    row = await context.store.own(lease)
    if row.serving_commit == row.commit and row.serving_upstream is None:
        await context.store.unroute(lease)  # it served, fell, and did not come up again
    await _withdraw(context, lease)
    await context.store.advance(lease, State.FAILED, error.message)
    await keep_serving(context, lease)
    await context.store.settle(lease, generation)


async def _withdraw(context: WorkerContext, lease: Lease) -> None:
    """Take back whatever was on its way up, and the images that were needed for it alone."""
    await (base_branch.clean_up(context, lease) if lease.preview.is_template else withdraw(context, lease))
    await tidy_images(context, lease.preview.repository)


async def _wait(context: WorkerContext, lease: Lease, generation: int, wait: Wait) -> None:
    row = await context.store.own(lease)
    if row.state is State.REMOVED:
        await context.store.advance(lease, State.QUEUED, "the pull request is open again")
    if not wait.keeps_serving:
        await context.store.unroute(lease)
    await context.store.close_deployment(lease, "interrupted")  # a killed worker left it open
    await _withdraw(context, lease)
    await discard_leftovers(context, lease)
    await context.store.advance(lease, State.WAITING, wait.reason)
    await keep_serving(context, lease)
    await context.store.settle(lease, generation)


async def _discard(context: WorkerContext, lease: Lease, *, replaced: bool = False) -> None:
    """Remove what the commit that serves by now no longer needs; nothing of a base branch does."""
    if lease.preview.is_template:
        await base_branch.clean_up(context, lease)
    else:
        await discard_unserving(context, lease, replaced=replaced)
        await discard_snapshot(context, lease)
    await tidy_images(context, lease.preview.repository)


async def _finish_removal(context: WorkerContext, lease: Lease) -> None:
    """A removal that was cut short is brought to its end first, even when the pull request is open again by now."""
    row = await context.store.own(lease)
    if row.state is State.REMOVING:
        await _tear_down(context, lease, row.reason)


async def _remove(context: WorkerContext, lease: Lease, generation: int, reason: str) -> None:
    row = await context.store.own(lease)
    if row.state is not State.REMOVED or row.forced > row.settled:
        await context.store.advance(lease, State.REMOVING, reason)
        await _tear_down(context, lease, reason)
    await context.store.settle(lease, generation)


async def _tear_down(context: WorkerContext, lease: Lease, reason: str) -> None:
    await context.store.close_deployment(lease, "interrupted")  # a killed worker left it open
    await teardown.run(context, lease)
    if lease.preview.is_template:
        await base_branch.drop_all(context, lease.preview.repository)
    await context.store.advance(lease, State.REMOVED, reason, commit=None, secrets=None, database=None)


async def _try_again(
    context: WorkerContext, lease: Lease, generation: int, error: TemporaryError | OperatorError
) -> None:
    """Wait and repeat; after too many tries say so and stop, but never stop removing."""
    row = await context.store.own(lease)
    await context.store.close_deployment(lease, "failed", error)
    if _is_hopeless(error, row.attempts + 1) and row.state is not State.REMOVING:
        await _give_up(context, lease, generation, error)
    elif isinstance(error, Unavailable):
        seconds = max(MIN_PAUSE_SECONDS, error.retry_after)
        await context.store.postpone(lease, f"{error.message}; trying again", seconds, counts=False)
    else:
        seconds = max(MIN_PAUSE_SECONDS, 2.0 ** min(row.attempts, MAX_DOUBLINGS))
        await context.store.postpone(lease, f"{error.message}; trying again", seconds)


def _is_hopeless(error: TemporaryError | OperatorError, attempts: int) -> bool:
    """Whether another try makes no sense. While what we need is away, no try says anything about this commit."""
    match error:
        case Unavailable():
            return False
        case OperatorError():
            return attempts >= MAX_ATTEMPTS
        case TemporaryError():
            return attempts >= MAX_TEMPORARY_ATTEMPTS


async def _give_up(context: WorkerContext, lease: Lease, generation: int, error: PreviewdError) -> None:
    """Stop, and take away what came up if that can be done: the fault may be in the way of this too."""
    _log.error("given up", preview=str(lease.preview), reason=error.message, remedy=error.remedy)
    with contextlib.suppress(TemporaryError, OperatorError):
        await _withdraw(context, lease)
    await context.store.advance(lease, State.FAILED, error.message)
    await context.store.settle(lease, generation)
