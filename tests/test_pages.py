"""Pages that restate what code defines: store format, threat model, architecture."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

from fesf.scripts.audit.threats import HOLDS
from fesf.scripts.data import store_format, verify
from fesf.scripts.data.dicom_elements import DECISIONS
from fesf.scripts.data.encrypted_table import NONCE, START
from fesf.scripts.data.folders import JOURNAL, LINKAGE, QUARANTINE, RELEASE, SPLITS
from fesf.scripts.data.linkage import ENCRYPTED, LINKAGE_COLUMNS
from fesf.scripts.data.recipe import BIT_DEPTHS
from fesf.scripts.data.release_log import HEAD, LOG

DOCS = Path(__file__).parents[1] / "docs"


def page(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


def section(text: str, heading: str) -> str:
    """What stands below a heading, up to the next of its level."""
    return text.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]


def first_cells(text: str) -> list[set[str]]:
    """The names in the first cell of each row, table by table."""
    tables = re.findall(r"^\|.*\|\n\| ---.*\|\n((?:\|.*\|\n?)+)", text, re.MULTILINE)
    return [set(re.findall(r"`([^`]+)`", " ".join(re.findall(r"^\|([^|]*)\|", rows, re.MULTILINE)))) for rows in tables]


def test_the_store_s_fields_are_those_of_the_code() -> None:
    text = page("store_format.md")
    assert f"format version {store_format.VERSION}\n" in text.splitlines(keepends=True)[0]
    manifest, encoding = first_cells(section(text, "manifest.json"))
    assert manifest == verify.MANIFEST_KEYS
    assert encoding == {"type", "bits", "patient_identity_removed"}
    assert f"`{store_format.FORMAT}`" in text
    dataset, item = first_cells(section(text, "dataset.json"))
    assert dataset == verify.DATASET_KEYS
    assert item == verify.ITEM_KEYS
    for kind, suffix in store_format.SUFFIXES.items():
        axes = " or ".join(f"{axis}D" for axis in verify.AXES[kind])
        assert re.search(rf"`{kind}` \((?:files )?`{re.escape(suffix)}`, {axes}\)", text), kind
    assert " or ".join(f"`{bits}`" for bits in BIT_DEPTHS) in text
    assert all(f"`{decision}`" in text for decision in DECISIONS)
    tree = text.split("```\n")[1]
    assert set(re.findall(r"^  (\S+)", tree, re.MULTILINE)) == {
        store_format.MANIFEST,
        store_format.SIGNATURE,
        store_format.DATASET,
        f"{store_format.IMAGES}/",
    }


def test_the_time_of_all_files_is_the_code_s() -> None:
    written = datetime.fromtimestamp(store_format.MODIFIED, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert written in page("store_format.md")


def test_the_hospital_s_files_are_those_of_the_code() -> None:
    text = section(page("store_format.md"), "What stays in the hospital")
    (named,) = first_cells(text)
    assert {LINKAGE, LINKAGE + ENCRYPTED, SPLITS, RELEASE, QUARANTINE, JOURNAL, LOG, HEAD} <= named
    assert f"`{','.join(LINKAGE_COLUMNS)}`" in text
    assert f"`{START.decode()}<release_id>`, {NONCE} bytes" in text


def test_the_attackers_are_those_of_the_audit() -> None:
    table = section(page("threat_model.md"), "Attackers")
    rows = re.findall(r"^\| ([a-z]'?) \| ([^|]+?) \| ([^|]+?) \| ([^|]+?) \|$", table, re.MULTILINE)
    assert {letter: holds for letter, holds, _, _ in rows} == HOLDS


def test_no_page_claims_that_surrogates_are_safe() -> None:
    what, how = "surrogates?|stores?|images?|hiding", "encrypted|anonymous|anonymised|secure|safe"
    claim = re.compile(rf"(?<!not that )\b(?:{what}) (?:is|are) (?:{how})\b", re.IGNORECASE)
    assert claim.search("A surrogate is secure.")
    assert not claim.search("Surrogates are not secure.")
    root = DOCS.parent
    for path in (root / "README.md", *DOCS.rglob("*.md"), *(root / "bundle" / "docs").glob("*.md")):
        assert not claim.search(path.read_text(encoding="utf-8")), path.name
