"""Imports over HTTP: anonymous and unscoped callers are the security tests' business."""

from __future__ import annotations

import pytest

from engine import lead_import
from engine.jobs import worker
from tests.support.contract_client import ContractClient

FILE = "Name,Mobile,Company\nAda,+1 202-555-0142,Example GmbH\nBob,(202) 555-0143,\nNobody,,\nAda B.,+12025550142,X\n"
MAPPING = {"Name": "name", "Mobile": "phone", "Company": "company"}
UNKNOWN = "665f1c2e9b1d4a0012ab34ff"


def upload(client: ContractClient, content: str | bytes = FILE, **options: object) -> dict[str, object]:
    sent = {"file": ("leads.csv", content, "text/csv")}
    return client.post("/api/leads/upload/preview", files=sent, **options).json()


def confirm(client: ContractClient, **body: object) -> dict[str, object]:
    return client.post("/api/leads/upload/confirm", json={"mapping": MAPPING, **body}).json()


def long_file() -> str:
    rows = (f"Lead {number},+1202555{number:04},X" for number in range(lead_import.AT_ONCE))
    return "\n".join(["Name,Mobile,Company", *rows, "Nobody,,"]) + "\n"


class TestPreview:
    def test_text_is_looked_at_and_nothing_is_kept(self, client):
        seen = client.post("/api/leads/upload/preview", json={"content": FILE}).json()

        assert seen == {
            "headers": ["Name", "Mobile", "Company"],
            "previewRows": [
                {"Name": "Ada", "Mobile": "+1 202-555-0142", "Company": "Example GmbH"},
                {"Name": "Bob", "Mobile": "(202) 555-0143", "Company": ""},
                {"Name": "Nobody", "Mobile": "", "Company": ""},
                {"Name": "Ada B.", "Mobile": "+12025550142", "Company": "X"},
            ],
            "totalRows": 4,
            "mapping": {"Name": "name", "Mobile": "phone", "Company": "Company"},
        }
        assert client.get("/api/leads").json() == []

    def test_file_is_kept(self, client):
        seen = upload(client, FILE.encode("utf-16"))

        assert seen["columns"] == seen["headers"] == ["Name", "Mobile", "Company"]
        assert seen["rows"] == seen["previewRows"]
        assert confirm(client, uploadId=seen["uploadId"])["imported"] == 2

    def test_empty_file_has_no_columns(self, client):
        assert upload(client, b"")["headers"] == []

    def test_cells_and_rows_are_cut(self, client):
        [row] = client.post("/api/leads/upload/preview", json={"content": f"A,B\n{'x' * 3000},{',y' * 300}\n"}).json()[
            "previewRows"
        ]

        assert len(row) == 200
        assert len(row["A"]) == 2000

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            pytest.param(",".join(map(str, range(201))), "The file has 201 columns; 200 is the most.", id="wide"),
            pytest.param('Name,"Mobile\n', "The header row cannot be read", id="open quote"),
        ],
    )
    def test_what_cannot_be_read_is_refused(self, client, content, message):
        for answer in (
            client.post("/api/leads/upload/preview", json={"content": content}),
            client.post("/api/leads/upload/preview", files={"file": ("x.csv", content)}),
        ):
            assert (answer.status_code, answer.json()["code"]) == (422, "invalid_csv")
            assert message in answer.json()["error"]

    def test_file_over_fifty_mebibytes_is_refused(self, client):
        answer = client.post("/api/leads/upload/preview", files={"file": ("x.csv", b"x" * (50 * 1024 * 1024 + 1))})

        assert answer.status_code == 413

    def test_missing_content_is_named(self, client):
        answer = client.post("/api/leads/upload/preview", json={})

        assert (answer.status_code, answer.json()["error"]) == (400, "content (CSV string) is required")


