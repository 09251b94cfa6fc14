"""What a push does to a stack that runs: what changed is made anew beside the old, the rest stays as it is.

The worker's own steps on the real Engine; the stacks are as small as a stack can be.
"""

import asyncio
import contextlib
import re
import subprocess
from collections.abc import AsyncIterator, Iterator
from datetime import datetime
from typing import Any

import docker
import docker.errors
import pytest
import pytest_asyncio
from pydantic import SecretStr

from orchestrator.preview.errors import LaunchError
from orchestrator.runtime.settings import asyncpg_url
from orchestrator.store.connection import connect
from tests.bench.compose_peer import binary
from tests.support.engine import engine, engine_url
from tests.support.images import BASE_IMAGE
from tests.support.launching import LaunchedPreview, Launcher, launcher
from tests.support.wait import eventually

pytestmark = [pytest.mark.docker, pytest.mark.timeout(120), pytest.mark.asyncio(loop_scope="module")]

FIRST, SECOND = "a" * 40, "b" * 40
SLEEP = "sleep 300"
QUICK = "stop_signal: SIGKILL"
"""What a shell as the first process does not catch, it ignores: these end at once."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def started(module_database_url: str) -> AsyncIterator[Launcher]:
    database = connect(asyncpg_url(SecretStr(module_database_url)))
    async with launcher(database, launch_seconds=30) as made:
        yield made
    await database.dispose()


@pytest_asyncio.fixture(loop_scope="module")
async def preview(started: Launcher) -> AsyncIterator[LaunchedPreview]:
    opened = await started.open()
    try:
        yield opened
    finally:
        await opened.down()


@pytest_asyncio.fixture(loop_scope="module")
async def small(module_database_url: str) -> AsyncIterator[LaunchedPreview]:
    """A preview whose subnets have room for two containers, and for those that follow them."""
    database = connect(asyncpg_url(SecretStr(module_database_url)))
    try:
        async with launcher(database, subnet_prefix=29) as made:
            opened = await made.open()
            try:
                yield opened
            finally:
                await opened.down()
    finally:
        await database.dispose()


def stack(top: str = "", /, **services: str) -> str:
    """Services by the keys that each has beside its image; every one can be stopped at once."""
    written = ""
    for name, text in services.items():
        command = "" if re.search(r"^command:", text, re.MULTILINE) else f"command: {SLEEP}\n"
        keys = f"image: {BASE_IMAGE}\n{QUICK}\n{command}{text}"
        written += f"  {name}:\n" + "".join(f"    {line}\n" for line in keys.splitlines())
    return f"services:\n{written}{top}"


BUILT = "environment: {GIT_SHA: '${GIT_SHA}'}"
"""What makes a service that is built from the repository another one with each push."""
DATA = "volumes: {data: }\n"
FILES = {"data/kept": b"from the repository"}
PLACES = pytest.mark.parametrize("source", ["data", "./data"])
"""Where a store may keep its data: in a volume, and in a folder of the repository's copy."""


def containers(preview: LaunchedPreview) -> dict[str, dict[str, Any]]:
    """By service; several of one service are an error."""
    found = all_containers(preview)
    services = [container["Config"]["Labels"]["com.docker.compose.service"] for container in found]
    assert len(set(services)) == len(services), services
    return dict(zip(services, found, strict=True))


def all_containers(preview: LaunchedPreview) -> list[dict[str, Any]]:
    with engine() as api:
        listed = api.containers(all=True, filters={"label": [f"{k}={v}" for k, v in preview.names.labels().items()]})
        return [found for listing in listed for found in _inspected(api, listing["Id"])]


def _inspected(api: docker.APIClient, container: str) -> Iterator[dict[str, Any]]:
    """Nothing for one that went since it was listed."""
    with contextlib.suppress(docker.errors.NotFound):
        yield api.inspect_container(container)


def networks(preview: LaunchedPreview) -> set[str]:
    with engine() as api:
        listed = api.networks(filters={"label": [f"{k}={v}" for k, v in preview.names.labels().items()]})
    return {found["Labels"]["com.docker.compose.network"] for found in listed}


