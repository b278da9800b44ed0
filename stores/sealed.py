"""Small secrets kept encrypted in a store: AES-256-GCM, bound to whom they belong to."""

import secrets

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from pydantic import SecretStr

_NONCE_BYTES = 12


class Seal:
    """Encrypts with a key derived from `key` for one purpose alone (HKDF, RFC 5869)."""

    def __init__(self, key: SecretStr, purpose: str) -> None:
        derived = HKDF(SHA256(), 32, salt=None, info=purpose.encode())
        self._cipher = AESGCM(derived.derive(key.get_secret_value().encode()))

    def close(self, text: str, owner: str) -> bytes:
        """Encrypt; what comes out opens for this owner only."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, text.encode(), owner.encode())

    def open(self, sealed: bytes, owner: str) -> str | None:
        """Decrypt; None when it was closed with another key, for another owner, or changed."""
        nonce, rest = sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:]
        try:
            return self._cipher.decrypt(nonce, rest, owner.encode()).decode()
        except InvalidTag:
            return None
