"""What the pull request is told: one comment and one commit status, rendered from the preview's row. Pure.

Both are projections: rendered anew after each change and sent when they differ from what was sent last. Whatever
comes from outside (reasons, log lines, names) is made harmless: it may hold HTML, mentions, fences and escape codes.
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from orchestrator.admission.words import told_reason
from orchestrator.databases.usage import DatabaseUse, connections_sentence, size_sentence
from orchestrator.preview.records import Deployment, Preview, WiredForm, Wiring
from orchestrator.preview.state import State, Step

LOG_LINES = 30
LINE_LENGTH = 300
COMMIT_LENGTH = 7
MOST_VALUES = 30
"""Lines of the table of what was changed: a comment has room for 65,536 characters."""

_ANSI = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b[@-Z\\-_]")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")

_MARKUP = frozenset("&<>|`*_[]()~\\#!@")
"""What Markdown, HTML or GitHub may take for more than itself."""

_HEADLINE: dict[State, str] = {
    State.QUEUED: "🕓 Preview queued",
    State.BUILDING: "🔨 Preview is being built",
    State.PREPARING: "🗄️ Preview gets its database",
    State.STARTING: "🚀 Preview is starting",
    State.READY: "✅ Preview ready",
    State.WAITING: "⏸️ No preview yet",
    State.FAILED: "❌ Preview failed",
    State.SLEEPING: "💤 Preview sleeps",
    State.REMOVING: "🧹 Preview is being removed",
    State.REMOVED: "🧹 Preview removed",
}

_STATUS: dict[State, str] = {
    State.QUEUED: "pending",
    State.BUILDING: "pending",
    State.PREPARING: "pending",
    State.STARTING: "pending",
    State.READY: "success",
    State.WAITING: "pending",
    State.FAILED: "failure",
    State.SLEEPING: "success",
}

_STEPS = tuple(step for step in Step if step is not Step.TEARDOWN)


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """A commit status."""

    commit: str
    state: str
    description: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Feedback:
    """All that the pull request is told."""

    marker: str
    """A hidden line by which the comment is found again."""
    body: str
    status: Status | None
    """None when there is no commit of which anything could be said."""

    @property
    def comment_digest(self) -> str:
        return hashlib.sha256(self.body.encode()).hexdigest()

    @property
    def status_digest(self) -> str:
        return hashlib.sha256(str(self.status).encode()).hexdigest()


def render(
    preview: Preview,
    deployment: Deployment | None,
    preview_url: str,
    dashboard_url: str,
    secret: str,
    use: DatabaseUse | None = None,
) -> Feedback:
    """Say where a preview stands. `deployment` is its newest one; `secret` makes the marker one that nobody guesses."""
    marker = f"<!-- previewd {preview.id} {hashlib.sha256(f'{secret}{preview.id}'.encode()).hexdigest()[:16]} -->"
    parts = [
        marker,
        _headline(preview, preview_url),
        _summary(preview, deployment),
        _failure(deployment) if preview.state is State.FAILED and deployment else "",
        _serving(preview, preview_url),
        _steps(deployment) if deployment and preview.commit else "",
        _warnings(use) if use and preview.serving_commit else "",
        _notes(deployment) if deployment and preview.commit else "",
        _wiring(deployment.wiring) if deployment and preview.commit else "",
        f"<sub>[What happened, and the whole log]({dashboard_url}/previews/{preview.id})</sub>",
    ]
    return Feedback(marker=marker, body="\n\n".join(part for part in parts if part) + "\n", status=_status(preview))


def plain(text: str) -> str:
    """Text from outside, as Markdown that shows it and does nothing else."""
    text = _CONTROL.sub("", _ANSI.sub("", text)).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    # A zero-width space behind the at sign: nobody is notified by what a stranger's program prints.
    return re.sub(r"([\\`*_\[\]|~#!])", r"\\\1", text).replace("@", "@\u200b")


def fenced(lines: Sequence[str]) -> str:
    """Lines from outside as a code block, inside a fence that none of them can close."""
    shown = [_CONTROL.sub("", _ANSI.sub("", line))[:LINE_LENGTH] for line in lines[-LOG_LINES:]]
    longest = max((len(run) for line in shown for run in re.findall(r"`+", line)), default=0)
    fence = "`" * max(3, longest + 1)
    return "\n".join([f"{fence}text", *shown, fence])


def duration(length: timedelta) -> str:
    """Seconds with one decimal, minutes above a minute."""
    seconds = max(0.0, length.total_seconds())
    return f"{seconds:.1f} s" if seconds < 60 else f"{int(seconds // 60)} min {int(seconds % 60)} s"  # noqa: PLR2004


def _headline(preview: Preview, url: str) -> str:
    headline = _HEADLINE[preview.state]
    return f"### {headline}: [{preview.host}]({url})" if preview.state is State.READY else f"### {headline}"


def _summary(preview: Preview, deployment: Deployment | None) -> str:
    commit = f"`{preview.commit[:COMMIT_LENGTH]}`" if preview.commit else ""
    match preview.state:
        case State.READY:
            took = _took(deployment)
            return f"{commit} is live{f' after {took}' if took else ''}: {plain(preview.reason)}."
        case State.WAITING:
            what = "No newer commit runs" if preview.serving_commit else "Nothing runs for this pull request"
            return f"{what}: {plain(told_reason(preview.reason, preview.place))}."
        case State.FAILED:
            step = deployment.failed_step if deployment else None
            return f"{commit} failed{f' at **{step.value}**' if step else ''}."
        case State.REMOVED:
            return f"Containers, volumes, images and the database are gone: {plain(preview.reason)}."
        case _:
            return f"{commit} {plain(preview.reason)}".strip()


def _failure(deployment: Deployment) -> str:
    parts = [f"> {plain(line)}" for line in deployment.reason.splitlines()]
    if deployment.remedy:
        parts.append(f"\n**What to do:** {plain(deployment.remedy)}")
    if deployment.log_tail:
        parts.append("\n" + fenced(deployment.log_tail))
    return "\n".join(parts)


def _serving(preview: Preview, url: str) -> str:
    if not preview.serving_commit or preview.state is State.READY:
        return ""
    return f"`{preview.serving_commit[:COMMIT_LENGTH]}` still answers at [{preview.host}]({url})."


def _steps(deployment: Deployment) -> str:
    if not deployment.steps:
        return ""
    head = " | ".join(step.value for step in _STEPS)
    cells = " | ".join(_cell(deployment, step) for step in _STEPS)
    return f"| {head} |\n|{' --: |' * len(_STEPS)}\n| {cells} |"


def _cell(deployment: Deployment, step: Step) -> str:
    times = next((times for times in deployment.steps if times.step is step), None)
    if times is None:
        return "–"
    if times.finished_at is None:
        return "❌" if deployment.outcome == "failed" else "…"
    return duration(times.finished_at - times.started_at)


def _notes(deployment: Deployment) -> str:
    if not deployment.notes:
        return ""
    lines = "\n".join(f"- {plain(note)}" for note in deployment.notes)
    count = len(deployment.notes)
    return f"<details><summary>{count} note{'s' if count > 1 else ''}</summary>\n\n{lines}\n\n</details>"


def _warnings(use: DatabaseUse) -> str:
    told = (size_sentence(use), connections_sentence(use))
    return "\n>\n".join(f"> ⚠️ {plain(sentence)}" for sentence in told if sentence)


def _wiring(wiring: Wiring) -> str:
    """What previewd changed, folded away: it is of interest when something does not connect."""
    if not wiring.values:
        return ""
    forms = [_form(form) for form in wiring.forms]
    rows = [
        f"| {plain(value.service)} | {_code(value.variable)} | {_code(value.before)} | {_code(value.after)} |"
        for value in wiring.values[:MOST_VALUES]
    ]
    if len(wiring.values) > MOST_VALUES:
        rows.append(f"| … and {len(wiring.values) - MOST_VALUES} more | | | |")
    table = "\n".join(["| service | variable | in the file | in the preview |", "| --- | --- | --- | --- |", *rows])
    parts = [
        "<details><summary>How the application finds its database</summary>",
        table,
        "\n".join(forms),
        "</details>",
    ]
    return "\n\n".join(parts)


def _form(form: WiredForm) -> str:
    where = f" ({plain(form.place)})" if form.place else ""
    return f"- {_code(form.variable)} is given as {_code(form.scheme + '://')}, because {plain(form.why)}{where}"


def _code(text: str | None) -> str:
    """Text from outside as code in a cell of a table: one line, and nothing in it ends the code or the cell."""
    if text is None:
        return "–"
    shown = " ".join(_CONTROL.sub(" ", _ANSI.sub("", text)).split())[:LINE_LENGTH]
    return f"<code>{''.join(f'&#{ord(each)};' if each in _MARKUP else each for each in shown)}</code>"


def _took(deployment: Deployment | None) -> str:
    ended: datetime | None = deployment.finished_at if deployment else None
    return duration(ended - deployment.started_at) if deployment and ended else ""


def _status(preview: Preview) -> Status | None:
    state = _STATUS.get(preview.state)
    if state is None or preview.commit is None:
        return None
    first_line = told_reason(preview.reason, preview.place).partition("\n")[0]
    return Status(commit=preview.commit, state=state, description=_CONTROL.sub("", _ANSI.sub("", first_line))[:140])
