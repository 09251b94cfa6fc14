"""Postgres URLs: how they are read, and the preview's own database in the same form. Pure.

Schemes, queries and options stay as they were written, except for what belongs to the server that is replaced.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from urllib.parse import quote, unquote

from orchestrator.codebase.python.packages import Driver

URL_VARIABLES = frozenset({"DATABASE_URL", "ALEMBIC_DATABASE_URL"})
"""The injected variables that hold the preview's own database."""
HIDDEN = "•••"
_URL = re.compile(
    r"(?P<scheme>(?:jdbc:|r2dbc:)?(?:postgres|postgresql|postgis|pgsql|psql|asyncpg|psycopg|ecto)(?:\+\w+)?)://"
    r"(?:(?:[^/?#\s]*|[^:/@\s]*:[^@\s]*)@)?"
    r"(?P<hosts>[^/?#@\s]*)(?:/(?P<name>[^?#\s]*))?(?:\?(?P<query>[^#\s]*))?"
)
_HOST = re.compile(r"(?P<host>\[[0-9a-fA-F:.]+\]|[^:\[\]]*)(?::\d*)?")
_PAIR = re.compile(r"(?P<key>[a-z_]+)=(?P<value>[^\s'\\]*)")
_LOGIN = re.compile(r"(?P<before>://[^/?#@\s:]*:)(?:[^/?#\s]*|[^@\s]{0,255})@")
"""A password may hold what `read_url` takes for one, such as a slash: too much is hidden before too little is."""
_PASSWORD = re.compile(r"(?P<before>(?:^|[?&\s])password=)[^&\s]*", re.IGNORECASE)
_OF_THE_SERVER = frozenset(
    {"host", "hostaddr", "port", "user", "password", "dbname", "passfile", "service", "servicefile"}
)
_CERTIFICATES = frozenset(
    {"sslrootcert", "sslcert", "sslkey", "sslcrl", "sslcrldir", "sslpassword", "sslnegotiation", "sslidentity"}
)
_ENCRYPTION = frozenset({"sslmode", "ssl", "channel_binding", "gssencmode"})
_OPTIONAL = frozenset({"disable", "allow", "prefer", "false", "0", "off", "no"})
"""Of the encryption keys: values that the preview's server can meet, with a certificate and without one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseUrls:
    """The preview's own database, and every form of its URL."""

    host: str
    port: int
    user: str
    password: str
    database: str

    def url(self, driver: Driver = Driver.PLAIN) -> str:
        """The URL in the form that a driver wants."""
        return self.with_scheme(driver.scheme)

    def with_scheme(self, scheme: str, query: str = "") -> str:
        """The URL with any scheme and query; names and password are escaped."""
        login = f"{quote(self.user, safe='')}:{quote(self.password, safe='')}"
        return f"{scheme}://{login}@{self.address}/{quote(self.database, safe='')}{query}"

    @property
    def address(self) -> str:
        """`host:port`, with brackets around an address of version 6."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def is_led_to_by(self, value: str) -> bool:
        """Whether a value holds the password, in a URL's form or as it is."""
        return bool(self.password) and (self.password in value or quote(self.password, safe="") in value)


@dataclass(frozen=True, slots=True, kw_only=True)
class PostgresUrl:
    """A URL, or libpq's `host=… user=…`, as it was written."""

    scheme: str
    """Empty for `host=… user=…`."""
    hosts: tuple[str, ...]
    """Without ports, in lower case."""
    name: str
    """Of the database; may be empty."""
    options: tuple[tuple[str, str], ...] = ()
    """Key and value, still escaped."""

    def leads_to(self, hosts: Iterable[str]) -> bool:
        """Whether one of its hosts is among `hosts`."""
        return not {host.lower() for host in hosts}.isdisjoint(self.hosts)

    @property
    def demands(self) -> tuple[str, ...]:
        """The options that ask for an encryption of the replaced server: the preview's own may not have it."""
        return tuple(f"{key}={value}" for key, value in self.options if _demands(key, value))

    def of(self, own: DatabaseUrls, *, login_apart: bool = False) -> str:
        """The preview's own database in this form. With `login_apart` JDBC gets user and password by other ways."""
        options = [pair for pair in self.options if pair[0].lower() not in _OF_THE_SERVER and not _demands(*pair)]
        if not self.scheme:
            return " ".join(f"{key}={value}" for key, value in (*_parts(own), *options))
        if not self.scheme.startswith("jdbc:"):
            return own.with_scheme(self.scheme, _query(options))
        login = [] if login_apart else [(key, quote(value, safe="")) for key, value in _parts(own)[2:4]]
        return f"{self.scheme}://{own.address}/{quote(own.database, safe='')}{_query([*login, *options])}"


def read_url(value: str) -> PostgresUrl | None:
    """The Postgres URL that a value is, as a whole; None where it is something else."""
    match = _URL.fullmatch(value.strip())
    if match is None:
        return _read_pairs(value)
    options = tuple(_options(match["query"] or ""))
    named = [unquote(text) for key, text in options if key.lower() == "host"]
    hosts = tuple(_hosts([unquote(match["hosts"]), *named]))
    return PostgresUrl(scheme=match["scheme"], hosts=hosts, name=unquote(match["name"] or ""), options=options)


def masked(text: str) -> str:
    """The text with the password of every URL in it hidden."""
    return _PASSWORD.sub(rf"\g<before>{HIDDEN}", _LOGIN.sub(rf"\g<before>{HIDDEN}@", text))


def _read_pairs(value: str) -> PostgresUrl | None:
    pairs = [_PAIR.fullmatch(word) for word in value.split()]
    found = {pair["key"]: pair["value"] for pair in pairs if pair is not None}
    if None in pairs or not found.keys() > {"host"}:
        return None
    return PostgresUrl(
        scheme="", hosts=tuple(_hosts([found["host"]])), name=found.get("dbname", ""), options=tuple(found.items())
    )


def _hosts(lists: Iterable[str]) -> Iterator[str]:
    for written in lists:
        for part in written.split(","):
            match = _HOST.fullmatch(part)
            if match is not None and match["host"]:
                yield match["host"].lower()


def _options(query: str) -> Iterator[tuple[str, str]]:
    for pair in query.split("&"):
        key, _, value = pair.partition("=")
        if key:
            yield key, value


def _query(options: Iterable[tuple[str, str]]) -> str:
    written = "&".join(f"{key}={value}" for key, value in options)
    return f"?{written}" if written else ""


def _demands(key: str, value: str) -> bool:
    key = key.lower()
    return key in _CERTIFICATES or (key in _ENCRYPTION and value.lower() not in _OPTIONAL)


def _parts(own: DatabaseUrls) -> tuple[tuple[str, str], ...]:
    return (
        ("host", own.host),
        ("port", str(own.port)),
        ("user", own.user),
        ("password", own.password),
        ("dbname", own.database),
    )
