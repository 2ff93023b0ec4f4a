"""The pipeline: batches, order, several devices and threads, and what its own arguments may be."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import islice
from pathlib import Path

import cv2
import models
import numpy as np
import pytest

from worker import create_model, create_pipeline
from worker.devices import Device
from worker.errors import DeviceError, EngineError, LineError, SettingsError, SourceError
from worker.inference.predictor import Predictor
from worker.pipeline import AnomalyDetectionPipeline
from worker.pipeline.lane import Lane

PICTURES = [image[..., ::-1].copy() for image in models.images(11, seed=5)]


def masks(pipeline: AnomalyDetectionPipeline, **options: int) -> list[bytes]:
    return [result["pred"].tobytes() for result in pipeline.predict(PICTURES, **options)]


def test_batches_say_what_single_pictures_say(pipeline: AnomalyDetectionPipeline) -> None:
    alone = masks(pipeline, batch_size=1)

    assert [masks(pipeline, batch_size=size) for size in (2, 8, 256)] == [alone] * 3
    predictor = Predictor.open(models.bare_export(), Device("cpu"))
    expected = [prediction.label_map.tobytes() for prediction in predictor.predict(models.images(11, seed=5))]
    assert alone == expected
    assert len(set(alone)) > 3


def test_predict_is_a_generator_that_reads_only_what_is_needed(pipeline: AnomalyDetectionPipeline) -> None:
    asked = []

    def endless() -> Iterator[object]:
        while True:
            asked.append(1)
            yield PICTURES[0]

    results = pipeline.predict(endless(), batch_size=2)
    assert inspect.isgenerator(results)
    assert len(list(islice(results, 3))) == 3
    assert len(asked) <= 14
    results.close()  # type: ignore[attr-defined]


def test_one_bad_picture_among_others_harms_only_itself(pipeline: AnomalyDetectionPipeline) -> None:
    results = list(pipeline.predict([PICTURES[0], "nowhere.jpg", PICTURES[1], "doc.pdf"], batch_size=8))

    assert [bool(result.error) for result in results] == [False, True, False, True]
    assert [result["verdict"] for result in results][1::2] == ["INVALID", "INVALID"]
    assert [results[0]["pred"].tobytes(), results[2]["pred"].tobytes()] == masks(pipeline)[:2]


def test_what_is_done_is_given_before_the_next_is_asked_for(pipeline: AnomalyDetectionPipeline) -> None:
    """A camera loop that wants its last verdict before it takes the next picture must not wait for ever."""
    given = threading.Semaphore(5)

    def camera() -> Iterator[object]:
        for picture in PICTURES:
            assert given.acquire(timeout=10), "no result came back"
            yield picture

    for result in pipeline.predict(camera(), batch_size=1):
        assert result["pred"] is not None
        given.release()


def test_pictures_that_end_with_an_error_lose_none_of_those_before(pipeline: AnomalyDetectionPipeline) -> None:
    def broken() -> Iterator[object]:
        yield from PICTURES
        raise OSError("the camera is gone")

    found = []
    with pytest.raises(OSError, match="the camera is gone"):
        found.extend(pipeline.predict(broken(), batch_size=8))
    found = []
    with suppress(OSError):
        for result in pipeline.predict(broken(), batch_size=8):
            found.append(result["pred"].tobytes())
    assert found == masks(pipeline)


def test_a_memory_that_is_filled_again_gives_each_picture_its_own_verdict(pipeline: AnomalyDetectionPipeline) -> None:
    sized = [cv2.resize(picture, (200, 150)) for picture in PICTURES]
    alone = [result["pred"].tobytes() for result in pipeline.predict(sized)]

    def camera() -> Iterator[object]:
        memory = np.empty_like(sized[0])
        for picture in sized:
            np.copyto(memory, picture)
            yield memory

    assert [result["pred"].tobytes() for result in pipeline.predict(camera(), batch_size=8)] == alone


def test_after_its_end_it_says_so() -> None:
    with create_model("STFPM", model_dir=models.bare_export(), device="cpu") as opened:
        pass
    with pytest.raises(LineError, match="this pipeline is closed"):
        list(opened.predict(PICTURES[0]))


def test_nothing_but_bad_pictures(pipeline: AnomalyDetectionPipeline) -> None:
    assert [result["verdict"] for result in pipeline.predict(["a.pdf"] * 20)] == ["INVALID"] * 20
    assert list(pipeline.predict([])) == []


def test_it_serves_several_threads(pipeline: AnomalyDetectionPipeline) -> None:
    expected = masks(pipeline)
    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(lambda size: masks(pipeline, batch_size=size), [1, 2, 3, 4, 5, 8]))

    assert found == [expected] * 6


def test_two_devices_share_the_work_and_keep_the_order(pipeline: AnomalyDetectionPipeline) -> None:
    core = min(__import__("os").sched_getaffinity(0))
    before = __import__("os").sched_getaffinity(0)
    with create_model("STFPM", model_dir=models.bare_export(), device=f"cpu:{core},cpu", batch_size=2) as both:
        assert masks(both) == masks(pipeline)

    assert __import__("os").sched_getaffinity(0) == before, "the program around keeps its cores"


def test_a_batch_that_fails_in_the_device_gives_each_picture_its_error(pipeline: AnomalyDetectionPipeline) -> None:
    lane = Lane(pipeline._settings, Device("cpu"))
    good = lane.predictor.preprocess(models.images(1)[0])

    refused = lane.submit([good[:2], good[:2]]).result()  # two channels are no picture for this graph
    taken = lane.submit([good, good]).result()

    assert [type(outcome) for outcome in refused] == [EngineError, EngineError]
    assert [type(outcome) for outcome in taken] == [np.ndarray, np.ndarray]
    lane.close()


def test_a_batch_size_may_be_numpys(pipeline: AnomalyDetectionPipeline) -> None:
    assert len(list(pipeline.predict(PICTURES, batch_size=np.int64(4)))) == len(PICTURES)  # type: ignore[arg-type]


@pytest.mark.parametrize("size", [0, 257, -1, 1.5, "8"])
def test_a_batch_size_that_is_none_is_refused_at_once(size: object, pipeline: AnomalyDetectionPipeline) -> None:
    with pytest.raises(SettingsError, match="batch_size"):
        pipeline.predict(PICTURES, batch_size=size)  # type: ignore[arg-type]


def test_a_dark_picture_is_invalid_though_paddlexs_mask_is_there(pipeline: AnomalyDetectionPipeline) -> None:
    [result] = pipeline.predict(np.zeros((40, 40, 3), np.uint8))

    assert result["verdict"] == "INVALID"
    assert result["reason"].startswith("dark: ")
    assert result["pred"].shape == (1, models.SIDE, models.SIDE)


def test_high_performance_takes_what_passes_the_gate() -> None:
    for spelling in ({"use_hpip": True}, {"enable_hpi": True}):
        with create_pipeline("anomaly_detection", model_dir=models.bare_export(), device="cpu", **spelling) as fast:
            assert fast.engine.split()[0] in ("paddle", "openvino", "onnxruntime")
    with create_pipeline("anomaly_detection", model_dir=models.bare_export(), device="cpu") as plain:
        assert plain.engine == "paddle fp32"


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        ({}, SettingsError, "name one"),
        ({"pipeline": "OCR"}, SettingsError, "there is anomaly_detection"),
        ({"pipeline": "nowhere.yaml"}, SettingsError, "No such file"),
        ({"pipeline": "anomaly_detection", "device": "gpu:0", "model_dir": True}, DeviceError, "install"),
        ({"pipeline": "anomaly_detection", "device": "tpu", "model_dir": True}, SettingsError, "tpu"),
        ({"pipeline": "anomaly_detection", "model_dir": "nowhere"}, SourceError, "no such folder"),
        ({"pipeline": "anomaly_detection", "colour": 1}, SettingsError, "colour"),
        ({"config": {"pipeline_name": "OCR"}}, SettingsError, "pipeline_name"),
    ],
)
def test_what_cannot_be_had_says_why(arguments: dict[str, object], error: type[Exception], said: str) -> None:
    if arguments.get("model_dir") is True:
        arguments = {**arguments, "model_dir": models.bare_export()}
    with pytest.raises(error, match=said):
        create_pipeline(**arguments)  # type: ignore[arg-type]


def test_high_performance_that_is_asked_for_wins_over_the_file() -> None:
    model = {"model_dir": str(models.bare_export())}
    config = {
        "pipeline_name": "anomaly_detection",
        "engine": "paddle_static",
        "SubModules": {"AnomalyDetection": model},
    }
    with create_pipeline(config=config, device="cpu") as plain:
        assert plain._settings.engine == "paddle"
    with create_pipeline(config=config, device="cpu", use_hpip=True) as fast:
        assert (fast._settings.engine, fast._settings.precision) == ("auto", "auto")


def test_only_stfpm_is_a_model() -> None:
    with pytest.raises(SettingsError, match="the only one is STFPM"):
        create_model("PP-OCRv5")


def test_options_of_paddlexs_own_engines_are_taken_and_said_to_do_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    options = {"pp_option": None, "hpi_config": {"backend": "tensorrt"}}
    with create_pipeline("anomaly_detection", model_dir=models.bare_export(), device="cpu", **options):
        assert "hpi_config" in capsys.readouterr().err
    assert threading.active_count() < 50


def test_the_environment_is_heard(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LINE_THRESHOLD", "0.25")
    monkeypatch.setenv("LINE_DEVICES", "cpu:9999")
    with pytest.raises(DeviceError, match="no core 9999"):
        create_pipeline("anomaly_detection", model_dir=models.bare_export())
    monkeypatch.delenv("LINE_DEVICES")
    with create_pipeline("anomaly_detection", model_dir=models.bare_export()) as opened:
        assert opened.threshold == 0.25
