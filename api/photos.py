"""Uploads: announce, PUT straight to the object store, complete, ask what became of it."""

import asyncio
from collections import OrderedDict
from contextlib import suppress
from dataclasses import replace
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from api.deps import Api, Deps, PhotoId, Viewer, trace_headers
from api.photo_shapes import Accepted, Grant, NewPhoto, Status, Urls, Words
from api.problems import (
    TOO_LARGE,
    UNSUPPORTED_TYPE,
    UPLOAD_MISMATCH,
    Problem,
    not_found,
)
from domain import ids
from domain.entities import Photo, PhotoStatus
from domain.errors import Transient
from domain.media import image_urls
from domain.ports import ObjectInfo
from domain.post_json import rfc3339
from domain.renditions import CONTENT_TYPES
from schemas.events import Focus, Location, UploadCompleted
from topics.catalog import UPLOAD_COMPLETED

router = APIRouter(tags=["photos"])

_LONGEST_WAIT_S = 8
_FIRST_LOOK_S, _LAST_LOOK_S = 0.1, 0.5
_LONGEST_PAUSE_S = 8
_REMEMBERED_POLLS = 10_000
_UNDECIDED = frozenset({PhotoStatus.AWAITING_UPLOAD, PhotoStatus.PROCESSING})


@router.post("/photos")
async def announce(api: Api, request: Request, viewer: Viewer, new: NewPhoto) -> Grant:
    """Announce an upload and get a URL to PUT it to, good for 15 minutes."""
    if new.content_type not in CONTENT_TYPES:
        raise Problem(UNSUPPORTED_TYPE, f"accepted: {', '.join(sorted(CONTENT_TYPES))}")
    limits = api.settings.uploads
    if new.size_bytes > limits.max_bytes:
        raise Problem(TOO_LARGE, f"a photo has at most {limits.max_bytes} bytes")
    await api.limits.spend(request.scope["state"], "uploads", viewer)
    photo_id = api.stores.ids.next_id("ph_")
    expires_at = api.now_ms() + limits.url_ttl_s * 1000
    awaited = Photo(
        photo_id=photo_id,
        user_id=viewer,
        status=PhotoStatus.AWAITING_UPLOAD,
        filename=new.filename,
        content_type=new.content_type,
        size_bytes=new.size_bytes,
        object_key=f"{viewer}/{photo_id}",
        focus=Focus(new.focus.x, new.focus.y) if new.focus else None,
        sha256=new.sha256,
        expires_at=expires_at,
    )
    photo = _worded(awaited, new)
    await api.stores.photos.add(photo)
    url, headers = await api.stores.objects.presign_put(
        photo.object_key, photo.content_type, photo.size_bytes, limits.url_ttl_s, photo.sha256
    )
    return Grant(
        photo_id=photo_id, upload_url=url, upload_headers=headers, expires_at=rfc3339(expires_at)
    )


@router.post("/photos/{photo_id}/complete", status_code=202)
async def complete(
    api: Api, request: Request, viewer: Viewer, photo_id: PhotoId, words: Words | None = None
) -> Accepted:
    """The bytes are there: process and publish them. Twice is once.

    The acknowledged event is the commit. The row says `processing` only after it, so whatever is
    not yet so marked is published (again, as the same event) by the client's next try.
    """
    photo = await _own(api, viewer, photo_id)
    if photo.status is PhotoStatus.AWAITING_UPLOAD:
        if words is not None:
            photo = _worded(photo, words)
        event = _completed(photo, await _uploaded(api, photo), api.now_ms())
        await api.stores.events.publish(UPLOAD_COMPLETED, event, trace_headers(request))
        with suppress(Transient):
            await api.stores.photos.mark_processing(photo)
    return Accepted(photo_id=photo_id, poll_url=f"/photos/{photo_id}/status")


