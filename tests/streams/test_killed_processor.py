"""Processor and publisher killed before, between and after each of their calls: one post, whole."""

from typing import Any

import pytest

from domain.entities import PhotoStatus
from domain.renditions import object_key
from domain.settings import Blocked, Uploads
from schemas.events import PhotoProcessed, PostPublished, UploadCompleted
from stores.memory.cassandra import MemoryMediaRefs, MemoryRenditions
from stores.memory.moderation import MemoryBlocklist, MemoryModeration
from stores.remembering_decoder import RememberingDecoder
from stores.screening import Screening
from streams.process_photo import ProcessPhoto
from streams.publish_post import PublishPost
from tests.fresh import now_ms
from tests.streams.dying_ports import Dying, Killed
from tests.streams.test_process_photo import Scene
from tests.upload_scene import ToyFilter

UPLOADS = Uploads()
NEVER = 0


class Line:
    """An upload's stores and the two stages that make it a post; stages die and are born again."""

    def __init__(self) -> None:
        self.scene, self.renditions, self.refs = Scene(), MemoryRenditions(), MemoryMediaRefs()
        self.blocklist = MemoryBlocklist()
        self.moderation = MemoryModeration(self.blocklist)
        self.calls = [0]

    def stages(self, at: int, *, after: bool) -> tuple[ProcessPhoto, PublishPost]:
        """New processes; the `at`-th call of any port, counted from the start, is their death."""

        def port(real: object) -> Any:
            return Dying(real, self.calls, at, after=after)

        photos, objects = port(self.scene.photos), port(self.scene.objects)
        decoder = RememberingDecoder(
            self.scene.decoder, port(self.renditions), objects, UPLOADS.media_bucket, ToyFilter()
        )
        screening = Screening(
            self.blocklist, port(self.moderation), objects, UPLOADS.bucket, Blocked()
        )
        process = ProcessPhoto(photos, port(self.refs), objects, decoder, screening, UPLOADS)
        return process, PublishPost(photos, now_ms)

    async def run(self, event: UploadCompleted, at: int, *, after: bool) -> list[PostPublished]:
        """Deliver until it is handled, as the broker does; every post.published that was made."""
        published: list[PostPublished] = []
        for _ in range(2):
            process, publish = self.stages(at, after=after)
            try:
                for made in await process(event):
                    assert isinstance(made.event, PhotoProcessed)
                    for emit in await publish(made.event):
                        assert isinstance(emit.event, PostPublished)
                        published.append(emit.event)
            except Killed:
                continue
            return published
        raise AssertionError("it died twice")


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
async def test_a_stage_killed_at_any_call_still_makes_one_whole_post(after: bool) -> None:
    whole = Line()
    await whole.run(await whole.scene.upload(), NEVER, after=after)
    assert whole.calls[0] >= 8
    for at in range(1, whole.calls[0] + 1):
        line = Line()
        event = await line.scene.upload()
        published = await line.run(event, at, after=after)
        assert line.calls[0] > at, "nothing died"
        row = await line.scene.stored()
        assert row.status is PhotoStatus.PUBLISHED
        assert {each.event_id for each in published} == {f"{event.event_id}.processed.published"}
        assert {each.published_at for each in published} == {row.published_at}
        assert len(await line.scene.photos.by_user(row.user_id, None, 10)) == 1
        for variant in row.variants:
            key = object_key(row.user_id, variant.hash)
            assert await line.scene.objects.get(UPLOADS.media_bucket, key)
