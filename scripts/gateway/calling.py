"""Calling another node: C-STORE and the report of a storage commitment, over TLS where the node has some."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian
from pynetdicom import AE, build_context, build_role, evt

from fesf.scripts.gateway.meter import Meter, MeteredSocket, MeteredTlsSocket
from fesf.scripts.gateway.settings import Limits, Node
from fesf.scripts.gateway.tls import client_context

STORAGE_COMMITMENT = "1.2.840.10008.1.20.1"
COMMITMENT_INSTANCE = "1.2.840.10008.1.20.1.1"
ANSWER = 2**18
"""Most bytes of a node's answer: the analyst's node is not trusted."""


class NodeError(Exception):
    """A node cannot be reached, or broke off."""


class Association:
    """An open association with a node."""

    def __init__(self, open_: Any) -> None:
        self._open = open_

    def store(self, content: bytes) -> int:
        """C-STORE a file's data set.

        Returns:
            The node's DICOM status.

        Raises:
            NodeError: when the node broke off or gave no answer.
        """
        try:
            status = self._open.send_c_store(dcmread(io.BytesIO(content)))
        except (RuntimeError, ValueError):  # no association any more, or no context for this object
            raise NodeError("broken off") from None
        if "Status" not in status:
            raise NodeError("no answer")
        return int(status.Status)

    def report_commitment(self, dataset: Dataset, event_type: int) -> int:
        """N-EVENT-REPORT of a storage commitment; the node's DICOM status.

        Raises:
            NodeError: when the node broke off or gave no answer.
        """
        try:
            status, _ = self._open.send_n_event_report(dataset, event_type, STORAGE_COMMITMENT, COMMITMENT_INSTANCE)
        except (RuntimeError, ValueError):
            raise NodeError("broken off") from None
        if "Status" not in status:
            raise NodeError("no answer")
        return int(status.Status)


@contextmanager
def call(node: Node, ours: str, sop_classes: list[str], limits: Limits, as_scp: bool = False) -> Iterator[Association]:
    """Open an association, and release it at the end.

    Args:
        node: whom to call.
        ours: our AE title.
        sop_classes: offered, each in explicit VR little endian.
        limits: of the settings.
        as_scp: offer them in the role of their provider.

    Raises:
        NodeError: when there is none to be had.
    """
    entity = AE(ours)
    entity.acse_timeout = entity.network_timeout = entity.connection_timeout = limits.idle_seconds
    entity.dimse_timeout = limits.object_seconds
    contexts = [build_context(name, ExplicitVRLittleEndian) for name in sop_classes]
    roles: list[Any] = [build_role(name, scp_role=True) for name in sop_classes] if as_scp else []
    tls = {}
    if node.tls is not None:
        context = client_context(node.tls)
        context.sslsocket_class = MeteredTlsSocket
        tls = {"tls_args": (context, node.address)}
    opened = entity.associate(
        node.address,
        node.port,
        contexts,
        ae_title=node.ae_title,
        ext_neg=roles,
        evt_handlers=[(evt.EVT_CONN_OPEN, _meter, [limits])],
        **tls,  # type: ignore[arg-type]
    )
    if not opened.is_established or len(opened.accepted_contexts) < len(sop_classes):
        if opened.is_established:
            opened.release()
        raise NodeError("not established")
    try:
        yield Association(opened)
    finally:
        if opened.is_established:
            opened.release()


def _meter(event: Any, limits: Limits) -> None:
    """A connection that is open: pynetdicom takes its time limit away, and has none on what is answered."""
    holder = event.assoc.dul.socket
    if not isinstance(holder.socket, MeteredTlsSocket):
        plain = holder.socket
        holder.socket = MeteredSocket(plain.family, plain.type, plain.proto, plain.detach())
    holder.socket.settimeout(limits.idle_seconds)
    holder.socket.meter = Meter(ANSWER, limits.object_seconds)