def run_inside(container: dict[str, Any], *command: str) -> str:
    with engine() as api:
        made = api.exec_create(container["Id"], list(command))
        return str(api.exec_start(made["Id"]).decode())


def when(container: dict[str, Any], what: str) -> datetime:
    return datetime.fromisoformat(container["State"][what])


async def test_only_what_changed_is_made_anew(preview: LaunchedPreview) -> None:
    text = stack(web=BUILT, redis="", tool="command: 'true'")
    await preview.serve(await preview.up(text, FIRST))
    before = containers(preview)
    deployment = await preview.up(text, SECOND)
    assert len(all_containers(preview)) == len(before) + 1, "the new one runs beside the old one"
    await preview.serve(deployment)
    after = containers(preview)
    assert {name for name in after if after[name]["Id"] != before[name]["Id"]} == {"web"}
    assert when(after["tool"], "StartedAt") > when(before["tool"], "StartedAt"), "as `docker compose up` does it"


async def test_a_one_shot_runs_once_for_each_deployment_and_is_waited_for(preview: LaunchedPreview) -> None:
    text = stack(
        DATA,
        web=f"{BUILT}\ndepends_on: {{migrate: {{condition: service_completed_successfully}}}}",
        migrate="command: sh -c 'sleep 0.3; echo ran >> /data/log'\nvolumes: ['data:/data']",
        reader="volumes: ['data:/data:ro']",
    )

    async def runs(commit: str) -> int:
        await preview.up(text, commit)
        with contextlib.suppress(ValueError):
            assert preview.lines.index("migrate: done") < preview.lines.index("web: started")
        reader = next(c for c in all_containers(preview) if "-reader-" in c["Name"])
        return run_inside(reader, "cat", "/data/log").count("ran")

    assert await runs(FIRST) == 1
    assert await runs(FIRST) == 1, "a run that was cut short does not do it twice"
    await preview.serve(await preview.up(text, FIRST))
    assert await runs(SECOND) == 2


async def test_what_left_the_file_goes_and_its_volume_stays(preview: LaunchedPreview) -> None:
    first = stack(f"networks: {{extra: }}\n{DATA}", web=BUILT, old="networks: [extra]\nvolumes: ['data:/data']")
    await preview.serve(await preview.up(first, FIRST))
    run_inside(containers(preview)["old"], "sh", "-c", "echo kept > /data/file")
    assert networks(preview) == {"default", "extra"}

    await preview.serve(await preview.up(stack(web=BUILT), SECOND))
    assert set(containers(preview)) == {"web"}
    assert networks(preview) == {"default"}

    await preview.serve(await preview.up(first, FIRST))
    assert run_inside(containers(preview)["old"], "cat", "/data/file") == "kept\n"


async def test_a_failing_change_leaves_the_old_one_serving(preview: LaunchedPreview) -> None:
    await preview.serve(await preview.up(stack(web=BUILT, db=""), FIRST))
    before = containers(preview)
    with pytest.raises(LaunchError, match=r"web exited with code 3") as raised:
        await preview.up(stack(web="command: sh -c 'echo the last words; exit 3'\nhealthcheck: {test: 'true'}"), SECOND)
    assert raised.value.log_tail == ("the last words",)
    await preview.fail()
    after = containers(preview)
    assert {name: found["State"]["StartedAt"] for name, found in after.items()} == {
        name: found["State"]["StartedAt"] for name, found in before.items()
    }


@PLACES
async def test_two_never_write_to_one_place(preview: LaunchedPreview, source: str) -> None:
    changing = f"volumes: ['{source}:/data']\nenvironment: {{V: '${{GIT_SHA}}'}}"
    text = stack(DATA, db=changing, reader=f"volumes: ['{source}:/in:ro']")
    await preview.serve(await preview.up(text, FIRST, FILES))
    reader = containers(preview)["reader"]
    deployment = await preview.up(text, SECOND, FILES)
    found = {c["Name"]: c for c in all_containers(preview) if "-db-" in c["Name"]}
    old, new = sorted(found.values(), key=lambda container: when(container, "StartedAt"))
    assert not old["State"]["Running"]
    assert when(old, "StartedAt") < when(old, "FinishedAt") <= when(new, "StartedAt")
    await preview.serve(deployment)
    assert containers(preview)["db"]["Id"] == new["Id"]
    assert containers(preview)["reader"]["State"]["StartedAt"] == reader["State"]["StartedAt"]


