"""Whatever a request names, no service within is reached: real ones listen on every address, and count."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator

import pytest

from worker.errors import UrlRefused
from worker.gateway.urls.pinned import SystemResolver

from .outside import OUTSIDE, PICTURE, Inside, Listener, Names, attempts, fetch, fetch_with, fetcher, http

# What a client may write for the host, where nothing but the address decides.
SPELLINGS = [
    "127.0.0.1", "127.0.0.1.", "127.1", "127.0.1", "2130706433", "017700000001", "0x7f000001", "0x7f.1", "0x7F.0.0.0x1",
    "0177.0.0.1", "127.0.0.01", "127.255.255.254", "0.0.0.0", "0", "0.", "localhost", "localhost.", "LOCALHOST",
    "169.254.169.254", "169.254.169.254.", "2852039166", "100.64.0.1", "100.100.100.200", "168.63.129.16",
    "224.0.0.1", "240.0.0.1", "255.255.255.255", "192.0.0.192", "198.18.0.1", "192.88.99.1",
    "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1",
    "[::1]", "[0:0:0:0:0:0:0:1]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::127.0.0.1]", "[::7f00:1]",
    "[64:ff9b::7f00:1]", "[64:ff9b::127.0.0.1]", "[64:ff9b:1::7f00:1]", "[2002:7f00:1::]", "[2001:0:1::80ff:fffe]",
    "[2606:4700::5efe:7f00:1]", "[fe80::1]", "[fe80::1%25lo]", "[fe80::1%lo]", "[fec0::1]", "[fc00::1]",
    "[fd00:ec2::254]", "[ff02::1]", "[100::1]", "[v1.127.0.0.1]", "[127.0.0.1]",
    "127。0。0。1", "①②⑦.0.0.1", "１２７.０.０.１", "127.0.0.1", "127%2e0.0.1", "%31%32%37.0.0.1",
    "ⓛⓞⓒⓐⓛⓗⓞⓢⓣ", "loc\u00adalhost", "localhost\u200b",
]  # fmt: skip

# Whole URLs that different parsers read differently; {} is the port within.
TRICKS = [
    "http://cdn.example@127.0.0.1:{}/",
    "http://cdn.example:80@127.0.0.1:{}/",
    "http://127.0.0.1:{}#@cdn.example/",
    "http://127.0.0.1:{}?@cdn.example/",
    "http://127.0.0.1:{}\\@cdn.example/",
    "http://cdn.example\\@127.0.0.1:{}/",
    "http://127.0.0.1:{}@cdn.example@127.0.0.1:{}/",
    "http://cdn.example%40127.0.0.1:{}/",
    "http://cdn.example%00@127.0.0.1:{}/",
    "http://cdn.example%2f@127.0.0.1:{}/",
    "http://cdn.example\r\n@127.0.0.1:{}/",
    "http://127.0.0.1:{}/\r\nHost: cdn.example",
    "http://127.0.0.1:{}/ HTTP/1.1\r\nX: y",
    "http://127.0.0.1\t:{}/",
    " http://127.0.0.1:{}/",
    "http:// 127.0.0.1:{}/",
    "http://127.0.0.1:{}:80/",
    "http://127.0.0.1 cdn.example:{}/",
    "http://[::1]cdn.example:{}/",
    "http://[::1]@cdn.example:{}/",
    "http://cdn.example[::1]:{}/",
    "http:127.0.0.1:{}/",
    "http:/127.0.0.1:{}/",
    "http:///127.0.0.1:{}/",
    "http:\\\\127.0.0.1:{}/",
    "//127.0.0.1:{}/",
    "HTTP://127.0.0.1:{}/",
    "https://127.0.0.1:{}/",
    "ftp://127.0.0.1:{}/",
    "file:///etc/passwd",
    "gopher://127.0.0.1:{}/_x",
    "dict://127.0.0.1:{}/",
    "http+unix://%2Fvar%2Frun%2Fdocker.sock/",
    "jar:http://127.0.0.1:{}/!/",
    "http://cdn.example:/",
    "http://cdn.example:0/",
    "http://cdn.example:65536/",
    "http://cdn.example:-1/",
    "http://cdn.example:８０/",
    "http://cdn..example/",
    "http://.cdn.example/",
    "http://cdn.example../",
    "http:///",
    "http://",
    "",
    "\ud800",
    "http://cdn.example/\ud800",
]


@pytest.fixture
def inside() -> Iterator[Inside]:
    with attempts() as tried:
        inside = Inside(tried)
        yield inside
        inside.close()


@pytest.fixture
def outside() -> Iterator[Listener]:
    server = Listener(OUTSIDE)
    yield server
    server.close()


def refused(url: str, **options: object) -> UrlRefused:
    with pytest.raises(UrlRefused) as caught:
        fetch(url, **options)
    assert caught.value.status == 422
    return caught.value


@pytest.mark.parametrize("host", SPELLINGS)
def test_an_address_within_is_not_connected_to(host: str, inside: Inside) -> None:
    # The system's resolver: whatever it makes of a spelling must not matter.
    refused(f"http://{host}:{inside.port}/", real_rule=True, resolve=SystemResolver())
    assert (inside.connections, inside.tried) == (0, [])


@pytest.mark.parametrize("host", [host for host in SPELLINGS if not host.startswith(("10.", "172.", "192.168", "[fc"))])
def test_nor_is_it_where_private_addresses_are_allowed(host: str, inside: Inside) -> None:
    refused(f"http://{host}:{inside.port}/", real_rule=True, allow_private=True, resolve=SystemResolver())
    assert (inside.connections, inside.tried) == (0, [])


@pytest.mark.parametrize("url", TRICKS)
def test_a_url_that_can_be_read_in_two_ways_is_not_fetched(url: str, inside: Inside) -> None:
    url = url.replace("{}", str(inside.port))
    for allow in ("*", "cdn.example"):
        refused(url, allow=allow, resolve=Names(cdn_example=["127.0.0.1"]))
    assert (inside.connections, inside.tried) == (0, [])


@pytest.mark.parametrize("host", SPELLINGS)
def test_a_redirect_from_a_good_host_does_not_lead_within(host: str, inside: Inside, outside: Listener) -> None:
    location = f"http://{host}:{inside.port}/".encode().decode("latin-1")
    outside.answer = lambda _: [http(b"", "302 Found", Location=location).decode().encode("latin-1")]
    refused(f"http://cdn.example:{outside.port}/")
    assert inside.tried == [(OUTSIDE, outside.port)]
    assert (inside.connections, outside.connections) == (0, 1)


@pytest.mark.parametrize("url", [trick for trick in TRICKS if trick and not trick.startswith(" ")])
def test_nor_does_one_that_can_be_read_in_two_ways(url: str, inside: Inside, outside: Listener) -> None:
    location = url.replace("{}", str(inside.port)).encode("utf-8", "surrogatepass")
    outside.answer = lambda _: [b"HTTP/1.1 302 Found\r\nLocation: " + location + b"\r\nContent-Length: 0\r\n\r\n"]
    refused(f"http://cdn.example:{outside.port}/", allow="cdn.example")
    # What browsers would resolve to the good host itself leads there at most.
    assert {host for host, _ in inside.tried} == {OUTSIDE}
    assert inside.connections == 0


@pytest.mark.parametrize(
    "addresses",
    [
        ["127.0.0.1"],
        ["::1"],
        ["::ffff:127.0.0.1"],
        ["169.254.169.254"],
        ["10.0.0.1"],
        ["fe80::1%lo"],
        [OUTSIDE, "127.0.0.1"],
        ["127.0.0.1", OUTSIDE],
        [OUTSIDE] * 9 + ["::1"],
        ["no address"],
        [],
    ],
    ids=", ".join,
)
def test_a_name_with_a_bad_address_is_refused_whole(addresses: list[str], inside: Inside) -> None:
    refused(f"http://cdn.example:{inside.port}/", resolve=Names(cdn_example=addresses))
    assert (inside.connections, inside.tried) == (0, [])


def test_a_name_that_changes_after_its_check_changes_nothing(inside: Inside, outside: Listener) -> None:
    names = Names(cdn_example=[[OUTSIDE], ["127.0.0.1"]])
    assert fetch(f"http://cdn.example:{outside.port}/", resolve=names) == PICTURE
    assert names.asked == ["cdn.example"]
    assert inside.tried == [(OUTSIDE, outside.port)]


def test_a_name_that_changes_between_two_requests_is_checked_again(inside: Inside, outside: Listener) -> None:
    names = Names(cdn_example=[[OUTSIDE], ["127.0.0.1"]])
    url = f"http://cdn.example:{outside.port}/"
    with pytest.raises(UrlRefused):  # also no connection is kept
        asyncio.run(fetch_with(lambda: fetcher(resolve=names), url, url))
    assert names.asked == ["cdn.example"] * 2
    assert (inside.connections, inside.tried) == (0, [(OUTSIDE, outside.port)])


def test_a_name_that_changes_between_a_redirect_and_its_goal_is_checked_again(
    inside: Inside, outside: Listener
) -> None:
    outside.answer = lambda _: [http(b"", "302 Found", Location=f"http://cdn.example:{inside.port}/")]
    names = Names(cdn_example=[[OUTSIDE], ["127.0.0.1"]])
    refused(f"http://cdn.example:{outside.port}/", resolve=names)
    assert (inside.connections, inside.tried) == (0, [(OUTSIDE, outside.port)])


_asked: list[object] = []
sys.addaudithook(lambda event, arguments: _asked.append(arguments) if event == "socket.getaddrinfo" else None)


def test_nobody_but_the_resolver_asks_for_the_name(outside: Listener) -> None:
    _asked.clear()
    assert fetch(f"http://cdn.example:{outside.port}/") == PICTURE
    assert _asked == []


def test_who_answers_is_checked_once_more_before_anything_is_sent(outside: Listener) -> None:
    answers = [True, False]
    refused(f"http://cdn.example:{outside.port}/", permits=lambda _: answers.pop(0))
    assert outside.received in ([], [b""])


def test_a_public_address_of_this_machine_itself_gets_nothing_sent(inside: Inside) -> None:
    # That of a machine on the net stands in no list; here 127.0.0.1 plays it, which the rule of this test permits.
    names = Names(cdn_example=["127.0.0.1"])
    refused(f"http://cdn.example:{inside.port}/", resolve=names, permits=lambda _: True)
    assert inside.tried == [("127.0.0.1", inside.port)]
    assert inside.received == []


def test_what_is_said_tells_nothing_of_the_network(inside: Inside, outside: Listener) -> None:
    """No such name, a forbidden address, a closed port, a server of another kind, one that hangs up: all the same."""
    closed = Listener(OUTSIDE)
    closed.close()
    said = {str(refused("http://cdn.example/", resolve=Names()))}
    said.add(str(refused(f"http://cdn.example:{inside.port}/", resolve=Names(cdn_example=["127.0.0.1"]))))
    said.add(str(refused(f"http://cdn.example:{closed.port}/", resolve=Names(cdn_example=["127.0.0.1"]))))
    said.add(str(refused(f"http://cdn.example:{closed.port}/")))
    for answer in ([b"SSH-2.0-OpenSSH_9.6\r\n\r\n"], [b"-ERR unknown command 'GET'\r\n"], [b"HTTP/1.1 200"], []):
        outside.answer = lambda _, answer=answer: answer
        said.add(str(refused(f"http://cdn.example:{outside.port}/")))
    said.add(str(refused(f"https://cdn.example:{outside.port}/")))
    assert len(said) == 1
