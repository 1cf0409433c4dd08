"""Bytes of an uploaded file to text, a block at a time.

byte-order mark → that encoding; NUL bytes at every second place → UTF-16; valid UTF-8 → UTF-8; else a legacy code page:
Windows-1252 if the text reads as well in it as in any other, otherwise what charset-normalizer prefers.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable, Iterator
from itertools import chain

from charset_normalizer import from_bytes

SAMPLE_BYTES = 256 * 1024
BLOCK_BYTES = 64 * 1024

_MARKS = (  # UTF-32 first: its little-endian mark begins with that of UTF-16
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_WESTERN = "cp1252"
_LEGACY = [
    _WESTERN,
    *("cp1250", "cp1251", "koi8_r", "cp1253", "cp1254", "cp1255", "cp1256", "cp874"),
    *("cp932", "euc_jp", "gb18030", "big5", "cp949"),
]
_SYMBOL_IN_WORD = re.compile(r"[^\W\d_][¡-¿×÷](?=[^\W\d_])|\b[¡-¿×÷](?=[a-z]{2})")  # "Stanis³aw", "£ukasz": not Western


class CsvError(ValueError):
    """The file as a whole cannot be read; the message says why and where, for the person who uploaded it."""


def decode(chunks: Iterable[bytes]) -> tuple[str, Iterator[str]]:
    """The encoding of the file and its text in pieces of some 64 KiB, without byte-order mark.

    Judged by the first 256 KiB. If these are plain ASCII and a later byte is no UTF-8, the rest is read in the legacy
    code page it looks like. Any other byte that does not fit raises CsvError with its position, while iterating.
    """
    blocks = _blocks(chunks)
    head: list[bytes] = []
    while sum(map(len, head)) < SAMPLE_BYTES and (block := next(blocks, None)) is not None:
        head.append(block)
    encoding, mark = _detect(b"".join(head))
    return encoding, _pieces(chain(head, blocks), encoding, len(mark))


def _blocks(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes in blocks of 64-128 KiB, whatever the sizes they arrive in; only the last may be smaller."""
    pending = bytearray()
    for chunk in chunks:
        view = memoryview(chunk)
        for start in range(0, len(view), BLOCK_BYTES):
            pending += view[start : start + BLOCK_BYTES]
            if len(pending) >= BLOCK_BYTES:
                yield bytes(pending)
                pending.clear()
    if pending:
        yield bytes(pending)


def _detect(sample: bytes) -> tuple[str, bytes]:
    for mark, encoding in _MARKS:
        if sample.startswith(mark):
            return encoding, mark
    even, odd = sample[0:4096:2], sample[1:4096:2]
    if odd.count(0) > 0.4 * len(odd) and even.count(0) < 0.1 * len(even):
        return "utf-16-le", b""
    if even.count(0) > 0.4 * len(even) and odd.count(0) < 0.1 * len(odd):
        return "utf-16-be", b""
    return ("utf-8" if _is_mostly_utf8(sample) else _legacy(sample)), b""


def _is_mostly_utf8(sample: bytes) -> bool:
    """True also for UTF-8 with a few stray bytes: read as a code page every letter would come out wrong."""
    text = codecs.getincrementaldecoder("utf-8")("replace").decode(sample)
    bad = text.count("\ufffd")
    good = sum(len(run) for run in re.findall(r"[^\x00-\x7f]+", text)) - bad
    return bad == 0 or good > 10 * bad


def _legacy(sample: bytes) -> str:
    sample = sample[: sample.rfind(b"\n") + 1] or sample  # never half a character
    matches = list(from_bytes(sample, cp_isolation=_LEGACY))
    western = _western_text(sample)
    if western is None:
        matches = [match for match in matches if match.encoding != _WESTERN]
    elif not matches or str(matches[0]) == western:
        return _WESTERN
    for match in matches:
        best = matches[0]
        if match.encoding == _WESTERN and match.chaos <= best.chaos and match.coherence >= best.coherence:
            return _WESTERN
    return matches[0].encoding if matches else _WESTERN


def _western_text(sample: bytes) -> str | None:
    """The sample read as Windows-1252, or None where that would put signs like ³ or £ inside words."""
    try:
        text = sample.decode(_WESTERN)
    except UnicodeDecodeError:
        return None
    symbols = len(_SYMBOL_IN_WORD.findall(text))
    return text if 10 * symbols <= sum(not char.isascii() for char in text) else None


def _pieces(blocks: Iterable[bytes], encoding: str, skip: int) -> Iterator[str]:
    decoder = _Decoder(encoding)
    for block in blocks:
        yield decoder.feed(block[skip:], offset_shift=skip)
        skip = 0
    yield decoder.feed(b"", final=True)


class _Decoder:
    """An incremental decoder that knows the byte offset and may leave UTF-8 while nothing but ASCII has been seen."""

    def __init__(self, encoding: str) -> None:
        self._codec = codecs.getincrementaldecoder(encoding)()
        self._encoding = encoding
        self._offset = 0
        self._seen_ascii_only = encoding == "utf-8"

    def feed(self, block: bytes, *, final: bool = False, offset_shift: int = 0) -> str:
        self._offset += offset_shift
        pending = self._codec.getstate()[0]
        try:
            text = self._codec.decode(block, final)
        except UnicodeDecodeError as error:
            return self._recover(pending, block, final, error)
        self._offset += len(block)
        self._seen_ascii_only = self._seen_ascii_only and text.isascii()
        return text

    def _recover(self, pending: bytes, block: bytes, final: bool, error: UnicodeDecodeError) -> str:
        data = pending + block
        if self._seen_ascii_only and data[: error.start].isascii():
            self._encoding, self._seen_ascii_only = _legacy(data), False
            self._codec = codecs.getincrementaldecoder(self._encoding)()
            self._offset -= len(pending)
            return self.feed(data, final=final)
        position = self._offset - len(pending) + error.start
        if final:
            raise CsvError(f"The file ends inside a character (byte {position}). It may be cut off.") from error
        raise CsvError(
            f"Byte {position} (0x{data[error.start]:02X}) is no {self._encoding.upper()} text. Save the file as UTF-8."
        ) from error
