"""Bring one preview to what is asked for now: a pull request, or a base branch that others are copied from.

This is the file to read first. Take the lease; ask the forge; then remove, wait, or run the steps and clean up.
What stops us becomes a recorded state: FAILED for the author's faults, another try for everything else.
"""

import contextlib
from typing import Protocol

import structlog

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
from orchestrator.preview.state import STATE_DURING, PreviewId, State, may_move
from orchestrator.preview.trust import Pull, Remove, Run, Wait
from orchestrator.runtime import fence
from orchestrator.runtime.concurrency import run_watched
from orchestrator.store.claims import Claim
from orchestrator.store.faults import of_the_machine
from orchestrator.store.owned import Owned
from worker import admission
from worker.base_branch import BaseBranch
from worker.cleanup.images import tidy_images
from worker.cleanup.leftovers import discard_leftovers
from worker.context.context import WorkerContext
from worker.deployment.deployment import Deployment, Steps
from worker.deployment.explain import explain
from worker.deployment.gate import Gate, Look
from worker.deployment.journal import Journal
from worker.pull_request import PullRequest
from worker.serving import (
    ServingFailure,
    find_failure,
    hide_failed,
    keep_serving,
    require_no_crash_loop,
    tell_why_again,
)
from worker.steps import teardown

MAX_ATTEMPTS = 4
"""After so many tries a fault of the machine is the operator's to look at."""

MAX_TEMPORARY_ATTEMPTS = 20
"""What should have passed by itself has not: with the pauses between them, these take a quarter of an hour."""

MIN_PAUSE_SECONDS = 1.0
MAX_DOUBLINGS = 6
"""The pause before another attempt doubles up to about a minute."""

_log = structlog.get_logger()


class Subject(Protocol):
    """A pull request or a base branch. Lease, gate, retries and removal are the same for both; this differs."""

    @property
    def steps(self) -> Steps: ...

    async def look(self, context: WorkerContext, preview: PreviewId) -> Look:
        """Ask the forge, and decide. Raises ForgeUnavailable."""

    async def is_there(self, context: WorkerContext, claim: Claim, pull: Pull) -> bool:
        """Whether what a commit that is READY was brought up for is still there."""

    async def enter(self, context: WorkerContext, claim: Claim, row: Owned, pull: Pull, reason: str) -> bool:
        """Be let in, QUEUED with the commit; False when nothing is to be brought up after all."""

    def database_name(self, context: WorkerContext, claim: Claim, pull: Pull) -> str:
        """The name of the database that the commit's containers connect to."""

    async def no_room(self, context: WorkerContext, claim: Claim, error: NoRoom) -> None:
        """`enter`, or a step, found no room for it."""

    async def withdraw(self, context: WorkerContext, claim: Claim) -> None:
        """Take back whatever was on its way up."""

    async def discard(self, context: WorkerContext, claim: Claim, *, replaced: bool) -> None:
        """Remove what the commit that serves by now no longer needs."""

    async def came_up(self, deployment: Deployment) -> None:
        """The commit is proven."""

    async def removed(self, context: WorkerContext, claim: Claim) -> None:
        """Remove what only this kind has, after what every preview has."""


_PULL_REQUEST, _BASE_BRANCH = PullRequest(), BaseBranch()


async def converge(context: WorkerContext, preview: PreviewId) -> None:
    """Act until nothing is left to do. Does nothing while another worker acts: that one sees newer generations."""
    while (claim := await context.store.claims.acquire(preview)) is not None:
        try:
            with fence.under(claim.fence):
                await run_watched(_settle(context, claim), claim.keep_renewing())
        except LeaseLost as lost:
            _log.info("lease lost", preview=str(preview), reason=lost.message)
            return
        finally:
            freed = await claim.release()
        if freed:
            await admission.call_next(context)


async def _settle(context: WorkerContext, claim: Claim) -> None:
    """Answer the newest generation, and turn whatever stops us into a recorded state."""
    generation = await claim.renew()
    subject: Subject = _BASE_BRANCH if claim.preview.is_template else _PULL_REQUEST
    try:
        await _answer_or_fail(context, claim, subject, generation)
    except LeaseLost:
        raise
    except Superseded as superseded:
        await claim.deployments.close("superseded", superseded)
    except (TemporaryError, OperatorError) as error:
        await _try_again(context, claim, subject, generation, error)
    except Exception as error:  # noqa: BLE001 - the edge of the job: whatever it is must end in a recorded state
        away = of_the_machine(error)
        if away is None:
            _log.exception("a fault of previewd's own", preview=str(claim.preview))
        internal = OperatorError(f"internal error: {type(error).__name__}")
        await _try_again(context, claim, subject, generation, away or internal)


