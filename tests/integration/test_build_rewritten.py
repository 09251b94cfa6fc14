"""Dockerfiles into which something was put, on the real Engine: certificates, contexts, caches and secrets."""

from orchestrator.adapters.engine.engine import DockerEngine
from orchestrator.codebase.dockerfile import certified, rewrite
from tests.integration.dockerfiles import BASE
from tests.integration.test_build import Build, Labels, engine, labels, pytestmark
from tests.support.docker import unique

__all__ = ["engine", "labels", "pytestmark"]

TAKES_ALL = f"""\
{BASE}
COPY --from=words /word /word
RUN --mount=type=cache,target=/kept cat /word; ls /kept; cat /etc/xdg/pip/pip.conf; touch /kept/mine
USER nobody
RUN tail -n 1 /etc/ssl/certs/ca-certificates.crt
"""


async def test_what_is_put_in_is_seen_by_the_steps_and_is_in_no_image(engine: DockerEngine, labels: Labels) -> None:
    company, word = unique("company"), unique("word")
    words, first, other, after = (Build(engine, labels) for _ in range(4))
    await words.run(f"{BASE}RUN echo {word} > /word\n")
    for one, scope in ((first, "one"), (other, "other")):
        placed = rewrite(TAKES_ALL, contexts={"words": words.tag}, cache_scope=f"{company}-{scope}")
        made = certified(placed, f"certificate of {company}\n".encode())
        await one.run(made.text, certificates=made.secrets)
        assert {word, f"certificate of {company}"} <= set(one.printed), "\n".join(one.lines)
        assert one.said("cert = /run/secrets/previewd-ca-bundle"), "\n".join(one.lines)
        assert "mine" not in one.printed, "a scope has a cache of its own"
    holds_none = f"! grep -rqs 'of {company}' /etc /run /root /tmp && test ! -s /etc/xdg/pip/pip.conf"
    await after.run(f"FROM {first.tag}\nUSER root\nRUN {holds_none}\n")


async def test_what_one_secret_made_is_not_in_the_cache_for_another(engine: DockerEngine, labels: Labels) -> None:
    text = f"{BASE}RUN --mount=type=secret,id=s wc -c /run/secrets/s; : {unique('x')}\n"
    for secret, again in ((b"mine", False), (b"theirs", False), (b"mine", True)):
        build, name = Build(engine, labels), f"s-{secret.decode()}"
        await build.run(rewrite(text, secrets={"s": name}), secrets={name: secret})
        assert build.cached("RUN --mount") == again, build.lines
