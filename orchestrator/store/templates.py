"""Which base branches are to be made into templates, kept as rows of number 0 beside those of pull requests."""

from sqlalchemy import or_, select
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncEngine

from orchestrator.preview.state import PreviewId, State
from orchestrator.store.conditions import has_work
from orchestrator.store.generations import raised, template_again
from orchestrator.store.tables import previews


class Templates:
    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def want(self, preview: PreviewId, repository_name: str, branch: str, host: str) -> None:
        """Have a base branch looked at, as a delivery does it for a pull request.

        While another branch of the repository is being made into a template, nothing happens.
        """
        values = {"repository_name": repository_name, "branch": branch}
        statement = postgresql.insert(previews).values(
            repository=preview.repository, number=preview.number, host=host, title="", author="", **values
        )
        async with self._engine.begin() as connection:
            await connection.execute(
                statement.on_conflict_do_update(
                    index_elements=[previews.c.repository, previews.c.number],
                    set_={**values, **raised()},
                    where=or_(previews.c.branch == branch, previews.c.settled >= previews.c.generation),
                )
            )

    async def branch_moved(self, repository: int, branch: str) -> int | None:
        """Have the template of this branch looked at; its generation, or None when there is none."""
        async with self._engine.begin() as connection:
            generation: int | None = await connection.scalar(
                template_again(repository).where(previews.c.branch == branch).returning(previews.c.generation)
            )
            return generation

    async def has_pulls(self, repository: int) -> bool:
        """Whether a pull request of the repository has a preview that is not removed."""
        live = select(previews.c.number).where(
            previews.c.repository == repository, previews.c.number > 0, previews.c.state != State.REMOVED
        )
        async with self._engine.connect() as connection:
            return bool(await connection.scalar(select(live.exists())))

    async def pulls_under_way(self) -> bool:
        """Whether a pull request waits for a worker, a slot or connections, or is being worked on."""
        query = select(previews.c.number).where(
            previews.c.number > 0,
            or_(previews.c.line_joined_at.is_not(None), has_work()),
        )
        async with self._engine.connect() as connection:
            return bool(await connection.scalar(select(query.exists())))
