"""What the top level may ask for, and every path that a file can name."""

from collections.abc import Iterator, Mapping

from tests.hostile.cases import Case, case

SECTIONS: tuple[str, ...] = (
    "volumes: {v: {driver: nfs}}",
    "volumes: {v: {driver: 'rexray/ebs'}}",
    "volumes: {v: {driver_opts: {type: none, o: bind, device: /}}}",
    "volumes: {v: {driver: local, driver_opts: {type: nfs, o: 'addr=10.0.0.1', device: ':/'}}}",
    "volumes: {v: {driver_opts: {device: '${X:-/etc}', o: bind, type: none}}}",
    "volumes: {v: {external: true}}",
    "volumes: {v: {external: 'true'}}",
    "volumes: {v: {external: {name: other}}}",
    "volumes: {v: {external: true, name: other}}",
    "volumes: {v: {mount: /etc}}",
    "networks: {n: {driver: host}}",
    "networks: {n: {driver: macvlan, driver_opts: {parent: eth0}}}",
    "networks: {n: {driver: ipvlan}}",
    "networks: {n: {driver: overlay}}",
    "networks: {n: {driver: none}}",
    "networks: {n: {driver_opts: {com.docker.network.bridge.name: docker0}}}",
    "networks: {n: {driver_opts: {com.docker.network.bridge.host_binding_ipv4: 0.0.0.0}}}",
    "networks: {n: {external: true}}",
    "networks: {n: {external: {name: host}}}",
    "networks: {default: {external: true, name: other_default}}",
    "networks: {default: {driver: host}}",
    "secrets: {s: {external: true}}",
    "secrets: {s: {driver: vault}}",
    "secrets: {s: {template_driver: golang, file: ./x}}",
    "secrets: {s: {file: https://example.com/x}}",
    "configs: {c: {external: true}}",
    "configs: {c: {template_driver: golang, content: x}}",
    "models: {m: {model: x}}",
    "include: ['oci://example.com/x']",
    "include: ['https://example.com/compose.yaml']",
    "include: ['git@example.com:x/y.git']",
    "include: ['https://github.com/x/y.git#main:compose.yaml']",
    "include: [{path: 'git://example.com/x'}]",
    "include: [compose.yaml]",
    "services: {}",
    "services: {x-evil: {image: x, expose: ['80'], privileged: true}}",
    "services: {'../x': {image: x, expose: ['80']}}",
    "servces: {a: {image: x}}",
    "x-preview: {service: nobody}",
    "x-preview: {port: 0}",
    "x-preview: {health: 'http://169.254.169.254/latest'}",
    'x-preview: {health: "/x\\r\\nHost: evil"}',
    "x-preview: {secrets: ['A B']}",
    "x-preview: {secrets: ['../x']}",
    "x-preview: {encode: {A: pickle}}",
    "x-preview: {ttl: -1h}",
)


def sections() -> Iterator[Case]:
    """What the top level may ask for."""
    for section in SECTIONS:
        first = "" if section.startswith("serv") else "services: {a: {image: x, expose: ['80']}}\n"
        yield case(section, f"{first}{section}\n")
        if "driver" in section or "external" in section:
            key, _, rest = section.partition(": ")
            yield case(f"{section} (alias)", f"x-h: &h {rest}\n{first}{key}: *h\n")


ESCAPES: tuple[str, ...] = (
    "/{outside}",
    "../{name}",
    "./../{name}",
    "sub/../../{name}",
    "sub/./.././../{name}",
    "~/{name}",
    "${{X:-../}}{name}",
    "file:///{outside}",
    "..",
    "../../../../../../../../{outside}",
    "C:/{name}",
)
PATHS: Mapping[str, str] = {
    "context": "services: {a: {build: {context: 'PATH'}}}",
    "short context": "services: {a: {build: 'PATH'}}",
    "dockerfile": "services: {a: {build: {context: ., dockerfile: 'PATH'}}}",
    "additional context": "services: {a: {build: {context: ., additional_contexts: {x: 'PATH'}}}}",
    "additional context in a list": "services: {a: {build: {context: ., additional_contexts: ['x=PATH']}}}",
    "env_file": "services: {a: {image: x, env_file: 'PATH'}}",
    "env_file list": "services: {a: {image: x, env_file: [.env, 'PATH']}}",
    "env_file long": "services: {a: {image: x, env_file: [{path: 'PATH', required: false}]}}",
    "bind": "services: {a: {image: x, volumes: ['PATH:/x']}}",
    "bind long": "services: {a: {image: x, volumes: [{type: bind, source: 'PATH', target: /x}]}}",
    "secret": "services: {a: {image: x, secrets: [s]}}\nsecrets: {s: {file: 'PATH'}}",
    "config": "services: {a: {image: x, configs: [c]}}\nconfigs: {c: {file: 'PATH'}}",
    "build secret": "services: {a: {build: {context: ., secrets: [s]}}}\nsecrets: {s: {file: 'PATH'}}",
    "extends": "services: {a: {extends: {file: 'PATH', service: a}}}",
    "include": "include: ['PATH']\nservices: {a: {image: x}}",
    "include long": "include: [{path: ['PATH']}]\nservices: {a: {image: x}}",
    "include project": "include: [{path: base.yaml, project_directory: 'PATH'}]\nservices: {a: {image: x}}",
    "include env_file": "include: [{path: base.yaml, env_file: 'PATH'}]\nservices: {a: {image: x}}",
    "migrations": "services: {a: {image: x}}\nx-preview: {database: {migrations: 'PATH'}}",
}


def paths(outside: str, name: str) -> Iterator[Case]:
    """Every field that takes a path, with every way out. `outside` is the canary's folder, `name` its file."""
    for field_name, text in PATHS.items():
        for escape in ESCAPES:
            if field_name == "bind" and (escape.startswith(("C:", "file")) or "\\" in escape):
                continue  # in the short form a colon or a backslash means something else: see DENIED_KEYS
            path = escape.format(outside=f"{outside.strip('/')}/{name}", name=name)
            base = "services: {c: {image: z}}\n"
            yield case(
                f"{field_name}: {escape}", text.replace("PATH", path) + "\n", base__yaml=base, Dockerfile="FROM x\n"
            )
