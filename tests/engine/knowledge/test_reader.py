"""Reading in processes of their own: what a file may not take, and that the next file is read all the same."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from engine.knowledge import kinds, reader
from engine.knowledge.extract import Unreadable
from tests.support import files


@pytest.fixture(autouse=True)
def fresh():
    reader.close()
    yield
    reader.close()


def refusal(*arguments, **options):
    with pytest.raises(Unreadable) as refused:
        reader.read(*arguments, **options)
    return refused.value.code


def test_file_is_read_and_the_process_kept_for_the_next():
    started = []

    first = reader.read(files.pdf(["Hello"]), kinds.PDF, started=lambda: started.append(True))
    second = reader.read(b"a,b\n1,2\n", kinds.CSV)

    assert (first.text, second.text) == ("Hello", "a: 1; b: 2")
    assert started == [True]
    assert reader._idle.qsize() == 1


def test_reason_comes_through():
    assert refusal(files.pdf([]), kinds.PDF) == "no_text"
    assert reader._idle.qsize() == 1


def test_file_that_takes_too_long_is_given_up(monkeypatch):
    monkeypatch.setattr(reader, "_START_S", 0.0)

    assert refusal(b"Hello", kinds.TEXT, timeout_s=0.001) == "too_complex"

    assert reader._idle.empty()
    monkeypatch.undo()
    assert reader.read(b"Hello", kinds.TEXT).text == "Hello"


def test_file_that_takes_too_much_memory_is_given_up():
    page = b"<div>" * 3_000_000 + b"x"

    assert refusal(page, kinds.HTML) in ("too_complex", "corrupt", "no_text")

    assert reader.read(b"Hello", kinds.TEXT).text == "Hello"


def test_process_that_died_while_it_waited_costs_no_file():
    reader.read(b"Hello", kinds.TEXT)
    process = reader._idle.get()
    os.kill(process._process.pid, signal.SIGKILL)
    process._process.wait()
    reader._idle.put(process)

    assert reader.read(b"Hello again", kinds.TEXT).text == "Hello again"


def test_no_more_than_two_files_are_read_at_once():
    texts = [f"File {number}" for number in range(6)]
    found = []
    threads = [
        threading.Thread(target=lambda text=text: found.append(reader.read(text.encode(), kinds.TEXT).text))
        for text in texts
    ]

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(found) == texts
    assert reader._idle.qsize() <= reader.AT_ONCE


def test_process_knows_no_secret(monkeypatch):
    monkeypatch.setenv("NEWLEAF_SECRET_KEY", "secret")

    reader.read(b"Hello", kinds.TEXT)

    process = reader._idle.get()
    reader._idle.put(process)
    assert "NEWLEAF_SECRET_KEY" not in reader._environment()
    assert process._process.poll() is None
