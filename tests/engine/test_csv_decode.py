"""Encodings: which one a file is in, and what happens where a byte does not fit."""

import pytest

from engine.imports import CsvError, open_csv
from engine.imports.decode import BLOCK_BYTES, SAMPLE_BYTES

TEXT = "Name,City\nJosé,Köln\nZoë,Åre\n"


def names(data: bytes, chunk: int = 1 << 20) -> list[str]:
    return [row.cells["Name"] for row in open_csv(data[at : at + chunk] for at in range(0, len(data), chunk))]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be", "utf-16-le", "utf-32", "cp1252"])
@pytest.mark.parametrize("chunk", [1, 3, 1 << 20], ids=["byte by byte", "threes", "at once"])
def test_encoding_is_detected(encoding, chunk):
    assert names(TEXT.encode(encoding), chunk) == ["José", "Zoë"]


@pytest.mark.parametrize("mark", ["utf-16-be", "utf-32-be", "utf-32-le"])
def test_byte_order_mark_decides(mark):
    assert names(("\ufeff" + TEXT).encode(mark)) == ["José", "Zoë"]


@pytest.mark.parametrize(
    ("encoding", "name"),
    [
        ("cp1251", "Анна Сидорова"),
        ("cp1250", "Małgorzata Dąbrowska ze Łodzi"),
        ("cp1253", "Γιώργος Παπαδόπουλος και Μαρία Νικολάου"),
        ("cp932", "山田太郎、東京都"),
        ("gb18030", "王小明住在北京市朝阳区"),
    ],
)
def test_legacy_code_page_is_recognised(encoding, name):
    data = ("Name;Phone\n" + f"{name};+12025550147\n" * 20).encode(encoding)

    assert names(data)[0] == name


def test_lone_accent_is_read_as_western():
    source = open_csv(["Name,Phone\nAda,1\nJosé,2\n".encode("cp1252")])

    assert (source.encoding, [row.cells["Name"] for row in source]) == ("cp1252", ["Ada", "José"])


def test_first_accent_after_the_sample_may_still_be_western():
    rows = 2 * SAMPLE_BYTES // len("Ada,Berlin\n")
    data = b"Name,City\n" + b"Ada,Berlin\n" * rows + "José,Köln\n".encode("cp1252") * 9

    assert names(data)[-1] == "José"


def test_stray_byte_in_utf8_is_an_error_with_its_position():
    head = b"Name,City\n" + "José,Köln\n".encode() * (SAMPLE_BYTES // 8)

    with pytest.raises(CsvError, match=rf"Byte {len(head)} \(0xE9\) is no UTF-8 text"):
        names(head + b"\xe9,x\n" + b"Ada,Berlin\n" * BLOCK_BYTES)


def test_position_counts_the_byte_order_mark():
    with pytest.raises(CsvError, match="Byte 8 "):
        names("\ufeff".encode() + "é".encode() * 1 + b"ab\n\xe9,\n")


def test_stray_byte_among_much_utf8_does_not_turn_the_rest_into_a_code_page():
    with pytest.raises(CsvError, match="is no UTF-8 text"):
        names(b"Name\n" + "José Žižek\n".encode() * 50 + b"\xe9\n")


def test_file_cut_inside_a_character_is_an_error():
    with pytest.raises(CsvError, match="ends inside a character"):
        names("Name\nJosé\nJosé\nJosé\nJosé\nJosé\nJosé\nJosé\nJosé\nJosé\nJosé\nJosé\nJosé".encode()[:-1])


def test_byte_that_its_code_page_lacks_is_an_error():
    with pytest.raises(CsvError, match="0x81"):
        names("Name\nJosé\n".encode("cp1252") + b"Ada\n" * SAMPLE_BYTES + b"\x81\n")
