"""What hands over the host, key by key, in every form in which Compose lets a file ask for it.

Values stand in YAML's flow style, so that they fit into a list, a mapping and JSON alike; text in single quotes can
also come out of a variable's default.
"""

import re
from collections.abc import Iterator, Mapping

from tests.hostile.cases import Case, case

DENIED_KEYS: Mapping[str, tuple[str, ...]] = {
    "cap_add": ("[SYS_ADMIN]", "['ALL']", "['CAP_SYS_PTRACE']"),
    "cgroup": ("'host'",),
    "cgroup_parent": ("'/'", "'system.slice'"),
    "cpu_rt_period": ("1000", "'1000'"),
    "cpu_rt_runtime": ("950000",),
    "credential_spec": ("{file: '/etc/shadow'}", "{registry: 'x'}", "{config: 'x'}"),
    "device_cgroup_rules": ("['a *:* rwm']",),
    "devices": (
        "['/dev/sda:/dev/sda']",
        "['/dev/kmsg']",
        "[{source: '/dev/mem', target: '/dev/mem'}]",
        "['vendor.com/gpu=all']",
    ),
    "external_links": ("['other-1-db-1:db']",),
    "gpus": ("'all'", "[{driver: 'nvidia', count: 1}]"),
    "group_add": ("['docker']", "[0]"),
    "ipc": ("'host'", "'container:other'", "'shareable'", "'service:b'"),
    "isolation": ("'process'",),
    "models": ("['llm']", "{llm: {endpoint_var: 'X'}}"),
    "network_mode": (
        "'host'",
        "'bridge'",
        "'container:other'",
        "'service:nobody'",
        "'other_default'",
        "'ns:/proc/1/ns/net'",
    ),
    "oom_kill_disable": ("true", "'true'"),
    "oom_score_adj": ("-1000", "'-1000'"),
    "pid": ("'host'", "'container:other'", "'service:b'"),
    "privileged": ("true", "'true'", "'yes'", "'on'", "'1'", "1"),
    "provider": ("{type: '/bin/sh'}", "{type: 'model', options: {model: 'x'}}"),
    "runtime": ("'runc'", "'sysbox-runc'", "'io.containerd.runc.v2'"),
    "security_opt": (
        "['seccomp=unconfined']",
        "['seccomp:unconfined']",
        "['apparmor=unconfined']",
        "['label:disable']",
        "['systempaths=unconfined']",
        "['no-new-privileges:false']",
        "['no-new-privileges=false']",
        "['seccomp=/etc/passwd']",
        "['writable-cgroups=true']",
    ),
    "sysctls": ("{kernel.core_pattern: '|/bin/sh'}", "['net.ipv4.ip_forward=1']", "{kernel.shm_rmid_forced: 0}"),
    "use_api_socket": ("true", "'true'"),
    "userns_mode": ("'host'",),
    "uts": ("'host'",),
    "volumes": (
        "['/:/host']",
        "['/etc/shadow:/x:ro']",
        "['/var/run/docker.sock:/var/run/docker.sock']",
        "['/run/docker.sock:/run/docker.sock:ro']",
        "['//var/run/docker.sock:/x']",
        "['/var/run:/x']",
        "['/proc:/x']",
        "['~/.ssh:/x']",
        "['~root:/x']",
        "['${HOME}/.ssh:/x']",
        "['../other:/x']",
        "['./a/../../b:/x']",
        "['./..:/x']",
        "['.././:/x']",
        r"['C:\x:/x']",
        r"['\\server\share:/x']",
        "['./a:/x:rshared']",
        "['./a:/x:shared,ro']",
        "['./a:/']",
        "['./a:/x/../..']",
        "[{type: bind, source: '/etc', target: '/x'}]",
        "[{type: bind, source: '/var/run/docker.sock', target: '/x'}]",
        "[{type: bind, source: '../..', target: '/x'}]",
        "[{type: 'bind', source: './a', target: '/x', bind: {propagation: 'rshared'}}]",
        r"[{type: 'npipe', source: '\\.\pipe\docker_engine', target: '/x'}]",
        "[{type: 'cluster', source: 'x', target: '/x'}]",
        "[{type: 'image', source: 'other:latest', target: '/x'}]",
        "[{type: 'volume', source: '/etc', target: '/x'}]",
        "[{type: 'volume', source: '../x', target: '/x'}]",
        "[{type: 'volume', source: 'data', target: '/x', volume: {subpath: '../../etc'}}]",
        "[{type: 'volume', source: 'data', target: '/x', volume: {subpath: '/etc'}}]",
    ),
    "volumes_from": ("['container:other']", "['container:other:ro']"),
    "tmpfs": ("['/x:exec']", "['/x:dev,suid']", "'/x:size=1m,suid'", "['/..:size=1m']"),
    "extra_hosts": (
        "['h:host-gateway']",
        "{h: 'host-gateway'}",
        "['h=host-gateway']",
        "{h: ['1.1.1.1', 'host-gateway']}",
    ),
    "networks": (
        "['elsewhere']",
        "{default: {driver_opts: {com.docker.network.endpoint.sysctls: 'x'}}}",
        "{default: {interface_name: 'eth0'}}",
    ),
    "deploy": (
        "{resources: {reservations: {devices: [{capabilities: ['gpu']}]}}}",
        "{resources: {reservations: {generic_resources: [{discrete_resource_spec: {kind: 'gpu', value: 1}}]}}}",
    ),
    "image": ("'sha256:{id}'", "'{id}'", "'0123456789ab'", "'x y'", "''", "'../x'"),
    "post_start": ("[{command: ['x'], privileged: true}]", "[{command: ['x'], privileged: 'true'}]"),
    "pre_stop": ("[{command: ['x'], privileged: true}]",),
    "pre_start": (
        "[{image: 'x', privileged: true}]",
        "[{image: 'x', volumes: ['/:/host']}]",
        "[{image: 'x', pid: 'host'}]",
    ),
    "stop_signal": ("'KILL; reboot'",),
    "platform": ("'../x'",),
    "container_name": ("'../x'", "'a b'", "'/etc'"),
    "hostname": ("'a b'", "'x/../y'"),
    "umask": ("'022'",),
    "ulimits": ("{'../x': 1}", "{nofile: 'many'}", "{nofile: {soft: 1}}"),
    "build": (
        "'/etc'",
        "'..'",
        "'~'",
        "'~/x'",
        "'https://example.com/x.git'",
        "'http://127.0.0.1/x.tar.gz'",
        "'git@example.com:x/y.git'",
        "'git://example.com/x'",
        "'ssh://git@example.com/x'",
        "'github.com/x/y'",
        "'file:///etc'",
        "'x.git#main'",
        "{context: '.', dockerfile: '../Dockerfile'}",
        "{context: '.', dockerfile: '/etc/passwd'}",
        "{context: '.', dockerfile: 'https://example.com/Dockerfile'}",
        "{context: 'sub', dockerfile: '../../x'}",
        "{context: '.', network: 'host'}",
        "{context: '.', network: 'container:other'}",
        "{context: '.', network: 'bridge'}",
        "{context: '.', ssh: ['default']}",
        "{context: '.', ssh: {key: '/etc/ssh/ssh_host_rsa_key'}}",
        "{context: '.', tags: ['other:latest']}",
        "{context: '.', privileged: true}",
        "{context: '.', entitlements: ['security.insecure']}",
        "{context: '.', cache_to: ['type=local,dest=/x']}",
        "{context: '.', extra_hosts: ['x:1.1.1.1']}",
        "{context: '.', isolation: 'process'}",
        "{context: '.', secrets: ['unknown']}",
        "{context: '.', additional_contexts: {x: '/etc'}}",
        "{context: '.', additional_contexts: {x: '../..'}}",
        "{context: '.', additional_contexts: {x: 'https://example.com/x'}}",
        "{context: '.', additional_contexts: {x: 'docker-image://other:latest'}}",
        "{context: '.', additional_contexts: {x: 'oci-layout:///etc'}}",
        "{context: '.', args: {BUILDKIT_SYNTAX: 'evil/frontend'}}",
        "{context: '.', args: ['BUILDKIT_SYNTAX=evil/frontend']}",
        "{context: '.', platforms: ['linux/amd64', 'linux/arm64']}",
    ),
}
"""By service key: values that must be refused in every form."""

