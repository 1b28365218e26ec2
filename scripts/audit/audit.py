"""The audit of a release as one object: what the command and ``audit.json`` of the bundle both run."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fesf.scripts.audit.evidence import read_scene
from fesf.scripts.audit.page import write_page
from fesf.scripts.audit.run import audit_document, read_limits, run_audit
from fesf.scripts.audit.scene import Scene
from fesf.scripts.audit.suite import FULL, QUICK
from fesf.scripts.audit.table import format_results
from fesf.scripts.audit.tracking import log_scores
from fesf.scripts.data.audit import AUDIT, check_audit
from fesf.scripts.data.files import make_private_folder, to_json, write_atomic
from fesf.scripts.data.linkage import refuse_inside_store
from fesf.scripts.data.provenance import commit, versions
from fesf.scripts.data.release_entry import manifest_sha256

SOFTWARE = ("fesf", "numpy", "scikit-learn", "scikit-image", "torch", "monai")


class PastLimitError(ValueError):
    """The audit is done, and a result does not hold its limit."""


@dataclass(frozen=True)
class Audit:
    """Attack a release in the hospital, write what came out, and compare it with limits.

    Args:
        cohort: ``cohort.csv`` that was hidden.
        store: the surrogate store.
        hosts: the host pool.
        hospital: folder of the release; ``audit.json`` goes there.
        out: folder of the audit (0700): ``index.html``, ``results.json`` and what is kept of each attack.
        host: file name of the host that hides, where hide.json was told one.
        limits: JSON file of limits that were written down before; None for none.
        secret_file: the secret, where the linkage is encrypted.
        seed: of controls and intervals.
        quick: leave out the attacks that take longer than minutes.
        generator_file: the generator of the release, where it is not the hospital folder's ``iqem/generator.pt``.
        mlflow_uri: the hospital's own tracking server or ``sqlite:///...``; None logs nothing.
    """

    cohort: str | Path
    store: str | Path
    hosts: str | Path
    hospital: str | Path
    out: str | Path
    host: str | None = None
    limits: str | Path | None = None
    secret_file: str | Path | None = None
    seed: int = 0
    quick: bool = False
    mlflow_uri: str | None = None
    generator_file: str | Path | None = None

    def run(self) -> None:
        """Run what is missing and write everything.

        Raises:
            ValueError: for a mistake in what was given, before anything is attacked.
            PastLimitError: when a result does not hold its limit; everything is written.
        """
        out = Path(self.out)
        refuse_inside_store(out / AUDIT)
        attacks = QUICK if self.quick else QUICK | FULL
        limits = read_limits(self.limits, attacks)
        places = self.cohort, self.store, self.hospital, self.hosts
        scene = read_scene(*places, self.host, self.secret_file, generator_file=self.generator_file)
        digest = manifest_sha256(self.store)
        make_private_folder(out)
        results = run_audit(scene, digest, attacks, out, self.seed)
        document = audit_document(results, limits, digest, Path(self.limits) if self.limits else None)
        write_atomic(out / "results.json", to_json(results))
        write_atomic(Path(self.hospital) / AUDIT, to_json(document))
        page = write_page(out, results, document, self.facts(scene))
        if self.mlflow_uri:
            log_scores(self.mlflow_uri, results, digest)
        print(format_results(results))
        print(f"Page (it shows plaintexts and stays in the hospital): {page}")
        if not limits:
            print("No limits were given: release will ask for them. Write them down before you look at results.")
            return
        try:
            check_audit(Path(self.hospital) / AUDIT, digest)
        except ValueError as error:
            raise PastLimitError(str(error)) from None
        print(f"Within the {len(limits)} limits.")

    def facts(self, scene: Scene) -> dict[str, Any]:
        """What the page says of the release and of this run; no path and no name."""
        from_release = json.loads((Path(self.hospital) / "release.json").read_bytes())
        return {
            "release_id": from_release["release_id"],
            "demo": from_release.get("secret") == "demo",
            "stage": scene.stage,
            "alpha": scene.alpha,
            "beta": scene.beta,
            "size": scene.host.shape,
            "images": len(scene.victims),
            "patients": len(set(scene.victims.patients.tolist())),
            "known_images": len(scene.known),
            "known_patients": len(set(scene.known.patients.tolist())),
            "seed": self.seed,
            "quick": self.quick,
            "left_out": [name for name in FULL if self.quick],
            "commit": commit(),
            "software": versions(SOFTWARE),
        }
