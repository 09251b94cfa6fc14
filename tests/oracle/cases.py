"""Small Compose projects over every section of the specification, in a table: the same reading is asked for each.

A line of `SERVICES` is what stands in the service `a`; a line of `SECTIONS` is a top-level section; `_projects`
are whole ones, of several files. What stands around the first two is in `SURROUNDINGS` and `REPOSITORY`.
"""

# ruff: noqa: E501 - one case is one line

from collections.abc import Iterator, Mapping

REPOSITORY: Mapping[str, str] = {
    "one.env": "ONE=1\nTWO=from one\nREF=${FOO}-${ONE}\n",
    "two.env": "TWO='from two'\nTHREE=\"a\\nb\"\n",
    "raw.env": "RAW=a 'b' $FOO\n",
    "labels.txt": "from.file=1\nboth=file\n",
    "sub/Dockerfile": "FROM scratch\n",
    "secret.txt": "s",
}
SURROUNDINGS = """
  b: {image: y}
  off: {image: y, profiles: [off]}
volumes: {data: , other: {driver: local}}
networks: {front: , back: {internal: true}}
secrets: {pass: {file: ./secret.txt}, from_variable: {environment: FOO}}
configs: {conf: {content: "x ${FOO}"}, file: {file: ./secret.txt}}
"""
"""What the service `a` may refer to."""