async def _answer_or_fail(context: WorkerContext, claim: Claim, subject: Subject, generation: int) -> None:
    """What cannot be cleaned up after a failed commit is tried again like anything else, and not without end."""
    try:
        await _answer(context, claim, subject, generation)
    except AuthorError as error:
        await _fail(context, claim, subject, generation, error)


async def _answer(context: WorkerContext, claim: Claim, subject: Subject, generation: int) -> None:
    """Look at the pull request, and do what follows."""
    row = await _without_unfinished_removal(context, claim, subject)
    looked = await _look(context, claim, subject, row)
    if looked.pull is not None:
        await claim.refresh(looked.pull)
    match looked.verdict:
        case Remove(reason):
            await _remove(context, claim, subject, row, reason)
        case Wait() as wait:
            await _wait(context, claim, subject, row, wait)
        case Run(commit) if looked.pull is not None:
            gate = Gate(claim, lambda: subject.look(context, claim.preview), generation, commit)
            await run_watched(_deploy(context, claim, subject, row, gate, looked.pull), gate.watch())
            return
        case Run():
            raise OperatorError("a pull request that is not there was allowed to run")
    await claim.settle(generation)


async def _without_unfinished_removal(context: WorkerContext, claim: Claim, subject: Subject) -> Owned:
    """A removal that was cut short is brought to its end first, even when the pull request is open again by now."""
    row = await claim.row()
    if row.state is not State.REMOVING:
        return row
    await _tear_down(context, claim, subject, row.reason)
    return await claim.row()


async def _look(context: WorkerContext, claim: Claim, subject: Subject, row: Owned) -> Look:
    """Ask the forge. While it does not answer nothing is brought up, but what fell is led away from all the same."""
    try:
        return await subject.look(context, claim.preview)
    except ForgeUnavailable:
        if (failure := await find_failure(context, claim, row)) is not None:
            await hide_failed(claim, failure)
        raise


async def _deploy(context: WorkerContext, claim: Claim, subject: Subject, row: Owned, gate: Gate, pull: Pull) -> None:
    answered = await _is_answered(context, claim, subject, row, pull)
    failure = await find_failure(context, claim, row)
    if answered and (failure is None or row.state is State.FAILED):
        await _stay(context, claim, subject, row, failure)
        await claim.settle(gate.generation)
        return
    if failure is not None:
        await hide_failed(claim, failure)
    # The commit that is wanted served already, and failed: a restart, also if it queued or a worker died meanwhile.
    restarted = failure if row.serving_commit == pull.head_commit and not row.is_forced else None
    reason = f"{restarted.reason}; it is brought up again" if restarted else f"commit {pull.head_commit[:12]} is to run"
    try:
        if await subject.enter(context, claim, row, pull, reason):
            await _bring_up(await _open(context, claim, subject, row, gate, pull), subject, restarted)
        else:
            await claim.settle(gate.generation)
    except NoRoom as error:
        await subject.no_room(context, claim, error)


async def _is_answered(context: WorkerContext, claim: Claim, subject: Subject, row: Owned, pull: Pull) -> bool:
    """Whether this commit came up already, or failed."""
    if row.commit != pull.head_commit or row.is_forced or row.state not in (State.READY, State.FAILED):
        return False
    return row.state is State.FAILED or await subject.is_there(context, claim, pull)


async def _stay(
    context: WorkerContext, claim: Claim, subject: Subject, row: Owned, failure: ServingFailure | None
) -> None:
    """Nothing is to be deployed: have what serves go on, and nothing else be there."""
    await claim.deployments.close("ready")  # a worker killed right after the promotion left it open
    await _discard(context, claim, subject)
    await discard_leftovers(context, claim, row.database)
    if failure is not None:
        await keep_serving(context, claim)


async def _open(
    context: WorkerContext, claim: Claim, subject: Subject, row: Owned, gate: Gate, pull: Pull
) -> Deployment:
    number = await claim.deployments.start(gate.generation, pull.head_commit)
    return Deployment(
        context=context,
        claim=claim,
        gate=gate,
        pull=pull,
        host=row.host,
        database_name=subject.database_name(context, claim, pull),
        number=number,
        journal=Journal(context.store.logs, number),
    )


