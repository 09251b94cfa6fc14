"""What is put into Dockerfiles: images for names, scopes for caches, certificates. No line moves."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.codebase.dockerfile import base_images, judge, parse, rewrite
from orchestrator.preview.errors import BuildError

CONTEXTS = {"base": "built:1", "docker.io/library/node:latest": "built:2"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("FROM base", "FROM built:1"),
        ("FROM BASE:latest AS x\nRUN y", "FROM built:1 AS x\nRUN y"),
        ("from  --platform=x \\\n base  AS b\nCOPY . .", "from  --platform=x \\\n built:1  AS b\nCOPY . ."),
        ("ARG B=base\nFROM $B", "ARG B=base\nFROM built:1"),
        ("FROM node", "FROM built:2"),
        ("FROM a AS base\nFROM base", "FROM a AS base\nFROM built:1"),
        ("FROM a\nCOPY --from=base x base", "FROM a\nCOPY --from=built:1 x base"),
        ("FROM a\nCOPY --fr\\\nom=base x y", "FROM a\nCOPY --from=built:1\\\n x y"),
        ("FROM a\nONBUILD COPY --from=base x y", "FROM a\nONBUILD COPY --from=built:1 x y"),
        ("FROM a\nRUN --mount=from=base,target=/x y", "FROM a\nRUN --mount=from=base,target=/x,from=built:1 y"),
        ("FROM bases\nCOPY base /base", "FROM bases\nCOPY base /base"),
    ],
)
def test_a_named_context_becomes_an_image(text: str, expected: str) -> None:
    assert rewrite(text, contexts=CONTEXTS) == expected
    assert not {"base", "node"} & set(base_images(expected, {}))


def cache_ids(text: str) -> list[str]:
    return [flag.options["id"] for instruction in parse(text) for flag in instruction.effective.flags]


def test_a_cache_gets_its_scope_and_keeps_the_rest() -> None:
    text = "FROM a\nRUN --mount=type=cache,target=/x,sharing=locked --mount=type=bind,from=b,target=/b,id=i y\n"
    found = rewrite(text, cache_scope="812")
    (flag, other) = parse(found)[1].flags
    assert flag.value.startswith("type=cache,target=/x,sharing=locked,id=812-")
    assert other.value == "type=bind,from=b,target=/b,id=i"


def test_caches_are_told_apart_as_before() -> None:
    lines = ["target=/x", "target=/y", "id=/x,target=/z", "id=a,target=/x", "dst=/x", "id=a,target=/q"]
    text = "FROM a\n" + "".join(f"RUN --mount=type=cache,{line} z\n" for line in lines)
    x, y, named_x, a, dst, again = cache_ids(rewrite(text, cache_scope="812"))
    assert x == named_x == dst
    assert a == again
    assert len({x, y, a}) == 3


@pytest.mark.parametrize("name", ["../813-x", "x/../../813-y", "a,b", "$V", "/", ".."])
def test_no_id_leads_out_of_its_scope(name: str) -> None:
    text = f"FROM a\nRUN --mount=type=cache,target=/x,id={name} y"
    (found,) = cache_ids(rewrite(text, cache_scope="812"))
    assert found.startswith("812-")
    assert not set("./$,") & set(found)


@pytest.mark.parametrize(
    ("mount", "expected"),
    [
        ("type=secret,id=s", ",id=S,target=/run/secrets/s"),
        ("type=secret,source=s", ",source=S,target=/run/secrets/s"),
        ("type=secret,target=/etc/s", ",id=S"),
        ("type=secret,id=s,env=S", ",id=S"),
        ("type=secret,id=t", ""),
        ("type=bind,source=s,target=/s", ""),
    ],
)
def test_a_secret_is_asked_for_by_what_it_holds_and_lies_where_it_did(mount: str, expected: str) -> None:
    text = f"FROM a\nRUN --mount={mount} y"
    assert rewrite(text, secrets={"s": "S"}) == f"FROM a\nRUN --mount={mount}{expected} y"


LINES = st.sampled_from(
    [
        "FROM a AS b",
        "FROM base",
        "FROM node:latest as node",
        "RUN --mount=type=cache,target=/x y",
        "RUN --mount=type=cache,\\\n  target=/x,id=i \\\n# c\n\n  --network=none y",
        "RUN <<EOF\nRUN --mount=type=cache,target=/x y\nEOF",
        "RUN cat <<-'A' <<B\n\tx\n\tA\n\nB",
        "COPY --from=base --chown=1 a b",
        "COPY --fro\\\nm=base a b",
        "ONBUILD RUN --mount=type=bind,from=base x",
        "# comment",
        "",
        "  ",
        'CMD ["a"]',
        "ENV A=b \\\n  C=d",
        "RUN x",
        "RUN ü",
    ]
)
DOCKERFILES = st.builds(
    lambda lines, end, bom: (bom + "\n".join(["FROM a", *lines])).replace("\n", end),
    st.lists(LINES, max_size=8),
    st.sampled_from(["\n", "\r\n"]),
    st.sampled_from(["", "\ufeff"]),
)


@given(DOCKERFILES)
def test_nothing_to_do_changes_nothing(text: str) -> None:
    assert rewrite(text) == text
    assert rewrite(text, contexts={"elsewhere": "x"}, mounts=lambda _: ()) == text


@given(DOCKERFILES)
def test_no_line_moves(text: str) -> None:
    found = rewrite(text, contexts=CONTEXTS, cache_scope="812", mounts=lambda _: ["type=secret,id=a,target=/a"])
    assert found.count("\n") == text.count("\n")
    before, after = parse(text), parse(found)
    assert [(i.keyword, i.line, i.end, i.heredocs) for i in before] == [
        (i.keyword, i.line, i.end, i.heredocs) for i in after
    ]
    assert [i for i in before if i.effective.keyword not in {"FROM", "RUN", "COPY"}] == [
        i for i in after if i.effective.keyword not in {"FROM", "RUN", "COPY"}
    ]


@given(st.text(alphabet=st.sampled_from(list("FROM a\nRUN<EO-'\"$\\{}:#=,[]`\r\t")), max_size=80))
def test_any_text_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(BuildError):
        assert rewrite(text) == text
        base_images(text, {})
        judge(text, {})