SERVICES: Mapping[str, str] = {
    "keys without a form": """
image: x:1
image: '${FOO}/x:${NOPE:-latest}'
image: 5
image: ''
image: null
image: [x]
container_name: name
container_name: n
hostname: h.example
domainname: example.org
user: '1000:1000'
user: 1000
working_dir: /w
working_dir: 5
stop_signal: SIGINT
stop_signal: 9
platform: linux/arm64
runtime: runc
isolation: default
cgroup_parent: m
cpuset: 0-3
cpuset: 0,1
mac_address: 02:42:ac:11:65:43
pid: host
pid: 'service:b'
pid:
ipc: shareable
ipc: 'service:b'
uts: host
userns_mode: host
cgroup: host
cgroup: private
cgroup: other
pull_policy: always
pull_policy: if_not_present
pull_policy: every_12h
pull_policy: sometimes
pull_refresh_after: 1h
x-anything: {a: [1, {b: c}]}
unknown: 1
imagee: x
""",
    "booleans": """
attach: false
attach: true
attach: 'yes'
init: true
init: 'false'
init: yes
init: maybe
init: 1
init: null
tty: on
tty: 'Y'
stdin_open: true
read_only: 'true'
privileged: true
privileged: 'off'
oom_kill_disable: true
use_api_socket: true
use_api_socket: 'true'
""",
    "numbers and sizes": """
cpu_count: 2
cpu_count: '2'
cpu_count: -1
cpu_percent: 50
cpu_percent: 50.5
cpu_percent: '50.5'
cpu_period: 1000
cpu_period: '1000'
cpu_period: 10ms
cpu_quota: 500
cpu_rt_period: 95
cpu_rt_runtime: '95'
cpu_shares: 73
cpu_shares: 0
cpus: 0.5
cpus: '1.25'
cpus: 2
cpus: abc
cpus: '١'
cpus: ' 1'
cpus: '1_0'
cpus: -1
mem_limit: 1g
mem_limit: 512
mem_limit: '512'
mem_limit: '٣m'
mem_limit: '9999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999'
mem_limit: 1.5gb
mem_limit: 64 MiB
mem_limit: 1x
mem_limit: -1
mem_limit: 1.5
mem_reservation: 128m
mem_swappiness: 10
memswap_limit: 2g
memswap_limit: -1
memswap_limit: '-1'
shm_size: 64m
shm_size: '2147483648'
oom_score_adj: 500
oom_score_adj: -500
oom_score_adj: 2000
pids_limit: 100
pids_limit: -1
pids_limit: '50'
scale: 3
scale: 0
scale: '2'
scale: many
stop_grace_period: 99999999999h
stop_grace_period: 2562047h
stop_grace_period: 2562048h
stop_grace_period: ١s
stop_grace_period: 90s
stop_grace_period: 1m30s
stop_grace_period: 1d
stop_grace_period: 10
stop_grace_period: 1.5h
stop_grace_period: 100ms
stop_grace_period: 0s
stop_grace_period: ''
mem_reservation: 1.5
mem_swappiness: 1.5
cpu_shares: 1.5
pids_limit: 1.5
scale: -1
deploy: {replicas: -1}
deploy: {update_config: {parallelism: -1}}
deploy: {restart_policy: {max_attempts: -1}}
deploy: {placement: {max_replicas_per_node: -1}}
deploy: {resources: {limits: {pids: -1}}}
healthcheck: {retries: -1}
blkio_config: {weight: -1}
build: {context: ., shm_size: 1.5}
cpu_quota: -1
""",
    "lists": """
cap_add: [ALL, NET_ADMIN]
cap_add: [ALL, ALL]
cap_add: ALL
cap_drop: [NET_RAW]
cap_drop: []
cap_drop: null
device_cgroup_rules: ['c 1:3 mr']
device_cgroup_rules: [a, a]
dns: 8.8.8.8
dns: [8.8.8.8, 9.9.9.9]
dns: ''
dns_search: example.org
dns_search: [a, b]
dns_opt: [use-vc]
dns_opt: use-vc
expose: [80, '81', 82-84, 53/udp]
expose: ['80', 80]
expose: [80.5]
expose: 80
external_links: [redis, 'db:mysql']
external_links: [x, x]
group_add: [mail, 1000]
group_add: [mail, mail]
profiles: [off, on]
profiles: off
security_opt: ['no-new-privileges:true']
security_opt: [a, a]
tmpfs: /run
tmpfs: [/run, '/tmp:size=1m,mode=1777']
tmpfs: [/run, /run]
links: [b]
links: ['b:db']
links: [b, b]
links: [nope]
volumes_from: [b]
volumes_from: ['b:ro']
volumes_from: ['container:other']
volumes_from: [nope]
""",
    "names and values": """
environment: {A: 1, B: true, C: 1.50, D: text, E: , F: ''}
environment: {FOO: , EMPTY: , NOPE: }
environment: [A=1, B=a=b, FOO, NOPE, 'C=']
environment: [A=1, A=2]
environment: {A: [1]}
environment: {A: $FOO, B: '${NOPE:-d}', C: $$X, D: '${FOO:+yes}', E: '${EMPTY-x}${EMPTY:-y}'}
environment: {A: '${NOPE?}'}
environment: {A: '${NOPE:?message}'}
environment: {A: '${FOO'}
environment: ''
env_file: one.env
env_file: [one.env, two.env]
env_file: [one.env, one.env]
env_file: [{path: one.env}, {path: none.env, required: false}]
env_file: [{path: raw.env, format: raw}]
env_file: [{path: one.env, format: other}]
env_file: [{path: one.env, require: false}]
env_file: [{required: false}]
env_file: missing.env
labels: {a: 1, b: , c: true, d: 1.0}
labels: [a=1, b, 'c=']
labels: [a=1, a=2]
labels: {a: {b: c}}
label_file: labels.txt
label_file: [labels.txt]
annotations: {a: 1}
annotations: [a=b]
sysctls: {net.core.somaxconn: 1024}
sysctls: [net.core.somaxconn=1024]
storage_opt: {size: 1G}
extra_hosts: ['a:1.1.1.1', 'b=2.2.2.2']
extra_hosts: ['a=::1', 'b=[::1]', 'c:::1']
extra_hosts: {a: 1.1.1.1, b: [1.1.1.1, 2.2.2.2]}
extra_hosts: {h: host-gateway}
extra_hosts: [nothing]
logging: {driver: json-file, options: {max-size: 10m, max-file: 3}}
logging: {options: {a: }}
logging: {drivr: x}
""",
    "commands": """
command: run --it "a b" 'c d'
command: [run, --it]
command: []
command: ''
command: null
command: [1]
command: 5
command: "a 'b"
command: a && b
command: echo $FOO $$HOME
entrypoint: /bin/sh -c "x y"
entrypoint: [a, b]
entrypoint: []
entrypoint: ''
entrypoint: null
healthcheck: {test: curl -f x}
healthcheck: {test: [CMD, curl, x], interval: 90s, timeout: 1500ms, retries: 3, start_period: 1h, start_interval: 5s}
healthcheck: {test: [CMD-SHELL, x]}
healthcheck: {test: [NONE]}
healthcheck: {test: NONE}
healthcheck: {test: [curl]}
healthcheck: {test: []}
healthcheck: {disable: true}
healthcheck: {disable: 'true'}
healthcheck: {retries: '5'}
healthcheck: {retries: 0}
healthcheck: {interval: 10}
healthcheck: {intervall: 10s}
healthcheck: {}
healthcheck: null
post_start: [{command: a b, user: root, privileged: true, working_dir: /w, environment: {A: 1}}]
post_start: [{command: [a, b], environment: [A=1, FOO]}]
post_start: [{user: x}]
pre_stop: [{command: x}, {command: x}]
pre_stop: {command: x}
pre_start: [{image: z, command: a b}]
""",
    "ports": """
ports: ['٨٠']
ports: [8000]
ports: ['8000', 8001]
ports: ['8000:80']
ports: ['127.0.0.1:8000:80']
ports: ['127.0.0.1::80']
ports: ['[::1]:8000:80']
ports: ['3000-3002:4000-4002']
ports: ['3000-3002']
ports: ['80-82:80']
ports: ['80:90-91']
ports: ['80/udp', '80/tcp']
ports: ['80:80/sctp']
ports: ['80/icmp']
ports: ['80:80', '80:80']
ports: ['80:80', '81:80']
ports: ['8000:80', {target: 80, published: 8000}]
ports: [{target: 80}]
ports: [{target: 80, published: 8080}]
ports: [{target: '80', published: '8080-8090', protocol: udp, mode: host, host_ip: 1.2.3.4, name: web, app_protocol: http}]
ports: [{published: 80}]
ports: [{target: web}]
ports: [{target: 80, publishd: 1}]
ports: [22:22]
ports: ['a']
ports: ['70000']
ports: ['']
ports: 80
ports: null
ports: [80.5]
""",
    "volumes": """
volumes: ['data:/b']
volumes: ['data:/b:ro']
volumes: ['data:/b:rw,nocopy']
volumes: ['data:/b/../c/']
volumes: ['/anonymous']
volumes: ['./here:/b']
volumes: ['../outside:/b']
volumes: ['/host:/b:ro,z']
volumes: ['~/home:/b']
volumes: ['.:/b:cached']
volumes: ['./here:/b:rshared']
volumes: ['./here:/b:what']
volumes: ['nope:/b']
volumes: ['data:/b', './here:/b']
volumes: ['a:b:c:d']
volumes: ['data:']
volumes: [':/b']
volumes: ['']
volumes: ['d:/b']
volumes: [{type: bind, source: , target: /b}]
volumes: [{type: bind, source: ./here, target: /b, read_only: true}]
volumes: [{type: bind, source: ./here, target: /b, bind: {propagation: rslave, create_host_path: false, selinux: z}}]
volumes: [{type: bind, source: ./here, target: /b, bind: {create_host_path: true, recursive: readonly}}]
volumes: [{type: bind, source: /abs/../x, target: /b, consistency: cached}]
volumes: [{type: volume, source: data, target: /b, volume: {nocopy: true, subpath: sub/dir}}]
volumes: [{type: volume, target: /b}]
volumes: [{type: volume, source: data, target: /b, volume: {labels: {a: 1}}}]
volumes: [{type: tmpfs, target: /b, tmpfs: {size: 10m, mode: 1777}}]
volumes: [{type: tmpfs, target: /b, tmpfs: {size: 1000, mode: 0755}}]
volumes: [{type: tmpfs, target: /b, tmpfs: {size: -1}}]
volumes: [{type: image, source: img, target: /b, image: {subpath: x}}]
volumes: [{type: npipe, source: x, target: /b}]
volumes: [{type: cluster, source: data, target: /b}]
volumes: [{type: other, target: /b}]
volumes: [{source: ./here, target: /b}]
volumes: [{type: odd, target: /b}, './here:/b']
volumes: [{type: bind, target: /b}]
volumes: [{type: bind, source: ./here}]
volumes: null
""",
    "networks": """
networks: [front]
networks: [front, back]
networks: [front, front]
networks: [nope]
networks: {front: , back: {}}
networks: {front: {aliases: [x, y], priority: 100, gw_priority: 5}}
networks: {front: {ipv4_address: 172.16.238.10, ipv6_address: '2001:db8::10', link_local_ips: [57.123.22.11]}}
networks: {front: {mac_address: '02:42:ac:11:65:43', driver_opts: {a: 1}, interface_name: eth7}}
networks: {front: {aliases: [x, x]}}
networks: {front: {alias: [x]}}
networks: {default: {aliases: [x]}}
networks: []
networks: {}
network_mode: none
network_mode: host
network_mode: bridge
network_mode: 'service:b'
network_mode: 'service:nope'
network_mode: 'container:x'
""",
    "dependencies": """
depends_on: [b]
depends_on: [b, b]
depends_on: [nope]
depends_on: [off]
depends_on: [a]
depends_on: {b: {condition: service_healthy}}
depends_on: {b: {condition: service_completed_successfully, required: false, restart: true}}
depends_on: {b: {}}
depends_on: {b: }
depends_on: {b: {condition: healthy}}
depends_on: {b: {condition: service_started, required: 'false'}}
depends_on: {off: {condition: service_started, required: false}}
depends_on: {nope: {condition: service_started, required: false}}
depends_on: b
""",
    "secrets and configs": """
secrets: [{source: pass, mode: 9}]
secrets: [{source: pass, mode: 0}]
secrets: [{source: pass, mode: -1}]
secrets: [{source: pass, mode: '7'}]
secrets: [{source: pass, mode: '0o440'}]
secrets: [{source: pass, mode: 8192}]
secrets: [pass]
secrets: [pass, from_variable]
secrets: [nope]
secrets: [{source: pass}]
secrets: [{source: pass, target: other, uid: '103', gid: '103', mode: 0440}]
secrets: [{source: pass, target: /abs/path, mode: '0440'}]
secrets: [{source: pass, mode: 288}]
secrets: [{source: pass, uid: 103}]
secrets: [{target: x}]
secrets: [pass, pass]
secrets: [pass, {source: pass, target: x}]
configs: [conf]
configs: [conf, file]
configs: [{source: conf, target: /etc/x, uid: '1', gid: '1', mode: 0444}]
configs: [{source: nope}]
configs: conf
""",
    "build": """
build: .
build: ./sub
build: sub
build: ../outside
build: /absolute
build: https://github.com/x/y.git#main:dir
build: git@github.com:x/y.git
build: {}
build: {context: ./sub, dockerfile: Other}
build: {context: ./sub, dockerfile: ../Dockerfile}
build: {dockerfile_inline: "FROM scratch\\nRUN x"}
build: {dockerfile: a, dockerfile_inline: b}
build: {context: ., args: {A: 1, B: true, C: , FOO: }}
build: {context: ., args: [A=1, B, FOO, EMPTY]}
build: {context: ., target: prod, network: none, shm_size: 128m, pull: true, no_cache: 'true'}
build: {context: ., no_cache_filter: [a, b], cache_from: [x, 'type=local,src=y'], cache_to: [x]}
build: {context: ., no_cache_filter: a}
build: {context: ., labels: [a=b], tags: ['x:1', 'y:2'], platforms: [linux/amd64]}
build: {context: ., additional_contexts: {r: ./sub, i: 'docker-image://alpine', s: 'service:b', u: 'https://x/y.git'}}
build: {context: ., additional_contexts: ['r=./sub']}
build: {context: ., secrets: [pass, {source: pass, target: id, mode: 0400}]}
build: {context: ., secrets: [nope]}
build: {context: ., ulimits: {nofile: 5, nproc: {soft: 1, hard: 2}}}
build: {context: ., extra_hosts: ['a:1.1.1.1'], isolation: hyperv, privileged: true, entitlements: [x]}
build: {context: ., provenance: true, sbom: 'false'}
build: {context: ., provenance: mode=max}
build: {context: ., ssh: [default, 'k=/path']}
build: {contxt: .}
build: {context: [.]}
build: 5
""",
    "deploy": """
deploy: {}
deploy: null
deploy: {replicas: 2}
deploy: {replicas: 0}
deploy: {replicas: '3'}
deploy: {mode: global, endpoint_mode: vip, labels: [a=b]}
deploy: {resources: {limits: {cpus: '0.50', memory: 50M, pids: 1}, reservations: {cpus: 0.25, memory: 20M}}}
deploy: {resources: {limits: {memory: 50}}}
deploy: {resources: {limits: {cpus: 0.001}}}
deploy: {resources: {reservations: {devices: [{capabilities: [gpu]}]}}}
deploy: {resources: {reservations: {devices: [{capabilities: [gpu], count: all, driver: nvidia, options: {a: b}}]}}}
deploy: {resources: {reservations: {devices: [{capabilities: [gpu], count: 2, device_ids: ['0']}]}}}
deploy: {resources: {reservations: {devices: [{count: 2}]}}}
deploy: {resources: {reservations: {generic_resources: [{discrete_resource_spec: {kind: gpu, value: 2}}]}}}
deploy: {restart_policy: {condition: on-failure, delay: 5s, max_attempts: 3, window: 120s}}
deploy: {update_config: {parallelism: 2, delay: 10s, failure_action: rollback, monitor: 60s, max_failure_ratio: 0.3, order: start-first}}
deploy: {rollback_config: {parallelism: 0, order: stop-first}}
deploy: {update_config: {order: sideways}}
deploy: {placement: {constraints: [node.role==manager], preferences: [{spread: node.labels.zone}], max_replicas_per_node: 1}}
deploy: {replica: 1}
restart: always
restart: 'no'
restart: no
restart: on-failure:3
""",
    "devices and limits": """
devices: ['/dev/a']
devices: ['/dev/a:/dev/b']
devices: ['/dev/a:/dev/b:r']
devices: [{source: /dev/a, target: /dev/b, permissions: rw}]
devices: [vendor.com/class=device]
ulimits: {nofile: 1024}
ulimits: {nofile: {soft: 1024, hard: 2048}, nproc: '65535'}
ulimits: {nofile: {soft: 1}}
ulimits: {nofile: -1}
blkio_config: {weight: 300, weight_device: [{path: /dev/sda, weight: 400}], device_read_bps: [{path: /dev/sda, rate: 12mb}]}
blkio_config: {device_write_iops: [{path: /dev/sda, rate: 30}], device_write_bps: [{path: /dev/sda, rate: '1024k'}]}
blkio_config: {wait: 300}
credential_spec: {config: conf}
credential_spec: {file: ./x.json}
gpus: all
gpus: [{driver: nvidia, count: 2}]
gpus: [{device_ids: ['0'], capabilities: [gpu]}]
gpus: some
develop: {watch: [{path: ./src, action: sync, target: /src, ignore: [node_modules/], include: [a, b]}]}
develop: {watch: [{path: a, action: rebuild}, {path: b, action: sync+exec, target: /x, exec: {command: x y}}]}
develop: {watch: [{path: a}]}
develop: {watch: [{path: a, action: dance}]}
develop: null
provider: {type: awesome, options: {type: mysql, size: 256, list: [a, b], flag: true}}
provider: {options: {a: b}}
""",
}
"""By theme: the lines that the service `a` is tried with, one project for each."""

