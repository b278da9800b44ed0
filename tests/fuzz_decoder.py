"""Coverage-guided fuzzing of the image work, outside its sandbox: `make fuzz`.

Anything but renditions or a `Rejected` is a finding: libFuzzer stops and leaves the file beside.
"""

import contextlib
import io
import sys
import tempfile
from pathlib import Path

import atheris  # type: ignore[import-not-found,import-untyped,unused-ignore] # installed by `make fuzz` alone

with atheris.instrument_imports(include=["PIL", "pillow_heif", "domain", "stores"]):
    from domain.image_bytes import sniff
    from domain.renditions import Rejected
    from stores.decoder.child import warm_up
    from stores.decoder.pillow import render
from tests.hostile import good_files


def one(data: bytes) -> None:
    """One upload, declared as what it looks like."""
    file = io.BytesIO(data)
    with contextlib.suppress(Rejected):
        render(file, sniff(file) or "image/jpeg", None)


if __name__ == "__main__":
    warm_up()
    with tempfile.TemporaryDirectory() as corpus:
        for at, each in enumerate(good_files().values()):
            Path(corpus, str(at)).write_bytes(each)
        atheris.Setup([*sys.argv, "-timeout=10", "-rss_limit_mb=2048", corpus], one)
        atheris.Fuzz()
