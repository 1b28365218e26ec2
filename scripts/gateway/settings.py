"""``gateway.json``: every choice of a gateway, checked before anything listens."""

from __future__ import annotations

import ipaddress
import json
import math
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any

from fesf.scripts.data.prediction import PredictionError, check_class_names, is_digest


@dataclass(frozen=True)
class Tls:
    """Files of mutual TLS, PEM: our certificate, its key, and the authorities whose certificates are taken."""

    certificate: Path
    key: Path
    ca: Path


@dataclass(frozen=True)
class Listener:
    """Where the gateway listens.

    Args:
        ae_title: its own title.
        port: 1 to 65535.
        address: of the loopback unless ``tls`` is given.
        calling: titles that may call; empty for any. Titles are no authentication.
        tls: mutual TLS; null on the loopback alone.
    """

    ae_title: str
    port: int
    address: str = "127.0.0.1"
    calling: tuple[str, ...] = ()
    tls: Tls | None = None


@dataclass(frozen=True)
class Node:
    """Whom the gateway calls; off the loopback only with ``tls``."""

    ae_title: str
    port: int
    address: str = "127.0.0.1"
    tls: Tls | None = None


@dataclass(frozen=True)
class Study:
    """When a study is complete: quiet for so many seconds after its last image, or so old after its first."""

    quiet_seconds: float = 10.0
    max_age_seconds: float = 600.0


@dataclass(frozen=True)
class Egress:
    """When surrogates are sent.

    Args:
        batch_seconds: send only at multiples of this, all that waits together; 0 for at once.
        jitter_seconds: hold each surrogate back by a random time up to this.
        first_retry_seconds, longest_retry_seconds: pause after the first failure, doubled with each up to the longest.
    """

    batch_seconds: float = 0.0
    jitter_seconds: float = 0.0
    first_retry_seconds: float = 1.0
    longest_retry_seconds: float = 300.0


@dataclass(frozen=True)
class Limits:
    """What one sender, one object and the spool may take.

    Args:
        object_bytes: of one object.
        pixels: frames x rows x columns of one image.
        sequence_depth: sequences within sequences.
        associations: open at once, of all peers.
        associations_a_peer: open at once, by address.
        objects_a_minute: taken from one address.
        spool_bytes: of all originals that wait.
        idle_seconds: without a byte on a connection.
        object_seconds: from an object's first byte to its last.
        reading_mib: memory for reading one image.
    """

    object_bytes: int = 128 * 2**20
    pixels: int = 64 * 2**20
    sequence_depth: int = 8
    associations: int = 16
    associations_a_peer: int = 4
    objects_a_minute: int = 3000
    spool_bytes: int = 20 * 2**30
    idle_seconds: float = 30.0
    object_seconds: float = 120.0
    reading_mib: int = 4096


@dataclass(frozen=True)
class Keep:
    """How long: originals (unless answered earlier), and the ledger's entries whatever became of them."""

    originals_hours: float = 24.0
    ledger_days: float = 30.0


@dataclass(frozen=True)
class Settings:
    """All of ``gateway.json``.

    Args:
        spool_dir: originals (encrypted), outbox and state; made with mode 0700.
        hospital_dir: a release's hospital folder: its ``release.json`` is the recipe.
        hosts_dir: the host pool of that release.
        class_names: the classes of the predictions that are taken, in order.
        listen: where studies arrive.
        returns: where the analyst's predictions arrive; another port.
        pacs: gets the reports.
        analyst: gets the surrogates.
        host: file name of the host, as in hide.json.
        generator_file: the release's generator; null where it has none.
        secret_file: the hospital's secret; null takes the variable FESF_SECRET.
        model_sha256: the one model whose predictions are taken; null for any.
        folder: folder that is watched for completed files; null for none.
        settle_seconds: time for which a watched file must not have changed.
        study, egress, limits, keep: see there.
    """

    spool_dir: Path
    hospital_dir: Path
    hosts_dir: Path
    class_names: tuple[str, ...]
    listen: Listener
    returns: Listener
    pacs: Node
    analyst: Node
    host: str | None = None
    generator_file: Path | None = None
    secret_file: Path | None = None
    model_sha256: str | None = None
    folder: Path | None = None
    settle_seconds: float = 2.0
    study: Study = field(default_factory=Study)
    egress: Egress = field(default_factory=Egress)
    limits: Limits = field(default_factory=Limits)
    keep: Keep = field(default_factory=Keep)


def is_loopback(address: str) -> bool:
    """Whether an address is this machine's alone; a name other than localhost is not."""
    try:
        return address == "localhost" or ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


