"""A stack again, with the preview's own database where its Postgres server was. Pure; `prepare` calls it.

URLs and families of variables are rewritten, wherever a service takes them from; the server's service is dropped.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from orchestrator.compose.database.detection import names_of, postgres_urls
from orchestrator.compose.database.placement import Placement
from orchestrator.compose.database.urls import DatabaseUrls, read_url
from orchestrator.compose.database.variable_families import (
    FILE,
    Part,
    family_members,
    missing_members,
    names_a_host,
    own_part,
)
from orchestrator.compose.model import FileMount, Hook, MountKind, Service, Stack

_FLAG = re.compile(r"(?P<flag>-{1,2}[\w-]+=)(?P<value>.+)")
_INIT_FOLDER = "/docker-entrypoint-initdb.d"
_SECRETS = "/run/secrets/"


@dataclass(slots=True, kw_only=True)
class _Rewriting:
    """What is known while the services of one stack are rewritten."""

    name: str
    hosts: frozenset[str]
    """Lower case: every name of the replaced server."""
    own: DatabaseUrls
    server: Service | None
    granted: Mapping[str, Part]
    """The secrets and configs that the replaced server takes its login from, by their names in the file."""
    warnings: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def rewrite(stack: Stack, own: DatabaseUrls, database: Placement) -> Stack:
    """The stack with everything that leads to what the placement replaces leading to `own`.

    The service is dropped, from `depends_on` and `links` too. What may still expect it is named in the warnings.
    """
    name = database.replaces
    if name is None:
        return stack
    server = stack.services.get(name)
    hosts = {name} if server is None else names_of(server)
    work = _Rewriting(
        name=name,
        hosts=frozenset(host.lower() for host in hosts),
        own=own,
        server=server,
        granted={} if server is None else _granted(server),
    )
    services = {key: _rewritten(service, work) for key, service in stack.services.items() if key != name}
    mounts = [mount for service in services.values() for mount in service.volumes]
    warnings = (*stack.warnings, *work.warnings, *_stack_warnings(stack, work))
    return replace(
        stack,
        services=services,
        volumes=tuple(sorted({mount.source for mount in mounts if mount.kind is MountKind.VOLUME})),
        networks={name: network for name, network in stack.networks.items() if _is_joined(name, services)},
        warnings=tuple(dict.fromkeys(warnings)),
        notes=tuple(dict.fromkeys((*stack.notes, *database.notes, *work.notes))),
    )


def _rewritten(service: Service, work: _Rewriting) -> Service:
    hosts = work.hosts | {alias.lower() for alias, target in service.links.items() if target == work.name}
    environment, files = _environment(service, hosts, work)
    changed = replace(
        service,
        environment=environment,
        unset=service.unset.difference(environment),
        command=_arguments(service.command, hosts, work),
        entrypoint=_arguments(service.entrypoint, hosts, work),
        secrets=tuple(_file(file, files, hosts, work) for file in service.secrets),
        configs=tuple(_file(file, files, hosts, work) for file in service.configs),
        post_start=tuple(_hook(hook, hosts, work) for hook in service.post_start),
        depends_on={needed: dependency for needed, dependency in service.depends_on.items() if needed != work.name},
        links={alias: target for alias, target in service.links.items() if target != work.name},
    )
    work.warnings.extend(_service_warnings(changed, hosts, work))
    return changed


def _environment(
    service: Service, hosts: frozenset[str], work: _Rewriting
) -> tuple[Mapping[str, str], Mapping[str, Part]]:
    """The variables, and what the files must hold whose paths they name."""
    found = dict(service.environment)
    uses_server = work.name in service.depends_on or any(_leads(value, hosts) for value in found.values())
    members = family_members(found, hosts, uses_server=uses_server)
    for variable, part in members.items():
        if not variable.upper().endswith(FILE):
            found[variable] = own_part(part, work.own, found[variable])
    if service.from_repository:
        added = missing_members(service.environment, members)
        found |= {variable: own_part(part, work.own) for variable, part in added.items()}
    for variable, value in service.environment.items():
        url = read_url(value)
        if url is not None and url.leads_to(hosts):
            found[variable] = url.of(work.own, login_apart=_has_login_beside(variable, service))
            found |= _login_beside(variable, service, work.own) if url.scheme.startswith("jdbc:") else {}
            work.notes.extend(_encryption_notes(service, variable, url.demands))
    named = {
        service.environment[variable]: part for variable, part in members.items() if variable.upper().endswith(FILE)
    }
    granted = {file.target: file.name for file in (*service.secrets, *service.configs)}
    for path in named:
        if path not in granted:
            work.warnings.append(
                f"{service.place}: {path} holds a part of the replaced server's login, and no secret of the file is "
                f"mounted there; grant it as `secrets:`, or read DATABASE_URL."
            )
    return found, named


def _login_beside(variable: str, service: Service, own: DatabaseUrls) -> Mapping[str, str]:
    """User and password that stand beside a JDBC URL, as SPRING_DATASOURCE_USERNAME does."""
    stem = re.sub(r"(?:JDBC_)?UR[LI]$", "", variable, flags=re.IGNORECASE)
    values = {"USERNAME": own.user, "USER": own.user, "PASSWORD": own.password, "PASS": own.password}
    return {stem + word: value for word, value in values.items() if stem and stem + word in service.environment}


def _has_login_beside(variable: str, service: Service) -> bool:
    stand_in = DatabaseUrls(host="", port=0, user="user", password="password", database="")  # noqa: S106 - no server's
    return set(_login_beside(variable, service, stand_in).values()) == {"user", "password"}


def _arguments(words: tuple[str, ...] | None, hosts: frozenset[str], work: _Rewriting) -> tuple[str, ...] | None:
    """A command, with each argument that is a URL, or `--flag=URL`, rewritten."""
    return None if words is None else tuple(_argument(word, hosts, work) for word in words)


def _argument(word: str, hosts: frozenset[str], work: _Rewriting) -> str:
    match = _FLAG.fullmatch(word)
    flag, value = (match["flag"], match["value"]) if match is not None else ("", word)
    return flag + _own_url(value, hosts, work)


def _own_url(value: str, hosts: frozenset[str], work: _Rewriting) -> str:
    url = read_url(value)
    return value if url is None or not url.leads_to(hosts) else url.of(work.own)


def _hook(hook: Hook, hosts: frozenset[str], work: _Rewriting) -> Hook:
    environment = {name: _own_url(value, hosts, work) for name, value in hook.environment.items()}
    return replace(hook, environment=environment, command=tuple(_argument(word, hosts, work) for word in hook.command))


def _file(file: FileMount, named: Mapping[str, Part], hosts: frozenset[str], work: _Rewriting) -> FileMount:
    """A secret or config whose content is a part of the login, or a URL that leads to the replaced server."""
    part = named.get(file.target) or work.granted.get(file.name)
    if part is not None:
        return replace(file, path=None, content=own_part(part, work.own))
    if file.content is not None:
        content = _own_url(file.content, hosts, work)
        return file if content == file.content else replace(file, content=content)
    return file


def _granted(server: Service) -> Mapping[str, Part]:
    targets = {file.target: file.name for file in (*server.secrets, *server.configs)}
    members = family_members(server.environment, frozenset(), uses_server=True)
    return {
        targets[path]: part
        for variable, part in members.items()
        if variable.upper().endswith(FILE) and (path := server.environment[variable]) in targets
    }


def _leads(value: str, hosts: frozenset[str]) -> bool:
    url = read_url(value)
    return url is not None and url.leads_to(hosts)


def _is_joined(network: str, services: Mapping[str, Service]) -> bool:
    return any(network in service.networks for service in services.values())


# What is said about it


def _encryption_notes(service: Service, variable: str, demands: Sequence[str]) -> Iterator[str]:
    if demands:
        place = service.environment_places.get(variable, service.place)
        keys = ", ".join(demand if demand.startswith("sslmode") else demand.partition("=")[0] for demand in demands)
        yield f"{place}: {variable} loses {keys}, meant for the replaced server's encryption; other options stay."


def _service_warnings(service: Service, hosts: frozenset[str], work: _Rewriting) -> Iterator[str]:
    for variable, value in service.environment.items():
        if value.strip().lower() in hosts and value != work.own.host and names_a_host(variable):
            yield (
                f"{service.environment_places.get(variable, service.place)}: {variable} names `{value}`, which the "
                "preview's own database replaces; read DATABASE_URL instead, or set "
                "`x-preview: {database: {mode: container}}`."
            )
    tests = service.healthcheck.test if service.healthcheck is not None else ()
    words = " ".join((*(service.command or ()), *(service.entrypoint or ()), *tests))
    if any(_mentions(words, host) for host in hosts):
        yield f"{service.place}: the command mentions `{work.name}`, which the preview's own database replaces."
    for argument, value in (service.build.args if service.build is not None else {}).items():
        if _leads(value, hosts):
            yield (
                f"{service.place}: the build argument {argument} leads to `{work.name}`, which no build reaches; read "
                "DATABASE_URL when the application starts, and migrate then."
            )
    for file in (*service.secrets, *service.configs):
        if file.path is not None and file.target.startswith(_SECRETS) and re.search(r"(?i)database_ur[li]", file.name):
            yield (
                f"{service.place}: the {file.name} in {file.path} is not rewritten; give it as "
                "`environment: DATABASE_URL` under `secrets:`."
            )


def _mentions(words: str, host: str) -> bool:
    """Whether a command has a host as a word of its own, or in a URL; a path such as ./db is none."""
    name = re.escape(host)
    return re.search(rf"(?<![\w./-]){name}(?![\w/-])|@{name}(?![\w.-])", words, re.IGNORECASE) is not None


def _stack_warnings(stack: Stack, work: _Rewriting) -> Iterator[str]:
    found = {url.name for _, _, url in postgres_urls(stack) if url.leads_to(work.hosts) and url.name}
    if len(found) > 1:
        yield f"{stack.path}: the databases {', '.join(sorted(found))} become one, the preview's own."
    mounts = work.server.volumes if work.server is not None else ()
    if work.server is not None and any(mount.target.startswith(_INIT_FOLDER) for mount in mounts):
        yield f"{work.server.place}: the scripts in {_INIT_FOLDER} do not run; create the schema in a migration."
