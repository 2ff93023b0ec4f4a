"""What a camera's results mean for its alerts: N bad of the last M raise, a run of good ones clears.

Everything here is a function of a state and a result, so that a restart at any point changes nothing.

How a verdict counts for each kind; "-" is neither, it enters no window and neither feeds nor breaks a run of
good ones, since such a result says nothing of that kind. Above all an anomaly is never cleared by a frame
that nobody could inspect in time:

============================  =======  =======  ====
verdict                       anomaly  invalid  late
============================  =======  =======  ====
OK                            good     good     good
NG                            bad      good     good
INVALID                       -        bad      good
LATE, score above threshold   bad      good     bad
LATE, score up to threshold   -        good     bad
LATE, score is no number      -        bad      bad
LATE, without a score         -        -        bad
============================  =======  =======  ====
"""

from __future__ import annotations

import math

from pydantic import BaseModel, ConfigDict

from worker.alerts.life import NS, OpenAlert, clear_alert, raise_alert, update_alert
from worker.alerts.order import Place
from worker.alerts.shelf import Shelves
from worker.settings import AlertRule, AlertSettings
from worker.types import Alert, AlertKind, Result, Verdict

FORGOTTEN_AFTER_S = 30 * 24 * 3600
"""A camera without a result for so long is none of this line any more."""

RULES = (AlertKind.ANOMALY, AlertKind.INVALID, AlertKind.LATE)
_BAD, _GOOD = "1", "0"


class RuleState(BaseModel):
    """What a rule remembers: the last judged results (`1` bad, `0` good), the run of good ones, its alert."""

    model_config = ConfigDict(frozen=True)

    recent: str = ""
    good_run: int = 0
    opened: OpenAlert | None = None


class CameraState(BaseModel):
    """All that is remembered of one camera between two results; goes to JSON and back unchanged.

    `seen_at` is the unix nanoseconds of its latest result and `frame` that result's frame id.
    """

    model_config = ConfigDict(frozen=True)

    place: Place = Place()
    seen_at: int = 0
    frame: str = ""
    rules: dict[AlertKind, RuleState] = {}
    silent: OpenAlert | None = None


def judge(kind: AlertKind, result: Result) -> bool | None:
    """Whether the result is bad (True) or good (False) for this kind; None: it says nothing of it."""
    late = result.verdict is Verdict.LATE
    if kind is AlertKind.LATE:
        return late
    if kind is AlertKind.INVALID:
        if late:
            return None if result.score is None else not math.isfinite(result.score)
        return result.verdict is Verdict.INVALID
    if result.verdict is Verdict.INVALID or (late and not _over_threshold(result)):
        return None
    return result.verdict is not Verdict.OK


def observe(
    state: CameraState, result: Result, at: int, settings: AlertSettings, shelves: Shelves = ()
) -> tuple[CameraState, list[Alert]]:
    """The state after one result of the camera, given in order, and the alert events it makes.

    Args:
        at: unix ns when the result was given; from its entry's id, so that a replay gives the same events.
    """
    at = max(at, state.seen_at)
    events: list[Alert] = []
    if state.silent:
        away_s = (at - state.seen_at) / NS
        message = f"{result.camera} gives results" + (f" again after {away_s:.0f} s" if state.seen_at else "")
        events += clear_alert(state.silent, at, message, result)
    rules: dict[AlertKind, RuleState] = {}
    for kind in RULES:
        rules[kind], told = _apply(kind, state.rules.get(kind, RuleState()), result, at, settings, shelves)
        events += told
    changed = {"seen_at": at, "frame": result.frame, "rules": rules, "silent": None}
    return state.model_copy(update=changed), events


