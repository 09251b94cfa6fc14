"""Which Python an application's range allows."""

import pytest

from orchestrator.codebase.python.version import python_version


@pytest.mark.parametrize(
    ("written", "version"),
    [
        (">=3.9", "3.13"),
        (">=3.14", "3.14"),
        ("<3.12,>=3.8", "3.11"),
        ("==3.11.*", "3.11"),
        ("~=3.11.2", "3.11"),
        ("~=3.11", "3.13"),
        ("!=3.13.*", "3.12"),
        ("!=3.13.1", "3.13"),
        ("^3.10", "3.13"),
        ("~3.10", "3.10"),
        ("^3.14 || ~3.9", "3.9"),
        (">=4", "3.13"),
        ("nonsense", "3.13"),
    ],
)
def test_the_range_chooses_the_python(written: str, version: str) -> None:
    project = f'[project]\nname = "shop"\nrequires-python = "{written}"\n'
    assert python_version({"pyproject.toml": project.encode()}) == version


@pytest.mark.parametrize(
    ("files", "version"),
    [
        ({".python-version": b"# ours\n3.11.9\n", "runtime.txt": b"python-3.12.1"}, "3.11"),
        ({"runtime.txt": b"python-3.12.1\n"}, "3.12"),
        ({"Pipfile": b'[requires]\npython_version = "3.10"\n'}, "3.10"),
        ({".python-version": b"pypy3.10"}, "3.13"),
        ({"pyproject.toml": b'[tool.poetry.dependencies]\npython = "~3.10"\n'}, "3.10"),
        ({}, "3.13"),
    ],
)
def test_a_pin_comes_before_the_range(files: dict[str, bytes], version: str) -> None:
    ranged = {"pyproject.toml": b'[project]\nrequires-python = ">=3.9"\n'}
    assert python_version({**ranged, **files}) == version
