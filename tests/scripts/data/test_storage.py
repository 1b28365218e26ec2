"""What the operating system says becomes one line that says what to do, without a path."""

from __future__ import annotations

import errno

import pytest

from fesf.scripts.data.storage import StorageError, plain_storage_errors


@pytest.mark.parametrize(
    ("number", "message"),
    [
        (errno.ENOSPC, r"the disk is full or a limit is reached \(No space left on device\)\. Free space on the disk"),
        (errno.EDQUOT, r"the disk is full or a limit is reached \("),
        (errno.EFBIG, r"the disk is full or a limit is reached \(File too large\)"),
        (errno.EROFS, r"the place is read-only for this user \(Read-only file system\)\. Choose another store_dir"),
        (errno.EACCES, r"the place is read-only for this user \(Permission denied\)"),
        (errno.EIO, r"Input/output error\. Check the disk of store_dir and hospital_dir"),
    ],
)
def test_errors_of_the_disk(number: int, message: str) -> None:
    expected = rf"^Writing failed: {message}.* All is kept\.$"
    with pytest.raises(StorageError, match=expected) as caught, plain_storage_errors(lambda: "All is kept."):
        raise OSError(number, "whatever", "/data/Schmidt.png")
    assert "Schmidt" not in str(caught.value)


def test_other_errors_pass() -> None:
    with pytest.raises(KeyError), plain_storage_errors(lambda: ""):
        raise KeyError
    with pytest.raises(StorageError, match=r"Writing failed: OSError\. Check"), plain_storage_errors(lambda: ""):
        raise OSError
