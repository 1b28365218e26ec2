from __future__ import annotations

import csv
import json
import stat
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, balanced_accuracy_score, brier_score_loss, roc_auc_score

from fesf.scripts import link as link_module
from fesf.scripts.data.encrypted_table import encrypt
from fesf.scripts.data.linkage import LinkError
from fesf.scripts.link import link, main, metrics_path, summary

LABELS = ("no", "yes")


def identity(number: int) -> str:
    return f"{number:032x}"


def write(path: Path, rows: list[dict[str, object]]) -> Path:
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def tables(
    folder: Path, patients: int = 30, labelled: bool = True, mixed: int = 4
) -> tuple[Path, Path, list[dict[str, object]]]:
    """Two images a patient; ``mixed`` patients carry both labels; one patient in three is in the test split."""
    rng = np.random.default_rng(5)
    linkage: list[dict[str, object]] = []
    predictions: list[dict[str, object]] = []
    for patient in range(patients):
        for image in range(2):
            label = (patient + (image if patient < mixed else 0)) % 2
            p = round(float(np.clip(0.35 + 0.3 * label + 0.2 * rng.standard_normal(), 0.01, 0.99)), 6)
            name, split = identity(2 * patient + image + 1), ("training", "validation", "test")[patient % 3]
            linkage.append(
                {
                    "id": name,
                    "row": len(linkage) + 2,
                    "patient": f"Schmidt {patient}",
                    "study": f"S{patient}",
                    "label": LABELS[label] if labelled else "",
                    "split": split,
                }
            )
            predictions.append({"id": name, "p_no": f"{1 - p:.6f}", "p_yes": f"{p:.6f}", "decision": LABELS[p >= 0.5]})
    rng.shuffle(predictions)  # type: ignore[arg-type]
    return write(folder / "predictions.csv", predictions), write(folder / "linkage.csv", linkage), linkage


def test_joins_by_id_and_keeps_the_linkages_order(tmp_path: Path) -> None:
    predictions, linkage, rows = tables(tmp_path)
    link(predictions, linkage, tmp_path / "linked.csv")
    with open(tmp_path / "linked.csv", newline="") as file:
        linked = list(csv.DictReader(file))
    with open(predictions, newline="") as file:
        given = {row["id"]: row for row in csv.DictReader(file)}
    assert [row["id"] for row in linked] == [row["id"] for row in rows]
    for row, expected in zip(linked, rows, strict=True):
        assert row["patient"] == expected["patient"]
        assert row["study"] == expected["study"]
        assert float(row["p_yes"]) == float(given[row["id"]]["p_yes"])
        assert row["decision"] == given[row["id"]]["decision"]


