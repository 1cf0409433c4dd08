"""The text of PDF and DOCX files."""

from __future__ import annotations

import io
import logging
import re
import zipfile
from collections.abc import Iterator
from typing import Any

from .extract import MAX_CHARACTERS, Extracted, Unreadable

MAX_PAGES = 5000
MAX_UNPACKED_BYTES = 200 * 1024 * 1024
MAX_PARTS = 10_000

_GAP = re.compile(r"(?<=\S) {3,}(?=\S)")
_HEADING = re.compile(r"heading ([1-6])", re.IGNORECASE)
_WORD = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_MATH = "{http://schemas.openxmlformats.org/officeDocument/2006/math}"
_TEXTS = (f"{_WORD}t", f"{_MATH}t")
_BREAKS = {f"{_WORD}br": "\n", f"{_WORD}cr": "\n", f"{_WORD}tab": "\t"}

_ENCRYPTED = Unreadable("encrypted", "The file is protected by a password. Send a copy without one.")
_CORRUPT_PDF = Unreadable("corrupt", "The file is damaged or no PDF")
_CORRUPT_DOCX = Unreadable("corrupt", "The file is damaged or no DOCX")


def pdf(data: bytes) -> Extracted:
    """The text of the pages, laid out so that a table's row is a line. Raises Unreadable."""
    import pypdf
    from pypdf.errors import DependencyError, FileNotDecryptedError, LimitReachedError

    logging.getLogger("pypdf").setLevel(logging.CRITICAL)
    try:
        reader = pypdf.PdfReader(io.BytesIO(data))
        if reader.is_encrypted and not reader.decrypt(""):
            raise _ENCRYPTED
        if len(reader.pages) > MAX_PAGES:
            raise Unreadable("too_long", f"The file has more than {MAX_PAGES:,} pages. Split the document.")
        title = reader.metadata.title if reader.metadata else None
        pages: list[str] = []
        characters = 0
        for page in reader.pages:
            pages.append(_page(page))
            characters += len(pages[-1])
            if characters > 2 * MAX_CHARACTERS:
                break
    except (FileNotDecryptedError, DependencyError):
        raise _ENCRYPTED from None
    except LimitReachedError:
        raise Unreadable("too_large", "The file unpacks to more than is accepted") from None
    except (MemoryError, RecursionError):
        raise
    except Unreadable:
        raise
    except Exception as error:  # a damaged file raises whatever the place where it was noticed raises
        raise _CORRUPT_PDF from error
    return Extracted("\n\n".join(pages), title if isinstance(title, str) else "")


def _page(page: Any) -> str:
    try:
        laid_out = page.extract_text(extraction_mode="layout", layout_mode_space_vertically=False)
    except (MemoryError, RecursionError):
        raise
    except Exception:  # fonts that layout cannot measure still give their text
        return str(page.extract_text())
    return "\n".join(_GAP.sub(" | ", line).strip() for line in laid_out.splitlines())


def docx(data: bytes) -> Extracted:
    """The text of paragraphs and tables in their order. Raises Unreadable."""
    import docx as library

    _refuse_bomb(data)
    try:
        document = library.Document(io.BytesIO(data))
        blocks = list(_blocks(document))
        title = document.core_properties.title
    except (MemoryError, RecursionError):
        raise
    except Exception as error:  # a damaged file raises whatever the place where it was noticed raises
        raise _CORRUPT_DOCX from error
    return Extracted("\n\n".join(filter(str.strip, blocks)), title or _title_of(document))


def _refuse_bomb(data: bytes) -> None:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            parts = archive.infolist()
    except (zipfile.BadZipFile, ValueError, OSError) as error:
        if data.startswith(b"\xd0\xcf\x11\xe0"):  # an encrypted DOCX, or an old DOC, is an OLE file
            raise Unreadable(
                "encrypted", "The file is an old DOC or protected by a password. Save it as DOCX without one."
            ) from error
        raise _CORRUPT_DOCX from error
    if len(parts) > MAX_PARTS or sum(part.file_size for part in parts) > MAX_UNPACKED_BYTES:
        raise Unreadable("too_large", "The file unpacks to more than is accepted")
    if any(part.flag_bits & 1 for part in parts):
        raise _ENCRYPTED


def _blocks(document: Any) -> Iterator[str]:
    for block in document.iter_inner_content():
        if hasattr(block, "rows"):
            yield "\n".join(_rows(block))
        else:
            text = _text(block._p)
            level = _HEADING.fullmatch(block.style.name if block.style is not None else "")
            yield f"{'#' * int(level[1])} {' '.join(text.split())}" if level and text.strip() else text


def _rows(table: Any) -> Iterator[str]:
    for row in table.rows:
        cells: list[str] = []
        seen: set[Any] = set()
        for cell in row.cells:  # a merged cell comes once for each column it spans
            if cell._tc not in seen:
                seen.add(cell._tc)
                cells.append(" ".join(_text(cell._tc).split()))
        yield " | ".join(cells)


def _text(element: Any) -> str:
    """All text in an element, that of links and formulas too."""
    parts = []
    for node in element.iter():
        if node.tag in _TEXTS:
            parts.append(node.text or "")
        elif node.tag in _BREAKS:
            parts.append(_BREAKS[node.tag])
        elif node.tag == f"{_WORD}p" and parts:
            parts.append(" ")
    return "".join(parts)


def _title_of(document: Any) -> str:
    for paragraph in document.paragraphs[:20]:
        if paragraph.style is not None and paragraph.style.name == "Title" and paragraph.text.strip():
            return str(paragraph.text)
    return ""
