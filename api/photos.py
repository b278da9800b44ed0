"""What has become of an upload: asked once, or waited for."""

import asyncio
from collections import OrderedDict
from typing import Annotated

from fastapi import APIRouter, Query, Response

from api.deps import Api, Deps, PhotoId, Viewer
from api.photo_shapes import Status, Urls
from api.problems import not_found
from domain.entities import Photo, PhotoStatus
from domain.media import image_urls
from domain.post_json import rfc3339

router = APIRouter(tags=["photos"])

_LONGEST_WAIT_S = 8
_FIRST_LOOK_S, _LAST_LOOK_S = 0.1, 0.5
_LONGEST_PAUSE_S = 8
_REMEMBERED_POLLS = 10_000
_UNDECIDED = frozenset({PhotoStatus.AWAITING_UPLOAD, PhotoStatus.PROCESSING})


@router.get("/photos/{photo_id}/status")
async def status(
    api: Api,
    viewer: Viewer,
    photo_id: PhotoId,
    response: Response,
    wait: Annotated[int, Query(ge=0, le=_LONGEST_WAIT_S, description="seconds")] = 0,
) -> Status:
    """What has become of an upload; with `wait`, answered when it is decided or time is up."""
    photo = await own_photo(api, viewer, photo_id)
    ends_at = asyncio.get_running_loop().time() + wait
    look_s = _FIRST_LOOK_S
    while photo.status in _UNDECIDED and asyncio.get_running_loop().time() + look_s <= ends_at:
        await asyncio.sleep(look_s)
        look_s = min(_LAST_LOOK_S, look_s * 1.5)
        photo = await own_photo(api, viewer, photo_id)
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


async def own_photo(deps: Deps, viewer: str, photo_id: str) -> Photo:
    """The viewer's own photo. Raises Problem (404), the same for none and for somebody else's."""
    photo = await deps.stores.photos.get(photo_id)
    if photo is None or photo.user_id != viewer:
        raise not_found("photo")
    return photo


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
