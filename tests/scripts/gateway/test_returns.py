"""Predictions are untrusted: only for what is out, once, as they must be; each refusal is counted."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from fesf.scripts.data.prediction_object import decode_prediction, write_prediction
from fesf.scripts.gateway.intake import NOT_MATCHING, REFUSED, TAKEN
from tests.scripts.gateway.made import MODEL, Clock, FakeNode, Parts, make_hospital, original, prediction


def send_one(parts: Parts, number: int = 1) -> str:
    """Take, hide and send an image; returns its surrogate's id."""
    parts.intake.take(original(number), "peer")
    parts.hide_all()
    parts.steps.send(FakeNode().call)
    (identity,) = parts.state.identities(("sent",))
    return identity


def counts(parts: Parts) -> dict[str, int]:
    return {name: number for name, number in parts.state.report()["counts"].items() if name.startswith("returned")}


def test_an_answer_is_taken_once(parts: Parts) -> None:
    identity = send_one(parts)
    answer = prediction(identity)
    assert parts.returns.take(write_prediction(answer)) == TAKEN
    image = parts.state.by_identity(identity)
    assert image is not None
    assert image.state == "answered"
    assert image.prediction is not None
    assert decode_prediction(parts.keys.seal.open(image.prediction, f"prediction {identity}")) == answer
    assert parts.returns.take(write_prediction(answer)) == TAKEN  # our acknowledgement was lost
    assert parts.returns.take(write_prediction(prediction(identity, 0.5))) == REFUSED
    assert counts(parts) == {"returned: again": 1, "returned: answered": 1}
    assert parts.state.by_identity(identity) == image
    parts.steps.report(FakeNode().call)
    assert parts.returns.take(write_prediction(prediction(identity, 0.5))) == REFUSED
    assert parts.returns.take(write_prediction(answer)) == TAKEN
    assert parts.state.report()["states"] == {"stored": 1}


def test_only_what_is_out_can_be_answered(parts: Parts) -> None:
    assert parts.returns.take(write_prediction(prediction("e" * 32))) == REFUSED
    parts.intake.take(original(1), "peer")
    (identity,) = parts.state.identities(("received",))
    assert parts.returns.take(write_prediction(prediction(identity))) == REFUSED
    parts.hide_all()
    assert parts.returns.take(write_prediction(prediction(identity))) == REFUSED
    assert counts(parts) == {"returned: unknown": 1, "returned: not-outstanding": 2}


def test_a_superseded_surrogate_is_not_answered(parts: Parts) -> None:
    identity = send_one(parts)
    parts.intake.take(original(1, seed=9), "peer")
    assert parts.returns.take(write_prediction(prediction(identity))) == REFUSED
    assert counts(parts) == {"returned: not-outstanding": 1}


def test_a_surrogate_that_was_just_being_sent_can_be_answered(parts: Parts) -> None:
    """A gateway that was killed between sending and noting it."""
    parts.intake.take(original(1), "peer")
    parts.hide_all()
    (identity,) = parts.state.identities(("hidden",))
    image = parts.state.by_identity(identity)
    assert image is not None
    parts.state.move(image, ("hidden",), "sending", 0.0)
    assert parts.returns.take(write_prediction(prediction(identity))) == TAKEN
    node = FakeNode()
    assert not parts.steps.send(node.call)
    assert node.got == []


def test_anything_else_is_refused_with_its_reason(parts: Parts) -> None:
    identity = send_one(parts)
    broken = write_prediction(prediction(identity))
    broken.ContentSequence[2].MeasuredValueSequence[0].FloatingPointValue = float("nan")
    assert parts.returns.take(broken) == NOT_MATCHING
    swapped = replace(prediction(identity), class_names=("yes", "no"))
    assert parts.returns.take(write_prediction(swapped)) == NOT_MATCHING
    other = write_prediction(prediction(identity))
    other.PatientName = "Schmidt"
    assert parts.returns.take(other) == NOT_MATCHING
    assert counts(parts) == {"returned: number": 1, "returned: classes": 1, "returned: object": 1}
    assert parts.state.report()["states"] == {"sent": 1}


@pytest.mark.parametrize(("model", "status"), [(MODEL, TAKEN), ("cd" * 32, REFUSED)])
def test_one_model_alone(tmp_path: Path, clock: Clock, model: str, status: int) -> None:
    parts = Parts(make_hospital(tmp_path / "h", model_sha256=model), clock)
    identity = send_one(parts)
    assert parts.returns.take(write_prediction(prediction(identity))) == status
    parts.state.close()
