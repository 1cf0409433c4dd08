"""Clients generated from the served document: without a complaint, with names as we gave them, and they work.

Run by `tox -e generators`; needs Java 17 and npx.
"""

from __future__ import annotations

import importlib
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import pytest

TIMEOUT_S = 600
UGLY = re.compile(r"^_|inline|(one|any|all)_?of|body\d*$|response\d+|\d$", re.IGNORECASE)
OPENAPI_TS = ("@hey-api/openapi-ts@0.82.0", "typescript@5.9")  # newer ones want Node 22
STRICT = (
    *("--noEmit", "--strict", "--skipLibCheck", "--target", "es2022", "--lib", "es2022,dom,dom.iterable"),
    *("--module", "esnext", "--moduleResolution", "bundler"),
)


def run(*command: str, cwd: Path) -> str:
    """What the command says; it must succeed."""
    program = shutil.which(command[0], path=f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin")
    assert program, f"{command[0]} must be on the PATH"
    ran = subprocess.run([program, *command[1:]], cwd=cwd, capture_output=True, text=True, timeout=TIMEOUT_S)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout + ran.stderr


def ugly(names: Iterable[str]) -> list[str]:
    """Names that a generator had to invent or change."""
    return sorted(name for name in names if UGLY.search(name))


@pytest.fixture(scope="module")
def folder(served: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the document as the server serves it."""
    made = tmp_path_factory.mktemp("generated")
    answer = httpx.get(f"{served.base_url}/openapi.json", trust_env=False)
    (made / "openapi.json").write_bytes(answer.content)
    return made


@pytest.fixture(scope="module")
def python_client(folder: Path) -> Path:
    """What openapi-python-client makes of the document."""
    said = run(
        *("openapi-python-client", "generate", "--path", "openapi.json"),
        *("--meta", "none", "--output-path", "generated_newleaf"),
        cwd=folder,
    )
    warned_of = re.findall(r"WARNING parsing (\S+ \S+)", said)
    assert warned_of == ["GET /openapi.yaml"], said  # it knows no YAML; everything else it must understand
    return folder / "generated_newleaf"


def imported(client: Path, name: str) -> ModuleType:
    return importlib.import_module(f"{client.name}.{name}")


def test_python_client_has_our_names(python_client):
    assert ugly(path.stem for path in (python_client / "models").glob("[!_]*.py")) == []
    assert (python_client / "api" / "leads" / "list_leads.py").exists()


def test_python_client_creates_lists_and_reads_a_lead(python_client, party, monkeypatch):
    monkeypatch.syspath_prepend(python_client.parent)
    api = imported(python_client, "api.leads")
    models = imported(python_client, "models")
    for operation in ("create_lead", "list_leads", "get_lead"):
        imported(python_client, f"api.leads.{operation}")
    client = imported(python_client, "client").AuthenticatedClient(
        party.base_url, party.key(), prefix="", auth_header_name="X-API-Key", httpx_args={"trust_env": False}
    )

    with client:
        created = api.create_lead.sync(client=client, body=models.LeadCreate(phone="+12025550142", name="Ada Example"))
        listed = api.list_leads.sync(client=client)
        found = api.list_leads.sync(client=client, statuses=[models.LeadStatus.NEW])
        read = api.get_lead.sync(created.id, client=client)
        missing = api.get_lead.sync(404404, client=client)

    assert read == created
    assert [lead.id for lead in listed] == [created.id]
    assert (found.total, found.leads) == (1, [created])
    assert missing.code == "lead_not_found"


def test_openapi_generator_finds_nothing_to_complain_about(folder):
    said = run("openapi-generator-cli", "validate", "-i", "openapi.json", cwd=folder)

    assert "No validation issues detected" in said


@pytest.mark.parametrize(
    ("generator", "models"),
    [("python", "newleaf_api/models/*.py"), ("java", "src/main/java/org/openapitools/client/model/*.java")],
    ids=["python", "java"],
)
def test_openapi_generator_has_our_names(folder, generator, models):
    options = ("--additional-properties", "packageName=newleaf_api") if generator == "python" else ()

    run(
        *("openapi-generator-cli", "generate", "-i", "openapi.json", "-g", generator, "-o", generator, *options),
        cwd=folder,
    )

    names = [path.stem for path in (folder / generator).glob(models)]
    ours = [name for name in names if name not in ("__init__", "AbstractOpenApiSchema")]
    assert len(ours) > 50
    assert ugly(ours) == []


def test_typescript_client_has_our_names_and_compiles(folder):
    packages = [argument for package in OPENAPI_TS for argument in ("-p", package)]

    run(
        "npx",
        "-y",
        *packages,
        "openapi-ts",
        "-i",
        "openapi.json",
        "-o",
        "ts",
        "-c",
        "@hey-api/client-fetch",
        cwd=folder,
    )

    run("npx", "-y", *packages, "tsc", *STRICT, "ts/index.ts", "ts/sdk.gen.ts", cwd=folder)
    types = re.findall(r"^export type (\w+)", (folder / "ts" / "types.gen.ts").read_text(), re.MULTILINE)
    methods = re.findall(r"^export const (\w+)", (folder / "ts" / "sdk.gen.ts").read_text(), re.MULTILINE)
    assert ugly(types) == []
    assert "listLeads" in methods
