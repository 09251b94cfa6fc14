"""The settings: environment variables `PREVIEWD_*`, or a file `.env`. Read once, in the composition roots."""

import ipaddress
import os
import re
from pathlib import Path
from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from orchestrator.preview.errors import ConfigurationError
from orchestrator.preview.names import INSTANCE_PATTERN

MAX_PORT = 65_535

Secrets = Annotated[tuple[SecretStr, ...], NoDecode]
"""One or several secrets, separated by commas: the first is used, all are accepted (rotation)."""


class Settings(BaseSettings):
    """All of previewd's settings. Each may be given as `PREVIEWD_` and its name in capitals."""

    model_config = SettingsConfigDict(
        env_prefix="PREVIEWD_", env_file=".env", env_ignore_empty=True, extra="ignore", frozen=True
    )

    instance: str = Field(default="previewd", pattern=f"^{INSTANCE_PATTERN}$")
    """Sets apart several previewds on one Engine: it starts the name of everything that this one makes."""

    data_dir: Path = Path(".data")
    """Repositories, bind-mounted files and logs; with `previewd up` also the embedded servers' data."""

    database_url: SecretStr = SecretStr("")
    """previewd's own state, as `postgresql://…`. Embedded by `previewd up` when not set."""
    previews_database_url: SecretStr = SecretStr("")
    """Administrator of the server on which previews get their databases, as `postgresql://…`."""
    previews_database_host: str = ""
    """Where the previews' containers reach that server; the default bridge's gateway when not set."""
    redis_url: SecretStr = SecretStr("")
    docker_host: str = "unix:///var/run/docker.sock"

    domain: str = "preview.localhost"
    """The domain below which previews get their hosts. `*.localhost` resolves to this machine without any DNS."""
    host_template: str = "pr-{number}-{repo}.{domain}"
    public_url: str = "http://previewd.localhost:8080"
    """Where people reach the dashboard."""
    previews_scheme: str = "http"
    previews_port: int = Field(default=8080, ge=1, le=65535)
    """Scheme and port by which people reach previews through Caddy, as they stand in links."""

    web_listen: str = "127.0.0.1:8000"
    """Where the web process takes webhooks, API and dashboard: behind Caddy, never public."""
    router_listen: str = "127.0.0.1:8001"
    """Where Caddy asks for the container behind a host."""
    proxy_listen: str = "127.0.0.1:8080"
    """Where Caddy listens with `previewd up`."""
    proxy_address: str = ""
    """Where the worker reaches Caddy to prove a preview; `proxy_listen` when not set."""

    github_api_url: str = "https://api.github.com"
    github_app_id: str = ""
    github_private_key: SecretStr = SecretStr("")
    """Of the App: PEM text, or the path of a file that holds it."""
    github_token: SecretStr = SecretStr("")
    """A personal access token, instead of an App."""
    github_webhook_secret: Secrets = ()
    secret_key: Secrets = ()
    """Encrypts what is secret in our own database."""
    admin_token: SecretStr = SecretStr("")
    """Bearer token of the API, and the password of the dashboard."""

    subnet_pool: ipaddress.IPv4Network = ipaddress.IPv4Network("10.213.0.0/16")
    """Previews' networks are cut from here: Docker's own pools end after about 31 networks."""
    subnet_prefix: int = Field(default=27, ge=20, le=29)
    connections_per_preview: int = Field(default=20, ge=1)
    """Limit of a preview's role: (pool_size 5 + max_overflow 5) x 2 workers, SQLAlchemy's and Uvicorn's usual."""
    database_bytes: int = Field(default=2 << 30, ge=64 << 20)
    """What a preview's database may hold on disk."""

    registry_auth: Path | None = None
    """A docker `config.json` with `auths`: who we are to the registries that images are pulled from."""
    build_seconds: float = Field(default=1200, gt=0)
    """How long one image may take, from its turn on."""
    build_silence_seconds: float = Field(default=600, gt=0)
    """A build that prints nothing for so long is taken for stuck."""
    max_builds: int = Field(default_factory=lambda: max(2, (os.cpu_count() or 1) // 2), ge=1)
    """Images that one worker builds side by side, of all previews; by default one for every two processors."""
    build_cache_bytes: int = Field(default=10 << 30, ge=0)
    """What the Engine may keep of builds. The limit is for all that it built, by whomever; 0 leaves its cache alone."""
    build_proxy: SecretStr = SecretStr("")
    """HTTP_PROXY and HTTPS_PROXY of every build, in both spellings. No image holds it."""
    build_no_proxy: str = ""
    """NO_PROXY beside it: hosts, separated by commas."""
    build_ca_file: Path | None = None
    """A PEM bundle that the programs in builds trust, the public authorities included. No image holds it."""
    image_wait_seconds: float = Field(default=900, gt=0)
    """How long a preview waits for an image that the repository's CI is to push (`x-preview: {image: pull}`)."""
    launch_seconds: float = Field(default=180, gt=0)
    """How long a container may take until it is healthy."""
    probe_seconds: float = Field(default=120, gt=0)
    """How long a started application may take until its health path answers."""
    max_jobs: int = Field(default=4, ge=1)
    """Previews that are brought up side by side, by all workers of this machine together. Others wait in line."""
    max_previews: int = Field(default=100, ge=1)
    """Previews that are live at once. Whoever comes then waits until one goes; what serves is never limited."""
    min_free_disk_bytes: int = Field(default=4 << 30, ge=0)
    """What stays free on the disks of `data_dir` and of the Docker Engine, as far as the worker sees that. With less
    nothing new begins, and what nobody needs is removed first. 0 looks at no disk."""
    min_free_memory_bytes: int = Field(default=512 << 20, ge=0)
    """With less memory available (MemAvailable of /proc/meminfo) no preview begins that has nothing running; only
    where the Engine is on this machine (`unix://`). 0 does not look."""
    memory_bytes: int = Field(default=1 << 30, ge=64 << 20)
    cpus: float = Field(default=2.0, gt=0)
    pids: int = Field(default=512, ge=16)
    """Limits of each container of a preview."""

    log_format: str = Field(default="json", pattern="^(json|console)$")

    @field_validator("github_webhook_secret", "secret_key", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("web_listen", "router_listen", "proxy_listen")
    @classmethod
    def _address_and_port(cls, value: str) -> str:
        _, colon, port = value.rpartition(":")
        if not colon or not port.isdecimal() or not 0 < int(port) <= MAX_PORT:
            message = "it must be an address and a port, as in 127.0.0.1:8080"
            raise ValueError(message)
        return value

    @field_validator("domain")
    @classmethod
    def _domain_name(cls, value: str) -> str:
        if not re.fullmatch(r"[a-z0-9-]+(\.[a-z0-9-]+)*", value):
            message = "it must be a domain name in lower case, as in previews.example.com"
            raise ValueError(message)
        return value

    @field_validator("database_url", "previews_database_url")
    @classmethod
    def _postgres_url(cls, value: SecretStr) -> SecretStr:
        if value.get_secret_value() and not re.match(r"postgres(ql)?(\+\w+)?://[^/]+/.+", value.get_secret_value()):
            message = "it must look like postgresql://USER:PASSWORD@HOST:PORT/DATABASE"
            raise ValueError(message)
        return value

    @field_validator("redis_url")
    @classmethod
    def _redis_url(cls, value: SecretStr) -> SecretStr:
        if value.get_secret_value() and not re.match(r"(rediss?|unix)://.+", value.get_secret_value()):
            message = "it must look like redis://:PASSWORD@HOST:PORT/0"
            raise ValueError(message)
        return value

    @field_validator("build_proxy")
    @classmethod
    def _proxy_url(cls, value: SecretStr) -> SecretStr:
        if value.get_secret_value() and not re.match(r"(https?|socks5h?)://[^\s/]+", value.get_secret_value()):
            message = "it must look like http://PROXY:PORT"
            raise ValueError(message)
        return value

    @field_validator("docker_host")
    @classmethod
    def _engine_address(cls, value: str) -> str:
        if not re.match(r"(unix:///|tcp://).+", value):
            message = "it must look like unix:///var/run/docker.sock or tcp://HOST:PORT"
            raise ValueError(message)
        return value

    @field_validator("host_template")
    @classmethod
    def _one_host_per_preview(cls, value: str) -> str:
        missing = [name for name in ("{number}", "{repo}", "{domain}") if name not in value]
        if missing:
            message = f"it must contain {', '.join(missing)}, so that every preview has a host of its own"
            raise ValueError(message)
        if not value.endswith(".{domain}") or "." in value.removesuffix(".{domain}"):
            message = "it must be one label followed by .{domain}, as one wildcard certificate covers"
            raise ValueError(message)
        return value

    @classmethod
    def load(cls) -> Self:
        """Read the environment; raise ConfigurationError that names each wrong variable."""
        try:
            return cls()
        except ValidationError as error:
            faults = "; ".join(f"{_variable(fault['loc'])}: {fault['msg']}" for fault in error.errors())
            raise ConfigurationError(faults, "correct them in the environment or in .env") from None

    def require(self, *names: str) -> None:
        """Raise ConfigurationError that names those of these settings that are empty."""
        missing = [_variable((name,)) for name in names if not _text(getattr(self, name))]
        if missing:
            raise ConfigurationError(
                f"not set: {', '.join(missing)}",
                "set them, or use `previewd up`, which embeds Postgres, Redis and Caddy",
            )

    @property
    def dashboard_host(self) -> str:
        return urlsplit(self.public_url).hostname or "localhost"

    def preview_url(self, host: str) -> str:
        """The address of a preview as people type it, without a port where the scheme implies it."""
        usual = {"http": 80, "https": 443}.get(self.previews_scheme)
        port = "" if self.previews_port == usual else f":{self.previews_port}"
        return f"{self.previews_scheme}://{host}{port}"


def asyncpg_url(url: SecretStr) -> str:
    """The form that SQLAlchemy's asyncpg dialect takes, from any `postgres…://` form."""
    return re.sub(r"^postgres(ql)?(\+\w+)?://", "postgresql+asyncpg://", url.get_secret_value())


def _variable(location: tuple[int | str, ...]) -> str:
    return "PREVIEWD_" + "_".join(str(part) for part in location).upper()


def _text(value: object) -> object:
    return value.get_secret_value() if isinstance(value, SecretStr) else value
