"""Taking an object: checked, sealed, on the disk, and only then acknowledged."""

from __future__ import annotations

import hmac
from collections.abc import Callable
from hashlib import sha256

from fesf.scripts.data.keys import derive_key, keyed_id
from fesf.scripts.engines.sealed import Seal
from fesf.scripts.gateway.origin import Origin, body
from fesf.scripts.gateway.rates import Rates
from fesf.scripts.gateway.settings import Limits
from fesf.scripts.gateway.spool import FullError, Spool
from fesf.scripts.gateway.state import State

TAKEN = 0x0000
NO_ROOM = 0xA700
"""Out of resources: the sender may try again later."""
NOT_MATCHING = 0xA900
"""The data set is not what the request says."""
REFUSED = 0xC000
"""Cannot be understood: trying again is of no use."""

Describe = Callable[[bytes, int, int], Origin | str]


class Keys:
    """Keyed digests of what comes in: without the secret nobody can tell whether they know one.

    Args:
        secret: the hospital's secret.
        release_id: of the recipe.
    """

    def __init__(self, secret: bytes, release_id: str) -> None:
        names = ("gateway image", "gateway linkage", "gateway outbox")
        self.image, self._linkage, self.outbox = (derive_key(secret, release_id, name) for name in names)
        self.seal = Seal(secret, f"gateway {release_id}")

    def of_uid(self, uid: str) -> str:
        """Key of a study or an image in the state."""
        return hmac.new(self._linkage, uid.encode(), sha256).hexdigest()

    def of_bytes(self, content: bytes) -> str:
        """Digest of a data set in the state."""
        return hmac.new(self._linkage, sha256(content).digest(), sha256).hexdigest()

    def identity(self, sop_instance: str, digest: str) -> str:
        """Keyed id of a surrogate: the same for the same bytes of the same image, another for a corrected one."""
        return keyed_id(self.image, sop_instance, digest)


class Intake:
    """Takes originals, from several threads.

    Args:
        state, spool, keys: the gateway's.
        describe: reads a header (:meth:`fesf.scripts.gateway.reading.Reader.describe`).
        limits: of the settings.
        clock: gives the time in seconds.
    """

    def __init__(
        self, state: State, spool: Spool, keys: Keys, describe: Describe, limits: Limits, clock: Callable[[], float]
    ) -> None:
        self.state, self.spool, self.keys, self.limits = state, spool, keys, limits
        self._describe, self._clock = describe, clock
        self._rates = Rates(limits.objects_a_minute, 60.0)

    def take(self, content: bytes, peer: str, sop_class: str | None = None, sop_instance: str | None = None) -> int:
        """Take one object.

        Args:
            content: bytes of a DICOM file.
            peer: whom the rate is counted for.
            sop_class, sop_instance: what the request says; None for a file.

        Returns:
            DICOM status: :data:`TAKEN` when it is safe on the disk, or was already; else why not.
        """
        now = self._clock()
        if len(content) > self.limits.object_bytes:
            return self._refuse("too-large", REFUSED)
        if not self._rates.admit(peer, now):
            return self._refuse("rate", NO_ROOM)
        found = self._describe(content, self.limits.pixels, self.limits.sequence_depth)
        if isinstance(found, str):
            return self._refuse(found, REFUSED)
        if sop_instance is not None and (found.sop_class, found.sop_instance) != (sop_class, sop_instance):
            return self._refuse("other-uid", NOT_MATCHING)
        key, digest = self.keys.of_uid(found.sop_instance), self.keys.of_bytes(body(content) or b"")
        identity = self.keys.identity(found.sop_instance, digest)
        with self.spool.turn:
            known = self.state.find(key, digest)
            if known is not None and not self.state.can_be_taken_up(known):
                self.state.count("taken: again")
                return TAKEN
            try:
                self.spool.put(identity, content)
            except FullError:
                return self._refuse("quota", NO_ROOM)
            except OSError:
                return self._refuse("disk", NO_ROOM)
            try:
                if known is not None:
                    self.state.take_up(known, now)
                    how = "after it failed"
                else:
                    origin = self.keys.seal.close(found.to_bytes(), f"origin {identity}")
                    revision = self.state.add(identity, key, digest, self.keys.of_uid(found.study), origin, now)
                    how = "corrected" if revision > 1 else ""
            except Exception:  # no row, no file: nobody would delete it
                self.spool.remove(identity)
                raise
        if how:
            self.state.count(f"taken: {how}")
        return TAKEN

    def _refuse(self, reason: str, status: int) -> int:
        self.state.count(f"refused: {reason}")
        return status
