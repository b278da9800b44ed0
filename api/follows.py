"""The graph: following, and who follows whom.

A change and its event are one commit; the caches only forget.
"""

from fastapi import APIRouter, Request
from pydantic import BaseModel

from api.deps import Api, Deps, UserId, Viewer
from api.front import trace
from api.people import Profile, follow_counts, profiles
from api.problems import SELF_FOLLOW, Problem, not_found
from api.wire import PAGE, CursorText, Limit, place
from domain import cursors
from domain.entities import Edge
from domain.errors import NotFound

router = APIRouter(tags=["follows"])


class Following(BaseModel):
    """Whether the viewer follows somebody now."""

    user_id: str
    following: bool
    follower_count: int


class ProfilePage(BaseModel):
    """A page of people."""

    users: list[Profile]
    next_cursor: str | None
    has_more: bool


@router.post("/follow/{user_id}")
async def follow(api: Api, request: Request, viewer: Viewer, user_id: UserId) -> Following:
    """Follow somebody; twice is once."""
    return await _change(api, request, viewer, user_id, follow=True)


@router.delete("/follow/{user_id}")
async def unfollow(api: Api, request: Request, viewer: Viewer, user_id: UserId) -> Following:
    """Unfollow somebody; twice is once."""
    return await _change(api, request, viewer, user_id, follow=False)


@router.get("/users/{user_id}/followers")
async def followers(
    api: Api, viewer: Viewer, user_id: UserId, limit: Limit = PAGE, cursor: CursorText = None
) -> ProfilePage:
    """Who follows somebody, newest first."""
    await _exists(api, user_id)
    kind = f"followers:{user_id}"
    before = _edge_place(kind, cursor)
    edges = await api.stores.follows.followers_page(user_id, before, limit + 1)
    return await _page(api, viewer, kind, [(edge, edge.follower_id) for edge in edges], limit)


@router.get("/users/{user_id}/following")
async def following(
    api: Api, viewer: Viewer, user_id: UserId, limit: Limit = PAGE, cursor: CursorText = None
) -> ProfilePage:
    """Whom somebody follows, newest first."""
    await _exists(api, user_id)
    kind = f"following:{user_id}"
    before = _edge_place(kind, cursor)
    edges = await api.stores.follows.following_page(user_id, before, limit + 1)
    return await _page(api, viewer, kind, [(edge, edge.followee_id) for edge in edges], limit)


async def _change(
    deps: Deps, request: Request, viewer: str, user_id: str, *, follow: bool
) -> Following:
    if viewer == user_id:
        raise Problem(SELF_FOLLOW)
    follows = deps.stores.follows
    change = follows.follow if follow else follows.unfollow
    try:
        edge = await change(
            viewer,
            user_id,
            deps.stores.ids.next_id(),
            deps.now_ms(),
            traceparent=trace.of(request.scope["state"]),
        )
    except NotFound:
        raise not_found("user") from None
    await deps.feeds.follows_changed(viewer, follow=follow)
    followers, _ = await follow_counts(deps, user_id)
    return Following(user_id=user_id, following=edge.following, follower_count=followers)


def _edge_place(kind: str, cursor: str | None) -> tuple[int, str] | None:
    match place(kind, (int, str), cursor):
        case (int(at), str(user_id)):
            return at, user_id
    return None


async def _page(
    deps: Deps, viewer: str, kind: str, edges: list[tuple[Edge, str]], limit: int
) -> ProfilePage:
    """The profiles at the far ends of `edges`, of which there is one more than fits."""
    shown = edges[:limit]
    users = await deps.stores.users.get_many([user_id for _, user_id in shown])
    present = [users[user_id] for _, user_id in shown if user_id in users]
    more = len(edges) > limit
    return ProfilePage(
        users=await profiles(deps, viewer, present),
        next_cursor=cursors.encode(kind, shown[-1][0].changed_at, shown[-1][1]) if more else None,
        has_more=more,
    )


async def _exists(deps: Deps, user_id: str) -> None:
    """Raises Problem (404) for nobody."""
    if await deps.stores.users.get(user_id) is None:
        raise not_found("user")
