"""Every setting of the system: one frozen tree, read from the environment at the roots only.

A name is `PHOTOFEED_` + the field, `__` between levels: `PHOTOFEED_WORKERS__WRITE_FEEDS=2`.
Units are part of the names. Roots are the CLI, the API's `create_app` and the stage worker;
everything below them is handed the values it needs.
"""

import difflib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict
from pydantic_settings import SettingsError as Undecodable

Port = Annotated[int, Field(ge=1, le=65535)]
ROOT = Path(__file__).resolve().parent.parent
"""The project's folder; a relative `run_dir` is relative to it, whoever calls from wherever."""

_LOOPBACK = "127.0.0.1"
_LAST_PORT = 65535
_PREFIX = "PHOTOFEED_"


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Ports(_Frozen):
    """The loopback port of every listener, before `port_offset` is added."""

    api: Port = 8080
    edge: Port = 8081
    ops: Port = 8082
    shield: Port = 8083
    edge_refresh: Port = 8084
    kafka: Port = 19092
    kafka_controller: Port = 19093
    redis: Port = 16379
    postgres: Port = 15432
    cassandra: Port = 19042
    cassandra_storage: Port = 17000
    search: Port = 19200
    search_transport: Port = 19300
    s3: Port = 18333
    s3_master: Port = 18334
    s3_volume: Port = 18335
    s3_filer: Port = 18336


class Heaps(_Frozen):
    """Heap of each Java server and the cache's limit, MiB."""

    kafka_mib: int = Field(384, ge=256)
    cassandra_mib: int = Field(512, ge=384)
    search_mib: int = Field(512, ge=384)
    redis_mib: int = Field(512, ge=64)


class Workers(_Frozen):
    """Processes per stage; more of any stage is this one number."""

    process_photo: int = Field(1, ge=0, le=64)
    publish_post: int = Field(1, ge=0, le=64)
    plan_fan_out: int = Field(1, ge=0, le=64)
    write_feeds: int = Field(2, ge=0, le=64)
    refill_feeds: int = Field(1, ge=0, le=64)
    count_follows: int = Field(1, ge=0, le=64)
    count_reactions: int = Field(1, ge=0, le=64)
    notify: int = Field(1, ge=0, le=64)
    index_search: int = Field(1, ge=0, le=64)
    deliver_webhooks: int = Field(1, ge=0, le=64)
    retire_posts: int = Field(1, ge=0, le=64)


class Retries(_Frozen):
    """How a stage meets trouble that may pass (seed section 10: three tries by default)."""

    tries: int = Field(3, ge=1)
    rounds: int = Field(2, ge=0, description="trips through the retry topic after the first tries")
    base_s: float = Field(0.1, gt=0)
    cap_s: float = Field(5.0, gt=0)
    round_delay_s: float = Field(10.0, ge=0)
    away_limit_s: float = Field(240.0, gt=0, description="under Faust's 300 s processing limit")


class Feed(_Frozen):
    """The home feed (seed sections 7 and 8)."""

    cap: int = Field(3000, ge=20)
    trim_slack: int = Field(300, ge=0)
    ttl_s: int = Field(7 * 86400, ge=60)
    following_ttl_s: int = Field(
        300, ge=1, le=300, description="API processes remember an unfollowing for longer"
    )
    post_ttl_s: int = Field(
        3600, ge=1, le=3600, description="API processes remember a deletion for longer"
    )
    chunk_followers: int = Field(
        250, ge=1, description="what is behind a chunk waits for so many feeds at most"
    )
    celebrity_threshold: int = Field(
        10_000, ge=1, description="followers from which posts are pulled, until operators set it"
    )
    adaptive_threshold: bool = Field(
        default=False, description="pull sooner while pushed posts come late"
    )
    adaptive_min: int = Field(
        1_000, ge=1, description="followers up to which posts are always pushed"
    )
    freshness_s: float = Field(
        30.0, gt=0, le=30, description="age by which a post is in every feed: 30 s is promised"
    )
    posts_kept: int = Field(
        10_000,
        ge=0,
        description="by an API process, as long as Redis tells of no change",
    )
    builds_at_once: int = Field(8, ge=1, description="cold sets, by one API process; more wait")
    pull_heads_s: float = Field(
        1.0, ge=0, description="how long an API process keeps the newest of a pulled author's posts"
    )


