"""Judges a project's tree by the tables of `keys`: one verdict for each key. Pure."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from orchestrator.compose.policy.keys import INSTEAD, TABLES, Rule, Word
from orchestrator.compose.syntax.casts import nearest
from orchestrator.compose.syntax.load import Node
from orchestrator.preview.errors import ComposeError, Place, brief

NOT_YET: Mapping[str, frozenset[str]] = {"service": frozenset({"pre_start"})}
"""Keys that the policy allows and that previewd does not read yet: refused by name, never ignored."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What the policy says to one key of a file, where it says anything but yes."""

    place: Place
    key: str
    word: Word
    message: str
    remedy: str = ""

    @property
    def refused(self) -> bool:
        """Whether the file cannot be used with it."""
        return self.word is Word.DENY


def judge(root: Node) -> Iterator[str]:
    """A note for each key of a project's tree that is left out, capped or decided by previewd.

    Raises ComposeError for the first key that is denied, unknown, or not read yet.
    """
    _refuse_zero_bytes(root)
    for verdict in verdicts(root):
        if verdict.refused:
            raise ComposeError(verdict.place, verdict.message, verdict.remedy)
        yield f"{verdict.place}: {verdict.message}"


def verdicts(node: Node, name: str = "top") -> Iterator[Verdict]:
    """Everything that the table called `name`, and those below it, have to say to the mapping at `node`.

    What is no mapping is passed over here: its reader knows which other forms Compose takes.
    """
    if not isinstance(node.value, dict):
        return
    for key, child in node.value.items():
        if key.startswith("x-"):
            continue
        rule = TABLES[name].get(key)
        if rule is None:
            remedy = nearest(key, TABLES[name]) or "Remove it, or begin it with x-."
            yield _refusal(child, key, brief(f"unknown key `{key}`"), remedy)
        else:
            yield from _verdict(name, key, child, rule)
            yield from _below(child, rule)


def _refuse_zero_bytes(node: Node) -> None:
    """No argument, variable or path can hold one, and what would be cut off there is for nobody to guess."""
    if isinstance(node.value, str) and "\0" in node.value:
        raise ComposeError(node.place, "this holds a zero byte", "Remove the `\\0` from it.")
    if isinstance(node.value, dict):
        for key, child in node.value.items():
            if "\0" in key:
                raise ComposeError(child.place, "this key holds a zero byte", "Remove the `\\0` from it.")
            _refuse_zero_bytes(child)
    elif isinstance(node.value, tuple):
        for child in node.value:
            _refuse_zero_bytes(child)


def _verdict(name: str, key: str, child: Node, rule: Rule) -> Iterator[Verdict]:
    if rule.word is Word.DENY and not _is_off(child, rule):
        yield _refusal(child, key, f"`{key}` is not allowed in a preview: {rule.why}", rule.remedy)
    elif key in NOT_YET.get(name, frozenset()):
        yield _refusal(child, key, f"previewd does not run `{key}` yet", INSTEAD)
    elif rule.word in (Word.STRIP, Word.OWN) and not rule.quiet and not _is_off(child, rule):
        yield Verdict(place=child.place, key=key, word=rule.word, message=f"`{key}` is not used: {rule.why}.")
    elif rule.capped is not None and (taken := _capped(child, rule.capped)):
        message = f"`{key}` is taken as {taken}: {rule.why}."
        yield Verdict(place=child.place, key=key, word=Word.CAP, message=message)


def _below(node: Node, rule: Rule) -> Iterator[Verdict]:
    if not rule.below:
        return
    listed = node.value if isinstance(node.value, tuple) else (node,)
    for item in listed:
        if rule.named and isinstance(item.value, dict):
            for child in item.value.values():
                yield from verdicts(child, rule.below)
        elif not rule.named:
            yield from verdicts(item, rule.below)


def _refusal(child: Node, key: str, message: str, remedy: str) -> Verdict:
    return Verdict(place=child.place, key=key, word=Word.DENY, message=message, remedy=remedy)


def _capped(child: Node, capped: Callable[[Node], str]) -> str:
    try:
        return capped(child)
    except ComposeError:
        return ""  # its reader refuses the value, with a better word for it


def _is_off(child: Node, rule: Rule) -> bool:
    """`privileged: false`, `devices: []`, `cgroup: private` and their like ask for nothing."""
    if isinstance(child.value, str | int) and not isinstance(child.value, bool):
        written = str(child.value)
        return written == "" or written in rule.off or written.lower() in ("false", "no", "off")
    return child.value in (None, False, (), {})
