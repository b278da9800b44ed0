"""post.edited, post.deleted → Cassandra, Redis, the edge, object storage.

Retires what a post no longer shows: all of it after a deletion, the old words and pictures after an
edit (contract: DELETE /posts/{id}; I3).

The commit of a deletion is Kafka's acknowledgement of post.deleted; its version is the greatest
there is, so nobody has to be asked for it and nothing that is on its way outranks it. The API's
own tombstone is a hint; this stage writes it again, and first, because all else follows from the
row: who reads it from then on (publish, the hydrator, the shield, a rebuild) finds the post gone,
so what is cleaned up behind it can't come back. An edit is in the row before its event exists.

* The ready bytes are replaced by what the row says, and again if it changed meanwhile, never just
  dropped: a reader who read the old row may still write it back, and fills only what is absent.
* The edge is asked until readers get 410 (404 for the old pictures of a post that lives).
* The objects are released last: while a photo still holds some, there is something to purge. Twin
  posts hold the same objects and keep them.
* Members of feed sets stay: hydration leaves them out, and they age out of the set.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Protocol

from domain.entities import Photo, PhotoStatus
from domain.errors import Reason, Unrecoverable
from domain.media import picture_paths
from domain.ports.feeds import PostCache
from domain.ports.photos import MediaRefs, Photos, PictureEdge
from domain.ports.uploads import Objects
from domain.post_json import post_bytes
from domain.settings import Settings
from schemas.events import PostDeleted, PostEdited
from streams.runtime.runner import now_ms
from streams.runtime.stage import Emit


class RetireStores(Protocol):
    """The ports that a post's traces are in."""

    @property
    def photos(self) -> Photos:
        """The rows."""

    @property
    def post_cache(self) -> PostCache:
        """Ready bytes."""

    @property
    def media_refs(self) -> MediaRefs:
        """Who needs which picture."""

    @property
    def objects(self) -> Objects:
        """The originals."""

    @property
    def edge(self) -> PictureEdge:
        """The pictures' cache."""


def stale(photo: Photo, held: set[str]) -> set[str]:
    """Hashes of the pictures that a post has shown, or may have, and doesn't any more."""
    shown = {variant.hash for variant in photo.variants}
    return held | shown if photo.status is PhotoStatus.DELETED else held - shown


class RetirePosts:
    """The handler of both."""

    def __init__(
        self, stores: RetireStores, settings: Settings, clock: Callable[[], int] = now_ms
    ) -> None:
        self._photos = stores.photos
        self._post_cache = stores.post_cache
        self._refs = stores.media_refs
        self._objects = stores.objects
        self._edge = stores.edge
        self._edge_base = settings.url("edge")
        self._uploads = settings.uploads.bucket
        self._clock = clock

    async def __call__(self, event: PostEdited | PostDeleted) -> Sequence[Emit]:
        """Twice is once. Raises Unrecoverable(unknown_post) without a row, StoreAway, Transient."""
        if isinstance(event, PostDeleted):
            await self._photos.delete(event.post_id)
        photo = await self._show(event.post_id)
        if photo.status is PhotoStatus.DELETED:
            await asyncio.gather(
                self._post_cache.forget([photo.user_id]),  # it may be their avatar
                self._objects.delete(self._uploads, photo.object_key),
            )
        refs = self._refs
        if hashes := stale(photo, await refs.held(photo.photo_id)):
            await self._edge.purge(picture_paths(photo.photo_id, hashes))
            await refs.release(photo.user_id, hashes, photo.photo_id, self._clock())
            # Shown meanwhile? Who repoints a row holds after it, and this looks after letting go.
            photo = await self._row(event.post_id)
            if back := hashes - stale(photo, hashes):
                await refs.hold(photo.user_id, back, photo.photo_id)
        return ()

    async def _show(self, post_id: str) -> Photo:
        """Put the ready bytes of the row as it is after they were put; no bytes for a deleted one.

        Whoever puts last has looked at the row after that, so the last bytes are the row's.
        """
        photo = await self._row(post_id)
        while True:
            live = photo.status is PhotoStatus.PUBLISHED
            ready = post_bytes(photo, self._edge_base) if live else b""
            await self._post_cache.replace({post_id: ready})
            again = await self._row(post_id)
            if again.version == photo.version:
                return photo
            photo = again

    async def _row(self, post_id: str) -> Photo:
        photo = await self._photos.get(post_id)
        if photo is None:
            raise Unrecoverable(Reason.UNKNOWN_POST, post_id)
        return photo
