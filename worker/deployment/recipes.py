"""Derives the recipe of every image that is built here, from git objects alone: no file of a context is read.

The build step makes what the recipes say, and the launch asks which image a service runs. Base images are the one
thing that may have to be fetched: their ids are part of the recipe.
"""

import asyncio
import posixpath
from collections.abc import Mapping, Sequence
from typing import Any

from orchestrator.codebase.dockerfile.certificates import PROXY_ARGS, certified, proxy_args
from orchestrator.codebase.dockerfile.refusals import Refused, judge, judge_triggers
from orchestrator.codebase.dockerfile.rewrite import rewrite
from orchestrator.codebase.dockerfile.stages import base_images, frontends, triggered
from orchestrator.compose.model import Build, Service
from orchestrator.ports.engine import BuildRequest, Image
from orchestrator.ports.sources import BuildContext
from orchestrator.preview.errors import BuildError, ComposeError, OperatorError, TemporaryError
from worker.deployment.deployment import Deployment
from worker.deployment.recipe import ImageInputs, Recipe, is_of_instance, is_reference, keyed, qualified
from worker.deployment.stack import read_stack

INLINE = "dockerfile_inline"
"""What a Dockerfile is called that stands in the Compose file."""
FOLDER = b"FROM scratch\nCOPY . /\n"
"""Makes an image of a folder, which another build then copies from."""
SHORTEST_SECRET = 6
"""Shorter lines of a secret are not blanked: half of the log would be."""

MOST_SECRET_LINES = 5_000
"""Of one build: each line of its output is searched for all of them."""


async def image_of(deployment: Deployment, service: Service) -> str:
    """The reference of the image that a service runs. One that is built here is never called what the file calls it.

    `image: backend:latest` beside `build:` is a name that every preview would share, and overwrite.
    """
    if service.build is None:
        return qualified(service.image or "")
    return (await recipe_of(deployment, service)).reference


async def recipe_of(deployment: Deployment, service: Service, asking: tuple[str, ...] = ()) -> Recipe:
    """How the image of a service with `build` is made. `asking` are the services whose builds need it, outermost first.

    Raises ComposeError and BuildError for what cannot be built, and what pulling a base image raises.
    """
    build = service.build
    if build is None:
        raise ComposeError(service.place, "its image is not built here, so no build can take files from it")
    if service.name in asking:
        circle = " -> ".join((*asking, service.name))
        raise ComposeError(service.place, f"builds take files from each other in a circle: {circle}", "remove one")
    key = repr(build)
    if key not in deployment.recipes:
        deployment.recipes[key] = await _recipe(deployment, service, build, (*asking, service.name))
    return deployment.recipes[key]


async def _recipe(deployment: Deployment, service: Service, build: Build, asking: tuple[str, ...]) -> Recipe:
    text, file = await _dockerfile(deployment, service, build)
    _refuse(judge(text, build.args, file))
    asked = build.additional_contexts
    named = {name: await _named(deployment, service, name, asked[name], asking) for name in asked}
    contexts = {name: recipe.reference for name, recipe in named.items()}
    secrets = await _secrets(deployment, service, build)
    placed = rewrite(
        text,
        args=build.args,
        contexts=contexts,
        cache_scope=_cache_scope(deployment),
        secrets=_secret_ids(deployment, secrets),
        file=file,
    )
    context = await _context(deployment, build)
    inputs = ImageInputs(
        context=context.digest,
        dockerfile=text,
        contexts=contexts,
        bases=await _bases(deployment, service, build, placed, frozenset(contexts.values()), file),
        settings={**_settings(build), "args": dict(build.args)},
        secrets=secrets,
        fresh_for=deployment.commit if _is_fresh(build) else "",
    )
    return Recipe(
        subject=service.name,
        request=await _request(deployment, build, placed, file, inputs),
        context=context,
        first=tuple({recipe.reference: recipe for recipe in named.values()}.values()),
        remarks=_remarks(build),
    )


async def _context(deployment: Deployment, build: Build) -> BuildContext:
    ignored_by = INLINE if build.dockerfile_inline is not None else build.dockerfile
    repository, commit = deployment.pull.repository, deployment.commit
    return await deployment.context.sources.context(repository, commit, build.context, ignored_by)