class Redis(_Frozen):
    """Where the feed cache is."""

    cluster_nodes: tuple[str, ...] = Field(
        (), description="host:port of some nodes of a Redis Cluster; none: the stack's own server"
    )
    replica_url: str | None = Field(None, description="read from there while the primary is away")


class Degradation(_Frozen):
    """How reads go on while a store is away (seed section 10)."""

    failures: int = Field(3, ge=1, description="time-outs in a row; then the store isn't asked")
    pause_s: float = Field(2.0, gt=0, description="then one reader asks again; ± a quarter")
    kept_page_s: float = Field(60.0, ge=0, le=60, description="the life of a last good page")
    kept_pages_bytes: int = Field(32 * 1024 * 1024, ge=0, description="of one API process")
    direct_reads: int = Field(4, ge=1, description="past an absent cache at once, a process")
    direct_budget_s: float = Field(1.0, gt=0, description="of one such read")
    reads_in_flight: int = Field(500, ge=1, description="of feeds, a process; more are refused")


class Streams(_Frozen):
    """GET /feed/stream."""

    poll_s: float = Field(3.0, gt=0, description="between two looks at a feed; ± a quarter")
    heartbeat_s: float = Field(15.0, gt=0, description="of silence; then a comment is sent")
    most_per_user: int = Field(5, ge=1)
    most_per_ip: int = Field(100, ge=1)
    most: int = Field(1000, ge=1, description="of one API process")


class Uploads(_Frozen):
    """What may be uploaded (seed section 5b)."""

    url_ttl_s: int = Field(900, ge=60)
    max_bytes: int = Field(50_000_000, ge=1)
    part_bytes: int = Field(5 * 1024 * 1024, ge=5 * 1024 * 1024, description="S3 takes no smaller")
    multipart_ttl_s: int = Field(
        7 * 86400, ge=900, le=7 * 86400, description="how long an interrupted upload may be resumed"
    )
    reconcile_every_s: float = Field(60.0, gt=0)
    stuck_after_s: float = Field(60.0, gt=0, description="then an outcome is asked for again")
    bucket: str = "uploads"
    media_bucket: str = "media"
    media_grace_s: int = Field(
        3600, ge=0, description="how long a picture is kept that no post shows"
    )


class Decoder(_Frozen):
    """The sandboxed image decoder (I9)."""

    processes: int = Field(2, ge=1, le=64, description="per process_photo worker")
    require_isolation: bool = Field(
        default=True, description="refuse to decode where the kernel lacks a protection"
    )


class Duplicates(_Frozen):
    """Photos known by their bytes (seed section 10b)."""

    expected_photos: int = Field(10_000_000, ge=1000, description="1e7 at 1e-6 is 36 MB")
    false_positive_rate: float = Field(1e-6, gt=0, le=0.1)
    window_days: int = Field(90, ge=1, description="how long back duplicates are looked for")


class Blocked(_Frozen):
    """The blocklist of perceptual hashes (I9)."""

    max_distance: int = Field(
        31, ge=0, le=47, description="bits of 256 in which a match may differ"
    )
    refresh_s: float = Field(3600.0, gt=0, description="read again even when nothing changed")


class Limits(_Frozen):
    """Calls per minute; refusals are 429 with Retry-After (seed section 10b)."""

    uploads_per_user: int = Field(10, ge=1)
    unauthenticated_per_ip: int = Field(100, ge=1)
    registrations_per_ip: int = Field(60, ge=1)
    calls_per_user: int = Field(6000, ge=1)
    calls_per_ip: int = Field(12_000, ge=1)
    trusted_proxies: tuple[str, ...] = ()


class WebhookRetries(Retries):
    """A receiver out there needs more patience than a server of ours, between tries that cost."""

    tries: int = Field(1, ge=1)
    rounds: int = Field(20, ge=0)
    round_delay_s: float = Field(60.0, ge=0)


class Webhooks(_Frozen):
    """How users' webhooks are called (contract, section 2)."""

    timeout_s: float = Field(5.0, gt=0, le=30, description="name, connection and answer together")
    rest_after: int = Field(3, ge=1, description="failed calls in a row; then it rests")
    rest_s: float = Field(30.0, ge=0, description="between the calls of one that rests")
    give_up_s: float = Field(900.0, ge=0, description="an older event isn't retried")
    disable_after_s: float = Field(86_400.0, ge=0, description="of failures alone")
    retries: WebhookRetries = WebhookRetries()
    allow_loopback_http: bool = Field(
        default=False, description="for tests alone: also call http on this very machine"
    )

    @model_validator(mode="after")
    def _gives_up_before_the_retries_end(self) -> Self:
        """A receiver that fails must not fill the dead letters: those stop a stage."""
        if self.give_up_s > self.retries.rounds * self.retries.round_delay_s * 0.8:
            raise ValueError("give_up_s is longer than the retries last")
        return self


