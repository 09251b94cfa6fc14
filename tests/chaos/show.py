"""How a storm is told: a line while it rages, a table at the end."""

import statistics
from collections import Counter
from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table

from tests.chaos.column import NOT_REACHED, OK, Column
from tests.chaos.points import Moment, Point
from tests.chaos.resume import Resume
from tests.chaos.storm import Outcome, Storm

AIM_SECONDS = 15.0
MOST_LINES = 20
WORST = 3


def progress(storm: Storm) -> str:
    """Where a storm is, in one line."""
    if storm.judge and storm.judge.newest:
        left = storm.judge.newest.all()
        return f"the storm is over; {len(left)} things are not yet right: {left[0] if left else 'none'}"
    done, tormentors = storm.people.done, storm.tormentors
    closed = sum(count for verb, count in done.items() if verb.value == "close")
    torments = sum(tormentors.counts.values()) if tormentors else 0
    resumes = [resume.seconds for resume in tormentors.deaths.resumes] if tormentors else []
    worst = f", worst resume {max(resumes):.1f} s" if resumes else ""
    return (
        f"{closed} of {storm.plan.cycles} cycles, {len(storm.people.lives)} pull requests, "
        f"{sum(done.values())} events, {torments} torments{worst}"
    )


def show(outcome: Outcome, console: Console) -> None:
    """The counts, the resume times, the worst, and whatever is wrong."""
    table = Table(box=box.SIMPLE_HEAD, show_header=False)
    for what, value in _lines(outcome):
        table.add_row(what, value)
    console.print(table)
    for title, lines in _faults(outcome):
        console.print(f"[bold red]{title}: {len(lines)}[/]")
        for line in lines[:MOST_LINES]:
            console.print(f"  {line}", markup=False, soft_wrap=True)
        if len(lines) > MOST_LINES:
            console.print(f"  … and {len(lines) - MOST_LINES} more")


def show_column(column: Column, console: Console) -> None:
    """Each boundary with each moment at which a worker died there, and what was wrong afterwards."""
    table = Table(box=box.SIMPLE_HEAD)
    for heading in ("during", "a worker is killed at", *(moment.value for moment in Moment)):
        table.add_column(heading)
    for point, results in _by_point(column).items():
        cells = (_cell(results.get(moment)) for moment in Moment)
        table.add_row(point.scene.value, point.name, *cells)
    console.print(table)
    for case, result in column.results.items():
        if result not in (OK, NOT_REACHED):
            console.print(f"  {case.name}: {result}", markup=False, soft_wrap=True)
    for line in column.others:
        console.print(f"  of no single death: {line}", markup=False, soft_wrap=True)
    well = sum(result == OK for result in column.results.values())
    console.print(f"{well} of {len(column.results)} deaths healed, in {column.seconds / 60:.1f} min")


def _by_point(column: Column) -> dict[Point, dict[Moment, str]]:
    found: dict[Point, dict[Moment, str]] = {}
    for case, result in column.results.items():
        found.setdefault(case.point, {})[case.moment] = result
    return found


def _cell(result: str | None) -> str:
    if result in (OK, None):
        return result or "–"
    return f"[yellow]{result}[/]" if result == NOT_REACHED else "[bold red]WRONG[/]"


def _lines(outcome: Outcome) -> list[tuple[str, str]]:
    lost = len(outcome.open_ones.lost) + len(outcome.closed.lost)
    leaked = len(outcome.open_ones.leaked) + len(outcome.closed.leaked)
    wrong = len(outcome.open_ones.wrong) + len(outcome.closed.wrong)
    delivered = outcome.deliveries
    return [
        ("open, push and close cycles", f"{outcome.cycles}, of {outcome.pulls} pull requests"),
        ("events", _counted(outcome.acts)),
        ("deliveries", _counted(delivered)),
        ("broken", _counted(outcome.torments)),
        ("deployments", _counted(outcome.deployments)),
        ("lost", str(lost)),
        ("leaked", str(leaked)),
        ("ended wrong", str(wrong)),
        ("visitors of a bystander", _visitors(outcome)),
        ("resumed after SIGKILL", _resumed([resume for resume, _ in outcome.resumes])),
        *(("the worst" if not place else "", line) for place, line in enumerate(_worst(outcome))),
        (
            "quiet after",
            f"{outcome.open_ones.quiet_seconds:.0f} s; all closed after {outcome.closed.quiet_seconds:.0f} s",
        ),
        ("took", f"{outcome.seconds / 60:.1f} min, with SEED={outcome.plan.seed}"),
    ]


def _visitors(outcome: Outcome) -> str:
    return f"{outcome.asked} asked, {len(outcome.bystander)} failed, {outcome.excused} while proxy or router was killed"


def _resumed(resumes: Sequence[Resume]) -> str:
    times = sorted(resume.seconds for resume in resumes)
    if not times:
        return "no worker died at work"
    p95 = times[min(len(times) - 1, round(0.95 * len(times)))]
    late = sum(seconds > AIM_SECONDS for seconds in times)
    return (
        f"{len(times)} previews: median {statistics.median(times):.1f} s, p95 {p95:.1f} s, worst {times[-1]:.1f} s; "
        f"{late} later than {AIM_SECONDS:g} s"
    )


def _worst(outcome: Outcome) -> list[str]:
    ordered = sorted(outcome.resumes, key=lambda found: found[0].seconds, reverse=True)
    return [
        f"{resume.seconds:.1f} s: preview {resume.preview}, {resume.state} when {resume.worker} died "
        f"(restarted after {resume.restart_seconds:.1f} s); meanwhile {', '.join(meanwhile) or 'nothing else broke'}"
        for resume, meanwhile in ordered[:WORST]
    ]


def _faults(outcome: Outcome) -> list[tuple[str, Sequence[str]]]:
    found: list[tuple[str, Sequence[str]]] = []
    for when, verdict in (("after the storm", outcome.open_ones), ("with all closed", outcome.closed)):
        found += [
            (f"lost, {when}", verdict.lost),
            (f"leaked, {when}", verdict.leaked),
            (f"wrong, {when}", verdict.wrong),
        ]
    found.append(("a bystander's visitors", outcome.bystander))
    return [(title, lines) for title, lines in found if lines]


def _counted(counts: Counter[str]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.most_common()) or "none"