@PLACES
async def test_a_place_is_given_back_when_the_new_one_fails(preview: LaunchedPreview, source: str) -> None:
    volumes = f"volumes: ['{source}:/data']"
    await preview.serve(await preview.up(stack(DATA, db=volumes, init=f"command: 'true'\n{volumes}"), FIRST, FILES))
    before = containers(preview)
    broken = f"command: sh -c 'sleep 0.2; exit 3'\n{volumes}\nhealthcheck: {{test: 'false'}}"
    with pytest.raises(LaunchError, match="code 3"):
        await preview.up(stack(DATA, db=broken), SECOND, FILES)
    await preview.fail()
    after = containers(preview)
    assert {name: found["Id"] for name, found in after.items()} == {name: f["Id"] for name, f in before.items()}
    assert after["db"]["State"]["Running"]
    assert when(after["db"], "StartedAt") > when(before["db"], "StartedAt")
    assert after["init"]["State"] == before["init"]["State"], "what had ended by itself is left alone"


async def test_files_count_by_their_content(preview: LaunchedPreview) -> None:
    text = stack(
        "secrets: {token: {file: token.txt}}\n",
        web="volumes: ['./conf:/conf:ro']",
        other="secrets: [token]",
        outer="volumes: ['./data:/data', './data/in:/in']",
    )
    files = {"conf/a": b"1", "token.txt": b"t", "data/in/b": b"1"}
    await preview.serve(await preview.up(text, FIRST, files))
    before = containers(preview)
    apart = run_inside(before["outer"], "sh", "-c", "echo 2 > /in/c; cat /in/c; ls /data/in")
    assert apart == "2\nb\n", "no bound path lies in another one's copy, where a container could plant a link"

    await preview.serve(await preview.up(text, SECOND, files))
    assert {c["Id"] for c in containers(preview).values()} == {c["Id"] for c in before.values()}, (
        "a commit is no change"
    )

    await preview.serve(await preview.up(text, "c" * 40, {**files, "conf/a": b"2"}))
    changed = containers(preview)
    assert {name for name in changed if changed[name]["Id"] != before[name]["Id"]} == {"web"}
    assert run_inside(changed["web"], "cat", "/conf/a") == "2"

    await preview.serve(await preview.up(text, "d" * 40, {**files, "conf/a": b"2", "token.txt": b"u"}))
    assert run_inside(containers(preview)["other"], "cat", "/run/secrets/token") == "u"


async def test_who_shares_or_restarts_with_a_changed_service_changes_too(preview: LaunchedPreview) -> None:
    text = stack(
        web=BUILT,
        side="network_mode: service:web",
        after="depends_on: {web: {condition: service_started, restart: true}}",
        free="depends_on: [web]",
    )
    await preview.serve(await preview.up(text, FIRST))
    before = containers(preview)
    await preview.serve(await preview.up(text, SECOND))
    after = containers(preview)
    assert {name for name in after if after[name]["Id"] != before[name]["Id"]} == {"web", "side", "after"}
    assert after["side"]["HostConfig"]["NetworkMode"] == f"container:{after['web']['Id']}"


async def test_fewer_and_more_replicas(preview: LaunchedPreview) -> None:
    await preview.serve(await preview.up(stack(worker="scale: 3"), FIRST))
    three = {container["Name"] for container in all_containers(preview)}
    await preview.serve(await preview.up(stack(worker="scale: 2"), SECOND))
    two = {container["Name"] for container in all_containers(preview)}
    assert len(two) == 2
    assert two < three


