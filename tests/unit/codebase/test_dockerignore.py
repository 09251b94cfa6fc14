"""`.dockerignore` rule by rule: the patterns, what they leave out, and what stays."""

import pytest

from orchestrator.codebase.dockerignore import parse

CASES: list[tuple[str, list[str], list[str]]] = [
    # patterns, left out, kept
    ("", [], ["a", "a/b"]),
    ("a", ["a", "a/b", "a/b/c"], ["b", "ba", "ab", "b/a"]),
    ("a/b", ["a/b", "a/b/c"], ["a", "a/c", "b"]),
    # anchors, slashes, dots
    ("/a", ["a", "a/b"], ["b/a"]),
    ("a/", ["a", "a/b"], ["b/a"]),
    ("./a", ["a"], ["b"]),
    ("a//b", ["a/b"], ["a", "b"]),
    ("a/./b", ["a/b"], ["a"]),
    ("a/../b", ["b"], ["a", "a/b"]),
    ("//a", ["a"], ["b"]),
    (".", [], ["a", "a/b"]),
    ("/", [], ["a", "a/b"]),
    ("..", [], ["a"]),
    ("../a", [], ["a"]),
    # one star, one question mark
    ("*", ["a", "a/b", ".git", ".git/x"], []),
    ("*.md", ["a.md", ".md"], ["d/a.md", "a.mdx", "amd"]),
    ("*/a", ["b/a", "b/a/c"], ["a", "b/c/a"]),
    ("*/*/a", ["b/c/a"], ["b/a", "b/c/d/a"]),
    ("a*b", ["ab", "axxb"], ["a/b", "abc"]),
    ("a?", ["ab", "a."], ["a", "abc", "a/"]),
    ("a/?/c", ["a/b/c"], ["a/bb/c", "a//c"]),
    ("te*/??.py", ["test/ab.py"], ["test/abc.py", "ab.py"]),
    # two stars
    ("**", ["a", "a/b", "a/b/c"], []),
    ("**/", ["a", "a/b"], []),
    ("**/a", ["a", "b/a", "b/c/a", "b/a/c"], ["ab", "ba", "b/ba"]),
    ("**/*.pyc", ["a.pyc", "b/a.pyc", "b/c/.pyc"], ["a.py", "a.pyc.txt"]),
    ("**.pyc", ["a.pyc", "b/a.pyc"], ["a.py"]),
    ("**a", ["a", "ba", "b/ca"], ["ab", "b"]),
    ("a/**", ["a/b", "a/b/c"], ["a", "ab"]),
    ("a/**/b", ["a/b", "a/c/b", "a/c/d/b"], ["b", "c/a/b", "a/cb"]),
    ("a**", ["a", "ab", "a/b", "abc/d"], ["ba"]),
    ("a**/b", ["a/b", "ac/d/b", "ab"], ["b", "c/b"]),
    ("**/a/**", ["a/b", "c/a/b"], ["a", "c/a", "ab/c"]),
    ("**/**/a", ["a", "b/a", "b/c/a"], ["ab"]),
    ("**/__pycache__", ["__pycache__/x.pyc", "app/__pycache__", "app/a/__pycache__/x"], ["pycache"]),
    ("a/**/*.txt", ["a/b.txt", "a/c/b.txt"], ["b.txt", "a/b.md"]),
    # sets and escapes
    ("[ab].txt", ["a.txt", "b.txt"], ["c.txt", "ab.txt"]),
    ("[a-c]", ["a", "b", "c"], ["d"]),
    ("[^a]", ["b"], ["a", "bb"]),
    ("[[]a", ["[a"], ["a"]),
    (r"\*", ["*"], ["a"]),
    (r"\[a]", ["[a]"], ["a"]),
    (r"\a", ["a"], ["b"]),
    ("a.b", ["a.b"], ["axb"]),
    ("a+(b)|{c}$^", ["a+(b)|{c}$^"], ["aab"]),
    ("[a&&b]", ["&", "a"], ["c"]),
    # exceptions: the last match decides
    ("*.md\n!README.md", ["a.md"], ["README.md"]),
    ("*.md\n!README*.md\nREADME-secret.md", ["a.md", "README-secret.md"], ["README.md", "README-x.md"]),
    ("*.md\nREADME-secret.md\n!README*.md", ["a.md"], ["README.md", "README-secret.md"]),
    ("!a\na", ["a"], ["b"]),
    ("a\n!a", [], ["a", "a/b"]),
    ("*\n!a", ["b", "b/a"], ["a", "a/b"]),
    ("*\n!a/b", ["a", "a/c", "b"], ["a/b", "a/b/c"]),
    ("*\n!/a/", ["b"], ["a", "a/b"]),
    ("*\n! a", ["b"], ["a"]),
    ("**\n!a\n!b/*.py", ["c", "b/a.txt", "b/c/d.py"], ["a", "a/x", "b/a.py"]),
    ("*\n!**/*.py", ["a.txt", "b/a.txt"], ["a.py", "b/a.py", "b/c/a.py"]),
    ("a\n!a/b\na/b/c", ["a", "a/x", "a/b/c", "a/b/c/d"], ["a/b", "a/b/d"]),
    ("docs/*.md\n!docs", ["docs/a.md"], ["docs", "docs/a.txt", "docs/b/c.md"]),
    ("docs\n!docs/*.md", ["docs", "docs/a.txt"], ["docs/a.md"]),
    # comments, blanks, line ends, byte order mark
    ("# a\na", ["a"], ["# a"]),
    ("\n\n  \na\n", ["a"], ["b"]),
    (" # a", ["# a"], ["a"]),
    ("a # no comment", ["a # no comment"], ["a"]),
    ("  a  ", ["a"], ["b"]),
    ("a\r\nb\r\n", ["a", "b"], ["c"]),
    ("\ufeffa\nb", ["a", "b"], ["c"]),
    ("\ufeff# a\nb", ["b"], ["a"]),
    # case and plain Unicode
    ("A", ["A"], ["a"]),
    ("é?", ["éü"], ["é"]),
]


@pytest.mark.parametrize(("text", "left_out", "kept"), CASES, ids=[repr(case[0]) for case in CASES])
def test_what_is_left_out(text: str, left_out: list[str], kept: list[str]) -> None:
    ignore = parse(text)
    assert {path: ignore.excludes(path) for path in left_out} == dict.fromkeys(left_out, True)
    assert {path: ignore.excludes(path) for path in kept} == dict.fromkeys(kept, False)


def test_the_order_of_questions_does_not_matter() -> None:
    paths = ["a", "a/b", "a/b/c", "a/b/d", "docs/x.md", "docs"]
    text = "a\n!a/b\na/b/c\ndocs/*.md\n!docs"
    forwards, backwards = parse(text), parse(text)
    assert {p: forwards.excludes(p) for p in paths} == {p: backwards.excludes(p) for p in reversed(paths)}


@pytest.mark.parametrize("pattern", ["!", "! ", "[a", "a[", "[]a", "a\\", "[]", "[-a]", "[b-a]"])
def test_what_docker_refuses_is_refused_with_its_line(pattern: str) -> None:
    with pytest.raises(ValueError, match="line 2"):
        parse(f"a\n{pattern}\n")


def test_many_stars_do_not_take_for_ever() -> None:
    ignore = parse("**/" * 40 + "x")
    assert not ignore.excludes("/".join("a" * 200))