@router.get("/photos/{photo_id}/status")
async def status(
    api: Api,
    viewer: Viewer,
    photo_id: PhotoId,
    response: Response,
    wait: Annotated[int, Query(ge=0, le=_LONGEST_WAIT_S, description="seconds")] = 0,
) -> Status:
    """What has become of an upload; with `wait`, answered when it is decided or time is up."""
    photo = await _own(api, viewer, photo_id)
    ends_at = asyncio.get_running_loop().time() + wait
    look_s = _FIRST_LOOK_S
    while photo.status in _UNDECIDED and asyncio.get_running_loop().time() + look_s <= ends_at:
        await asyncio.sleep(look_s)
        look_s = min(_LAST_LOOK_S, look_s * 1.5)
        photo = await _own(api, viewer, photo_id)
    if photo.status in _UNDECIDED:
        response.headers["Retry-After"] = str(_pauses.next(photo_id))
    published = photo.status is PhotoStatus.PUBLISHED
    return Status(
        photo_id=photo_id,
        status=photo.status,
        urls=Urls(**image_urls(api.settings.url("edge"), photo)) if published else None,
        published_at=rfc3339(photo.published_at) if photo.published_at else None,
        reason=photo.reason,
    )


async def _own(deps: Deps, viewer: str, photo_id: str) -> Photo:
    """The viewer's own photo. Raises Problem (404), the same for none and for somebody else's."""
    photo = await deps.stores.photos.get(photo_id)
    if photo is None or photo.user_id != viewer:
        raise not_found("photo")
    return photo


async def _uploaded(deps: Deps, photo: Photo) -> ObjectInfo:
    """What the object store holds for a photo. Raises Problem (409) unless it is as announced."""
    info = await deps.stores.objects.head(deps.settings.uploads.bucket, photo.object_key)
    if info is None:
        raise Problem(UPLOAD_MISMATCH, "nothing was uploaded")
    if info.size_bytes != photo.size_bytes:
        raise Problem(
            UPLOAD_MISMATCH, f"{info.size_bytes} bytes, {photo.size_bytes} were announced"
        )
    if info.content_type != photo.content_type:
        raise Problem(UPLOAD_MISMATCH, f"{info.content_type}, {photo.content_type} was announced")
    return info


def _worded(photo: Photo, words: Words) -> Photo:
    """The photo with the words that were given."""
    place = words.location
    return replace(
        photo,
        caption=photo.caption if words.caption is None else words.caption,
        tags=photo.tags if words.tags is None else tuple(words.tags),
        alt_text=photo.alt_text if words.alt_text is None else words.alt_text,
        location=photo.location if place is None else Location(place.lat, place.lon),
    )


def _completed(photo: Photo, info: ObjectInfo, now: int) -> UploadCompleted:
    """The event of a verified upload; its id is the photo's, so that it is one event for good."""
    return UploadCompleted(
        event_id=ids.derived(photo.photo_id.removeprefix("ph_"), "completed"),
        occurred_at=now,
        version=photo.version + 1,
        photo_id=photo.photo_id,
        user_id=photo.user_id,
        object_key=photo.object_key,
        etag=info.etag,
        content_type=photo.content_type,
        size_bytes=photo.size_bytes,
        caption=photo.caption,
        tags=photo.tags,
        alt_text=photo.alt_text,
        location=photo.location,
        focus=photo.focus,
    )


class _Pauses:
    """How long a client should wait before it asks again: 1, 2, 4, then 8 s (seed section 5b)."""

    def __init__(self) -> None:
        self._asked: OrderedDict[str, int] = OrderedDict()

    def next(self, photo_id: str) -> int:
        """Seconds; doubles with every call for one photo. Forgets what wasn't asked for long."""
        pause = self._asked.pop(photo_id, 1)
        self._asked[photo_id] = min(_LONGEST_PAUSE_S, pause * 2)
        if len(self._asked) > _REMEMBERED_POLLS:
            self._asked.popitem(last=False)
        return pause


_pauses = _Pauses()
