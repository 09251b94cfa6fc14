"""The cases in which previewd and Compose may differ, by their names in `cases`, each with the reason.

A case that stands here and no longer differs fails the test: the list cannot outlive its reasons.
"""

from collections.abc import Mapping

EXCEPTIONS: Mapping[str, str] = {
    "keys without a form: pid:": "Compose 5.6.1 panics on a `pid` without a value; the specification allows it.",
    "build: build: {context: ., ssh: [default, 'k=/path']}": "Compose 5.6.1 cannot print `ssh` as JSON.",
    "names and values: env_file: missing.env": (
        "Contract: an env_file that the repository does not hold is a warning, since people keep it on their machines."
    ),
    "volumes: volumes: [{type: odd, target: /b}, './here:/b']": (
        "Compose never looks at a mount whose target a later one takes; we read it, and refuse what is wrong in it."
    ),
    "ports: ports: ['8000:80', {target: 80, published: 8000}]": (
        "Compose prints one port twice when it is written once short and once long; we print it once."
    ),
    "merge: extra_hosts same": "Compose prints one address twice when the files write it with `:` and `=`.",
    "merge: two documents": "Asked for: one file is one document. Compose merges the documents of a file.",
    "extends: unknown key": "Compose ignores a misspelt key of `extends`; we refuse it and name the nearest.",
    "include: unknown key": "Compose ignores a misspelt key of `include`; we refuse it and name the nearest.",
}
