"""A line with a real worker, and the service on it, shared by the tests of a module."""

from __future__ import annotations

from collections.abc import Iterator

import models
import pytest
from line_settings import settings_for
from runtime.pool import Pool

from worker.stream.embedded import EmbeddedRedis

from .service import HandWorker, Service, alert_thread


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pool]:
    with EmbeddedRedis() as redis, Pool(redis.url, tmp_path_factory.mktemp("pool")) as pool:
        yield pool.ready()


@pytest.fixture(scope="module")
def service(pool: Pool) -> Iterator[Service]:
    with Service(pool.settings.redis.url.get_secret_value()) as service:
        yield service


@pytest.fixture(scope="module")
def alerts(pool: Pool) -> Iterator[None]:
    """The alert process of the pool's line, as a thread."""
    with alert_thread(pool.settings.redis.url.get_secret_value()):
        yield


@pytest.fixture
def hand(redis_url: str) -> Iterator[HandWorker]:
    """A worker in whose place the test decides, on an empty Redis of its own."""
    with HandWorker(settings_for(redis_url)) as worker:
        yield worker


@pytest.fixture(scope="session")
def pictures() -> list[bytes]:
    """JPEG files of many sizes; the model finds some of them good and some not."""
    return [models.jpeg(image) for image in models.images(12)]
