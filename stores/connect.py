"""All adapters of one process, made when first used and closed together."""

from dataclasses import dataclass

from domain.settings import Settings


@dataclass
class Stores:
    """The ports, by name. A process connects only to what it touches."""

    settings: Settings
