"""What the tests from end to end begin with: GitHub's stand-in, and a whole previewd beside it, for each test."""

from collections.abc import AsyncIterator, Iterator

import pytest

from tests.forge import Forge
from tests.support.installation import Installation


@pytest.fixture
def forge() -> Iterator[Forge]:
    with Forge() as forge:
        yield forge


@pytest.fixture
async def previewd(forge: Forge) -> AsyncIterator[Installation]:
    async with Installation(forge) as previewd:
        yield previewd
