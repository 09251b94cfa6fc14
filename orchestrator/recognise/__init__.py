"""A Python application without a Dockerfile or Compose file: what it is, and the files that it lacks, as text.

Pure: a repository's files come in as a mapping, and nothing of it is ever imported or run. What comes out is a
Dockerfile and a Compose file that people could have written, and may commit: the language, the policy and the build
treat them like any other. The worker and `previewd check` call `missing`; nobody else reads the parts.
"""
