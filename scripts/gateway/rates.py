"""How often one peer may: so many a span, of which the last one's share fades."""

from __future__ import annotations

import threading


class Rates:
    """Counts by peer.

    Args:
        most: in any span.
        span: in seconds.
    """

    def __init__(self, most: int, span: float) -> None:
        self.most, self.span = most, span
        self._lock = threading.Lock()
        self._seen: dict[str, tuple[int, int, int]] = {}

    def admit(self, peer: str, now: float) -> bool:
        """Whether one more is in the rate; it is counted when it is.

        The last span's count fades evenly: a peer that used it up may go on a little at a time.
        """
        number, share = divmod(now / self.span, 1.0)
        period = int(number)
        with self._lock:
            at, before, count = self._seen.get(peer, (period, 0, 0))
            if at != period:
                before, count = (count, 0) if at == period - 1 else (0, 0)
            fine = before * (1.0 - share) + count < self.most
            self._seen[peer] = (period, before, count + fine)
            if len(self._seen) > 10_000:  # addresses that no longer call
                self._seen = {name: seen for name, seen in self._seen.items() if seen[0] >= period - 1}
        return fine
