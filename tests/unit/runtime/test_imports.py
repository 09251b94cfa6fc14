"""What a process does not load: each case in an interpreter of its own."""

import subprocess
import sys

import pytest

STUBS = ("sqlalchemy.ext.asyncio.session", "sqlalchemy.ext.asyncio.scoping")


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_what_is_left_out_looks_as_if_it_were_not_installed() -> None:
    assert run(
        "from orchestrator.runtime.imports import leave_out\n"
        "leave_out('rich')\n"
        "import structlog.dev\n"
        "print(structlog.dev.rich)"
    ) == "None"  # fmt: skip


@pytest.mark.parametrize("door", ["webhooks.app", "worker.main"])
def test_a_door_works_without_the_orm(door: str) -> None:
    assert run(
        "import sys\n"
        "from orchestrator.runtime.imports import stub\n"
        f"stub(*{STUBS!r})\n"
        f"import {door}\n"
        "print('sqlalchemy.orm' in sys.modules)"
    ) == "False"  # fmt: skip


def test_a_stub_has_every_name_and_is_none_of_them() -> None:
    assert run(
        "from orchestrator.runtime.imports import stub\n"
        "stub('colorsys')\n"
        "from colorsys import rgb_to_hsv\n"
        "print(rgb_to_hsv)"
    ) == "None"  # fmt: skip
