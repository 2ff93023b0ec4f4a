"""PaddleX's YAML files of both generations, and ours."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from worker.errors import SettingsError
from worker.pipeline.config import PipelineConfig, parse_config, read_config, write_template

SECOND = {
    "pipeline_name": "anomaly_detection",
    "SubModules": {
        "AnomalyDetection": {
            "module_name": "anomaly_detection",
            "model_name": "STFPM",
            "model_dir": "./best_model/inference",
            "batch_size": 4,
        }
    },
}
FIRST = {
    "Global": {"pipeline_name": "anomaly_detection", "input": "https://somewhere/uad_grid.png"},
    "Pipeline": {"model": "./best_model/inference", "batch_size": 4, "device": "gpu:0"},
}


def test_the_pipeline_by_its_name_is_the_official_model() -> None:
    assert read_config("anomaly_detection") == PipelineConfig(model="STFPM", batch_size=8)


def test_a_file_of_the_second_generation(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text(yaml.safe_dump(SECOND))

    assert read_config(tmp_path / "x.yaml") == PipelineConfig(model="./best_model/inference", batch_size=4)


def test_a_file_of_the_first_generation(tmp_path: Path) -> None:
    (tmp_path / "x.yml").write_text(yaml.safe_dump(FIRST))

    read = read_config(str(tmp_path / "x.yml"))
    assert read == PipelineConfig(model="./best_model/inference", batch_size=4, device="gpu:0")


def test_what_paddlex_and_we_add_to_it() -> None:
    model = {"engine": "openvino", "precision": "bf16", "threshold": 0.5}
    more = {"use_hpip": True, "device": "cpu", "Serving": {"visualize": False, "extra": {}}, "hpi_config": {"x": 1}}

    read = parse_config({"pipeline_name": "anomaly_detection", "SubModules": {"AnomalyDetection": model}, **more})

    expected = {**model, "use_hpip": True, "device": "cpu", "visualize": False}
    assert read == PipelineConfig(**expected)  # type: ignore[arg-type]


def test_what_paddlex_reads_beside_a_model_is_taken_there() -> None:
    model = {
        "use_hpip": True,
        "hpi_config": {"x": 1},
        "engine_config": {},
        "genai_config": None,
        "model_dir": Path("m"),
    }
    read = parse_config({"pipeline_name": "anomaly_detection", "SubModules": {"AnomalyDetection": model}})

    assert read == PipelineConfig(model="m", use_hpip=True)
    assert parse_config({"pipeline_name": "anomaly_detection", "SubModules": None}) == PipelineConfig()


@pytest.mark.parametrize(
    ("theirs", "ours"), [("paddle_static", "paddle"), ("hpi", "auto"), ("onnxruntime", "onnxruntime")]
)
def test_paddlexs_names_of_engines(theirs: str, ours: str) -> None:
    assert parse_config({"pipeline_name": "anomaly_detection", "engine": theirs}).engine == ours


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (None, "not a mapping"),
        ([], "not a mapping"),
        ({}, "pipeline_name"),
        ({"pipeline_name": "OCR"}, "anomaly_detection"),
        ({"pipeline_name": "anomaly_detection", "SubModules": {"AnomalyDetection": {"batch_sise": 4}}}, "batch_sise"),
        ({"pipeline_name": "anomaly_detection", "SubModules": {"AnomalyDetection": {"batch_size": 0}}}, "batch_size"),
        ({"pipeline_name": "anomaly_detection", "SubModules": {"AnomalyDetection": {"model_name": "X"}}}, "STFPM"),
        ({"Global": {"pipeline_name": "anomaly_detection"}, "Pipeline": {"modle": "x"}}, "modle"),
        ({"pipeline_name": "anomaly_detection", "engine": "transformers"}, "engine"),
    ],
)
def test_what_is_not_understood_is_named(values: object, said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        parse_config(values)


@pytest.mark.parametrize("content", [b"a: [", b"\xff\xfe\xff", b"[" * 5_000])
def test_a_file_that_is_no_yaml_says_so(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_bytes(content)

    with pytest.raises(SettingsError, match=r"x\.yaml"):
        read_config(tmp_path / "x.yaml")


def test_the_template_is_written_once_and_loads(tmp_path: Path) -> None:
    path = write_template("anomaly_detection", tmp_path / "my_path")

    assert path == tmp_path / "my_path" / "anomaly_detection.yaml"
    assert read_config(path) == read_config("anomaly_detection")
    with pytest.raises(SettingsError, match="is there already"):
        write_template("anomaly_detection", tmp_path / "my_path")
    assert write_template("anomaly_detection", tmp_path / "mine.yaml").name == "mine.yaml"
    with pytest.raises(SettingsError, match="there is anomaly_detection"):
        write_template("OCR", tmp_path)
