"""Files to upload, made with the libraries that read them."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from typing import Any

import docx as docx_library
from pypdf import PdfWriter
from pypdf.generic import ArrayObject, DecodedStreamObject, DictionaryObject, FloatObject, NameObject


def pdf(*pages: Sequence[str], title: str | None = None, password: str | None = None) -> bytes:
    """A PDF with these lines on its pages; cells of a table's row are separated by tabs."""
    writer = PdfWriter()
    for lines in pages:
        page = writer.add_blank_page(600, 800)
        font = DictionaryObject(
            {NameObject("/Type"): NameObject("/Font"), NameObject("/Subtype"): NameObject("/Type1")}
        )
        font[NameObject("/BaseFont")] = NameObject("/Helvetica")
        fonts = DictionaryObject({NameObject("/F1"): font})
        page[NameObject("/Resources")] = DictionaryObject({NameObject("/Font"): fonts})
        page[NameObject("/MediaBox")] = ArrayObject(map(FloatObject, (0, 0, 600, 800)))
        content = DecodedStreamObject()
        content.set_data("\n".join(_drawn(lines)).encode("latin-1"))
        page[NameObject("/Contents")] = writer._add_object(content)
    if title is not None:
        writer.add_metadata({"/Title": title})
    if password is not None:
        writer.encrypt(password)
    return _written(writer.write)


def _drawn(lines: Sequence[str]) -> list[str]:
    drawn = []
    for row, line in enumerate(lines):
        for column, cell in enumerate(line.split("\t")):
            text = cell.replace("\\", r"\\").replace("(", r"\(").replace(")", r"\)")
            drawn.append(f"BT /F1 12 Tf {50 + 180 * column} {750 - 20 * row} Td ({text}) Tj ET")
    return drawn


def docx(*blocks: str | Sequence[Sequence[str]], title: str = "") -> bytes:
    """A DOCX of paragraphs, `# ` before a heading's, and of tables, given as rows of cells."""
    document = docx_library.Document()
    document.core_properties.title = title
    for block in blocks:
        if isinstance(block, str):
            level = len(block) - len(block.lstrip("#"))
            document.add_heading(block[level:].strip(), level) if level else document.add_paragraph(block)
            continue
        table = document.add_table(len(block), len(block[0]))
        for row, cells in enumerate(block):
            for column, cell in enumerate(cells):
                table.cell(row, column).text = cell
    return _written(document.save)


def _written(write: Callable[[Any], Any]) -> bytes:
    file = io.BytesIO()
    write(file)
    return file.getvalue()
