"""Fetching pictures by URL from real servers: what is fetched, how it is asked for, and what is refused."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import socket
import ssl
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path

import pytest
import trustme

from worker.errors import SettingsError, UrlRefused
from worker.gateway.urls.addresses import is_private
from worker.gateway.urls.fetch import Fetcher
from worker.settings.gateway import UrlSettings

from .outside import OUTSIDE, PICTURE, Listener, Names, attempts, fetch, fetch_with, fetcher, http


@pytest.fixture
def server() -> Iterator[Listener]:
    server = Listener(OUTSIDE)
    yield server
    server.close()


def refusal(url: str, **options: object) -> UrlRefused:
    with pytest.raises(UrlRefused) as caught:
        fetch(url, **options)
    return caught.value


def test_a_picture_is_fetched(server: Listener) -> None:
    assert fetch(f"http://cdn.example:{server.port}/a/b.png?size=2&sign=a%2Fb#top") == PICTURE
    head = server.received[0].decode().split("\r\n")
    assert head[0] == "GET /a/b.png?size=2&sign=a%2Fb HTTP/1.1"
    assert f"Host: cdn.example:{server.port}" in head
    assert "Accept-Encoding: identity" in head


def test_a_picture_is_fetched_in_the_loop_that_the_service_runs_in(server: Listener) -> None:
    uvloop = pytest.importorskip("uvloop")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        url = f"http://cdn.example:{server.port}/"
        assert runner.run(fetch_with(fetcher, url)) == PICTURE
        with pytest.raises(UrlRefused):
            runner.run(fetch_with(lambda: fetcher(resolve=Names(cdn_example=["127.0.0.1"])), url))


def own_addresses() -> Iterator[str]:
    """Those of this machine, from which it would send; nothing is sent."""
    for family, anywhere in ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1")):
        with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((anywhere, 9))
            yield probe.getsockname()[0]


def test_a_private_address_is_reached_only_where_that_is_allowed() -> None:
    """The real rule and nothing beside it: this machine's own address in its network, where it has one."""
    own = next((one for one in own_addresses() if is_private(ip_address(one))), None)
    if own is None:
        pytest.skip("this machine is in no private network")
    server = Listener(own)
    try:
        options = {"real_rule": True, "resolve": Names(pictures=[own])}
        assert refusal(f"http://pictures:{server.port}/", **options).status == 422
        assert server.connections == 0
        assert fetch(f"http://pictures:{server.port}/", allow_private=True, **options) == PICTURE
    finally:
        server.close()


