"""A post as JSON bytes, in pieces that can be kept apart and joined without parsing.

`post_bytes` and `person_bytes` are the same for every viewer and are cached; counts and the
viewer's like are added when a page is joined (contract, GET /feed).
"""

import time
from collections.abc import Iterable

import msgspec

from domain.entities import Counts, Photo, User
from domain.media import image_urls


def rfc3339(at_ms: int) -> str:
    """Unix milliseconds as RFC 3339 in UTC, to the millisecond."""
    seconds, ms = divmod(at_ms, 1000)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{ms:03d}Z"


def post_bytes(photo: Photo, edge_base: str) -> bytes:
    """What a published post shows to everybody, as a JSON object without its author."""
    where = photo.location
    return msgspec.json.encode(
        {
            "post_id": photo.photo_id,
            "caption": photo.caption,
            "tags": photo.tags,
            "location": None if where is None else {"lat": where.lat, "lon": where.lon},
            "alt_text": photo.alt_text,
            "image_urls": image_urls(edge_base, photo),
            "width": photo.width,
            "height": photo.height,
            "placeholder": photo.placeholder,
            "created_at": rfc3339(photo.published_at or 0),
        }
    )


def person_bytes(user: User, avatar: Photo | None, edge_base: str) -> bytes:
    """A post's author as a JSON object; the avatar is the thumbnail of one of their posts."""
    url = None if avatar is None else image_urls(edge_base, avatar).get("thumbnail")
    return msgspec.json.encode(
        {"user_id": user.user_id, "username": user.username, "avatar_url": url}
    )


def join_post(post: bytes, person: bytes, counts: Counts, *, liked: bool) -> bytes:
    """One post of a page, as one viewer sees it."""
    return b'%b,"user":%b,"like_count":%d,"comment_count":%d,"liked_by_viewer":%b}' % (
        post[:-1],
        person,
        counts.likes,
        counts.comments,
        b"true" if liked else b"false",
    )


def join_page(posts: Iterable[bytes], next_cursor: str | None, completeness: str) -> bytes:
    """A page of posts; a cursor says that there is more."""
    return b'{"posts":[%b],"next_cursor":%b,"has_more":%b,"completeness":"%b"}' % (
        b",".join(posts),
        b"null" if next_cursor is None else b'"%b"' % next_cursor.encode(),
        b"false" if next_cursor is None else b"true",
        completeness.encode(),
    )