SECTIONS: Mapping[str, str] = {
    "networks": """
networks: {n: }
networks: {n: {}}
networks: {n: {driver: bridge, driver_opts: {a: 1, b: x}, attachable: true, enable_ipv6: true, enable_ipv4: false}}
networks: {n: {internal: 'true', labels: {a: 1}, name: named}}
networks: {n: {ipam: {driver: default, config: [{subnet: 172.28.0.0/16, ip_range: 172.28.5.0/24, gateway: 172.28.5.254, aux_addresses: {h: 172.28.1.5}}], options: {a: b}}}}
networks: {n: {external: true}}
networks: {n: {external: true, name: real}}
networks: {n: {external: {name: real}}}
networks: {n: {external: true, driver: bridge}}
networks: {n: {drivr: bridge}}
networks: {n: , 'bad name': }
networks: {n: , unused: {driver: x}}
""",
    "volumes": """
volumes: {v: }
volumes: {v: {driver: local, driver_opts: {type: nfs, o: addr=1, device: ':/x'}}}
volumes: {v: {driver: local, driver_opts: {type: none, o: bind, device: ./here}}}
volumes: {v: {labels: [a=1], name: named}}
volumes: {v: {external: true}}
volumes: {v: {external: {name: real}}}
volumes: {v: {external: true, driver: local}}
volumes: {v: {size: 1}}
volumes: {v: , unused: }
volumes: {v: {name: '${FOO}'}}
""",
    "secrets": """
secrets: {s: {file: ./secret.txt}}
secrets: {s: {file: ../up.txt, labels: {a: b}}}
secrets: {s: {environment: FOO}}
secrets: {s: {environment: NOPE}}
secrets: {s: {external: true}}
secrets: {s: {external: true, name: real}}
secrets: {s: {file: a, environment: FOO}}
secrets: {s: {}}
secrets: {s: {file: a, driver: d, driver_opts: {a: 1}, template_driver: t}}
secrets: {s: {content: x}}
""",
    "configs": """
configs: {c: {file: ./secret.txt}}
configs: {c: {content: "a ${FOO} $$b"}}
configs: {c: {environment: FOO}}
configs: {c: {external: true, name: real}}
configs: {c: {content: x, file: y}}
configs: {c: {content: x, labels: [a=b], template_driver: golang, name: n}}
configs: {c: }
""",
}
"""By section: what it is declared as, with a service that uses `n`, `v`, `s` or `c` of it."""
_USERS: Mapping[str, str] = {
    "networks": "networks: [n]",
    "volumes": "volumes: ['v:/v1', 'v:/v2']",
    "secrets": "secrets: [s]",
    "configs": "configs: [c]",
}

