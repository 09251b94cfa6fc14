"""The images that Dockerfiles start from."""

import pytest

from orchestrator.dockerfile import base_images


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
        ("ARG A=1\nFROM x:$A\nARG A=2\nFROM x:$A", {}, ["x:1", "x:2"]),
        ("ARG A=1\nFROM ${A:+y}", {}, ["y"]),
        ("# syntax=docker/dockerfile:1\nFROM a", {}, ["docker/dockerfile:1", "a"]),
        ("FROM a\nRUN <<EOF\nFROM fake\nEOF\nCOPY --from=b /x /y", {}, ["a", "b"]),
        ("", {}, []),
    ],
)
def test_base_images(text: str, args: dict[str, str], images: list[str]) -> None:
    assert base_images(text, args) == images
