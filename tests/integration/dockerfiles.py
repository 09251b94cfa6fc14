"""Dockerfiles and contexts of every kind, with what their builds say: those that build, and those that do not."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.support.context import Content, Folder, Link, Program
from tests.support.images import BASE_IMAGE

BASE = f"FROM {BASE_IMAGE}\n"
LIST = (
    "RUN python3 -c \"import os; print(*sorted(os.path.join(d, f) for d, ds, fs in os.walk('/src') for f in fs + ds))\""
)
SECRET = "correct-horse-battery"


@dataclass(frozen=True, kw_only=True)
class Case:
    """A Dockerfile that builds, what it finds, and the lines that it prints."""

    dockerfile: str
    files: Mapping[str, Content] = field(default_factory=dict)
    prints: tuple[str, ...] = ()
    never: str = "ERROR"
    more: Mapping[str, Any] = field(default_factory=dict)


MANY = {f"d{number // 1000:03}/f{number:05}": "" for number in range(100_000)}
TREE: Mapping[str, Content] = {"a": "1", "d/b": "2", "d/e/f": "3"}

BUILDS = {
    "a folder": Case(
        dockerfile=f"{BASE}COPY . /src\n{LIST}\n", files=TREE, prints=("/src/a /src/d /src/d/b /src/d/e /src/d/e/f",)
    ),
    "the dockerfile is in no image": Case(dockerfile=f"{BASE}COPY . /src\n{LIST}\n", prints=("",)),
    "another dockerfile of the context is": Case(
        dockerfile=f"{BASE}COPY . /src\n{LIST}\n", files={"Dockerfile": "FROM nothing"}, prints=("/src/Dockerfile",)
    ),
    "an ignore file is not applied twice": Case(
        dockerfile=f"{BASE}COPY . /src\n{LIST}\n",
        files={".dockerignore": "*", "a": "1"},
        prints=("/src/.dockerignore /src/a",),
    ),
    "the ignore file alone": Case(
        dockerfile=f"{BASE}COPY .dockerignore /src/\n{LIST}\n",
        files={".dockerignore": "*"},
        prints=("/src/.dockerignore",),
    ),
    "one file of many": Case(dockerfile=f"{BASE}COPY d/b /src/\n{LIST}\n", files=TREE, prints=("/src/b",)),
    "a pattern": Case(dockerfile=f"{BASE}COPY d/* /src/\n{LIST}\n", files=TREE, prints=("/src/b /src/f",)),
    "a link that is copied by its name": Case(
        dockerfile=f"{BASE}COPY l /src/\nRUN cat /src/l; echo\n", files={"l": Link("d/b"), "d/b": "2"}, prints=("2",)
    ),
    "a file behind a linked folder": Case(
        dockerfile=f"{BASE}COPY l/b /src/\nRUN cat /src/b; echo\n", files={"l": Link("d"), "d/b": "2"}, prints=("2",)
    ),
    "links stay links": Case(
        dockerfile=f"{BASE}COPY . /src\nRUN readlink /src/l /src/gone /src/out /src/d/up\n",
        files={"a": "1", "l": Link("a"), "gone": Link("none"), "out": Link("/etc/passwd"), "d/up": Link("../a")},
        prints=("a", "none", "/etc/passwd", "../a"),
    ),
    "modes": Case(
        dockerfile=f"{BASE}COPY . /src\nRUN stat -c '%n %a %u:%g' /src/run /src/read /src/dir\n",
        files={"run": Program("#!/bin/sh\n"), "read": "", "dir/x": ""},
        prints=("/src/run 755 0:0", "/src/read 644 0:0", "/src/dir 755 0:0"),
    ),
    "an empty folder": Case(dockerfile=f"{BASE}COPY . /src\n{LIST}\n", files={"e": Folder()}, prints=("/src/e",)),
    "odd names": Case(
        dockerfile=f"{BASE}COPY . /src\nRUN python3 -c \"import os; print(sorted(os.listdir(b'/src')))\"\n",
        files={"a b": "", "é": "", "new\nline": "", "-x": "", "#": "", "o\udcff": ""},
        prints=("[b'#', b'-x', b'a b', b'new\\nline', b'o\\xff', b'\\xc3\\xa9']",),
    ),
    "a path in json": Case(
        dockerfile=f'{BASE}COPY ["a b", "/src/"]\n{LIST}\n', files={"a b": ""}, prints=("/src/a b",)
    ),
    "a path that is not ascii": Case(
        dockerfile=f'{BASE}COPY ["é ü", "/src/"]\n{LIST}\n', files={"é ü": ""}, prints=("/src/é ü",)
    ),
    "what is no archive stays as it is": Case(
        dockerfile=f"{BASE}ADD a /src/\n{LIST}\n", files={"a": "no archive"}, prints=("/src/a",)
    ),
    "an empty file": Case(dockerfile=f"{BASE}COPY a /a\nRUN stat -c %s /a\n", files={"a": ""}, prints=("0",)),
    "100,000 files": Case(
        dockerfile=f"{BASE}RUN --mount=type=bind,target=/c find /c -type f | wc -l\n", files=MANY, prints=("100000",)
    ),
    "a bind mount": Case(
        dockerfile=f"{BASE}RUN --mount=type=bind,source=d,target=/c cat /c/b && echo\n", files=TREE, prints=("2",)
    ),
    "a mount of a stage": Case(
        dockerfile=f"{BASE[:-1]} AS one\nRUN echo made > /made\n{BASE}RUN --mount=from=one,target=/x cat /x/made\n",
        prints=("made",),
    ),
    "a mount in memory": Case(
        dockerfile=f"{BASE}RUN --mount=type=tmpfs,target=/t stat -f -c %T /t\n", prints=("tmpfs",)
    ),
    "a secret": Case(
        dockerfile=f"{BASE}RUN --mount=type=secret,id=word wc -c < /run/secrets/word\n",
        prints=(str(len(SECRET)),),
        more={"secrets": {"word": SECRET.encode()}},
    ),
    "a secret that is missing": Case(
        dockerfile=f"{BASE}RUN --mount=type=secret,id=word ls -A /run/secrets || echo none\n", prints=("none",)
    ),
    "stages": Case(
        dockerfile=f"{BASE[:-1]} AS one\nRUN echo made > /made\n{BASE}COPY --from=one /made /got\nRUN cat /got\n",
        prints=("made",),
    ),
    "a stage that nobody needs": Case(
        dockerfile=f"{BASE[:-1]} AS unused\nRUN echo never-seen\n{BASE}RUN echo seen\n",
        prints=("seen",),
        never="never-seen",
    ),
    "a target": Case(
        dockerfile=f"{BASE[:-1]} AS one\nRUN echo seen\n{BASE}RUN echo never-seen\n",
        prints=("seen",),
        never="never-seen",
        more={"target": "one"},
    ),
    "an argument": Case(
        dockerfile=f"{BASE}ARG WHO=nobody\nRUN echo I am $WHO\n", prints=("I am ann",), more={"args": {"WHO": "ann"}}
    ),
    "an argument in FROM": Case(
        dockerfile="ARG TAG=none\nFROM python:$TAG\nRUN echo seen\n",
        prints=("seen",),
        more={"args": {"TAG": "3.11-slim"}},
    ),
    "an argument's default": Case(dockerfile=f"{BASE}ARG WHO=nobody\nRUN echo I am $WHO\n", prints=("I am nobody",)),
    "no network": Case(dockerfile=f"{BASE}RUN grep -c : /proc/net/dev\n", prints=("1",), more={"network": "none"}),
    "a platform": Case(dockerfile=f"{BASE}RUN echo seen\n", prints=("seen",), more={"platform": "linux/amd64"}),
    "a cache that is not there": Case(
        dockerfile=f"{BASE}RUN echo seen\n",
        prints=("seen",),
        never="exit code",
        more={"cache_from": ("127.0.0.1:9/none:1",)},
    ),
    "another shell": Case(dockerfile=f'{BASE}SHELL ["/bin/bash", "-c"]\nRUN echo $0\n', prints=("/bin/bash",)),
    "triggers, users and folders": Case(
        dockerfile=f"{BASE}ENV D=/work\nUSER 1234\nWORKDIR $D\nRUN id -u; pwd\n", prints=("1234", "/work")
    ),
    "lines that go on": Case(dockerfile=f"{BASE}RUN echo one \\\n # a comment\n && echo two\n", prints=("one", "two")),
    "windows' line ends": Case(dockerfile=f"{BASE}RUN echo one\r\nRUN echo two\r\n", prints=("one", "two")),
    "limits": Case(
        dockerfile=f"{BASE}RUN echo seen\n",
        prints=("seen",),
        more={"shm_size": 1 << 20, "ulimits": {"nofile": (1000, 2000)}},
    ),
}


@dataclass(frozen=True, kw_only=True)
class Fault:
    """A Dockerfile that cannot be built, the line that is at fault, and what is said."""

    dockerfile: str
    says: tuple[str, ...]
    line: int = 0
    more: Mapping[str, Any] = field(default_factory=dict)


FAULTS = {
    "no such instruction": Fault(dockerfile="FROM scratch\n\nFOO bar\n", line=3, says=("unknown instruction: FOO",)),
    "nothing in it": Fault(dockerfile="", says=("empty",)),
    "too few words": Fault(dockerfile="FROM scratch\nCOPY\n", line=2, says=("COPY requires",)),
    "a flag that is unknown": Fault(dockerfile=f"{BASE}RUN --bogus true\n", line=2, says=("bogus",)),
    "no such registry": Fault(
        dockerfile="FROM 127.0.0.1:9/none:1\n", line=1, says=("the image 127.0.0.1:9/none:1 cannot be had", "reaches")
    ),
    "no such frontend": Fault(
        dockerfile="# syntax=127.0.0.1:9/none:1\nFROM scratch\n", line=1, says=("the image 127.0.0.1:9/none:1",)
    ),
    "no such image to copy from": Fault(
        dockerfile=f"{BASE}RUN true\nCOPY --from=127.0.0.1:9/x:2 /a /\n",
        line=3,
        says=("127.0.0.1:9/x:2 cannot be had",),
    ),
    "no such image to mount": Fault(
        dockerfile=f"{BASE}RUN --mount=from=127.0.0.1:9/x:3,target=/x true\n", line=2, says=("127.0.0.1:9/x:3",)
    ),
    "no such file": Fault(
        dockerfile="FROM scratch\n\nCOPY none /x\n", line=3, says=("`COPY none /x` failed", "not found")
    ),
    "no such target": Fault(dockerfile="FROM scratch\nCOPY a /\n", says=("nowhere",), more={"target": "nowhere"}),
    "no such address": Fault(
        dockerfile=f"{BASE}ADD http://127.0.0.1:9/x /y\n", line=2, says=("http://127.0.0.1:9/x", "Check the address")
    ),
    "an image without a name": Fault(dockerfile="FROM $NOTHING\nCOPY a /\n", says=("should not be blank",)),
    "a command that fails": Fault(
        dockerfile=f"{BASE}RUN true\nRUN exit 7\n", line=3, says=("`RUN exit 7` failed: exit code 7",)
    ),
    "a test": Fault(dockerfile=f"{BASE}RUN test -e /x\n", line=2, says=("`RUN test -e /x` failed: exit code 1",)),
    "a command over several lines": Fault(
        dockerfile=f'{BASE}ENV A="b c"\n# why\nRUN echo "$A" && \\\n    false\n', line=4, says=("exit code 1", "b c")
    ),
    "a command in another stage": Fault(
        dockerfile=f"{BASE[:-1]} AS one\nWORKDIR /x\nFROM one AS two\nRUN true\nRUN false\n",
        line=5,
        says=("`RUN false`",),
    ),
    "a command that is not there": Fault(
        dockerfile=f'{BASE}RUN ["/none"]\n', line=2, says=('`RUN ["/none"]`', "no such file")
    ),
    "a shell that is not there": Fault(dockerfile="FROM scratch\nRUN true\n", line=2, says=("`RUN true`",)),
    "a user that is not there": Fault(
        dockerfile=f"{BASE}USER nemo\nRUN true\n", line=3, says=("unable to find user nemo",)
    ),
    "a folder that is a file": Fault(
        dockerfile=f"{BASE}WORKDIR /etc/passwd\nRUN true\n", line=2, says=("not a directory",)
    ),
    "a secret that must be there": Fault(
        dockerfile=f"{BASE}RUN --mount=type=secret,id=word,required=true true\n",
        line=2,
        says=("secret word not found",),
    ),
    "a platform that is none": Fault(
        dockerfile="FROM scratch\nCOPY a /\n",
        says=("cannot parse platform", "linux/amd64"),
        more={"platform": "a/b/c/d"},
    ),
}
