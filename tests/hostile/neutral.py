"""What is taken, and must come to nothing: each line of service `a`, and what must hold of its container."""

from collections.abc import Iterator
from typing import Any

from tests.hostile.cases import Body, Case, Neutral, case

_LIMIT = 1 << 30


def _host(body: Body) -> dict[str, Any]:
    found: dict[str, Any] = body["HostConfig"]
    return found


NEUTRAL: tuple[tuple[str, Neutral], ...] = (
    ("labels: {com.docker.compose.project: other}", lambda b: "other" not in b["Labels"].values()),
    ("labels: ['dev.previewd.instance=other']", lambda b: "other" not in b["Labels"].values()),
    ("labels: {traefik.enable: 'true', caddy: 'evil'}", lambda b: not {"traefik.enable", "caddy"} & b["Labels"].keys()),
    ("labels: {ofelia.job-exec.x.command: 'sh'}", lambda b: "ofelia.job-exec.x.command" not in b["Labels"]),
    ("label_file: /etc/passwd", lambda b: "passwd" not in str(b)),
    ("annotations: {io.katacontainers.x: y}", lambda b: "Annotations" not in _host(b)),
    ("deploy: {labels: {traefik.enable: 'true'}}", lambda b: "traefik.enable" not in b["Labels"]),
    ("ports: ['0.0.0.0:22:22']", lambda b: not {"PortBindings", "PublishAllPorts"} & _host(b).keys()),
    ("ports: [{target: 80, published: 80, mode: host, host_ip: 0.0.0.0}]", lambda b: "PortBindings" not in _host(b)),
    ("restart: always", lambda b: _host(b)["RestartPolicy"] == {"Name": "on-failure", "MaximumRetryCount": 3}),
    ("restart: unless-stopped", lambda b: _host(b)["RestartPolicy"]["Name"] == "on-failure"),
    ("restart: on-failure:9999", lambda b: _host(b)["RestartPolicy"]["MaximumRetryCount"] == 3),
    (
        "logging: {driver: syslog, options: {syslog-address: 'tcp://127.0.0.1:1'}}",
        lambda b: _host(b)["LogConfig"]["Type"] == "json-file",
    ),
    ("logging: {driver: gelf, options: {gelf-address: 'udp://169.254.169.254:1'}}", lambda b: "169.254" not in str(b)),
    (
        "logging: {driver: json-file, options: {max-size: 1t}}",
        lambda b: _host(b)["LogConfig"]["Config"]["max-size"] == "10m",
    ),
    ("dns: [169.254.169.254]", lambda b: "Dns" not in _host(b)),
    ("dns_opt: [x]", lambda b: "DnsOptions" not in _host(b)),
    ("dns_search: [evil.example.com]", lambda b: "DnsSearch" not in _host(b)),
    ("domainname: evil.example.com", lambda b: "Domainname" not in b),
    ("mac_address: 02:42:ac:11:65:43", lambda b: "MacAddress" not in b),
    ("storage_opt: {size: 1t}", lambda b: "StorageOpt" not in _host(b)),
    ("blkio_config: {weight: 1000, device_read_bps: [{path: /dev/sda, rate: 1}]}", lambda b: "/dev/sda" not in str(b)),
    ("cpuset: '0-99'", lambda b: "CpusetCpus" not in _host(b)),
    ("cpu_shares: 99999", lambda b: "CpuShares" not in _host(b)),
    ("cpus: 9999", lambda b: 0 < _host(b)["NanoCpus"] <= 10**9),
    ("cpus: 0", lambda b: 0 < _host(b)["NanoCpus"] <= 10**9),
    ("mem_limit: 100t", lambda b: 0 < _host(b)["Memory"] <= _LIMIT),
    ("mem_limit: 0", lambda b: 0 < _host(b)["Memory"] <= _LIMIT),
    ("memswap_limit: -1", lambda b: 0 < _host(b)["MemorySwap"] <= _LIMIT),
    ("mem_swappiness: 100", lambda b: "MemorySwappiness" not in _host(b)),
    ("pids_limit: -1", lambda b: 0 < _host(b)["PidsLimit"] <= 100),
    ("pids_limit: 4000000", lambda b: 0 < _host(b)["PidsLimit"] <= 100),
    ("deploy: {resources: {limits: {memory: 100t, cpus: '999', pids: 99999}}}", lambda b: _host(b)["Memory"] <= _LIMIT),
    ("deploy: {resources: {reservations: {memory: 100t, cpus: '999'}}}", lambda b: "MemoryReservation" not in _host(b)),
    ("deploy: {placement: {constraints: ['node.role==manager']}}", lambda b: "manager" not in str(b)),
    ("shm_size: 100t", lambda b: _host(b)["ShmSize"] <= _LIMIT),
    ("tmpfs: ['/x:size=100t']", lambda b: _host(b)["Tmpfs"]["/x"] == f"size={_LIMIT}"),
    (
        "volumes: [{type: tmpfs, target: /x, tmpfs: {size: 100t}}]",
        lambda b: _host(b)["Mounts"][0]["TmpfsOptions"]["SizeBytes"] <= _LIMIT,
    ),
    ("stop_grace_period: 24h", lambda b: b["StopTimeout"] <= 10),
    ("healthcheck: {test: [CMD, x], interval: 1ms}", lambda b: b["Healthcheck"]["Interval"] >= 10**9),
    ("pull_policy: never", lambda b: "never" not in str(b)),
    ("container_name: previewd-web", lambda b: "Name" not in b),
    ("hostname: host", lambda b: _host(b)["NetworkMode"] != "host"),
    (
        "networks: {default: {ipv4_address: 172.17.0.1, mac_address: 02:42:ac:11:65:43}}",
        lambda b: "172.17" not in str(b),
    ),
    ("networks: {default: {link_local_ips: [169.254.169.254]}}", lambda b: "169.254" not in str(b)),
    ("volumes: ['data:/x']", lambda b: _host(b)["Mounts"][0]["Source"] == "pv-data"),
    ("volumes: ['./missing:/x']", lambda b: _host(b)["Mounts"][0]["Type"] == "volume"),
    ("volumes: ['./sub:/x:z']", lambda b: _host(b)["Mounts"][0]["BindOptions"] == {"Propagation": "rprivate"}),
    ("volumes: ['./sub:/x:Z,ro']", lambda b: _host(b)["Mounts"][0]["BindOptions"] == {"Propagation": "rprivate"}),
    ("environment: [CANARY]", lambda b: not any(each.startswith("CANARY=") for each in b["Env"])),
    ("environment: {CANARY: }", lambda b: not any(each.startswith("CANARY=") for each in b["Env"])),
    ("environment: {A: '${CANARY}', B: $CANARY, C: '${CANARY:-none}'}", lambda b: "C=none" in b["Env"]),
    ("environment: {A: '${HOME}', B: '${PATH}'}", lambda b: {"A=", "B="} <= set(b["Env"])),
    ('environment: {A: "x\\nB=y"}', lambda b: not any(each.startswith("B=") for each in b["Env"])),
    ("environment: {DOCKER_HOST: 'unix:///var/run/docker.sock'}", lambda b: "Mounts" not in _host(b)),
    ("ulimits: {nofile: 4096}", lambda b: _host(b)["Ulimits"] == [{"Name": "nofile", "Soft": 4096, "Hard": 4096}]),
    ("user: 'root'", lambda b: _host(b)["SecurityOpt"] == ["no-new-privileges"]),
    ("user: '0:999'", lambda b: "GroupAdd" not in _host(b)),
    ("cap_drop: []", lambda b: {"NET_RAW", "MKNOD"} <= set(_host(b)["CapDrop"])),
    ("security_opt: ['no-new-privileges:true']", lambda b: _host(b)["SecurityOpt"] == ["no-new-privileges"]),
    ("privileged: false", lambda b: _host(b)["Privileged"] is False),
    ("privileged: '${X:-false}'", lambda b: _host(b)["Privileged"] is False),
    ("attach: false", lambda b: "AttachStdout" not in b),
    (
        "develop: {watch: [{action: sync+exec, path: /etc, target: /x, exec: {command: sh}}]}",
        lambda b: "/etc" not in str(b),
    ),
    ("extra_hosts: {metadata: 169.254.169.254}", lambda b: _host(b)["ExtraHosts"] == ["metadata:169.254.169.254"]),
    ("command: ['--privileged', '-v', '/:/host']", lambda b: "Binds" not in _host(b)),
    ("x-anything: {privileged: true}", lambda b: _host(b)["Privileged"] is False),
)
"""Lines of service `a`, and what must hold of its body."""


def neutral() -> Iterator[Case]:
    """Each line by itself, and merged in from elsewhere."""
    for line, holds in NEUTRAL:
        rest = "  b: {image: y, expose: ['80']}\nvolumes: {data: }\n"
        yield case(line, f"services:\n  a:\n    image: x\n    {line}\n{rest}", holds, sub___f="")
        if not line.startswith("x-"):
            merged = f"x-h: &h\n  {line}\nservices:\n  a:\n    <<: *h\n    image: x\n{rest}"
            yield case(f"{line} (merge key)", merged, holds, sub___f="")
