"""torchvision beside a build of torch that its own library does not fit, as the usual wheel beside a CPU build.

MONAI Label imports torchvision for pictures alone, yet without its library the import ends in "operator
torchvision::nms does not exist". With the two operators declared, though never used, it imports. ``python -m
fesf.scripts.label.torchvision_schemas`` tries the import and, where it fails, has every later Python of the
environment declare them.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from pathlib import Path
from types import ModuleType

SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)
HOOK = "fesf_torchvision.pth"
_kept: list[object] = []  # a torch Library lives as long as its object


class _Declare(MetaPathFinder):
    """Declares the operators when torchvision is imported, then steps aside."""

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> None:
        if name != "torchvision":
            return
        sys.meta_path.remove(self)
        from torch.library import Library

        library = Library("torchvision", "DEF")
        for schema in SCHEMAS:
            library.define(schema)
        _kept.append(library)


def install() -> None:
    """Declare the operators as soon as torchvision is imported in this process."""
    sys.meta_path.insert(0, _Declare())


def _imports() -> bool:
    done = subprocess.run([sys.executable, "-c", "import torchvision"], capture_output=True, check=False)
    return done.returncode == 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Repair the environment where it needs that; 0 when torchvision imports, 1 when it still does not."""
    argparse.ArgumentParser(
        prog="python -m fesf.scripts.label.torchvision_schemas",
        description="Have torchvision import beside a build of torch that its own library does not fit.",
    ).parse_args(arguments)
    if not _imports():
        hook = f"import {__spec__.name} as _fesf; _fesf.install()\n"
        (Path(sysconfig.get_path("purelib")) / HOOK).write_text(hook, encoding="utf-8")
        print(f"torchvision did not import: {HOOK} declares its operators from now on.")
    return 0 if _imports() else 1


if __name__ == "__main__":
    sys.exit(main())
