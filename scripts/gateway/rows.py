"""What the gateway's state keeps: its tables, and the row of an image."""

from __future__ import annotations

from dataclasses import dataclass

OPEN = ("received", "ready", "hidden", "sending", "sent", "answered")
"""States in which something is still to come."""
TIMES = ("received", "hiding", "hidden", "sent", "answered", "stored")

SCHEMA = """
CREATE TABLE IF NOT EXISTS study (key TEXT PRIMARY KEY, first REAL NOT NULL, last REAL NOT NULL, open INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS image (
  number INTEGER PRIMARY KEY, identity TEXT NOT NULL UNIQUE, key TEXT NOT NULL, digest TEXT NOT NULL,
  revision INTEGER NOT NULL, study TEXT NOT NULL, state TEXT NOT NULL, reason TEXT NOT NULL DEFAULT '',
  origin BLOB NOT NULL, prediction BLOB, entry TEXT NOT NULL DEFAULT '',
  due REAL NOT NULL DEFAULT 0, failures INTEGER NOT NULL DEFAULT 0,
  received_at REAL, hiding_at REAL, hidden_at REAL, sent_at REAL, answered_at REAL, stored_at REAL,
  UNIQUE (key, digest));
CREATE INDEX IF NOT EXISTS image_state ON image (state, due);
CREATE TABLE IF NOT EXISTS commitment (number INTEGER PRIMARY KEY, sealed BLOB NOT NULL, due REAL NOT NULL,
  failures INTEGER NOT NULL DEFAULT 0);
CREATE TABLE IF NOT EXISTS count (name TEXT PRIMARY KEY, number INTEGER NOT NULL);
"""


@dataclass(frozen=True, slots=True)
class Image:
    """One image's row.

    Args:
        number: of the row.
        identity: keyed id of its surrogate.
        key, digest: keyed digests of its SOP instance UID and of its bytes.
        revision: 1, or more for a corrected image.
        study: keyed digest of its study's UID.
        state: see the module.
        reason: code of why it failed.
        origin: sealed :class:`fesf.scripts.gateway.origin.Origin`.
        prediction: sealed prediction object; None before the answer.
        entry: its line of the outbox's manifest.
        failures: attempts that failed in a row.
        answered_at: when the prediction came, in seconds.
    """

    number: int
    identity: str
    key: str
    digest: str
    revision: int
    study: str
    state: str
    reason: str
    origin: bytes
    prediction: bytes | None
    entry: str
    failures: int
    answered_at: float | None
