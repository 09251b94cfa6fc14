"""One word for every key of the language, and one grammar for its values.

`keys` is the table of words, and `judge` applies it to a project's tree; `values` is the grammar. The last look at a
finished request is in `orchestrator/compose/engine/allowlist.py`.
"""
