"""Names are made from numbers, fit where they go, and can be read back."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.preview import names
from orchestrator.preview.names import DatabaseKind, Names
from orchestrator.preview.state import PreviewId

TEMPLATE = "pr-{number}-{repo}.{domain}"
previews = st.builds(PreviewId, st.integers(1, 2**40), st.integers(1, 10**6))


@given(previews)
def test_a_database_is_read_back_and_fits_postgres(preview: PreviewId) -> None:
    name = Names(instance="previewd", preview=preview).database
    assert len(name) <= 63
    assert names.preview_of_database("previewd", name) == preview
    assert names.preview_of_database("other", name) is None


@given(previews, st.text())
def test_every_database_of_ours_is_read_back_and_fits_postgres(preview: PreviewId, made_of: str) -> None:
    ours = Names(instance="previewd", preview=preview)
    template = names.template("previewd", preview.repository, made_of)
    kinds = {
        ours.database: DatabaseKind.PREVIEW,
        ours.snapshot(3): DatabaseKind.SNAPSHOT,
        ours.way_back("0a" * 6): DatabaseKind.WAY_BACK,
        names.next_database(ours.database): DatabaseKind.NEXT,
        names.discarded_database(ours.database): DatabaseKind.DISCARDED,
        template: DatabaseKind.TEMPLATE,
        names.spare_database(template): DatabaseKind.SPARE,
    }
    for name, kind in kinds.items():
        is_template, is_preview = kind is DatabaseKind.TEMPLATE, name.startswith(ours.database)
        assert len(name) <= 63
        assert names.kind_of_database("previewd", name) is kind
        assert names.kind_of_database("other", name) is None
        assert names.preview_of_database("previewd", name) == (preview if is_preview else None)
        assert names.repository_of_template("previewd", name) == (preview.repository if is_template else None)
        assert names.role_of_database("previewd", name) == (ours.database if is_preview else template)
    assert names.kind_of_database("previewd", names.owner_role("previewd")) is None


@given(previews)
def test_labels_are_read_back(preview: PreviewId) -> None:
    assert names.preview_of(Names(instance="previewd", preview=preview).labels()) == preview


@given(st.text(), st.text())
def test_a_hostile_repository_name_makes_a_plain_host(owner: str, repository: str) -> None:
    host = names.host_name(TEMPLATE, "preview.example.com", f"{owner}/{repository}", 7)
    label, _, domain = host.partition(".")
    assert domain == "preview.example.com"
    assert re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", label)


def test_two_long_names_that_begin_alike_stay_apart() -> None:
    first, second = (names.host_name(TEMPLATE, "x.org", "a/" + "b" * 80 + end, 7) for end in "cd")
    assert first != second


def test_an_image_is_its_repositorys_and_no_pull_requests() -> None:
    one, other = (Names(instance="previewd", preview=PreviewId(812, number)) for number in (7, 8))
    assert one.image("0a" * 16) == other.image("0a" * 16) == "previewd/812:" + "0a" * 16
    assert one.image_labels() == other.image_labels()
    assert names.preview_of(one.image_labels()) is None


@pytest.mark.parametrize("labels", [{}, {names.REPOSITORY_LABEL: "x", names.PULL_LABEL: "1"}])
def test_labels_that_do_not_say_name_nobody(labels: dict[str, str]) -> None:
    assert names.preview_of(labels) is None
