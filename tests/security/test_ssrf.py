"""What accounts can make newleaf ask: public addresses, within limits, and nothing else. The servers are real ones."""

from __future__ import annotations

import datetime
import gzip
import ipaddress
import itertools
import socket
import ssl
import threading
import zlib

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from engine.knowledge import fetch, metering
from engine.knowledge.fetch import Fetcher, Validators
from engine.knowledge.fetch_errors import (
    AddressRefused,
    BadAnswer,
    RedirectRefused,
    StaysInside,
    TooLarge,
    TooSlow,
    Unreachable,
    UrlRefused,
    WrongType,
)
from engine.knowledge.reach import Reach
from engine.knowledge.urls import parse
from tests.support.web import Page, Site, raw_server

NAME = "site.example.com"
METADATA = "169.254.169.254"


class Names:
    """A resolver: what each name means, one answer after the other, the last for ever."""

    def __init__(self, **meanings):
        self.asked = []
        self._meanings = {name.replace("_", "."): answers for name, answers in meanings.items()}

    def __call__(self, host):
        self.asked.append(host)
        answers = self._meanings.get(host)
        if answers is None:
            raise OSError("no such host")
        return answers.pop(0) if len(answers) > 1 else answers[0]


@pytest.fixture
def site():
    with Site({"/": Page("<p>Hello</p>"), "/secret": Page("secret")}) as running:
        yield running


@pytest.fixture
def fetcher(site):
    """Reaches the site by its name, and no other loopback address or port."""
    names = Names(site_example_com=[["127.0.0.1"]], metadata_example_com=[[METADATA]])
    return Fetcher(Reach([f"127.0.0.1:{site.port}"]), resolve=names, timeout_s=10)


def at(site, path="/", name=NAME):
    return f"http://{name}:{site.port}{path}"