async def test_a_killed_run_is_taken_up_where_it_was(preview: LaunchedPreview) -> None:
    text = stack(
        f"networks: {{a: , b: }}\n{DATA}",
        web="networks: [a, b]\ndepends_on: {db: {condition: service_healthy}}",
        db="networks: [a]\nvolumes: ['data:/data']\nhealthcheck: {test: test -e /tmp/well, interval: 1s}",
    )
    going = asyncio.create_task(preview.up(text, FIRST))

    async def half_way() -> bool:
        found = await asyncio.to_thread(all_containers, preview)
        return len(found) == 2 and any(container["State"]["Running"] for container in found)

    await eventually(half_way, "both containers are made, and one runs")
    going.cancel()
    await asyncio.gather(going, return_exceptions=True)
    before = containers(preview)
    run_inside(before["db"], "touch", "/tmp/well")
    await preview.serve(await preview.up(text, FIRST))
    after = containers(preview)
    assert {c["Id"] for c in after.values()} == {c["Id"] for c in before.values()}
    assert all(container["State"]["Running"] for container in after.values())


async def test_a_service_waits_for_its_own_dependencies_only(preview: LaunchedPreview) -> None:
    """`slow` gets well when the others run: were they to wait for it, nothing would ever happen."""
    sees_both = "timeout 1 getent hosts free && timeout 1 getent hosts last"
    await preview.up(
        stack(
            slow=f"healthcheck: {{test: {sees_both}, interval: 1s, retries: 30}}",
            patient="depends_on: {slow: {condition: service_healthy}}",
            free="",
            done="command: 'true'",
            last="depends_on: {done: {condition: service_completed_successfully}}",
        )
    )
    order = preview.lines.index
    assert order("slow: healthy") < order("patient: started")
    assert order("done: done") < order("last: started")


async def test_what_nobody_requires_may_fail(preview: LaunchedPreview) -> None:
    await preview.up(
        stack(
            web="depends_on: {cache: {condition: service_healthy, required: false}}",
            cache="command: sh -c 'exit 1'\nhealthcheck: {test: 'false'}",
        )
    )
    assert containers(preview)["web"]["State"]["Running"]
    assert any(line.startswith("cache: service cache exited with code 1") for line in preview.lines)


async def test_a_one_shot_that_fails_is_the_stacks_failure(preview: LaunchedPreview) -> None:
    with pytest.raises(LaunchError, match="migrate exited with code 2"):
        await preview.up(
            stack(
                web="depends_on: {migrate: {condition: service_completed_successfully}}",
                migrate="command: sh -c 'exit 2'",
            )
        )
    assert not containers(preview)["web"]["State"]["Running"]


@pytest.mark.parametrize("test", ["'false'", "sleep 100"])
async def test_a_test_that_never_passes_is_unhealthy_when_the_engine_would_say_so(
    preview: LaunchedPreview, test: str
) -> None:
    with pytest.raises(LaunchError, match="web is unhealthy: 2 tests failed"):
        await preview.up(stack(web=f"healthcheck: {{test: {test}, interval: 1s, timeout: 1s, retries: 2}}"))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("user: nosuch", "unable to find user nosuch"),
        ("user: '1000:nosuch'", "unable to find group nosuch"),
        ("working_dir: /etc/passwd", "/etc/passwd is not a directory"),
        ("volumes: ['./data:/etc/passwd']", 'mounting "data"'),
        ("command: /no/such/program", "/no/such/program"),
        (
            "network_mode: service:short\ndepends_on: {short: {condition: service_completed_successfully}}",
            "non running",
        ),
    ],
)
async def test_what_the_engine_does_not_take_names_the_place(preview: LaunchedPreview, text: str, words: str) -> None:
    others = {"short": "command: 'true'"} if "short" in text else {}
    with pytest.raises(LaunchError, match=r"^compose\.yaml:3:5 services\.web: ") as raised:
        await preview.up(stack(web=text, **others), FIRST, FILES)
    assert words in raised.value.message
    hidden = (str(preview.launcher.context.settings.data_dir), "/var/lib/docker")
    assert not any(path in raised.value.message for path in hidden)


