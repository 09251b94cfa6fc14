"""The text of Caddy's configuration. What it does is tested on a real Caddy, in tests/integration/test_ingress.py."""

import re
from fnmatch import fnmatch
from pathlib import Path

import pytest

from orchestrator.adapters.caddy import PRODUCTION, Ingress, caddyfile
from orchestrator.ports.ingress import COMMIT_HEADER, PROBE_HEADER, ROUTE_HEADER, UPSTREAM_HEADER

INGRESS = Ingress(
    domain="previews.test", dashboard_host="previewd.test", web="127.0.0.1:8000", router="127.0.0.1:8001",
    port="8080", bind=("127.0.0.1", "172.17.0.1"), preview_subnets=("10.213.0.0/16", "10.214.0.0/16"),
)  # fmt: skip


def test_every_site_listens_where_it_is_told_and_nowhere_else() -> None:
    text = caddyfile(INGRESS)
    sites = [line for line in text.splitlines() if line.startswith("http")]
    assert sites == ["http://*.previews.test:8080 {", "http://previewd.test:8080 {", "http://:8080 {"]
    assert text.count("\timport listen\n") == len(sites)
    assert "\tbind 127.0.0.1 172.17.0.1\n" in text


def test_nobody_can_change_it_at_run_time() -> None:
    assert "\tadmin off\n" in caddyfile(INGRESS)
    assert "\tpersist_config off\n" in caddyfile(INGRESS)


def test_previews_are_kept_from_the_dashboard() -> None:
    dashboard = caddyfile(INGRESS).partition("http://previewd.test:8080 {")[2]
    assert "@previews remote_ip 10.213.0.0/16 10.214.0.0/16\n\tabort @previews\n" in dashboard


def test_the_file_for_production_is_what_this_function_gives() -> None:
    file = Path(__file__).parents[3] / "deploy" / "Caddyfile"
    assert file.read_text("utf-8") == caddyfile(PRODUCTION)


@pytest.mark.parametrize("header", [UPSTREAM_HEADER, COMMIT_HEADER, PROBE_HEADER, ROUTE_HEADER])
def test_no_application_hears_the_words_between_the_proxy_and_us(header: str) -> None:
    upstream = caddyfile(INGRESS).partition("reverse_proxy {vars.upstream} {")[2].partition("\n\t\t\t}\n")[0]
    removed = re.findall(r"header_up -(\S+)", upstream)
    assert any(fnmatch(header.lower(), pattern.lower()) for pattern in removed)
