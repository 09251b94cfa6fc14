"""Which image each service runs, and that no way leads to another preview's."""

import pytest

from worker.images import is_of_instance, qualified


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
