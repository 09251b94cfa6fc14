"""Comments on pull requests: listed, written, edited, deleted."""

# ruff: noqa: FAST003 - the dependencies read what the paths number

from fastapi import APIRouter, Depends, HTTPException, status
from pydantic import BaseModel

from tests.forge.payloads import Json, comment_object
from tests.forge.rest.context import (
    CallerDependency,
    ContextDependency,
    Permission,
    PullDependency,
    RepositoryDependency,
    found,
    refuse,
)
from tests.forge.rest.paging import PagerDependency
from tests.forge.state import Comment, now

MAX_BODY_CHARACTERS = 65536

MAY_COMMENT = [Depends(Permission("issues"))]

router = APIRouter()


class CommentBody(BaseModel):
    """What a client sends."""

    body: str


@router.get("/issues/{number}/comments")
async def list_comments(pull: PullDependency, context: ContextDependency, pager: PagerDependency) -> list[Json]:
    """The oldest first."""
    comments = [comment for comment in list(pull.repository.comments.values()) if comment.number == pull.number]
    return [comment_object(context.addresses, pull.repository, comment) for comment in pager.cut(comments)]


@router.post("/issues/{number}/comments", status_code=status.HTTP_201_CREATED, dependencies=MAY_COMMENT)
async def create_comment(
    new: CommentBody, pull: PullDependency, caller: CallerDependency, context: ContextDependency
) -> Json:
    """A locked conversation takes none of who may not write to the repository; an App may not."""
    if pull.locked:
        raise HTTPException(status.HTTP_403_FORBIDDEN, "Unable to create comment because issue is locked.")
    comment = Comment(id=context.state.next_id(), number=pull.number, user=caller, body=_accepted(new.body))
    pull.repository.comments[comment.id] = comment
    return comment_object(context.addresses, pull.repository, comment)


@router.get("/issues/comments/{comment_id}")
async def get_comment(comment_id: int, repository: RepositoryDependency, context: ContextDependency) -> Json:
    return comment_object(context.addresses, repository, found(repository.comments.get(comment_id)))


@router.patch("/issues/comments/{comment_id}", dependencies=MAY_COMMENT)
async def edit_comment(
    comment_id: int, new: CommentBody, repository: RepositoryDependency, context: ContextDependency
) -> Json:
    comment = found(repository.comments.get(comment_id))
    comment.body = _accepted(new.body)
    comment.updated_at = now()
    return comment_object(context.addresses, repository, comment)


@router.delete("/issues/comments/{comment_id}", status_code=status.HTTP_204_NO_CONTENT)
async def delete_comment(comment_id: int, repository: RepositoryDependency) -> None:
    found(repository.comments.pop(comment_id, None))


def _accepted(body: str) -> str:
    if not body.strip() or len(body) > MAX_BODY_CHARACTERS:
        raise refuse(f"Validation Failed: body is blank or longer than {MAX_BODY_CHARACTERS} characters")
    return body
