"""Object storage: SeaweedFS (master, volume, filer and S3 gateway in one process).

Its identities are generated, there is no anonymous one: both buckets are private.
"""

import json
import subprocess
import sys
from functools import partial
from pathlib import Path

from domain.secrets import Secrets
from domain.settings import Settings
from ops.errors import Refused
from ops.servers import probes
from ops.servers.program import Program, RunDir

_GRPC = 10_000
"""SeaweedFS listens for its own calls on each port plus this."""


def program(settings: Settings, run: RunDir) -> Program:
    """The server."""
    folder = run.of("s3")
    port = settings.port("s3")
    return Program(
        name="s3",
        command=_command(settings, folder),
        cwd=folder,
        ports=_ports(settings),
        prepare=partial(prepare, folder, run),
        ready=lambda: probes.http_ok(port, "/healthz"),
        finish=partial(make_buckets, settings),
        # It waits 15 s for its own watchers to leave; nothing is unwritten by then.
        stop_s=4,
    )


def identities(secrets: Secrets) -> str:
    """The text of identities.json: the application, and nobody else."""
    key = {
        "accessKey": secrets.s3_access_key.get_secret_value(),
        "secretKey": secrets.s3_secret_key.get_secret_value(),
    }
    actions = ["Admin", "Read", "Write", "List", "Tagging"]
    return json.dumps({"identities": [{"name": "app", "credentials": [key], "actions": actions}]})


def prepare(folder: Path, run: RunDir) -> None:
    """Write the identities, readable by their owner alone."""
    (folder / "data").mkdir(parents=True, exist_ok=True)
    file = folder / "identities.json"
    file.touch(0o600)
    file.write_text(identities(Secrets.load(run.path)))


def make_buckets(settings: Settings) -> None:
    """Create the two buckets; one that exists stays as it is. Raises Refused."""
    names = (settings.uploads.bucket, settings.uploads.media_bucket)
    script = "".join(f"s3.bucket.create -name {name}\n" for name in names) + "s3.bucket.list\n"
    done = subprocess.run(  # noqa: S603 - a fixed command
        [_weed(), "shell", "-master", settings.address("s3_master")],
        input=script, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    if not all(f" {name}\t" in done.stdout for name in names):
        raise Refused(
            f"s3: the buckets could not be made: {done.stdout[-200:]}{done.stderr[-200:]}"
        )


def _ports(settings: Settings) -> dict[str, int]:
    names = ("s3", "s3_master", "s3_volume", "s3_filer")
    listeners = {name: settings.port(name) for name in names}
    return listeners | {f"{name}_grpc": port + _GRPC for name, port in listeners.items()}


def _command(settings: Settings, folder: Path) -> tuple[str, ...]:
    """The command; sockets are named relative to its folder: a deep path would be too long."""
    return (
        _weed(), "server", f"-dir={folder / 'data'}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1",
        f"-master.port={settings.port('s3_master')}", f"-volume.port={settings.port('s3_volume')}",
        "-filer", f"-filer.port={settings.port('s3_filer')}", "-filer.localSocket=filer.sock",
        "-s3", f"-s3.port={settings.port('s3')}", f"-s3.port.grpc={settings.port('s3') + _GRPC}",
        "-s3.localSocket=s3.sock", f"-s3.config={folder / 'identities.json'}",
        "-s3.iam=false", "-s3.port.iceberg=0", "-s3.port.lance=0", "-s3.autoCreateBucket=false",
        "-master.volumeSizeLimitMB=256", "-volume.max=50", "-volume.preStopSeconds=0",
        # Without this a restarted master waits 20 s for itself.
        "-master.electionTimeout=1s", "-master.telemetry=false",
    )  # fmt: skip


def _weed() -> str:
    return str(Path(sys.executable).parent / "weed")
