"""What a value of a container's request may be: one grammar for each, for the reader of the file and for the last gate.

Pure. `service`, `mounts` and `secrets` refuse by it with a place, `allowlist` refuses by it whatever came another way;
so nothing that was read is found at the end to be what no preview may send.
"""

import ipaddress
import re

MIN_CPUS = 0.01
MIN_MEMORY = 6 * 1024**2
"""Bytes. The Engine makes no container with less, and none with less of a processor."""
MIN_HEALTH_TIME = 0.001
"""Seconds: the shortest that the Engine takes for a healthcheck, beside none at all."""
MAX_NANOSECONDS = 2**63 - 1
MAX_ID = 2**31 - 1
"""The highest number of a user or a group."""
MAX_MODE = 0o7777
CAPABILITIES = frozenset(
    {
        *("ALL", "AUDIT_CONTROL", "AUDIT_READ", "AUDIT_WRITE", "BLOCK_SUSPEND", "CHOWN", "DAC_OVERRIDE"),
        *("DAC_READ_SEARCH", "FOWNER", "FSETID", "IPC_LOCK", "IPC_OWNER", "KILL", "LEASE", "LINUX_IMMUTABLE"),
        *("MAC_ADMIN", "MAC_OVERRIDE", "MKNOD", "NET_ADMIN", "NET_BIND_SERVICE", "NET_BROADCAST", "NET_RAW"),
        *("SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYSLOG", "SYS_ADMIN", "SYS_BOOT", "SYS_CHROOT", "SYS_MODULE"),
        *("SYS_NICE", "SYS_PACCT", "SYS_PTRACE", "SYS_RAWIO", "SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG"),
        "WAKE_ALARM",
    }
)
NEW_CAPABILITIES = frozenset({"BPF", "CHECKPOINT_RESTORE", "PERFMON"})
"""Those that not every kernel knows. The Engine gives none of them, so none has to be taken away."""
_SIGNALS = frozenset(
    {
        *("ABRT", "ALRM", "BUS", "CHLD", "CLD", "CONT", "FPE", "HUP", "ILL", "INT", "IO", "IOT", "KILL", "PIPE"),
        *("POLL", "PROF", "PWR", "QUIT", "SEGV", "STKFLT", "STOP", "SYS", "TERM", "TRAP", "TSTP", "TTIN", "TTOU"),
        *("URG", "USR1", "USR2", "VTALRM", "WINCH", "XCPU", "XFSZ", "RTMIN", "RTMAX"),
        *(f"RTMIN+{number}" for number in range(1, 16)),
        *(f"RTMAX-{number}" for number in range(1, 15)),
    }
)
_NUMBERED = re.compile(r"[1-9]|[1-5][0-9]|6[0-4]")
_TARGET = re.compile(r"(/[^/\0]+)+")
_KERNEL = (["proc"], ["sys"])
_VOLUME = re.compile(r"_?[a-zA-Z0-9][a-zA-Z0-9_.-]*")
_HOST = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]{0,251}[A-Za-z0-9_])?")
_TMPFS = re.compile(r"rw|ro|noexec|nosuid|nodev|mode=[0-7]{3,4}|[ug]id=(?P<id>[0-9]{1,10})|size=(?P<size>[0-9]{1,18})")


def is_path(written: object) -> bool:
    """Whether something may be mounted there: an absolute path below the root, each part of it said plainly."""
    return (
        isinstance(written, str)
        and _TARGET.fullmatch(written) is not None
        and not {".", ".."} & set(written.split("/"))
        and not is_kernels(written)
    )


def is_kernels(path: str) -> bool:
    """Whether the path is the kernel's own: a mount there changes what the container can do to the machine."""
    return path.split("/", 2)[1:2] in _KERNEL


def is_volume(name: object) -> bool:
    """A volume's name; those that begin with `_` are previewd's, and no file can declare one."""
    return isinstance(name, str) and _VOLUME.fullmatch(name) is not None


def is_host(name: object) -> bool:
    """A name for /etc/hosts: it cannot end its line, and holds no second name or address."""
    return isinstance(name, str) and _HOST.fullmatch(name) is not None


def is_address(written: object) -> bool:
    """An IP address, and nothing that the Engine would look up. What stands behind a `%` could be anything."""
    try:
        return isinstance(written, str) and "%" not in written and bool(ipaddress.ip_address(written))
    except ValueError:
        return False


def is_signal(word: object) -> bool:
    """A signal by its name, with or without SIG, or by its number."""
    if not isinstance(word, str):
        return False
    return word.upper().removeprefix("SIG") in _SIGNALS or _NUMBERED.fullmatch(word) is not None


def is_tmpfs_option(option: str, most: int) -> bool:
    """An option of a tmpfs that gives no right away; `most` is the largest size, in bytes."""
    found = _TMPFS.fullmatch(option)
    return found is not None and int(found["size"] or 0) <= most and int(found["id"] or 0) <= MAX_ID


def is_working_dir(path: object) -> bool:
    """An absolute path, or the image's own where it is empty."""
    return isinstance(path, str) and "\0" not in path and (not path or path.startswith("/"))
