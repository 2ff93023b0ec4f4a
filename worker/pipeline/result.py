"""What `predict` gives for a picture: PaddleX's result, with a score and a verdict."""

from __future__ import annotations

import json
import math
import mimetypes
import os
import re
import time
from dataclasses import asdict
from itertools import count
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from PIL import Image as PillowImage

from worker.errors import LineError, SettingsError, SourceError
from worker.inference.pictures import heatmap, mask_palette, overlay
from worker.inference.postprocess import eroded, opened
from worker.pipeline.inputs import Source
from worker.types import Image, Prediction, Verdict

Style = Literal["mask", "overlay", "heatmap"]
STYLES: tuple[Style, ...] = ("mask", "overlay", "heatmap")
_KEY = "res"  # PaddleX's key for a result's only picture and text
_unnamed = count(1)
_MOST_STEM_BYTES = 200  # of a file name's 255
_NOT_TOLD = "..."  # what PaddleX prints for the mask's pixels


class AnomalyResult(dict[str, Any]):
    """A dict with these keys:

    input_path   the picture's file or URL; None for an array
    page_index   the page of a TIFF; else None
    pred         the labelMap, 1×H×W uint8, 255 = anomaly; None where the picture could not be inspected
    score        the maximum of the opened anomaly map; None likewise
    threshold    that the score was held against; None likewise
    verdict      OK, NG or INVALID
    regions      list of x, y, w, h, area (pixels of the picture) and score
    reason       why INVALID: a stable word, a colon, words for people; else empty

    and `input_img`, the picture (H×W×3, RGB, uint8), which is read again from its file when it is asked for.
    """

    def __init__(self, source: Source, **values: Any) -> None:
        super().__init__(input_path=source.input_path, page_index=source.page, **values)
        self.error: LineError | None = None
        """Why the picture could not be inspected; None where it was."""
        self.anomaly_map: npt.NDArray[np.float32] | None = None
        """H×W float32, as the model gave it; None where there is none."""
        self._prediction: Prediction | None = None
        self._source = source
        self._name = ""

    @classmethod
    def of(
        cls, source: Source, prediction: Prediction, anomaly_map: npt.NDArray[np.float32], problem: str
    ) -> AnomalyResult:
        """The result of a picture that the model looked at; `problem` is why it may not be trusted all the same."""
        verdict = Verdict.INVALID if problem else prediction.verdict
        reason = problem or ("score_not_finite" if verdict is Verdict.INVALID else "")
        result = cls(
            source,
            pred=prediction.label_map[None],
            score=prediction.score if math.isfinite(prediction.score) else None,
            threshold=prediction.threshold,
            verdict=str(verdict),
            regions=[asdict(region) for region in prediction.regions],
            reason=reason,
        )
        result.anomaly_map = anomaly_map.copy()  # alone: it is a part of its batch's
        result._prediction = prediction
        return result

    @classmethod
    def failed(cls, source: Source, error: LineError) -> AnomalyResult:
        """The result of a picture that could not be inspected."""
        reason = f"{getattr(error, 'reason', 'failed')}: {error}"
        result = cls(
            source, pred=None, score=None, threshold=None, verdict=str(Verdict.INVALID), regions=[], reason=reason
        )
        result.error = error
        return result

    def __missing__(self, key: str) -> Any:
        if key == "input_img":
            return self._source.read()
        raise KeyError(key)

    @property
    def json(self) -> dict[str, dict[str, Any]]:
        """The values under the key `res`, the mask's pixels as lists."""
        return {_KEY: {**self, "pred": None if self["pred"] is None else self["pred"].tolist()}}

    @property
    def img(self) -> dict[str, PillowImage.Image]:
        """The mask under the key `res`, in PaddleX's palette.

        Raises:
            LineError: the picture could not be inspected, and why.
        """
        return {_KEY: self._mask()}

    def print(
        self,
        format_json: bool = True,
        indent: int | None = 4,
        ensure_ascii: bool = False,
        *,
        json_format: bool | None = None,
    ) -> None:
        """Print the values, not the mask's pixels, to standard output.

        Args:
            format_json: as JSON, indented unless `indent` is None; False: as Python has it, on one line.
            json_format: the same, as some versions of PaddleX spell it.
        """
        told = {_KEY: {**self, "pred": None if self["pred"] is None else _NOT_TOLD}}
        if format_json if json_format is None else json_format:
            print(json.dumps(told, indent=indent, ensure_ascii=ensure_ascii))
        else:
            print(told)

    def save_to_json(self, save_path: Any, indent: int | None = 4, ensure_ascii: bool = False) -> Path:
        """Write the values as JSON: to this `.json` file, or into this folder as `NAME_res.json`.

        Raises:
            SourceError: it cannot be written.
        """
        path = Path(save_path)
        if not names_json(path):
            path = path / f"{self.stem}_{_KEY}.json"
        text = json.dumps(self.json[_KEY], indent=indent, ensure_ascii=ensure_ascii)
        return _written(path, text.encode("utf-8", "surrogateescape"))

    def save_to_img(self, save_path: Any, style: Style = "mask") -> Path:
        """Write the mask as a picture: to this file, or into this folder as `NAME_res.SUFFIX`, the input's suffix.

        Args:
            style: `mask` as PaddleX draws it; for people `overlay`, the picture with what is anomalous outlined, or
                `heatmap`, the picture in grey under the anomaly map.

        Raises:
            LineError: the picture could not be inspected, and why; the file cannot be written.
        """
        if style not in STYLES:
            raise SettingsError(f"style {style!r}: allowed are {', '.join(STYLES)}")
        picture = self._mask() if style == "mask" else PillowImage.fromarray(self._drawn(style))
        path = Path(save_path)
        if not names_picture(path):
            suffix = Path(self._file_name).suffix
            suffix = suffix if _can_be_written(suffix) else ".png"
            path = path / f"{self.stem}_{_KEY}{suffix}"
        if picture.mode == "P" and path.suffix.lower() not in (".png", ".bmp", ".gif", ".tif", ".tiff"):
            picture = picture.convert("RGB")
        return _saved(picture, path)

    def save_all(self, save_path: Any) -> None:
        """Both files into this folder."""
        self.save_to_img(save_path)
        self.save_to_json(save_path)

    def _mask(self) -> PillowImage.Image:
        self._check()
        picture = PillowImage.fromarray(self["pred"][0])
        picture.putpalette(mask_palette())
        return picture

    def _drawn(self, style: Style) -> Image:
        self._check()
        assert self._prediction is not None
        assert self.anomaly_map is not None
        image: Image = self["input_img"]
        if style == "overlay":
            return overlay(image, self._prediction.label_map, self._prediction.regions)
        return heatmap(image, opened(eroded(self.anomaly_map)), self._prediction.threshold)

    def _check(self) -> None:
        if self.error is not None:
            raise self.error

    @property
    def _file_name(self) -> str:
        """The input's own file name; for an array one that no other has, the same for all that is saved of it."""
        given = self["input_path"]
        if given is not None:
            return Path(re.split("[?#]", given)[0] if "://" in given else given).name or "input"
        self._name = self._name or f"{int(time.time())}_{os.getpid()}_{next(_unnamed)}"
        return self._name

    @property
    def stem(self) -> str:
        """What its files in a folder are called, before `_res`: the input's name, and the page of a TIFF."""
        stem = os.fsdecode(os.fsencode(Path(self._file_name).stem)[:_MOST_STEM_BYTES])
        return stem if self["page_index"] is None else f"{stem}_{self['page_index']}"


def names_picture(path: Path) -> bool:
    """Whether something saved there is one picture, in this file; else it is a folder."""
    return _is_picture(path) and not path.is_dir()


def names_json(path: Path) -> bool:
    """The same of JSON."""
    return path.suffix.lower() == ".json" and not path.is_dir()


def _is_picture(path: Path) -> bool:
    return (mimetypes.guess_type(path.name)[0] or "").startswith("image/")


def _can_be_written(suffix: str) -> bool:
    kind = PillowImage.registered_extensions().get(suffix.lower(), "")
    return _is_picture(Path(f"x{suffix}")) and kind in PillowImage.SAVE


def _saved(picture: PillowImage.Image, path: Path) -> Path:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        picture.save(path)
    except (OSError, ValueError, KeyError) as error:
        raise SourceError(f"{path} cannot be written: {error}") from error
    return path


def _written(path: Path, data: bytes) -> Path:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f"{path.name}.part")
        part.write_bytes(data)
        part.replace(path)  # whole or not at all
    except OSError as error:
        raise SourceError(f"{path} cannot be written: {error.strerror}") from error
    return path
