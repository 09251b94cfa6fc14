"""The part of GitHub's REST API that previewd uses, with those of its rules that a client can trip over."""