def test_nothing_of_ours_goes_out_with_the_request(
    server: Listener, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine cdn.example login me password secret\n")
    monkeypatch.setenv("NETRC", str(netrc))
    server.answer = lambda _: [http(Set_Cookie="a=1")]
    url = f"http://cdn.example:{server.port}/"
    assert asyncio.run(fetch_with(fetcher, url, url)) == PICTURE
    names = {line.split(":")[0].lower() for head in server.received for line in head.decode().split("\r\n")[1:] if line}
    assert names == {"host", "user-agent", "accept", "accept-encoding", "connection"}


def test_a_proxy_in_the_environment_is_not_used(server: Listener, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with attempts() as tried:
        assert fetch(f"http://cdn.example:{server.port}/") == PICTURE
    assert tried == [(OUTSIDE, server.port)]


def test_a_name_is_resolved_once_and_a_closed_address_leads_to_the_next(server: Listener) -> None:
    names = Names(cdn_example=["127.0.0.3", OUTSIDE])
    permits = ("127.0.0.3", OUTSIDE)
    with attempts() as tried:
        answer = fetch(f"http://cdn.example:{server.port}/", resolve=names, permits=lambda one: str(one) in permits)
    assert answer == PICTURE
    assert tried == [("127.0.0.3", server.port), (OUTSIDE, server.port)]
    assert names.asked == ["cdn.example"]


def test_letters_beyond_ascii_in_the_path_are_encoded(server: Listener) -> None:
    assert fetch(f"http://cdn.example:{server.port}/零件/ü.png?q=ß|x") == PICTURE
    assert server.received[0].startswith(b"GET /%E9%9B%B6%E4%BB%B6/%C3%BC.png?q=%C3%9F%7Cx HTTP/1.1\r\n")


@pytest.mark.parametrize("body", [b"", b"x" * 10_000])
def test_a_body_of_up_to_the_limit_is_taken(body: bytes, server: Listener) -> None:
    server.answer = lambda _: [http(body)]
    assert fetch(f"http://cdn.example:{server.port}/") == body


CHUNK = b"100\r\n" + b"x" * 256 + b"\r\n"


@pytest.mark.parametrize(
    "answer",
    [
        [http(b"x" * 10_001)],
        [http(b"", Content_Length="9" * 19)],
        [http(b"", Content_Length="", Transfer_Encoding="chunked"), *[CHUNK] * 100_000],
        [http(b"", Content_Length=""), *[b"x" * 1000] * 100_000],
    ],
    ids=["one byte more", "a length that never comes", "chunks without end", "bytes without end"],
)
def test_more_bytes_than_the_limit_are_refused_before_they_are_read(answer: list[bytes], server: Listener) -> None:
    server.answer = lambda _: answer
    error = refusal(f"http://cdn.example:{server.port}/")
    assert (error.status, str(error)) == (413, "the picture is larger than 10,000 bytes (limits.max_bytes)")


def test_a_compressed_body_is_not_unpacked(server: Listener) -> None:
    server.answer = lambda _: [http(gzip.compress(bytes(10**6)), Content_Encoding="gzip")]
    error = refusal(f"http://cdn.example:{server.port}/", max_bytes=10**7)
    assert error.status == 422
    assert "compressed" in str(error)


@pytest.mark.parametrize(
    "status", ["404 Not Found", "204 No Content", "206 Partial", "302 Found", "500 Oh", "999 What"]
)
def test_another_status_than_200_is_told_and_no_more_than_that(status: str, server: Listener) -> None:
    server.answer = lambda _: [http(b"", status, X_Secret="inner words")]
    error = refusal(f"http://cdn.example:{server.port}/")
    assert (error.status, str(error)) == (422, f"the picture's host answers {status[:3]}")


@pytest.mark.parametrize("status", ["301", "302", "303", "307", "308"])
def test_redirects_are_followed_as_far_as_is_allowed(status: str, server: Listener) -> None:
    def answer(head: bytes) -> list[bytes]:
        left = int(head.split()[1].rpartition(b"/")[2])
        return [http(b"", f"{status} There", Location=f"../to/{left - 1}") if left else http()]

    server.answer = answer
    url = f"http://cdn.example:{server.port}/to/"
    names = Names(cdn_example=[OUTSIDE])
    assert fetch(url + "3", resolve=names) == PICTURE
    assert names.asked == ["cdn.example"] * 4  # each is checked anew
    assert [head.split()[1] for head in server.received] == [b"/to/3", b"/to/2", b"/to/1", b"/to/0"]
    assert "redirects more than 3 times" in str(refusal(url + "4"))
    assert "redirects more than 0 times" in str(refusal(url + "1", max_redirects=0))


def test_a_redirect_to_a_host_that_is_not_listed_is_refused_without_its_name(server: Listener) -> None:
    server.answer = lambda _: [http(b"", "302 Found", Location="http://secret.example/")]
    error = refusal(f"http://cdn.example:{server.port}/", allow="cdn.example")
    assert (error.status, str(error)) == (422, "the picture's host redirects to where pictures are not fetched from")


def test_a_host_that_is_not_listed_is_not_even_resolved() -> None:
    names = Names(cdn_example=[OUTSIDE])
    for allow in ("", "other.example,*.cdn.example"):
        error = refusal("http://cdn.example/", allow=allow, resolve=names)
        assert (error.status, str(error)) == (422, "cdn.example is not among the hosts that pictures are fetched from")
    assert names.asked == []


def test_nothing_is_fetched_where_that_is_off() -> None:
    assert "gateway.urls.enabled" in str(refusal("http://cdn.example/", enabled=False))


def test_an_entry_that_can_be_no_host_is_a_wrong_setting() -> None:
    with pytest.raises(SettingsError, match=r"gateway\.urls\.allow: 'http://cdn\.example' is no host"):
        Fetcher(UrlSettings(enabled=True, allow="good.example,http://cdn.example"), 1)


class Authority:
    """Whom the fetcher trusts, and certificates from it."""

    def __init__(self) -> None:
        self._ca = trustme.CA()
        self.client = ssl.create_default_context()
        self._ca.configure_trust(self.client)
        self.asked_for: list[str | None] = []

    def server(self, *names: str) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._ca.issue_cert(*names).configure_cert(context)
        context.sni_callback = lambda _socket, name, _context: self.asked_for.append(name)
        return context


def test_tls_verifies_the_name_though_the_connection_goes_to_an_address(server: Listener) -> None:
    authority = Authority()
    server.tls = authority.server("cdn.example")
    assert fetch(f"https://cdn.example:{server.port}/", tls=authority.client) == PICTURE
    assert authority.asked_for == ["cdn.example"]


@pytest.mark.parametrize("name", ["other.example", OUTSIDE])
def test_a_certificate_for_another_name_is_refused_before_anything_is_sent(name: str, server: Listener) -> None:
    authority = Authority()
    server.tls = authority.server(name)
    assert refusal(f"https://cdn.example:{server.port}/", tls=authority.client).status == 422
    assert server.received == []


def test_an_authority_that_nobody_knows_is_refused(server: Listener) -> None:
    server.tls = Authority().server("cdn.example")
    assert refusal(f"https://cdn.example:{server.port}/").status == 422
    assert server.received == []
