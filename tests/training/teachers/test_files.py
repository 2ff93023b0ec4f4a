"""Teachers from files of three formats, and files that are none."""

import io
import pickle
from pathlib import Path

import numpy as np
import pytest

from worker.errors import SourceError
from worker.training.teachers.files import read
from worker.training.weights import Weights, draw, fold


def with_norms(seed: int = 0) -> Weights:
    """Weights as a training leaves them, BatchNorm beside each convolution, and deeper layers."""
    random = np.random.default_rng(seed)
    weights = draw(seed)
    for name in list(weights):
        stem = name.removesuffix(".weight")
        norm = f"{stem[:-1]}1" if stem.endswith("downsample.0") else stem.replace("conv", "bn")
        channels = len(weights[name])
        for part in ("weight", "bias", "running_mean", "running_var"):
            weights[f"{norm}.{part}"] = random.uniform(0.5, 2, channels).astype(np.float32)
    weights["layer4.0.conv1.weight"] = np.zeros((512, 256, 3, 3), np.float32)
    weights["fc.bias"] = np.zeros(1000, np.float32)
    return weights


def paddle_named(weights: Weights) -> Weights:
    return {
        name.replace(".running_mean", "._mean").replace(".running_var", "._variance"): value
        for name, value in weights.items()
    }


def wanted() -> Weights:
    return fold(with_norms())


def same(found: Weights, other: Weights) -> bool:
    return found.keys() == other.keys() and all(np.array_equal(value, other[name]) for name, value in found.items())


def test_npz_by_torchvisions_names(tmp_path: Path) -> None:
    np.savez(tmp_path / "t.npz", **with_norms())

    assert same(read(tmp_path / "t.npz"), wanted())


def test_npz_already_folded_and_in_half_precision(tmp_path: Path) -> None:
    halves = {name: value.astype(np.float16) for name, value in wanted().items()}
    np.savez(tmp_path / "t.npz", **halves)

    assert same(read(tmp_path / "t.npz"), {name: value.astype(np.float32) for name, value in halves.items()})


def test_safetensors(tmp_path: Path) -> None:
    numpy = pytest.importorskip("safetensors.numpy")
    numpy.save_file(with_norms(), tmp_path / "t.safetensors")

    assert same(read(tmp_path / "t.safetensors"), wanted())


@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_pdparams(tmp_path: Path, protocol: int) -> None:
    (tmp_path / "t.pdparams").write_bytes(pickle.dumps(paddle_named(with_norms()), protocol=protocol))

    assert same(read(tmp_path / "t.pdparams"), wanted())


def test_pdparams_as_paddle_writes_them(tmp_path: Path) -> None:
    from worker.training.framework import paddle
    from worker.training.network import Backbone

    backbone = Backbone(folded=False)
    paddle.save(backbone.state_dict(), str(tmp_path / "t.pdparams"))

    assert same(read(tmp_path / "t.pdparams"), fold(backbone.weights()))


class Calls:
    """Pickles to a call of the caller's choice."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (exec, (f"open({str(self.marker)!r}, 'w')",))


def test_pdparams_that_would_run_code_are_refused(tmp_path: Path) -> None:
    (tmp_path / "t.pdparams").write_bytes(pickle.dumps({"conv1.weight": Calls(tmp_path / "marker")}))

    with pytest.raises(SourceError, match=r"it would call builtins\.exec"):
        read(tmp_path / "t.pdparams")
    assert not (tmp_path / "marker").exists()


@pytest.mark.parametrize("ending", ["npz", "pdparams", "safetensors"])
@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"no weights at all" * 100])
def test_what_is_no_weights_is_said(tmp_path: Path, ending: str, content: bytes) -> None:
    (tmp_path / f"t.{ending}").write_bytes(content)

    with pytest.raises(SourceError, match=f"teacher .*t.{ending}: "):
        read(tmp_path / f"t.{ending}")


def test_a_bias_of_another_size_is_said(tmp_path: Path) -> None:
    np.savez(tmp_path / "t.npz", **{**wanted(), "conv1.bias": np.zeros(10, np.float32)})

    with pytest.raises(SourceError, match=r"conv1\.bias has shape \(10,\), wanted \(64,\)"):
        read(tmp_path / "t.npz")


def test_a_truncated_file_is_said(tmp_path: Path) -> None:
    whole = io.BytesIO()
    np.savez(whole, **with_norms())
    (tmp_path / "t.npz").write_bytes(whole.getvalue()[:-100_000])

    with pytest.raises(SourceError, match=r"t\.npz"):
        read(tmp_path / "t.npz")


def test_another_network_is_said(tmp_path: Path) -> None:
    np.savez(tmp_path / "t.npz", **{"conv1.weight": np.zeros((64, 1, 7, 7), np.float32)})

    with pytest.raises(SourceError, match=r"conv1\.weight has shape"):
        read(tmp_path / "t.npz")


def test_a_file_that_lacks_a_layer_is_said(tmp_path: Path) -> None:
    lacking = wanted()
    del lacking["layer3.1.conv2.weight"]
    np.savez(tmp_path / "t.npz", **lacking)

    with pytest.raises(SourceError, match=r"layer3\.1\.conv2\.weight is missing"):
        read(tmp_path / "t.npz")


def test_arrays_of_objects_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "t.npz", **{"conv1.weight": np.array([{}], object)})

    with pytest.raises(SourceError, match="allow_pickle=False"):
        read(tmp_path / "t.npz")


def test_numbers_that_are_none_are_said(tmp_path: Path) -> None:
    weights = with_norms()
    weights["layer3.1.conv2.weight"][0, 0, 0, 0] = np.nan
    np.savez(tmp_path / "t.npz", **weights)

    with pytest.raises(SourceError, match="not finite"):
        read(tmp_path / "t.npz")


@pytest.mark.parametrize("name", ["none.npz", "imagenett", "."])
def test_no_such_file(tmp_path: Path, name: str) -> None:
    with pytest.raises(SourceError, match="no such file, and no teacher of that name"):
        read(tmp_path / name)
