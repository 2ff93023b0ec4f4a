"""Alerts by e-mail."""

from __future__ import annotations

import smtplib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from email.message import EmailMessage

import structlog

from worker.alerts.sinks.mail import make_mail
from worker.alerts.sinks.smtp import Smtp, SmtpTls
from worker.errors import DeliveryError, RefusedError, SettingsError, UnreachableError
from worker.settings import EmailSettings
from worker.settings.listed import split
from worker.settings.secrets import read_secret
from worker.tls import make_context
from worker.types import Alert, AlertState, Severity

log = structlog.get_logger()

_SERVICE_SHUTS_DOWN = 421
_BROKEN_OFF = (_SERVICE_SHUTS_DOWN, b"connection closed")
_FOR_EVER = 500
_KEYS_AT_MOST = 1_000
_URGENCY = list(Severity)  # from the least on

Refusals = Mapping[str, tuple[int, bytes]]


class Email:
    """Mails the events that somebody wants to be woken by, over a connection of its own each time.

    Where the server takes a mail for some recipients and puts off others (greylisting), only those get it with the
    next try, as long as this process lives.

    Raises:
        SettingsError: a file is not what it should be.
    """

    limited = True

    def __init__(self, settings: EmailSettings, line: str) -> None:
        self._settings = settings
        self._line = line
        self._states = {AlertState(state) for state in split(settings.states)}
        self._least = _URGENCY.index(Severity(settings.min_severity))
        self._done: dict[str, dict[str, bool]] = {}  # key → recipients that need no other try: whether they have it
        make_context("alerts.email", settings.ca_file)  # what is wrong from the start is said at the start
        self._password()

    def open(self) -> None:
        """Each mail has a connection of its own."""

    def close(self) -> None:
        """Nothing is open."""

    def deliver(self, alerts: Sequence[Alert], key: str) -> None:
        """Mail those of the events that are wanted; none is, all is done.

        Raises:
            RefusedError: the server does not take this mail, for nobody.
            UnreachableError: it is away, is not who it should be, or does not let us in.
            DeliveryError: it takes this mail, or one recipient of it, later at best.
        """
        wanted = [alert for alert in alerts if self._wants(alert)]
        if not wanted:
            return
        mail = make_mail(self._settings, self._line, wanted, key)
        waiting = [address for address in self._settings.to if address not in self._done.get(key, {})]
        try:
            refused = self._send(mail, waiting)
        except SettingsError as error:
            raise UnreachableError(str(error)) from None
        except smtplib.SMTPResponseException as error:  # the login, the sender or the text, as _send has told apart
            raise self._failure(error) from None
        except smtplib.SMTPException as error:
            raise UnreachableError(f"{self._name}: {error}") from None
        except OSError as error:
            raise UnreachableError(f"{self._name}: {error or type(error).__name__}") from None
        self._judge(key, waiting, refused)

    def _wants(self, alert: Alert) -> bool:
        return alert.state in self._states and _URGENCY.index(alert.severity) >= self._least

    def _send(self, mail: EmailMessage, to: Sequence[str]) -> Refusals:
        """The refused recipients, with the server's answers."""
        settings = self._settings
        context = make_context("alerts.email", settings.ca_file)
        where, timeout_s = (settings.host, settings.server_port), settings.timeout_s
        if settings.security == "tls":
            server: Smtp = SmtpTls(*where, timeout=timeout_s, context=context)
        else:
            server = Smtp(*where, timeout=timeout_s)
        try:
            if settings.security == "starttls":
                server.starttls(context=context)
            if settings.username:
                server.login(settings.username, self._password())
            refused: Refusals = server.send_message(mail, to_addrs=to)
        except smtplib.SMTPRecipientsRefused as error:  # nobody has it, also who is not named or was not asked any more
            refused = {address: error.recipients.get(address, _BROKEN_OFF) for address in to}
        finally:
            with suppress(smtplib.SMTPException, OSError):  # whatever it says to that, it has the mail or has it not
                server.quit()
            server.close()
        return refused

    def _judge(self, key: str, asked: Sequence[str], refused: Refusals) -> None:
        """Note who has it; raise where it has to be tried again, or where nobody will ever have it."""
        put_off = {address: answer for address, answer in refused.items() if answer[0] < _FOR_EVER}
        for address in refused.keys() - put_off.keys():
            log.error("the mail server refuses a recipient", recipient=address, answer=_text(refused[address]))
        done = self._done.pop(key, {}) | {
            address: address not in refused for address in asked if address not in put_off
        }
        if put_off:
            self._done[key] = done
            if len(self._done) > _KEYS_AT_MOST:  # a mail too many is the worst that comes of it
                del self._done[next(iter(self._done))]
            address, answer = next(iter(put_off.items()))
            kind = UnreachableError if answer[0] == _SERVICE_SHUTS_DOWN else DeliveryError
            raise kind(f"{self._name} puts off {len(put_off)} recipients: {address}: {_text(answer)}")
        if not any(done.values()):
            address, answer = next(iter(refused.items()))
            raise RefusedError(f"{self._name} refuses every recipient: {address}: {_text(answer)}")

    def _failure(self, error: smtplib.SMTPResponseException) -> DeliveryError:
        answer = error.smtp_error if isinstance(error.smtp_error, bytes) else str(error.smtp_error).encode()
        said = f"{self._name} answers {_text((error.smtp_code, answer))}"
        if not isinstance(error, smtplib.SMTPDataError) or error.smtp_code == _SERVICE_SHUTS_DOWN:
            return UnreachableError(said)  # the greeting, the login or the sender: it would say so to any mail
        return RefusedError(said) if error.smtp_code >= _FOR_EVER else DeliveryError(said)

    def _password(self) -> str:
        path = self._settings.password_file
        return read_secret("alerts.email.password_file", path) if path else ""

    @property
    def _name(self) -> str:
        return f"mail server {self._settings.host}:{self._settings.server_port}"


def _text(answer: tuple[int, bytes]) -> str:
    return f"{answer[0]} {answer[1].decode('utf-8', 'replace')[:200]}"
