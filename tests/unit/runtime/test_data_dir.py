"""DATA_DIR's lock and passwords."""

import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.preview.errors import ConfigurationError
from orchestrator.runtime.data_dir import locked, passwords

HOLDER = """
import sys
from pathlib import Path
from orchestrator.runtime.data_dir import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_directory_has_one_user_at_a_time(tmp_path: Path) -> None:
    command = (sys.executable, "-c", HOLDER, str(tmp_path))
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(ConfigurationError, match=rf"already runs in .* \(process {holder.pid}\)"), locked(tmp_path):
            pass
        holder.kill()
    with locked(tmp_path):
        pass


def test_passwords_are_made_once_and_only_ours_to_read(tmp_path: Path) -> None:
    file = tmp_path / "secrets.json"
    first = passwords(file, ("postgres", "redis"))
    assert len(set(first.values())) == 2
    assert all(len(word) > 40 and word.replace("-", "").replace("_", "").isalnum() for word in first.values())
    more = passwords(file, ("redis", "key"))
    assert more["redis"] == first["redis"]
    assert passwords(file, ("postgres",)) == {"postgres": first["postgres"]}
    assert file.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["secrets.json"]
