"""Caddy: the one public door. Every byte to a preview passes through it, and its configuration never changes.

For each request to a host below the previews' domain, Caddy first asks our router where it goes. A 2xx answer of the
router names the upstream; any other answer (no such preview, still starting) goes to the browser as it is. Caddy has
no admin endpoint, so nothing, least of all a preview, can talk it into another configuration.
"""

import os
from dataclasses import dataclass
from pathlib import Path

from orchestrator.adapters.embedded import addresses
from orchestrator.adapters.embedded.programs import Program
from orchestrator.adapters.embedded.supervisor import Part
from orchestrator.ports.ingress import COMMIT_HEADER, ROUTE_PATH, UPSTREAM_HEADER


@dataclass(frozen=True, slots=True, kw_only=True)
class Ingress:
    """What Caddy listens on, and whom it asks."""

    domain: str
    """Previews are one label below it."""
    dashboard_host: str
    web: str
    """Address and port of the web process."""
    router: str
    """Address and port at which the web process answers `ROUTE_PATH`."""
    port: str
    bind: tuple[str, ...]
    preview_subnets: tuple[str, ...]
    """Containers of previews come from here: they never get to the dashboard."""


PRODUCTION = Ingress(
    domain="{$PREVIEWD_DOMAIN}",
    dashboard_host="{$PREVIEWD_DASHBOARD_HOST}",
    web="127.0.0.1:8000",
    router="127.0.0.1:8001",
    port="{$PREVIEWD_PORT:80}",
    bind=("{$PREVIEWD_BIND:0.0.0.0}",),
    preview_subnets=("{$PREVIEWD_SUBNET_POOL}",),
)
"""What docker-compose.yml runs: Caddy itself reads these from its environment. deploy/Caddyfile holds the text."""


def caddyfile(ingress: Ingress) -> str:
    """The whole configuration. Sites are matched by host, the most specific one first."""
    return f"""\
{{
	admin off
	auto_https off
	persist_config off
	grace_period 2s
	servers {{
		timeouts {{
			read_header 10s
			idle 2m
		}}
	}}
}}

(listen) {{
	bind {" ".join(ingress.bind)}
}}

# The previews: the router says where each request goes.
http://*.{ingress.domain}:{ingress.port} {{
	import listen
	reverse_proxy {ingress.router} {{
		# The router gets the question, never the request's body nor its wish to change protocols.
		method GET
		rewrite {ROUTE_PATH}
		header_up X-Forwarded-Method {{method}}
		header_up X-Forwarded-Uri {{uri}}
		header_up -Upgrade
		header_up -Connection
		header_up -Content-Length
		header_up -Content-Type
		header_up -{UPSTREAM_HEADER}
		header_up -{COMMIT_HEADER}

		@found status 2xx
		handle_response @found {{
			# Kept aside, because what the request carries under these names is the client's word.
			vars upstream {{http.reverse_proxy.header.{UPSTREAM_HEADER}}}
			vars commit {{http.reverse_proxy.header.{COMMIT_HEADER}}}
			reverse_proxy {{vars.upstream}} {{
				flush_interval -1
				stream_close_delay 24h
				header_up X-Real-IP {{remote_host}}
				header_up -Forwarded
				header_up -X-Forwarded-Method
				header_up -X-Forwarded-Uri
				header_up -X-Preview-*
				header_up -X-Previewd-*
				header_down {COMMIT_HEADER} {{vars.commit}}
				# A cookie for the parent domain would reach every other preview.
				header_down Set-Cookie "(?i);\\s*domain\\s*=[^;]*" ""
			}}
		}}
	}}
	handle_errors {{
		@asked vars_regexp upstream .+
		header Content-Type "text/plain; charset=utf-8"
		header Cache-Control no-store
		respond @asked "The preview does not answer. Its containers may have stopped." {{err.status_code}}
		respond "previewd does not answer: no preview can be reached until it does." {{err.status_code}}
	}}
}}

# The dashboard, the API and the webhooks.
http://{ingress.dashboard_host}:{ingress.port} {{
	import listen
	@previews remote_ip {" ".join(ingress.preview_subnets)}
	abort @previews
	reverse_proxy {ingress.web} {{
		flush_interval -1
		header_up X-Real-IP {{remote_host}}
		header_up -Forwarded
		header_up -X-Previewd-*
	}}
	handle_errors {{
		header Content-Type "text/plain; charset=utf-8"
		respond "previewd does not answer. It may be starting." {{err.status_code}}
	}}
}}

# Everybody else.
http://:{ingress.port} {{
	import listen
	header Content-Type "text/plain; charset=utf-8"
	respond "There is no such host here." 404
}}
"""


def prepare(ingress: Ingress, home: Path) -> None:
    """Write the configuration into Caddy's own directory. ConfigurationError when the port is taken."""
    for address in ingress.bind:
        addresses.require_free("Caddy", address, int(ingress.port))
    home.mkdir(parents=True, exist_ok=True)
    (home / "Caddyfile").write_text(caddyfile(ingress), "utf-8")


def part(ingress: Ingress, program: Program, home: Path, log: Path) -> Part:
    """Caddy for the supervisor. It runs as we do: the usual ports may need rights."""
    return Part(
        name="caddy",
        argv=(str(program.path), "run", "--config", str(home / "Caddyfile"), "--adapter", "caddyfile"),
        env={
            "PATH": os.defpath,
            "HOME": str(home),
            "XDG_CONFIG_HOME": str(home / "config"),
            "XDG_DATA_HOME": str(home / "data"),
        },
        cwd=home,
        log=log,
        ready=lambda: addresses.listens(ingress.bind[0], int(ingress.port)),
    )
