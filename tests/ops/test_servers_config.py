"""What the servers are told: the settings that keep promises must be in their configuration."""

import configparser
import json
import os
import shlex
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from pydantic import SecretStr

from domain.secrets import Secrets
from domain.settings import ROOT, Settings
from ops.errors import Refused
from ops.servers import cassandra, edge, jars, kafka, processes, redis, s3
from ops.servers.program import Program, RunDir
from ops.servers.render import render
from ops.servers.stack import Stack
from ops.servers.supervisor import config


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(run_dir=tmp_path / "run", port_offset=5000)


def _program(name: str = "thing", *command: str, **environment: str) -> Program:
    return Program(name, command or ("true",), Path("/"), lambda: True, environment=environment)


def _command(run: RunDir, program: Program) -> list[str]:
    parser = configparser.ConfigParser(interpolation=None)
    parser.read_string(config(run, [program]))
    return shlex.split(parser[f"program:{program.name}"]["command"].replace("%%", "%"))


def test_acknowledged_writes_survive_in_cassandra(settings: Settings) -> None:
    text = cassandra.config(settings)
    assert "commitlog_sync: batch\n" in text
    assert "concurrent_writes: 256\n" in text
    assert "native_transport_port: 24042\n" in text


def test_no_topic_appears_by_itself(settings: Settings, tmp_path: Path) -> None:
    text = kafka.config(settings, tmp_path)
    assert "auto.create.topics.enable=false\n" in text
    assert "advertised.listeners=PLAINTEXT://127.0.0.1:24092\n" in text
    assert "log.retention.hours=168\n" in text


def test_every_listener_is_on_loopback(settings: Settings, tmp_path: Path) -> None:
    text = edge.config(settings, tmp_path)
    listening = [ln.strip() for ln in text.split("\n") if ln.strip().startswith("listen ")]
    assert listening == ["listen 127.0.0.1:13081;", "listen 127.0.0.1:13084;"]
    assert "listeners=PLAINTEXT://127.0.0.1:" in kafka.config(settings, tmp_path)


def test_the_public_listener_never_bypasses_the_cache(settings: Settings, tmp_path: Path) -> None:
    public, internal = edge.config(settings, tmp_path).split("  server {")[1:]
    assert "proxy_cache_bypass" not in public
    assert "proxy_cache_bypass 1;" in internal


def test_a_gone_image_is_cached_for_a_minute_at_most(settings: Settings, tmp_path: Path) -> None:
    text = edge.config(settings, tmp_path)
    assert "proxy_cache_valid 410 60s;" in text
    assert "proxy_cache_valid 200 30d;" in text
    assert "proxy_cache_lock on;" in text


def test_redis_never_holds_an_acknowledged_write_back(settings: Settings) -> None:
    command = redis.program(settings, RunDir(settings.run_dir)).command
    assert command[command.index("--appendonly") + 1] == "yes"
    assert command[command.index("--appendfsync") + 1] == "no"


def test_redis_evicts_only_what_has_a_ttl(settings: Settings) -> None:
    command = redis.program(settings, RunDir(settings.run_dir)).command
    told = dict(zip(command[1::2], command[2::2], strict=True))
    assert told["--maxmemory-policy"] == "volatile-lru"
    assert told["--maxmemory"] == "512mb"
    assert told["--appendonly"] == "yes"


def test_object_storage_knows_nobody_but_the_application() -> None:
    secrets = Secrets(
        jwt_key=SecretStr("j"), s3_access_key=SecretStr("a"), s3_secret_key=SecretStr("s")
    )
    (only,) = json.loads(s3.identities(secrets))["identities"]
    assert only["credentials"] == [{"accessKey": "a", "secretKey": "s"}]
    assert only["name"] != "anonymous"


