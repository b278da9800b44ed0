"""Following people. The change and its event are one commit; the caches only forget."""

from contextlib import suppress

from fastapi import APIRouter, Request
from pydantic import BaseModel

from api.deps import Api, Deps, UserId, Viewer
from api.people import follow_counts
from api.problems import SELF_FOLLOW, Problem, not_found
from domain.errors import NotFound, Transient

router = APIRouter(tags=["follows"])


class Following(BaseModel):
    """Whether the viewer follows somebody now."""

    user_id: str
    following: bool
    follower_count: int


@router.post("/follow/{user_id}")
async def follow(api: Api, request: Request, viewer: Viewer, user_id: UserId) -> Following:
    """Follow somebody; twice is once."""
    return await _change(api, request, viewer, user_id, follow=True)


@router.delete("/follow/{user_id}")
async def unfollow(api: Api, request: Request, viewer: Viewer, user_id: UserId) -> Following:
    """Unfollow somebody; twice is once."""
    return await _change(api, request, viewer, user_id, follow=False)


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
            traceparent=request.state.traceparent,
        )
    except NotFound:
        raise not_found("user") from None
    with suppress(Transient):  # else the cached set lives on for its short TTL
        await deps.stores.follow_cache.forget_following(viewer)
    followers, _ = await follow_counts(deps, user_id)
    return Following(user_id=user_id, following=edge.following, follower_count=followers)
