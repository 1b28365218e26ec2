"""Where a release lies: the store that leaves, the hospital's folder that stays, and the checks between them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from fesf.scripts.data.store_format import MANIFEST

RELEASE, LINKAGE, SPLITS, QUARANTINE, JOURNAL = (
    "release.json",
    "linkage.csv",
    "splits.csv",
    "quarantine.csv",
    "journal.jsonl",
)


@dataclass(frozen=True)
class ReleaseFolders:
    """The folders of a release.

    Args:
        store_dir: the store to publish; must not exist, or be the finished store of this very release.
        hospital_dir: the hospital's folder for this release, outside the store.
        inputs: the hospital's other paths (cohort, secret, earlier splits); none may lie inside the store.

    Raises:
        ValueError: when a path lies where it must not, or the store's place is taken.
    """

    store_dir: Path
    hospital_dir: Path
    inputs: tuple[Path, ...] = ()

    def __post_init__(self) -> None:
        store, hospital = (Path(os.path.realpath(path)) for path in (self.store_dir, self.hospital_dir))
        if store == hospital or store in hospital.parents:
            raise ValueError(
                f"hospital_dir {str(self.hospital_dir)!r} lies inside store_dir {str(self.store_dir)!r}: the store is "
                "handed over, the hospital's folder never; choose a folder outside it."
            )
        if hospital in store.parents:
            raise ValueError(
                f"store_dir {str(self.store_dir)!r} lies inside hospital_dir {str(self.hospital_dir)!r}: choose a"
                " place that can be handed over."
            )
        for path in self.inputs:
            if store in Path(os.path.realpath(path)).parents:
                raise ValueError(f"{str(path)!r} lies inside store_dir: nothing of the hospital's may lie there.")
        object.__setattr__(self, "store_dir", store)
        object.__setattr__(self, "hospital_dir", hospital)
        if store.exists() and not self.is_published:
            raise ValueError(f"store_dir {str(store)!r} exists and is not a published store: choose a new folder.")

    @property
    def is_published(self) -> bool:
        """Whether the store is there, manifest and all."""
        return (self.store_dir / MANIFEST).is_file()

    @property
    def partial(self) -> Path:
        """Where the store grows until it is published by one rename."""
        return self.store_dir.with_name(self.store_dir.name + ".partial")

    def hospital(self, name: str) -> Path:
        """A file of the hospital's folder."""
        return self.hospital_dir / name
