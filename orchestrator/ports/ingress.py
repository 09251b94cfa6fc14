"""How Caddy and our router speak about a request: the router, the proxy and the probe agree on these words. Pure."""

import hashlib
import hmac

ROUTE_PATH = "/route"
"""Where Caddy asks the router, once per request."""

UPSTREAM_HEADER = "X-Preview-Upstream"
"""In the router's answer: address and port of the container."""

COMMIT_HEADER = "X-Previewd-Commit"
"""In the router's answer, and from there in the preview's: the commit that answered."""

PROBE_HEADER = "X-Previewd-Probe"
"""In our own probes: leads to a commit that does not serve yet. The preview never sees it."""

ROUTE_HEADER = "X-Previewd-Route"
"""In a question of ours that is for the router itself: where would it lead? No application hears of it."""

ROUTE_STATUS = 421
"""With this the router answers such a question. Caddy hands back whatever is not 2xx, headers included."""


def route_token(key: str, host: str) -> str:
    """What shows that a question about `host` is ours: nobody else is told where containers are."""
    return hmac.new(key.encode(), f"route\0{host}".encode(), hashlib.sha256).hexdigest()
