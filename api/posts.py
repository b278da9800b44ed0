"""Single posts, and the shape in which every list shows a post."""

from collections.abc import Sequence
from typing import Literal

from fastapi import APIRouter, Response
from pydantic import BaseModel

from api.deps import Api, Deps, PostId, Viewer
from api.people import Person, is_live
from api.photo_shapes import Place, Urls
from api.problems import GONE, Problem, not_found
from api.resilience.best_effort import BestEffort
from domain.entities import FeedEntry, Photo, PhotoStatus
from domain.errors import StoreAway

router = APIRouter(tags=["posts"])


class Post(BaseModel):
    """A photo that was published, as the viewer sees it."""

    post_id: str
    user: Person
    caption: str
    tags: list[str]
    location: Place | None
    alt_text: str
    image_urls: Urls
    width: int
    height: int
    placeholder: str
    like_count: int
    comment_count: int
    liked_by_viewer: bool
    created_at: str


class PostPage(BaseModel):
    """A page of posts; less than `complete` says that a store is away or a feed being built."""

    posts: list[Post]
    next_cursor: str | None
    has_more: bool
    completeness: Literal["complete", "rebuilding", "degraded"]


@router.get("/posts/{post_id}", response_model=Post)
async def post(api: Api, viewer: Viewer, post_id: PostId) -> Response:
    """One post."""
    found = await live_post(api, post_id)
    entry = FeedEntry(found.published_at or 0, post_id, found.user_id)
    shown, _ = await ready_posts(api, viewer, [entry])
    if not shown:
        raise StoreAway("the author can't be read")
    return Response(shown[0], media_type="application/json")


async def live_post(deps: Deps, post_id: str) -> Photo:
    """A post that may be seen. Raises Problem: 410 when it was deleted, 404 for anything else."""
    photo = await deps.stores.photos.get(post_id)
    if photo is not None and photo.status is PhotoStatus.DELETED:
        raise Problem(GONE, "the post was deleted")
    if photo is None or not is_live(photo):
        raise not_found("post")
    return photo


async def ready_posts(
    deps: Deps, viewer: str, entries: Sequence[FeedEntry]
) -> tuple[list[bytes], bool]:
    """The live ones of `entries` as JSON (Post), in order; whether every store answered."""
    effort = BestEffort(deps.breakers)
    shown = await deps.hydrator.posts(entries, viewer, effort) if entries else []
    return [post for _, post in shown], effort.whole
