"""The steps of ``check_label``: a demo store, an app, a real server, real requests."""

from __future__ import annotations

import csv
import hashlib
import json
import math
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fesf.scripts.data.loopback import free_port, wait_for
from fesf.scripts.data.platform_check import PlatformCheck
from fesf.scripts.data.run_folder import configs_folder
from fesf.scripts.data.store_format import SECTIONS, image_id, load_dataset
from fesf.scripts.data.verify import verify_store
from fesf.scripts.label.client import Client
from fesf.scripts.label.live_refusals import NAME, refusals
from fesf.scripts.label.packing import MODEL
from fesf.scripts.make_demo import make_demo

TOLERANCE = 1e-5
SIZE = 32
ROUNDS = 8
"""Labels that are asked for, one after another."""
PACKAGES = ("fesf", "monailabel", "monai", "torch", "numpy", "pydicom", "fastapi", "torchvision")
INFER, TRAIN = f"/infer/{MODEL}", f"/train/{MODEL}"


class LabelCheck(PlatformCheck):
    """The check in a folder of its own.

    Args:
        work: an empty folder.
        python: of the environment with MONAI Label.
        patients: of the demo.
        epochs: of each training.
    """

    def __init__(self, work: Path, python: str, patients: int = 30, epochs: int = 2) -> None:
        super().__init__(work)
        self.python, self.patients, self.epochs = python, patients, epochs
        self.hospital, self.analyst = self.work / "hospital", self.work / "analyst"
        self.store, self.app = self.analyst / "store", self.analyst / "app"
        self.models = self.app / "model" / MODEL / "models"

    def run(self) -> dict[str, Any]:
        """All steps; returns what was sent and what came back."""
        self.analyst.mkdir()
        self._timed("demo and two releases", self._hide)
        self._timed("first training", self._train)
        self._timed("bundle and app", self._pack)
        self._timed("a folder that is no store", self._refused_start)
        with self._server() as address:
            self.send = Client(address, str(self.work))
            found = self._timed("predictions", self._predict)
            found |= self._timed("active learning and labels", self._label)
            found |= self._timed("training by request", self._retrain)
            self._timed("refusals", lambda: refusals(self))
        self._search()
        versions = f"from fesf.scripts.data.provenance import *; import json; print(json.dumps(versions({PACKAGES!r})))"
        done = subprocess.run([self.python, "-c", versions], capture_output=True, text=True, check=True)
        return found | {"label_environment": json.loads(done.stdout), "requests": self.send.sent}

    def _workflow(self, run_id: str, config: str, **ids: str | Path) -> None:
        words = [word for name, value in ids.items() for word in (f"--{name}", str(value))]
        self._run(run_id, configs_folder() / config, self.work, *words)

    def _hide(self) -> None:
        """A release with all labels, for the first model, and one in which two of three patients have none yet."""
        cohort = make_demo(self.hospital / "demo", self.patients, SIZE)
        with open(cohort, newline="") as file:
            rows = list(csv.DictReader(file))
        known = set(sorted({row["patient"] for row in rows})[::3])
        partly = cohort.with_name("partly.csv")
        with open(partly, "w", newline="") as file:
            writer = csv.DictWriter(file, rows[0])
            writer.writeheader()
            writer.writerows([row if row["patient"] in known else row | {"label": ""} for row in rows])
        for release, table, store in (("r1", cohort, self.analyst / "first"), ("r2", partly, self.store)):
            self._workflow("hiding", "hide.json", cohort=table, hosts_dir=cohort.parent / "hosts",
                           secret_file=cohort.parent / "secret", image_size=f"[{SIZE},{SIZE}]", store_dir=store,
                           hospital_dir=self.hospital / release, release_id=release)  # fmt: skip
        with open(self.hospital / "r2" / "linkage.csv", newline="") as file:
            numbers = {row["id"]: int(row["row"]) for row in csv.DictReader(file)}
        self.truth = {name: rows[number - 2]["label"] for name, number in numbers.items()}  # row 1 is the header
        self.plain = (cohort.parent / rows[0]["image"]).read_bytes()

    def _train(self) -> None:
        self._workflow("training", "train.json", dataset_dir=self.analyst / "first", ckpt_dir=self.analyst / "models",
                       output_dir=self.analyst / "eval", epochs=str(self.epochs))  # fmt: skip

    def _pack(self) -> None:
        """The analyst's bundle as package_bundle writes it, and the app of it."""
        self._command("package_bundle", "--only", "analyst", "--store", self.analyst / "first",
                      "--ckpt_dir", self.analyst / "models", "--out", self.analyst / "dist")  # fmt: skip
        (archive,) = (self.analyst / "dist").glob("*.zip")
        self._command("label_app", "--out", self.app, "--bundle", archive)

    def _command(self, name: str, *words: str | Path) -> None:
        status, said = self._python("-m", f"fesf.scripts.{name}", *map(str, words))
        if status:
            raise RuntimeError(f"{name} ended with {status}: {said[-500:]}")

    def _infer(self, out: Path) -> dict[str, list[float]]:
        """Predictions of inference.json with the app's model, by id."""
        self._workflow("inferring", "inference.json", dataset_dir=self.store, ckpt_dir=self.models, output_dir=out)
        with open(out / "predictions.csv", newline="") as file:
            rows = list(csv.DictReader(file))
        self.decisions = {row["id"]: row["decision"] for row in rows}
        return {row["id"]: [float(v) for k, v in row.items() if k.startswith("p_")] for row in rows}

    def _words(self, store: Path, port: int) -> list[str]:
        return [self.python, "-m", "monailabel.main", "start_server", "--host", "127.0.0.1", "--port", str(port),
                "--app", str(self.app), "--studies", str(store)]  # fmt: skip

    def _refused_start(self) -> None:
        """The cohort's own folder as studies: the server must not start."""
        plain = self.hospital / "demo"
        done = subprocess.run(self._words(plain, free_port()), cwd=self.work, env=self.environment, timeout=120,
                              capture_output=True, text=True, check=False)  # fmt: skip
        said = "is not a surrogate store" in done.stdout + done.stderr
        self.checks["a cohort's folder is not served"] = done.returncode != 0 and said

    @contextmanager
    def _server(self) -> Iterator[str]:
        temporary = self.work / "temporary"
        temporary.mkdir()
        port, start = free_port(), time.monotonic()
        with open(self.work / "server.log", "wb") as log:
            process = subprocess.Popen(self._words(self.store, port), cwd=self.work, stdout=log, stderr=log,
                                       env=self.environment | {"TMPDIR": str(temporary)})  # fmt: skip
        try:
            try:
                wait_for(f"http://127.0.0.1:{port}/info/", process)
            except RuntimeError as error:
                raise RuntimeError(f"{error} {(self.work / 'server.log').read_text()[-1500:]}") from None
            self.seconds["server to answer"] = round(time.monotonic() - start, 1)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(timeout=30)

    def scores(self, image: str, keep: bool = False) -> tuple[list[float], str]:
        answer = self.send("POST", INFER, keep=keep, image=image, output="json")
        if answer.status != 200:
            raise RuntimeError(f"A prediction ended with {answer.status}: {self.send.shown(answer.body.decode())}")
        return [item["score"] for item in answer.json["prediction"]], answer.json["decision"]

    def _compare(self, expected: dict[str, list[float]], name: str) -> float:
        """The largest difference of any probability of any surrogate."""
        start, largest, same = time.monotonic(), 0.0, True
        for number, image in enumerate(expected):
            scores, decision = self.scores(image, keep=number < 2)
            largest = max([largest, *(abs(a - b) for a, b in zip(scores, expected[image], strict=True))])
            same = same and decision == self.decisions[image]
        self.seconds[f"one prediction, {name}"] = round((time.monotonic() - start) / len(expected), 4)
        self.checks[f"probabilities are inference.json's, {name}"] = largest <= TOLERANCE
        self.checks[f"decisions are inference.json's, {name}"] = same
        return largest

    def _predict(self) -> dict[str, Any]:
        info = self.send("GET", "/info/").json
        status = self.send("GET", "/datastore/").json
        objects = self.send("GET", "/datastore/", output="all").json["objects"]
        dataset = load_dataset(self.store)
        listed = {image_id(item["image"]): item for section in SECTIONS for item in dataset.get(section, [])}
        self.expected = self._infer(self.analyst / "before")
        model = info["models"][MODEL]
        self.checks |= {
            "/info names a classifier, a training and the strategy": model["type"] == "classification"
            and MODEL in info["trainers"]
            and "entropy" in info["strategies"],
            "/datastore counts the store's images and labels": status["total"] == len(listed)
            and status["completed"] == sum("label" in item for item in listed.values()),
            "/datastore lists the store's ids": set(objects) == set(listed),
        }
        image = min(listed)
        content = self.send("GET", "/datastore/image", image=image).body
        self.checks["/datastore/image gives the published bytes"] = (
            content == (self.store / listed[image]["image"]).read_bytes()
        )
        return {
            "surrogates": {"all": len(listed), "labelled": status["completed"]},
            "largest_difference": {"before training": self._compare(self.expected, "before training")},
            "tolerance": TOLERANCE,
        }

    def unlabelled(self) -> list[str]:
        """Ids of the training section without a label, by how uncertain inference.json's prediction is."""
        items = load_dataset(self.store)["training"]
        ids = [image_id(item["image"]) for item in items if "label" not in item]
        return sorted(ids, key=lambda name: (-entropy_by_hand(self.expected[name]), name))

    def _label(self) -> dict[str, Any]:
        waiting = self.unlabelled()
        asked, near = [], True
        for number in range(min(ROUNDS, len(waiting))):
            answer = self.send("POST", "/activelearning/entropy", keep=number < 2, json_body={}).json
            image = answer["id"]
            hand = [entropy_by_hand(self.expected[name]) for name in waiting]
            near = near and abs(answer["weight"] - hand[0]) <= TOLERANCE and answer["unlabelled"] == len(waiting)
            near = near and abs(entropy_by_hand(self.expected[image]) - hand[0]) <= TOLERANCE  # or an equal of it
            label = json.dumps({"label": self.truth[image]}).encode()
            saved = self.send("PUT", "/datastore/label", keep=number < 2, image=image,
                                file=("label", f"{image}.json", label))  # fmt: skip
            near = near and saved.status == 200
            waiting.remove(image)
            asked.append(image)
        self.checks["the least certain surrogate is asked for, as by hand, and no labelled one again"] = near
        back = self.send("GET", "/datastore/label", label=asked[0], tag="final").json
        status = self.send("GET", "/datastore/").json
        self.checks["labels come back"] = back == {"label": self.truth[asked[0]]}
        self.checks["labels are counted"] = status["label_tags"].get("final") == len(asked)
        return {"active_learning": {"unlabelled": len(waiting) + len(asked), "labelled_by_request": len(asked)}}

    def _finished(self) -> dict[str, Any]:
        end = time.monotonic() + 300
        while time.monotonic() < end:
            task: dict[str, Any] = self.send("GET", "/train/", keep=False).json
            if task["status"] in ("DONE", "ERROR", "STOPPED"):
                return task
            time.sleep(1)
        raise RuntimeError("The training did not end in 300 s.")

    def _retrain(self) -> dict[str, Any]:
        before = sha256(self.models / "model.pt")
        self.send("POST", TRAIN, json_body={"max_epochs": self.epochs, "device": "cpu"})
        task = self._finished()
        self.send.sent.append({"request": "GET /train/", "status": 200, "answer": task["status"]})
        if task["status"] != "DONE":
            raise RuntimeError(f"The training ended as {task['status']}: {task['details'][-5:]}")
        with open(self.app / "model" / MODEL / "eval" / "history.csv", newline="") as file:
            history = list(csv.DictReader(file))
        stats = self.send("GET", "/info/", keep=False).json["train_stats"][MODEL]
        self.send.sent.append({"request": "GET /info/ (train_stats)", "status": 200, "answer": stats})
        expected = self._infer(self.analyst / "after")
        moved = max(abs(a - b) for name in expected for a, b in zip(expected[name], self.expected[name], strict=True))
        self.checks |= {
            "training by request writes another model": sha256(self.models / "model.pt") != before,
            "it ran the epochs that were asked for": len(history) == self.epochs,
            "the new model predicts otherwise": moved > TOLERANCE,
        }
        largest = self._compare(expected, "after training")
        return {"training": {"history": history, "served": stats, "largest_difference": largest, "moved": moved}}

    def _search(self) -> None:
        """What the server left behind: nothing of what it refused, and a store as it was."""
        places = [*self.app.rglob("*"), *(self.work / "temporary").rglob("*"), self.work / "server.log"]
        files = [path for path in places if path.is_file()]
        sought = [NAME.encode(), str(self.hospital / "demo" / "images").encode()]
        held = [path.name for path in files if NAME in path.name or any(text in path.read_bytes() for text in sought)]
        pixels = [path.name for path in files if path.read_bytes() == self.plain]
        self.checks["no log and no file holds a refused name or path"] = not held
        self.checks["no file holds a refused image"] = not pixels
        self.checks["the store is as it was published"] = verify_store(self.store) == []


def entropy_by_hand(probabilities: Sequence[float]) -> float:
    """-sum(p ln p), apart from the code that is checked."""
    return -sum(value * math.log(value) for value in probabilities if value > 0)


def sha256(path: Path) -> str:
    """Digest of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
