"""The Compose language: from files to a tree, judged, to a stack, to the requests that the Engine gets.

Callers hand in a mapping of repository paths to bytes and a mapping of variables; they get a typed `Stack` back,
or a `ComposeError` that names file, line, column and path. Nothing here reads a file, the process's environment
or a socket.

Language and policy are apart: `project` reads what the files say, `policy` judges it key by key, and `engine.allowlist`
judges the finished request once more, whatever way led to it.
"""
