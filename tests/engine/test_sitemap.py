"""Sitemaps, good ones and hostile ones."""

from __future__ import annotations

import gzip

import pytest

from engine.knowledge import sitemap
from engine.knowledge.fetch_errors import NoSitemap, TooLarge
from engine.knowledge.sitemap import Sitemap

NAMESPACE = 'xmlns="http://www.sitemaps.org/schemas/sitemap/0.9"'


def urlset(*addresses, head='<?xml version="1.0" encoding="UTF-8"?>'):
    body = "".join(f"<url><loc>{address}</loc></url>" for address in addresses)
    return f"{head}<urlset {NAMESPACE}>{body}</urlset>".encode()


@pytest.mark.parametrize(
    "data",
    [
        urlset("https://example.com/a", "\n https://example.com/b&amp;c \t"),
        b"\xef\xbb\xbf\n " + urlset("https://example.com/a", "https://example.com/b&#38;c"),
        urlset("https://example.com/a", "https://example.com/b&amp;c", head=""),
        gzip.compress(urlset("https://example.com/a", "https://example.com/b&amp;c")),
        urlset("https://example.com/a", "<![CDATA[https://example.com/b&c]]>"),
        urlset("https://example.com/a", "https://example.com/b&amp;c", head="").decode().encode("utf-16"),
        b"https://example.com/a\r\n\r\nHTTPS://example.com/b&c".replace(b"HTTPS", b"https"),
        b"<urlset><url><loc>https://example.com/a</loc></url><url><loc>https://example.com/b&amp;c</loc></url></urlset>",
    ],
    ids=["plain", "byte order mark", "no declaration", "gzip", "cdata", "utf-16", "text", "no namespace"],
)
def test_pages_are_listed_in_order(data):
    assert sitemap.read(data, 10) == Sitemap(["https://example.com/a", "https://example.com/b&c"])


def test_index_lists_sitemaps():
    data = f"<sitemapindex {NAMESPACE}><sitemap><loc>https://example.com/1.xml</loc></sitemap></sitemapindex>"

    assert sitemap.read(data.encode(), 10) == Sitemap([], ["https://example.com/1.xml"])


def test_other_vocabularies_are_passed_over():
    data = f"""<urlset {NAMESPACE} xmlns:image="http://www.google.com/schemas/sitemap-image/1.1">
        <url><image:image><image:loc>https://example.com/a.jpg</image:loc></image:image>
        <loc>https://example.com/a</loc><lastmod>2026-01-01</lastmod></url>
        <other><loc>https://example.com/b</loc></other><loc>https://example.com/c</loc></urlset>"""

    assert sitemap.read(data.encode(), 10).pages == ["https://example.com/a"]


def test_no_more_are_read_than_asked_for():
    found = sitemap.read(urlset(*(f"https://example.com/{n}" for n in range(20))), 5)

    assert (found.pages[-1], len(found.pages), found.is_complete) == ("https://example.com/4", 5, False)


def test_what_stands_before_a_break_counts():
    found = sitemap.read(urlset("https://example.com/a", "https://example.com/b")[:-12], 5)

    assert (found.pages, found.is_complete) == (["https://example.com/a", "https://example.com/b"], False)


def test_empty_sitemap_lists_nothing():
    assert sitemap.read(urlset(), 5) == Sitemap()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"Hello",
        b"<",
        b"\0\0\0",
        b"<rss></rss>",
        b"<!doctype html><title>Hello</title>",
        b"<html><body><loc>https://example.com/a</loc></body></html>",
        b'<!DOCTYPE urlset [<!ENTITY a "b">]>' + urlset("https://example.com/&a;", head=""),
        b'<!DOCTYPE urlset SYSTEM "http://169.254.169.254/">' + urlset("https://example.com/", head=""),
        b'<!DOCTYPE urlset [<!ENTITY a SYSTEM "file:///etc/hostname">]>' + urlset("https://example.com/&a;", head=""),
        urlset("https://example.com/&unknown;"),
        b"javascript:alert(1)\nhttps://example.com/",
    ],
)
def test_what_is_no_sitemap_is_refused(data):
    with pytest.raises(NoSitemap) as refusal:
        sitemap.read(data, 10)

    assert refusal.value.code == "no_sitemap"


def test_billion_laughs_are_not_laughed():
    entities = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
    bomb = f'<!DOCTYPE urlset [<!ENTITY l0 "ha">{entities}]>'.encode() + urlset("&l9;", head="")

    with pytest.raises(NoSitemap):
        sitemap.read(bomb, 10)


def test_gzip_bomb_is_not_unpacked():
    with pytest.raises(TooLarge):
        sitemap.read(gzip.compress(b"<" + b"a" * (sitemap.MAX_BYTES + 1)), 10)


def test_endless_address_is_cut():
    [address] = sitemap.read(urlset("https://example.com/" + "a" * 1_000_000), 10).pages

    assert len(address) < 200_000
