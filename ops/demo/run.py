"""The demo's main job: people follow, upload, like and comment; then every feed is checked."""

import asyncio
import contextlib
import secrets
import time
from collections.abc import AsyncIterator, Coroutine
from dataclasses import dataclass, field
from typing import Any

import httpx
from rich.progress import Progress, TaskID

from ops.demo.check import Verdict, compare
from ops.demo.client import Client, Refused, Uploaded
from ops.demo.plan import Script
from ops.demo.report import Measured
from ops.photos import UploadFile

_PARALLEL_UPLOADS = 4
_POLL_S = 0.25
_COUNTS_LIMIT_S = 60.0


@dataclass(slots=True)
class Show:
    """The state of one demo run."""

    script: Script
    files: list[UploadFile]
    progress: Progress
    limit_s: float
    pace_s: float = 0.0
    people: list[Client] = field(default_factory=list)
    posts: dict[int, str] = field(default_factory=dict)
    completed_at: dict[str, float] = field(default_factory=dict)
    measured: Measured = field(default_factory=Measured)
    passwords: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the run came to."""

    verdict: Verdict
    wrong_counts: list[str]


async def perform(api: str, show: Show, trouble: Coroutine[Any, Any, None] | None) -> Outcome:
    """Play the script against the API at `api`, with `trouble` beside it; judge every feed."""
    limits = httpx.Limits(max_connections=64, max_keepalive_connections=32)
    async with httpx.AsyncClient(base_url=api, timeout=20.0, limits=limits) as http:
        await _sign_up(http, show)
        await _follow(show)
        deliveries = show.progress.add_task("posts in feeds", total=_expected(show.script))
        async with _watching(show, deliveries), asyncio.TaskGroup() as group:
            if trouble is not None:
                group.create_task(trouble)
            await _upload_all(show)
            await _react(show)
        verdict = await _judge(show)
        return Outcome(verdict, await _wrong_counts(show))


async def _sign_up(http: httpx.AsyncClient, show: Show) -> None:
    suffix = secrets.token_hex(3)
    task = show.progress.add_task("people", total=len(show.script.names))
    for name in show.script.names:
        username = f"{name}_{suffix}"
        show.passwords[username] = secrets.token_urlsafe(12)
        client = Client(http, username, show.passwords[username])
        await client.register(name.capitalize())
        show.people.append(client)
        show.progress.advance(task)


async def _follow(show: Show) -> None:
    script = show.script
    task = show.progress.add_task("follows", total=len(script.follows) + len(script.undone))
    for follower, followee in script.follows:
        await show.people[follower].follow(show.people[followee].user_id)
        show.progress.advance(task)
    for follower, followee in script.undone:
        await show.people[follower].unfollow(show.people[followee].user_id)
        show.progress.advance(task)


async def _upload_all(show: Show) -> None:
    """One photo all the way, then all people side by side.

    Each sends the next photo when the one before is published, and a photo begins every `pace_s`
    seconds: they don't all press the button at the same moment.
    """
    gate = asyncio.Semaphore(_PARALLEL_UPLOADS)
    turns = [asyncio.Lock() for _ in show.people]
    arrived = asyncio.Event()
    stored = show.progress.add_task("photos stored", total=len(show.files))
    published = show.progress.add_task("photos published", total=len(show.files))

    async def one(index: int, file: UploadFile) -> None:
        poster = show.script.posters[index]
        if index:
            await arrived.wait()
        await asyncio.sleep(index * show.pace_s)
        async with turns[poster]:
            async with gate:
                done = await show.people[poster].upload(_words(file), file.data)
            show.progress.advance(stored)
            show.posts[index] = done.photo_id
            show.completed_at[done.photo_id] = done.completed_at
            await _published(show, show.people[poster], done, file)
        arrived.set()
        show.progress.advance(published)

    async with asyncio.TaskGroup() as group:
        for index, file in enumerate(show.files):
            group.create_task(one(index, file))


async def _published(show: Show, client: Client, done: Uploaded, file: UploadFile) -> None:
    status = await client.wait_published(done.photo_id, show.limit_s)
    if status["status"] != "published":
        raise Refused(f"{file.filename} was {status['status']}: {status.get('reason')}")
    show.measured.upload_to_ready.append((time.monotonic() - done.completed_at) * 1000)


def _words(file: UploadFile) -> dict[str, object]:
    return {
        "filename": file.filename,
        "content_type": file.content_type,
        "size_bytes": len(file.data),
        "caption": file.caption,
        "tags": list(file.tags),
        "alt_text": file.alt_text,
    }


async def _react(show: Show) -> None:
    script = show.script
    task = show.progress.add_task(
        "likes and comments", total=len(script.likes) + len(script.comments)
    )
    for reader, upload in script.likes:
        await show.people[reader].like(show.posts[upload])
        show.progress.advance(task)
    for reader, upload, text in script.comments:
        await show.people[reader].comment(show.posts[upload], text)
        show.progress.advance(task)


@contextlib.asynccontextmanager
async def _watching(show: Show, task: TaskID) -> AsyncIterator[None]:
    """Every follower watches the top of their feed until all they must get is there."""
    finished = asyncio.Event()
    watchers = [
        asyncio.create_task(_watch(show, reader, task, finished))
        for reader in range(len(show.people))
        if show.script.followees(reader)
    ]
    try:
        yield
        finished.set()
        with contextlib.suppress(TimeoutError):  # what is missing then is judged as lost
            async with asyncio.timeout(show.limit_s):
                await asyncio.gather(*watchers)
    finally:
        for watcher in watchers:
            watcher.cancel()
        await asyncio.gather(*watchers, return_exceptions=True)


async def _watch(show: Show, reader: int, task: TaskID, finished: asyncio.Event) -> None:
    client, followees = show.people[reader], show.script.followees(reader)
    seen: set[str] = set()
    due = sum(1 for poster in show.script.posters if poster in followees)
    while not (finished.is_set() and len(seen) >= due):
        began = time.monotonic()
        page = await client.feed_page(limit=50)
        now = time.monotonic()
        show.measured.feed_read.append((now - began) * 1000)
        for post in page["posts"]:
            completed = show.completed_at.get(post["post_id"])
            if completed is not None and post["post_id"] not in seen:
                seen.add(post["post_id"])
                show.measured.upload_to_feed.append((now - completed) * 1000)
                show.progress.advance(task)
        await asyncio.sleep(_POLL_S)


async def _judge(show: Show) -> Verdict:
    """Read every feed whole, small pages so that cursors are used, and compare."""
    task = show.progress.add_task("feeds read back", total=len(show.people))
    feeds: dict[str, list[tuple[str, str]]] = {}
    for client in show.people:
        feeds[client.user_id] = await client.whole_feed(limit=7)
        show.progress.advance(task)
    ids = [client.user_id for client in show.people]
    authors = {post: ids[show.script.posters[index]] for index, post in show.posts.items()}
    followees = {
        ids[reader]: frozenset(ids[other] for other in show.script.followees(reader))
        for reader in range(len(ids))
    }
    return compare(authors, followees, feeds)


async def _wrong_counts(show: Show) -> list[str]:
    """Counts that are still wrong after a while; right within 5 s is the aim, outages excepted."""
    deadline = time.monotonic() + _COUNTS_LIMIT_S
    while wrong := await _count_mismatches(show):
        if time.monotonic() > deadline:
            return wrong
        await asyncio.sleep(1.0)
    return []


async def _count_mismatches(show: Show) -> list[str]:
    script, anyone, wrong = show.script, show.people[0], []
    for index, post in show.posts.items():
        want = (
            sum(1 for _, upload in script.likes if upload == index),
            sum(1 for _, upload, _ in script.comments if upload == index),
        )
        body: dict[str, Any] = await anyone.get(f"/posts/{post}")
        if (body["like_count"], body["comment_count"]) != want:
            got = (body["like_count"], body["comment_count"])
            wrong.append(f"{post}: likes and comments {got}, not {want}")
    for person, client in enumerate(show.people):
        profile = await anyone.get(f"/users/{client.user_id}")
        graph = (len(script.followers(person)), len(script.followees(person)))
        if (profile["follower_count"], profile["following_count"]) != graph:
            wrong.append(f"{client.username}: followers and following, not {graph}: {profile}")
    return wrong


def _expected(script: Script) -> int:
    return sum(len(script.followers(poster)) for poster in script.posters)
