"""Taking URLs apart, and the list of hosts."""

from __future__ import annotations

import contextlib
from urllib.parse import urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from worker.errors import SettingsError, UrlRefused
from worker.gateway.urls.hosts import AllowedHosts
from worker.gateway.urls.picture_url import PictureUrl


@pytest.mark.parametrize(
    ("text", "scheme", "host", "port", "target", "header"),
    [
        ("http://cdn.example", "http", "cdn.example", 80, "/", "cdn.example"),
        ("HTTPS://CDN.Example./A?B#C", "https", "cdn.example", 443, "/A?B", "cdn.example"),
        ("http://cdn.example:443/", "http", "cdn.example", 443, "/", "cdn.example:443"),
        ("https://cdn.example:00443?x=/../y", "https", "cdn.example", 443, "/?x=/../y", "cdn.example"),
        ("http://8.8.8.8.:81/%7e", "http", "8.8.8.8", 81, "/%7e", "8.8.8.8:81"),
        ("https://[2606:4700:0::1111]/", "https", "2606:4700::1111", 443, "/", "[2606:4700::1111]"),
        ("https://[2606:4700::1]:8443/", "https", "2606:4700::1", 8443, "/", "[2606:4700::1]:8443"),
        ("http://my_host/a@b:c", "http", "my_host", 80, "/a@b:c", "my_host"),
        ("http://xn--bcher-kva.example/", "http", "xn--bcher-kva.example", 80, "/", "xn--bcher-kva.example"),
        ('http://a/é<>"{}|^`', "http", "a", 80, "/%C3%A9%3C%3E%22%7B%7D%7C%5E%60", "a"),
    ],
)
def test_a_url_is_taken_apart(text: str, scheme: str, host: str, port: int, target: str, header: str) -> None:
    url = PictureUrl.parse(text)
    assert (url.scheme, url.host, url.port, url.target, url.host_header) == (scheme, host, port, target, header)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("ftp://a/", "http:// or https://"),
        ("a.png", "http:// or https://"),
        ("http://me@a/", "a user or password"),
        ("http://a b/", "a space, control character or backslash"),
        ("http://bücher.example/", "xn-- form"),
        ("http://a:/", "host or port"),
        ("http://127.1/", "neither a name nor an address"),
        ("http://" + "a" * 64 + "/", "neither a name nor an address"),
        ("http://" + "a." * 130 + "a/", "neither a name nor an address"),
        ("http://-a/", "neither a name nor an address"),
        ("http://a/" + "x" * 8192, "longer than 8192 characters"),
    ],
)
def test_what_is_wrong_with_a_url_is_told(text: str, why: str) -> None:
    with pytest.raises(UrlRefused, match=f"the picture's URL is not accepted: .*{why}") as caught:
        PictureUrl.parse(text)
    assert caught.value.status == 422


PIECES = ["http", "https", ":", "//", "/", "\\", "@", "#", "?", "[", "]", "::1", "%", "25", "2e", ".", "127", "0x7f",
          "1", "a", "b.example", ":80", " ", "\t", "\r\n", "\0", "。", "①", "é", "\u200b", "\ud800", "&"]  # fmt: skip
urls = st.one_of(
    st.text(max_size=40),
    st.lists(st.sampled_from(PIECES), max_size=12).map("".join),
    st.lists(st.sampled_from(PIECES), max_size=10).map(lambda pieces: "http://" + "".join(pieces)),
    st.lists(st.sampled_from(PIECES), max_size=8).map(lambda pieces: "http://b.example" + "".join(pieces)),
)


@given(urls)
@example("http://a/%%zz")
def test_whatever_a_client_writes_is_refused_or_read_in_one_way(text: str) -> None:
    try:
        url = PictureUrl.parse(text)
    except UrlRefused:
        return
    assert PictureUrl.parse(f"{url.scheme}://{url.host_header}{url.target}") == url
    assert all("!" <= character <= "~" for character in url.target + url.host)
    # Another parser sees the same host and port.
    other = urlsplit(text)
    assert (other.hostname or "").removesuffix(".") == url.host or url.address is not None
    assert (other.port or {"http": 80, "https": 443}[other.scheme]) == url.port
    assert other.username is None


@given(urls)
def test_whatever_a_server_redirects_to_is_refused_or_read(location: str) -> None:
    with contextlib.suppress(UrlRefused):
        assert isinstance(PictureUrl.parse("https://b.example:8443/a/b?c").redirected(location), PictureUrl)


@pytest.mark.parametrize(
    ("location", "there"),
    [
        ("/x", "https://b.example:8443/x"),
        ("x?y#z", "https://b.example:8443/a/x?y"),
        ("../../../x", "https://b.example:8443/x"),
        ("?y", "https://b.example:8443/a/b?y"),
        ("//c.example/x", "https://c.example/x"),
        ("http://c.example", "http://c.example/"),
    ],
)
def test_a_redirect_may_be_relative(location: str, there: str) -> None:
    url = PictureUrl.parse("https://b.example:8443/a/b?c").redirected(location)
    assert url == PictureUrl.parse(there)


@pytest.mark.parametrize(
    ("entries", "allowed", "refused"),
    [
        ("", [], ["http://a/"]),
        ("*", ["http://a/", "http://8.8.8.8/", "http://[2606:4700::1]/"], []),
        ("cdn.example", ["http://cdn.example/", "https://CDN.EXAMPLE.:8443/"], ["http://a.cdn.example/", "http://example/"]),
        ("*.plant.example", ["http://a.plant.example/", "http://a.b.plant.example/"],
         ["http://plant.example/", "http://xplant.example/", "http://plant.example.evil.example/"]),
        ("8.8.8.8,2606:4700::1", ["http://8.8.8.8./", "http://[2606:4700:0:0::1]/"], ["http://8.8.4.4/"]),
        ("[2606:4700::1]", ["http://[2606:4700::1]/"], ["http://[2606:4700::2]/"]),
        ("plant.example.", ["http://plant.example/"], []),
    ],
)  # fmt: skip
def test_hosts_are_allowed_by_the_list(entries: str, allowed: list[str], refused: list[str]) -> None:
    hosts = AllowedHosts(entries.split(",") if entries else [])
    assert [url for url in allowed + refused if PictureUrl.parse(url) in hosts] == allowed


@pytest.mark.parametrize(
    "entry",
    ["http://a", "a:80", "a/b", "**", "*a", "a.*", "*.", "*.*", "*.1.1.1.1", "*.::1", "127.1", "a b", "bücher", ""],
)
def test_an_entry_that_can_never_be_a_host_is_a_wrong_setting(entry: str) -> None:
    with pytest.raises(SettingsError, match=r"gateway\.urls\.allow: .* is no host"):
        AllowedHosts([entry])
