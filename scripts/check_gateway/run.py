"""The check itself: what is sent, what comes back, what is searched."""

from __future__ import annotations

import json
import random
import signal
import statistics
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from fesf.scripts.check_gateway.orthanc import TITLE, Orthanc
from fesf.scripts.check_gateway.probes import probe
from fesf.scripts.check_gateway.processes import Process
from fesf.scripts.check_gateway.studies import Pictures, choose_pictures, make_studies, write_cohort
from fesf.scripts.check_gateway.verdict import judge_reports, search
from fesf.scripts.data.files import PRIVATE, to_json, write_atomic
from fesf.scripts.data.loopback import free_port
from fesf.scripts.data.platform_check import PlatformCheck
from fesf.scripts.data.provenance import load_average
from fesf.scripts.data.run_folder import configs_folder

OURS = "FESFGW"
SIZE = 64
PATIENCE = 300.0


class GatewayCheck(PlatformCheck):
    """The check in a folder of its own.

    Args:
        work: an empty folder.
        shared: folder that holds ``data/``.
        studies: sent while all goes well.
        kills: how often the gateway is killed while as many studies again are sent.
        backlog: studies that are sent while the analyst is down.
    """

    def __init__(self, work: Path, shared: Path, studies: int, kills: int, backlog: int) -> None:
        super().__init__(work)
        self.shared = shared
        self.numbers = {"flow": studies, "kills": studies if kills else 0, "backlog": backlog}
        self.kills = kills
        self._random = random.Random(0)

    def run(self) -> dict[str, Any]:
        """All steps; returns what was sent and what came back."""
        before = load_average()
        self._timed("release and studies", self._prepare)
        with Orthanc(self.work / "pacs", (OURS, self.port)) as self.pacs:
            self._configure()
            self._timed("studies into the PACS", self._upload)
            self.starts = [self.gateway.start()]
            self.analyst.start()
            try:
                found: dict[str, Any] = {"pacs": f"Orthanc {self.pacs.version}", "images": self.pictures.source}
                found["flow"] = self._timed("studies, surrogates, predictions, reports", self._flow)
                self._timed("what must be refused", self._probe)
                found["backlog"] = self._timed("the analyst is down and comes back", self._backlog)
                if self.kills:
                    found["kills"] = self._timed("killing the gateway", self._kill)
            finally:
                self.gateway.end()
                self.analyst.end()
            checks, found["reports"] = judge_reports(
                self.pacs.reports(), self.studies, self.work, self.pictures.class_names
            )
            self.checks |= checks
        checks, found["searched"] = self._timed("searching", lambda: search(self.export, self.studies[0], self.work))
        self.checks |= checks
        found["load_average"] = {"before": before, "after": load_average()}
        found["gateway_start_seconds"] = {"median": round(statistics.median(self.starts), 1)}
        return found

    def _prepare(self) -> None:
        self.pictures: Pictures = choose_pictures(self.shared, self.work, max(self.numbers.values()))
        hospital = self.work / "hospital"
        table = write_cohort(self.pictures, hospital / "release")
        secret = hospital / "secret"
        write_atomic(secret, random.SystemRandom().randbytes(32).hex().encode(), PRIVATE)
        words = {
            "cohort": table,
            "hosts_dir": table.parent / "hosts",
            "secret_file": secret,
            "store_dir": self.work / "store",
            "hospital_dir": hospital / "kept",
            "image_size": f"[{SIZE}, {SIZE}]",
        }
        listed = [str(word) for name, value in words.items() for word in (f"--{name}", value)]
        self._run("hiding", configs_folder() / "hide.json", self.work, *listed)
        self.export, self.studies = make_studies(self.pictures, hospital / "studies", sum(self.numbers.values()))
        names, at = list(self.numbers), np.cumsum([0, *self.numbers.values()]).tolist()
        self.parts = {name: range(at[number], at[number + 1]) for number, name in enumerate(names)}
        self.port, self.back, self.theirs = free_port(), free_port(), free_port()

    def _configure(self) -> None:
        hospital = self.work / "hospital"
        settings = {
            "spool_dir": "spool",
            "hospital_dir": "kept",
            "hosts_dir": "release/hosts",
            "secret_file": "secret",
            "class_names": self.pictures.class_names,
            "listen": {"ae_title": OURS, "port": self.port, "calling": [TITLE]},
            "returns": {"ae_title": "FESFBACK", "port": self.back, "calling": ["ANALYST"]},
            "pacs": {"ae_title": TITLE, "port": self.pacs.port},
            "analyst": {"ae_title": "ANALYST", "port": self.theirs},
            "study": {"quiet_seconds": 1.0},
            "egress": {"first_retry_seconds": 0.2, "longest_retry_seconds": 5.0},
        }
        config = hospital / "gateway.json"
        write_atomic(config, to_json(settings))
        zone = self.work / "analyst"
        zone.mkdir()
        self.gateway = Process(["fesf.scripts.gateway", "--config", str(config)], hospital / "gateway.log", hospital)
        words = ["fesf.scripts.check_gateway.analyst", "--folder", ".", "--port", str(self.theirs)]
        words += ["--returns-title", "FESFBACK", "--returns-port", str(self.back)]
        words += [word for name in self.pictures.class_names for word in ("--class-name", name)]
        self.analyst = Process(words, zone / "analyst.log", zone)

    def _upload(self) -> None:
        self.instances = [self.pacs.upload(study.path.read_bytes()) for study in self.studies]

    def _status(self) -> dict[str, Any]:
        """Counts and times, as the gateway's own ``--status`` gives them."""
        status, said = self._python("-m", *self.gateway.words, "--status")
        if status:
            raise RuntimeError(f"--status ended with {status}: {said[-500:]}")
        found: dict[str, Any] = json.loads(said)
        return found

    def _wait_for_reports(self, number: int) -> float:
        """Wait until the PACS holds so many reports; returns the seconds."""
        begin = time.monotonic()
        while self._number_of_reports() < number:
            if time.monotonic() - begin > PATIENCE:
                raise RuntimeError(f"The PACS holds {self._number_of_reports()} of {number} reports.")
            time.sleep(0.05)
        return time.monotonic() - begin

    def _number_of_reports(self) -> int:
        return len(self.pacs.ask("/tools/find", {"Level": "Instance", "Query": {"Modality": "SR"}}))

    def _flow(self) -> dict[str, Any]:
        begin = time.monotonic()
        for index in self.parts["flow"]:
            self.pacs.send([self.instances[index]])
        sent = time.monotonic() - begin
        self._wait_for_reports(self.numbers["flow"])
        took = time.monotonic() - begin
        times = self._status()["times"]
        spans = {
            "hiding": [one["hidden"] - one["hiding"] for one in times],
            "waiting for the study to be complete": [one["hiding"] - one["received"] for one in times],
            "surrogate made to surrogate sent": [one["sent"] - one["hidden"] for one in times],
            "surrogate sent to prediction back": [one["answered"] - one["sent"] for one in times],
            "prediction back to report stored": [one["stored"] - one["answered"] for one in times],
            "whole": [one["stored"] - one["received"] for one in times],
        }
        share = statistics.median(spans["hiding"]) / statistics.median(spans["whole"])
        return {
            "studies": self.numbers["flow"],
            "seconds": round(took, 1),
            "sending_seconds": round(sent, 1),
            "latency_ms": {name: _spread(values) for name, values in spans.items()},
            "hiding_share_of_median": round(share, 4),
        }

    def _probe(self) -> None:
        self.checks |= probe(self.studies[0].path, (OURS, self.port), ("FESFBACK", self.back))

    def _backlog(self) -> dict[str, Any]:
        before = self._number_of_reports()
        self.analyst.end()
        begin = time.monotonic()
        self.pacs.send([self.instances[index] for index in self.parts["backlog"]])
        some = [self.studies[index] for index in self.parts["backlog"]][:5]
        held = self.pacs.commit([(study.sop_class, study.sop_instance) for study in some])
        unknown = self.pacs.commit([(some[0].sop_class, "1.2.826.0.1.3680043.8.498.1")])
        self.checks["storage commitment: what the spool holds is confirmed"] = held["Status"] == "Success"
        self.checks["storage commitment: what it does not hold is not"] = unknown["Status"] == "Failure"
        while self._status()["states"].get("hidden", 0) < self.numbers["backlog"]:
            if time.monotonic() - begin > PATIENCE:
                raise RuntimeError("The backlog was not hidden in time.")
            time.sleep(1.0)
        self.checks["no report while the analyst is down"] = self._number_of_reports() == before
        hidden = time.monotonic() - begin
        self.analyst.start()
        drained = self._wait_for_reports(before + self.numbers["backlog"])
        rate = self.numbers["backlog"] / drained
        return {
            "studies": self.numbers["backlog"],
            "taken_and_hidden_seconds": round(hidden, 1),
            "drained_seconds": round(drained, 1),
            "reports_a_second": round(rate, 1),
            "longest_retry_seconds": 5.0,
        }

    def _kill(self) -> dict[str, Any]:
        before, indices = self._number_of_reports(), list(self.parts["kills"])
        chunks = np.array_split(np.array(indices), self.kills)
        senders, states = [], Counter[str]()
        for chunk in chunks:
            ids = [self.instances[index] for index in chunk.tolist()]
            sender = threading.Thread(target=self.pacs.send, args=(ids, PATIENCE))
            sender.start()
            senders.append(sender)
            time.sleep(self._random.uniform(0.0, 3.0))
            self.gateway.end(signal.SIGKILL)
            states.update(self._status()["states"])
            self.starts.append(self.gateway.start())
        for sender in senders:
            sender.join()
        self._wait_for_reports(before + len(indices))
        time.sleep(2.0)  # a second report of one study would come now
        return {
            "studies": len(indices),
            "kills": len(chunks),
            "states_at_the_kills": {name: states[name] for name in states if name != "stored"},
            "reports": self._number_of_reports() - before,
        }


def _spread(values: list[float]) -> dict[str, float]:
    """Median and 95th percentile in milliseconds."""
    return {
        "median": round(1000 * statistics.median(values), 1),
        "p95": round(1000 * float(np.percentile(values, 95)), 1),
    }
