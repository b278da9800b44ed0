"""Renders a post's pictures again from its original and shows the new ones in place of the old.

The original is the one that was published: its bytes must have the row's SHA-256. The new objects
are held and stored first, then the row is repointed (I8), then post.edited is told; `retire_posts`
replaces the cached post, purges the old URLs and lets go of the old objects. What broke off in
between is finished by the next run, because the photo still holds what it no longer shows.
"""

import hashlib
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from enum import StrEnum

from domain import post_events
from domain.entities import Photo, PhotoStatus
from domain.errors import Reason, Unrecoverable
from domain.media import picture_paths
from domain.ports.log import EventLog
from domain.ports.photos import MediaRefs, Photos, PictureEdge
from domain.ports.uploads import Objects
from domain.renditions import Decoder, Rejected, Rendered, Variant, object_key
from domain.settings import Uploads
from schemas.events import VariantRef
from topics.catalog import POST_EDITED


class Outcome(StrEnum):
    """What became of one photo. Only the last three are problems."""

    CHANGED = "changed"
    REPAIRED = "repaired"
    SAME = "same"
    NOT_A_POST = "not_a_post"
    NO_ORIGINAL = "no_original"
    ORIGINAL_CHANGED = "original_changed"
    REFUSED = "refused"

    @property
    def is_problem(self) -> bool:
        """Whether an operator should look at it."""
        return self in {Outcome.NO_ORIGINAL, Outcome.ORIGINAL_CHANGED, Outcome.REFUSED}


@dataclass(frozen=True)
class Rerender:
    """Does one photo after the other. Twice is once."""

    photos: Photos
    refs: MediaRefs
    objects: Objects
    decoder: Decoder
    events: EventLog
    edge: PictureEdge
    uploads: Uploads
    clock: Callable[[], int]

    async def __call__(self, photo_id: str, *, dry_run: bool = False) -> Outcome:
        """Render again, and change what is affected. Raises StoreAway, Transient."""
        post = await self.photos.get(photo_id)
        if post is None or post.status is not PhotoStatus.PUBLISHED:
            return Outcome.NOT_A_POST
        rendered = await self._rendered(post)
        if isinstance(rendered, Outcome):
            return rendered
        broken = [each for each in rendered.variants if not await self._is_stored(post, each)]
        refs = _refs(rendered)
        changed = refs != post.variants
        if not dry_run:
            await self._store(post, broken, {each.hash for each in refs})
            await self._show(post, rendered, broken)
        if changed:
            return Outcome.CHANGED
        return Outcome.REPAIRED if broken else Outcome.SAME

    async def _rendered(self, post: Photo) -> Rendered | Outcome:
        try:
            source = await self.objects.get(self.uploads.bucket, post.object_key)
        except Unrecoverable as error:
            if error.reason is not Reason.MISSING_OBJECT:
                raise
            return Outcome.NO_ORIGINAL
        if hashlib.sha256(source).hexdigest() != post.sha256:
            return Outcome.ORIGINAL_CHANGED
        focus = None if post.focus is None else (post.focus.x, post.focus.y)
        try:
            return await self.decoder.render(source, post.content_type, focus)
        except Rejected:
            return Outcome.REFUSED

    async def _is_stored(self, post: Photo, variant: Variant) -> bool:
        """Whether the object is there and is what its key says."""
        key = object_key(post.user_id, variant.content_hash)
        try:
            return await self.objects.get(self.uploads.media_bucket, key) == variant.data
        except Unrecoverable as error:
            if error.reason is not Reason.MISSING_OBJECT:
                raise
            return False

    async def _store(self, post: Photo, broken: Collection[Variant], hashes: set[str]) -> None:
        await self.refs.hold(post.user_id, hashes, post.photo_id)
        for each in broken:
            key = object_key(post.user_id, each.content_hash)
            await self.objects.put(self.uploads.media_bucket, key, each.data, each.content_type)

    async def _show(self, post: Photo, rendered: Rendered, broken: Collection[Variant]) -> None:
        """Repoint the row, tell of it, and refresh what was mended under its old URL."""
        refs, hashes = _refs(rendered), {each.content_hash for each in rendered.variants}

        def repointed(stored: Photo) -> Photo:
            return replace(
                stored,
                variants=refs,
                width=rendered.width,
                height=rendered.height,
                placeholder=rendered.placeholder,
            )

        new = await self.photos.revise(post.photo_id, repointed)
        # Held again: an earlier edit's stage may have let go of what the row didn't show yet.
        await self.refs.hold(post.user_id, hashes, post.photo_id)
        if new is None or not await self._is_live(post.photo_id):  # its stage may be done already
            await self.refs.release(post.user_id, hashes, post.photo_id, self.clock())
            return
        if new.version != post.version or await self.refs.held(post.photo_id) - hashes:
            await self.events.publish(POST_EDITED, post_events.edited(new, self.clock()))
        if mended := {each.content_hash for each in broken} & {r.hash for r in post.variants}:
            await self.edge.refresh(picture_paths(post.photo_id, mended))

    async def _is_live(self, photo_id: str) -> bool:
        post = await self.photos.get(photo_id)
        return post is not None and post.status is PhotoStatus.PUBLISHED


def _refs(rendered: Rendered) -> tuple[VariantRef, ...]:
    return tuple(
        VariantRef(each.name, each.content_hash, each.width, each.height, len(each.data))
        for each in rendered.variants
    )