_REST = "  b: {image: y, expose: ['80']}\nvolumes: {data: }\n"
_PLAIN = "services:\n  a:\nIMAGE    KEY: VALUE\nREST"
_FORMS: Mapping[str, tuple[str, str]] = {
    "plain": (_PLAIN, ""),
    "quoted key": (_PLAIN.replace("KEY", "'KEY'"), ""),
    "json": (
        '{"services": {"a": {JSON"KEY": VALUE}, "b": {"image": "y", "expose": ["80"]}}, "volumes": {"data": null}}',
        "",
    ),
    "merge key": ("x-h: &h\n  KEY: VALUE\nservices:\n  a:\n    <<: *h\nIMAGEREST", ""),
    "second merge key": (
        "x-g: &g {tty: true}\nx-h: &h\n  KEY: VALUE\nservices:\n  a:\n    <<: [*g, *h]\nIMAGEREST",
        "",
    ),
    "alias": ("x-h: &h VALUE\nservices:\n  a:\nIMAGE    KEY: *h\nREST", ""),
    "override tag": (_PLAIN.replace("VALUE", "!override VALUE"), ""),
    "variable": (_PLAIN, ""),
    "extends here": ("services:\n  base:\nIMAGE    KEY: VALUE\n  a: {extends: {service: base}}\nREST", ""),
    "extends a file": (
        f"services:\n  a: {{extends: {{file: base.yaml, service: base}}}}\n{_REST}",
        "services:\n  base:\nIMAGE    KEY: VALUE\nREST",
    ),
    "included": ("include: [base.yaml]\n", _PLAIN),
    "override file": (f"services:\n  a: {{image: x}}\n{_REST}", _PLAIN),
}
"""The Compose file, and the other file that it leads to."""


