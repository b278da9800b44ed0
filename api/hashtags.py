"""Posts with a tag, newest first, from the search index."""

import hashlib

from fastapi import APIRouter, Response

from api.deps import Api, Viewer
from api.posts import PostPage, ready_posts
from api.problems import invalid
from api.wire import PAGE, CursorText, Limit, place
from domain import cursors, tags
from domain.entities import Cursor
from domain.post_json import join_page

router = APIRouter(tags=["search"])


@router.get("/hashtag/{tag}", response_model=PostPage)
async def hashtag(
    api: Api, viewer: Viewer, tag: str, limit: Limit = PAGE, cursor: CursorText = None
) -> Response:
    """Posts with a tag, newest first; the index may know of one that is gone: it is left out."""
    try:
        tag = tags.normalise(tag)
    except ValueError as error:
        raise invalid("tag", str(error), "path") from None
    kind = f"hashtag:{hashlib.sha256(tag.encode()).hexdigest()[:16]}"  # a tag may be long
    before: Cursor | None = None
    match place(kind, (int, str), cursor):
        case (int(at), str(post_id)):
            before = Cursor(at, post_id)
    by_tag = api.stores.search_index.by_tag
    found = await api.breakers["search"].run(by_tag, tag, before, limit + 1)
    shown, more = found[:limit], len(found) > limit
    ready, whole = await ready_posts(api, viewer, shown)
    after = cursors.encode(kind, shown[-1].published_at, shown[-1].post_id) if more else None
    body = join_page(ready, after, "complete" if whole else "degraded")
    return Response(body, media_type="application/json")