async def _request(
    deployment: Deployment, build: Build, dockerfile: str, file: str, inputs: ImageInputs
) -> BuildRequest:
    """With the company's settings, which no image's name depends on: it holds none of them."""
    text, certificates = await _with_certificates(deployment, dockerfile, file)
    return BuildRequest(
        tag=_reference(deployment, inputs),
        dockerfile=text.encode(),
        dockerfile_name=file,
        args={**_own_args(build), **_proxies(deployment)},
        secrets={**inputs.secrets, **_by_id(deployment, inputs.secrets)},
        certificates=certificates,
        no_cache=_is_fresh(build),
        cache_from=build.cache_from,
        labels=deployment.names.image_labels(),
        **_settings(build),
    )


def _own_args(build: Build) -> Mapping[str, str]:
    """Without proxies: BuildKit's cache does not go by them, so what came through one would be found without it."""
    return {name: value for name, value in build.args.items() if name not in PROXY_ARGS}


def _is_fresh(build: Build) -> bool:
    return build.no_cache or bool(build.no_cache_filter)


def _settings(build: Build) -> dict[str, Any]:
    return {
        "target": build.target,
        "platform": build.platform,
        "network": build.network,
        "shm_size": build.shm_size,
        "ulimits": {name: (limit.soft, limit.hard) for name, limit in build.ulimits.items()},
    }


def _remarks(build: Build) -> tuple[str, ...]:
    remarks = {
        "`no_cache_filter` is not in the Engine's build API: all stages are built without the cache": bool(
            build.no_cache_filter and not build.no_cache
        ),
        "proxies among `args` are left out: the operator sets them for all builds": any(
            build.args.get(name) for name in PROXY_ARGS
        ),
    }
    return tuple(remark for remark, holds in remarks.items() if holds)


async def _named(deployment: Deployment, service: Service, name: str, of: str, asking: tuple[str, ...]) -> Recipe:
    """The recipe of an additional context: another service's image, or one that holds just a folder."""
    if not of.startswith("service:"):
        return await _folder(deployment, f"{service.name}, context {name}", of)
    stack, _ = await read_stack(deployment)
    other = of.removeprefix("service:")
    if other not in stack.services:
        raise ComposeError(
            service.place,
            f"the build's context `{name}` is the image of `{other}`, which does not start in a preview",
            "activate its profile in .env (COMPOSE_PROFILES), or make the context a folder",
        )
    return await recipe_of(deployment, stack.services[other], asking)


async def _folder(deployment: Deployment, subject: str, folder: str) -> Recipe:
    context = await deployment.context.sources.context(deployment.pull.repository, deployment.commit, folder, INLINE)
    request = BuildRequest(
        tag=_reference(deployment, ImageInputs(context=context.digest, dockerfile=FOLDER.decode())),
        dockerfile=FOLDER,
        dockerfile_name=subject,
        labels=deployment.names.image_labels(),
    )
    return Recipe(subject=subject, request=request, context=context)


async def _dockerfile(deployment: Deployment, service: Service, build: Build) -> tuple[str, str]:
    """Its text, and what people know it by."""
    if build.dockerfile_inline is not None:
        return build.dockerfile_inline, INLINE
    path = posixpath.normpath(posixpath.join(build.context, build.dockerfile))
    found = await deployment.context.sources.read(deployment.pull.repository, deployment.commit, [path])
    if path not in found:
        raise ComposeError(
            service.place, f"there is no {path} in the repository", "add it, or name another as `build.dockerfile`"
        )
    try:
        return found[path].decode(), path
    except UnicodeDecodeError:
        raise BuildError(f"{path} is not UTF-8", "save it as UTF-8") from None


def _refuse(found: Sequence[Refused]) -> None:
    if found:
        more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
        raise BuildError(f"{found[0]}{more}", found[0].remedy)


async def _bases(
    deployment: Deployment, service: Service, build: Build, text: str, own: frozenset[str], file: str
) -> Mapping[str, str]:
    """The ids of the images that the Dockerfile names. `own` are those of its named contexts."""
    settled = {*own, *frontends(text)}
    named = [name for name in base_images(text, build.args, build.target, file) if name not in settled]
    for image in (*named, *build.cache_from):
        refuse_other_previews(deployment, service, qualified(image))
    found = await asyncio.gather(*(_base(deployment, qualified(image), anew=build.pull) for image in named))
    bases = dict(zip(named, found, strict=True))
    for name, base in bases.items():
        _judge_triggers(deployment, service, build, name, base.on_build)
    return {name: base.id for name, base in bases.items()}


def _judge_triggers(
    deployment: Deployment, service: Service, build: Build, image: str, triggers: Sequence[str]
) -> None:
    """What a base image adds by its ONBUILD lines is no less somebody's than the Dockerfile."""
    if not triggers:
        return
    _refuse(judge_triggers(triggers, build.args, image))
    for name in base_images(triggered(triggers), build.args, file=image):
        refuse_other_previews(deployment, service, qualified(name))