_BASE = """
services:
  a:
    image: x
    command: [serve]
    entrypoint: [e]
    ports: ['80:80', '81:81/udp']
    expose: [1]
    volumes: ['data:/d', './src:/src']
    environment: {A: base, B: base, FOO: }
    labels: [l=base, m=base]
    depends_on: [b]
    networks: [one]
    dns: 1.1.1.1
    tmpfs: /run
    cap_add: [SYS_ADMIN]
    security_opt: [x]
    env_file: one.env
    healthcheck: {test: a, interval: 5s, retries: 3}
    logging: {driver: json-file, options: {max-size: 1m, max-file: '2'}}
    ulimits: {nofile: 5, nproc: {soft: 1, hard: 2}}
    extra_hosts: ['h:1.1.1.1']
    sysctls: {s: 1}
    secrets: [pass]
    configs: [conf]
    build: ./sub
    deploy: {replicas: 2, resources: {limits: {memory: 1g}}}
    devices: ['/dev/a:/dev/a']
    profiles: [p]
    develop: {watch: [{path: x, action: rebuild}]}
    post_start: [{command: one}]
    models: [llm]
  b: {image: y, profiles: [p]}
models: {llm: {model: m}}
networks: {one: {labels: {a: 1}}, two: }
volumes: {data: {labels: {a: 1}}, more: }
secrets: {pass: {file: ./secret.txt}}
configs: {conf: {content: base}, conf2: {content: two}}
"""
_OVER: Mapping[str, str] = {
    "nothing": "services: {}",
    "image": "services: {a: {image: over}}",
    "command": "services: {a: {command: over it, entrypoint: [f]}}",
    "command null": "services: {a: {command: null}}",
    "ports added": "services: {a: {ports: ['90:90']}}",
    "ports same": "services: {a: {ports: ['80:80']}}",
    "ports long": "services: {a: {ports: [{target: 80, published: '80', name: over}]}}",
    "ports other": "services: {a: {ports: ['8080:80', '127.0.0.1:80:80']}}",
    "expose": "services: {a: {expose: [1, '2']}}",
    "volumes same target": "services: {a: {volumes: ['more:/d', './other:/e']}}",
    "volumes long": "services: {a: {volumes: [{type: bind, source: ./x, target: /src, read_only: true}]}}",
    "environment list": "services: {a: {environment: [A=over, C=new]}}",
    "environment map": "services: {a: {environment: {B: , C: new}}}",
    "labels": "services: {a: {labels: {l: over, n: new}}}",
    "depends_on long": "services: {a: {depends_on: {b: {condition: service_healthy}}}}",
    "depends_on more": "services: {a: {depends_on: [c]}, c: {image: z}}",
    "networks map": "services: {a: {networks: {one: {aliases: [x]}, two: }}}",
    "networks list": "services: {a: {networks: [two]}}",
    "dns": "services: {a: {dns: [2.2.2.2, 1.1.1.1]}}",
    "tmpfs": "services: {a: {tmpfs: [/run, /tmp]}}",
    "cap_add": "services: {a: {cap_add: [NET_ADMIN, SYS_ADMIN]}}",
    "security_opt same": "services: {a: {security_opt: [x]}}",
    "security_opt": "services: {a: {security_opt: [y]}}",
    "env_file": "services: {a: {env_file: [two.env]}}",
    "env_file same": "services: {a: {env_file: one.env}}",
    "healthcheck": "services: {a: {healthcheck: {test: [CMD, b], timeout: 3s}}}",
    "healthcheck disable": "services: {a: {healthcheck: {disable: true}}}",
    "logging same driver": "services: {a: {logging: {driver: json-file, options: {max-size: 9m}}}}",
    "logging other driver": "services: {a: {logging: {driver: local, options: {max-size: 9m}}}}",
    "logging no driver": "services: {a: {logging: {options: {max-size: 9m}}}}",
    "ulimits": "services: {a: {ulimits: {nofile: {soft: 3, hard: 4}, nproc: 9}}}",
    "extra_hosts": "services: {a: {extra_hosts: {h: 2.2.2.2, i: 1.1.1.1}}}",
    "extra_hosts same": "services: {a: {extra_hosts: ['h=1.1.1.1']}}",
    "sysctls": "services: {a: {sysctls: [s=2, t=1]}}",
    "secrets": "services: {a: {secrets: [{source: pass, target: other}]}}",
    "secrets same": "services: {a: {secrets: [{source: pass, mode: 0400}]}}",
    "configs": "services: {a: {configs: [conf2]}}",
    "build": "services: {a: {build: {args: {A: 1}, target: t}}}",
    "build context": "services: {a: {build: .}}",
    "deploy": "services: {a: {deploy: {replicas: 3, resources: {limits: {pids: 5}}}}}",
    "devices": "services: {a: {devices: ['/dev/b:/dev/a', /dev/c]}}",
    "profiles": "services: {a: {profiles: [p, q]}}",
    "develop": "services: {a: {develop: {watch: [{path: y, action: rebuild}]}}}",
    "hooks": "services: {a: {post_start: [{command: two}]}}",
    "models": "services: {a: {models: {llm: {endpoint_var: E}}}}",
    "null": "services: {a: {ports: , environment: }}",
    "null service": "services: {a: }",
    "type": "services: {a: {ports: {a: b}}}",
    "unknown": "services: {a: {portss: []}}",
    "reset list": "services: {a: {ports: !reset []}}",
    "reset null": "services: {a: {ports: !reset null, image: !reset null, command: !reset null}}",
    "reset inside": "services: {a: {environment: {A: !reset null}, deploy: {replicas: !reset 0}}}",
    "reset service": "services: {b: !reset null, a: {depends_on: !reset []}}",
    "reset build": "services: {a: {build: !reset null}}",
    "override list": "services: {a: {ports: !override ['1:1']}}",
    "override map": "services: {a: {environment: !override {Z: 1}, healthcheck: !override {test: z}}}",
    "override service": "services: {a: !override {image: z, profiles: [p]}}",
    "networks section": "networks: {one: {driver: bridge, labels: [a=2, b=1]}}",
    "networks to external": "networks: {one: !override {external: true}}",
    "volumes section": "volumes: {data: {driver: local, labels: {b: 1}}}",
    "configs section": "configs: {conf: {content: over}}",
    "secrets section": "secrets: {pass: !override {environment: FOO}}",
    "new service": "services: {new: {image: n, links: [a]}}\nx-top: {a: 1}",
    "variables": "services: {a: {image: '${FOO}', hostname: '${ONLY_DOTENV}'}}",
    "two documents": "services: {a: {image: x}}\n---\nservices: {a: {image: y}}",
}
"""By theme: what is merged over `_BASE`."""

