"""All adapters of one process, made when first used and closed together.

An adapter's module is imported when its port is first asked for, so a process loads only the
client libraries it needs. It connects at its first call, or all at once by `connect()`. What holds
a connection has an async `close()`.
"""

import asyncio
from contextlib import AsyncExitStack
from functools import cached_property
from typing import TYPE_CHECKING

from domain.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from limits.aio.storage import RedisStorage

    from domain.ports.accounts import IdempotencyKeys, Users
    from domain.ports.feeds import PostCache, Shelf, Timelines
    from domain.ports.graph import Celebrities, FollowCache, Follows, PushLimit
    from domain.ports.log import EventLog, MachineLeases, Outbox
    from domain.ports.moderation import Blocklist, Moderation
    from domain.ports.photos import MediaRefs, Photos, PictureEdge, Renditions, SearchIndex
    from domain.ports.reactions import Notifications, ReactionCache, Reactions
    from domain.ports.uploads import Multiparts, Objects, OpenUploads
    from domain.ports.webhooks import WebhookCalls, Webhooks
    from domain.renditions import Decoder
    from domain.secrets import Secrets
    from stores.cassandra_session import CassandraSession
    from stores.id_source import IdSource
    from stores.postgres_pool import PostgresPool
    from stores.redis_replica import ReadOnlyFeeds
    from stores.redis_server import RedisServer
    from stores.remembering_decoder import RememberingDecoder
    from stores.screening import Screening


CLOSE_LIMIT_S = 20.0


