"""A real mail server (SMTP) for the tests: STARTTLS or TLS, a login, and answers as a test wants them."""

from __future__ import annotations

import ssl
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import Any

import trustme
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

USER, PASSWORD = "line", "a password; with, marks"


class MailServer:
    """Keeps the mails that it takes; a context manager. `secure` is starttls, tls or none; a login is asked for but
    with none. The authority to trust is `ca_file`, the password of USER in `password_file`.

    `answers` gives each recipient's next answers, `at_data` those to a whole mail; without one they are taken.
    """

    def __init__(self, folder: Path, secure: str = "starttls", port: int = 0) -> None:
        self.ca_file, self.password_file = folder / "ca.pem", folder / "mail-password"
        self.password_file.write_text(PASSWORD + "\n")
        self.mails: list[EmailMessage] = []
        self.sent_to: list[list[str]] = []
        self.answers: dict[str, list[str]] = {}
        self.at_data: list[str] = []
        self.logins = 0
        self._secure = secure
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority = trustme.CA()
        authority.cert_pem.write_to_path(self.ca_file)
        authority.issue_cert("127.0.0.1").configure_cert(self._context)
        self._controller = self._new_controller(port)

    def __enter__(self) -> MailServer:
        self._controller.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Go away; `start` brings it back on the same port."""
        if self._controller.loop.is_running():
            self._controller.stop()

    def start(self) -> None:
        """Come back."""
        self._controller = self._new_controller(self.port)
        self._controller.start()

    @property
    def port(self) -> int:
        return int(self._controller.port)

    @property
    def settings(self) -> dict[str, Any]:
        """Of a line that mails through this server."""
        told = {"host": "127.0.0.1", "port": self.port, "security": self._secure, "sender": "line@plant.example"}
        login = {"username": USER, "password_file": self.password_file, "ca_file": self.ca_file}
        return (
            told | {"recipients": "anna@plant.example,bert@plant.example"} | (login if self._secure != "none" else {})
        )

    # What follows is called by the server.

    async def handle_RCPT(  # noqa: N802
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        if waiting := self.answers.get(address):
            return waiting.pop(0)
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802
        if self.at_data:
            return self.at_data.pop(0)
        assert isinstance(envelope.content, bytes)
        mail = message_from_bytes(envelope.content, policy=default)
        assert isinstance(mail, EmailMessage)
        self.mails.append(mail)
        self.sent_to.append(envelope.rcpt_tos)
        return "250 OK"

    def _authenticate(self, _server: SMTP, _session: Session, _envelope: Envelope, _kind: str, data: Any) -> AuthResult:
        self.logins += 1
        right = isinstance(data, LoginPassword) and data == LoginPassword(USER.encode(), PASSWORD.encode())
        return AuthResult(success=right, handled=False)

    def _new_controller(self, port: int) -> Controller:
        login = self._secure != "none"
        return _Controller(
            self,
            hostname="127.0.0.1",
            port=port,
            ssl_context=self._context if self._secure == "tls" else None,
            tls_context=self._context if self._secure == "starttls" else None,
            require_starttls=self._secure == "starttls",
            auth_required=self._secure == "starttls",  # with tls it would warn, as it knows of none
            auth_require_tls=self._secure == "starttls",
            authenticator=self._authenticate if login else None,
        )


class _Controller(Controller):
    """One that says which port it got."""

    def _trigger_server(self) -> None:
        assert self.server is not None
        self.port = self.server.sockets[0].getsockname()[1]
        super()._trigger_server()