def test_metrics_are_scikit_learns_and_each_split_stands_alone(tmp_path: Path) -> None:
    predictions, linkage, rows = tables(tmp_path)
    result = link(predictions, linkage, tmp_path / "linked.csv")
    with open(predictions, newline="") as file:
        given = {row["id"]: row for row in csv.DictReader(file)}
    assert set(result["splits"]) == {"training", "validation", "test"}
    for split, blocks in result["splits"].items():
        chosen = [row for row in rows if row["split"] == split]
        truth = np.array([LABELS.index(str(row["label"])) for row in chosen])
        scores = np.array([float(given[str(row["id"])]["p_yes"]) for row in chosen])
        decided = np.array([LABELS.index(given[str(row["id"])]["decision"]) for row in chosen])
        metrics = {name: metric["value"] for name, metric in blocks["images"]["metrics"].items()}
        assert metrics["auc"] == pytest.approx(roc_auc_score(truth, scores))
        assert metrics["accuracy"] == pytest.approx(accuracy_score(truth, decided))
        assert metrics["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(truth, decided))
        assert metrics["brier"] == pytest.approx(brier_score_loss(truth, scores))
        assert blocks["n_images"] == 20
        assert blocks["n_patients"] == 10
    assert json.loads(metrics_path(tmp_path / "linked.csv").read_text()) == result


def test_intervals_are_over_patients(tmp_path: Path) -> None:
    """Every image of a patient is alike here, so intervals over patients must be wider than over images."""
    rows, predictions = [], []
    for patient in range(20):
        right = patient % 4 != 0
        for image in range(10):
            name = identity(10 * patient + image + 1)
            label = patient // 2 % 2
            p = 0.9 if label == right else 0.1
            rows.append(
                {"id": name, "row": len(rows) + 2, "patient": f"p{patient}", "study": "", "label": LABELS[label]}
            )
            rows[-1]["split"] = "test"
            predictions.append({"id": name, "p_no": 1 - p, "p_yes": p, "decision": LABELS[p > 0.5]})
    result = link(write(tmp_path / "p.csv", predictions), write(tmp_path / "l.csv", rows), tmp_path / "out.csv")
    accuracy = result["splits"]["test"]["images"]["metrics"]["accuracy"]
    share = accuracy["value"]
    over_images = 2 * 1.96 * np.sqrt(share * (1 - share) / 200)
    over_patients = 2 * 1.96 * np.sqrt(share * (1 - share) / 20)
    assert accuracy["high"] - accuracy["low"] == pytest.approx(over_patients, rel=0.15)
    assert accuracy["high"] - accuracy["low"] > 2 * over_images


def test_one_row_a_patient_by_hand(tmp_path: Path) -> None:
    """a: two images, no; b: three, yes; c carries both labels and is left out."""
    cases = [
        ("a", "no", 0.2, "no"),
        ("a", "no", 0.9, "yes"),  # a tie of votes: the mean 0.55 says yes
        ("b", "yes", 0.8, "yes"),
        ("b", "yes", 0.4, "no"),
        ("b", "yes", 0.3, "no"),  # two votes for no, though the mean is 0.5
        ("c", "no", 0.1, "no"),
        ("c", "yes", 0.9, "yes"),
    ]
    rows = [
        {"id": identity(n), "row": n, "patient": patient, "study": "", "label": label, "split": "test"}
        for n, (patient, label, _, _) in enumerate(cases, 1)
    ]
    predictions = [
        {"id": identity(n), "p_no": 1 - p, "p_yes": p, "decision": decision}
        for n, (_, _, p, decision) in enumerate(cases, 1)
    ]
    result = link(write(tmp_path / "p.csv", predictions), write(tmp_path / "l.csv", rows), tmp_path / "out.csv")
    test = result["splits"]["test"]
    assert (test["n_images"], test["n_patients"], test["n_mixed"]) == (7, 3, 1)
    assert test["patients"]["n"] == 2
    assert test["patients"]["confusion_matrix"] == [[0, 1], [1, 0]]
    assert test["patients"]["metrics"]["auc"]["value"] == 0.0  # mean 0.55 of the healthy one above 0.5 of the sick one
    assert test["patients"]["metrics"]["brier"]["value"] == pytest.approx((0.55**2 + 0.5**2) / 2)


def test_only_mixed_patients_leave_the_patients_block_out(tmp_path: Path) -> None:
    predictions, linkage, _ = tables(tmp_path, patients=6, mixed=6)
    result = link(predictions, linkage, tmp_path / "linked.csv")
    assert "patients" not in result["splits"]["test"]
    assert "auc" in summary(result)


def test_without_labels_joins_and_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    predictions, linkage, _ = tables(tmp_path, labelled=False)
    out = tmp_path / "linked.csv"
    assert main(["--predictions", str(predictions), "--linkage", str(linkage), "--out", str(out)]) == 0
    assert "No labels in the linkage" in capsys.readouterr().out
    assert json.loads(metrics_path(out).read_text())["splits"] == {}
    assert out.read_text().count("\n") == 61


def test_command_prints_the_metrics_and_warns_of_fitted_splits(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    predictions, linkage, _ = tables(tmp_path)
    out = tmp_path / "linked.csv"
    assert main(["--predictions", str(predictions), "--linkage", str(linkage), "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    assert "training (the classifier was fitted or tuned on these): 20 images of 10 patients" in printed
    assert "\ntest: 20 images of 10 patients" in printed
    assert "keep them in the hospital" in printed


def test_files_are_private_and_replaced_at_once(tmp_path: Path) -> None:
    predictions, linkage, _ = tables(tmp_path)
    out = tmp_path / "linked.csv"
    out.write_text("old")
    out.chmod(0o644)
    link(predictions, linkage, out)
    for path in (out, metrics_path(out)):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "linkage.csv",
        "linked.csv",
        "linked.metrics.json",
        "predictions.csv",
    ]


def test_a_refused_input_leaves_the_old_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    predictions, linkage, _ = tables(tmp_path)
    out = tmp_path / "linked.csv"
    out.write_text("old")
    predictions.write_text(predictions.read_text() + f"{identity(999)},0.5,0.5,no\n")
    assert main(["--predictions", str(predictions), "--linkage", str(linkage), "--out", str(out)]) == 2
    assert f"ids that linkage does not know: '{identity(999)}'" in capsys.readouterr().err
    assert out.read_text() == "old"


def test_refuses_to_write_into_a_store_or_over_an_input(tmp_path: Path) -> None:
    predictions, linkage, _ = tables(tmp_path)
    store = tmp_path / "store"
    (store / "images").mkdir(parents=True)
    (store / "manifest.json").write_text("{}")
    link_to_store = tmp_path / "harmless"
    link_to_store.symlink_to(store / "images")
    for out in (store / "linked.csv", store / "images" / "linked.csv", link_to_store / "linked.csv"):
        with pytest.raises(LinkError, match=r"lies in a surrogate store .* patients must not be written there"):
            link(predictions, linkage, out)
    assert not list(store.rglob("*.csv"))
    for path in (predictions, linkage):
        with pytest.raises(LinkError, match="is one of the inputs"):
            link(predictions, linkage, path)
    with pytest.raises(LinkError, match="its folder does not exist"):
        link(predictions, linkage, tmp_path / "no" / "linked.csv")


def test_the_seed_reaches_the_bootstrap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    predictions, linkage, _ = tables(tmp_path)
    seen = []
    original = link_module.bootstrap
    monkeypatch.setattr(
        link_module, "bootstrap", lambda *a, **k: seen.append((k["seed"], k["draws"])) or original(*a, **k)
    )
    main(
        ["--predictions", str(predictions), "--linkage", str(linkage), "--out", str(tmp_path / "o.csv"), "--seed", "7"]
    )
    assert set(seen) == {(7, 1000)}


def test_an_encrypted_linkage_is_joined_with_the_secret(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FESF_SECRET", raising=False)
    predictions, linkage, _ = tables(tmp_path)
    link(predictions, linkage, tmp_path / "expected.csv")
    secret = tmp_path / "secret"
    secret.write_text("a secret for the tests, 32 bytes and more")
    secret.chmod(0o600)
    (tmp_path / "linkage.csv.enc").write_bytes(encrypt(linkage.read_bytes(), secret.read_bytes(), "release-1"))
    linkage.unlink()
    given = ["--predictions", str(predictions), "--out", str(tmp_path / "linked.csv")]
    for name in ("linkage.csv", "linkage.csv.enc"):
        place = ["--linkage", str(tmp_path / name)]
        assert main([*given, *place, "--secret-file", str(secret)]) == 0
        assert (tmp_path / "linked.csv").read_bytes() == (tmp_path / "expected.csv").read_bytes()
    capsys.readouterr()
    assert main([*given, *place]) == 2
    assert "No secret: set secret_file" in capsys.readouterr().err
    secret.write_text("another secret for the tests, 32 bytes and more")
    assert main([*given, *place, "--secret-file", str(secret)]) == 2
    assert "the secret is not the one it was written with" in capsys.readouterr().err
