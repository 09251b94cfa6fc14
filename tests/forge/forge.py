"""The GitHub stand-in: a real server for git, REST and webhooks, and the hands that act in it as people would."""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from fastapi import FastAPI

from tests.forge.deliveries import ContentType, Delivery
from tests.forge.events import (
    comment_event,
    installation_event,
    ping_event,
    pull_request_event,
    renamed_event,
    repositories_removed_event,
)
from tests.forge.faults import Fault, Faults, outage, primary_limit, secondary_limit
from tests.forge.gate import Gate, RecordedRequest
from tests.forge.git import BareRepository, Changes, read_tree
from tests.forge.git_http import git_routes
from tests.forge.payloads import Addresses
from tests.forge.rest.api import rest_api
from tests.forge.rest.context import Context
from tests.forge.server import ServerThread
from tests.forge.state import Comment, Installation, PullRequest, Repository, State, User, now

API_PATH = "/api/v3"
APP_LOGIN = "previewd[bot]"
INSTALLATION = 1


class Forge:
    """Runs from its construction until `stop`; a context manager, too. Call its methods from one thread.

    What people do here (open, push, close …) has happened when the method returns: refs, API and, in `deliveries`,
    what GitHub would now send. Nothing is sent by itself: hand the deliveries to a `Deliverer`.
    """

    def __init__(self, *, secret: str = "a webhook secret", installation: int | None = INSTALLATION) -> None:  # noqa: S107 - it guards nothing
        """`installation` None makes deliveries of a repository's own webhook, which name no installation."""
        self.secret = secret
        self.installation = installation
        self.content_type = ContentType.JSON
        self.state = State(installation=None if installation is None else Installation(id=installation))
        self.token = self.state.issue_token(APP_LOGIN)
        """An access token that does not expire."""
        self.hook_id = self.state.next_id()
        self.requests: list[RecordedRequest] = []
        """Every request that came, git's too, oldest first."""
        self.deliveries: list[Delivery] = []
        """What GitHub would have sent since the last `take_deliveries`, oldest first."""
        self._faults = Faults()
        self._folder = tempfile.TemporaryDirectory(prefix="forge-")
        self._server = ServerThread()
        self.url = self._server.url
        self.api_url = self.url + API_PATH
        self._addresses = Addresses(api=self.api_url, web=self.url)
        self._server.serve(self._application())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """End the server and remove its repositories."""
        self._server.stop()
        self._folder.cleanup()

    # Repositories

    def create_repository(
        self,
        full_name: str,
        files: Path | Mapping[str, bytes],
        *,
        private: bool = False,
        default_branch: str = "main",
    ) -> Repository:
        """Make a repository with one commit: these files, or those under a folder. `#!` files are executable."""
        repository = self._add_repository(full_name, private=private, default_branch=default_branch)
        content = read_tree(files) if isinstance(files, Path) else files
        self.bare(repository).create(default_branch)
        self.commit(repository, default_branch, content, "Begin")
        return repository

    def create_fork(self, repository: Repository, owner: str) -> Repository:
        """Fork a repository to another owner, with its default branch."""
        fork = self._add_repository(
            f"{owner}/{repository.name}", private=repository.private, default_branch=repository.default_branch
        )
        fork.fork_of = repository
        bare, branch = self.bare(fork), f"refs/heads/{repository.default_branch}"
        bare.create(repository.default_branch)
        bare.take(self.bare(repository), self.tip(repository, repository.default_branch), branch)
        return fork

    def delete_repository(self, repository: Repository) -> None:
        """Delete a repository. Pull requests that came from it stay open, with no head repository."""
        del self.state.repositories[repository.id]
        for pull in self._pulls_from(repository):
            pull.head_repository = None
        self.bare(repository).delete()

    def rename_repository(self, repository: Repository, name: str) -> None:
        """Give a repository another name. Who asks for the old one is sent on, by git and by the API."""
        former = repository.name
        folder = Path(self._folder.name) / repository.owner.login
        self.state.former_names[repository.full_name.lower()] = repository
        (folder / f"{former}.git").rename(folder / f"{name}.git")
        repository.name = name
        payload = renamed_event(
            self._addresses, repository, former, sender=repository.owner, installation=self.installation
        )
        self.deliveries.append(self.sign("repository", payload))

    def set_permission(self, repository: Repository, login: str, role: str) -> None:
        """Grant a role: admin, maintain, write, triage, read or none."""
        self.state.user(login)
        repository.roles[login] = role

    def commit(
        self, repository: Repository, branch: str, changes: Changes, message: str = "Change", *, author: str = ""
    ) -> str:
        """Commit to a branch, begun off the default branch if it is new, and return the SHA."""
        if any(pull.head_branch == branch and pull.state == "open" for pull in self._pulls_from(repository)):
            raise ValueError(f"{branch} has an open pull request: use push")
        bare = self.bare(repository)
        parent = bare.resolve(f"refs/heads/{branch}") or bare.resolve(f"refs/heads/{repository.default_branch}")
        return bare.commit(branch, changes, message, author=author or repository.owner.login, parent=parent)

    def tip(self, repository: Repository, branch: str) -> str:
        """Name the newest commit of a branch."""
        sha = self.bare(repository).resolve(f"refs/heads/{branch}")
        if sha is None:
            raise ValueError(f"{repository.full_name} has no branch {branch}")
        return sha

    def bare(self, repository: Repository) -> BareRepository:
        """Reach the git side of a repository."""
        return BareRepository(Path(self._folder.name) / f"{repository.full_name}.git")

    # Pull requests

    def open_pull(
        self,
        repository: Repository,
        head_branch: str,
        *,
        author: str,
        title: str = "A change",
        body: str | None = None,
        draft: bool = False,
        head_repository: Repository | None = None,
    ) -> PullRequest:
        """Ask to merge a branch, of the repository or of a fork of it, into the default branch."""
        source = head_repository or repository
        pull = PullRequest(
            id=self.state.next_id(),
            number=len(repository.pulls) + 1,
            repository=repository,
            head_repository=source,
            head_owner=source.owner,
            head_branch=head_branch,
            head_sha=self.tip(source, head_branch),
            base_branch=repository.default_branch,
            base_sha=self.tip(repository, repository.default_branch),
            author=self.state.user(author),
            title=title,
            body=body,
            draft=draft,
        )
        self._show_head(pull, pull.head_sha)
        repository.pulls[pull.number] = pull
        self._tell(pull, "opened", pull.author)
        return pull

    def push(self, pull: PullRequest, changes: Changes, message: str = "Change again") -> str:
        """Add a commit to an open pull request and return its SHA."""
        return self._push(pull, changes, message, parent=pull.head_sha)

    def force_push(self, pull: PullRequest, changes: Changes, message: str = "Start over") -> str:
        """Put one new commit in place of all that the pull request had, and return its SHA."""
        parent = self.bare(pull.repository).merge_base(pull.base_sha, pull.head_sha)
        return self._push(pull, changes, message, parent=parent)

    def reset(self, pull: PullRequest, sha: str) -> None:
        """Force-push a commit that the repository has already, such as one that the pull request had before."""
        if pull.state != "open" or pull.head_repository is None:
            raise ValueError(f"pull request {pull.number} is closed, or its fork is deleted")
        self.bare(pull.head_repository).set_ref(f"refs/heads/{pull.head_branch}", sha)
        self._move(pull, sha)

    def close(self, pull: PullRequest, *, merged: bool = False) -> None:
        """Close, or merge: then the base branch takes over the head, as after a fast-forward."""
        pull.closed_at = now()
        if merged:
            self.bare(pull.repository).set_ref(f"refs/heads/{pull.base_branch}", pull.head_sha)
            pull.merged_at, pull.merge_commit_sha = pull.closed_at, pull.head_sha
        pull.state = "closed"
        self._tell(pull, "closed", pull.repository.owner)

    def reopen(self, pull: PullRequest) -> None:
        """Open a pull request again that was closed without a merge."""
        pull.state, pull.closed_at = "open", None
        self._tell(pull, "reopened", pull.author)

    def convert_to_draft(self, pull: PullRequest) -> None:
        pull.draft = True
        self._tell(pull, "converted_to_draft", pull.author)

    def ready_for_review(self, pull: PullRequest) -> None:
        pull.draft = False
        self._tell(pull, "ready_for_review", pull.author)

    def retarget(self, pull: PullRequest, branch: str) -> None:
        """Ask to merge into another branch."""
        changes = {"base": {"ref": {"from": pull.base_branch}, "sha": {"from": pull.base_sha}}}
        pull.base_branch, pull.base_sha = branch, self.tip(pull.repository, branch)
        self._tell(pull, "edited", pull.author, changes=changes)

    def label(self, pull: PullRequest, name: str) -> None:
        pull.labels.append(name)
        self._tell(pull, "labeled", pull.repository.owner)

    def unlabel(self, pull: PullRequest, name: str) -> None:
        pull.labels.remove(name)
        self._tell(pull, "unlabeled", pull.repository.owner)

    def delete_comment(self, pull: PullRequest, comment: Comment) -> None:
        """Somebody deletes a comment, whoever wrote it."""
        del pull.repository.comments[comment.id]
        payload = comment_event(
            self._addresses,
            pull,
            comment,
            "deleted",
            sender=pull.repository.owner,
            installation=self.installation,
        )
        self.deliveries.append(self.sign("issue_comment", payload))

    # The App

    def uninstall(self) -> None:
        """Take the App from the account: its tokens are good no more."""
        repositories = list(self.state.repositories.values())
        self._tell_installation("deleted", repositories)
        self.state.installation = None
        self.state.end_tokens()

    def suspend(self) -> None:
        """Let the App be installed, but see nothing."""
        if self.state.installation is not None:
            self.state.installation.suspended_at = now()
        self._tell_installation("suspend", None)

    def take_away(self, repository: Repository) -> None:
        """Let the App see this repository no more."""
        if self.state.installation is None:
            raise ValueError("the App is not installed")
        self.state.installation.excluded.add(repository.id)
        payload = repositories_removed_event(
            self.state.installation.id, [repository], at=self._addresses, sender=repository.owner
        )
        self.deliveries.append(self.sign("installation_repositories", payload))

    # Deliveries

    def take_deliveries(self) -> list[Delivery]:
        """Return what is to be delivered, oldest first, and forget it."""
        taken, self.deliveries = self.deliveries, []
        return taken

    def ping(self, repository: Repository, hook_url: str) -> Delivery:
        """Make the delivery that announces a webhook."""
        return self.sign("ping", ping_event(self._addresses, repository, hook_id=self.hook_id, hook_url=hook_url))

    def sign(self, event: str, payload: Mapping[str, Any]) -> Delivery:
        """Make a delivery of anything, such as an event that nobody knows yet."""
        return Delivery(
            event=event,
            payload=payload,
            secret=self.secret,
            hook_id=self.hook_id,
            target_type="repository" if self.installation is None else "integration",
            target_id=self.installation or self.hook_id,
            content_type=self.content_type,
        )

    # Faults

    def fail_next(self, *, status: int, count: int = 1, method: str = "", path: str = "/api/") -> None:
        """Answer the next `count` requests whose method and path fit with a failure. `.git/` stands for git."""
        self._faults.plan(outage(status, method=method, path=path), count)

    def limit_next(self, *, count: int = 1, retry_after: int | None = None, method: str = "") -> None:
        """Answer with GitHub's secondary rate limit, with or without the seconds to wait."""
        self._faults.plan(secondary_limit(retry_after, method=method), count)

    def exhaust_next(self, *, count: int = 1, reset_in: int = 60) -> None:
        """Answer that the hour's requests are used up, with a reset in so many seconds."""
        self._faults.plan(primary_limit(reset_in), count)

    def delay_next(self, *, seconds: float, count: int = 1, method: str = "", path: str = "/api/") -> None:
        """Answer as usual, but late."""
        self._faults.plan(Fault(delay=seconds, method=method, path=path), count)

    def heal(self) -> None:
        """Forget the faults that have not happened yet."""
        self._faults.clear()

    # Looking back

    def requests_to(self, method: str, path: str) -> list[RecordedRequest]:
        """List the requests with this method and this part in their path, oldest first."""
        return [request for request in list(self.requests) if request.method == method and path in request.path]

    def _application(self) -> Gate:
        context = Context(
            state=self.state,
            addresses=self._addresses,
            bare=self.bare,
            app_login=APP_LOGIN,
        )
        app = FastAPI(openapi_url=None)
        app.mount(API_PATH, rest_api(context))
        app.include_router(git_routes(self.state, Path(self._folder.name)))
        return Gate(app, self._faults, self.requests)

    def _add_repository(self, full_name: str, *, private: bool, default_branch: str) -> Repository:
        if self.state.repository(full_name) is not None:
            raise ValueError(f"there is a repository {full_name} already")
        owner, _, name = full_name.partition("/")
        repository = Repository(
            id=self.state.next_id(),
            owner=self.state.user(owner),
            name=name,
            private=private,
            default_branch=default_branch,
        )
        self.state.repositories[repository.id] = repository
        return repository

    def _pulls_from(self, source: Repository) -> list[PullRequest]:
        """List the pull requests, of any repository, whose head is in this one."""
        pulls = (pull for repository in self.state.repositories.values() for pull in repository.pulls.values())
        return [pull for pull in pulls if pull.head_repository is source]

    def _push(self, pull: PullRequest, changes: Changes, message: str, *, parent: str) -> str:
        if pull.state != "open" or pull.head_repository is None:
            raise ValueError(f"pull request {pull.number} is closed, or its fork is deleted")
        source = self.bare(pull.head_repository)
        after = source.commit(pull.head_branch, changes, message, author=pull.author.login, parent=parent)
        self._move(pull, after)
        return after

    def _move(self, pull: PullRequest, after: str) -> None:
        """Let a commit that the head's branch points at be the pull request's head."""
        before = pull.head_sha
        self._show_head(pull, after)
        pull.head_sha, pull.updated_at = after, now()
        self._tell(pull, "synchronize", pull.author, before=before, after=after)

    def _show_head(self, pull: PullRequest, sha: str) -> None:
        """Let the base repository's refs/pull/N/head name the head, fetched from the fork if it is in one."""
        base = self.bare(pull.repository)
        if pull.head_repository is None or pull.head_repository is pull.repository:
            base.set_ref(pull.ref, sha)
        else:
            base.take(self.bare(pull.head_repository), sha, pull.ref)

    def _tell_installation(self, action: str, repositories: list[Repository] | None) -> None:
        if self.state.installation is None:
            raise ValueError("the App is not installed")
        payload = installation_event(
            self.state.installation.id, action, repositories, at=self._addresses, sender=self.state.user("octo")
        )
        self.deliveries.append(self.sign("installation", payload))

    def _tell(self, pull: PullRequest, action: str, sender: User, **extra: Any) -> None:
        payload = pull_request_event(
            self._addresses, pull, action, sender=sender, installation=self.installation, **extra
        )
        self.deliveries.append(self.sign("pull_request", payload))
