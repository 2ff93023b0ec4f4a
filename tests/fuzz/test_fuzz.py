"""A minute of fuzzing on every change, and proof that the fuzzer sees what it looks for."""

from __future__ import annotations

from pathlib import Path

import pytest

from fuzz.decoding import fuzz_decoding
from fuzz.entries import entry
from fuzz.line import fuzz_line
from fuzz.report import Report

SEED = 20_251
DEFECTIVE = """
import os, sys, time
from fuzz import target

kept, real = [], target.inspect

def inspect(flat, limits):
    number = int(open(sys.argv[1] + "/at").read())
    {defect}
    return real(flat, limits)

target.inspect = inspect
target.main()
"""


def show(report: Report) -> str:
    return "\n".join(report.lines())


@pytest.mark.slow
def test_no_input_harms_the_decoder() -> None:
    report = fuzz_decoding(SEED, 30)
    assert not report.findings, show(report)
    # And the inputs are good ones: many pictures get through to the pixels, many are refused, in many ways
    reasons = report.reasons()
    assert sum(count for reason, count in reasons.items() if reason.startswith("decoded")) > 100, show(report)
    assert {"damaged", "truncated", "too_large", "not_an_image", "bad_field"} <= reasons.keys(), show(report)
    assert len(report.outcomes) > 50, show(report)


@pytest.mark.slow
def test_no_entry_harms_the_line() -> None:
    report = fuzz_line(SEED, 30)
    assert not report.findings, show(report)
    assert report.executions > 300, show(report)
    assert {"OK", "NG", "damaged", "bad_field"} <= report.outcomes.keys(), show(report)


@pytest.mark.parametrize(
    ("kind", "defect", "seconds"),
    [
        ("crash", "if number == 50: os.kill(os.getpid(), 11)", 5),
        ("hang", "if number == 50: time.sleep(60)", 8),
        ("leak", "kept.append(os.urandom(2**20)); time.sleep(0.02)", 8),
        ("fault", "if number == 50: raise ValueError('planted')", 3),
        ("fault", "if number == 50: return real(flat, target.LimitSettings(max_pixels=1, min_side=0)) / 0", 3),
    ],
    ids=["crash", "hang", "leak", "wrong error", "wrong result"],
)
def test_a_planted_defect_is_found_and_told_by_its_input(
    kind: str, defect: str, seconds: float, tmp_path: Path
) -> None:
    script = tmp_path / "defective.py"
    script.write_text(DEFECTIVE.format(defect=defect))
    report = fuzz_decoding(SEED, seconds, hang_s=2, target=(str(script),))
    finding = report.findings[0]
    assert finding.kind == kind, show(report)
    if kind != "leak":
        assert finding.number == 50
        assert report.executions > 51 or kind == "hang"  # it went on behind it
    assert finding.save(tmp_path).exists()


def test_an_input_is_the_same_wherever_it_is_made_again() -> None:
    assert [entry(3, number) for number in range(200)] == [entry(3, number) for number in range(200)]
    assert entry(3, 1) != entry(4, 1)
