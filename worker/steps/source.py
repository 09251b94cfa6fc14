"""Fetch the commit, as git objects. Nothing of it is run or checked out."""

from worker.deployment.deployment import Deployment


async def run(deployment: Deployment) -> None:
    pull = deployment.pull
    token = await deployment.context.forge.clone_token(pull.repository)
    await deployment.permit()
    await deployment.context.sources.fetch(pull, token)
    await deployment.journal.say(f"fetched {pull.head_commit} from refs/pull/{pull.number}/head")
