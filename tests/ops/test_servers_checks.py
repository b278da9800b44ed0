"""What `up` refuses before it starts anything: one clear line each."""

import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from domain import settings as settings_module
from domain.settings import SettingsError
from ops.errors import Refused
from ops.servers import preflight, probes
from ops.servers.program import Program

GIB = 1024**3


@pytest.fixture
def busy() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def _wanting(port: int) -> Program:
    return Program("redis", ("true",), Path("/"), lambda: True, ports={"redis": port})


def test_a_port_in_use_is_named_with_its_holder(busy: int) -> None:
    with pytest.raises(
        Refused, match=rf"port {busy}, wanted by redis .*in use by pid {os.getpid()}"
    ):
        preflight.ports([_wanting(busy)])


def test_a_free_port_is_fine(busy: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        free = other.getsockname()[1]
    assert free != busy
    preflight.ports([_wanting(free)])


def test_a_nearly_full_disk_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused, match=r"1\.5 GiB free"):
        preflight.disk([tmp_path], free=lambda _: 3 * GIB // 2)
    preflight.disk([tmp_path], free=lambda _: 3 * GIB)


def test_free_space_of_a_folder_to_be_is_its_disks(tmp_path: Path) -> None:
    assert preflight.free_bytes(tmp_path / "not" / "yet") > 0


@pytest.mark.parametrize(
    ("text", "release"),
    [
        ('openjdk version "17.0.15" 2025-04-15', 17),
        ('java version "1.8.0_392"', 8),
        ('openjdk version "21" 2023-09-19', 21),
        ("no such thing", 0),
    ],
)
def test_java_tells_its_release(text: str, release: int) -> None:
    assert preflight.java_version(text) == release


def test_missing_java_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    with pytest.raises(Refused, match=r"Java is missing: .*apt-get install"):
        preflight.java()


def test_old_java_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    fake = tmp_path / "bin" / "java"
    fake.write_text("#!/bin/sh\necho 'openjdk version \"11.0.2\" 2019-01-15' >&2\n")
    fake.chmod(0o755)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    with pytest.raises(Refused, match="Java 11 is too old, 17 is needed"):
        preflight.java()


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        (
            "PHOTOFEED_WORKERS__WRITE_FEDS",
            "2",
            r"no such setting; PHOTOFEED_WORKERS__WRITE_FEEDS\?",
        ),
        ("PHOTOFEED_PORT_OFFSET", "many", "valid integer"),
        ("PHOTOFEED_PORT_OFFSET", "-1", "greater than or equal"),
        ("PHOTOFEED_PORTS__REDIS", "8080", "share a port"),
    ],
)
def test_a_wrong_setting_is_named(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, message: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=message) as caught:
        settings_module.load()
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("PHOTOFEED")


@pytest.mark.parametrize(
    ("text", "age_s", "started_s", "ready"),
    [
        ('{"ready": true}', 1, 60, True),
        ('{"ready": false}', 1, 60, False),
        ('{"ready": tr', 1, 60, False),
        ('{"ready": true}', 11, 60, False),
        ('{"ready": true}', 2, 1, False),
    ],
    ids=["beats", "not ready", "half written", "stopped beating", "its last life"],
)
def test_a_heartbeat_is_fresh_and_of_this_life(
    tmp_path: Path, text: str, age_s: float, started_s: float, ready: bool
) -> None:
    beat, pid = tmp_path / "beat.json", tmp_path / "thing.pid"
    now = time.time()
    for file, content, age in ((beat, text, age_s), (pid, "1", started_s)):
        file.write_text(content)
        os.utime(file, (now - age, now - age))
    assert probes.heartbeat(beat, pid) is ready