_EXTENDS: Mapping[str, tuple[str, Mapping[str, str]]] = {
    "short form": ("a: {extends: base, image: x}\n  base: {image: y, command: c, environment: [A=1]}", {}),
    "same file": (
        "a: {extends: {service: base}, ports: ['1:1']}\n  base: {image: y, ports: ['2:2'], labels: [a=b]}",
        {},
    ),
    "chain": ("a: {extends: b}\n  b: {extends: c, user: b}\n  c: {image: c, hostname: c}", {}),
    "circle": ("a: {extends: b}\n  b: {extends: a}", {}),
    "itself": ("a: {extends: a, image: x}", {}),
    "missing service": ("a: {extends: nope, image: x}", {}),
    "missing file": ("a: {extends: {file: nope.yaml, service: x}}", {}),
    "without service": ("a: {extends: {file: other.yaml}, image: x}", {"other.yaml": "services: {a: {image: x}}"}),
    "unknown key": ("a: {extends: {service: b, fil: x}}\n  b: {image: x}", {}),
    "other file": (
        "a: {extends: {file: other.yaml, service: base}, tty: true}",
        {"other.yaml": "services: {base: {image: o, volumes: ['./d:/d'], tty: false}}"},
    ),
    "other folder": (
        "a: {extends: {file: lib/other.yaml, service: base}}",
        {
            "lib/other.yaml": "services: {base: {build: ., volumes: ['./d:/d', '../up:/up'], env_file: x.env}}",
            "lib/x.env": "X=1",
        },
    ),
    "other folder, build context": (
        "a: {extends: {file: lib/other.yaml, service: base}}",
        {"lib/other.yaml": "services: {base: {build: {context: img, additional_contexts: {r: ../r}}}}"},
    ),
    "no context": (
        "a: {extends: {file: lib/other.yaml, service: base}}",
        {"lib/other.yaml": "services: {base: {build: {dockerfile: D}}}"},
    ),
    "two folders": (
        "a: {extends: {file: lib/other.yaml, service: base}}",
        {
            "lib/other.yaml": "services: {base: {extends: {file: ../third/t.yaml, service: t}, user: o}}",
            "third/t.yaml": "services: {t: {image: t, volumes: ['./v:/v'], label_file: l}}",
            "third/l": "a=b",
        },
    ),
    "circle over files": (
        "a: {extends: {file: other.yaml, service: b}}",
        {"other.yaml": "services: {b: {extends: {file: compose.yaml, service: a}}}"},
    ),
    "same name": (
        "a: {extends: {file: other.yaml, service: a}, image: x}",
        {"other.yaml": "services: {a: {image: o, command: o, depends_on: [z]}, z: {image: z}}"},
    ),
    "depends_on": (
        "a: {extends: b, depends_on: [c]}\n  b: {image: b, depends_on: {c: {condition: service_healthy}}}\n  c: {image: c}",
        {},
    ),
    "reset": (
        "a: {extends: b, ports: !reset [], environment: {A: !reset null}}\n  b: {image: b, ports: ['1:1'], environment: {A: 1, B: 2}}",
        {},
    ),
    "override": ("a: {extends: b, ports: !override ['3:3']}\n  b: {image: b, ports: ['1:1']}", {}),
    "reset in the base": ("a: {extends: b, ports: ['2:2']}\n  b: {image: b, ports: !reset ['1:1']}", {}),
    "variables": (
        "a: {extends: {file: '${NOPE:-other}.yaml', service: '${NOPE:-base}'}}",
        {"other.yaml": "services: {base: {image: '${FOO}', environment: [FOO, ONLY_DOTENV]}}"},
    ),
    "profiles": ("a: {extends: b}\n  b: {image: b, profiles: [off]}", {}),
    "unused errors in the other file": (
        "a: {extends: {file: other.yaml, service: base}}",
        {"other.yaml": "services: {base: {image: o}, bad: {imagee: x}}\nunknown: 1"},
    ),
    "error in the base": (
        "a: {extends: {file: other.yaml, service: base}}",
        {"other.yaml": "services: {base: {imagee: o}}"},
    ),
    "networks and volumes": (
        "a: {extends: {file: other.yaml, service: base}}",
        {"other.yaml": "services: {base: {image: o, networks: [n]}}\nnetworks: {n: }"},
    ),
    "no services": ("a: {extends: {file: other.yaml, service: base}}", {"other.yaml": "volumes: {v: }"}),
    "empty base": ("a: {extends: b, image: x}\n  b:", {}),
    "mount same target": (
        "a: {extends: b, volumes: ['./two:/x']}\n  b: {image: b, volumes: ['./one:/x', './y:/y']}",
        {},
    ),
    "healthcheck and command": (
        "a: {extends: b, healthcheck: {retries: 1}, command: over}\n  b: {image: b, healthcheck: {test: t, interval: 3s}, command: [one, two]}",
        {},
    ),
    "a list": ("a: {extends: [b], image: x}\n  b: {image: b}", {}),
}
"""By theme: what stands below `services`, and the other files."""