def load_settings(path: str | Path) -> Settings:
    """Read ``gateway.json``; relative paths are relative to its folder.

    Raises:
        ValueError: naming the entry and what it may be, or that a place off the loopback has no TLS.
    """
    settings: Settings = read_entries(Settings, path)
    if (settings.listen.address, settings.listen.port) == (settings.returns.address, settings.returns.port):
        raise ValueError("returns: the analyst's listener needs a port of its own, other than listen's.")
    if len(settings.class_names) < 2:
        raise ValueError("class_names: name the two or more classes of the classifier, in its order.")
    try:
        check_class_names(settings.class_names)
    except PredictionError as error:
        raise ValueError(f"class_names: {error}") from None
    if settings.model_sha256 is not None and not is_digest(settings.model_sha256):
        raise ValueError("model_sha256: give the 64 hex digits that sha256sum prints for model.pt, or null for any.")
    if settings.keep.originals_hours > 24 * settings.keep.ledger_days:
        raise ValueError("keep.originals_hours: give at most ledger_days; no original outlives its entry.")
    if settings.folder is not None and not settings.folder.is_dir():
        raise ValueError(f"folder: there is no folder {str(settings.folder)!r}.")
    for name in ("limits.idle_seconds", "limits.object_seconds", "egress.first_retry_seconds"):
        group, entry = name.split(".")
        if getattr(getattr(settings, group), entry) <= 0:
            raise ValueError(f"{name}: give a number above 0.")
    if settings.egress.longest_retry_seconds < settings.egress.first_retry_seconds:
        raise ValueError("egress.longest_retry_seconds: give at least first_retry_seconds.")
    return settings


def read_entries(kind: Any, path: str | Path) -> Any:
    """Read a JSON file whose entries are a dataclass's fields, at the top and below.

    Args:
        kind: the dataclass; its places (:class:`Listener`, :class:`Node`) are checked.
        path: the file; relative paths in it are relative to its folder.

    Raises:
        ValueError: naming the entry and what it may be, or that a place off the loopback has no TLS.
    """
    path = Path(path)
    try:
        given = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(f"--config {str(path)!r} cannot be read as JSON ({type(error).__name__}).") from None
    found = _dataclass(kind, given, "", path.absolute().parent)
    for part in fields(found):
        value = getattr(found, part.name)
        if isinstance(value, Listener | Node):
            _check_place(part.name, value)
    return found


def _check_place(name: str, place: Listener | Node) -> None:
    if not 0 < place.port < 2**16:
        raise ValueError(f"{name}.port={place.port!r}: give 1 to 65535.")
    if not 0 < len(place.ae_title) <= 16 or not place.ae_title.isascii() or "\\" in place.ae_title:
        raise ValueError(f"{name}.ae_title={place.ae_title!r}: give 1 to 16 ASCII characters.")
    if place.tls is None and not is_loopback(place.address):
        raise ValueError(
            f"{name}.address={place.address!r} is off the loopback: give {name}.tls (certificate, key, ca), or"
            " 127.0.0.1. AE titles authenticate nobody."
        )
    if place.tls is not None:
        for part in fields(Tls):
            file = getattr(place.tls, part.name)
            if not file.is_file():
                raise ValueError(f"{name}.tls.{part.name}: there is no file {str(file)!r}.")


def _dataclass(kind: Any, given: Any, name: str, folder: Path) -> Any:
    if not isinstance(given, Mapping):
        raise ValueError(f"{name or 'The file'}: give an object of entries.")
    known = {part.name: part for part in fields(kind)}
    dot = f"{name}." if name else ""
    for entry in given:
        if entry not in known:
            raise ValueError(f"{dot}{entry}: there is no such entry; those that are: {', '.join(known)}.")
    for entry in typing.get_type_hints(kind):
        part = known[entry]
        if entry not in given and part.default is part.default_factory:  # both MISSING
            raise ValueError(f"{dot}{entry}: it is missing.")
    hints = typing.get_type_hints(kind)
    return kind(**{entry: _value(hints[entry], value, dot + entry, folder) for entry, value in given.items()})


def _value(kind: Any, given: Any, name: str, folder: Path) -> Any:
    if isinstance(kind, types.UnionType):
        if given is None:
            return None
        kind = next(part for part in typing.get_args(kind) if part is not type(None))
    if is_dataclass(kind):
        return _dataclass(kind, given, name, folder)
    if kind is Path and isinstance(given, str) and given:
        return folder / given
    if kind is str and isinstance(given, str):
        return given
    if kind is int and type(given) is int and given > 0:
        return given
    if kind is float and type(given) in (int, float) and math.isfinite(given) and given >= 0:
        return float(given)
    if typing.get_origin(kind) is tuple and isinstance(given, list) and all(isinstance(item, str) for item in given):
        return tuple(given)
    word = {Path: "a path", str: "a text", int: "a whole number above 0", float: "a number, 0 or more"}
    raise ValueError(f"{name}={given!r}: give {word.get(kind, 'a list of texts')}.")
