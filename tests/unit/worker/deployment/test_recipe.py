"""What an image is called, and that no way leads to another preview's."""

from dataclasses import replace
from typing import Any

import pytest

from worker.deployment.recipe import ImageInputs, is_of_instance, is_reference, qualified


@pytest.mark.parametrize(
    ("image", "ours"),
    [
        ("previewd/812-7-app:abc", True),
        ("docker.io/previewd/812-7-app:abc", True),
        ("index.docker.io/previewd/812-7-app", True),
        ("previewdx/app", False),
        ("ghcr.io/previewd/app", False),
        ("python:3.12", False),
    ],
)
def test_images_of_previews_are_known_by_every_name(image: str, ours: bool) -> None:
    assert is_of_instance("previewd", image) == ours


@pytest.mark.parametrize(
    ("image", "whole"),
    [
        ("cafe", "cafe:latest"),
        ("python:3", "python:3"),
        ("host:5000/a", "host:5000/a:latest"),
        ("a@sha256:b", "a@sha256:b"),
    ],
)
def test_a_bare_name_gets_its_tag(image: str, whole: str) -> None:
    assert qualified(image) == whole


@pytest.mark.parametrize(
    ("image", "named"),
    [
        ("python:3.12", True),
        ("ghcr.io/a/b_c/d.e:1@sha256:" + "a" * 64, True),
        ("HOST:5000/a:latest", True),
        ("[::1]:5000/a:b", True),
        ("sha256:7", False),
        ("sha256:" + "a" * 64, False),
        ("./sha256:7", False),
        ("../containers/x:latest", False),
        ("a@sha256:7", False),
    ],
)
def test_an_id_of_the_engine_is_no_reference(image: str, named: bool) -> None:
    assert is_reference(image) == named


INGREDIENTS = ImageInputs(context="c", dockerfile="FROM a", bases={"a": "1"}, secrets={"s": b"x"})


@pytest.mark.parametrize(
    "change",
    [
        {"context": "d"},
        {"dockerfile": "FROM a\n"},
        {"bases": {"a": "2"}},
        {"contexts": {"a": "1"}},
        {"settings": {"target": "t"}},
        {"secrets": {"s": b"y"}},
        {"secrets": {"t": b"x"}},
        {"fresh_for": "c"},
    ],
)
def test_whatever_goes_into_an_image_changes_its_name(change: dict[str, Any]) -> None:
    assert replace(INGREDIENTS, **change).digest(b"key") != INGREDIENTS.digest(b"key")


def test_a_name_says_nothing_to_who_lacks_the_key() -> None:
    assert INGREDIENTS.digest(b"key") == replace(INGREDIENTS).digest(b"key")
    assert INGREDIENTS.digest(b"key") != INGREDIENTS.digest(b"another")
