"""Making the App SDK importable: what it needs from outside, before it is imported.

Where the SDK is installed ``import monai`` imports it too, and with it Holoscan, which links against
``libcudart.so.13`` even where there is no GPU. So nothing here imports MONAI, and whoever uses this must do so before
MONAI is imported. For programs that import MONAI at once, ``python -m fesf.scripts.deploy.runtime`` prints the folder
for LD_LIBRARY_PATH.
"""

from __future__ import annotations

import ctypes
import os
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

SDK = "monai-deploy-app-sdk"
LIBRARY = "libcudart.so.13"


def library(search: list[str] | None = None) -> Path | None:
    """Where the wheel ``nvidia-cuda-runtime`` put CUDA's runtime library, in which no loader looks.

    Args:
        search: folders of packages; None for those of Python.

    Returns:
        Its path; None where no wheel has it, so that the system's must do.
    """
    for folder in sys.path if search is None else search:
        for path in sorted(Path(folder).glob(f"nvidia/*/lib/{LIBRARY}")):
            return path
    return None


def prepare() -> None:
    """Load CUDA's runtime library from its wheel, so that Holoscan finds it by its name, and quieten Holoscan.

    Raises:
        ImportError: when the App SDK is not installed.
    """
    try:
        version(SDK)
    except PackageNotFoundError:
        raise ImportError(
            f"This needs {SDK}, which is not installed: make deploy makes an environment that has it (docs/deploy.md)."
        ) from None
    os.environ.setdefault("HOLOSCAN_LOG_LEVEL", "ERROR")
    path = library()
    if path is not None:
        ctypes.CDLL(str(path), mode=ctypes.RTLD_GLOBAL)


if __name__ == "__main__":
    print((library() or Path()).parent)
