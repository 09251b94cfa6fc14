"""A stand-in for GitHub, for tests and the demo: see `Forge`, and `Deliverer` for the way to a webhook."""

from tests.forge.deliveries import ContentType, Deliverer, Delivery
from tests.forge.forge import Forge
from tests.forge.gate import RecordedRequest
from tests.forge.state import PullRequest, Repository

__all__ = ["ContentType", "Deliverer", "Delivery", "Forge", "PullRequest", "RecordedRequest", "Repository"]