class TestAddress:
    @pytest.mark.parametrize(
        "url",
        [
            "http://127.0.0.1/",
            "http://127.8.9.10/",
            "http://0.0.0.0/",
            "http://10.0.0.1/",
            "http://100.64.0.1/",
            "http://169.254.169.254/latest/meta-data/",
            "http://168.63.129.16/metadata",
            "http://172.16.0.1/",
            "http://192.168.1.1/",
            "http://192.0.0.192/",
            "http://198.18.0.1/",
            "http://203.0.113.5/",
            "http://224.0.0.1/",
            "http://255.255.255.255/",
            "http://127.0.0.1./",
            "http://１２７.０.０.１/",
            "http://127。0。0。1/",
            "http://[::1]/",
            "http://[::]/",
            "http://[::ffff:127.0.0.1]/",
            "http://[::ffff:a9fe:a9fe]/",
            "http://[::127.0.0.1]/",
            "http://[64:ff9b::10.0.0.1]/",
            "http://[64:ff9b:1::a00:1]/",
            "http://[2002:7f00:1::]/",
            "http://[2001:0:7f00:1::1]/",
            "http://[2001:db8::1]/",
            "http://[fc00::1]/",
            "http://[fd00:ec2::254]/",
            "http://[fe80::1]/",
            "http://[fec0::1]/",
            "http://[ff02::1]/",
        ],
    )
    def test_that_is_not_public_is_refused(self, url):
        with pytest.raises(AddressRefused) as refusal:
            Fetcher(Reach()).fetch("live", url)

        assert refusal.value.code == "address_not_public"

    @pytest.mark.parametrize(
        "address",
        ["93.184.215.14", "2606:2800:21f:cb07:6820:80da:af6b:8b2c", "64:ff9b::5db8:d70e", "2002:5db8:d70e::1"],
    )
    def test_that_is_public_is_not(self, address):
        url = parse("https://www.example.com/")

        Reach().require(url, ipaddress.ip_address(address), only_listed=False)

    @pytest.mark.parametrize("public", ["93.184.215.14", "2606:2800:21f::1"])
    @pytest.mark.parametrize("private", ["10.0.0.1", "::1", METADATA, "fe80::1%eth0"])
    def test_one_private_address_of_a_host_refuses_them_all(self, public, private):
        names = Names(mixed_example_com=[[public, private]])

        with pytest.raises(AddressRefused):
            Fetcher(Reach(), resolve=names).fetch("live", "https://mixed.example.com/")

    @pytest.mark.parametrize("port", [22, 25, 6379, 8080])
    def test_with_a_port_that_is_not_allowed_is_refused(self, port):
        names = Names(site_example_com=[["93.184.215.14"]])

        with pytest.raises(AddressRefused) as refusal:
            Fetcher(Reach(), resolve=names).fetch("live", f"http://{NAME}:{port}/")

        assert refusal.value.code == "port_not_allowed"

    def test_without_any_port_nothing_is_even_looked_up(self):
        names = Names()

        with pytest.raises(AddressRefused) as refusal:
            Fetcher(Reach(ports=()), resolve=names).fetch("live", "https://www.example.com/")

        assert (refusal.value.code, names.asked) == ("port_not_allowed", [])

    def test_port_allowed_by_the_operator_does_not_open_private_addresses(self):
        reach = Reach(ports=[8080])

        reach.require(parse(f"http://{NAME}:8080/"), ipaddress.ip_address("93.184.215.14"), only_listed=False)
        with pytest.raises(AddressRefused):
            reach.require(parse("http://10.0.0.1:8080/"), ipaddress.ip_address("10.0.0.1"), only_listed=False)

    @pytest.mark.parametrize(
        ("entry", "url", "address"),
        [
            ("127.0.0.1:8931", "http://127.0.0.1:8931/", "127.0.0.1"),
            ("127.0.0.1:8931", "http://localhost:8931/", "127.0.0.1"),
            ("127.0.0.1:8931", "http://[::ffff:127.0.0.1]:8931/", "::ffff:127.0.0.1"),
            ("127.0.0.1:*", "http://127.0.0.1:9/", "127.0.0.1"),
            ("[::1]:8931", "http://[::1]:8931/", "::1"),
            ("::1", "http://[::1]/", "::1"),
            ("10.1.0.0/16", "https://10.1.2.3/", "10.1.2.3"),
            ("Wiki.example.com.", "https://wiki.example.com/", "10.9.9.9"),
            ("wiki.example.com:8443", "https://wiki.example.com:8443/", "10.9.9.9"),
        ],
    )
    def test_listed_by_the_operator_is_allowed(self, entry, url, address):
        for only_listed in (False, True):
            Reach([entry]).require(parse(url), ipaddress.ip_address(address), only_listed=only_listed)

    @pytest.mark.parametrize(
        ("entry", "url", "address"),
        [
            ("127.0.0.1:8931", "http://127.0.0.1:8932/", "127.0.0.1"),
            ("127.0.0.1:8931", "http://127.0.0.2:8931/", "127.0.0.2"),
            ("10.1.0.0/16", "http://10.1.2.3:6379/", "10.1.2.3"),
            ("10.1.0.0/16", "http://10.2.0.1/", "10.2.0.1"),
            ("wiki.example.com", "http://evil.example.com/", "10.9.9.9"),
            ("wiki.example.com", "http://wiki.example.com:22/", "10.9.9.9"),
        ],
    )
    def test_listing_opens_nothing_else(self, entry, url, address):
        with pytest.raises(AddressRefused):
            Reach([entry]).require(parse(url), ipaddress.ip_address(address), only_listed=False)

    @pytest.mark.parametrize("entry", ["10.0.0.0/33", "host:port", ":80", "a:b:c", "http://a/"])
    def test_list_with_an_entry_that_means_nothing_is_refused(self, entry):
        with pytest.raises(ValueError):  # noqa: PT011 (of several kinds)
            Reach([entry])


