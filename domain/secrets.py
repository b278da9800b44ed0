"""Secrets of one stack: generated on its first start, kept in its run folder, never logged."""

import base64
import json
import os
import secrets
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, SecretStr

_NAME = "secrets.json"


class Secrets(BaseModel):
    """What only the stack's own processes may know. `jwt_key` is 64 random bytes, base64url."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    jwt_key: SecretStr
    s3_access_key: SecretStr
    s3_secret_key: SecretStr

    @classmethod
    def load(cls, run_dir: Path) -> Self:
        """Read the secrets of a stack. Raises FileNotFoundError before its first start."""
        return cls.model_validate_json((run_dir / _NAME).read_bytes())

    @classmethod
    def ensure(cls, run_dir: Path) -> Self:
        """Read the secrets; generate them if there are none yet, whole or not at all."""
        file = run_dir / _NAME
        if not file.exists():
            values = {
                "jwt_key": base64.urlsafe_b64encode(secrets.token_bytes(64)).decode(),
                "s3_access_key": secrets.token_hex(10),
                "s3_secret_key": secrets.token_urlsafe(30),
            }
            draft = file.with_suffix(".new")
            descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "w") as out:
                json.dump(values, out)
            draft.rename(file)
        return cls.load(run_dir)
