"""The shield between edge and object store: `python -m api.shield`.

It alone knows which bytes a post's URL stands for, and that a deleted post is 410 although a twin
with the same bytes is served (contract, "Variants"). The edge caches what it answers.
"""

import re
import sys
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable

from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from api.problems import GONE, HANDLED, Problem, handle, not_found
from api.server import listen, run
from domain import ids
from domain.entities import Photo, PhotoStatus
from domain.errors import Unrecoverable
from domain.renditions import object_key
from domain.secrets import Secrets
from domain.settings import Settings
from stores.connect import Stores

_FRESH_S = 2.0
_KEPT = 10_000
_NOT_MODIFIED, _PARTIAL, _UNSATISFIABLE = 304, 206, 416
_REFRESH = "x-refresh"
"""Set by the edge's internal listener alone: its public one passes no header on."""
_RANGE = re.compile(r"bytes=(\d{0,12})-(\d{0,12})")

Read = Callable[[str], Awaitable[Photo | None]]


class FreshRows:
    """Rows read a moment ago: many pictures of one post cost one read of it."""

    def __init__(self, read: Read, clock: Callable[[], float] = time.monotonic) -> None:
        self._read = read
        self._clock = clock
        self._rows: OrderedDict[str, tuple[float, Photo]] = OrderedDict()

    async def get(self, photo_id: str) -> Photo | None:
        """The row, at most _FRESH_S old when it is published, else as it is now."""
        read_at, photo = self._rows.get(photo_id, (float("-inf"), None))
        if photo is not None and self._clock() - read_at < _FRESH_S:
            return photo
        return await self.now(photo_id)

    async def now(self, photo_id: str) -> Photo | None:
        """The row as it is now. An older reading that comes back later doesn't replace it."""
        self._rows.pop(photo_id, None)
        began = self._clock()
        found = await self._read(photo_id)
        read_at, _ = self._rows.get(photo_id, (float("-inf"), None))
        if found is not None and found.status is PhotoStatus.PUBLISHED and read_at <= began:
            self._rows[photo_id] = (began, found)
            if len(self._rows) > _KEPT:
                self._rows.popitem(last=False)
        return found


def create_shield(settings: Settings, stores: Stores) -> Starlette:
    """The application. Who makes the stores closes them."""
    rows = FreshRows(stores.photos.get)
    bucket = settings.uploads.media_bucket

    async def picture(request: Request) -> Response:
        content_hash = request.path_params["hash"]
        refreshes = _REFRESH in request.headers
        photo = await _shown(rows.now if refreshes else rows.get, request)
        if names(request.headers.get("if-none-match", ""), content_hash):
            return Response(status_code=_NOT_MODIFIED, headers=_headers(content_hash))
        try:
            data = await stores.objects.get(bucket, object_key(photo.user_id, content_hash))
        except Unrecoverable:
            raise not_found("picture") from None
        # Deleted while the bytes were read? The edge would keep the picture behind the purge.
        await _shown(rows.now, request)
        return ranged(request.headers, data, content_hash)

    async def live(_: Request) -> Response:
        return Response(b'{"status":"alive"}', media_type="application/json")

    return Starlette(
        routes=[
            Route("/pub/{photo_id}/{hash}/{name}.jpg", picture),
            Route("/health/live", live),
        ],
        exception_handlers=dict.fromkeys((*HANDLED, Exception), _handled),
    )


def names(header: str, content_hash: str) -> bool:
    """Whether If-None-Match names this picture (RFC 9110, 13.1.2)."""
    tags = {tag.strip().removeprefix("W/") for tag in header.split(",")}
    return bool(tags & {"*", f'"{content_hash}"'})


def ranged(asked: Headers, data: bytes, content_hash: str) -> Response:
    """The picture, or the one range of it that was asked for (RFC 9110, 14)."""
    headers = _headers(content_hash)
    bounds = _RANGE.fullmatch(asked.get("range", ""))
    first, last = bounds.groups() if bounds else ("", "")
    backwards = first and last and int(first) > int(last)
    of_other = asked.get("if-range", f'"{content_hash}"') != f'"{content_hash}"'
    if not (first or last) or backwards or of_other:
        return Response(data, headers=headers, media_type="image/jpeg")
    start = int(first) if first else max(0, len(data) - int(last))
    end = min(int(last), len(data) - 1) if first and last else len(data) - 1
    if start > end:
        headers = {"Content-Range": f"bytes */{len(data)}", "Cache-Control": "no-store"}
        return Response(status_code=_UNSATISFIABLE, headers=headers)
    headers["Content-Range"] = f"bytes {start}-{end}/{len(data)}"
    part = data[start : end + 1]
    return Response(part, status_code=_PARTIAL, headers=headers, media_type="image/jpeg")


async def _shown(read: Read, request: Request) -> Photo:
    """The row of a post that has this picture.

    Raises Problem: 410 for a deleted post, 404 for a picture that isn't one of its present ones.
    """
    photo_id, *picture = (request.path_params[part] for part in ("photo_id", "name", "hash"))
    photo = await read(photo_id) if ids.is_id(photo_id, "ph_") else None
    if photo is not None and photo.status is PhotoStatus.DELETED:
        raise Problem(GONE, headers={"Cache-Control": "max-age=60"})
    if photo is None or photo.status is not PhotoStatus.PUBLISHED:
        raise not_found("picture")
    if picture not in [[variant.name, variant.hash] for variant in photo.variants]:
        raise not_found("picture")
    return photo


def _headers(content_hash: str) -> dict[str, str]:
    """What a picture carries: its bytes never change under its URL."""
    return {
        "Cache-Control": "public, max-age=2592000, immutable",
        "ETag": f'"{content_hash}"',
        "Accept-Ranges": "bytes",
        "X-Content-Type-Options": "nosniff",
    }


async def _handled(request: Request, error: Exception) -> Response:
    """A problem; what isn't settled may not be cached."""
    answer = await handle(request, error)
    answer.headers.setdefault("Cache-Control", "no-store")
    return answer


async def serve(settings: Settings) -> None:
    """Answer calls until SIGTERM."""
    stores = Stores(settings, Secrets.load(settings.run_dir))
    try:
        await listen(create_shield(settings, stores), settings.port("shield"))
    finally:
        await stores.close()


if __name__ == "__main__":
    sys.exit(run(serve))
