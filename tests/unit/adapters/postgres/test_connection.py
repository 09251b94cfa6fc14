"""What errors of the previews' Postgres mean."""

import asyncpg
import pytest

from orchestrator.adapters.postgres.connection import _in_our_words
from orchestrator.preview.errors import PreviewdError, Unavailable


@pytest.mark.parametrize(
    "error",
    [
        asyncpg.CannotConnectNowError("the database system is starting up"),
        asyncpg.ConnectionDoesNotExistError("connection was closed in the middle of operation"),
        asyncpg.InterfaceError("connection is closed"),
        asyncpg.InternalClientError("cannot switch to state 15; another operation (2) is in progress"),
        ConnectionResetError(104, "Connection reset by peer"),
        ConnectionError("unexpected connection_lost() call"),
        TimeoutError(),
    ],
)
def test_a_server_that_went_away_is_waited_for(error: Exception) -> None:
    assert isinstance(_told(error), Unavailable)


def test_a_mistake_of_ours_is_not_taken_for_a_server_that_is_away() -> None:
    with pytest.raises(asyncpg.InterfaceError):
        _told(asyncpg.InterfaceError("the server expects 1 argument for this query, 2 were passed"))


def _told(error: Exception) -> PreviewdError | None:
    try:
        with _in_our_words():
            raise error
    except PreviewdError as told:
        return told
