"""Tells Caddy which container answers a host, and has pages for hosts that none answers."""
