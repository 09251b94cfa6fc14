"""The stages of a Dockerfile, and the images that they start from."""

import contextlib

import pytest

from orchestrator.codebase.dockerfile import base_images, needed, parse, stages
from orchestrator.preview.errors import BuildError


@pytest.mark.parametrize(
    ("text", "args", "images"),
    [
        ("FROM python:3.12-slim\n", {}, ["python:3.12-slim"]),
        ("from python AS build\nFROM build\nCOPY --from=build /a /b\n", {}, ["python"]),
        (
            "FROM --platform=linux/amd64 node:22 AS web\nFROM python:3\nCOPY --from=web /a /b",
            {},
            ["node:22", "python:3"],
        ),
        ("ARG TAG=3.12\nFROM python:${TAG}-slim", {}, ["python:3.12-slim"]),
        ("ARG TAG=3.12\nFROM python:${TAG}-slim", {"TAG": "3.13"}, ["python:3.13-slim"]),
        ("ARG BASE\nFROM ${BASE:-alpine:3}", {}, ["alpine:3"]),
        ("ARG A=1\nARG B=py$A\nFROM $B", {}, ["py1"]),
        ("FROM scratch\nCOPY --from=ghcr.io/astral-sh/uv:0.5 /uv /bin/", {}, ["ghcr.io/astral-sh/uv:0.5"]),
        ("FROM a\nRUN --mount=type=bind,from=tools:1,target=/t make", {}, ["a", "tools:1"]),
        ("FROM a\nCOPY --from=0 /x /y", {}, ["a"]),
        ("# FROM not-this\nFROM \\\n  python:3 \\\n  AS x\n", {}, ["python:3"]),
        ("FROM a\nFROM a\n", {}, ["a"]),
        ("FROM a AS b # a stage\nFROM b", {}, ["a"]),
        ("FROM a\nONBUILD COPY --from=tools:1 /x /y", {}, ["a", "tools:1"]),
        ('FROM a\nRUN --mount=type=bind,from=b:1 --mount=type=bind,"from=c:1",target=/x ls', {}, ["a", "b:1", "c:1"]),
        ("FROM a\nRUN tool --from=x", {}, ["a"]),
        ("ARG A=1\nFROM x:$A\nARG A=2\nFROM x:$A", {}, ["x:1"]),
        ("ARG A=1\nFROM ${A:+y}", {}, ["y"]),
        ("# syntax=docker/dockerfile:1\nFROM a", {}, ["docker/dockerfile:1", "a"]),
        ("FROM a\nRUN <<EOF\nFROM fake\nEOF\nCOPY --from=b /x /y", {}, ["a", "b"]),
        ("FROM scratch AS a\nCOPY --from=b /x /y\nFROM python AS b\nFROM a", {}, ["python"]),
        ("FROM a\nFROM b\nCOPY --from=7 /x /y", {}, ["b", "7"]),
        ("FROM a\nRUN --mount=from=0,target=/m ls", {}, ["a", "0"]),
        ("FROM a AS x\nFROM x AS python\nFROM PYTHON", {}, ["a"]),
        ("FROM --platform=$BUILDPLATFORM go:1-$TARGETARCH", {}, ["go:1-amd64"]),
        ("ARG V=3.12.1\nFROM python:${V%.*}", {}, ["python:3.12"]),
        ("ARG V=v3\nFROM python:${V#v}", {}, ["python:3"]),
        ("ARG V=3-12\nFROM python:${V/-/.}", {}, ["python:3.12"]),
        ("ARG V=a.b.c\nFROM ${V#*.}-${V##*.}-${V%.*}-${V%%.*}", {}, ["b.c-c-a.b-a"]),
        ("ARG V=a.b.c\nFROM ${V/./-}${V//./-}${V//?.}${V/.*/x}", {}, ["a-b.ca-b-ccax"]),
        ("ARG A=\nFROM a${A:-b}c${A-d}", {}, ["abc"]),
        ('FROM "python:3"', {}, ["python:3"]),
        ("# escape=`\nFROM `\n a`\n:1", {}, ["a:1"]),
        ("\ufeff# syntax=docker/dockerfile:1\r\nFROM a\r\n", {}, ["docker/dockerfile:1", "a"]),
        ('FROM a\nRUN cat <<"RUN true"\nFROM hidden:1\nRUN true\n', {}, ["a", "hidden:1"]),
    ],
)
def test_base_images(text: str, args: dict[str, str], images: list[str]) -> None:
    assert base_images(text, args) == images


def test_stages_that_the_target_does_not_need_are_left_out() -> None:
    text = "FROM a AS one\nFROM b AS two\nCOPY --from=one / /\nFROM c AS three\nFROM two AS four\n"
    assert base_images(text, {}, "two") == ["a", "b"]
    assert base_images(text, {}, "three") == ["c"]
    assert base_images(text, {}, "2") == ["c"]
    assert base_images(text, {}, "none") == ["a", "b", "c"]
    assert [stage.name for stage in needed(stages(parse(text), {}), None)] == ["one", "two", "four"]


def test_a_variable_that_the_frontend_cannot_read_is_named_with_its_line() -> None:
    with pytest.raises(BuildError, match=r"^Dockerfile:2: .*never closed"):
        base_images("# c\nFROM ${A", {})


def test_variables_do_not_multiply_without_end() -> None:
    doubling = "".join(f"ARG A{n}=$A{n - 1}$A{n - 1}\n" for n in range(1, 40))
    with pytest.raises(BuildError, match="characters"):
        base_images(f"ARG A0=xx\n{doubling}FROM $A39", {})


@pytest.mark.parametrize(
    "line",
    [
        "FROM " + "${A:-" * 20_000 + "}" * 20_000,
        "FROM a\nADD " + "${" * 50_000 + " x",
        "FROM a\nADD " + '"${A:-' * 100 + '}"' * 100 + " x",
        "FROM a\nADD [" + "[" * 100_000 + " x",
        "ARG A=" + "a" * 4000 + "\nFROM ${A%" + "*a" * 30 + "b}x",
        "ARG A=" + "a" * 5000 + "\nFROM ${A%b}x",
    ],
)
def test_what_is_written_to_harm_ends_soon(line: str) -> None:
    with contextlib.suppress(BuildError):
        base_images(line, {})
