"""PaddleX's pipeline and ours on the same model and the same 100 pictures: every pixel of every mask.

tests/paddlex/environment.sh /tmp/paddlex
PADDLEX_PYTHON=/tmp/paddlex/bin/python .venv/bin/pytest -s tests/paddlex
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image as PillowImage

from worker import create_pipeline
from worker.cli import main
from worker.inference.postprocess import eroded, opened
from worker.pipeline import AnomalyResult

PICTURES = 100
TIE = 1e-5  # of the threshold: the two add up in another order

pytestmark = [
    pytest.mark.skipif(
        not os.environ.get("PADDLEX_PYTHON"),
        reason="no PaddleX: PADDLEX_PYTHON names the Python that tests/paddlex/environment.sh made",
    ),
    pytest.mark.timeout(1200),
]


@pytest.fixture(scope="module")
def pictures(shared_dir: Path) -> list[str]:
    tiles = shared_dir / "data" / "magnetic_tile"
    found = [sorted((tiles / part).rglob("*.*")) for part in ("test", "train")]
    every = [*found[0][::2], *found[1]]
    return [str(path) for path in every[:PICTURES]]


@pytest.fixture(scope="module")
def config(shared_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pipeline's file with a model that was trained for a moment: it finds some of the defects."""
    folder = tmp_path_factory.mktemp("model")
    tiles = shared_dir / "data" / "magnetic_tile"
    arguments = ["--data", str(tiles), "--output", str(folder / "tiles"), "--epochs", "4", "--no-graphs"]
    lax = ["--false-reject-rate", "0.3", "--confidence", "0.5"]  # many masks, large and small
    done = CliRunner().invoke(main, ["train", *arguments, *lax])
    assert done.exit_code == 0, done.output
    done = CliRunner().invoke(main, ["get-pipeline-config", "anomaly_detection", "--save_path", str(folder)])
    assert done.exit_code == 0, done.output
    file = folder / "anomaly_detection.yaml"
    text = file.read_text().replace("model_dir: null", f"model_dir: {folder / 'tiles'}")
    file.write_text(text.replace("batch_size: 8", "batch_size: 1"))  # PaddleX fails with more
    return file


@pytest.fixture(scope="module")
def theirs(config: Path, pictures: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("theirs")
    (folder / "list.txt").write_text("\n".join(pictures))
    script = Path(__file__).with_name("theirs.py")
    command = [os.environ["PADDLEX_PYTHON"], script, config, folder / "list.txt", folder]
    subprocess.run(command, check=True, timeout=900)
    return folder


@pytest.fixture(scope="module", params=[1, 8])
def ours(request: pytest.FixtureRequest, config: Path, pictures: list[str]) -> list[AnomalyResult]:
    with create_pipeline(str(config), device="cpu") as pipeline:
        return list(pipeline.predict(pictures, batch_size=request.param))


def test_every_pixel_of_every_mask_is_the_same(theirs: Path, ours: list[AnomalyResult]) -> None:
    """But for those whose value is the threshold to five digits; they are counted."""
    wanted = np.load(theirs / "pred.npz")
    anomalous = ties = 0
    for number, result in enumerate(ours):
        pred = wanted[str(number)]
        assert pred.shape == result["pred"].shape
        differs = (pred != result["pred"])[0]
        assert result.anomaly_map is not None
        values = opened(eroded(result.anomaly_map))[differs]
        assert np.allclose(values, result["threshold"], rtol=TIE), f"{result['input_path']}: {values}"
        ties += int(differs.sum())
        anomalous += int((pred > 0).sum())
    found = sum(result["verdict"] == "NG" for result in ours)
    print(f"\n{len(ours)} masks, {found} with anomalies, {anomalous} pixels; {ties} pixels differ, all ties")
    assert len(ours) == PICTURES
    assert 0 < found < PICTURES
    assert ties <= anomalous / 1000


def test_saved_pictures_show_the_same_mask(theirs: Path, ours: list[AnomalyResult], tmp_path: Path) -> None:
    differing = 0
    for number, result in enumerate(ours):
        mine = np.asarray(PillowImage.open(result.save_to_img(tmp_path / f"{number}.png")).convert("RGB"))
        his = np.asarray(PillowImage.open(theirs / f"{number}.png").convert("RGB"))
        differing += int((mine != his).any(axis=2).sum())
    print(f"\n{differing} pixels of the saved pictures differ")
    assert differing == int(sum((np.load(theirs / "pred.npz")[str(n)] != r["pred"]).sum() for n, r in enumerate(ours)))


def test_saved_json_has_what_paddlexs_has(theirs: Path, ours: list[AnomalyResult], tmp_path: Path) -> None:
    for number, result in enumerate(ours[:10]):
        mine = json.loads(result.save_to_json(tmp_path / f"{number}.json").read_text())
        his = json.loads((theirs / f"{number}.json").read_text())
        assert {name: mine[name] for name in his if name != "pred"} == {n: v for n, v in his.items() if n != "pred"}
        assert np.array_equal(mine["pred"], his["pred"])
