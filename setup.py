"""Maps the top-level folders to the ``fesf`` namespace; all metadata lives in pyproject.toml."""

from setuptools import find_packages, setup

PARTS = ("transforms", "networks", "scripts")
folders = [
    "bundle",
    *(folder for part in PARTS for folder in (part, *(f"{part}.{sub}" for sub in find_packages(part)))),
]
setup(
    packages=[f"fesf.{folder}" for folder in folders],
    package_dir={f"fesf.{folder}": folder.replace(".", "/") for folder in folders},
    include_package_data=False,  # else setuptools warns that fesf.bundle.configs is "absent from packages"
    package_data={
        "fesf.bundle": ["configs/**/*", "docs/**/*", "LICENSE"],
        "fesf.transforms": ["py.typed"],
        "fesf.networks": ["py.typed"],
        "fesf.scripts": ["py.typed", "templates/*", "data/*.csv"],
    },
)
