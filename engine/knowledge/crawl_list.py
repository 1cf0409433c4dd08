"""Which pages a round of a crawl reads: what was ordered, and what sitemaps list of their own site."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from storage import knowledge_crawls as crawls
from storage.knowledge_crawls import KnowledgeCrawl
from storage.tenancy import Tenant

from .fetch_errors import UrlRefused
from .sitemap import Sitemap
from .urls import MAX_LENGTH, Url, parse

MAX_DEPTH = 3  # of sitemaps that list sitemaps; the protocol has one level, some sites have two
MAX_SITEMAPS = 200
MAX_REFUSED = 100  # that are noted with their reason; the others are only counted

Refused = tuple[str, str, str]  # address, code, reason


def begin(tenant: Tenant, crawl: KnowledgeCrawl) -> None:
    """Take in what was ordered by address; without a sitemap that is all."""
    _take_in(tenant, crawl, [parse(address) for address in crawl.urls], [])
    if crawl.sitemap_url is None:
        crawls.save(crawl, phase="pages")


def waiting(crawl: KnowledgeCrawl) -> int | None:
    """The place of the next sitemap to read; None when there is none left, or pages enough."""
    if crawl.pages >= crawl.max_pages:
        return None
    return next((place for place, each in enumerate(crawl.sitemaps) if each["state"] == "waiting"), None)


def add_sitemap(tenant: Tenant, crawl: KnowledgeCrawl, place: int, found: Sitemap, was_at: Url) -> None:
    """Take in what the sitemap at this place lists. was_at: where it was in the end."""
    if place == 0:
        crawls.save(crawl, site_url=str(was_at))
    site = parse(crawl.site_url or str(was_at)).site
    pages, refused = _sorted_out(found.pages, site)
    further, refused_sitemaps = _sorted_out(found.sitemaps, site)
    known = {each["url"] for each in crawl.sitemaps}
    depth = crawl.sitemaps[place]["depth"] + 1
    new = [str(url) for url in dict.fromkeys(further) if str(url) not in known]
    room = MAX_SITEMAPS - len(crawl.sitemaps) if depth <= MAX_DEPTH else 0
    is_complete = crawl.is_list_complete and found.is_complete and len(new) <= room
    sitemaps = [*crawl.sitemaps, *({"url": url, "depth": depth, "state": "waiting"} for url in new[:room])]
    sitemaps[place] = {**sitemaps[place], "state": "read"}
    crawls.save(crawl, sitemaps=sitemaps, is_list_complete=is_complete)
    _take_in(tenant, crawl, pages, [*refused, *refused_sitemaps])


def miss_sitemap(crawl: KnowledgeCrawl, place: int) -> None:
    """Note that the sitemap at this place could not be read, so that nothing follows from what is not listed."""
    sitemaps = list(crawl.sitemaps)
    sitemaps[place] = {**sitemaps[place], "state": "failed"}
    crawls.save(crawl, sitemaps=sitemaps, is_list_complete=False)


def _sorted_out(addresses: Iterable[str], site: tuple[str, int]) -> tuple[list[Url], list[Refused]]:
    pages: list[Url] = []
    refused: list[Refused] = []
    for address in addresses:
        try:
            url = parse(address)
        except UrlRefused as error:
            refused.append((address[:MAX_LENGTH], error.code, error.message))
            continue
        if url.site == site:
            pages.append(url)
        else:
            refused.append((str(url), "other_host", f"A sitemap speaks for its own host, not for {url.authority}."))
    return pages, refused


def _take_in(tenant: Tenant, crawl: KnowledgeCrawl, pages: Iterable[Url], refused: Iterable[Refused]) -> None:
    """List pages as far as there is room, count the others, note what is refused; each address once."""
    known = crawls.listed(tenant, crawl)
    new = [url for url in dict.fromkeys(map(str, pages)) if url not in known]
    taken = new[: max(0, crawl.max_pages - crawl.pages)]
    crawls.list_pages(tenant, crawl, taken)
    crawls.save(
        crawl,
        urls_found=crawl.urls_found + len(new),
        pages=crawl.pages + len(taken),
        is_list_complete=crawl.is_list_complete and len(taken) == len(new),
    )
    crawls.count(crawl, "pending", len(taken))
    not_read = list(_once(refused, known | set(new)))
    noted = not_read[: max(0, MAX_REFUSED - crawl.counts.get("skipped", 0))]
    crawls.refuse_pages(tenant, crawl, noted)
    crawls.count(crawl, "skipped", len(not_read))


def _once(refused: Iterable[Refused], known: set[str]) -> Iterator[Refused]:
    seen = set(known)
    for each in refused:
        if each[0] not in seen:
            seen.add(each[0])
            yield each
