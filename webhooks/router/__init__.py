"""Tells Caddy which container answers a host, and has pages for hosts that none answers.

It is a part of the web process, on a port of its own, and answers from memory that Postgres' notifications keep true:
one more process would cost more memory than it saves.
"""
