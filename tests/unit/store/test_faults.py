import errno
from pathlib import Path

import asyncpg
import pytest
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from orchestrator.preview.errors import DiskFull, Unavailable
from orchestrator.store.faults import of_the_machine
from worker.upkeep.health import disk_fault


def wrapped(error: BaseException, *, invalidated: bool = False) -> DBAPIError:
    return DBAPIError("SELECT 1", {}, error, connection_invalidated=invalidated)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS])
def test_a_disk_of_ours_without_room_is_waited_for(number: int) -> None:
    found = of_the_machine(OSError(number, "no room"))
    assert isinstance(found, DiskFull)
    assert "previewd's data" in found.message


def test_a_full_postgres_is_named() -> None:
    found = of_the_machine(wrapped(asyncpg.DiskFullError("could not extend file")))
    assert isinstance(found, DiskFull)
    assert "previewd's own Postgres" in found.message


@pytest.mark.parametrize(
    "error",
    [
        asyncpg.TooManyConnectionsError("too many clients already"),
        asyncpg.CannotConnectNowError("the database system is starting up"),
        wrapped(asyncpg.AdminShutdownError("terminating connection")),
        wrapped(asyncpg.ConnectionDoesNotExistError("connection was closed")),
        wrapped(Exception("connection is closed"), invalidated=True),
        PoolTimeout("QueuePool limit reached"),
        ConnectionRefusedError(errno.ECONNREFUSED, "refused"),
        TimeoutError(),
    ],
)
def test_what_is_away_is_waited_for(error: Exception) -> None:
    assert type(of_the_machine(error)) is Unavailable


@pytest.mark.parametrize("error", [KeyError("x"), FileNotFoundError(errno.ENOENT, "x"), wrapped(ValueError("x"))])
def test_our_own_faults_are_not(error: Exception) -> None:
    assert of_the_machine(error) is None


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    assert "cannot be read" in disk_fault(tmp_path / "nothing")