async def test_waiting_for_the_health_of_what_has_no_test(preview: LaunchedPreview) -> None:
    with pytest.raises(LaunchError, match="it has no healthcheck"):
        await preview.up(stack(web="depends_on: {db: {condition: service_healthy}}", db=""))
    assert all(not container["State"]["Running"] for container in all_containers(preview))


async def test_commands_after_the_start(preview: LaunchedPreview) -> None:
    await preview.up(
        stack(web="post_start: [{command: [sh, -c, 'echo $$WHO > /hooked'], user: root, environment: {WHO: ada}}]")
    )
    assert run_inside(containers(preview)["web"], "cat", "/hooked") == "ada\n"
    with pytest.raises(LaunchError, match=r"web has a `post_start` command .* that exited with code 4"):
        await preview.up(stack(web="post_start: [{command: [sh, -c, 'exit 4']}]"))


async def test_commands_after_the_start_are_made_up_for_when_a_run_was_cut_short(preview: LaunchedPreview) -> None:
    hook = "volumes: ['data:/data']\npost_start: [{command: [sh, -c, 'test -e /data/go && echo ran >> /data/log']}]"
    text = stack(DATA, web=hook, side="network_mode: service:web", other="volumes: ['data:/data']")
    with pytest.raises(LaunchError, match="post_start"):
        await preview.up(text)
    run_inside(containers(preview)["other"], "touch", "/data/go")
    await preview.serve(await preview.up(text))
    found = containers(preview)
    assert found["side"]["HostConfig"]["NetworkMode"] == f"container:{found['web']['Id']}"
    await preview.up(text, SECOND)
    assert run_inside(found["web"], "cat", "/data/log") == "ran\n", "what serves has had them"


async def test_links_that_a_container_left_in_a_copy_lead_nowhere(preview: LaunchedPreview) -> None:
    canary = preview.launcher.context.settings.data_dir / "canary"
    canary.mkdir()
    (canary / "file").write_text("untouched")
    plant = f"for name in link in conf; do rm -rf /d/$$name; ln -s {canary} /d/$$name; done"
    files = {"data/in/kept": b"", "data/conf": b"", "more/kept": b"", "conf": b""}
    await preview.serve(await preview.up(stack(web="volumes: ['./data:/d']"), FIRST, files))
    run_inside(containers(preview)["web"], "sh", "-c", plant.replace("$$", "$"))

    read = "cat /d/link/file /d/in/file /d/conf/file"
    writing = "for name in link in conf; do echo touched > /d/$$name/file; rm -rf /d/$$name/*; done; sleep 300"
    mounts = "volumes: ['./data:/d', './more:/d/in', './conf:/d/conf/file']"
    with contextlib.suppress(LaunchError):
        await preview.serve(await preview.up(stack(web=f"command: sh -c '{writing}'\n{mounts}"), SECOND, files))
        assert "untouched" not in run_inside(containers(preview)["web"], "sh", "-c", read)
    await preview.serve(await preview.up(stack(web="volumes: ['./data:/d']"), FIRST, files))
    assert "untouched" not in run_inside(containers(preview)["web"], "sh", "-c", read)
    await preview.down()
    assert [found.name for found in canary.iterdir()] == ["file"]
    assert (canary / "file").read_text() == "untouched"


async def test_commands_before_a_newer_container_takes_the_place(preview: LaunchedPreview) -> None:
    def hooked(word: str) -> str:
        return f"volumes: ['data:/data']\npre_stop: [{{command: [sh, -c, 'echo {word} >> /data/log'], user: root}}]"

    def log() -> str:
        return run_inside(containers(preview)["reader"], "cat", "/data/log")

    reader = "volumes: ['data:/data:ro']"
    await preview.serve(await preview.up(stack(DATA, web=hooked("first"), reader=reader), FIRST))
    await preview.serve(await preview.up(stack(DATA, web=hooked("second"), reader=reader), SECOND))
    assert log() == "first\n", "the older one left the volume to the newer one"
    await preview.serve(await preview.up(stack(DATA, web="", reader=reader), FIRST))
    assert log() == "first\nsecond\n", "the older one was removed"
    await preview.up(stack(DATA, web=hooked("never"), reader=reader), SECOND)
    await preview.fail()
    assert log() == "first\nsecond\n", "what failed ends at once"


