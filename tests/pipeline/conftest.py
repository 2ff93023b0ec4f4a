"""One opened pipeline for all tests of this folder, on a small real model."""

from __future__ import annotations

from collections.abc import Iterator

import models
import pytest

from worker import create_model
from worker.pipeline import AnomalyDetectionPipeline


@pytest.fixture(scope="session")
def pipeline() -> Iterator[AnomalyDetectionPipeline]:
    with create_model("STFPM", model_dir=models.bare_export(), device="cpu") as opened:
        yield opened
