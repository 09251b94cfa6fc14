"""What a Python repository is: its packages, its web application, how it is installed and started.

Pure: a repository's files come in as a mapping, and nothing of it is ever imported or run. What comes out is a
Dockerfile and a Compose file that people could have written, and may commit: the language, the policy and the build
treat them like any other. `compose.generated` asks for these; the forms of a stack's URLs ask what its code wants.
"""
