"""Uploads: announce, PUT straight to the object store, complete or give up.

Up to the size of a part an upload is one PUT; above it is multipart: the parts go side by side, and
after a lost connection GET /photos/{id}/parts tells what is still missing.
"""

from dataclasses import replace

from fastapi import APIRouter, Request

from api.deps import Api, Deps, PhotoId, Viewer, trace_headers
from api.photo_shapes import (
    Accepted,
    Grant,
    HeldPart,
    MultipartGrant,
    NewPhoto,
    Parts,
    PartUrl,
    Words,
)
from api.photos import own_photo
from api.problems import (
    NOT_AWAITED,
    TOO_LARGE,
    UNSUPPORTED_TYPE,
    UPLOAD_MISMATCH,
    Problem,
    not_found,
)
from domain import uploads
from domain.entities import Photo, PhotoStatus
from domain.ports.uploads import ObjectInfo
from domain.post_json import rfc3339
from domain.renditions import CONTENT_TYPES
from domain.uploads import OpenUpload, Part
from schemas.events import Focus, Location
from topics.catalog import UPLOAD_COMPLETED

router = APIRouter(tags=["photos"])


@router.post("/photos")
async def announce(
    api: Api, request: Request, viewer: Viewer, new: NewPhoto
) -> Grant | MultipartGrant:
    """Announce an upload and get URLs to PUT it to, good for 15 minutes."""
    if new.content_type not in CONTENT_TYPES:
        raise Problem(UNSUPPORTED_TYPE, f"accepted: {', '.join(sorted(CONTENT_TYPES))}")
    limits = api.settings.uploads
    if new.size_bytes > limits.max_bytes:
        raise Problem(TOO_LARGE, f"a photo has at most {limits.max_bytes} bytes")
    await api.limits.spend(request.scope["state"], "uploads", viewer)
    photo_id = api.stores.ids.next_id("ph_")
    multipart = new.size_bytes > limits.part_bytes
    lives_s = limits.multipart_ttl_s if multipart else limits.url_ttl_s
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
        expires_at=api.now_ms() + lives_s * 1000,
    )
    photo = _worded(awaited, new)
    grant = await (_grant_parts if multipart else _grant_put)(api, photo)
    return grant.model_copy(update={"duplicate_of": await _own_duplicate(api, photo)})


@router.get("/photos/{photo_id}/parts")
async def parts(api: Api, viewer: Viewer, photo_id: PhotoId) -> Parts:
    """What the object store holds of a multipart upload, and fresh URLs for the rest."""
    photo = await own_photo(api, viewer, photo_id)
    upload_id = await api.stores.open_uploads.upload_id(photo_id)
    if photo.status is not PhotoStatus.AWAITING_UPLOAD or upload_id is None:
        raise not_found("multipart upload")
    planned = uploads.plan_parts(photo.size_bytes, api.settings.uploads.part_bytes)
    held = await api.stores.multiparts.parts(photo.object_key, upload_id)
    if held is None:  # completed by the client itself, or swept
        return Parts(parts=[], missing=[])
    return Parts(
        parts=[
            HeldPart(part_number=part.number, etag=part.etag, size_bytes=part.size_bytes)
            for part in held
        ],
        missing=await _part_urls(api, photo, upload_id, uploads.missing_parts(planned, held)),
    )


@router.delete("/photos/{photo_id}", status_code=204)
async def give_up(api: Api, viewer: Viewer, photo_id: PhotoId) -> None:
    """Give an unfinished upload up; what was uploaded is deleted. Twice is once."""
    photo = await own_photo(api, viewer, photo_id)
    if photo.status is PhotoStatus.AWAITING_UPLOAD:
        await api.stores.photos.reject(photo_id, uploads.GIVEN_UP)
        photo = await own_photo(api, viewer, photo_id)
    if photo.status is PhotoStatus.DELETED:
        raise not_found("upload")
    if photo.status is not PhotoStatus.REJECTED:
        raise Problem(NOT_AWAITED, f"it is {photo.status}; a post goes by DELETE /posts/{photo_id}")
    if photo.reason == uploads.GIVEN_UP:
        # Its URLs still work for a while: what comes by them is swept when they have run out.
        await _discard(api, photo)


@router.post("/photos/{photo_id}/complete", status_code=202)
async def complete(
    api: Api, request: Request, viewer: Viewer, photo_id: PhotoId, words: Words | None = None
) -> Accepted:
    """The bytes are there: process and publish them. Twice is once.

    The row says `processing` before the event is made, and the answer comes after the event is
    acknowledged. A call that fails in between is finished by the client's next try, which makes the
    same event, or by the reconciler.
    """
    photo = await own_photo(api, viewer, photo_id)
    if photo.status is PhotoStatus.AWAITING_UPLOAD:
        await _uploaded(api, photo)
        await api.stores.photos.mark_processing(photo if words is None else _worded(photo, words))
        photo = await own_photo(api, viewer, photo_id)  # of two calls the first one's words stand
    if photo.status is PhotoStatus.REJECTED and photo.reason in uploads.UNFINISHED:
        raise Problem(UPLOAD_MISMATCH, f"the upload has ended: {photo.reason}")
    if photo.status is PhotoStatus.PROCESSING:
        info = await _uploaded(api, photo)
        event = uploads.completed(photo, info.etag, api.now_ms())
        await api.stores.events.publish(UPLOAD_COMPLETED, event, trace_headers(request))
    return Accepted(photo_id=photo_id, poll_url=f"/photos/{photo_id}/status")


