"""What is refused in a Dockerfile, and that nothing hides from it."""

import pytest

from orchestrator.codebase.dockerfile import judge, judge_triggers
from orchestrator.preview.errors import BuildError


@pytest.mark.parametrize(
    "text",
    [
        "# syntax=docker/dockerfile:1\nFROM a",
        "# syntax=docker.io/docker/dockerfile:1.7.0\nFROM a",
        f"# syntax=docker/dockerfile:1@sha256:{'0' * 64}\nFROM a",
        "FROM a\nADD . /x",
        "FROM a\nADD dist/app-${V}.tgz /",
        "FROM a\nADD ./$V /",
        "FROM a\nENV V=1\nADD app-$V.tgz /",
        "FROM a\nADD <<EOF /x\nhttps://x\nEOF",
        "FROM a\nRUN curl https://x | sh",
        "FROM a\nRUN --mount=type=cache,target=/x --mount=type=secret,id=a --mount=type=tmpfs,target=/t ls",
        "FROM a\nRUN --mount=from=b,target=/x --network=none --security=sandbox ls",
        "FROM a\nRUN <<EOF\nADD https://x /y\nEOF",
        "FROM a\nCOPY --from=b /x /y",
        "FROM a\nLABEL a=https://x",
    ],
)
def test_what_is_taken(text: str) -> None:
    assert judge(text, {}) == []


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("# syntax=evil/frontend\nFROM a", 1),
        ("# syntax=docker/dockerfile:1-labs\nFROM a", 1),
        ("# syntax=docker/dockerfile-upstream:master\nFROM a", 1),
        ("# syntax=docker/dockerfile\nFROM a", 1),
        ("# syntax=ghcr.io/docker/dockerfile:1\nFROM a", 1),
        ("# syntax=docker/dockerfile:1\n# syntax=evil\nFROM a", 2),
        ("#!/usr/bin/env x\n# syntax=evil\nFROM a", 2),
        ("FROM a\nADD http://127.0.0.1/x /y", 2),
        ("FROM a\nADD --checksum=sha256:0 \\\n  x \\\n  https://x /y", 2),
        ("FROM a\nADD HTTPS://x /y", 2),
        ("FROM a\nADD git@github.com:a/b.git /y", 2),
        ("FROM a\nADD me@host:b /y", 2),
        ("FROM a\nADD git://x/y /y", 2),
        ("FROM a\nADD github.com/a/b /y", 2),
        ('FROM a\nADD ["https://x", "/y"]', 2),
        ('FROM a\nADD ["https://x", "/y"] z', 2),
        ('FROM a\nADD "http://x" /y', 2),
        ("FROM a\nADD ht'tp://x' /y", 2),
        ("FROM a\nADD ht\\tp://x /y", 2),
        ("FROM a\nONBUILD ADD http://x /y", 2),
        ("FROM a\nARG U=http\nADD $U://x /y", 3),
        ("FROM a\nARG U\nADD $U /y", 3),
        ("FROM a\nADD $FROM_THE_BASE_IMAGE /y", 2),
        ("FROM a\nADD h$REST /y", 2),
        ("FROM a\nADD https:/$REST /y", 2),
        ("FROM a\nADD ${U:-https://x} /y", 2),
        ("FROM a\nENV U=http://x\nADD $U /y\nENV U=x", 3),
        ("FROM a AS b\nENV U=./x\nONBUILD ENV U=http://x\nFROM b\nADD $U /y", 5),
        ("FROM a\nRUN --network=host x", 2),
        ("FROM a\nRUN --security=insecure x", 2),
        ("FROM a\nRUN --device=x x", 2),
        ("FROM a\nRUN --mount=type=ssh x", 2),
        ("FROM a\nRUN --mount=type=cache,target=/x,type=ssh x", 2),
        ("FROM a\nONBUILD RUN --network=host x", 2),
        ("FROM a\nRUN --net\\\nwork=host x", 2),
        ('FROM a\nRUN "--network=host" x\nRUN --"network"=host x', 3),
        ('FROM a\nRUN cat <<"RUN true"\nADD http://x /y\nRUN true', 3),
        ("FROM a\nRUN cat <<EOF\nADD http://x /y\nRUN true \\\nEOF", 3),
    ],
)
def test_what_is_refused_with_its_line(text: str, line: int) -> None:
    (found,) = judge(text, {}, "app/Dockerfile")
    assert (found.place.file, found.place.line) == ("app/Dockerfile", line)
    assert found.remedy
    assert str(found).startswith(f"app/Dockerfile:{line}: ")


@pytest.mark.parametrize("name", ["BUILDKIT_SYNTAX", "BUILDKIT_CACHE_MOUNT_NS"])
def test_arguments_that_choose_the_builder(name: str) -> None:
    (found,) = judge("FROM a", {name: "evil"})
    assert name in found.message


def test_arguments_are_in_place() -> None:
    (found,) = judge("FROM a\nARG U=./x\nADD ./$U ${U}y /", {"U": "http://x"})
    assert found.place.line == 3


def test_all_is_found_in_the_order_of_the_file() -> None:
    text = "# syntax=x\nFROM a\nRUN --network=host x\nFROM b\nADD http://x /\nRUN --security=insecure x"
    assert [found.place.line for found in judge(text, {})] == [1, 3, 5, 6]


@pytest.mark.parametrize(
    "trigger",
    [
        "ADD http://169.254.169.254/ /",
        "RUN --network=host true",
        "RUN --security=insecure true",
        "RUN --mount=type=cache,id=previewd-1-x,target=/x true",
    ],
)
def test_what_a_base_image_would_add_is_judged_too(trigger: str) -> None:
    (finding,) = judge_triggers(["COPY . /app", trigger], {}, "base:1")
    assert str(finding).startswith("ONBUILD of base:1:3")
    assert judge_triggers(["COPY . /app"], {}, "base:1") == []


@pytest.mark.parametrize(
    "text",
    [
        "FROM a\n" + "RUN true\n" * 10_000,
        "FROM a\n" * 1_000,
        "FROM a\n" + "ONBUILD " * 5_000,
        "FROM a\nENV X=" + "a" * 4_000 + "\nADD ${X//" + "*a" * 2_000 + "b/} c\n",
    ],
)
def test_what_would_take_long_to_read_is_refused(text: str) -> None:
    with pytest.raises(BuildError):
        judge(text, {})
