"""Moderation cases in PostgreSQL; a decision, its audit and the event it causes are one commit."""

from typing import LiteralString

from psycopg.rows import class_row

from domain.errors import NotFound
from domain.moderation import AlreadyRestored, Case, Decided, Decision, NewCase
from schemas.events import UploadCompleted
from stores.postgres_outbox import enqueue
from stores.postgres_pool import PostgresPool
from topics.catalog import UPLOAD_COMPLETED

_SELECT: LiteralString = """
SELECT photo_id, user_id, opened_at, encode(phash, 'hex') AS phash,
    encode(matched, 'hex') AS matched, distance, source, reason, kept_key, status
FROM moderation_cases """


class PostgresModeration:
    """Moderation (domain/ports/) over the tables `moderation_cases` and `…_decisions`."""

    def __init__(self, pool: PostgresPool) -> None:
        self._pool = pool

    async def open(self, case: NewCase) -> None:
        """Open a case; a photo has one, so twice is once."""
        matched = bytes.fromhex(case.matched)
        await self._pool.run(
            """INSERT INTO moderation_cases
               SELECT %s, %s, %s, %s, %s, %s, coalesce(max(source), ''), coalesce(max(reason), ''),
                   %s, %s, 'open'
               FROM blocked_hashes WHERE hash = %s
               ON CONFLICT DO NOTHING""",
            (
                case.upload.photo_id,
                case.upload.user_id,
                case.opened_at,
                bytes.fromhex(case.phash),
                matched,
                case.distance,
                case.kept_key,
                UPLOAD_COMPLETED.codec.encode(case.upload),
                matched,
            ),
        )

    async def get(self, photo_id: str) -> Case | None:
        """The photo's case, None without one."""
        return await self._pool.row(_SELECT + "WHERE photo_id = %s", (photo_id,), class_row(Case))

    async def open_cases(self, limit: int) -> list[Case]:
        """Cases without a decision, oldest first."""
        return await self._pool.rows(
            _SELECT + "WHERE status = 'open' ORDER BY opened_at, photo_id LIMIT %s",
            (limit,),
            class_row(Case),
        )

    async def latest(self, limit: int) -> list[Case]:
        """Cases whatever was decided, newest first."""
        return await self._pool.rows(
            _SELECT + "ORDER BY opened_at DESC, photo_id LIMIT %s", (limit,), class_row(Case)
        )

    async def upload(self, photo_id: str) -> UploadCompleted:
        """The event that the photo was stopped with. Raises NotFound."""
        rows = await self._pool.tuples(
            "SELECT upload FROM moderation_cases WHERE photo_id = %s", (photo_id,)
        )
        if not rows:
            raise NotFound(photo_id)
        return UPLOAD_COMPLETED.codec.decode(rows[0][0])

    async def uphold(self, photo_id: str, by: str, why: str, now: int) -> None:
        """The photo stays away. Raises NotFound, AlreadyRestored."""
        await self._decide(photo_id, Decided("upheld", by, now, why), None)

    async def restore(self, upload: UploadCompleted, by: str, why: str, now: int) -> None:
        """The photo may be published: enqueue its upload again. Raises NotFound, AlreadyRestored.

        Args:
            upload: the event it was stopped with, of the ETag that its bytes have now.
            by: who decided.
            why: in a sentence.
            now: Unix milliseconds.
        """
        await self._decide(upload.photo_id, Decided("restored", by, now, why), upload)

    async def decisions(self, photo_id: str) -> list[Decided]:
        """All decisions about a photo, in their order."""
        return await self._pool.rows(
            """SELECT decision, decided_by, decided_at, why FROM moderation_decisions
               WHERE photo_id = %s ORDER BY id""",
            (photo_id,),
            class_row(Decided),
        )

    async def _decide(
        self, photo_id: str, decided: Decided, upload: UploadCompleted | None
    ) -> None:
        async with self._pool.transaction() as connection:
            cursor = await connection.execute(
                "SELECT status FROM moderation_cases WHERE photo_id = %s FOR UPDATE", (photo_id,)
            )
            row = await cursor.fetchone()
            if row is None:
                raise NotFound(photo_id)
            if row[0] == "restored":
                raise AlreadyRestored(photo_id)
            decision: Decision = decided.decision
            await connection.execute(
                "UPDATE moderation_cases SET status = %s WHERE photo_id = %s", (decision, photo_id)
            )
            await connection.execute(
                """INSERT INTO moderation_decisions
                       (photo_id, decision, decided_by, decided_at, why)
                   VALUES (%s, %s, %s, %s, %s)""",
                (photo_id, decision, decided.decided_by, decided.decided_at, decided.why),
            )
            if upload is not None:
                await enqueue(connection, UPLOAD_COMPLETED, upload)
