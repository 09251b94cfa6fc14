"""The boundaries at which a worker is killed: of a deployment, of a push to a preview that serves, and of a teardown.

Each boundary is a call through one of the worker's ports, so nothing in the product knows of them. Pure.
"""

from dataclasses import dataclass
from enum import StrEnum


class Moment(StrEnum):
    """When a worker dies, seen from one effect."""

    BEFORE = "before"
    """Nothing was done yet."""
    UNRECORDED = "not recorded"
    """It was done, and nothing of ours knows it. Of a write to our own Postgres: right before its COMMIT."""
    RECORDED = "recorded"
    """It was done, and the next write to our own Postgres has come through."""


class Scene(StrEnum):
    """What the worker is at."""

    OPEN = "deploy"
    PUSH = "push"
    CLOSE = "teardown"


@dataclass(frozen=True, slots=True)
class Point:
    """The `nth` call of a port's method. Of port `postgres` it is a statement that begins with these words."""

    scene: Scene
    name: str
    port: str
    method: str
    nth: int = 1

    @property
    def is_of_report(self) -> bool:
        """Whether it belongs to what the forge is told."""
        return self.port == "reports" or self.method.startswith("put_")


def _of(scene: Scene, *points: tuple[str, str, str] | tuple[str, str, str, int]) -> tuple[Point, ...]:
    return tuple(Point(scene, *point) for point in points)


POINTS: tuple[Point, ...] = (
    *_of(
        Scene.OPEN,
        ("take the lease", "store", "claims.acquire"),
        ("ask for the pull request", "forge", "pull"),
        ("ask for the permission", "forge", "permission"),
        ("let it in", "store", "line.let_in"),
        ("open the deployment", "store", "deployments.start"),
        ("token to fetch with", "forge", "clone_token"),
        ("fetch", "sources", "fetch"),
        ("leave the first step", "store", "deployments.leave_step"),
        ("read the stack", "sources", "read"),
        ("note the images", "store", "serving.use_images"),
        ("build", "engine", "build"),
        ("keep the secrets", "store", "keep_secrets"),
        ("create the role", "postgres", "CREATE ROLE"),
        ("create the database", "postgres", "CREATE DATABASE"),
        ("grant", "postgres", "GRANT CONNECT"),
        ("mark the database whole", "postgres", "COMMENT ON DATABASE"),
        ("note the database", "store", "keep_database"),
        ("write the bound files", "sources", "export"),
        ("take a subnet", "store", "subnets.take"),
        ("make the network", "engine", "ensure_network"),
        ("make the volume", "engine", "ensure_volume"),
        ("create the first container", "engine", "create_container"),
        ("create the second container", "engine", "create_container", 2),
        ("start the first container", "engine", "start"),
        ("start the second container", "engine", "start", 2),
        ("show the probe the candidate", "store", "serving.set_candidate"),
        ("probe", "proxy", "GET"),
        ("promote", "store", "serving.promote"),
        ("close the deployment", "store", "deployments.close"),
        ("settle", "store", "settle"),
        ("give the lease back", "store", "release"),
        ("claim the report", "reports", "begin"),
        ("write the comment", "forge", "put_comment"),
        ("set the status", "forge", "put_status"),
        ("announce the deployment", "reports", "deployments"),
        ("make the deployment", "forge", "put_deployment"),
        ("end the report", "reports", "end"),
    ),
    *_of(
        Scene.PUSH,
        ("build", "engine", "build"),
        ("stop the old container", "engine", "stop"),
        ("create the new container", "engine", "create_container"),
        ("start the new container", "engine", "start"),
        ("switch the route", "store", "serving.promote"),
        ("remove the old container", "engine", "remove_container"),
        ("remove the old image", "engine", "remove_image"),
        ("settle", "store", "settle"),
    ),
    *_of(
        Scene.CLOSE,
        ("take the lease", "store", "claims.acquire"),
        ("ask for the pull request", "forge", "pull"),
        ("call it being removed", "store", "advance"),
        ("unroute", "store", "serving.unroute"),
        ("remove the first container", "engine", "remove_container"),
        ("remove the second container", "engine", "remove_container", 2),
        ("remove the network", "engine", "remove_network"),
        ("remove the volume", "engine", "remove_volume"),
        ("lock the role out", "postgres", "ALTER ROLE"),
        ("drop the database", "postgres", "DROP DATABASE"),
        ("drop the role", "postgres", "DROP ROLE"),
        ("remove the image", "engine", "remove_image"),
        ("forget the commits", "sources", "remove"),
        ("free the subnet", "store", "subnets.free"),
        ("call it removed", "store", "advance", 2),
        ("settle", "store", "settle"),
        ("write the comment", "forge", "put_comment"),
        ("end the deployment", "forge", "put_deployment"),
        ("end the report", "reports", "end"),
    ),
)
