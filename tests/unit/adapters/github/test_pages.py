"""Lists of several pages: which page is the next one GitHub says itself, and only its own pages are asked for."""

import re

import httpx
import pytest
from structlog.testing import capture_logs

from orchestrator.adapters.github.http import MAX_PAGES, Access, Caller

API = "https://api.github.test/v3"
ACCESS = Access(token="secret", scope="token")


class Lists:
    """Answers of an API, by the number of the page; each names the one behind it as `link` says."""

    def __init__(self, count: int, link: str) -> None:
        self.count, self.link = count, link
        self.asked: list[httpx.URL] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request.url)
        number = int(request.url.params.get("page", 1))
        named = f'<{self.link.format(number + 1)}>; rel="next", <{API}/things?page=1>; rel="first"'
        return httpx.Response(200, json=[number], headers={"Link": named} if number < self.count else {})


async def listed(lists: Lists, url: str = "/things?state=open") -> tuple[list[int], list[str]]:
    """What the pages held, and what was logged."""
    async with httpx.AsyncClient(base_url=API, transport=httpx.MockTransport(lists)) as client:
        caller = Caller(client)
        with capture_logs() as logs:
            found = [
                each
                async for page in caller.pages(url, lambda url: caller.ask("GET", url, ACCESS))
                for each in page.json()
            ]
    return found, [entry["event"] for entry in logs]


@pytest.mark.parametrize(
    "link",
    [
        f"{API}/things?state=open&per_page=100&page={{}}",
        "https://api.github.test:443/v3/things?page={}",
        "/v3/things?page={}",
        "?page={}",
    ],
)
async def test_each_page_names_the_next(link: str) -> None:
    lists = Lists(3, link)
    assert await listed(lists) == ([1, 2, 3], [])
    assert dict(lists.asked[0].params) == {"state": "open", "per_page": "100"}
    assert {url.path for url in lists.asked} == {"/v3/things"}


async def test_a_list_of_one_page_is_asked_for_once() -> None:
    lists = Lists(1, "never")
    assert await listed(lists) == ([1], [])
    assert len(lists.asked) == 1


@pytest.mark.parametrize(
    "link",
    [
        "https://evil.test/v3/things?page={}",
        "//evil.test/v3/things?page={}",
        "http://api.github.test/v3/things?page={}",
        "https://api.github.test:8443/v3/things?page={}",
        "https://api.github.test@evil.test/v3/things?page={}",
    ],
)
async def test_nobody_else_is_shown_our_token(link: str) -> None:
    lists = Lists(3, link)
    assert await listed(lists) == ([1], ["a list of GitHub's is cut: it goes on elsewhere"])
    assert [url.host for url in lists.asked] == ["api.github.test"]


async def test_a_page_that_was_moved_elsewhere_leads_to_no_other() -> None:
    """httpx sends no token along with such a redirect; we would, if we took what it answers for our own list."""
    lists = Lists(3, "https://elsewhere.test/things?page={}")

    def moved(request: httpx.Request) -> httpx.Response:
        if request.url.host != "elsewhere.test":
            return httpx.Response(301, headers={"Location": "https://elsewhere.test/things"})
        assert "authorization" not in request.headers
        return lists(request)

    async with httpx.AsyncClient(base_url=API, transport=httpx.MockTransport(moved), follow_redirects=True) as client:
        caller = Caller(client)
        pages = [page async for page in caller.pages("/things", lambda url: caller.ask("GET", url, ACCESS))]
    assert (len(pages), len(lists.asked)) == (1, 1)


async def test_a_list_without_an_end_is_cut_and_that_is_said() -> None:
    lists = Lists(MAX_PAGES + 1, f"{API}/things?page={{}}")
    found, said = await listed(lists)
    assert (found, said) == (list(range(1, MAX_PAGES + 1)), ["a list of GitHub's is cut"])
    lists = Lists(MAX_PAGES, f"{API}/things?page={{}}")
    found, said = await listed(lists)
    assert (len(found), said) == (MAX_PAGES, [])


async def test_what_a_path_asks_for_is_kept() -> None:
    lists = Lists(1, "never")
    await listed(lists, "/things?environment=preview%2Fpr-1%20%C3%A4&sha=abc")
    assert lists.asked[0].params["environment"] == "preview/pr-1 ä"
    assert re.search(r"sha=abc", str(lists.asked[0]))