async def _base(deployment: Deployment, image: str, *, anew: bool) -> Image:
    engine = deployment.context.engine
    async with deployment.context.build_slots.alone(image):
        found = None if anew else await engine.image(image)
        if found is None:
            found = await pull(deployment, image)
    return found


def refuse_other_previews(deployment: Deployment, service: Service, image: str) -> None:
    """An image of ours is made from somebody else's commit, maybe with what only that preview may see."""
    if not is_reference(image):
        raise ComposeError(
            service.place, f"{image} is not the name of an image", "write it as in `python:3.12`, without an image's id"
        )
    if is_of_instance(deployment.names.instance, image):
        raise ComposeError(
            service.place, f"{image} is an image of another preview", "name an image of a registry, or build one"
        )


async def pull(deployment: Deployment, image: str) -> Image:
    """Pull an image within the time that a build may take. Raises what the Engine raises."""
    await deployment.permit()
    await deployment.journal.say(f"pulling {image}")
    limit = deployment.context.settings.build_seconds
    try:
        async with asyncio.timeout(limit):
            return await deployment.context.engine.pull(image, deployment.journal.say)
    except TimeoutError:
        raise TemporaryError(f"the image {image} was not pulled after {limit:g} s") from None


async def _secrets(deployment: Deployment, service: Service, build: Build) -> Mapping[str, bytes]:
    """What `RUN --mount=type=secret` reads; nothing of it appears in the log from here on."""
    paths = [secret.path for secret in build.secrets if secret.path is not None]
    files = await deployment.context.sources.read(deployment.pull.repository, deployment.commit, paths) if paths else {}
    found: dict[str, bytes] = {}
    for secret in build.secrets:
        if secret.path is not None and secret.path not in files:
            raise ComposeError(service.place, f"`{secret.name}` is to hold {secret.path}, which is no file", "add it")
        found[secret.target] = (secret.content or "").encode() if secret.path is None else files[secret.path]
    if sum(content.count(b"\n") for content in found.values()) > MOST_SECRET_LINES:
        raise ComposeError(
            service.place, f"the secrets of its build have more than {MOST_SECRET_LINES} lines", "give it fewer"
        )
    lines = {line.strip() for content in found.values() for line in content.decode(errors="replace").splitlines()}
    deployment.journal.conceal(line for line in lines if len(line) >= SHORTEST_SECRET)
    return found


def _by_id(deployment: Deployment, secrets: Mapping[str, bytes]) -> Mapping[str, bytes]:
    return {id_: secrets[name] for name, id_ in _secret_ids(deployment, secrets).items()}


def _secret_ids(deployment: Deployment, secrets: Mapping[str, bytes]) -> Mapping[str, str]:
    """Ids that say what the secrets hold, to who has the key: what one secret made is not found in place of another's.

    Else a pull request could leave in BuildKit's cache what its own `pip.conf` installed, for the next one to run.
    """
    key = deployment.context.settings.secret_key[0].get_secret_value().encode()
    return {name: keyed(key, f"{name}\0".encode() + content) for name, content in secrets.items()}


async def _with_certificates(deployment: Deployment, text: str, file: str) -> tuple[str, Mapping[str, bytes]]:
    """The Dockerfile with the company's certificates mounted into its RUN steps, and what is mounted."""
    path = deployment.context.settings.build_ca_file
    if path is None:
        return text, {}
    try:
        bundle = await asyncio.to_thread(path.read_bytes)
    except OSError as error:
        raise OperatorError(
            f"PREVIEWD_BUILD_CA_FILE cannot be read: {error.strerror}", "name a PEM file that the worker may read"
        ) from error
    made = certified(text, bundle, file)
    return made.text, made.secrets


def _proxies(deployment: Deployment) -> Mapping[str, str]:
    settings = deployment.context.settings
    proxy = settings.build_proxy.get_secret_value()
    if not proxy:
        return {}
    deployment.journal.conceal([proxy])
    return proxy_args({"HTTP_PROXY": proxy, "HTTPS_PROXY": proxy, "NO_PROXY": settings.build_no_proxy})


def _cache_scope(deployment: Deployment) -> str:
    """Cache mounts are a repository's own: what one writes there, another one's build would run."""
    return f"{deployment.names.instance}-{deployment.pull.repository}"


def _reference(deployment: Deployment, inputs: ImageInputs) -> str:
    key = deployment.context.settings.secret_key[0].get_secret_value().encode()
    return deployment.names.image(inputs.digest(key))
