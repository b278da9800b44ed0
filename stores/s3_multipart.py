"""Multipart uploads by the S3 protocol: parts in any order, resumed from what the server holds."""

from collections.abc import Sequence
from operator import itemgetter
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from domain.uploads import Part
from stores.s3_client import S3Session, code

if TYPE_CHECKING:
    from types_boto3_s3.type_defs import CompletedPartTypeDef, LifecycleRuleTypeDef

_ENDED = {"NoSuchUpload", "404"}
_THERE = {"PreconditionFailed", "412"}


class S3Multiparts(S3Session):
    """`domain.ports.uploads.Multiparts` in the uploads bucket."""

    async def begin(self, key: str, content_type: str) -> str:
        """Open a multipart upload of that type; its id. Every call opens another."""
        answer = await self.call(
            lambda: self.client.create_multipart_upload(
                Bucket=self.bucket, Key=key, ContentType=content_type
            )
        )
        return answer["UploadId"]

    async def presign_parts(
        self, key: str, upload_id: str, parts: Sequence[Part], expires_s: int
    ) -> list[str]:
        """A URL for each part; its length is signed, so another one is refused."""

        def url(part: Part) -> str:
            params = {
                "Bucket": self.bucket,
                "Key": key,
                "UploadId": upload_id,
                "PartNumber": part.number,
                "ContentLength": part.size_bytes,
            }
            return self.client.generate_presigned_url("upload_part", params, ExpiresIn=expires_s)

        return await self.call(lambda: [url(part) for part in parts])

    async def presign_complete(
        self, key: str, upload_id: str, expires_s: int
    ) -> tuple[str, dict[str, str]]:
        """A POST URL with which a client completes by itself, and its signed headers."""
        params = {"Bucket": self.bucket, "Key": key, "UploadId": upload_id, "IfNoneMatch": "*"}
        url = await self.call(
            lambda: self.client.generate_presigned_url(
                "complete_multipart_upload", params, ExpiresIn=expires_s
            )
        )
        return url, {"If-None-Match": "*"}

    async def parts(self, key: str, upload_id: str) -> list[Part] | None:
        """The parts held, by number; None when the upload was completed or aborted."""

        def call() -> list[Part] | None:
            pages = self.client.get_paginator("list_parts").paginate(
                Bucket=self.bucket, Key=key, UploadId=upload_id
            )
            held: dict[int, Part] = {}
            try:
                listed = [each for page in pages for each in page.get("Parts", [])]
            except ClientError as error:
                if code(error) in _ENDED:
                    return None
                raise
            # SeaweedFS lists a part that was sent twice twice, in any order: the newest holds.
            for each in sorted(listed, key=itemgetter("LastModified")):
                number = each["PartNumber"]
                held[number] = Part(number, each["Size"], each["ETag"].strip('"'))
            return [held[number] for number in sorted(held)]

        return await self.call(call)

    async def complete(self, key: str, upload_id: str, parts: Sequence[Part]) -> None:
        """Make the object of its parts; one that is there stays, so twice is once.

        Says nothing of an upload that was aborted: a HEAD of the object tells.
        """
        chosen: list[CompletedPartTypeDef] = [
            {"PartNumber": part.number, "ETag": f'"{part.etag}"'} for part in parts
        ]

        def call() -> None:
            try:
                self.client.complete_multipart_upload(
                    Bucket=self.bucket,
                    Key=key,
                    UploadId=upload_id,
                    IfNoneMatch="*",
                    MultipartUpload={"Parts": chosen},
                )
            except ClientError as error:
                if code(error) not in _ENDED | _THERE:
                    raise

        await self.call(call)

    async def abort(self, key: str, upload_id: str) -> None:
        """Drop what was uploaded; twice is once, and a completed object stays."""

        def call() -> None:
            try:
                self.client.abort_multipart_upload(Bucket=self.bucket, Key=key, UploadId=upload_id)
            except ClientError as error:
                if code(error) not in _ENDED:
                    raise

        await self.call(call)

    async def let_expire(self, days: int) -> None:
        """Have the server itself abort what is not completed after so many days; twice is once."""
        rule: LifecycleRuleTypeDef = {
            "ID": "incomplete-uploads",
            "Status": "Enabled",
            "Filter": {"Prefix": ""},
            "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": days},
        }
        await self.call(
            lambda: self.client.put_bucket_lifecycle_configuration(
                Bucket=self.bucket, LifecycleConfiguration={"Rules": [rule]}
            )
        )

    async def abort_older(self, before_ms: int) -> int:
        """Abort every multipart upload begun before (Unix ms); how many. Twice is once."""

        def call() -> list[tuple[str, str]]:
            pages = self.client.get_paginator("list_multipart_uploads").paginate(Bucket=self.bucket)
            return [
                (each["Key"], each["UploadId"])
                for page in pages
                for each in page.get("Uploads", [])
                if each["Initiated"].timestamp() * 1000 < before_ms
            ]

        leftovers = await self.call(call)
        for key, upload_id in leftovers:
            await self.abort(key, upload_id)
        return len(leftovers)