class TestUrl:
    @pytest.mark.parametrize(
        "url",
        [
            "file:///etc/hostname",
            "ftp://site.example.com/",
            "gopher://site.example.com:70/_x",
            "//site.example.com/",
            "/relative",
            "http://",
            "http:///path",
            "http://user@site.example.com/",
            "http://user:password@site.example.com/",
            "http://site.example.com:0/",
            "http://site.example.com:65536/",
            "http://site.example.com:80:80/",
            "http://2130706433/",
            "http://0x7f000001/",
            "http://0x7f.0.0.1/",
            "http://0177.0.0.1/",
            "http://127.1/",
            "http://127.0.0.1.1/",
            "http://1.2.3.0x10/",
            "http://site.example.com\\@evil.example.com/",
            "http://site.example.com /",
            "http://site.example.com/a b",
            "http://site.example.com/\r\nX-Injected: 1",
            "http://site%2eexample.com/",
            "http://site..example.com/",
            "http://.example.com/",
            "http://-site.example.com/",
            "http://[::1%25eth0]/",
            "http://[::1",
            "http://[v1.x]/",
            "http://exa\u00admple\u0000.com/",
            f"http://{'a' * 64}.example.com/",
            f"http://site.example.com/{'a' * 2048}",
        ],
    )
    def test_that_means_no_page_or_several_is_refused(self, url):
        with pytest.raises(UrlRefused):
            parse(url)

    @pytest.mark.parametrize(
        ("url", "read"),
        [
            ("HTTP://Site.Example.COM.:80/a?b=c#d", "http://site.example.com/a?b=c"),
            ("https://site.example.com", "https://site.example.com/"),
            ("https://site.example.com:444/%7Ea/ü?q=ö", "https://site.example.com:444/%7Ea/%C3%BC?q=%C3%B6"),
            ("https://bücher.example/", "https://xn--bcher-kva.example/"),
            ("https://BÜCHER.example./", "https://xn--bcher-kva.example/"),
            ("http://[2606:2800:0:0::1]:80/", "http://[2606:2800::1]/"),
            (" http://site.example.com/\n", "http://site.example.com/"),
        ],
    )
    def test_is_written_in_one_way(self, url, read):
        assert str(parse(url)) == read
        assert str(parse(read)) == read


class TestConnection:
    def test_goes_to_the_checked_address_with_the_name_in_the_host_header(self, site, fetcher):
        answer = fetcher.fetch("live", at(site))

        assert (answer.status, answer.body, answer.media_type, answer.charset) == (
            200,
            b"<p>Hello</p>",
            "text/html",
            "utf-8",
        )
        assert site.visits[0].headers["host"] == f"{NAME}:{site.port}"

    def test_host_is_resolved_once_so_that_a_second_meaning_is_never_heard(self, site):
        names = Names(site_example_com=[["127.0.0.1"], [METADATA]])
        fetcher = Fetcher(Reach([f"127.0.0.1:{site.port}"]), resolve=names)

        assert fetcher.fetch("live", at(site)).body == b"<p>Hello</p>"
        assert names.asked == [NAME]
        with pytest.raises(AddressRefused):
            fetcher.fetch("live", at(site))
        assert len(site.visits) == 1

    def test_second_address_is_tried_where_the_first_takes_none(self, site):
        names = Names(site_example_com=[["127.0.0.3", "127.0.0.1"]])

        answer = Fetcher(Reach(["127.0.0.0/8:*", "127.0.0.1:*", "127.0.0.3:*"]), resolve=names).fetch("live", at(site))

        assert answer.status == 200

    def test_host_that_does_not_exist_is_unreachable(self, fetcher):
        with pytest.raises(Unreachable) as refusal:
            fetcher.fetch("live", "https://nowhere.example.com/")

        assert (refusal.value.code, refusal.value.is_temporary) == ("host_not_found", True)

    def test_host_that_takes_no_connection_is_unreachable(self):
        with socket.socket() as bound:  # nobody listens there
            bound.bind(("127.0.0.1", 0))
            with pytest.raises(Unreachable) as refusal:
                Fetcher(Reach(["127.0.0.1:*"])).fetch("live", f"http://127.0.0.1:{bound.getsockname()[1]}/")

        assert refusal.value.code == "connection_failed"

    def test_resolver_that_hangs_costs_no_more_than_the_time(self):
        release = threading.Event()
        fetcher = Fetcher(Reach(), resolve=lambda _host: release.wait(30) and [], timeout_s=0.2)

        with pytest.raises(TooSlow):
            fetcher.fetch("live", f"https://{NAME}/")
        release.set()

    def test_environment_proxies_are_not_asked(self, site, fetcher, monkeypatch):
        for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, "http://127.0.0.1:1")

        assert fetcher.fetch("live", at(site)).status == 200


