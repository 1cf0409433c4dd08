"""The part of curl that the README uses, over httpx: for machines without curl.

curl.py -s [-X METHOD] [-H 'Name: value']... [-d BODY] URL
"""

from __future__ import annotations

import argparse
import sys

import httpx


def main(arguments: list[str] | None = None) -> int:
    """Print the body of the answer; returns the exit code."""
    parser = argparse.ArgumentParser(prog="curl")
    parser.add_argument("-s", action="store_true", dest="silent")
    parser.add_argument("-X", dest="method")
    parser.add_argument("-H", dest="headers", action="append", default=[])
    parser.add_argument("-d", dest="body")
    parser.add_argument("url")
    given = parser.parse_args(arguments)
    headers = [(name.strip(), value.strip()) for name, _, value in (each.partition(":") for each in given.headers)]
    if given.body is not None and not any(name.lower() == "content-type" for name, _ in headers):
        headers.append(("Content-Type", "application/x-www-form-urlencoded"))
    method = given.method or ("GET" if given.body is None else "POST")
    try:
        answer = httpx.request(
            method, given.url, headers=headers, content=(given.body or "").encode(), timeout=60, trust_env=False
        )
    except httpx.TransportError as error:
        print(f"curl: {error}", file=sys.stderr)  # noqa: T201
        return 7
    sys.stdout.write(answer.text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
