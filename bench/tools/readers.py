"""Viewers of a benchmark's world, their calls, and what their pages must hold."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import httpx

from api.auth import TokenBook
from bench.tools.load import Check
from bench.tools.world import World
from domain.entities import Photo
from domain.secrets import Secrets
from domain.settings import Settings

SHOWN = 20
_OK = b"HTTP/1.1 200"


@dataclass(slots=True)
class Audience:
    """Viewers of one kind; `due` are the ids that each one's first page must show."""

    name: str
    viewers: list[str] = field(default_factory=list)
    requests: list[bytes] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)
    due: list[list[str]] = field(default_factory=list)

    async def wrong(self, base: str) -> tuple[int, int]:
        """(missing, ghosts) over the first pages of all of them, as they are answered now."""
        missing = ghosts = 0
        async with httpx.AsyncClient(base_url=base, timeout=30.0) as http:
            for token, due in zip(self.tokens, self.due, strict=True):
                head = {"Authorization": f"Bearer {token}"}
                page = (await http.get("/feed", headers=head)).raise_for_status().json()
                shown = [post["post_id"] for post in page["posts"]]
                missing += len(set(due) - set(shown))
                ghosts += len(set(shown) - set(due)) + len(shown) - len(set(shown))
        return missing, ghosts


async def audience(
    world: World, chosen: Settings, name: str, followees: Sequence[Sequence[str]]
) -> Audience:
    """One viewer for each list of followees, signed in."""
    found = Audience(name)
    viewers = await world.people(len(followees))
    pairs = [(v, a) for v, those in zip(viewers, followees, strict=True) for a in those]
    await world.follow(pairs)
    book = TokenBook(chosen.tokens, Secrets.load(chosen.run_dir).jwt_key)
    found.viewers = viewers
    for viewer in viewers:
        token = book.issue(viewer, world.new_id(), world.now)
        found.tokens.append(token)
        found.requests.append(request("/feed", token))
    return found


def expect(found: Audience, posts: Sequence[Photo], followees: Sequence[Sequence[str]]) -> None:
    """Note the newest posts of each viewer's followees; `posts` are oldest first."""
    for those in followees:
        known = set(those)
        ids = [post.photo_id for post in reversed(posts) if post.user_id in known]
        found.due.append(ids[:SHOWN])


def request(path: str, token: str) -> bytes:
    """A GET as bytes."""
    return (
        f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\r\n".encode()
    )


def whole(shown: int = SHOWN) -> Check:
    """An answer is right when it is complete and shows so many posts."""

    def check(answer: bytes) -> bool:
        complete = b'"completeness":"complete"' in answer
        return answer.startswith(_OK) and complete and answer.count(b'"post_id"') == shown

    return check


def full(answer: bytes) -> bool:
    """A peer's answer: it has no word for completeness."""
    return answer.startswith(_OK) and answer.count(b'"post_id"') == SHOWN