class TestTestEnvironment:
    def test_reaches_what_is_listed(self, site, fetcher):
        assert fetcher.fetch("test", f"{site.url}/").status == 200

    @pytest.mark.parametrize("url", ["https://93.184.215.14/", "http://127.0.0.1:1/", "https://www.example.com/"])
    def test_reaches_nothing_else_and_says_so(self, fetcher, url):
        with pytest.raises(StaysInside) as refusal:
            fetcher.fetch("test", url)

        assert refusal.value.code == "test_environment"
        assert "Nothing of the test environment leaves the machine" in refusal.value.message

    def test_does_not_even_ask_for_the_address_of_a_name(self):
        names = Names()

        with pytest.raises(StaysInside):
            Fetcher(Reach(["127.0.0.1:*"]), resolve=names).fetch("test", "https://www.example.com/")

        assert names.asked == []


class TestRedirect:
    def moved(self, site, location, status=302):
        site.pages["/moved"] = Page(status=status, headers={"location": location}, etag=False)
        return at(site, "/moved")

    @pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
    @pytest.mark.parametrize("location", ["/", "//site.example.com:{port}/", "http://site.example.com:{port}/#top"])
    def test_is_followed(self, site, fetcher, status, location):
        answer = fetcher.fetch("live", self.moved(site, location.format(port=site.port), status))

        assert (answer.body, str(answer.url)) == (b"<p>Hello</p>", at(site))

    @pytest.mark.parametrize(
        "location",
        [
            f"http://{METADATA}/latest/meta-data/",
            "http://metadata.example.com/",
            "http://127.0.0.1/",
            "http://[::ffff:127.0.0.1]/",
            "http://127.0.0.1:1/",
        ],
    )
    def test_to_where_nobody_may_go_is_refused(self, site, fetcher, location):
        with pytest.raises(AddressRefused):
            fetcher.fetch("live", self.moved(site, location))

    @pytest.mark.parametrize("location", ["file:///etc/passwd", "http://2130706433/", "http://a@b/", "http://a b/"])
    def test_to_no_page_is_refused(self, site, fetcher, location):
        with pytest.raises(UrlRefused):
            fetcher.fetch("live", self.moved(site, location))

    def test_out_of_the_test_environment_is_refused(self, site, fetcher):
        self.moved(site, "https://www.example.com/")

        with pytest.raises(StaysInside):
            fetcher.fetch("test", f"{site.url}/moved")

    def test_that_never_ends_is_refused_after_five(self, site, fetcher):
        with pytest.raises(RedirectRefused):
            fetcher.fetch("live", self.moved(site, "/moved"))

        assert site.paths() == ["/moved"] * 6

    def test_can_be_kept_to_a_site_by_the_one_who_asks(self, site, fetcher):
        def refuse(url):
            raise RedirectRefused("other_host", str(url))

        with pytest.raises(RedirectRefused):
            fetcher.fetch("live", self.moved(site, "/secret"), may_follow=refuse)
        assert site.paths() == ["/moved"]

    def test_to_another_host_carries_no_header_and_no_body_of_the_account(self, site, fetcher):
        url = self.moved(site, f"{site.url}/secret", 303)

        fetcher.fetch("live", url, method="POST", headers={"Authorization": "Bearer s", "X-Key": "s"}, body=b"s")

        first, second = site.visits
        assert (first.headers["authorization"], first.body) == ("Bearer s", b"s")
        assert (second.method, second.body) == ("GET", b"")
        assert not {"authorization", "x-key"} & second.headers.keys()

    def test_of_a_body_to_another_host_is_refused(self, site, fetcher):
        url = self.moved(site, f"{site.url}/secret", 307)

        with pytest.raises(RedirectRefused):
            fetcher.fetch("live", url, method="POST", body=b"s")

    def test_within_a_host_keeps_method_body_and_headers(self, site, fetcher):
        fetcher.fetch("live", self.moved(site, "/secret", 308), method="POST", headers={"X-Key": "s"}, body=b"s")

        assert (site.visits[1].method, site.visits[1].body, site.visits[1].headers["x-key"]) == ("POST", b"s", "s")