class Stores:
    """The ports, by name. A process connects only to what it touches."""

    def __init__(self, settings: Settings, secrets: "Secrets") -> None:
        self.settings = settings
        self.secrets = secrets
        self._opened = AsyncExitStack()

    async def connect(self) -> None:
        """Connect to the servers of the ports made so far, so that no first call waits for that.

        Raises StoreAway, Transient when one of them is away, once all were tried.
        """
        made = vars(self).keys()
        asks: list[Awaitable[object]] = []
        if "postgres" in made:
            asks.append(self.postgres.tuples("SELECT 1"))
        if "cassandra" in made:
            asks.append(self.cassandra.execute("SELECT key FROM system.local"))
        if "redis_server" in made:
            asks.append(self.redis_server.call("EXISTS", "nothing"))
        if "objects" in made:
            asks.append(self.objects.head(self.settings.uploads.bucket, "nothing"))
        if "events" in made:
            asks.append(self.events.ping())
        for outcome in await asyncio.gather(*asks, return_exceptions=True):
            if isinstance(outcome, BaseException):
                raise outcome

    async def close(self) -> None:
        """Close what was opened, the youngest first. Raises TimeoutError after CLOSE_LIMIT_S."""
        async with asyncio.timeout(CLOSE_LIMIT_S):
            await self._opened.aclose()

    # --- PostgreSQL ---------------------------------------------------------------------------

    @cached_property
    def postgres(self) -> "PostgresPool":
        """The connection pool that the PostgreSQL adapters share."""
        from stores.postgres_pool import PostgresPool

        pool = PostgresPool(self.settings.postgres_dsn)
        self._opened.push_async_callback(pool.close)
        return pool

    @cached_property
    def users(self) -> "Users":
        """Accounts and profiles."""
        from stores.postgres_users import PostgresUsers

        return PostgresUsers(self.postgres)

    @cached_property
    def follows(self) -> "Follows":
        """The follow graph."""
        from stores.postgres_follows import PostgresFollows

        return PostgresFollows(self.postgres)

    @cached_property
    def celebrities(self) -> "Celebrities":
        """The sticky flags and the live threshold."""
        from stores.postgres_celebrities import PostgresCelebrities

        return PostgresCelebrities(self.postgres)

    @cached_property
    def push_limit(self) -> "PushLimit":
        """The adaptive threshold."""
        from stores.postgres_push_limit import PostgresPushLimit

        return PostgresPushLimit(self.postgres)

    @cached_property
    def idempotency(self) -> "IdempotencyKeys":
        """First answers of unsafe calls."""
        from stores.postgres_idempotency import PostgresIdempotencyKeys

        return PostgresIdempotencyKeys(self.postgres)

    @cached_property
    def leases(self) -> "MachineLeases":
        """Machine ids of the id generators."""
        from stores.postgres_leases import PostgresMachineLeases

        return PostgresMachineLeases(self.postgres)

    @cached_property
    def outbox(self) -> "Outbox":
        """Events that were committed with their cause and await the relay."""
        from stores.postgres_outbox import PostgresOutbox

        outbox = PostgresOutbox(self.settings.postgres_dsn)
        self._opened.push_async_callback(outbox.close)
        return outbox

    @cached_property
    def webhooks(self) -> "Webhooks":
        """Users' webhooks."""
        from stores.postgres_webhooks import PostgresWebhooks
        from stores.sealed import Seal

        return PostgresWebhooks(self.postgres, Seal(self.secrets.jwt_key, "webhook secrets"))

    @cached_property
    def blocklist(self) -> "Blocklist":
        """Perceptual hashes of content that is never published."""
        from stores.postgres_blocklist import PostgresBlocklist

        return PostgresBlocklist(self.postgres)

    @cached_property
    def moderation(self) -> "Moderation":
        """Cases of photos that were stopped."""
        from stores.postgres_moderation import PostgresModeration

        return PostgresModeration(self.postgres)

    # --- Cassandra ----------------------------------------------------------------------------

    @cached_property
    def cassandra(self) -> "CassandraSession":
        """The session that the Cassandra adapters share."""
        from stores.cassandra_session import CassandraSession

        host, port = self.settings.address("cassandra").rsplit(":", 1)
        session = CassandraSession(host, int(port), "photofeed")
        self._opened.push_async_callback(session.close)
        return session

    @cached_property
    def photos(self) -> "Photos":
        """Photos and posts."""
        from stores.cassandra_photos import CassandraPhotos

        return CassandraPhotos(self.cassandra)

    @cached_property
    def media_refs(self) -> "MediaRefs":
        """Who needs which stored rendition."""
        from stores.cassandra_media_refs import CassandraMediaRefs

        return CassandraMediaRefs(self.cassandra)

    @cached_property
    def open_uploads(self) -> "OpenUploads":
        """Uploads whose end is not settled."""
        from stores.cassandra_open_uploads import CassandraOpenUploads

        return CassandraOpenUploads(self.cassandra)

    @cached_property
    def renditions(self) -> "Renditions":
        """Which renditions are stored, by the bytes they were made from."""
        from stores.cassandra_renditions import CassandraRenditions

        return CassandraRenditions(self.cassandra, self.settings.duplicates.window_days * 86_400)

    @cached_property
    def reactions(self) -> "Reactions":
        """Likes and comments, durably."""
        from stores.cassandra_reactions import CassandraReactions

        return CassandraReactions(self.cassandra)

    @cached_property
    def notifications(self) -> "Notifications":
        """In-app notifications."""
        from stores.cassandra_notifications import CassandraNotifications

        return CassandraNotifications(self.cassandra)

    # --- Redis --------------------------------------------------------------------------------

    @cached_property
    def call_counts(self) -> "RedisStorage":
        """Where the fleet's calls are counted."""
        from stores.redis_client import CallCounts

        counts = CallCounts(self.settings)
        self._opened.push_async_callback(counts.close)
        return counts.storage

    @cached_property
    def redis_server(self) -> "RedisServer":
        """The connections that the caches share."""
        from stores.redis_cluster import RedisCluster
        from stores.redis_server import RedisServer

        nodes = self.settings.redis.cluster_nodes
        server = RedisCluster(nodes) if nodes else RedisServer.at(self.settings.redis_url)
        self._opened.push_async_callback(server.close)
        return server

    @cached_property
    def timelines(self) -> "Timelines":
        """The feed sets."""
        from stores.redis_timelines import RedisTimelines

        return RedisTimelines(self.redis_server, self.settings.feed)

    @cached_property
    def pulls(self) -> "Timelines":
        """The newest posts of each celebrity."""
        from stores.redis_timelines import RedisTimelines

        return RedisTimelines(self.redis_server, self.settings.feed, "pulls")

    @cached_property
    def shelf(self) -> "Shelf":
        """What a page of posts shows."""
        from stores.redis_shelf import RedisShelf

        return RedisShelf(self.redis_server, self.settings.feed)

    @cached_property
    def follow_cache(self) -> "FollowCache":
        """Follow sets, follower counts and celebrity flags, cached."""
        from stores.redis_follow_cache import RedisFollowCache

        return RedisFollowCache(self.redis_server, self.settings.feed)

    @cached_property
    def post_cache(self) -> "PostCache":
        """Posts and people as ready bytes."""
        from stores.redis_post_cache import RedisPostCache

        return RedisPostCache(self.redis_server, self.settings.feed)

    @cached_property
    def reaction_cache(self) -> "ReactionCache":
        """Likes and counts, hot."""
        from stores.redis_reaction_cache import RedisReactionCache

        return RedisReactionCache(self.redis_server, self.settings.feed)

    @cached_property
    def replica(self) -> "ReadOnlyFeeds | None":
        """What feeds are read from while Redis is away; None without a replica."""
        url = self.settings.redis.replica_url
        if url is None:
            return None
        from stores.redis_replica import ReadOnlyFeeds
        from stores.redis_server import RedisServer

        server = RedisServer.at(url)
        self._opened.push_async_callback(server.close)
        return ReadOnlyFeeds(server, self.settings.feed, self)

    # --- the rest -----------------------------------------------------------------------------

    @cached_property
    def search_index(self) -> "SearchIndex":
        """Posts by tag and words."""
        from stores.opensearch_index import OpenSearchIndex

        index = OpenSearchIndex(self.settings.url("search"))
        self._opened.push_async_callback(index.close)
        return index

    @cached_property
    def objects(self) -> "Objects":
        """Object storage."""
        from stores.s3_objects import S3Objects

        objects = S3Objects(
            self.settings.url("s3"),
            self.secrets.s3_access_key,
            self.secrets.s3_secret_key,
            self.settings.uploads,
        )
        self._opened.push_async_callback(objects.close)
        return objects

    @cached_property
    def edge(self) -> "PictureEdge":
        """The cache before the pictures."""
        from stores.http_edge import HttpEdge

        edge = HttpEdge(self.settings.url("edge"), self.settings.url("edge_refresh"))
        self._opened.push_async_callback(edge.close)
        return edge

    @cached_property
    def multiparts(self) -> "Multiparts":
        """Multipart uploads."""
        from stores.s3_multipart import S3Multiparts

        multiparts = S3Multiparts(
            self.settings.url("s3"),
            self.secrets.s3_access_key,
            self.secrets.s3_secret_key,
            self.settings.uploads,
        )
        self._opened.push_async_callback(multiparts.close)
        return multiparts

    @cached_property
    def decoder(self) -> "Decoder":
        """The sandboxed image decoder."""
        from stores.decoder.pool import DecoderPool, PoolLimits

        wanted = self.settings.decoder
        pool = DecoderPool(
            PoolLimits(processes=wanted.processes, require_isolation=wanted.require_isolation)
        )
        pool.warm()
        self._opened.push_async_callback(pool.close)
        return pool

    @cached_property
    def renderer(self) -> "RememberingDecoder":
        """The decoder, or what it made before of the same bytes."""
        from stores.bloom import KnownPhotos
        from stores.remembering_decoder import RememberingDecoder

        media = self.settings.uploads.media_bucket
        folder = self.settings.run_dir / "known"
        known = KnownPhotos(self.renditions, self.settings.duplicates, folder)
        self._opened.push_async_callback(known.close)
        return RememberingDecoder(self.decoder, self.renditions, self.objects, media, known)

    @cached_property
    def screening(self) -> "Screening":
        """The gate before the media bucket."""
        from stores.screening import Screening

        bucket = self.settings.uploads.bucket
        how = self.settings.blocked
        return Screening(self.blocklist, self.moderation, self.objects, bucket, how)

    @cached_property
    def webhook_calls(self) -> "WebhookCalls":
        """The way out to users' receivers."""
        from stores.http_webhooks import HttpWebhookCalls

        calls = HttpWebhookCalls(self.settings.webhooks)
        self._opened.push_async_callback(calls.close)
        return calls

    @cached_property
    def events(self) -> "EventLog":
        """Kafka."""
        from stores.kafka_events import KafkaEventLog

        log = KafkaEventLog(self.settings.address("kafka"))
        self._opened.push_async_callback(log.close)
        return log

    @cached_property
    def ids(self) -> "IdSource":
        """The id generator; `await ids.start()` before the first id."""
        from stores.id_source import IdSource

        source = IdSource(self.leases)
        self._opened.push_async_callback(source.close)
        return source
