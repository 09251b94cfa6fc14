"""What is measured, and how it is written down."""

import json
import os
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

from rich import box
from rich.console import Console
from rich.table import Table

PAIRS = int(os.environ.get("PAIRS", "5"))
"""How often each side is measured where one measurement takes seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One figure: ours and the peer's, in pairs measured in turn, so that a slow minute slows both."""

    name: str
    unit: str
    ours: tuple[float, ...]
    peers: tuple[float, ...] = ()
    peer: str = ""
    aim: str = ""

    @classmethod
    def of_pairs(cls, name: str, pairs: Sequence[tuple[float, float]], peer: str, aim: str) -> Self:
        """Seconds, ours first."""
        ours, theirs = zip(*pairs, strict=True)
        return cls(name=name, unit="s", ours=ours, peers=theirs, peer=peer, aim=aim)

    @property
    def ratios(self) -> tuple[float, ...]:
        return tuple(ours / peer for ours, peer in zip(self.ours, self.peers, strict=True)) if self.peers else ()


def show(figures: Sequence[Figure], console: Console) -> None:
    """Print them as a table: medians, and the range in brackets."""
    table = Table(box=box.SIMPLE_HEAD)
    for heading in ("figure", "previewd", "peer", "ratio", "aim", "n"):
        table.add_column(heading, justify="left" if heading in ("figure", "aim") else "right")
    for figure in figures:
        table.add_row(
            figure.name,
            _spread(figure.ours, figure.unit),
            _spread(figure.peers, figure.unit) if figure.peers else "–",
            _spread(figure.ratios, "×") if figure.peers else "–",
            figure.aim,
            str(len(figure.ours)),
        )
    console.print(table)
    for figure in figures:
        if figure.peer:
            console.print(f"  [dim]peer of “{figure.name}”: {figure.peer}[/]")


def write(figures: Sequence[Figure], path: Path) -> None:
    """Write every measured value, and the medians."""
    found = [asdict(figure) | {"ratios": figure.ratios, "median": _medians(figure)} for figure in figures]
    path.write_text(json.dumps(found, indent=2) + "\n")


def _medians(figure: Figure) -> dict[str, float]:
    values = {"ours": figure.ours, "peers": figure.peers, "ratio": figure.ratios}
    return {name: statistics.median(found) for name, found in values.items() if found}


def _spread(values: Sequence[float], unit: str) -> str:
    middle = f"{statistics.median(values):.2f} {unit}"
    return middle if len(values) == 1 else f"{middle} ({min(values):.2f}–{max(values):.2f})"
