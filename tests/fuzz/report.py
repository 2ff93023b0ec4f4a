"""What a run of the fuzzer did and found."""

from __future__ import annotations

import base64
import json
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from fuzz.entries import Flat


@dataclass
class Finding:
    """One thing that must not be. `kind`: crash, hang, leak, fault, lost, doubled, restart, ledger."""

    kind: str
    seed: int
    number: int
    what: str
    flat: Flat = field(default_factory=list)

    def save(self, folder: Path) -> Path:
        """A file with the input in it, so that it outlives a change of the fuzzer."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{self.kind}-{self.seed}-{self.number}.json"
        values = vars(self) | {"flat": [base64.b64encode(part).decode() for part in self.flat]}
        path.write_text(json.dumps(values, indent=1))
        return path


@dataclass
class Report:
    """`outcomes`: how often an input ended so; two that differ in more than numbers and names are two outcomes."""

    target: str
    seed: int
    executions: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    findings: list[Finding] = field(default_factory=list)
    notes: dict[str, str] = field(default_factory=dict)
    began: float = field(default_factory=time.monotonic)

    def reasons(self) -> Counter[str]:
        """The outcomes without their details."""
        counts: Counter[str] = Counter()
        for outcome, count in self.outcomes.items():
            counts[outcome.partition(":")[0]] += count
        return counts

    def lines(self) -> list[str]:
        took = time.monotonic() - self.began
        rate = self.executions / took
        said = [f"{self.target}  seed {self.seed}  {self.executions} inputs in {took:.0f} s, {rate:.0f} a second"]
        said += [f"  {count:9}  {reason}" for reason, count in self.reasons().most_common()]
        said += [f"  {name}: {text}" for name, text in self.notes.items()]
        said += [f"  {len(self.outcomes)} distinct outcomes, {len(self.findings)} findings"]
        return said + [f"  {one.kind} at {one.seed}:{one.number}: {one.what[-1_500:]}" for one in self.findings[:5]]
