"""A repository and its team, on a whole previewd: what tests do to pull requests, and what they wait for."""

from typing import Any

from tests.forge import Forge, PullRequest
from tests.support.apps import tiny
from tests.support.installation import Installation
from tests.support.wait import eventually


class Team:
    """A repository, and one who may write to it."""

    def __init__(self, forge: Forge, previewd: Installation, name: str) -> None:
        self.forge, self.previewd, self.name = forge, previewd, name
        self.repository = forge.create_repository(f"acme/{name}", tiny())
        forge.set_permission(self.repository, "ada", "write")

    async def open(self, files: Any, **how: Any) -> PullRequest:
        branch = how.pop("branch", "feature")
        self.forge.commit(how.get("head_repository") or self.repository, branch, files)
        pull = self.forge.open_pull(self.repository, branch, author=how.pop("author", "ada"), **how)
        await self.previewd.deliver()
        return pull

    async def push(self, pull: PullRequest, files: Any) -> str:
        sha = self.forge.push(pull, files)
        await self.previewd.deliver()
        return sha

    async def close(self, pull: PullRequest) -> None:
        self.forge.close(pull)
        await self.previewd.deliver()
        await self.reaches(pull, "removed")

    async def preview(self, pull: PullRequest) -> dict[str, Any]:
        answer = await self.previewd.api.get(f"/previews/{self.repository.id}-{pull.number}")
        return dict(answer.json()) if answer.is_success else {}

    async def reaches(self, pull: PullRequest, state: str, seconds: float = 120) -> dict[str, Any]:
        """Wait until the preview has this state for what the pull request's head is now. `failed` is never `ready`."""

        async def reached() -> dict[str, Any] | None:
            found = await self.preview(pull)
            if state == "ready" and found.get("state") == "failed" and found["commit"] == pull.head_sha:
                raise AssertionError(f"the preview failed: {found['reason']}\n{await self.log(pull)}")
            newest = state in ("removed", "waiting") or found.get("commit") == pull.head_sha
            return found if found.get("state") == state and newest else None

        return await eventually(reached, f"{self.name}#{pull.number} is {state}", seconds)

    async def says(self, pull: PullRequest, *words: str) -> str:
        """Wait until the one comment holds all of these words."""

        async def told() -> str | None:
            found = [c.body for c in self.repository.comments.values() if c.number == pull.number]
            assert len(found) <= 1, "one comment, edited in place"
            return next((body for body in found if all(word in body for word in words)), None)

        return await eventually(told, f"the comment on {self.name}#{pull.number} says {words}")

    async def answer(self, pull: PullRequest, path: str = "/") -> str:
        return (await self.previewd.get(await self.preview(pull), path)).text

    async def log(self, pull: PullRequest) -> str:
        """What the newest deployment printed."""
        answer = await self.previewd.api.get(f"/previews/{self.repository.id}-{pull.number}/logs")
        return "\n".join(line["line"] for line in answer.json()["lines"])