_INCLUDE: Mapping[str, tuple[str, Mapping[str, str]]] = {
    "short form": ("[inc.yaml]", {"inc.yaml": "services: {i: {image: i, volumes: ['./d:/d']}}"}),
    "folder": (
        "[lib/inc.yaml]",
        {"lib/inc.yaml": "services: {i: {build: ., volumes: ['./d:/d'], env_file: x.env}}", "lib/x.env": "X=${FOO}"},
    ),
    "long form": ("[{path: lib/inc.yaml}]", {"lib/inc.yaml": "services: {i: {build: {dockerfile: D}}}"}),
    "path list": (
        "[{path: [lib/inc.yaml, lib/over.yaml]}]",
        {
            "lib/inc.yaml": "services: {i: {image: i, ports: ['1:1']}}",
            "lib/over.yaml": "services: {i: {ports: ['2:2'], build: .}}",
        },
    ),
    "project directory": (
        "[{path: lib/inc.yaml, project_directory: other}]",
        {"lib/inc.yaml": "services: {i: {build: ., volumes: ['./d:/d']}}", "other/x": ""},
    ),
    "project directory .": (
        "[{path: lib/inc.yaml, project_directory: .}]",
        {"lib/inc.yaml": "services: {i: {build: ./img}}"},
    ),
    "own .env": (
        "[lib/inc.yaml]",
        {
            "lib/inc.yaml": "services: {i: {image: '${OWN}', environment: [OWN, FOO]}}",
            "lib/.env": "OWN=own\nFOO=not used\n",
        },
    ),
    "env_file": (
        "[{path: lib/inc.yaml, env_file: lib/my.env}]",
        {"lib/inc.yaml": "services: {i: {image: '${OWN}'}}", "lib/my.env": "OWN=mine\n", "lib/.env": "OWN=dotenv\n"},
    ),
    "env_file list": (
        "[{path: lib/inc.yaml, env_file: [one.env, lib/my.env]}]",
        {"lib/inc.yaml": "services: {i: {image: '${OWN}${ONE}'}}", "lib/my.env": "OWN=mine\n"},
    ),
    "missing env_file": ("[{path: lib/inc.yaml, env_file: nope.env}]", {"lib/inc.yaml": "services: {i: {image: i}}"}),
    "missing file": ("[nope.yaml]", {}),
    "nested": (
        "[lib/inc.yaml]",
        {
            "lib/inc.yaml": "include: [deep/inc.yaml]\nservices: {i: {image: i}}",
            "lib/deep/inc.yaml": "services: {d: {image: d, volumes: ['./v:/v']}}",
        },
    ),
    "circle": ("[inc.yaml]", {"inc.yaml": "include: [compose.yaml]\nservices: {i: {image: i}}"}),
    "conflict": ("[inc.yaml]", {"inc.yaml": "services: {a: {image: other}}"}),
    "same service": ("[inc.yaml]", {"inc.yaml": "services: {a: {image: x}}"}),
    "same twice": ("[inc.yaml, inc.yaml]", {"inc.yaml": "services: {i: {image: i}}\nvolumes: {v: }"}),
    "diamond": (
        "[one.yaml, two.yaml]",
        {
            "one.yaml": "include: [base.yaml]\nservices: {o: {image: o, depends_on: [z]}}",
            "two.yaml": "include: [base.yaml]\nservices: {t: {image: t, depends_on: [z]}}",
            "base.yaml": "services: {z: {image: z}}",
        },
    ),
    "resources": (
        "[inc.yaml]",
        {
            "inc.yaml": "services: {i: {image: i, volumes: ['v:/v'], networks: [n], secrets: [s], configs: [c]}}\nvolumes: {v: }\nnetworks: {n: }\nsecrets: {s: {file: s}}\nconfigs: {c: {file: c}}"
        },
    ),
    "extends inside": (
        "[lib/inc.yaml]",
        {
            "lib/inc.yaml": "services: {i: {extends: {file: b.yaml, service: b}}}",
            "lib/b.yaml": "services: {b: {image: b, volumes: ['./v:/v']}}",
        },
    ),
    "dollars": (
        "[inc.yaml]",
        {"inc.yaml": "services: {i: {image: i, command: echo $$HOME, environment: {A: $$X, B: $DOLLAR}}}"},
    ),
    "depends on it": ("[inc.yaml]\nx-a: 1", {"inc.yaml": "services: {i: {image: i, depends_on: [a]}}"}),
    "remote": ("['oci://example.com/x']", {}),
    "not a list": ("inc.yaml", {"inc.yaml": "services: {i: {image: i}}"}),
    "unknown key": ("[{path: inc.yaml, paths: x}]", {"inc.yaml": "services: {i: {image: i}}"}),
    "broken": ("[inc.yaml]", {"inc.yaml": "services: {i: {imagee: i}}"}),
    "name and x": ("[inc.yaml]", {"inc.yaml": "name: other\nx-inner: 1\nservices: {i: {image: i}}"}),
    "empty list": ("[]", {}),
    "null": ("", {}),
}
"""By theme: what stands at `include`, and the other files."""

