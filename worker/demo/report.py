"""What `demo` found, for `--report` and for people."""

from __future__ import annotations

from typing import Any

from worker.demo.observer import Observer, percentile
from worker.stream.ledger import Ledger
from worker.types import AlertState


def build_report(observer: Observer, ledger: Ledger, duration_s: float) -> dict[str, Any]:
    """The report as JSON-able values; `recall` and `false_reject_rate` are None where there was no such part."""
    tallies = list(observer.cameras.values())
    latencies = [value for tally in tallies for value in tally.latencies_ms]
    truth = {name: sum(tally.truth[name] for tally in tallies) for name in ("tp", "fp", "fn", "tn")}
    span_s = observer.last_result_at - observer.first_result_at
    return {
        "seconds": round(duration_s, 1),
        "produced": ledger.produced,
        "verdicts": ledger.verdicts,
        "dead": ledger.dead,
        "dropped": ledger.dropped,
        "backlog": ledger.backlog,
        "ledger_difference": ledger.difference,
        "alerts_raised": observer.alert_count(AlertState.RAISED),
        "alerts_cleared": observer.alert_count(AlertState.CLEARED),
        "fps": round((len(latencies) - 1) / span_s, 2) if span_s > 0 else 0.0,
        "latency_ms": {"p50": round(percentile(latencies, 0.50), 1), "p99": round(percentile(latencies, 0.99), 1)},
        "truth": truth,
        "precision": _share(truth["tp"], truth["tp"] + truth["fp"]),
        "recall": _share(truth["tp"], truth["tp"] + truth["fn"]),
        "false_reject_rate": _share(truth["fp"], truth["fp"] + truth["tn"]),
        "cameras": {
            name: {
                "verdicts": tally.verdicts,
                "truth": tally.truth,
                "latency_ms": {
                    "p50": round(percentile(tally.latencies_ms, 0.50), 1),
                    "p99": round(percentile(tally.latencies_ms, 0.99), 1),
                },
            }
            for name, tally in observer.cameras.items()
        },
    }


def summarise(report: dict[str, Any]) -> str:
    """The report in a few lines."""
    truth, latency = report["truth"], report["latency_ms"]
    ended = "  ".join(f"{name} {count}" for name, count in report["verdicts"].items())
    return "\n".join(
        (
            f"produced   {report['produced']} frames:  {ended}  dead {report['dead']}  "
            f"dropped {sum(report['dropped'].values())}  backlog {report['backlog']}",
            f"ledger     difference {report['ledger_difference']}"
            + ("" if report["ledger_difference"] else " (nothing lost)"),
            f"truth      recall {_percent(report['recall'])}  precision {_percent(report['precision'])}  "
            f"false rejects {_percent(report['false_reject_rate'])}  "
            f"(tp {truth['tp']}  fp {truth['fp']}  fn {truth['fn']}  tn {truth['tn']})",
            f"speed      {report['fps']} frames/s  publish to verdict p50 {latency['p50']} ms  p99 {latency['p99']} ms",
            f"alerts     {report['alerts_raised']} raised  {report['alerts_cleared']} cleared",
        )
    )


def _share(part: int, whole: int) -> float | None:
    return round(part / whole, 4) if whole else None


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.1%}"
