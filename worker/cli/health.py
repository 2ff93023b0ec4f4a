"""`line-worker health`: whether the processes of this machine or container are well, for its health check."""

from __future__ import annotations

import http.client
from urllib.error import URLError
from urllib.request import ProxyHandler, build_opener

import click

from worker.settings import Settings, load

_PATIENCE_S = 8.0


@click.command(
    epilog="""\b
Examples:
  line-worker health                  whatever runs here
  line-worker health run alerts       these two have to run here

`run` is well when all its workers are ready, the others when they answer. The ports are those of the settings."""
)
@click.argument("processes", nargs=-1, type=click.Choice(["run", "alerts", "produce", "serve"]))
def health(processes: tuple[str, ...]) -> None:
    """Ask the processes on this machine whether they are well. Exits with 1 where one is not, or none is there."""
    settings, _ = load()
    answers = {name: _ask(url) for name, url in _addresses(settings).items() if name in processes or not processes}
    wanted = processes or tuple(name for name, answer in answers.items() if answer is not None)
    problems = [problem for name in wanted if (problem := _problem(name, answers.get(name)))]
    if not wanted:
        problems = ["no process of line-worker answers here"]
    for problem in problems:
        click.echo(problem)
    if problems:
        raise SystemExit(1)
    click.echo(f"well: {', '.join(wanted)}")


def _addresses(settings: Settings) -> dict[str, str]:
    """What to ask of which process; without those that listen to nobody."""
    metrics, gateway = settings.metrics, settings.gateway
    ports = {"run": metrics.port, "alerts": metrics.alerts_port, "produce": metrics.produce_port}
    addresses = {name: f"http://{_here(metrics.host)}:{port}/metrics" for name, port in ports.items() if port}
    return addresses | {"serve": f"http://{_here(gateway.host)}:{gateway.port}/health"}


def _here(host: str) -> str:
    """How this machine reaches itself where a process listens on `host`."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 (compared, not listened on)
    return f"[{host}]" if ":" in host else host


def _ask(url: str) -> str | None:
    """The answer's text; None where nobody gives one."""
    try:
        with build_opener(ProxyHandler({})).open(url, timeout=_PATIENCE_S) as answer:
            text: bytes = answer.read()
    except (URLError, OSError, http.client.HTTPException):
        return None
    return text.decode("utf-8", "replace")


def _problem(process: str, answer: str | None) -> str:
    if answer is None:
        return f"{process}: does not answer"
    if process != "run":
        return ""
    from prometheus_client.parser import text_string_to_metric_families

    up = {
        sample.labels.get("worker", ""): sample.value
        for family in text_string_to_metric_families(answer)
        for sample in family.samples
        if sample.name == "line_worker_up"
    }
    away = [worker for worker, value in up.items() if value != 1]
    return f"run: not ready: {', '.join(sorted(away))}" if away else "" if up else "run: has no workers"
