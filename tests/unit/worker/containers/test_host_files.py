"""Where a preview's files lie, and that only another content makes another place."""

from pathlib import Path

from orchestrator.compose.model import FileMount
from worker.containers.host_files import content_name, tree_digest, without_host_paths

SECRET = FileMount(name="token", target="/run/secrets/token", path="token.txt")


def _tree(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def test_a_tree_is_told_by_its_names_contents_and_rights(tmp_path: Path) -> None:
    files = {"a": "1", "b/c": "2"}
    same, other = _tree(tmp_path / "x", files), _tree(tmp_path / "y", files)
    assert tree_digest(same, "app") == tree_digest(other, "app")
    assert tree_digest(same, "app") != tree_digest(same, "another")
    digests = {tree_digest(other, "app")}
    for change in (
        lambda: (other / "a").chmod(0o755),
        lambda: (other / "a").write_text("2"),
        lambda: (other / "a").rename(other / "d"),
        (other / "empty").mkdir,
        lambda: (other / "link").symlink_to("/etc/passwd"),
    ):
        change()
        digests.add(tree_digest(other, "app"))
    assert len(digests) == 6


def test_a_file_is_told_by_its_content_and_rights() -> None:
    others = [FileMount(name="token", target="/x", path="token.txt", mode=0o400)]
    names = {content_name(file, content) for file in (SECRET, *others) for content in (b"1", b"2")}
    assert len(names) == 4
    elsewhere = FileMount(name="token", target="/elsewhere", path="token.txt")
    assert content_name(SECRET, b"1") == content_name(elsewhere, b"1"), "one file, mounted at two places"


def test_no_path_of_this_machine_is_told(tmp_path: Path) -> None:
    root = tmp_path.resolve()
    copy, longer = f"{root}/binds/1-7/copies/ab", f"{root}/binds/1-7/copies/abc"
    meant = {copy: "data", longer: "more"}
    layer = "/srv/engine/overlay2/0a1b/merged"
    said = f'mounting "{longer}" to "{layer}/etc": {copy}:/x, {root}/binds/1-7/secrets/cd: no; {root}'
    assert without_host_paths(said, meant, tmp_path) == 'mounting "more" to "/etc": data:/x, …: no; …'