async def _own_duplicate(deps: Deps, photo: Photo) -> str | None:
    """The uploader's own post of the same bytes; what other people have is no one's business."""
    if photo.sha256 is None:
        return None
    post = await deps.stores.photos.own_by_sha256(photo.user_id, photo.sha256)
    return None if post is None else post.photo_id


async def _grant_put(deps: Deps, photo: Photo) -> Grant:
    """Keep an upload that is one PUT; its URL."""
    url, headers = await deps.stores.objects.presign_put(
        photo.object_key,
        photo.content_type,
        photo.size_bytes,
        deps.settings.uploads.url_ttl_s,
        photo.sha256,
    )
    await deps.stores.open_uploads.add(OpenUpload(photo.photo_id))
    await deps.stores.photos.add(photo)
    return Grant(
        photo_id=photo.photo_id,
        upload_url=url,
        upload_headers=headers,
        expires_at=_urls_expire_at(deps),
    )


async def _grant_parts(deps: Deps, photo: Photo) -> MultipartGrant:
    """Keep a multipart upload; the URLs of its parts."""
    store, limits = deps.stores.multiparts, deps.settings.uploads
    upload_id = await store.begin(photo.object_key, photo.content_type)
    await deps.stores.open_uploads.add(OpenUpload(photo.photo_id, upload_id))
    await deps.stores.photos.add(photo)
    planned = uploads.plan_parts(photo.size_bytes, limits.part_bytes)
    url, headers = await store.presign_complete(photo.object_key, upload_id, limits.url_ttl_s)
    return MultipartGrant(
        photo_id=photo.photo_id,
        upload_id=upload_id,
        part_size=limits.part_bytes,
        parts=await _part_urls(deps, photo, upload_id, planned),
        complete_url=url,
        complete_headers=headers,
        expires_at=_urls_expire_at(deps),
    )


def _urls_expire_at(deps: Deps) -> str:
    return rfc3339(deps.now_ms() + deps.settings.uploads.url_ttl_s * 1000)


async def _part_urls(deps: Deps, photo: Photo, upload_id: str, wanted: list[Part]) -> list[PartUrl]:
    urls = await deps.stores.multiparts.presign_parts(
        photo.object_key, upload_id, wanted, deps.settings.uploads.url_ttl_s
    )
    return [
        PartUrl(part_number=part.number, size_bytes=part.size_bytes, upload_url=url)
        for part, url in zip(wanted, urls, strict=True)
    ]


async def _uploaded(deps: Deps, photo: Photo) -> ObjectInfo:
    """What the object store holds for a photo, a multipart upload put together if need be.

    Raises Problem (409) unless it is as announced.
    """
    bucket = deps.settings.uploads.bucket
    info = await deps.stores.objects.head(bucket, photo.object_key)
    if info is None and photo.size_bytes > deps.settings.uploads.part_bytes:
        await _put_together(deps, photo)
        info = await deps.stores.objects.head(bucket, photo.object_key)
    if info is None:
        raise Problem(UPLOAD_MISMATCH, "nothing was uploaded")
    if info.size_bytes != photo.size_bytes:
        raise Problem(
            UPLOAD_MISMATCH, f"{info.size_bytes} bytes, {photo.size_bytes} were announced"
        )
    if info.content_type != photo.content_type:
        raise Problem(UPLOAD_MISMATCH, f"{info.content_type}, {photo.content_type} was announced")
    return info


async def _put_together(deps: Deps, photo: Photo) -> None:
    """Make the object of the parts that are held; twice is once. Raises Problem (409)."""
    upload_id = await deps.stores.open_uploads.upload_id(photo.photo_id)
    held = upload_id and await deps.stores.multiparts.parts(photo.object_key, upload_id)
    if not upload_id or not held:
        return
    planned = uploads.plan_parts(photo.size_bytes, deps.settings.uploads.part_bytes)
    if missing := uploads.missing_parts(planned, held):
        numbers = ", ".join(str(part.number) for part in missing)
        raise Problem(UPLOAD_MISMATCH, f"parts are missing: {numbers}")
    await deps.stores.multiparts.complete(photo.object_key, upload_id, held)


async def _discard(deps: Deps, photo: Photo) -> None:
    upload_id = await deps.stores.open_uploads.upload_id(photo.photo_id)
    if upload_id is not None:
        await deps.stores.multiparts.abort(photo.object_key, upload_id)
    await deps.stores.objects.delete(deps.settings.uploads.bucket, photo.object_key)


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
