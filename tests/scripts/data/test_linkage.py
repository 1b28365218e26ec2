from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fesf.scripts.data.linkage import LinkError, join, read_linkage, refuse_inside_store

A, B = "a" * 32, "b" * 32
LINKAGE = f"id,row,patient,study,label,split\n{A},2,Schmidt,S1,yes,test\n{B},3,Mayer,S2,no,test\n"
PREDICTIONS = f"id,p_no,p_yes,decision\n{A},0.25,0.75,yes\n{B},1,0,no\n"


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    predictions, linkage = tmp_path / "predictions.csv", tmp_path / "linkage.csv"
    predictions.write_text(PREDICTIONS)
    linkage.write_text(LINKAGE)
    return predictions, linkage


def test_joins(files: tuple[Path, Path]) -> None:
    linked = join(*files)
    assert linked.class_names == ["no", "yes"]
    assert [(row["patient"], prediction.probabilities, prediction.decision) for row, prediction in linked.rows] == [
        ("Schmidt", (0.25, 0.75), 1),
        ("Mayer", (1.0, 0.0), 0),
    ]


def test_other_columns_and_a_byte_order_mark_are_left_behind(files: tuple[Path, Path]) -> None:
    predictions, linkage = files
    predictions.write_text(f"\ufeffid,patient,p_no,p_yes,decision\n{A},=cmd(),0.25,0.75,yes\n")
    linked = join(predictions, linkage)
    assert len(linked.rows) == 1  # an image without a prediction is left out
    assert linked.rows[0][0]["patient"] == "Schmidt"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("decision\n", "verdict\n", r"predictions lacks the column decision"),
        ("id,p_no", "name,p_no", r"predictions lacks the column id"),
        ("p_no,p_yes,decision", "a,p_yes,decision", r"predictions has 1 columns p_<class>: at least 2"),
        ("p_no,p_yes", "p_yes,p_yes", r"predictions has the column 'p_yes' twice"),
        ("p_no,p_yes", "p_no,p_ill", r"label 'yes' is not among the predicted classes \(no, ill\)"),
        ("p_no,p_yes,decision", "p_no,p_yes,p_=cmd(),decision", r"class name '=cmd\(\)': it is empty, a formula"),
        ("p_no,p_yes,decision", "p_no,p_yes,p_,decision", r"class name '': it is empty"),
        (f"{A},0.25,0.75", f"{A},nan,0.75", r"Row 2 of predictions: p_no is 'nan', not a number in \[0, 1\]"),
        (f"{A},0.25,0.75", f"{A},inf,0.75", r"Row 2 of predictions: p_no is 'inf'"),
        (f"{A},0.25,0.75", f"{A},-0.25,1.25", r"Row 2 of predictions: p_no is '-0.25'"),
        (f"{A},0.25,0.75", f"{A},0.25,1.25", r"Row 2 of predictions: p_yes is '1.25'"),
        (f"{A},0.25,0.75", f"{A},,0.75", r"Row 2 of predictions: p_no is ''"),
        (f"{A},0.25,0.75", f"{A},0.25,0.25", r"Row 2 of predictions: the probabilities sum to 0.5, not to 1"),
        ("0.75,yes", "0.75,perhaps", r"Row 2 of predictions: the decision 'perhaps' is no class"),
        (B, A, r"Row 3 of predictions: the id a{32} is there twice"),
        (B, "c" * 32, r"ids that linkage does not know: 'c{32}'\. Use the linkage.csv of the release"),
        ("0.75,yes", "0.75,yes,", r"Row 2 of predictions has 5 cells, its header 4"),
        ("0.75,yes", '0.75,"yes', r"predictions, line \d: not UTF-8 CSV \(Error\)"),
    ],
)
def test_refuses_predictions(files: tuple[Path, Path], old: str, new: str, message: str) -> None:
    predictions, linkage = files
    assert old in PREDICTIONS
    predictions.write_text(PREDICTIONS.replace(old, new, 1))
    with pytest.raises(LinkError, match=message):
        join(predictions, linkage)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("study", "exam", r"linkage lacks the column study"),
        ("label,split", "labels,splits", r"linkage lacks the columns label, split"),
        (A, "a" * 31, r"Row 2 of linkage: its id is not 32 hex digits"),
        (B, A, r"Row 3 of linkage: its id is not 32 hex digits, or there twice"),
        ("yes,test", "yes,holdout", r"Row 2 of linkage: its split is none of training, validation, test"),
        (LINKAGE[LINKAGE.index("\n") + 1 :], "", r"linkage has no rows"),
    ],
)
def test_refuses_linkage(files: tuple[Path, Path], old: str, new: str, message: str) -> None:
    _, linkage = files
    assert old in LINKAGE
    linkage.write_text(LINKAGE.replace(old, new, 1))
    with pytest.raises(LinkError, match=message):
        read_linkage(linkage)


