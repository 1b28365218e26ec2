"""Release a store: ``python -m fesf.scripts.release STORE --hospital DIR --approver NAME --to WHO --key-file KEY``.

Verifies the store against the hospital's folder, waits for an audit within its limits, logs who gave what to whom, and
signs the manifest. What fails leaves the store unsigned. Running it again for another recipient adds a line to the log.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from tqdm import tqdm

from fesf.scripts.data.archive import write_archive
from fesf.scripts.data.audit import AUDIT, check_audit
from fesf.scripts.data.declared import KEY, decision_of, declare_identity_removed
from fesf.scripts.data.dicom_elements import DECISIONS
from fesf.scripts.data.files import SHARED, write_atomic
from fesf.scripts.data.linkage import refuse_inside_store
from fesf.scripts.data.release_entry import manifest_sha256, release_entry
from fesf.scripts.data.release_log import LOG, append, read_log
from fesf.scripts.data.signature import fingerprint, load_private_key
from fesf.scripts.data.store_format import MANIFEST, SIGNATURE
from fesf.scripts.data.verify import Problem, verify_store
from fesf.scripts.data.verify_hospital import verify_hospital
from fesf.scripts.verify_store import listing

MAX_TEXT = 200


class UnsoundStoreError(ValueError):
    """A store with problems is not released."""


@dataclass(frozen=True)
class Order:
    """Who releases what to whom.

    Args:
        store: folder of the store.
        hospital: the hospital folder of its release.
        approver: who decides.
        recipient: who gets it.
        key_file: private key that signs.
        without_audit: why no audit was made; None needs ``audit.json``.
        archive: tar file to write; None for none.
        log: the release log; None for the one in ``hospital``.
        secret_file: the hospital's secret: checks the commitment, reads an encrypted linkage.
        identity_removed: the approver's decision that DICOM's ``PatientIdentityRemoved`` is "YES": folder to which the
            store is written anew with it, and which is released. None leaves it at "NO".
    """

    store: Path
    hospital: Path
    approver: str
    recipient: str
    key_file: Path
    without_audit: str | None = None
    archive: Path | None = None
    log: Path | None = None
    secret_file: Path | None = None
    identity_removed: Path | None = None


def release(order: Order) -> tuple[str, Path]:
    """Verify, log and sign.

    Args:
        order: see :class:`Order`.

    Returns:
        Digest of the log's new line (note it elsewhere), and the store that was released.

    Raises:
        UnsoundStoreError: with the problems.
        ValueError: when the audit, the key, a text or a place is refused.
    """
    log = order.log or order.hospital / LOG
    people = {"approver": order.approver, "to": order.recipient, "without-audit": order.without_audit}
    for name, text in people.items():
        _check_text(name, text)
    refuse_inside_store(log)
    key = load_private_key(order.key_file)
    problems: list[Problem] = verify_store(order.store)
    if not problems:
        problems, _ = verify_hospital(order.store, order.hospital, order.secret_file)
    _refuse(problems)
    audited = manifest_sha256(order.store)
    audit = _audit(order, audited)
    read_log(log)  # a broken log refuses before anything is written
    store = _decided(order)
    signature = key.sign((store / MANIFEST).read_bytes())
    place = store / SIGNATURE
    if place.is_file() and place.read_bytes() != signature:
        raise ValueError(f"The store is signed with another key: use that one, or delete {SIGNATURE} to sign anew.")
    entry = release_entry(store, order.hospital, log, order.secret_file)
    entry |= {"audit": audit, "key": fingerprint(key.public_key())}
    if (decision := decision_of(store)) is not None:
        entry |= {KEY: decision, "audited_store": audited}
    digest = write_archive(store, order.archive, signature) if order.archive else None
    head = append(log, entry | {"approver": order.approver, "to": order.recipient, "archive": digest})
    _place(store, signature)
    return head, store


def _decided(order: Order) -> Path:
    """The store to release: the one that was given, or that written anew with the approver's decision."""
    if order.identity_removed is None:
        if decision_of(order.store) == DECISIONS[1]:
            raise ValueError(
                "The store says PatientIdentityRemoved YES: release the audited one, with --identity-removed and this."
            )
        return order.store
    if order.without_audit is not None:
        raise ValueError("--identity-removed needs an audit: it cannot be decided with --without-audit.")
    shown = partial(tqdm, desc="Writing anew", unit="file", mininterval=1.0)
    store = declare_identity_removed(order.store, order.identity_removed, shown)
    _refuse(verify_store(store))
    return store


def _refuse(problems: list[Problem]) -> None:
    if problems:
        raise UnsoundStoreError(f"The store is not released:\n{listing(problems)}")


def _check_text(name: str, text: str | None) -> None:
    if text is not None and not (0 < len(text.strip()) <= MAX_TEXT and text.isprintable()):
        raise ValueError(f"--{name} {text[:40]!r}: give one line of 1 to {MAX_TEXT} characters.")


def _audit(order: Order, digest: str) -> dict[str, Any]:
    if order.without_audit is not None:
        return {"without": order.without_audit}
    return check_audit(order.hospital / AUDIT, digest)


def _place(store: Path, signature: bytes) -> None:
    """Put the signature into the store, with the time that all its files have."""
    time = (store / MANIFEST).stat().st_mtime_ns
    if not (store / SIGNATURE).is_file():
        write_atomic(store / SIGNATURE, signature, SHARED)
    for path in (store / SIGNATURE, store):
        os.utime(path, ns=(time, time))


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line of :func:`release`; 0 on success, 1 for problems of the store, 2 for anything else refused."""
    parser = argparse.ArgumentParser(
        prog="python -m fesf.scripts.release",
        description="Verify a store, log its release and sign its manifest. In the hospital.",
    )
    parser.add_argument("store", type=Path, metavar="STORE", help="folder of the store")
    parser.add_argument("--hospital", type=Path, required=True, metavar="DIR", help="hospital folder of its release")
    parser.add_argument("--approver", required=True, metavar="NAME", help="who decides; is logged")
    parser.add_argument("--to", required=True, metavar="RECIPIENT", help="who gets it; is logged")
    parser.add_argument("--key-file", type=Path, required=True, metavar="KEY", help="from fesf.scripts.make_key, 0600")
    parser.add_argument("--without-audit", metavar="REASON", help=f"release without {AUDIT}; the reason is logged")
    parser.add_argument("--archive", type=Path, metavar="TAR", help="also write the store as a tar file")
    parser.add_argument("--log", type=Path, metavar="FILE", help=f"the release log (default: DIR/{LOG})")
    parser.add_argument("--secret-file", type=Path, metavar="FILE", help="also check the commitment to the recipe")
    parser.add_argument(
        "--identity-removed", type=Path, metavar="NEW_STORE",
        help="the approver decides, after the audit, that DICOM's PatientIdentityRemoved is YES: writes the store anew",
    )  # fmt: skip
    given = parser.parse_args(arguments)
    order = Order(
        given.store, given.hospital, given.approver, given.to, given.key_file, given.without_audit, given.archive,
        given.log, given.secret_file, given.identity_removed,
    )  # fmt: skip
    try:
        head, store = release(order)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1 if isinstance(error, UnsoundStoreError) else 2
    print(f"Released store {manifest_sha256(store)[:12]} to {order.recipient}; signed in {SIGNATURE}.")
    print(f"Head of the release log: {head} (note it outside the hospital folder: it shows if the log is cut)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
