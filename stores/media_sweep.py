"""Removes what nobody needs from the media bucket, some time after the last photo let go of it.

The wait is for mistakes, not for races: those `MediaRefs.remove` decides exactly.
"""

from functools import partial

from domain.ports.photos import MediaRefs
from domain.ports.uploads import Objects
from domain.renditions import object_key
from domain.settings import Uploads

_AT_ONCE = 500


async def sweep(refs: MediaRefs, objects: Objects, uploads: Uploads, now: int) -> int:
    """Remove objects unheld for longer than the grace; how many. Twice, or two at once, is once.

    `now` is in milliseconds. Raises Transient, StoreAway (another
    remover is at the same object: the next round sees).
    """
    removed = 0
    for unheld in await refs.unheld(now - uploads.media_grace_s * 1000, _AT_ONCE):
        key = object_key(unheld.user_id, unheld.hash)
        delete = partial(objects.delete, uploads.media_bucket, key)
        removed += await refs.remove(unheld, delete)
    return removed