@pytest.mark.parametrize("old", [A, "yes,test"])
def test_a_name_in_another_column_of_linkage_is_not_quoted(files: tuple[Path, Path], old: str) -> None:
    _, linkage = files
    linkage.write_text(LINKAGE.replace(old, old.replace(A, "Anna Schmidt").replace("test", "Anna Schmidt"), 1))
    with pytest.raises(LinkError, match=r"Row 2 of linkage: its .*The value is not shown") as caught:
        read_linkage(linkage)
    assert "Schmidt" not in str(caught.value)


def test_errors_name_no_patient(files: tuple[Path, Path]) -> None:
    _, linkage = files
    linkage.write_text(LINKAGE.replace("yes,test", "yes,holdout").replace(B, A))
    with pytest.raises(LinkError) as caught:
        read_linkage(linkage)
    assert "Schmidt" not in str(caught.value)
    assert "S1" not in str(caught.value)


def test_many_unknown_ids_are_cut_and_the_rest_is_not_read(files: tuple[Path, Path]) -> None:
    predictions, linkage = files
    rows = "".join(f"{n:032d},0.5,0.5,no\n" for n in range(1000)) + "not,a,row\n"
    predictions.write_text("id,p_no,p_yes,decision\n" + rows)
    with pytest.raises(LinkError, match="does not know") as caught:
        join(predictions, linkage)
    assert str(caught.value).count("0000") < 60
    assert ", ..." in str(caught.value)


def test_hostile_text_is_shown_escaped(files: tuple[Path, Path]) -> None:
    predictions, linkage = files
    predictions.write_text(f"id,p_no,p_yes,decision\n\x1b[2J{A},0.5,0.5,no\n")
    with pytest.raises(LinkError) as caught:
        join(predictions, linkage)
    assert "\x1b" not in str(caught.value)


def test_empty_missing_and_binary_files(files: tuple[Path, Path], tmp_path: Path) -> None:
    predictions, linkage = files
    predictions.write_text("id,p_no,p_yes,decision\n")
    with pytest.raises(LinkError, match="predictions has no rows"):
        join(predictions, linkage)
    predictions.write_text("")
    with pytest.raises(LinkError, match="predictions lacks the columns id, decision"):
        join(predictions, linkage)
    predictions.write_bytes(b"id,p_no,p_yes,decision\n\xff\xfe,1,0,no\n")
    with pytest.raises(LinkError, match=r"not UTF-8 CSV \(UnicodeDecodeError\)"):
        join(predictions, linkage)
    with pytest.raises(LinkError, match=r"predictions '.*missing.csv' cannot be read \(No such file or directory\)"):
        join(tmp_path / "missing.csv", linkage)


@settings(deadline=None, max_examples=50)
@given(st.text(max_size=300))
def test_any_text_is_refused_with_our_error(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    folder = tmp_path_factory.mktemp("fuzz")
    (folder / "linkage.csv").write_text(LINKAGE)
    (folder / "predictions.csv").write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(LinkError):
        join(folder / "predictions.csv", folder / "linkage.csv")


def test_refuse_inside_store_looks_above(tmp_path: Path) -> None:
    refuse_inside_store(tmp_path / "hospital" / "linked.csv")
    (tmp_path / "manifest.json").write_text("{}")
    with pytest.raises(LinkError, match="Choose a path in the hospital folder"):
        refuse_inside_store(tmp_path / "deep" / "deeper" / "linked.csv")
