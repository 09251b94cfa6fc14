"""A pull request of one of the team, as GitHub describes it: tests change what they are about."""

from orchestrator.preview.trust import Pull

PULL = Pull(
    repository=812,
    repository_name="acme/shop",
    clone_url="https://github.example/acme/shop.git",
    number=7,
    open=True,
    draft=False,
    title="A change",
    author="ada",
    author_is_bot=False,
    head_commit="a" * 40,
    head_branch="feature",
    head_repository=812,
    base_branch="main",
)