_WHOLE: Mapping[str, Mapping[str, str]] = {
    "empty": {"compose.yaml": ""},
    "no services": {"compose.yaml": "volumes: {a: }"},
    "services null": {"compose.yaml": "services:"},
    "services list": {"compose.yaml": "services: [a]"},
    "a list": {"compose.yaml": "[a]"},
    "unknown section": {"compose.yaml": "services: {a: {image: x}}\nservice: {}"},
    "version and name": {
        "compose.yaml": "version: '3'\nname: other\nservices: {a: {image: x}}\nx-y: {z: [1, 2.5, true, null]}"
    },
    "version number": {"compose.yaml": "version: 3\nservices: {a: {image: x}}"},
    "bad service name": {"compose.yaml": "services: {'a b': {image: x}}"},
    "service null": {"compose.yaml": "services: {a: }"},
    "anchors": {
        "compose.yaml": "x-a: &a {image: x, labels: [a=b]}\nservices:\n  a: *a\n  b: {<<: *a, image: y}\n  c: {<<: [{tty: true}, *a]}"
    },
    "extensions merged": {
        "compose.yaml": "services: {a: {image: x}}\nx-p: {port: 1, secrets: [A], deep: {a: 1, b: 2}, gone: 1, kept: 2}",
        "compose.override.yaml": "x-p: {secrets: [A, B], deep: {b: 3}, gone: !reset null, kept: }\nx-new: 1",
    },
    "extensions included": {
        "compose.yaml": "include: [inc.yaml]\nservices: {a: {image: x}}\nx-p: {port: 1}",
        "inc.yaml": "services: {b: {image: x}}\nx-p: {other: 2}\nx-q: 1",
    },
    "extension overridden": {
        "compose.yaml": "services: {a: {image: x}}\nx-p: {a: [1], b: {c: 1}}\nx-q: 1",
        "compose.override.yaml": "x-p: {a: !override [2], b: !override x}\nx-q: {a: 1}",
    },
    "extension of another kind": {
        "compose.yaml": "services: {a: {image: x}}\nx-p: {a: [1]}",
        "compose.override.yaml": "x-p: {a: 1}",
    },
    "merge of lists": {"compose.yaml": "x-e: &e {A: 1, B: 2}\nservices: {a: {image: x, environment: {<<: *e, B: 3}}}"},
    "double key": {"compose.yaml": "services: {a: {image: x, image: y}}"},
    "dotenv": {
        "compose.yaml": "services: {a: {image: '${ONLY:-d}', environment: [ONLY, FOO]}}",
        ".env": "ONLY=yes\nFOO=no\n",
    },
    "profiles of .env": {
        "compose.yaml": "services: {a: {image: x, profiles: [p]}, b: {image: y}}",
        ".env": "COMPOSE_PROFILES=p,q\n",
    },
    "nothing active": {"compose.yaml": "services: {a: {image: x, profiles: [p]}}"},
    "circle": {"compose.yaml": "services: {a: {image: x, depends_on: [b]}, b: {image: y, depends_on: [a]}}"},
    "an empty service": {"compose.yaml": "services: {a: {image: x}, b: {}}"},
    "an empty service that does not start": {
        "compose.yaml": "services: {a: {image: x}, b: {profiles: [p], networks: [n], depends_on: [n]}}"
    },
    "circle by links": {
        "compose.yaml": "services: {a: {image: x, links: [b]}, b: {image: y, network_mode: 'service:a'}}"
    },
    "same container name": {
        "compose.yaml": "services: {a: {image: x, container_name: cc}, b: {image: y, container_name: cc}}"
    },
    "container name and scale": {"compose.yaml": "services: {a: {image: x, container_name: cc, scale: 2}}"},
    "two limits": {
        "compose.yaml": "services: {a: {image: x, mem_limit: 1g, deploy: {resources: {limits: {memory: 2g}}}}}"
    },
    "same limits": {"compose.yaml": "services: {a: {image: x, cpus: 1, deploy: {resources: {limits: {cpus: '1'}}}}}"},
    "scale and replicas": {"compose.yaml": "services: {a: {image: x, scale: 2, deploy: {replicas: 3}}}"},
    "networks and mode": {"compose.yaml": "services: {a: {image: x, network_mode: none, networks: [default]}}"},
    "default network": {"compose.yaml": "services: {a: {image: x}}\nnetworks: {default: {driver: bridge, name: n}}"},
    "default external": {"compose.yaml": "services: {a: {image: x}}\nnetworks: {default: {external: true, name: n}}"},
    "unused": {"compose.yaml": "services: {a: {image: x, network_mode: none}}\nnetworks: {n: }\nvolumes: {v: }"},
    "jobs": {"compose.yaml": "services: {a: {image: x}}\njobs: {j: {image: y, triggers: {manual: true}}}"},
    "integer keys": {"compose.yaml": "services: {a: {image: x, labels: {1: x}}}"},
    "tabs": {"compose.yaml": "services:\n\ta: x"},
    "override file": {
        "compose.yaml": "services: {a: {image: x, ports: ['1:1']}}",
        "compose.override.yaml": "services: {a: {ports: ['2:2']}}",
    },
    "override file yml": {
        "compose.yaml": "services: {a: {image: x}}",
        "compose.override.yml": "services: {a: {user: u}}",
    },
    "override file of the other name": {
        "compose.yaml": "services: {a: {image: x}}",
        "docker-compose.override.yml": "services: {a: {user: u}}",
    },
    "two override files": {
        "compose.yaml": "services: {a: {image: x}}",
        "compose.override.yaml": "services: {a: {user: yaml}}",
        "compose.override.yml": "services: {a: {user: yml}}",
    },
    "platform": {
        "compose.yaml": "services: {a: {build: {context: ., platforms: [linux/amd64]}, platform: linux/arm64}}"
    },
    "build and image": {"compose.yaml": "services: {a: {build: ., image: x}}"},
}