def check_silence(
    camera: str,
    state: CameraState,
    now: int,
    since: int,
    settings: AlertSettings,
    *,
    on_demand: bool = False,
    shelves: Shelves = (),
) -> tuple[CameraState, list[Alert]]:
    """Raise `camera_silent` once for a camera that gave results and gives none any more, or that is expected.

    Args:
        on_demand: whether it comes only when asked, so that its silence says nothing, unless it is expected.
        now: unix ns by the clock that the results' entry ids come from.
        since: unix ns since when results are read without a break and none came. The silence counts from there at
            the earliest: a line that starts in the morning has not been silent all night. It counts from there too
            where the camera's latest result is ahead of `now`, since the clock was set back.
    """
    if not settings.camera_silent_s or (on_demand and camera not in settings.expected_cameras):
        if state.silent is None:
            return state, []
        return state.model_copy(update={"silent": None}), clear_alert(state.silent, now, "camera_silent is off")
    if state.silent or not (state.seen_at or camera in settings.expected_cameras):
        return state, []
    seen_at = state.seen_at if state.seen_at <= now else 0
    if now - max(seen_at, since) < settings.camera_silent_s * NS:
        return state, []
    away_s = (now - (seen_at or since)) / NS
    last = f"its last frame was {state.frame}" if state.frame else "there never was one"
    message = f"no result from {camera} for {away_s:.0f} s; {last}"
    key = state.frame or str(now // 1_000_000)
    silent, events = raise_alert(
        camera, AlertKind.CAMERA_SILENT, key, at=now, count=0, message=message, shelves=shelves
    )
    return state.model_copy(update={"silent": silent}), events


def check_forgotten(camera: str, state: CameraState, now: int, settings: AlertSettings) -> list[Alert] | None:
    """The events that end what is open of a camera that is to be forgotten; None: it is not, or is expected."""
    if camera in settings.expected_cameras or now - state.seen_at < FORGOTTEN_AFTER_S * NS:
        return None
    opened = [state.silent, *(rule.opened for rule in state.rules.values())]
    message = f"no result from {camera} for {FORGOTTEN_AFTER_S // 86_400} days; it is forgotten"
    if not state.seen_at:
        message = f"{camera} is not expected any more"
    return [event for alert in opened if alert for event in clear_alert(alert, now, message)]


def _apply(
    kind: AlertKind, state: RuleState, result: Result, at: int, settings: AlertSettings, shelves: Shelves
) -> tuple[RuleState, list[Alert]]:
    rule: AlertRule = getattr(settings, kind.value)
    if not rule.enabled:
        events = clear_alert(state.opened, at, f"the rule {kind.value} is off", result) if state.opened else []
        return RuleState(), events
    bad = judge(kind, result)
    if bad is None:
        return state, []
    state = RuleState(
        recent=(state.recent + (_BAD if bad else _GOOD))[-rule.window :],
        good_run=0 if bad else state.good_run + 1,
        opened=state.opened,
    )
    if state.opened:
        if bad:
            return _grow(state, state.opened, result, at, settings.update_every_s, shelves)
        return _calm(state, state.opened, result, at, rule.clear_after)
    count = state.recent.count(_BAD)
    if not bad or count < rule.raise_at:
        return state, []
    message = f"{result.camera}: {count} of the last {len(state.recent)} results are {_describe(kind, result)}"
    opened, events = raise_alert(
        result.camera, kind, result.frame, at=at, count=count, message=message, result=result, shelves=shelves
    )
    return state.model_copy(update={"opened": opened}), events


def _grow(
    state: RuleState, opened: OpenAlert, result: Result, at: int, every_s: float, shelves: Shelves
) -> tuple[RuleState, list[Alert]]:
    count = opened.count + 1
    message = f"{result.camera}: {count} results are {_describe(opened.kind, result)}"
    opened, events = update_alert(
        opened, count=count, at=at, every_s=every_s, message=message, result=result, shelves=shelves
    )
    return state.model_copy(update={"opened": opened}), events


def _calm(
    state: RuleState, opened: OpenAlert, result: Result, at: int, clear_after: int
) -> tuple[RuleState, list[Alert]]:
    if state.good_run < clear_after:
        return state, []
    message = f"{result.camera}: {state.good_run} good results in a row after {opened.count} bad ones"
    # The window starts afresh: bad ones from before the clearing must not help to raise again.
    return RuleState(), clear_alert(opened, at, message, result)


def _over_threshold(result: Result) -> bool:
    return result.score is not None and result.threshold is not None and result.score > result.threshold


def _describe(kind: AlertKind, result: Result) -> str:
    """What is wrong, with the latest result's numbers."""
    if kind is AlertKind.ANOMALY and result.score is not None and result.threshold is not None:
        return f"NG (score {result.score:.4g}, threshold {result.threshold:.4g})"
    word = {AlertKind.ANOMALY: "NG", AlertKind.INVALID: "INVALID", AlertKind.LATE: "LATE"}[kind]
    return f"{word} ({result.reason})" if result.reason else word
