"""Uploads on the wire: what is announced, granted, completed and told of them."""

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, Field, StringConstraints

from api.wire import AltText, Body, Caption, Filename
from domain import tags
from domain.entities import PhotoStatus

_ESTIMATE_MS = 4000

Tags = Annotated[list[str], AfterValidator(tags.normalise_all), Field(max_length=100)]


class Place(Body):
    """Degrees, WGS 84."""

    lat: float = Field(ge=-90, le=90)
    lon: float = Field(ge=-180, le=180)


class Point(Body):
    """What a crop must keep, 0..1 from the left and the top."""

    x: float = Field(ge=0, le=1)
    y: float = Field(ge=0, le=1)


class Words(Body):
    """What is said about a photo; with `complete` only what is given changes."""

    caption: Caption | None = None
    tags: Tags | None = None
    alt_text: AltText | None = None
    location: Place | None = None


class NewPhoto(Words):
    """An announced upload."""

    filename: Filename
    content_type: Annotated[str, StringConstraints(to_lower=True, strip_whitespace=True)]
    size_bytes: int = Field(ge=1)
    focus: Point | None = None
    sha256: Annotated[str, StringConstraints(to_lower=True, pattern="^[0-9A-Fa-f]{64}$")] | None = (
        None
    )


class Granted(BaseModel):
    """What every grant tells; `duplicate_of` is an own post of the same bytes, by `sha256`.

    Whoever has that post need not upload again; whoever does gets a second post.
    """

    photo_id: str
    duplicate_of: str | None = None


class Grant(Granted):
    """Where and how to PUT the bytes; every header is signed."""

    upload_url: str
    upload_method: Literal["PUT"] = "PUT"
    upload_headers: dict[str, str]
    expires_at: str


class PartUrl(BaseModel):
    """Where to PUT one part; its length is signed."""

    part_number: int
    size_bytes: int
    upload_url: str


class MultipartGrant(Granted):
    """Where to PUT the parts, in any order and side by side.

    `complete` puts them together; a client may do so by itself: POST S3's CompleteMultipartUpload
    to `complete_url` with `complete_headers`, then call `complete` all the same.
    """

    upload_method: Literal["MULTIPART"] = "MULTIPART"
    upload_id: str
    part_size: int
    parts: list[PartUrl]
    complete_url: str
    complete_headers: dict[str, str]
    expires_at: str


class HeldPart(BaseModel):
    """A part that the object store holds."""

    part_number: int
    etag: str
    size_bytes: int


class Parts(BaseModel):
    """How far a multipart upload has come."""

    parts: list[HeldPart]
    missing: list[PartUrl]


class Accepted(BaseModel):
    """An upload that will be processed."""

    photo_id: str
    status: PhotoStatus = PhotoStatus.PROCESSING
    estimated_ready_ms: int = _ESTIMATE_MS
    poll_url: str


class Urls(BaseModel):
    """Where the renditions are."""

    thumbnail: str
    feed: str
    full: str


class Status(BaseModel):
    """What has become of an upload; `urls` is null before it is published."""

    photo_id: str
    status: PhotoStatus
    urls: Urls | None
    published_at: str | None
    reason: str | None = None
