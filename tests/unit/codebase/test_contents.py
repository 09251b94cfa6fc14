"""What a repository's files hold, read within bounds."""

from collections import UserDict

import pytest

from orchestrator.codebase.contents import MAX_TEXT_BYTES, Overlay, Subfolder, data_of, table, text_of, toml, whole_text
from orchestrator.preview.errors import AuthorError, ComposeError, Place

FILES = {"a.txt": b"\xef\xbb\xbfone\xff", "api/b.toml": b"[x.y]\nz = 1\n", "api/lib/c": b"", "apis/d": b""}


def test_the_files_below_a_folder() -> None:
    api = Subfolder(FILES, "api")
    assert (list(api), len(api)) == (["b.toml", "lib/c"], 2)
    assert api["b.toml"] == FILES["api/b.toml"]
    assert "lib/c" in api
    assert "a.txt" not in api
    assert dict(Subfolder(FILES, ".")) == FILES


def test_a_file_that_is_laid_over() -> None:
    whole = Overlay(FILES, "a.txt", b"other")
    assert (whole["a.txt"], whole["apis/d"], len(whole)) == (b"other", b"", 4)
    assert (list(Overlay(FILES, "new", b"")), "new" in Overlay(FILES, "new", b"")) == (["new", *FILES], True)


class Unreadable(UserDict[str, bytes]):
    def __getitem__(self, path: str) -> bytes:
        raise ComposeError(Place(file=path), "it is larger than 1 byte")


def test_a_text_is_empty_where_it_cannot_be_read() -> None:
    assert (text_of(FILES, "a.txt"), text_of(FILES, "gone"), text_of(FILES, "a.txt", 3)) == ("one\ufffd", "", "")
    assert (data_of(Unreadable({"a": b"x"}), "a"), text_of(Unreadable({"a": b"x"}), "a")) == (b"", "")


def test_a_whole_text_has_any_size_and_must_be_readable() -> None:
    assert len(whole_text({"a": b"x" * (MAX_TEXT_BYTES + 1)}, "a")) == MAX_TEXT_BYTES + 1
    assert whole_text({}, "a") == ""
    with pytest.raises(AuthorError, match="larger"):
        whole_text(Unreadable({"a": b"x"}), "a")


def test_the_tables_of_a_toml_file() -> None:
    root = toml(FILES, "api/b.toml")
    assert (table(root, "x", "y"), table(root, "x", "y", "z"), table(root, "gone", "y")) == ({"z": 1}, {}, {})
    assert toml(FILES, "gone") == {}
    with pytest.raises(AuthorError, match=r"^a\.txt cannot be read: "):
        toml(FILES, "a.txt")
