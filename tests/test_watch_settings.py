"""The watch section of the settings: a number, auto or off, from wherever it comes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from worker.errors import SettingsError
from worker.settings import AUTO, OFF, WatchSettings, describe, from_json, load, to_json


def test_everything_is_watched_by_default() -> None:
    watch = load()[0].watch
    assert (watch.dark, watch.blown_out, watch.blurred, watch.size) == (AUTO,) * 4
    assert watch.frozen_after == 25
    assert watch.exact_size is None


@pytest.mark.parametrize(("text", "value"), [("auto", AUTO), ("off", 0.0), ("0", 0.0), ("0.25", 0.25), ("1", 1.0)])
def test_a_limit_is_read_from_the_environment(text: str, value: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LINE_WATCH__BLURRED", text)
    settings, origin = load()
    assert settings.watch.blurred == value
    assert origin["watch.blurred"] == "env LINE_WATCH__BLURRED"
    assert from_json(to_json(settings)) == settings
    assert describe(settings)["watch.blurred"] == value


@pytest.mark.parametrize("frozen_after", ["0", "off", "'off'"])
def test_yamls_own_words_are_understood(frozen_after: str, tmp_path: Path) -> None:
    path = tmp_path / "line.yml"
    path.write_text(f"watch: {{dark: off, blown_out: 0, blurred: auto, size: off, frozen_after: {frozen_after}}}\n")
    watch = load(config=path)[0].watch
    assert (watch.dark, watch.blown_out, watch.blurred, watch.size, watch.frozen_after) == (0, 0, AUTO, OFF, 0)


@pytest.mark.parametrize(
    ("size", "exact"), [("1920x1080", (1920, 1080)), ("8x8", (8, 8)), ("auto", None), ("off", None), ("0", None)]
)
def test_a_size_is_exact_or_the_models_or_any(size: str, exact: tuple[int, int] | None) -> None:
    assert load({"watch.size": size})[0].watch.exact_size == exact


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("dark", "dim", "auto, off or a number"),
        ("dark", True, "auto, off or a number"),
        ("blown_out", 1.5, "auto, off or a number"),
        ("blurred", -0.1, "auto, off or a number"),
        ("blurred", "nan", "auto, off or a number"),
        ("size", "1920", "WIDTHxHEIGHT"),
        ("size", "0x5", "WIDTHxHEIGHT"),
        ("frozen_after", 1, "at least 2"),
        ("frozen_after", -1, "greater than or equal to 0"),
    ],
)
def test_what_means_nothing_is_refused_by_name(name: str, value: Any, said: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load({f"watch.{name}": value})
    assert f"watch.{name}" in str(caught.value)
    assert said in str(caught.value)


def test_every_check_can_be_switched_off_by_one_word(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in WatchSettings.model_fields:
        monkeypatch.setenv(f"LINE_WATCH__{name.upper()}", "off")
    assert set(load()[0].watch.model_dump().values()) == {0, OFF}


def test_a_refusal_is_in_plain_words() -> None:
    with pytest.raises(SettingsError) as caught:
        load({"watch.dark": "dim"})
    assert str(caught.value) == "watch.dark (from flag): must be auto, off or a number from 0 to 1; got 'dim'"


def test_expected_cameras_are_a_list_of_names() -> None:
    assert load({"alerts.cameras": "left, right.2,"})[0].alerts.expected_cameras == {"left", "right.2"}
    assert load()[0].alerts.expected_cameras == frozenset()
    with pytest.raises(SettingsError, match="no camera's name"):
        load({"alerts.cameras": "left,a b"})