class TestCost:
    @pytest.fixture
    def small(self, site):
        return Fetcher(Reach(["127.0.0.1:*"]), timeout_s=10, max_bytes=1000)

    def test_body_larger_than_allowed_is_not_read_on(self, site, small):
        site.pages["/large"] = Page(b"x" * 1001)

        with pytest.raises(TooLarge):
            small.fetch("live", f"{site.url}/large")

    def test_body_without_an_end_is_left(self, small):
        def speak(connection):
            connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            while True:
                connection.sendall(b"x" * 65536)

        with raw_server(speak) as port, pytest.raises(TooLarge):
            small.fetch("live", f"http://127.0.0.1:{port}/")

    def test_chunks_that_are_mostly_framing_are_left(self, small):
        def speak(connection):
            connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            while True:
                connection.sendall(b"1;" + b"e" * 8000 + b"\r\nx\r\n")

        with raw_server(speak) as port, pytest.raises(TooLarge):
            small.fetch("live", f"http://127.0.0.1:{port}/")

    @pytest.mark.parametrize("members", [1, 3])
    def test_gzip_bomb_is_unpacked_no_further_than_allowed(self, site, small, members):
        bomb = gzip.compress(b"\0" * 10_000_000) * members
        site.pages["/bomb"] = Page(bomb[:900], headers={"content-encoding": "gzip"})
        fetcher = Fetcher(Reach(["127.0.0.1:*"]), max_bytes=1_000_000)
        site.pages["/whole"] = Page(bomb, headers={"content-encoding": "gzip"})

        with pytest.raises(TooLarge):
            small.fetch("live", f"{site.url}/bomb")
        with pytest.raises(TooLarge):
            fetcher.fetch("live", f"{site.url}/whole")

    def test_unpacking_holds_little_more_than_is_allowed(self):
        sizes = []
        packed = gzip.compress(b"\0" * 50_000_000)

        with pytest.raises(TooLarge):
            sizes.extend(map(len, metering.unpacking([packed], metering.Meter(float("inf"), 100_000))))

        assert sum(sizes) <= 100_001

    def test_gzip_of_very_many_members_is_left(self):
        with pytest.raises(TooLarge):
            metering.unpacked(gzip.compress(b"") * 200, 1_000_000)

    def test_gzip_is_unpacked(self, site, small):
        site.pages["/packed"] = Page(
            gzip.compress(b"a" * 500) + gzip.compress(b"b"), headers={"content-encoding": "gzip"}
        )

        assert small.fetch("live", f"{site.url}/packed").body == b"a" * 500 + b"b"
        assert site.visits[0].headers["accept-encoding"] == "gzip"

    @pytest.mark.parametrize(
        ("body", "encoding"),
        [
            (b"no gzip", "gzip"),
            (gzip.compress(b"a" * 100)[:-9], "gzip"),
            (zlib.compress(b"a"), "deflate"),
            (b"a", "br"),
            (gzip.compress(gzip.compress(b"a")), "gzip, gzip"),
        ],
        ids=["not gzip", "cut", "deflate", "brotli", "twice"],
    )
    def test_other_compression_is_refused(self, site, small, body, encoding):
        site.pages["/odd"] = Page(body, headers={"content-encoding": encoding})

        with pytest.raises(BadAnswer):
            small.fetch("live", f"{site.url}/odd")

    @pytest.mark.parametrize(
        "piece",
        [b"X-Header: " + b"x" * 60_000 + b"\r\n", b"X: y\r\n" * 1000, b"HTTP/1.1 100 Continue\r\n\r\n" * 1000],
        ids=["long", "many", "interim answers"],
    )
    def test_headers_without_an_end_are_left(self, small, piece):
        def speak(connection):
            if not piece.startswith(b"HTTP"):
                connection.sendall(b"HTTP/1.1 200 OK\r\n")
            while True:
                connection.sendall(piece)

        with raw_server(speak) as port, pytest.raises(TooLarge) as refusal:
            small.fetch("live", f"http://127.0.0.1:{port}/")

        assert refusal.value.code == "headers_too_large"

    def test_huge_headers_are_refused(self, site, small):
        site.pages["/large"] = Page(headers={"x-large": "x" * 40_000})

        with pytest.raises(TooLarge):
            small.fetch("live", f"{site.url}/large")

    @pytest.mark.parametrize("begins", [b"", b"HTTP/1.1 200 OK\r\n\r\n"], ids=["headers", "body"])
    def test_answer_that_drips_is_left_when_the_time_is_over(self, begins):
        stop = threading.Event()

        def speak(connection):
            connection.sendall(begins)
            for letter in itertools.cycle(b"HTTP/1.1 200 OK "):
                connection.sendall(bytes([letter]))
                if stop.wait(0.02):
                    return

        with raw_server(speak) as port, pytest.raises(TooSlow):
            Fetcher(Reach(["127.0.0.1:*"]), timeout_s=0.4).fetch("live", f"http://127.0.0.1:{port}/")
        stop.set()

    def test_server_that_never_answers_is_left(self):
        stop = threading.Event()

        with raw_server(lambda _connection: stop.wait(30)) as port, pytest.raises(TooSlow) as refusal:
            Fetcher(Reach(["127.0.0.1:*"]), timeout_s=0.2).fetch("live", f"http://127.0.0.1:{port}/")
        stop.set()

        assert refusal.value.is_temporary

    def test_time_is_of_the_whole_way(self, site):
        stop = threading.Event()
        site.pages["/slow"] = Page(status=302, headers={"location": "/slow"}, before=lambda: stop.wait(0.15))

        with pytest.raises(TooSlow):
            Fetcher(Reach(["127.0.0.1:*"]), timeout_s=0.4).fetch("live", f"{site.url}/slow")
        stop.set()

    @pytest.mark.parametrize(
        "answer", [b"", b"SSH-2.0-OpenSSH_9.6\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort"]
    )
    def test_answer_that_is_no_http_is_refused(self, small, answer):
        with raw_server(lambda connection: connection.sendall(answer)) as port, pytest.raises(BadAnswer):
            small.fetch("live", f"http://127.0.0.1:{port}/")

    def test_type_that_nobody_wants_is_not_read(self, site, fetcher):
        site.pages["/film"] = Page(b"x", media_type="video/mp4")

        with pytest.raises(WrongType):
            fetcher.fetch("live", at(site, "/film"), accepts={"text/html"})