class TestConfirm:
    def test_text_is_imported(self, client):
        answer = confirm(client, content=FILE, tags=["fair"])

        batch = answer.pop("importBatchId")
        assert answer == {
            "total": 4,
            "imported": 2,
            "updated": 0,
            "duplicatesSkipped": 1,
            "errors": 1,
            "errorRows": [{"row": 4, "message": "The row has no phone, no valid e-mail address and no external id."}],
        }
        found = client.get("/api/leads", params={"importBatchId": batch}).json()
        assert [(lead["name"], lead["phone"], lead["tags"]) for lead in found["leads"]] == [
            ("Bob", "+12025550143", ["fair"]),
            ("Ada", "+12025550142", ["fair"]),
        ]
        assert found["leads"][1]["customFields"] == {"company": "Example GmbH"}
        assert found["leads"][1]["source"] == "import"

    def test_upload_updates_and_text_skips_unless_told(self, client):
        confirm(client, content=FILE)

        counts = [
            confirm(client, **body)
            for body in (
                {"content": FILE},
                {"uploadId": upload(client)["uploadId"]},
                {"content": FILE, "onDuplicate": "update"},
                {"uploadId": upload(client)["uploadId"], "onDuplicate": "skip"},
            )
        ]

        assert [(each["updated"], each["duplicatesSkipped"]) for each in counts] == [(0, 3), (3, 0), (3, 0), (0, 3)]
        assert client.get("/api/leads/1").json()["name"] == "Ada B."

    def test_repeated_request_is_imported_once(self, client):
        sent = {"json": {"content": FILE, "mapping": MAPPING}, "headers": {"Idempotency-Key": "import-1"}}

        first, second = (client.post("/api/leads/upload/confirm", **sent) for _ in range(2))

        assert second.json() == first.json()
        assert second.headers["Idempotent-Replayed"] == "true"

    @pytest.mark.parametrize(
        ("body", "status", "message"),
        [
            pytest.param({}, 400, "content and mapping are required", id="nothing"),
            pytest.param({"mapping": MAPPING}, 400, "content and mapping are required", id="no file"),
            pytest.param({"content": FILE}, 400, "content and mapping are required", id="no mapping"),
            pytest.param(
                {"content": FILE, "uploadId": UNKNOWN, "mapping": MAPPING}, 400, "Unknown property", id="two files"
            ),
            pytest.param({"content": FILE, "mapping": {"Nix": "phone"}}, 422, "no column 'Nix'", id="unknown column"),
            pytest.param({"uploadId": UNKNOWN, "mapping": MAPPING}, 404, "Upload not found", id="unknown upload"),
        ],
    )
    def test_what_cannot_be_imported_is_refused(self, client, body, status, message):
        answer = client.post("/api/leads/upload/confirm", json=body)

        assert answer.status_code == status
        assert message in answer.json()["error"]

    def test_foreign_upload_is_not_found(self, client, make_party):
        with make_party("Other").client() as stranger:
            foreign = upload(stranger)["uploadId"]

        answer = client.post("/api/leads/upload/confirm", json={"uploadId": foreign, "mapping": MAPPING})

        assert answer.status_code == 404


class TestLongFile:
    @pytest.fixture
    def started(self, client):
        return client.post("/api/leads/upload/confirm", json={"content": long_file(), "mapping": MAPPING})

    def test_it_is_accepted_followed_and_undone(self, client, started):
        job = started.json()
        url = started.headers["Location"]
        assert started.status_code == 202
        assert url == f"/api/leads/imports/{job['importBatchId']}"
        assert job["processed"] == 0

        assert client.delete(url).json()["code"] == "import_running"
        while job["status"] in ("queued", "running"):  # the server's own worker may be at it, too
            worker.work_next(lead_import.lane_of(job["importBatchId"]))
            job = client.get(url).json()

        assert (job["status"], job["total"], job["processed"]) == ("completed", 10_001, 10_001)
        assert (job["imported"], job["errors"], len(job["errorRows"])) == (10_000, 1, 1)
        assert client.delete(url).json() == {"success": True, "deleted": 10_000}
        assert client.get(url).status_code == client.delete(url).status_code == 404
        assert client.get("/api/leads").json() == []


def test_unknown_and_foreign_imports_are_not_found(client, make_party):
    with make_party("Other").client() as stranger:
        foreign = confirm(stranger, content=FILE)["importBatchId"]

    for oid in (UNKNOWN, foreign):
        assert client.get(f"/api/leads/imports/{oid}").status_code == 404
        assert client.delete(f"/api/leads/imports/{oid}").status_code == 404
