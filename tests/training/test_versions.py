"""New versions of a model folder: whole or not at all, beside the old one, which stays as it is."""

from __future__ import annotations

import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import models
import pytest
from small_disk import on_small_disk

from worker.errors import BundleError, SettingsError
from worker.inference.bundle import MANIFEST, load_bundle, read_manifest
from worker.inference.history import ADOPTED, CALIBRATED
from worker.inference.optimise import optimise
from worker.training import versions
from worker.training.versions import check_output, write_version


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def calibrated(source: Path, threshold: float = 0.5, output: Path | None = None) -> Path:
    return write_version(source, {"threshold": threshold}, action=CALIBRATED, data_digest="d", output=output)


@pytest.fixture(scope="module")
def optimised(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("optimised") / "part"
    models.copy_to(folder, name="part", version="1", threshold=0.25, data_digest="t")
    optimise(folder, held_out=models.images(2), graphs=False)
    return folder


@pytest.fixture
def model(tmp_path: Path, optimised: Path) -> Path:
    return Path(shutil.copytree(optimised, tmp_path / "part"))


def test_a_version_has_all_files_its_own_threshold_and_the_history(model: Path) -> None:
    before = contents(model)

    folder = calibrated(model)

    assert folder == model.parent / "part-v2"
    assert contents(model) == before
    assert {name: data for name, data in contents(folder).items() if name != MANIFEST} == {
        name: data for name, data in before.items() if name != MANIFEST
    }
    bundle = load_bundle(folder)
    assert (bundle.identity, bundle.threshold) == ("part@2", 0.5)
    assert bundle.golden == folder / "golden.npz"
    assert bundle.digest() == load_bundle(model).digest()  # what was measured for it holds for the new one too
    manifest = read_manifest(folder)
    assert manifest is not None
    assert [entry.action for entry in manifest.history] == ["adopt", "optimize", "calibrate"]
    assert [entry.data_digest for entry in manifest.history] == ["t", "t", "d"]
    assert manifest.data_digest == "t"
    assert folder.stat().st_mode == model.stat().st_mode
    assert sorted(path.name for path in model.parent.iterdir()) == ["part", "part-v2"]


def test_what_becomes_of_one_version_leaves_the_other_whole(model: Path) -> None:
    folder = calibrated(model)
    with (model / "inference.yml").open("a") as file:
        file.write("# changed in place\n")

    assert load_bundle(folder).threshold == 0.5


def test_numbers_go_up_whichever_version_it_comes_from(model: Path) -> None:
    second = calibrated(model)
    third = calibrated(second)
    from_first = calibrated(model)

    assert [folder.name for folder in (second, third, from_first)] == ["part-v2", "part-v3", "part-v4"]
    assert [load_bundle(folder).identity for folder in (second, third, from_first)] == ["part@2", "part@3", "part@4"]
    first, *_, last = (read_manifest(from_first) or pytest.fail("no manifest")).history
    assert (first.action, last.action) == (ADOPTED, CALIBRATED)


def test_versions_that_are_made_at_once_get_in_nobodys_way(model: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        folders = list(pool.map(lambda number: calibrated(model, threshold=number / 8), range(4)))

    assert {folder.name for folder in folders} == {"part-v2", "part-v3", "part-v4", "part-v5"}
    assert [load_bundle(folder).threshold for folder in folders] == [0, 0.125, 0.25, 0.375]
    assert {load_bundle(folder).identity for folder in folders} == {"part@2", "part@3", "part@4", "part@5"}


def test_a_kill_leaves_no_model_and_the_next_version_takes_the_next_number(model: Path) -> None:
    # Given a process that ends, as by SIGKILL, when half of the files are there
    code = (
        "import os, shutil; from pathlib import Path; from worker.training import versions\n"
        "copy = shutil.copyfile\n"
        "def die(source, target):\n"
        "    copy(source, target)\n"
        "    if source.name == 'inference.pdiparams': os.kill(os.getpid(), 9)\n"
        "shutil.copyfile = die\n"
        f"versions.write_version(Path({str(model)!r}), {{}}, action='calibrate')"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, cwd=Path(__file__).parents[2])
    assert done.returncode == -9

    left = [path for path in model.parent.iterdir() if path != model]
    assert len(left) == 2
    for folder in left:
        with pytest.raises(BundleError, match=r"neither inference\.json"):
            load_bundle(folder)
    assert calibrated(model).name == "part-v3"


@pytest.mark.parametrize(
    ("version", "following"),
    [("1", "2"), ("9", "10"), ("v3", "v4"), ("1.4", "1.5"), ("20260102T030405", "20260102T030405.2"),
     ("20260102T030405.2", "20260102T030405.3"), ("beta", "beta.2"), ("", ".2")],
)  # fmt: skip
def test_a_version_is_counted_on(tmp_path: Path, version: str, following: str) -> None:
    folder = models.copy_to(tmp_path / "part", name="part", version=version)

    assert load_bundle(calibrated(folder)).identity == f"part@{following}"


def test_a_bare_export_becomes_version_2(tmp_path: Path) -> None:
    folder = models.copy_to(tmp_path / "exported")

    bundle = load_bundle(calibrated(folder))

    assert (bundle.identity, bundle.threshold) == ("exported@2", 0.5)
    assert not (folder / MANIFEST).exists()


def test_a_link_to_a_model_has_its_versions_beside_the_model(model: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    link = tmp_path / "elsewhere" / "current"
    link.symlink_to(model)

    assert calibrated(link) == model.parent / "part-v2"


@pytest.mark.parametrize("what", ["file", "folder", "empty", "dangling"])
def test_nothing_that_is_there_is_overwritten(model: Path, tmp_path: Path, what: str) -> None:
    output = tmp_path / "out"
    if what == "file":
        output.write_text("mine")
    elif what == "dangling":
        output.symlink_to(tmp_path / "nowhere")
    else:
        output.mkdir()
        if what == "folder":
            (output / "mine").write_text("mine")
    before = contents(tmp_path)

    for attempt in (lambda: check_output(model, output), lambda: calibrated(model, output=output)):
        with pytest.raises(SettingsError, match="is there already"):
            attempt()

    assert contents(tmp_path) == before


def test_what_lies_at_the_next_number_is_left_alone(model: Path) -> None:
    (model.parent / "part-v2").write_text("mine")

    assert calibrated(model).name == "part-v3"
    assert (model.parent / "part-v2").read_text() == "mine"


def test_a_folder_is_made_where_it_is_wanted(model: Path, tmp_path: Path) -> None:
    output = tmp_path / "some" / "where" / "strict"
    check_output(model, output)

    assert calibrated(model, output=output) == output
    assert load_bundle(output).identity == "part@2"


@pytest.mark.parametrize("output", ["part/inference.yml/below", "\N{GREEK SMALL LETTER ALPHA}" * 200])
def test_a_place_that_cannot_be_is_told(model: Path, tmp_path: Path, output: str) -> None:
    for attempt in (check_output, lambda source, place: calibrated(source, output=place)):
        with pytest.raises(SettingsError, match="no model can be written there"):
            attempt(model, tmp_path / output)


def test_what_was_begun_and_failed_leaves_nothing(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, copied = versions.shutil.copyfile, []

    def stopped(source: Path, target: Path) -> None:
        # Given that it ends at the last file: what is there then is no model
        if source.name == "inference.json":
            with pytest.raises(BundleError, match=r"neither inference\.json"):
                load_bundle(target.parent)
            raise KeyboardInterrupt
        copied.append(real(source, target))

    monkeypatch.setattr(versions.shutil, "copyfile", stopped)
    with pytest.raises(KeyboardInterrupt):
        calibrated(model)

    assert len(copied) == 3
    assert [path.name for path in model.parent.iterdir()] == ["part"]


def test_an_altered_model_has_no_new_version(model: Path) -> None:
    (model / "inference.yml").write_text("Deploy: {}")
    with pytest.raises(BundleError, match="was altered"):
        calibrated(model)
    assert [path.name for path in model.parent.iterdir()] == ["part"]


def test_a_full_disk_leaves_nothing_either(model: Path, tmp_path: Path) -> None:
    place = tmp_path / "small"
    code = (
        "import os, sys; from pathlib import Path; from worker.training.versions import write_version\n"
        "from worker.errors import SettingsError\n"
        f"try: write_version(Path({str(model)!r}), {{}}, action='calibrate', output=Path({str(place / 'm')!r}))\n"
        f"except SettingsError as error: print(error, os.listdir({str(place)!r}))"
    )
    done = subprocess.run(
        [*on_small_disk(place, "1m"), sys.executable, "-c", code],
        capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert "no model can be written there: No space left on device []" in done.stdout
