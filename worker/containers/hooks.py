"""`pre_stop`: commands that run inside of a container before a newer one takes its place.

A container keeps them in a label, because the commit that they stand in may be gone when they are due. Nothing waits
for them longer than `PRE_STOP_SECONDS`, and a preview whose author may no longer run code ends without them.
"""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import asdict

from orchestrator.compose.model import Service
from orchestrator.compose.policy.keys import PRE_STOP_SECONDS
from orchestrator.ports.engine import Command, ContainerStatus, Engine
from orchestrator.preview.errors import PreviewdError
from orchestrator.preview.names import PRE_STOP_LABEL


def pre_stop_labels(service: Service) -> Mapping[str, str]:
    """What its containers keep for `run_pre_stop`. It is always said, so that no label of an image counts instead."""
    return {PRE_STOP_LABEL: json.dumps([asdict(hook) for hook in service.pre_stop])}


async def run_pre_stop(engine: Engine, container: ContainerStatus) -> str:
    """Run them in their order; what went wrong, or nothing. A failure ends them, and stops nobody else."""
    if not container.running:
        return ""
    commands = _commands(container.labels)
    try:
        async with asyncio.timeout(PRE_STOP_SECONDS):
            for command in commands:
                code = await engine.run_command(container.id, command, PRE_STOP_SECONDS)
                if code != 0:
                    return f"a `pre_stop` command exited with code {code}" if code is not None else _TOO_LONG
    except TimeoutError:
        return _TOO_LONG
    except PreviewdError as error:
        return f"a `pre_stop` command could not be run: {error.message}"
    return ""


_TOO_LONG = f"its `pre_stop` commands were not done after {PRE_STOP_SECONDS:g} s"


def _commands(labels: Mapping[str, str]) -> list[Command]:
    kept = json.loads(labels.get(PRE_STOP_LABEL, "[]"))
    return [
        Command(
            argv=tuple(hook["command"]),
            user=hook["user"],
            working_dir=hook["working_dir"],
            environment=hook["environment"],
        )
        for hook in kept
    ]