class Tokens(_Frozen):
    """Access tokens (RFC 7519)."""

    issuer: str = "photofeed"
    audience: str = "photofeed-api"
    ttl_s: int = Field(3600, ge=60)


class Settings(BaseSettings):
    """The whole tree. `load()` is the way in; tests build it with keyword arguments."""

    model_config = SettingsConfigDict(
        env_prefix=_PREFIX, env_nested_delimiter="__", frozen=True, extra="forbid"
    )

    run_dir: Path = Field(Path(".run"), validate_default=True)
    port_offset: int = Field(0, ge=0, le=40_000)
    schema_registry_url: str | None = None
    log_level: str = Field("info", pattern="^(debug|info|warning|error)$")
    ports: Ports = Ports()
    heaps: Heaps = Heaps()
    workers: Workers = Workers()
    retries: Retries = Retries()
    feed: Feed = Feed()
    redis: Redis = Redis()
    degradation: Degradation = Degradation()
    streams: Streams = Streams()
    uploads: Uploads = Uploads()
    decoder: Decoder = Decoder()
    duplicates: Duplicates = Duplicates()
    blocked: Blocked = Blocked()
    limits: Limits = Limits()
    tokens: Tokens = Tokens()
    webhooks: Webhooks = Webhooks()

    @field_validator("run_dir")
    @classmethod
    def _absolute(cls, value: Path) -> Path:
        folder = ROOT / value
        if folder == ROOT:  # what an empty variable would say
            raise ValueError("a folder of its own is needed, not the project's")
        return folder

    @model_validator(mode="after")
    def _ports_are_distinct(self) -> Self:
        numbers = [self.port(name) for name in Ports.model_fields]
        if len(set(numbers)) != len(numbers) or max(numbers) > _LAST_PORT:
            raise ValueError("ports: two listeners share a port, or the offset passes 65535")
        return self

    def port(self, name: str) -> int:
        """The port of listener `name` with the offset applied."""
        return int(getattr(self.ports, name)) + self.port_offset

    def address(self, name: str) -> str:
        """`host:port` of listener `name`."""
        return f"{_LOOPBACK}:{self.port(name)}"

    def url(self, name: str, scheme: str = "http") -> str:
        """`scheme://host:port` of listener `name`."""
        return f"{scheme}://{self.address(name)}"

    @property
    def postgres_dsn(self) -> str:
        """Connection URL of the relational store; loopback trusts its own user."""
        return f"postgresql://photofeed@{self.address('postgres')}/photofeed"

    @property
    def redis_url(self) -> str:
        """Connection URL of the feed cache."""
        return f"redis://{self.address('redis')}/0"


class SettingsError(Exception):
    """A setting that can't be used; the message is one line and says which and why."""


def load() -> Settings:
    """Read the settings from the environment. Raises SettingsError naming the variable."""
    _refuse_unknown(os.environ)
    try:
        return Settings()
    except Undecodable as error:
        raise SettingsError(f'a list is written as JSON, ["…", …]: {error}') from None
    except ValidationError as error:
        first = error.errors()[0]
        name = _PREFIX + "__".join(str(part).upper() for part in first["loc"])
        why = first["msg"].removeprefix("Value error, ")
        raise SettingsError(f"{name.rstrip('_')}: {why}") from None


def _refuse_unknown(names: Iterable[str]) -> None:
    """A misspelt variable would silently do nothing. Raises SettingsError."""
    known = set(_names(Settings, _PREFIX))
    for name in names:
        if name.upper().startswith(_PREFIX) and name.upper() not in known:
            near = difflib.get_close_matches(name.upper(), known, 1)
            raise SettingsError(f"{name}: no such setting" + (f"; {near[0]}?" if near else ""))


def _names(model: type[BaseModel], prefix: str) -> Iterable[str]:
    for name, field in model.model_fields.items():
        yield f"{prefix}{name.upper()}"
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from _names(field.annotation, f"{prefix}{name.upper()}__")
