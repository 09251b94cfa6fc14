"""How Caddy and our router speak about a request: the router, the proxy and the probe agree on these words. Pure."""

ROUTE_PATH = "/route"
"""Where Caddy asks the router, once per request."""

UPSTREAM_HEADER = "X-Preview-Upstream"
"""In the router's answer: address and port of the container."""

COMMIT_HEADER = "X-Previewd-Commit"
"""In the router's answer, and from there in the preview's: the commit that answered."""

PROBE_HEADER = "X-Previewd-Probe"
"""In our own probes: leads to a commit that does not serve yet. The preview never sees it."""