async def _bring_up(deployment: Deployment, subject: Subject, failure: ServingFailure | None) -> None:
    """Run the steps for the commit; again, if what it served with fell by this `failure`."""
    context, claim = deployment.context, deployment.claim
    try:
        if failure is not None:
            await tell_why_again(deployment, failure)
            await require_no_crash_loop(deployment, failure)
        for step, run in subject.steps:
            await deployment.enter(step, STATE_DURING[step])
            await run(deployment)
            await deployment.leave()
    except PreviewdError as error:
        await explain(deployment, error)
        raise
    finally:
        await deployment.journal.close()
    await claim.deployments.close("ready")
    await _discard(context, claim, subject, replaced=True)
    await subject.came_up(deployment)
    await claim.settle(deployment.gate.generation)
    if await find_failure(context, claim, await claim.row()) is not None:
        # The event of its end passed over a preview that a worker holds: look once more.
        await context.store.generations.look_once_more(claim.preview)


async def _fail(context: WorkerContext, claim: Claim, subject: Subject, generation: int, error: AuthorError) -> None:
    """The commit is at fault: say so, take its containers away, and leave alone what an older commit serves."""
    await claim.deployments.close("failed", error)
    row = await claim.row()
    if row.serving_commit == row.commit and row.serving.upstream is None:
        await claim.serving.unroute()  # it served, fell, and did not come up again
    await _withdraw(context, claim, subject)
    await claim.advance(State.FAILED, error.message)
    await keep_serving(context, claim)
    await claim.settle(generation)


async def _withdraw(context: WorkerContext, claim: Claim, subject: Subject) -> None:
    """Take back whatever was on its way up, and the images that were needed for it alone."""
    await subject.withdraw(context, claim)
    await tidy_images(context, claim.preview.repository)


async def _discard(context: WorkerContext, claim: Claim, subject: Subject, *, replaced: bool = False) -> None:
    """Remove what the commit that serves by now no longer needs, and the images that were needed for it alone."""
    await subject.discard(context, claim, replaced=replaced)
    await tidy_images(context, claim.preview.repository)


async def _wait(context: WorkerContext, claim: Claim, subject: Subject, row: Owned, wait: Wait) -> None:
    if row.state is State.REMOVED:
        await claim.advance(State.QUEUED, "the pull request is open again")
    if not wait.keeps_serving:
        await claim.serving.unroute()
    await claim.deployments.close("interrupted")  # a killed worker left it open
    await _withdraw(context, claim, subject)
    await discard_leftovers(context, claim, (await claim.row()).database)
    await claim.advance(State.WAITING, wait.reason)
    await keep_serving(context, claim)


async def _remove(context: WorkerContext, claim: Claim, subject: Subject, row: Owned, reason: str) -> None:
    if row.state is not State.REMOVED or row.is_forced:
        await claim.advance(State.REMOVING, reason)
        await _tear_down(context, claim, subject, reason)


async def _tear_down(context: WorkerContext, claim: Claim, subject: Subject, reason: str) -> None:
    await claim.deployments.close("interrupted")  # a killed worker left it open
    await teardown.run(context, claim)
    await subject.removed(context, claim)
    await claim.advance(State.REMOVED, reason, commit=None, secrets=None, database=None)


async def _try_again(
    context: WorkerContext, claim: Claim, subject: Subject, generation: int, error: TemporaryError | OperatorError
) -> None:
    """Wait and repeat; after too many tries say so and stop, but never stop removing."""
    row = await claim.row()
    await claim.deployments.close("failed", error)
    if _is_hopeless(error, row.attempts + 1) and row.state is not State.REMOVING:
        await _give_up(context, claim, subject, generation, error)
    elif isinstance(error, Unavailable):
        seconds = max(MIN_PAUSE_SECONDS, error.retry_after)
        await claim.postpone(f"{error.message}; trying again", seconds, counts=False)
    else:
        seconds = max(MIN_PAUSE_SECONDS, 2.0 ** min(row.attempts, MAX_DOUBLINGS))
        await claim.postpone(f"{error.message}; trying again", seconds)


def _is_hopeless(error: TemporaryError | OperatorError, attempts: int) -> bool:
    """Whether another try makes no sense. While what we need is away, no try says anything about this commit."""
    match error:
        case Unavailable():
            return False
        case OperatorError():
            return attempts >= MAX_ATTEMPTS
        case TemporaryError():
            return attempts >= MAX_TEMPORARY_ATTEMPTS


async def _give_up(
    context: WorkerContext, claim: Claim, subject: Subject, generation: int, error: PreviewdError
) -> None:
    """Stop, and take away what came up if that can be done: the fault may be in the way of this too."""
    _log.error("given up", preview=str(claim.preview), reason=error.message, remedy=error.remedy)
    with contextlib.suppress(TemporaryError, OperatorError):
        await _withdraw(context, claim, subject)
    if not may_move((await claim.row()).state, State.FAILED):
        await claim.advance(State.QUEUED, error.message)  # it waited, or was removed: nothing had begun that may fail
    await claim.advance(State.FAILED, error.message)
    await claim.settle(generation)
