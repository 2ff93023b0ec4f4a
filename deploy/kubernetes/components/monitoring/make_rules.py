"""Makes rules.yaml, the rules of deploy/prometheus as an object of the Prometheus operator: run it after each change.

.venv/bin/python deploy/kubernetes/components/monitoring/make_rules.py
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).parent
RULES = HERE.parents[2] / "prometheus" / "rules"
OUTPUT = HERE / "rules.yaml"
HEAD = "# Made by make_rules.py of deploy/prometheus/rules; change those.\n"


def prometheus_rule() -> dict[str, Any]:
    """The object, with the groups of all files in the order of their names."""
    groups = [group for file in sorted(RULES.glob("*.yml")) for group in yaml.safe_load(file.read_text())["groups"]]
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "line-worker", "labels": {"app.kubernetes.io/part-of": "line-worker"}},
        "spec": {"groups": groups},
    }


def text() -> str:
    """What belongs into the file."""
    return HEAD + yaml.safe_dump(prometheus_rule(), sort_keys=False, allow_unicode=True, width=120)


if __name__ == "__main__":
    OUTPUT.write_text(text())
