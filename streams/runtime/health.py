"""A worker's sign of life: `<run_dir>/health/worker-<stage>-<n>.json`."""

import json
from pathlib import Path

from streams.runtime.runner import now_ms


class Heartbeat:
    """The file `{"ready": bool, "at": Unix ms}`, replaced whole at every beat."""

    def __init__(self, run_dir: Path, name: str) -> None:
        self._file = run_dir / "health" / f"{name}.json"
        self._draft = self._file.with_suffix(".new")
        self._file.parent.mkdir(parents=True, exist_ok=True)

    def beat(self, ready: bool) -> None:
        """Say that the process lives and whether it has its partitions and tables."""
        self._draft.write_text(json.dumps({"ready": ready, "at": now_ms()}))
        self._draft.rename(self._file)

    def stop(self) -> None:
        """Leave nothing that looks alive."""
        self._file.unlink(missing_ok=True)
