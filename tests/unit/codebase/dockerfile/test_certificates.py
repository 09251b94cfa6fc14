"""The company's certificates and proxies, in every step of a build."""

import pytest

from orchestrator.codebase.dockerfile import certified, parse, proxy_args


def test_every_step_sees_the_certificates() -> None:
    text = 'FROM a\nRUN pip install x\nRUN <<EOF\nx\nEOF\nRUN ["x"]\nONBUILD RUN \\\n x\nCOPY a b\n'
    found = certified(text, b"PEM")
    runs = [i.effective for i in parse(found.text) if i.effective.keyword == "RUN"]
    assert len(runs) == 4
    for run in runs:
        targets = {flag.options["target"]: found.secrets[flag.options["id"]] for flag in run.flags}
        assert set(targets) == {
            "/run/secrets/previewd-ca-bundle",
            "/etc/ssl/certs/ca-certificates.crt",
            "/etc/xdg/pip/pip.conf",
        }
        assert targets["/etc/ssl/certs/ca-certificates.crt"] == b"PEM"
        assert {flag.options["mode"] for flag in run.flags} == {"0444"}
    assert "PEM" not in repr(found)


@pytest.mark.parametrize(
    "command",
    [
        "apt-get install -y curl",
        "update-ca-certificates",
        "apk add git",
        "dnf install x",
        "dpkg -i ca-certificates.deb",
    ],
)
def test_a_step_that_replaces_the_bundle_can(command: str) -> None:
    (_, run) = parse(certified(f"FROM a\nRUN {command}", b"PEM").text)
    assert "/etc/ssl/certs/ca-certificates.crt" not in {flag.options["target"] for flag in run.flags}
    assert "/run/secrets/previewd-ca-bundle" in {flag.options["target"] for flag in run.flags}


def test_what_the_author_mounts_there_stays() -> None:
    text = "FROM a\nRUN --mount=type=secret,id=mine,target=/etc/xdg/pip/pip.conf x"
    (_, run) = parse(certified(text, b"PEM").text)
    assert [f.options["id"] for f in run.flags if f.options["target"] == "/etc/xdg/pip/pip.conf"] == ["mine"]


def test_proxies_in_both_cases() -> None:
    assert proxy_args({"HTTPS_PROXY": "http://p:1", "no_proxy": "x", "HTTP_PROXY": "", "OTHER": "y"}) == {
        "HTTPS_PROXY": "http://p:1",
        "https_proxy": "http://p:1",
        "NO_PROXY": "x",
        "no_proxy": "x",
    }
