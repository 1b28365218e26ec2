"""What may leave: files that the outbox's manifest lists, checked again just before they are sent. It fails closed."""

from __future__ import annotations

import hmac
import json
import os
from hashlib import sha256
from pathlib import Path

from fesf.scripts.data.dicom_elements import dicom_fault
from fesf.scripts.data.files import make_private_folder, write_atomic
from fesf.scripts.data.keys import commitment
from fesf.scripts.data.phase import PhaseCheck
from fesf.scripts.data.recipe import Recipe

SUFFIX = ".dcm"


class OutboxError(Exception):
    """A file must not be sent.

    Attributes:
        reason: "unlisted", "entry", "missing", "digest", "phase" or "elements".
    """

    def __init__(self, reason: str) -> None:
        super().__init__(f"A file of the outbox is not sent: {reason}.")
        self.reason = reason


class Outbox:
    """A folder of surrogates and the entries of its manifest, which the state keeps.

    An entry says a surrogate's digest, size and phase check, under a MAC: who can write to the folder and to the
    state, but has no secret, cannot make one.

    Args:
        folder: made with mode 0700.
        key: for the MAC.
        recipe: says what the files must be.
    """

    def __init__(self, folder: Path, key: bytes, recipe: Recipe) -> None:
        self.folder, self._key, self.recipe = make_private_folder(folder), key, recipe

    def put(self, identity: str, content: bytes, check: PhaseCheck) -> str:
        """Write a surrogate, on the disk when this returns; the result is its entry for the state.

        Raises:
            OutboxError: when its phase check failed.
        """
        if not check.passed:
            raise OutboxError("phase")
        write_atomic(self._path(identity), content)
        entry = json.dumps(
            {
                "identity": identity,
                "sha256": sha256(content).hexdigest(),
                "size": len(content),
                "coherence": check.coherence,
                "excess": check.excess,
                "shift_change": check.shift_change,
            },
            sort_keys=True,
        )
        return f"{commitment(self._key, entry.encode())} {entry}"

    def checked(self, identity: str, entry: str) -> bytes:
        """Bytes of a surrogate that may be sent: these very bytes, read once.

        Args:
            identity: its keyed id.
            entry: of the state.

        Raises:
            OutboxError: when anything is not as it was made.
        """
        mac, _, text = entry.partition(" ")
        if not entry:
            raise OutboxError("unlisted")
        if not hmac.compare_digest(mac, commitment(self._key, text.encode())):
            raise OutboxError("entry")
        listed = json.loads(text)
        if listed["identity"] != identity:
            raise OutboxError("entry")
        content = self._read(identity, listed["size"])
        if len(content) != listed["size"] or sha256(content).hexdigest() != listed["sha256"]:
            raise OutboxError("digest")
        if not PhaseCheck(listed["coherence"], listed["excess"], listed["shift_change"]).passed:
            raise OutboxError("phase")
        encoding = self.recipe.encoding
        removed = encoding["patient_identity_removed"]
        if dicom_fault(content, self.recipe.spatial_size, encoding["bits"], identity, removed) is not None:
            raise OutboxError("elements")
        return content

    def _read(self, identity: str, size: int) -> bytes:
        try:
            descriptor = os.open(self._path(identity), os.O_RDONLY | os.O_NOFOLLOW)
        except OSError:
            raise OutboxError("missing") from None
        with os.fdopen(descriptor, "rb") as file:
            return file.read(size + 1)

    def remove(self, identity: str) -> None:
        """Delete a surrogate's file; fine when it is gone."""
        self._path(identity).unlink(missing_ok=True)

    def _path(self, identity: str) -> Path:
        return self.folder / (identity + SUFFIX)