class TestRequest:
    def test_unchanged_page_is_not_sent_again(self, site, fetcher):
        first = fetcher.fetch("live", at(site))
        second = fetcher.fetch("live", at(site), known=first.validators)

        assert (second.status, second.body) == (304, b"")

    def test_modification_date_is_sent_back_as_it_came(self, site, fetcher):
        fetcher.fetch("live", at(site), known=Validators(None, "Sun, 11 Dec 2022 10:00:00 GMT"))

        assert site.visits[0].headers["if-modified-since"] == "Sun, 11 Dec 2022 10:00:00 GMT"

    def test_body_of_an_error_is_not_read(self, site, fetcher):
        site.pages["/broken"] = Page(b"x" * 100, status=500)

        answer = fetcher.fetch("live", at(site, "/broken"))

        assert (answer.status, answer.body) == (500, b"")

    @pytest.mark.parametrize(
        "headers",
        [
            {"X-A": "a\r\nX-B: b"},
            {"X-A\r\nX-B": "b"},
            {"X A": "b"},
            {"": "b"},
            {"X-A": "a\0"},
            {"Host": "evil.example.com"},
            {"Content-Length": "0"},
            {"Transfer-Encoding": "chunked"},
            {"Connection": "upgrade"},
        ],
    )
    def test_header_that_would_change_the_request_is_refused(self, site, fetcher, headers):
        with pytest.raises(UrlRefused):
            fetcher.fetch("live", at(site), headers=headers)
        assert site.visits == []


