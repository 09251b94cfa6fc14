"""Takes the secrets that a build was given out of what it says. Pure.

A secret is found as it is, in base64 at any place of a longer text, and by each of its lines: a log is made of lines.
"""

import base64
from collections.abc import Iterable, Iterator

HIDDEN = "[hidden]"
HEAD_LENGTH = 6
"""Characters by which the forms are looked up."""
SHORTEST_LINE = 4
"""Shorter lines of a longer secret, such as braces, are in every text."""
SHORTEST_ENCODED = 6
"""What base64 makes of less is in every text by chance."""


class Redaction:
    """Blanks these secrets, in a time that hardly depends on how many they are."""

    def __init__(self, secrets: Iterable[bytes]) -> None:
        forms = {form for secret in secrets for form in _forms(secret)}
        self.longest = max(map(len, forms), default=0)
        """Characters that the longest form has: what a text must keep back that ends before it is whole."""
        self._head = min([HEAD_LENGTH, *map(len, forms)])
        self._by_head: dict[str, list[str]] = {}
        for form in sorted(forms, key=len, reverse=True):
            self._by_head.setdefault(form[: self._head], []).append(form)

    def __call__(self, text: str) -> str:
        if not self._by_head:
            return text
        shown: list[str] = []
        at = kept = 0
        while at < len(text):
            form = self._form(text, at)
            if form:
                shown += [text[kept:at], HIDDEN]
                kept = at + len(form)
            at += len(form) or 1
        return "".join([*shown, text[kept:]])

    def _form(self, text: str, at: int) -> str:
        """The longest form that stands at a place of the text; empty if none does."""
        forms = self._by_head.get(text[at : at + self._head])
        return next((form for form in forms if text.startswith(form, at)), "") if forms else ""


def _forms(secret: bytes) -> Iterator[str]:
    value = secret.strip()
    lines = [line.strip() for line in value.splitlines()]
    for part in (value, *(line for line in lines if len(line) >= SHORTEST_LINE)):
        if part:
            yield part.decode(errors="replace")
        if len(part) >= SHORTEST_ENCODED:
            yield from _encoded(part)


def _encoded(value: bytes) -> Iterator[str]:
    """Base64 has three forms of a text, by its place in what is encoded; the ends depend on the neighbours."""
    for before in range(3):
        whole = base64.b64encode(b"\0" * before + value).decode().rstrip("=")
        first, last = -(-before * 8 // 6), (before + len(value)) * 8 // 6
        yield whole[first:last]
        yield whole[first:last].replace("+", "-").replace("/", "_")
