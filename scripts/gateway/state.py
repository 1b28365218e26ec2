"""The gateway's state: one SQLite file, each change on the disk before anything is answered or sent.

It holds no identifier: images and studies are keyed digests, what names a patient is sealed. An image goes from
"received" (its study is not complete) to "ready", "hidden", "sending", "sent", "answered" and "stored"; or it ends as
"failed" or "superseded" (a corrected image came after it).
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fesf.scripts.data.files import PRIVATE
from fesf.scripts.gateway.rows import OPEN, SCHEMA, TIMES, Image

STATE = "state.sqlite"
"""Its file's name in ``spool_dir``."""

_COLUMNS = ", ".join(Image.__slots__)


class State:
    """The file, for several threads of one process.

    Args:
        path: the file; made with mode 0600.
    """

    def __init__(self, path: Path) -> None:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, PRIVATE))
        self._lock = threading.RLock()
        self._base = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "secure_delete=ON", "busy_timeout=10000"):
            self._base.execute(f"PRAGMA {pragma}")
        self._base.executescript(SCHEMA)

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._base.close()

    @contextmanager
    def _change(self) -> Iterator[sqlite3.Connection]:
        """One transaction, on the disk when it ends."""
        with self._lock:
            self._base.execute("BEGIN IMMEDIATE")
            try:
                yield self._base
                self._base.execute("COMMIT")  # the disk may be full here, too
            except BaseException:
                if self._base.in_transaction:
                    self._base.execute("ROLLBACK")
                raise

    def _images(self, where: str, *values: Any) -> list[Image]:
        with self._lock:
            rows = self._base.execute(f"SELECT {_COLUMNS} FROM image WHERE {where}", values).fetchall()
        return [Image(*row) for row in rows]

    def find(self, key: str, digest: str) -> Image | None:
        """The image with these bytes, or None."""
        return next(iter(self._images("key = ? AND digest = ?", key, digest)), None)

    def by_identity(self, identity: str) -> Image | None:
        """The image of a surrogate, or None."""
        return next(iter(self._images("identity = ?", identity)), None)

    def open_identities(self, key: str) -> list[str]:
        """Keyed ids of an image's revisions to which something is still to come."""
        return [image.identity for image in self._images(f"key = ? AND state IN {OPEN}", key)]

    def can_be_taken_up(self, image: Image) -> bool:
        """Whether an image has failed before its answer, and no corrected one came after it."""
        later = self._images("key = ? AND revision > ?", image.key, image.revision)
        return image.state == "failed" and image.prediction is None and not later

    def add(self, identity: str, key: str, digest: str, study: str, origin: bytes, now: float) -> int:
        """Take an image; its earlier revisions that were not answered are superseded.

        Returns:
            Its revision.
        """
        with self._change() as base:
            (earlier,) = base.execute("SELECT COUNT(*) FROM image WHERE key = ?", (key,)).fetchone()
            base.execute(
                "UPDATE image SET state = 'superseded' WHERE key = ? AND state IN"
                " ('received', 'ready', 'hidden', 'sending', 'sent')",
                (key,),
            )
            base.execute(
                "INSERT INTO image (identity, key, digest, revision, study, state, origin, received_at)"
                " VALUES (?, ?, ?, ?, ?, 'received', ?, ?)",
                (identity, key, digest, earlier + 1, study, origin, now),
            )
            _open_study(base, study, now)
        return int(earlier) + 1

    def take_up(self, image: Image, now: float) -> None:
        """An image that has failed came again: it begins anew.

        Raises:
            LookupError: when its row is gone.
        """
        with self._change() as base:
            taken = base.execute(
                "UPDATE image SET state = 'received', reason = '', entry = '', due = 0, failures = 0, received_at = ?"
                " WHERE number = ? AND state = 'failed'",
                (now, image.number),
            ).rowcount
            if not taken:
                raise LookupError("The image has been forgotten.")
            _open_study(base, image.study, now)

    def open_studies(self) -> list[tuple[str, float, float]]:
        """Key, first and last arrival of each study that is not complete."""
        with self._lock:
            return self._base.execute("SELECT key, first, last FROM study WHERE open").fetchall()

    def complete(self, study: str, last: float) -> None:
        """Its images are ready, unless one more has come since ``last``."""
        with self._change() as base:
            closed = base.execute("UPDATE study SET open = 0 WHERE key = ? AND last = ?", (study, last)).rowcount
            if closed:
                base.execute("UPDATE image SET state = 'ready' WHERE study = ? AND state = 'received'", (study,))

    def due(self, states: tuple[str, ...], now: float, most: int = 200) -> list[Image]:
        """Images in one of the states whose time has come, the longest due first."""
        marks = ", ".join("?" * len(states))
        return self._images(f"state IN ({marks}) AND due <= ? ORDER BY due, number LIMIT ?", *states, now, most)

    def move(self, image: Image, states: tuple[str, ...], state: str, now: float, **values: Any) -> bool:
        """Move an image on.

        Args:
            image: the image.
            states: where it must be, else nothing happens: another thread was faster.
            state: where it goes.
            now: the time, kept where the state is one of :data:`TIMES`.
            values: further columns.

        Returns:
            Whether it moved.
        """
        values = {"state": state, "due": 0.0, "failures": 0} | values
        if state in TIMES:
            values[f"{state}_at"] = now
        assignments = ", ".join(f"{name} = ?" for name in values)
        marks = ", ".join("?" * len(states))
        with self._change() as base:
            return bool(
                base.execute(
                    f"UPDATE image SET {assignments} WHERE number = ? AND state IN ({marks})",
                    (*values.values(), image.number, *states),
                ).rowcount
            )

    def postpone(self, image: Image, due: float) -> None:
        """Try again later: one failure more."""
        with self._change() as base:
            base.execute("UPDATE image SET failures = failures + 1, due = ? WHERE number = ?", (due, image.number))

    def note(self, image: Image, column: str, now: float) -> None:
        """Keep a time of :data:`TIMES` without moving."""
        if column not in TIMES:
            raise ValueError(f"column={column!r}: choose {', '.join(TIMES)}.")
        with self._change() as base:
            base.execute(f"UPDATE image SET {column}_at = ? WHERE number = ?", (now, image.number))

    def received_before(self, time: float, states: tuple[str, ...]) -> list[Image]:
        """Images in one of the states that arrived before a time."""
        return self._images(f"received_at < ? AND state IN ({', '.join('?' * len(states))})", time, *states)

    def forget(self, time: float) -> int:
        """Delete every image that arrived before a time, and studies without images; returns how many images."""
        with self._change() as base:
            gone = base.execute("DELETE FROM image WHERE received_at < ?", (time,)).rowcount
            base.execute("DELETE FROM study WHERE key NOT IN (SELECT study FROM image)")
        return gone

    def identities(self, states: tuple[str, ...]) -> set[str]:
        """Keyed ids of the images in these states."""
        return {image.identity for image in self._images(f"state IN ({', '.join('?' * len(states))})", *states)}

    def count(self, name: str) -> None:
        """One more of something that has no row: a refused object, a refused association."""
        with self._change() as base:
            base.execute(
                "INSERT INTO count VALUES (?, 1) ON CONFLICT (name) DO UPDATE SET number = number + 1", (name,)
            )

    def add_commitment(self, sealed: bytes) -> None:
        """Keep a request for storage commitment until it is answered."""
        with self._change() as base:
            base.execute("INSERT INTO commitment (sealed, due) VALUES (?, 0)", (sealed,))

    def waiting_commitments(self) -> int:
        """How many requests are not answered."""
        with self._lock:
            (number,) = self._base.execute("SELECT COUNT(*) FROM commitment").fetchone()
        return int(number)

    def commitments(self, now: float) -> list[tuple[int, bytes, int]]:
        """Number, sealed request and failures of those that are due."""
        with self._lock:
            return self._base.execute(
                "SELECT number, sealed, failures FROM commitment WHERE due <= ?", (now,)
            ).fetchall()

    def end_commitment(self, number: int, due: float | None = None) -> None:
        """A request is answered, or is to be tried again at ``due``."""
        with self._change() as base:
            if due is None:
                base.execute("DELETE FROM commitment WHERE number = ?", (number,))
            else:
                base.execute("UPDATE commitment SET due = ?, failures = failures + 1 WHERE number = ?", (due, number))

    def report(self) -> dict[str, Any]:
        """Counts by state and reason, and the times of each finished image in seconds; nothing that names anything."""
        with self._lock:
            states = dict(self._base.execute("SELECT state, COUNT(*) FROM image GROUP BY state").fetchall())
            reasons = dict(
                self._base.execute("SELECT reason, COUNT(*) FROM image WHERE reason != '' GROUP BY reason").fetchall()
            )
            counts = dict(self._base.execute("SELECT name, number FROM count").fetchall())
            times = self._base.execute(
                f"SELECT {', '.join(f'{name}_at' for name in TIMES)} FROM image WHERE state = 'stored' ORDER BY number"
            ).fetchall()
        return {"states": states, "failed": reasons, "counts": counts,
                "times": [dict(zip(TIMES, row, strict=True)) for row in times]}  # fmt: skip


def _open_study(base: sqlite3.Connection, study: str, now: float) -> None:
    """An image of a study came."""
    base.execute(
        "INSERT INTO study VALUES (?, ?, ?, 1) ON CONFLICT (key) DO UPDATE SET"
        " first = CASE WHEN open THEN first ELSE excluded.first END, last = excluded.last, open = 1",
        (study, now, now),
    )


def read_report(spool_dir: Path) -> dict[str, Any]:
    """Counts and times of a gateway, running or not.

    Raises:
        ValueError: when there is none.
    """
    path = spool_dir / STATE
    if not path.is_file():
        raise ValueError(f"spool_dir {str(spool_dir)!r} holds no state: no gateway has run there.")
    state = State(path)
    try:
        return state.report()
    finally:
        state.close()