def denied() -> Iterator[Case]:
    """Every denied value: the first of each key in every form, the others as they are and out of a variable."""
    for key, values in DENIED_KEYS.items():
        for number, value in enumerate(values):
            for form in _FORMS if number == 0 else ("plain", "variable"):
                made = _formed(form, key, value.replace("{id}", "a" * 64))
                if made is not None:
                    yield made


def harmless() -> list[Case]:
    """Each form with a value that is taken."""
    made = (_formed(form, "init", "true") for form in _FORMS)
    return [case for case in made if case is not None]


def _formed(form: str, key: str, value: str) -> Case | None:
    if form == "variable":
        varied = re.sub(r"'([^'$]+)'", r"'${NOTHING:-\1}'", value)
        value = f"${{NOTHING:-{value}}}" if re.fullmatch(r"-?\w+", value) else varied if varied != value else ""
        if not value:
            return None
    image = "" if key in ("image", "build") else "    image: x\n"
    parts = {"JSON": '"image": "x", ' if image else "", "IMAGE": image, "REST": _REST, "KEY": key, "VALUE": value}
    first, second = (_filled(text, parts) for text in _FORMS[form])
    other = "compose__override__yaml" if form == "override file" else "base__yaml"
    return case(f"{key}: {value} ({form})", first, **({other: second} if second else {}))


def _filled(text: str, parts: Mapping[str, str]) -> str:
    for name, part in parts.items():
        text = text.replace(name, part)
    return text
