"""Why something was not fetched. Each message is in our words, without secrets, for the account's people to read.

FetchError
├── UrlRefused            it is no address that can be asked
├── AddressRefused        it leads where nobody may be sent
│   └── StaysInside       the test environment does not leave the machine
├── RedirectRefused       it leads on to where this request does not go
├── Unreachable           no such host, no connection, no valid certificate
├── TooSlow               the whole took longer than it may
├── TooLarge              more bytes than are taken, as sent or unpacked
├── WrongType             something else than what was asked for
│   └── NoSitemap         a file that is no sitemap
└── BadAnswer             it is no HTTP, or not what it says it is
"""

from __future__ import annotations


class FetchError(Exception):
    """Nothing was fetched. `code` is a stable word, `message` says what to do.

    is_temporary: whether the same request may well succeed later.
    """

    is_temporary = False

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


class UrlRefused(FetchError):
    """It is no address that can be asked."""


class AddressRefused(FetchError):
    """It leads where nobody may be sent: no public address, or a port that is not allowed."""


class StaysInside(AddressRefused):
    """The test environment does not leave the machine."""


class RedirectRefused(FetchError):
    """It leads on to where this request does not go."""


class Unreachable(FetchError):
    """No such host, no connection, or no valid certificate."""

    is_temporary = True


class TooSlow(FetchError):
    """The whole took longer than it may."""

    is_temporary = True


class TooLarge(FetchError):
    """More bytes than are taken, as sent or unpacked, or too many in the headers."""


class WrongType(FetchError):
    """Something else than what was asked for."""


class NoSitemap(WrongType):
    """It is a file that is no sitemap."""


class BadAnswer(FetchError):
    """It is no HTTP, or not what it says it is."""

    is_temporary = True
