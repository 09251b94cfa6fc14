"""GitHub's pages: `per_page` (30, at most 100), `page`, and a `Link` header to the pages beside this one."""

from collections.abc import Sequence
from typing import Annotated, TypeVar

from fastapi import Depends, Query, Request, Response

MAX_PER_PAGE = 100

T = TypeVar("T")


class Pager:
    """Cuts one page out of a list and links it to the others."""

    def __init__(
        self,
        request: Request,
        response: Response,
        page: Annotated[int, Query(ge=1)] = 1,
        per_page: Annotated[int, Query(ge=1)] = 30,
    ) -> None:
        self._request = request
        self._response = response
        self._page = page
        self._per_page = min(per_page, MAX_PER_PAGE)

    def cut(self, items: Sequence[T]) -> Sequence[T]:
        """Return the page that was asked for, and set the `Link` header when it is not the only one."""
        last = max(1, -(-len(items) // self._per_page))
        links = self._links(last)
        if links:
            self._response.headers["link"] = ", ".join(f'<{url}>; rel="{name}"' for name, url in links.items())
        start = (self._page - 1) * self._per_page
        return items[start : start + self._per_page]

    def _links(self, last: int) -> dict[str, str]:
        before = {"prev": self._page - 1, "first": 1} if self._page > 1 else {}
        after = {"next": self._page + 1, "last": last} if self._page < last else {}
        pages = before | after
        return {name: str(self._request.url.include_query_params(page=page)) for name, page in pages.items()}


PagerDependency = Annotated[Pager, Depends()]