def certificate(name):
    """A key and a certificate of its own for this name, as PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "newleaf tests")])
    start = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(start)
        .not_valid_after(start + datetime.timedelta(days=36500))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return private + made.public_bytes(pem)


class TestTls:
    @pytest.fixture
    def secure(self, tmp_path):
        """A site with a certificate for its name, a fetcher that trusts it, and the names asked for by SNI."""
        file = tmp_path / "server.pem"
        file.write_bytes(certificate(NAME))
        asked = []
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
        context.sni_callback = lambda _socket, name, _context: asked.append(name)
        names = Names(site_example_com=[["127.0.0.1"]], other_example_com=[["127.0.0.1"]])
        with Site({"/": Page("<p>Hello</p>")}, tls=context) as site:
            trusting = ssl.create_default_context(cafile=str(file))
            yield site, Fetcher(Reach(["127.0.0.1:*"]), resolve=names, tls=trusting), asked

    def test_name_is_shown_and_checked_though_the_address_is_pinned(self, secure):
        site, fetcher, asked = secure

        answer = fetcher.fetch("live", f"https://{NAME}:{site.port}/")

        assert (answer.status, asked) == (200, [NAME])

    @pytest.mark.parametrize("host", ["other.example.com", "127.0.0.1"])
    def test_certificate_for_another_name_is_refused(self, secure, host):
        site, fetcher, _ = secure

        with pytest.raises(Unreachable) as refusal:
            fetcher.fetch("live", f"https://{host}:{site.port}/")

        assert refusal.value.code == "certificate_invalid"

    def test_certificate_of_nobody_known_is_refused(self, secure):
        site, _, _ = secure

        with pytest.raises(Unreachable) as refusal:
            Fetcher(Reach(["127.0.0.1:*"]), resolve=lambda _: ["127.0.0.1"]).fetch(
                "live", f"https://{NAME}:{site.port}/"
            )

        assert refusal.value.code == "certificate_invalid"

    def test_redirect_from_https_to_http_is_refused(self, secure):
        site, fetcher, _ = secure
        site.pages["/down"] = Page(status=302, headers={"location": "http://site.example.com/"})

        with pytest.raises(RedirectRefused) as refusal:
            fetcher.fetch("live", f"https://{NAME}:{site.port}/down")

        assert refusal.value.code == "insecure_redirect"


def test_settings_are_those_of_the_process(site):
    try:
        fetch.configure(allows_private=[f"127.0.0.1:{site.port}"], timeout_s=5, max_bytes=5)
        with pytest.raises(TooLarge):
            fetch.fetcher().fetch("test", f"{site.url}/")
    finally:
        fetch.configure()
