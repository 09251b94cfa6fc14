"""`python -m app.seed`: put the sample rows in. Safe to run at every start: rows that exist are left alone."""

import asyncio

from sqlalchemy.dialects.postgresql import insert

from app.database import make_engine
from app.models import Item
from app.settings import get_settings

SAMPLE_ITEMS = (
    {"name": "Anchor", "description": "Holds the boat where it is."},
    {"name": "Compass", "description": "Says where north is."},
    {"name": "Lantern", "description": "Makes the night shorter."},
)


async def seed() -> None:
    """Insert the sample items that are missing."""
    engine = make_engine(get_settings())
    statement = insert(Item).values(SAMPLE_ITEMS).on_conflict_do_nothing(index_elements=[Item.name])
    try:
        async with engine.begin() as connection:
            await connection.execute(statement)
    finally:
        await engine.dispose()


if __name__ == "__main__":
    asyncio.run(seed())