def _projects() -> Iterator[tuple[str, Mapping[str, str]]]:
    environment = {".env": "COMPOSE_PROFILES=p\nONLY_DOTENV=dotenv\n"}
    for name, over in _OVER.items():
        yield f"merge: {name}", {**environment, "compose.yaml": _BASE, "compose.override.yaml": over}
    for name, (services, files) in _EXTENDS.items():
        yield f"extends: {name}", {**environment, "compose.yaml": f"services:\n  {services}\n", **files}
    for name, (include, files) in _INCLUDE.items():
        text = f"include: {include}\nservices: {{a: {{image: x}}}}\n"
        yield f"include: {name}", {**environment, "compose.yaml": text, **files}
    for name, files in _WHOLE.items():
        yield f"whole: {name}", files


def cases() -> Iterator[tuple[str, Mapping[str, str]]]:
    """Every project, with a name that says where in the tables it stands."""
    for theme, lines in SERVICES.items():
        for line in lines.strip().splitlines():
            yield f"{theme}: {line}", _with_service(line)
    for section, lines in SECTIONS.items():
        for line in lines.strip().splitlines():
            text = f"services: {{a: {{image: x, {_USERS[section]}}}}}\n{line}\n"
            yield line, {**REPOSITORY, "compose.yaml": text}
    for name, files in _projects():
        yield name, {**REPOSITORY, **files}


def _with_service(line: str) -> Mapping[str, str]:
    image = "" if line.startswith(("image", "build", "provider")) else "    image: x\n"
    return {**REPOSITORY, "compose.yaml": f"services:\n  a:\n{image}    {line}{SURROUNDINGS}"}