async def test_what_several_take_the_place_of_is_stopped_once(preview: LaunchedPreview) -> None:
    hook = "pre_stop: [{command: [sh, -c, 'echo stopped >> /data/log; sleep 0.3'], user: root}]"
    changing = f"environment: {{V: '${{GIT_SHA}}'}}\nvolumes: ['data:/data']\n{hook}"
    text = stack(DATA, web=changing, worker=changing, reader="volumes: ['data:/data:ro']")
    await preview.serve(await preview.up(text, FIRST))
    await preview.serve(await preview.up(text, SECOND))
    assert run_inside(containers(preview)["reader"], "cat", "/data/log") == "stopped\n" * 2


async def test_a_stack_that_outgrows_its_subnet_moves_to_a_larger_one(small: LaunchedPreview) -> None:
    store, usual, extra = small.launcher.context.store, small.names.network(), small.names.network("extra")
    first = stack("networks: {extra: }\n", web="networks: [default, extra]")
    await small.serve(await small.up(first, FIRST))
    assert await store.subnets.of(extra) is not None
    await small.serve(await small.up(stack(web="scale: 3"), SECOND))
    assert len(all_containers(small)) == 3
    larger = await store.subnets.of(f"{usual}-28")
    assert larger is not None
    assert larger.prefixlen == 28
    assert [await store.subnets.of(left) for left in (usual, extra)] == [None, None]
    with engine() as api:
        assert [network["Name"] for network in api.networks(names=[usual])] == [f"{usual}-28"]


async def test_what_is_restarted_is_not_dead(preview: LaunchedPreview) -> None:
    crashes_once = "command: sh -c 'test -e /data/f && exec sleep 300; touch /data/f; exit 1'"
    text = f"{crashes_once}\nrestart: always\nvolumes: ['data:/data']\nhealthcheck: {{test: test -e /data/f}}"
    await preview.up(stack(DATA, web=text))
    assert containers(preview)["web"]["State"]["Running"]


async def test_names_resolve_in_each_network_and_in_no_other(preview: LaunchedPreview) -> None:
    await preview.up(
        stack(
            "networks: {front: , back: {internal: true}}\n",
            web="networks: [front, back]\nlinks: ['db:linked']",
            db="networks: {back: {aliases: [store]}}",
            twins="networks: [front]\nscale: 2",
        )
    )
    found = {c["Config"]["Labels"]["com.docker.compose.service"]: c for c in all_containers(preview)}
    for name in ("db", "store", "linked", "twins"):
        assert run_inside(found["web"], "getent", "hosts", name), name
    assert not run_inside(found["db"], "timeout", "1", "getent", "hosts", "twins"), "it is in another network"
    assert len(run_inside(found["web"], "getent", "ahostsv4", "twins").split("STREAM")) == 3
    with engine() as api:
        inside = {name: api.inspect_network(name)["Internal"] for name in found["web"]["NetworkSettings"]["Networks"]}
    assert inside == {preview.names.network("front"): False, preview.names.network("back", internal=True): True}


async def test_the_compose_program_lists_a_preview_as_a_project(preview: LaunchedPreview) -> None:
    await preview.serve(await preview.up(stack(web="command: sh -c 'echo a line; sleep 300'", job="command: 'true'")))

    def compose(*arguments: str) -> str:
        command = [str(binary()), "--project-name", preview.names.project, *arguments]
        done = subprocess.run(
            command, env={"DOCKER_HOST": engine_url()}, capture_output=True, text=True, check=False, timeout=30
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    listed = compose("ps", "--all", "--format", "{{.Service}} {{.State}} {{.ExitCode}}").splitlines()
    assert sorted(listed) == ["job exited 0", "web running 0"]
    assert "a line" in compose("logs", "web")
    (project,) = [line.split() for line in compose("ls", "--all").splitlines() if preview.names.project in line]
    assert project[1:3] == ["exited(1),", "running(1)"] or project[1] == "running(1)"
