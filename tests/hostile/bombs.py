"""Files that are made to be expensive: small ones that mean much work, and large ones."""

from collections.abc import Iterator

from tests.hostile.cases import Case, case

SERVICE = "services: {a: {image: x}}\n"


def bombs() -> Iterator[Case]:
    """All of them."""
    yield from _yaml()
    yield from _forms()
    yield from _values()
    yield from _chains()


def _yaml() -> Iterator[Case]:
    """What costs while YAML is read."""
    laughs = "".join(f"x-{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 10))
    yield case("aliases that double", f"x-0: &a0 [x, x]\n{laughs}{SERVICE}")
    maps = "".join(f"x-{n}: &m{n} {{{', '.join(f'k{i}: *m{n - 1}' for i in range(10))}}}\n" for n in range(1, 10))
    yield case("aliases in mappings", f"x-0: &m0 {{k: v}}\n{maps}{SERVICE}")
    merges = "".join(f"x-{n}: &g{n} {{<<: [{', '.join([f'*g{n - 1}'] * 9)}], k{n}: v}}\n" for n in range(1, 12))
    yield case(
        "merge keys", f"x-0: &g0 {{k: v}}\n{merges}services: {{a: {{image: x, labels: *g11, privileged: true}}}}\n"
    )
    yield case("an alias of itself", "services: &s {a: {image: x, labels: *s}}\n")
    yield case("brackets", f"x-a: {'[' * 20_000}\n{SERVICE}")
    yield case("braces", f"x-a: {'{a: ' * 20_000}\n{SERVICE}")
    yield case("indentation", "".join(f"{' ' * n}a:\n" for n in range(500)) + SERVICE)
    yield case("a large scalar", f"x-a: '{'x' * 300_000}'\n{SERVICE}")
    yield case(
        "many keys", "".join(f"x-{n}: {n}\n" for n in range(19_000)) + "services: {a: {image: x, privileged: true}}\n"
    )
    yield case("many services", "services:\n" + "".join(f"  s{n}: {{image: x}}\n" for n in range(5_000)))
    yield case("many items", f"x-a: [{'x,' * 100_000}]\n{SERVICE}")


def _forms() -> Iterator[Case]:
    """What is no Compose file."""
    yield case("a zero byte", "services: {a: {image: x}}\nx-a: \x00\n")
    yield Case(name="bytes that are no text", files={"compose.yaml": b"\xff\xfe\x00\xd8" * 100})
    yield Case(name="nothing", files={"compose.yaml": b""})
    yield case("two documents", f"{SERVICE}---\n{SERVICE}")
    yield case("an object of Python", "services: !!python/object/apply:os.system ['touch /tmp/x']\n")
    yield case("a tag of ours", "services: {a: !evil {image: x}}\n")
    yield case("a key twice", "services: {a: {image: x, privileged: false, privileged: true}}\n")
    yield case("a key that is a mapping", "services: {{a: b}: {image: x}}\n")
    yield case("no services but a list", "services: [a, b]\n")
    yield case("a list at the top", "[services]\n")


def _values() -> Iterator[Case]:
    """What costs where single values are read."""
    nested = "${A:-" * 2_000 + "x" + "}" * 2_000
    yield case("defaults in defaults", f"services: {{a: {{image: '{nested}'}}}}\n")
    wide = "${A:-" + "${B:-" * 30 + "x" * 2_000 + "}" * 30 + "}"
    yield case("an unclosed variable", f"services: {{a: {{image: '{wide[:-1]}'}}}}\n")
    yield case("many open braces", f"services: {{a: {{image: '{'${A:-' * 20_000}'}}}}\n")
    doubling = "V0=xxxxxxxxxxxxxxxx\n" + "".join(f"V{n}=$V{n - 1}$V{n - 1}$V{n - 1}$V{n - 1}\n" for n in range(1, 40))
    yield case("variables that double", "services: {a: {image: x, environment: {A: $V39}}}\n", __env=doubling)
    grown = "${V9}" * 5_000
    nine = "V9=" + "x" * 60_000 + "\n"
    yield case("a value that grows", f"services: {{a: {{image: x, environment: {{A: '{grown}'}}}}}}\n", __env=nine)
    yield case("a long duration", f"services: {{a: {{image: x, stop_grace_period: '{'1h' * 50_000}x'}}}}\n")
    yield case("a long size", f"services: {{a: {{image: x, shm_size: '{'9' * 100_000}q'}}}}\n")
    yield case("a long number", f"services: {{a: {{image: x, cpus: '{'9' * 100_000}'}}}}\n")
    yield case("a long name", f"services: {{a: {{image: '{'a/' * 50_000}!'}}}}\n")
    yield case("a long port", f"services: {{a: {{image: x, ports: ['{'1' * 100_000}']}}}}\n")
    yield case("a range of ports", "services: {a: {image: x, ports: ['1-65535:1-65535']}}\n")
    yield case("open quotes", f'services: {{a: {{image: x, command: "{"(" * 50_000}"}}}}\n')
    wide = "${A:-" * 30 + "x" * 200_000 + "}" * 30
    yield case("a long value in defaults", f"services: {{a: {{image: x, command: '{wide}'}}}}\n")
    yield case("many variables", f"services: {{a: {{image: x, command: '{'$A' * 100_000}'}}}}\n")
    ranges = ",".join(f"{first}-{first + 999}" for first in range(1, 60_000, 7))
    yield case("many ranges of ports", f"services: {{a: {{image: x, ports: [{ranges}]}}}}\n")
    yield case("a large .env", f"{SERVICE}", __env="A=" + "x" * 3_000_000)
    yield case("a command of many words", f"services: {{a: {{image: x, command: '{'a ' * 100_000}'}}}}\n")
    yield case("a zero byte in an argument", 'services: {a: {image: x, command: ["a\\0b"]}}\n')
    yield case("a zero byte in a variable", 'services: {a: {image: x, environment: {A: "a\\0b"}}}\n')
    yield case("a zero byte in a variable's name", 'services: {a: {image: x, environment: {"A\\0": b}}}\n')


def _chains() -> Iterator[Case]:
    """What leads from one place to the next, without end."""
    yield case("a circle", "services: {a: {image: x, depends_on: [b]}, b: {image: x, depends_on: [a]}}\n")
    yield case("itself", "services: {a: {image: x, depends_on: [a]}}\n")
    yield case("extends in a circle", "services: {a: {extends: b}, b: {extends: a}}\n")
    yield case(
        "includes in a circle", "include: [b.yaml]\nservices: {a: {image: x}}\n", b__yaml="include: [compose.yaml]\n"
    )
    deep = {f"f{n}__yaml": f"services: {{a: {{extends: {{file: f{n + 1}.yaml, service: a}}}}}}\n" for n in range(60)}
    yield case("a long chain", "services: {a: {extends: {file: f0.yaml, service: a}}}\n", **deep)
    fan = {f"f{n}__yaml": f"include: [{', '.join([f'f{n + 1}.yaml'] * 9)}]\n" for n in range(20)}
    yield case("includes that double", "include: [f0.yaml]\nservices: {a: {image: x}}\n", **fan)
