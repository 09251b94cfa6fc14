"""The worker's jobs: one preview converged, or the forge told about it. Each is a task of this process.

Who starts them is the sweep, which needs nothing but Postgres, and a wake-up through Redis, which is only faster. A job
takes a preview's id and says nothing back: what was done stands in Postgres.
"""

from orchestrator.preview.state import PreviewId
from orchestrator.runtime.settings import Settings
from orchestrator.store.reports import AT_ONCE
from worker import converge as _converge
from worker import report as _report
from worker.context.context import WorkerContext

CONVERGE_SECONDS = 3600.0
"""Upper bound of one job. Steps have limits of their own and say which was reached; this would only cut them off."""

REPORT_SECONDS = 120.0

LOOKS = 32
"""Pull requests that one worker is at, beside those that it brings up: it looks at them, or removes them."""
TEMPLATES = 2
"""Base branches that one worker is at: they are made when nobody waits."""


def most(settings: Settings) -> dict[str, int]:
    """How many of each kind one worker is at. A slot is given by the line: who waits for one is no job here."""
    return {"converge": LOOKS + settings.max_jobs, "template": TEMPLATES, "report": AT_ONCE}


def converge(context: WorkerContext, preview: PreviewId) -> None:
    """Have this worker bring a preview to what its pull request asks for."""
    kind = "template" if preview.is_template else "converge"
    context.tasks.start(kind, preview, lambda: _converge.converge(context, preview), CONVERGE_SECONDS)


def report(context: WorkerContext, preview: PreviewId) -> None:
    """Have this worker tell the forge about a preview."""
    context.tasks.start("report", preview, lambda: _report.report(context, preview), REPORT_SECONDS)
