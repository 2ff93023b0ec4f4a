"""Alert events as a mail that a person understands at night."""

from __future__ import annotations

import hashlib
import shlex
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime

from worker.plain import plain
from worker.settings import EmailSettings
from worker.types import Alert, AlertState, Severity

_EVERY_SERVER = SMTP.clone(cte_type="7bit")  # not each takes 8 bits
_URGENCY = list(Severity)  # from the least on
_ROWS_AT_MOST = 200
_THREADS_AT_MOST = 20


def make_mail(settings: EmailSettings, line: str, alerts: Sequence[Alert], key: str) -> EmailMessage:
    """The mail of one event, or of several with a table of them.

    Its Message-ID is made of the key, so that a mail server or a person sees that one came twice. All mails of one
    alert refer to the same message, which never existed, so that a mail program shows them together.
    """
    mail = EmailMessage(policy=_EVERY_SERVER)
    mail["From"] = settings.sender
    mail["To"] = ", ".join(settings.to)
    mail["Subject"] = _subject(line, alerts)
    mail["Date"] = format_datetime(datetime.now(UTC))
    mail["Message-ID"] = _message_id(settings, line, key)
    threads = dict.fromkeys(_message_id(settings, line, alert.alert_id) for alert in alerts)
    if len(threads) == 1:
        mail["In-Reply-To"] = next(iter(threads))
    mail["References"] = " ".join([*threads][:_THREADS_AT_MOST])
    mail["Auto-Submitted"] = "auto-generated"  # RFC 3834: no answers from those who are on holiday
    if _worst(alerts) is Severity.CRITICAL:
        mail["Importance"] = "high"
    mail.set_content(_one(line, alerts[0]) if len(alerts) == 1 else _several(line, alerts))
    return mail


def _message_id(settings: EmailSettings, line: str, key: str) -> str:
    digest = hashlib.sha256(f"{line}\n{key}".encode("utf-8", "replace")).hexdigest()
    return f"<{digest[:32]}@{settings.sender.rpartition('@')[2]}>"


def _subject(line: str, alerts: Sequence[Alert]) -> str:
    worst = _worst(alerts).value
    if len(alerts) == 1:
        [alert] = alerts
        return f"[{line}] {worst}: {plain(_who(alert))}: {alert.kind.value} {alert.state.value}"
    states = Counter(alert.state.value for alert in alerts)
    return f"[{line}] {worst}: {len(alerts)} alerts: {', '.join(f'{count} {state}' for state, count in states.items())}"


def _one(line: str, alert: Alert) -> str:
    facts = {
        "line": line,
        "camera": alert.camera or "none: it is about the line as a whole",
        "alert": f"{alert.kind.value}, {alert.severity.value}, {alert.state.value}",
        "since": _time(alert.opened_at),
        "this event": _time(alert.at),
        "by": alert.by,
        "note": alert.note,
        "bad frames": str(alert.count) if alert.count else "",
        "score": f"{alert.score:.4g}" if alert.score is not None else "",
        "frame": alert.frame,
        "model": alert.model,
        "alert id": alert.alert_id,
    }
    table = "\n".join(f"{name:<12}{plain(value)}" for name, value in facts.items() if value)
    hints = "\n".join(f"{what:<18}{command}" for what, command in _commands(line, alert).items())
    return f"{plain(alert.message)}\n\n{table}\n\n{hints}\n"


def _commands(line: str, alert: Alert) -> dict[str, str]:
    """What may be done about it, and how."""
    about = f"--camera {shlex.quote(plain(alert.camera))} " if alert.camera else ""
    commands = {"what is open now": f"line-worker alerts list --line {line}"}
    if alert.state in (AlertState.RAISED, AlertState.UPDATED):
        commands["take it in hand"] = (
            f"line-worker alerts acknowledge {shlex.quote(plain(alert.alert_id))} --line {line}"
        )
        commands["be left in peace"] = (
            f"line-worker alerts shelve {about}--kind {alert.kind.value} --for 2h --line {line}"
        )
    return commands


def _several(line: str, alerts: Sequence[Alert]) -> str:
    rows = [
        f"{_time(alert.at)}  {alert.severity.value:<8}  {alert.state.value:<12}  {plain(_who(alert))}: "
        f"{alert.kind.value}\n    {plain(alert.message)}\n    {plain(alert.alert_id)}"
        for alert in alerts[:_ROWS_AT_MOST]
    ]
    if len(alerts) > _ROWS_AT_MOST:
        rows.append(f"and {len(alerts) - _ROWS_AT_MOST} more")
    hint = f"what is open now  line-worker alerts list --line {line}"
    return f"{len(alerts)} events came at once; oldest first.\n\n" + "\n".join(rows) + f"\n\n{hint}\n"


def _worst(alerts: Sequence[Alert]) -> Severity:
    return max((alert.severity for alert in alerts), key=_URGENCY.index)


def _who(alert: Alert) -> str:
    return alert.camera or "the line"


def _time(ns: int) -> str:
    """By the clock on the wall here, and by UTC where that is another."""
    try:
        moment = datetime.fromtimestamp(ns // 1_000_000_000, UTC)
    except (ValueError, OverflowError, OSError):  # no time that anybody lived in
        return f"{ns} ns"
    here = moment.astimezone()
    utc = f" ({moment:%H:%M:%S} UTC)" if here.utcoffset() else ""
    return f"{here:%Y-%m-%d %H:%M:%S %Z}{utc}"
