"""Requests to a server of ours on the loopback, each kept with its answer and its time."""

from __future__ import annotations

import json
import re
import time
import urllib.error
import urllib.request
import uuid
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote_plus, urlencode

LONGEST = 600
"""Characters of an answer that a record shows."""
PATIENCE = 120.0
TIME = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d")


@dataclass(frozen=True)
class Answer:
    """What came back.

    Args:
        status: of HTTP.
        body: its bytes.
    """

    status: int
    body: bytes

    @property
    def json(self) -> Any:
        """The body as a document; None where it is none."""
        try:
            return json.loads(self.body)
        except ValueError:
            return None

    @property
    def detail(self) -> str:
        """The sentence of a refusal; "" where there is none."""
        found = self.json
        return str(found.get("detail", "")) if isinstance(found, dict) else ""


@dataclass
class Client:
    """Sends requests.

    Args:
        address: of the server, without a slash at its end.
        hidden: text that a record never shows, such as a folder of this machine; ``WORK`` stands for it.
        sent: records of all requests so far.
    """

    address: str
    hidden: str
    sent: list[dict[str, Any]] = field(default_factory=list)

    def __call__(self, method: str, path: str, *, keep: bool = True, json_body: Any = None,
                 file: tuple[str, str, bytes] | None = None, form: dict[str, str] | None = None,
                 **query: str) -> Answer:  # fmt: skip
        """Send one request and wait for its answer, whatever its status.

        Args:
            method: of HTTP.
            path: begins with a slash.
            keep: whether it goes to the record.
            json_body: a document to send.
            file: name of the form's part, name of the file, content.
            form: further fields beside the file.
            query: parameters of the address.
        """
        headers, body = {}, None
        if json_body is not None:
            headers, body = {"Content-Type": "application/json"}, json.dumps(json_body).encode()
        elif file is not None or form is not None:
            headers["Content-Type"], body = multipart(file, form or {})
        place = path + (f"?{urlencode(query)}" if query else "")
        request = urllib.request.Request(self.address + place, body, headers, method=method)
        start = time.monotonic()
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE) as response:
                answer = Answer(response.status, response.read())
        except urllib.error.HTTPError as error:
            answer = Answer(error.code, error.read())
        if keep:
            self._record(method, place, json_body, file, answer, time.monotonic() - start)
        return answer

    def _record(self, method: str, place: str, document: Any, file: Any, answer: Answer, seconds: float) -> None:
        text = answer.body.decode("utf-8", "replace") if answer.json is not None else f"{len(answer.body)} bytes"
        record: dict[str, Any] = {
            "request": self.shown(f"{method} {place}"),
            "status": answer.status,
            "answer": self.shown(text),
        }
        record |= {"seconds": round(seconds, 3)}
        record |= {"json": document} if document is not None else {}
        record |= {"file": f"{file[0]}: {len(file[2])} bytes"} if file is not None else {}
        self.sent.append(record)

    def shown(self, text: str) -> str:
        """A text without the hidden folder and without times of day, cut to a readable length."""
        for form in (self.hidden, quote_plus(self.hidden)):
            text = text.replace(form, "WORK")
        text = TIME.sub("TIME", text)
        return text if len(text) <= LONGEST else f"{text[:LONGEST]}... ({len(text)} characters)"


def multipart(file: tuple[str, str, bytes] | None, fields: dict[str, str]) -> tuple[str, bytes]:
    """A form with fields and a file (RFC 7578).

    Returns:
        Content type and body.
    """
    limit = uuid.uuid4().hex
    parts = [(f'name="{name}"', value.encode()) for name, value in fields.items()]
    if file is not None:
        parts.append((f'name="{file[0]}"; filename="{file[1]}"', file[2]))
    body = b"".join(
        f"--{limit}\r\nContent-Disposition: form-data; {head}\r\n\r\n".encode() + content + b"\r\n"
        for head, content in parts
    )
    return f"multipart/form-data; boundary={limit}", body + f"--{limit}--\r\n".encode()
