"""What git ignores of a checkout on this disk: files that somebody has, and that no commit will hold.

A checkout may be somebody else's: its own configuration must not start a program, and nothing may be fetched.
"""

import os
import subprocess
from pathlib import Path

SECONDS = 10.0
_HARMLESS = (
    *("-c", "core.fsmonitor=false"),
    *("-c", f"core.hooksPath={os.devnull}"),
    *("-c", "core.untrackedCache=false"),
    *("-c", "safe.bareRepository=explicit"),
)
_LIST = ("ls-files", "-z", "--others", "--ignored", "--exclude-standard", "--directory")
_KEPT = ("PATH", "HOME", "XDG_CONFIG_HOME")
"""A person's own `core.excludesFile` counts: git would not let them commit those files either."""
_VARIABLES = {
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_ALLOW_PROTOCOL": "none",
    "LC_ALL": "C",
}


def ignored(root: Path) -> frozenset[str]:
    """The paths below `root` that git ignores; a folder ends in `/` and stands for all that is in it.

    Nothing where `root` is in no git checkout, where there is no git, or where it takes longer than `SECONDS`.
    """
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    try:
        done = subprocess.run(
            ["git", "-C", str(root), *_HARMLESS, *_LIST],
            env=kept | _VARIABLES,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return frozenset()
    if done.returncode:
        return frozenset()
    return frozenset(map(os.fsdecode, filter(None, done.stdout.split(b"\0"))))
