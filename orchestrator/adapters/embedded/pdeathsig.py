"""Run a program that dies with the process that asked for it.

`supervisor` starts every part through this file, by path and without site-packages, so that a part
started as root can give up root on the way: the kernel forgets the wish when a process changes its account, so
the order is account, wish, program. Where the kernel has no such wish (macOS) the program runs without it.
"""

import ctypes
import os
import pwd
import signal
import sys

PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> None:
    """`PARENT ACCOUNT PROGRAM ARGUMENT…`, where an empty account means the present one. Never returns."""
    parent, account, *argv = arguments
    if account:
        _become(account)
    _die_with(int(parent))
    os.execv(argv[0], argv)  # noqa: S606 - there is no shell between us and the program, which is the point


def _become(account: str) -> None:
    entry = pwd.getpwnam(account)
    os.setgroups([])
    os.setgid(entry.pw_gid)
    os.setuid(entry.pw_uid)


def _die_with(parent: int) -> None:
    if sys.platform != "linux":
        return
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it died before the wish was made
        sys.exit(1)


if __name__ == "__main__":
    main(sys.argv[1:])
