"""Both bundles as zip files: ``python -m fesf.scripts.package_bundle --run run --out dist``.

``fesf_classification-<version>.zip`` is the analyst's: classifier, configs, documents and the code they need; no host,
recipe or generator. ``fesf_hospital-<version>.zip`` is the hospital's: the pipeline with host, recipe and generator. It
stays in the hospital. Each unpacks anywhere and runs by ``python -m monai.bundle run`` without the package installed,
or with ``--no-vendor`` needs it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from fesf.scripts.data.bundle_content import analyst_members, hospital_members
from fesf.scripts.data.bundle_zip import refuse_files_of, write_zip
from fesf.scripts.data.files import make_private_folder
from fesf.scripts.data.run_folder import RunFolder

ANALYST, HOSPITAL = "fesf_classification", "fesf_hospital"
DEFAULT = "default"  # of run.json's network: the small CNN


def package_analyst(out: Path, options: argparse.Namespace) -> str:
    """Write the analyst's zip file; returns a line about it.

    Raises:
        ValueError: when it would hold a file of the hospital's.
    """
    if inside(options.ckpt_dir, options.hospital):
        raise ValueError(
            "ckpt_dir lies in the hospital's folder: such a model saw plaintexts or stays; give the analyst's."
        )
    members = analyst_members(options.store, options.ckpt_dir, options.network, not options.no_vendor)
    kept = [folder for folder in (options.hospital, options.hosts) if folder.is_dir()]
    refuse_files_of(members, kept)
    name = f"{ANALYST}-{own_version()}.zip"
    return f"{name}: {len(members)} files, sha256 {write_zip(out / name, ANALYST, members)}"


def package_hospital(out: Path, options: argparse.Namespace) -> str:
    """Write the hospital's zip file; returns a line about it."""
    members = hospital_members(options.hosts, options.hospital, options.generator, not options.no_vendor)
    name = f"{HOSPITAL}-{own_version()}.zip"
    digest = write_zip(out / name, HOSPITAL, members)
    (out / name).chmod(0o600)
    return f"{name}: {len(members)} files, sha256 {digest}; it stays in the hospital"


def inside(path: Path, folder: Path) -> bool:
    """Whether a path is a folder or lies in it."""
    return folder.resolve() in (path.resolve(), *path.resolve().parents)


def own_version() -> str:
    """Version of the package; "vendored" inside a bundle."""
    try:
        return version("fesf")
    except PackageNotFoundError:
        return "vendored"


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    made = argparse.ArgumentParser(
        prog="python -m fesf.scripts.package_bundle",
        description="The analyst's and the hospital's bundle as zip files.",
        epilog="Options that are not given follow from --run, the folder of make train.",
    )
    made.add_argument("--out", type=Path, default=Path("dist"), metavar="DIR", help="default: %(default)s")
    made.add_argument("--run", type=Path, default=Path("run"), metavar="DIR", help="default: %(default)s")
    made.add_argument("--only", choices=("analyst", "hospital"), help="one of the two")
    made.add_argument("--store", type=Path, metavar="DIR", help="the store that the classifier was trained on")
    made.add_argument("--ckpt_dir", type=Path, metavar="DIR", help="folder of model.pt and operating_point.json")
    made.add_argument("--network", metavar="NAME", help="a file of configs/networks; default: the small CNN")
    made.add_argument("--hospital", type=Path, metavar="DIR", help="the release's folder, with release.json")
    made.add_argument("--hosts", type=Path, metavar="DIR", help="the hosts that hide.json was given")
    made.add_argument("--generator", type=Path, metavar="FILE", help="the generator that hide.json was given")
    made.add_argument("--no-vendor", action="store_true", help="leave our code out: it must be installed")
    return made


def settled(options: argparse.Namespace) -> argparse.Namespace:
    """The options with those filled in that follow from the run's folder."""
    run = RunFolder(options.run)
    options.store = options.store or run.store
    options.ckpt_dir = options.ckpt_dir or run.surrogate / "models"
    if options.hospital is None:
        options.hospital = run.hospital
        own = run.generator / "generator.pt"
        options.generator = options.generator or (own if own.is_file() else None)
    kept = run.settings() if run.settings_file.is_file() else {"hosts": run.demo / "hosts", "network": DEFAULT}
    options.hosts = options.hosts or Path(str(kept["hosts"]))
    if options.network is None and kept["network"] != DEFAULT:
        options.network = kept["network"]
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit status."""
    options = settled(parser().parse_args(arguments))
    try:
        make_private_folder(options.out) if not options.out.exists() else None
        if options.only != "hospital":
            print(package_analyst(options.out, options))
        if options.only != "analyst":
            print(package_hospital(options.out, options))
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
