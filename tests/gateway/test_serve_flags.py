"""What `line-worker serve` makes of its flags and of a pipeline's file."""

from __future__ import annotations

from typing import Any

import pytest

from worker.cli.serve import _from_file, _from_flags
from worker.pipeline.config import parse_config

NO_FLAGS: dict[str, Any] = {
    "use_hpip": False,
    "devices": None,
    "batch_size": None,
    "engine": None,
    "precision": None,
    "model": None,
}


@pytest.mark.parametrize(
    ("file", "settings"),
    [
        # Of both generations; a batch size of 1 is what every file of PaddleX has, and nobody's choice
        ({"pipeline_name": "anomaly_detection", "SubModules": {"AnomalyDetection": {"batch_size": 1}}}, {}),
        (
            {
                "Global": {"pipeline_name": "anomaly_detection"},
                "Pipeline": {"model": "./m", "batch_size": 4, "device": "gpu:0"},
            },
            {"devices": "gpu:0", "batch.max_batch": 4},
        ),
        (
            {
                "pipeline_name": "anomaly_detection",
                "use_hpip": True,
                "device": "cpu:0",
                "SubModules": {"AnomalyDetection": {"batch_size": 16, "precision": "fp32", "threshold": 0.02}},
            },
            {"devices": "cpu:0", "engine": "auto", "precision": "fp32", "threshold": 0.02, "batch.max_batch": 16},
        ),
    ],
)
def test_a_pipelines_file_as_settings(file: dict[str, Any], settings: dict[str, Any]) -> None:
    assert _from_file(parse_config(file)) == settings


def test_flags_as_settings() -> None:
    assert _from_flags(**NO_FLAGS) == {}
    assert _from_flags(**NO_FLAGS | {"use_hpip": True}) == {"engine": "auto", "precision": "auto"}
    given = NO_FLAGS | {"use_hpip": True, "engine": "openvino", "batch_size": 1, "devices": "cpu:0"}
    assert _from_flags(**given) == {
        "devices": "cpu:0",
        "batch.max_batch": 1,
        "engine": "openvino",
        "precision": "auto",
    }
