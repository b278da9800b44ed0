"""Who calls: passwords hashed by Argon2id (RFC 9106), access tokens as JWTs (RFC 7519, HS256)."""

import asyncio
import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache, partial
from typing import ParamSpec, TypeVar

import jwt
from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError
from pydantic import SecretStr

from api.problems import UNAVAILABLE, Problem
from domain import ids
from domain.settings import Tokens

_ALGORITHM = "HS256"
_CLAIMS = ("iss", "aud", "sub", "iat", "exp", "jti", "roles")
_ROLE = "user"
_CACHED_TOKENS = 4096
_THREADS = 2
_MOST_WAITING = 64

P = ParamSpec("P")
T = TypeVar("T")


class BadToken(Exception):
    """Not a token of ours that is valid now."""


class TokenBook:
    """Issues and verifies access tokens. The algorithm is pinned; `kid` names the key."""

    def __init__(self, settings: Tokens, key: SecretStr) -> None:
        self._settings = settings
        self._key = key.get_secret_value()
        self._kid = hashlib.sha256(self._key.encode()).hexdigest()[:16]
        # a signature doesn't change: check it once, the expiry on every call
        self._verified = lru_cache(maxsize=_CACHED_TOKENS)(self._verify)

    @property
    def ttl_s(self) -> int:
        """How long a token lives, seconds."""
        return self._settings.ttl_s

    def issue(self, user_id: str, token_id: str, now_ms: int) -> str:
        """A token for `user_id`; `token_id` is its `jti`."""
        now = now_ms // 1000
        claims = {
            "iss": self._settings.issuer,
            "aud": self._settings.audience,
            "sub": user_id,
            "iat": now,
            "exp": now + self.ttl_s,
            "jti": token_id,
            "roles": [_ROLE],
        }
        return jwt.encode(claims, self._key, algorithm=_ALGORITHM, headers={"kid": self._kid})

    def viewer(self, token: str, now_ms: int) -> str:
        """The user a token speaks for. Raises BadToken."""
        user_id, expires = self._verified(token)
        if now_ms >= expires * 1000:
            raise BadToken("expired")
        return user_id

    def _verify(self, token: str) -> tuple[str, int]:
        try:
            if jwt.get_unverified_header(token).get("kid") != self._kid:
                raise BadToken("another key")
            claims = jwt.decode(
                token,
                self._key,
                algorithms=[_ALGORITHM],
                audience=self._settings.audience,
                issuer=self._settings.issuer,
                options={"require": list(_CLAIMS)},
            )
        except (jwt.PyJWTError, ValueError) as error:
            raise BadToken(type(error).__name__) from None
        roles = claims["roles"]
        if not (ids.is_id(claims["sub"], "u_") and isinstance(roles, list) and _ROLE in roles):
            raise BadToken("subject or roles")
        return claims["sub"], int(claims["exp"])


class Passwords:
    """Argon2id in a few threads of its own: a flood of logins queues here and is then refused."""

    def __init__(self) -> None:
        self._hasher = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="argon2")
        self._waiting = 0
        self._nobody = self._hasher.hash("nobody's password")

    async def hash(self, password: str) -> str:
        """The encoded hash of a password. Raises Problem(unavailable) when too many wait."""
        return await self._run(self._hasher.hash, password)

    async def matches(self, password: str, password_hash: str | None) -> bool:
        """Whether the password is right; None (no such user) takes as long and is False."""
        right = await self._run(self._check, password, password_hash or self._nobody)
        return right and password_hash is not None

    def close(self) -> None:
        """Stop the threads."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def _run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        if self._waiting >= _MOST_WAITING:
            raise Problem(UNAVAILABLE, "too many sign-ins at once", headers={"Retry-After": "1"})
        self._waiting += 1
        try:
            work = partial(function, *args, **kwargs)
            return await asyncio.get_running_loop().run_in_executor(self._pool, work)
        finally:
            self._waiting -= 1

    def _check(self, password: str, password_hash: str) -> bool:
        try:
            return self._hasher.verify(password_hash, password)
        except (Argon2Error, InvalidHashError):
            return False
