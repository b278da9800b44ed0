"""The virtual environment of the peer that can't share ours."""

import subprocess
import sys
import venv
from pathlib import Path

from domain.settings import ROOT

_LOCK = Path(__file__).with_name("stream_framework.lock")
_LIMIT_S = 240


class Missing(Exception):
    """It can't be installed; the message says what stands in the way."""


def stream_framework_python() -> Path:
    """The Python that has stream-framework; installed on the first call. Raises Missing."""
    home = ROOT / ".run-bench" / "stream-framework"
    python, done = home / "bin" / "python", home / ".installed"
    if done.exists() and done.read_text() == _LOCK.read_text():
        return python
    venv.create(home, with_pip=True, clear=True)
    install = [str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    try:
        subprocess.run(  # noqa: S603 - pip with our lock
            [*install, "--require-hashes", "-r", str(_LOCK)],
            check=True,
            capture_output=True,
            text=True,
            timeout=_LIMIT_S,
        )
    except subprocess.SubprocessError as error:
        told = getattr(error, "stderr", "") or str(error)
        raise Missing(str(told).strip().splitlines()[-1]) from None
    done.write_text(_LOCK.read_text())
    return python


if __name__ == "__main__":
    sys.stdout.write(f"{stream_framework_python()}\n")
