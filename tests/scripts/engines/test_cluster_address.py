"""TLS anywhere, plain TCP on the loopback alone."""

from __future__ import annotations

import pytest

from fesf.scripts.engines.cluster_address import check_scheduler, is_private

GOOD = ("tls://cluster.hospital:8786", "tls://10.0.0.7:8786", "tls://[2001:db8::7]:8786", "tcp://127.0.0.1:8786")
GOOD += ("tcp://127.8.0.9:1", "tcp://localhost:8786", "tcp://[::1]:8786", "127.0.0.1:8786", "localhost:8786")
BAD = ("tcp://cluster.hospital:8786", "tcp://10.0.0.7:8786", "10.0.0.7:8786", "cluster:8786", "tcp://0.0.0.0:8786")
BAD += ("ucx://127.0.0.1:8786", "ws://127.0.0.1:8786", "inproc://127.0.0.1/1/1", "http://localhost:1", "", "tls://")
BAD += ("tcp://127.0.0.1.example.org:8786", "tcp://localhost.example.org:1", "tcp://[::7]:8786", "tls://host:port")


@pytest.mark.parametrize("address", GOOD)
def test_private(address: str) -> None:
    assert is_private(address)
    assert check_scheduler(address) == address


@pytest.mark.parametrize("address", [*BAD, 8786])
def test_refused(address: str) -> None:
    with pytest.raises(ValueError, match=r"^scheduler=.*give tls://host:port, or tcp://127.0.0.1:port") as caught:
        check_scheduler(address)
    assert repr(address) in str(caught.value)
