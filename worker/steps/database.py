"""Have a Postgres database and a role for this pull request, which no other preview can use."""

from orchestrator.compose.model import DatabaseMode
from worker.deployment import DATABASE_PASSWORD, Deployment
from worker.stack import read_stack


async def run(deployment: Deployment) -> None:
    stack, _ = await read_stack(deployment)
    if stack.preview.database.mode is not DatabaseMode.MANAGED:
        await deployment.journal.say(f"x-preview says: database mode {stack.preview.database.mode.value}")
        return
    password = await deployment.secret(DATABASE_PASSWORD)
    await deployment.permit()
    access = await deployment.hands.databases.ensure(deployment.names.database, password)
    await deployment.journal.say(f"database {access.database} on {access.host}:{access.port}")
