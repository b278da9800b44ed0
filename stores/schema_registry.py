"""A Confluent-compatible schema registry (its REST API), kept equal to the committed one.

The bytes on the topics carry the committed ids, so the registry must give exactly those: entries
are offered in the order of their ids, which an empty registry numbers alike, and one that counts
differently is asked to take ours (its IMPORT mode). Calls are blocking: for operators' commands
and the bring-up.
"""

import json
from typing import Any

import httpx

from domain.errors import StoreAway, Transient
from schemas.registry import AvroSchema, Registered, Registry

LIMIT_S = 10.0
_MEDIA = {"Content-Type": "application/vnd.schemaregistry.v1+json"}
_NOT_FOUND = 404
_OK = 200


class SchemaRegistry:
    """One registry by its base URL.

    Every call raises StoreAway when it doesn't answer and Transient when it refuses.
    """

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/")
        self._client = httpx.Client(base_url=self._url, timeout=LIMIT_S, headers=_MEDIA)

    def register(self, subject: str, schema: AvroSchema) -> int:
        """The id of `schema` under `subject`, given anew or long known."""
        return int(self._ask("POST", f"/subjects/{subject}/versions", _body(schema))["id"])

    def find(self, subject: str, schema: AvroSchema) -> int | None:
        """The id `schema` has under `subject`, None when the registry doesn't know it."""
        found = self._ask("POST", f"/subjects/{subject}", _body(schema))
        return None if found is None else int(found["id"])

    def disagreements(self, committed: Registry) -> list[str]:
        """One line for each committed version that the registry lacks or numbers differently."""
        return [
            f"{_name(entry)}: id {entry.id} here, {found or 'unknown'} at {self._url}"
            for entry in committed.entries
            if (found := self.find(entry.subject, entry.schema)) != entry.id
        ]

    def fill(self, committed: Registry) -> None:
        """Register what is missing under the committed ids; refused when those are taken."""
        for entry in sorted(committed.entries, key=lambda entry: entry.id):
            given = self.find(entry.subject, entry.schema)
            if given is None:
                given = self.register(entry.subject, entry.schema)
            if given != entry.id:
                self._import(entry)

    def _import(self, entry: Registered) -> None:
        mode = f"/mode/{entry.subject}"
        self._ask("PUT", f"{mode}?force=true", {"mode": "IMPORT"})
        try:
            body = _body(entry.schema) | {"id": entry.id, "version": entry.version}
            self._ask("POST", f"/subjects/{entry.subject}/versions", body)
        finally:
            self._ask("DELETE", mode)

    def _ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:  # noqa: ANN401 - JSON
        try:
            answer = self._client.request(method, path, json=body)
        except httpx.HTTPError as error:
            raise StoreAway(f"schema registry doesn't answer at {self._url}: {error}") from error
        if answer.status_code == _NOT_FOUND:
            return None
        if answer.status_code != _OK:
            raise Transient(f"schema registry: {method} {path}: {_reason(answer)}")
        return answer.json()


def _body(schema: AvroSchema) -> dict[str, Any]:
    return {"schema": json.dumps(schema), "schemaType": "AVRO"}


def _name(entry: Registered) -> str:
    return f"{entry.subject} version {entry.version}"


def _reason(answer: httpx.Response) -> str:
    try:
        return f"{answer.status_code} {answer.json()['message']}"
    except (ValueError, KeyError, TypeError):
        return f"{answer.status_code} {answer.reason_phrase}"
