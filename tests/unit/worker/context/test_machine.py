"""What the worker sees of its machine: disks that are in sight, and memory where the Engine is here."""

from pathlib import Path

from orchestrator.runtime.settings import Settings
from worker.context.machine import WatchedMachine


def watched(tmp_path: Path, docker_host: str) -> WatchedMachine:
    return WatchedMachine.of(Settings(data_dir=tmp_path, docker_host=docker_host, _env_file=None))


def test_disks_and_memory_are_seen_where_the_engine_is_on_this_machine(tmp_path: Path) -> None:
    machine = watched(tmp_path, "unix:///var/run/docker.sock")
    machine.found_engine_root(str(tmp_path))
    seen = machine.look()
    assert [disk.name for disk in seen.disks] == ["the disk of previewd's data", "the disk of the Docker Engine"]
    assert all(disk.free > 0 for disk in seen.disks)
    assert seen.memory
    assert seen.memory > 1 << 20, "in bytes"


def test_another_machines_disk_and_memory_are_not_guessed(tmp_path: Path) -> None:
    machine = watched(tmp_path, "tcp://10.0.0.1:2375")
    machine.found_engine_root(str(tmp_path))
    assert len(machine.look().disks) == 1
    assert machine.look().memory is None


def test_a_folder_that_is_out_of_sight_is_left_out(tmp_path: Path) -> None:
    machine = watched(tmp_path, "unix:///var/run/docker.sock")
    machine.found_engine_root(str(tmp_path / "nowhere"))
    assert len(machine.look().disks) == 1
