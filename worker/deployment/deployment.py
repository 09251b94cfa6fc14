"""One attempt to bring one commit up: what the steps share.

What one step keeps here the next could derive again, from the commit, from names and from the preview's row: after a
kill the steps run again from the first, and find what is done.
"""

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from orchestrator.compose.prepare import Prepared
from orchestrator.ports.databases import DatabaseAccess
from orchestrator.preview.names import Names
from orchestrator.preview.state import State, Step
from orchestrator.preview.trust import Pull
from orchestrator.store.claims import Claim
from orchestrator.store.encryption import DATABASE_PASSWORD
from worker.context.context import WorkerContext
from worker.deployment.gate import Gate
from worker.deployment.journal import Journal
from worker.deployment.recipe import Recipe

JWT_SECRET = "JWT_SECRET"  # noqa: S105 - a variable's name

_SECRET_BYTES = 32


@dataclass(slots=True, kw_only=True)
class Deployment:
    """Made by `converge`, passed to each step in turn."""

    context: WorkerContext
    claim: Claim
    gate: Gate
    pull: Pull
    host: str
    database_name: str
    """The preview's own, or that of the template which this commit of a base branch is to fill."""
    number: int
    """Its row in our database."""
    journal: Journal
    step: Step = Step.SOURCE
    prepared: Prepared | None = None
    """What was read of the commit's Compose file: kept, because reading it again gives the same."""
    recipes: dict[str, Recipe] = field(default_factory=dict, repr=False)
    """How the images of this commit are made, by the builds that ask for them: derived once, likewise."""
    notes: list[str] = field(default_factory=list)
    """What is to be said to the author beside what the stack itself brings: of its database, and of an earlier life."""
    _secrets: dict[str, str] = field(default_factory=dict, repr=False)
    _one_at_a_time: asyncio.Lock = field(default_factory=asyncio.Lock, repr=False)

    @property
    def commit(self) -> str:
        return self.pull.head_commit

    @property
    def names(self) -> Names:
        return self.context.names(self.claim.preview)

    async def permit(self) -> None:
        """Ask the gate. To be called right before each side effect."""
        await self.gate.permit()

    async def enter(self, step: Step, state: State) -> None:
        self.step = self.journal.step = step
        await self.permit()
        await self.claim.deployments.enter_step(self.number, step, state)

    async def leave(self) -> None:
        await self.journal.flush()
        await self.claim.deployments.leave_step(self.number, self.step)

    async def secret(self, name: str) -> str:
        """A secret of this preview: made once, kept across pushes, gone with the preview."""
        return (await self.secrets([name]))[name]

    async def secrets(self, names: list[str]) -> Mapping[str, str]:
        """Several secrets at once; those that are new are made and kept, encrypted."""
        async with self._one_at_a_time:  # two images built side by side must not each make a secret of one name
            if not self._secrets.keys() >= set(names):
                self._secrets = await self._kept(names)
                self.journal.conceal(self._secrets.values())
        return {name: self._secrets[name] for name in names}

    async def database(self) -> DatabaseAccess:
        """How the containers reach this preview's database."""
        return self.context.databases.access(self.database_name, await self.secret(DATABASE_PASSWORD))

    async def _kept(self, names: list[str]) -> dict[str, str]:
        row = await self.claim.row()
        kept = self.context.encryption.open(row.secrets) if row.secrets else {}
        made = {name: secrets.token_urlsafe(_SECRET_BYTES) for name in names if name not in kept}
        if made:
            await self.claim.keep_secrets(self.context.encryption.seal(kept | made))
        return kept | made


Steps = tuple[tuple[Step, Callable[[Deployment], Awaitable[None]]], ...]
"""What is done for a commit, in order."""