def test_secrets_are_for_their_owner_and_stay(tmp_path: Path) -> None:
    first = Secrets.ensure(tmp_path)
    assert Secrets.ensure(tmp_path) == first == Secrets.load(tmp_path)
    assert (tmp_path / "secrets.json").stat().st_mode & 0o777 == 0o600
    assert first.s3_secret_key.get_secret_value() not in repr(first)


def test_a_template_with_an_unfilled_name_is_refused() -> None:
    with pytest.raises(KeyError):
        render("cassandra.yaml", port=1)


def test_one_number_adds_a_worker(settings: Settings) -> None:
    more = settings.model_copy(
        update={"workers": settings.workers.model_copy(update={"notify": 3, "write_feeds": 0})}
    )
    names = [program.name for program in processes.programs(more, RunDir(more.run_dir))]
    assert [n for n in names if "notify" in n] == [f"worker-notify-{n}" for n in range(3)]
    assert not [n for n in names if "write_feeds" in n]


def test_our_processes_get_the_settings_as_given(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PHOTOFEED_FEED__CAP", "100")
    given = processes.environment(RunDir(settings.run_dir))
    assert given["PHOTOFEED_FEED__CAP"] == "100"
    assert given["PHOTOFEED_RUN_DIR"] == str(settings.run_dir)
    assert given["PROMETHEUS_MULTIPROC_DIR"] == str(settings.run_dir / "metrics")


@pytest.mark.parametrize("value", ["100%", "a \"quoted\" 'word'", "{}[],;", "two words"])
def test_the_supervisor_passes_any_value_on_unchanged(tmp_path: Path, value: str) -> None:
    command = _command(RunDir(tmp_path), _program("thing", "run", value, SOME=value))
    assert command[-2:] == ["run", value]
    assert f"SOME={value}" in command


@pytest.mark.parametrize("value", ["two\nlines", "a ;comment"])
def test_a_value_that_the_supervisor_would_cut_is_refused(tmp_path: Path, value: str) -> None:
    with pytest.raises(Refused):
        config(RunDir(tmp_path), [_program("thing", "run", value)])


def test_a_deep_folder_has_a_short_socket() -> None:
    shallow, deep = RunDir(Path("/a/.run")), RunDir(Path("/" + "deep/" * 40))
    assert shallow.socket == Path("/a/.run/supervisor.sock")
    assert len(os.fsencode(deep.socket)) < 100
    assert deep.socket != RunDir(Path("/" + "deep/" * 41)).socket


def test_endpoints_are_the_contracts(settings: Settings) -> None:
    endpoints = Stack.of(settings).endpoints()
    names = {"api", "edge", "ops", "kafka", "redis", "postgres", "cassandra", "search", "s3"}
    assert set(endpoints) == names
    assert endpoints["api"] == "http://127.0.0.1:13080"
    assert endpoints["kafka"] == "127.0.0.1:24092"


def test_no_two_programs_want_one_port(settings: Settings) -> None:
    wanted = [port for program in Stack.of(settings).programs for port in program.ports.values()]
    assert len(wanted) == len(set(wanted))


@pytest.mark.parametrize("server", jars.JAVA_SERVERS)
def test_another_pinned_version_is_another_folder(server: str) -> None:
    assert jars.home(server).name.startswith(f"{server}-{jars.version(server)}-")


@pytest.mark.parametrize(
    ("server", "image"),
    [
        ("kafka", "apache/kafka"),
        ("cassandra", "cassandra"),
        ("search", "opensearchproject/opensearch"),
    ],
)
def test_containers_have_the_pinned_versions(server: str, image: str) -> None:
    compose = (ROOT / "docker-compose.yml").read_text()
    assert f"image: {image}:{jars.version(server)}\n" in compose


def test_no_pom_names_a_registry() -> None:
    for pom in (ROOT / "ops" / "servers" / "maven").rglob("pom.xml"):
        tags = {element.tag.rpartition("}")[2] for element in ET.parse(pom).iter()}  # noqa: S314 - our own file
        assert not tags & {"repository", "pluginRepository", "url"}
