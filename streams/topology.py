"""START HERE. Every stage, in the order a photo travels.

upload.completed → photo.processed → post.published → fan-out, counters, notifications, search.
Each stage is a consumer group and a process of its own: a slow one never holds up another.
"""

from streams.count_follows import CountFollows
from streams.count_reactions import CountReactions
from streams.deliver_webhooks import DeliverWebhooks
from streams.index_search import IndexSearch
from streams.notify import Notify
from streams.plan_fan_out import PlanFanOut
from streams.process_photo import ProcessPhoto
from streams.publish_post import PublishPost
from streams.refill_feeds import RefillFeeds
from streams.retire_posts import RetirePosts
from streams.runtime.stage import Stage
from streams.steering import fixed_threshold, steering
from streams.write_feeds import WriteFeeds
from topics import catalog as t

TOPOLOGY: tuple[Stage, ...] = (
    Stage(
        "process_photo",
        reads=(t.UPLOAD_COMPLETED,),
        writes=(t.PHOTO_PROCESSED, t.PHOTO_REJECTED),
        make=lambda s, _: ProcessPhoto(
            s.photos, s.media_refs, s.objects, s.renderer, s.screening, s.settings.uploads
        ),
    ),
    Stage(
        "publish_post",
        reads=(t.PHOTO_PROCESSED,),
        writes=(t.POST_PUBLISHED,),
        make=lambda s, _: PublishPost(s.photos),
    ),
    Stage(
        "plan_fan_out",
        reads=(t.POST_PUBLISHED,),
        writes=(t.FANOUT_CHUNK,),
        make=lambda s, _: PlanFanOut(s, s.settings.feed),
    ),
    Stage(
        "write_feeds",
        reads=(t.FANOUT_CHUNK,),
        writes=(),
        make=lambda s, _: WriteFeeds(s.follows, s.timelines, s.celebrities, steering(s)),
    ),
    Stage(
        "refill_feeds",
        reads=(t.FOLLOW_CREATED, t.FOLLOW_DELETED),
        writes=(),
        make=lambda s, _: RefillFeeds(s, s.settings.feed.cap),
    ),
    Stage(
        "count_follows",
        reads=(t.FOLLOW_CREATED, t.FOLLOW_DELETED),
        writes=(),
        tables=("edges", "follower_counts", "celebrities"),
        make=lambda s, tables: CountFollows(
            tables,
            s.follow_cache,
            s.celebrities,
            fixed_threshold(s),
        ),
    ),
    Stage(
        "count_reactions",
        reads=(t.LIKE_CREATED, t.LIKE_DELETED, t.COMMENT_CREATED, t.COMMENT_DELETED),
        writes=(),
        make=lambda s, _: CountReactions(s.reactions, s.reaction_cache),
    ),
    Stage(
        "notify",
        reads=(t.LIKE_CREATED, t.COMMENT_CREATED, t.FOLLOW_CREATED),
        writes=(t.NOTIFICATION_REQUESTED,),
        make=lambda s, _: Notify(s.notifications, s.users),
    ),
    Stage(
        "index_search",
        reads=(t.POST_PUBLISHED, t.POST_EDITED, t.POST_DELETED),
        writes=(),
        make=lambda s, _: IndexSearch(s.search_index),
    ),
    Stage(
        "deliver_webhooks",
        reads=(t.POST_PUBLISHED, t.PHOTO_REJECTED),
        writes=(),
        retries=lambda settings: settings.webhooks.retries,
        make=lambda s, _: DeliverWebhooks(
            s.webhooks, s.webhook_calls, s.settings.url("edge"), s.settings.webhooks
        ),
    ),
    Stage(
        "retire_posts",
        reads=(t.POST_EDITED, t.POST_DELETED),
        writes=(),
        make=lambda s, _: RetirePosts(s, s.settings),
    ),
)
"""The whole pipeline, top to bottom."""

BY_NAME: dict[str, Stage] = {stage.name: stage for stage in TOPOLOGY}
