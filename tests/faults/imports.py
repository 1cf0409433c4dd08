"""CSV imports in a storm: short files, taken at once, and long ones, which workers import chunk by chunk.

Every file has a column of its own, which becomes a custom field: the leads themselves tell which files reached them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import Any

from engine.lead_import import AT_ONCE
from storage.database import connection
from storage.imports import ImportBatch, Upload, UploadPiece
from tests.faults.house import House
from tests.faults.storm import Storm, StormClient

CLIENTS = 3
_SHORT = (30, 700)  # rows, at least and at most


@dataclass
class File:
    """One import as its client knows it: what its rows will become, and what was answered."""

    key: str
    text: str
    rows: int
    made: list[str]  # phones
    met: list[str]  # phones of rows that mean a known lead; some of them twice
    errors: int
    on_duplicate: str
    is_upload: bool
    upload: str | None = None
    answer: dict[str, Any] | None = None

    @property
    def is_job(self) -> bool:
        """Whether it was left to the workers."""
        return self.answer is not None and "status" in self.answer

    @property
    def counts(self) -> dict[str, int]:
        """The counts that its batch must end with."""
        is_update = self.on_duplicate == "update"
        return {
            "total": self.rows,
            "imported": len(self.made),
            "updated": len(self.met) if is_update else 0,
            "duplicatesSkipped": 0 if is_update else len(self.met),
            "errors": self.errors,
        }

    @property
    def reached(self) -> set[str]:
        """The phones of the leads that bear its mark if it took effect."""
        return {*self.made, *self.met} if self.on_duplicate == "update" else set(self.made)


def run(house: House, storm: Storm, seed: int, *, imports: int, long: int) -> list[File]:
    """Import so many files, so many of them long, from three clients at once, until the workers are through."""
    random = Random(seed)
    is_long = [number < long for number in range(imports)]
    random.shuffle(is_long)
    work = [
        partial(_import, house, storm, f"{seed}-{client}", client, is_long[client::CLIENTS])
        for client in range(CLIENTS)
    ]
    return [file for files in storm.run(work) for file in files]


def _import(house: House, storm: Storm, seed: str, number: int, is_long: Sequence[bool]) -> list[File]:
    random = Random(seed)
    files: list[File] = []
    known: list[str] = []
    with house.client(storm, seed, abandons=0.15) as client:
        for index, long in enumerate(is_long):
            rows = AT_ONCE + random.randint(1, 1500) if long else random.randint(*_SHORT)
            file = _file(random, number, index, rows, known)
            _confirm(client, file)
            files.append(file)
            if file.answer is not None and not file.is_job:
                known += file.made
        for file in files:
            if file.is_job:
                _follow(client, file)
    return files


def _file(random: Random, client: int, index: int, rows: int, known: list[str]) -> File:
    """A file of one client; its new phones begin with their file, so that no two files draw the same."""
    key = f"file{client}x{index}"
    errors = rows // 50
    again = random.sample(known, min(len(known), rows // 5))
    twice = rows // 20
    drawn = random.sample(range(10**6), rows - errors - len(again) - twice)
    made = [f"+9991{client}{index:02}{number:06}" for number in drawn]
    repeated = random.choices(made, k=twice)
    first, later = made + again, repeated + ["12"] * errors
    random.shuffle(first)
    random.shuffle(later)
    lines = [f"Lead {phone},{phone},{key}" for phone in first + later]
    return File(
        key,
        "\n".join([f"Name,Phone,{key}", *lines]) + "\n",
        rows,
        made,
        again + repeated,
        errors,
        random.choice(["skip", "update"]),
        is_upload=random.random() < 0.5,
    )


def _confirm(client: StormClient, file: File) -> None:
    body: dict[str, Any] = {
        "mapping": {"Name": "name", "Phone": "phone", file.key: file.key},
        "onDuplicate": file.on_duplicate,
    }
    if file.is_upload:
        sent = {"file": (f"{file.key}.csv", file.text.encode(), "text/csv")}
        previewed = client.post("/api/leads/upload/preview", f"{file.key}-upload", files=sent)
        if previewed is None:
            return
        file.upload = previewed.json()["uploadId"]
        body["uploadId"] = file.upload
    else:
        body["content"] = file.text
    answer = client.post("/api/leads/upload/confirm", file.key, json=body)
    file.answer = None if answer is None else answer.json()


def _follow(client: StormClient, file: File) -> None:
    """Ask for the import until it is through. It never goes back, and never ends but as completed."""
    assert file.answer is not None
    path = f"/api/leads/imports/{file.answer['importBatchId']}"
    processed = 0
    while (state := client.get(path))["status"] in ("queued", "running"):
        assert state["processed"] >= processed
        processed = state["processed"]
    assert state["status"] == "completed", state
    file.answer = state


def check(house: House, files: list[File]) -> None:
    """Assert that each file was imported once and whole, if it was acknowledged; at most once and whole if not."""
    leads = {lead.phone: lead for lead in house.check_leads()}
    with connection():
        rows = list(ImportBatch.of(house.tenant))
    batches = {key: row for row in rows for key, target in row.mapping.items() if key == target}
    assert len(batches) == len(rows), "a file was imported twice"
    imported = set(batches)
    marked, made = defaultdict(set), defaultdict(set)
    for phone, lead in leads.items():
        made[lead.import_batch_id].add(phone)
        for mark in lead.custom_fields:
            marked[mark].add(phone)
    for file in files:
        batch = batches.pop(file.key, None)
        if batch is None:
            assert file.answer is None, f"{file.key} was acknowledged and is not there"
            assert file.key not in marked
            continue
        _check_batch(file, batch)
        assert made.pop(batch.oid, set()) == set(file.made)
        assert marked[file.key] == file.reached
    assert not batches
    assert not made, "leads of no import"
    audited = sorted(entry.resource_id for entry in house.audited("lead.imported"))
    assert audited == sorted(row.oid for row in rows)
    _check_leftovers(house, [file for file in files if file.key not in imported])


def _check_batch(file: File, batch: Any) -> None:
    counted = {
        "total": batch.total,
        "imported": batch.imported,
        "updated": batch.updated,
        "duplicatesSkipped": batch.duplicates_skipped,
        "errors": batch.errors,
    }
    assert (batch.status, counted, batch.processed) == ("completed", file.counts, file.rows)
    if file.answer is not None:
        assert {name: file.answer[name] for name in counted} == counted
        assert file.answer["importBatchId"] == batch.oid


def _check_leftovers(house: House, given_up: list[File]) -> None:
    """Of the uploads only those are left that nobody imported, and no piece of another."""
    with connection():
        left = {row.id: row.oid for row in Upload.of(house.tenant)}
        pieces = {row.upload_id for row in UploadPiece.of(house.tenant, UploadPiece.upload_id)}
    named = {file.upload for file in given_up if file.upload is not None}
    assert named <= set(left.values())
    assert len(left) <= sum(file.is_upload for file in given_up)
    assert pieces == left.keys()
