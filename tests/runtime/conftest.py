"""Pictures for the runtime tests, as files' bytes."""

from __future__ import annotations

import models
import pytest


@pytest.fixture(scope="session")
def jpegs() -> list[bytes]:
    return [models.jpeg(image) for image in models.images(12)]
