"""Dockerfiles read: instructions, flags, heredocs, stages, and the images that they start from."""

import pytest

from orchestrator.codebase.dockerfile import Instruction, directives, parse
from orchestrator.preview.errors import BuildError


def one(text: str) -> Instruction:
    (found,) = parse(text)
    return found


@pytest.mark.parametrize(
    ("text", "keyword", "flags", "arguments", "end"),
    [
        ("run ls", "RUN", [], "ls", 1),
        ("  RUN\tls  -l  ", "RUN", [], "ls  -l", 1),
        ("RUN a \\\n  b", "RUN", [], "a   b", 2),
        ("RUN a \\\n# no\n\n  # no\n b", "RUN", [], "a  b", 5),
        ("RUN a \\  \n b", "RUN", [], "a  b", 2),
        ("RUN a\\\\", "RUN", [], "a\\\\", 1),
        ("RUN a # b", "RUN", [], "a # b", 1),
        ("RUN \\\r\n a\r\n", "RUN", [], "a", 2),
        ("RUN --mount=type=cache,target=/a --network=none ls --x", "RUN", ["mount", "network"], "ls --x", 1),
        ("RUN --mount=type=cache,\\\ntarget=/a \\\n  --network=none \\\n ls", "RUN", ["mount", "network"], "ls", 4),
        ('COPY --from="a b" x y', "COPY", ["from"], "x y", 1),
        ("COPY --link x y", "COPY", ["link"], "x y", 1),
        ("RUN -- --x", "RUN", [], "--x", 1),
        ("RUN cat <<EOF\na\nb\nEOF\n", "RUN", [], "cat <<EOF", 4),
    ],
)
def test_an_instruction(text: str, keyword: str, flags: list[str], arguments: str, end: int) -> None:
    found = one(text)
    assert (found.keyword, [flag.name for flag in found.flags], found.arguments) == (keyword, flags, arguments)
    assert (found.line, found.end) == (1, end)


def test_the_options_of_a_mount() -> None:
    (flag,) = one('RUN --mount=type=bind,"from=a:1",Target=/x,rw ls').flags
    assert flag.options == {"type": "bind", "from": "a:1", "target": "/x", "rw": ""}


def test_lines_are_counted_as_in_the_file() -> None:
    text = "# syntax=docker/dockerfile:1\n\nFROM a\n# c\nRUN <<A cat <<-'B'\n1\nA\n\t2 $x\n\tB\n\nCMD x\n"
    found = parse(text)
    assert [(i.keyword, i.line, i.end) for i in found] == [("FROM", 3, 3), ("RUN", 5, 9), ("CMD", 11, 11)]
    first, second = found[1].heredocs
    assert (first.name, first.content, first.expand, first.chomp) == ("A", "1\n", True, False)
    assert (second.name, second.content, second.expand, second.chomp) == ("B", "\t2 $x\n", False, True)
    assert found[1].text == "RUN <<A cat <<-'B'\n1\nA\n\t2 $x\n\tB"


def test_what_is_kept_for_later() -> None:
    found = one("ONBUILD COPY --from=a <<EOF /x\nb\nEOF")
    assert found.keyword == "ONBUILD"
    assert found.trigger is not None
    assert (found.effective.keyword, found.effective.flag("from")) == ("COPY", "a")
    assert [doc.content for doc in found.effective.heredocs] == ["b\n"]


@pytest.mark.parametrize(
    "text",
    [
        "RUN echo '<<EOF'",
        'RUN echo "a <<EOF"',
        "RUN echo 1 << 2",
        "RUN echo $((1<<2))",
        'RUN ["cat", "<<EOF"]',
        "RUN cat <<<word",
        "CMD cat <<EOF",
    ],
)
def test_what_is_no_heredoc(text: str) -> None:
    assert one(text).heredocs == ()


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", 0),
        ("# only\n", 0),
        ("FROM a\nRUNN x", 2),
        ("FROM a\n\nRUN <<EOF\nx\n", 3),
        ("FROM a\nRUN don't <<EOF\nADD http://x /\nEOF", 2),
        ("FROM a\nRUN ${x[0]} <<EOF\nx\nEOF", 2),
        ("FROM a\nRUN cat <<E$x\nx\nE", 2),
        ('FROM a\nRUN ["a"] <<EOF\nx\nEOF', 2),
        ("FROM a\nRUN --mount=target=/à--network=host x", 2),
        ("FROM a\nRUN x \\\n\x1c\nADD http://x /", 3),
        ("FROM a\nONBUILD ONBUILD RUN x", 2),
        ("# escape=x\nFROM a", 1),
        ("// syntax=evil\nFROM a", 1),
        ('{"syntax": "evil"}', 1),
    ],
)
def test_what_cannot_be_read(text: str, line: int) -> None:
    with pytest.raises(BuildError, match=f"^D:{line}: " if line else "^D has no instructions"):
        parse(text, "D")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("# syntax=a\n# escape=`\n# check=skip=all\nFROM x", ["syntax", "escape", "check"]),
        ("#syntax = a\nFROM x", ["syntax"]),
        ("#!/x\n# syntax=a\nFROM x", ["syntax"]),
        ("# other=1\n# SYNTAX=a\nFROM x", ["syntax"]),
        ("# words\n# syntax=a\nFROM x", []),
        ("\n# syntax=a\nFROM x", []),
        ("FROM x\n# syntax=a", []),
    ],
)
def test_directives_stand_at_the_top(text: str, found: list[str]) -> None:
    assert [directive.name for directive in directives(text)] == found
