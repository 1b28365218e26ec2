"""Requests as a server sees them, answers as they came, and records that show no folder of this machine."""

from __future__ import annotations

import email.policy
import json
import threading
from collections.abc import Iterator
from email.parser import BytesParser
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from fesf.scripts.label.client import LONGEST, Client, multipart


class Mirror(BaseHTTPRequestHandler):
    """Answers with the status of the path, and with what was sent."""

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        status = int(self.path.split("/")[1][:3])
        sent = {"detail": "no", "method": self.command, "path": self.path, "body": body.decode("latin-1"),
                "type": self.headers.get("Content-Type"), "at": "2026-01-02 03:04:05"}  # fmt: skip
        content = b"\x89PNG" if "picture" in self.path else json.dumps(sent).encode()
        self.send_response(status)
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_PUT = answer  # noqa: N815

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def client() -> Iterator[Client]:
    with HTTPServer(("127.0.0.1", 0), Mirror) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield Client(f"http://127.0.0.1:{server.server_port}", "/somewhere/check")
        server.shutdown()
        thread.join()


def test_a_document_goes_out_and_comes_back(client: Client) -> None:
    answer = client("POST", "/200/x", json_body={"epochs": 2}, image="a b")
    assert (answer.status, answer.json["path"], answer.json["method"]) == (200, "/200/x?image=a+b", "POST")
    assert json.loads(answer.json["body"]) == {"epochs": 2}
    assert answer.json["type"] == "application/json"


def test_a_refusal_is_an_answer(client: Client) -> None:
    answer = client("GET", "/403/x")
    assert (answer.status, answer.detail) == (403, "no")


def test_what_is_no_document_is_counted(client: Client) -> None:
    answer = client("GET", "/200/picture")
    assert (answer.body, answer.json, answer.detail) == (b"\x89PNG", None, "")
    assert client.sent[0]["answer"] == "4 bytes"


def test_a_form_is_read_by_another_reader() -> None:
    kind, body = multipart(("file", "a.png", b"\x89\r\n--x\x00"), {"params": '{"a": 1}'})
    message = BytesParser(policy=email.policy.HTTP).parsebytes(f"Content-Type: {kind}\r\n\r\n".encode() + body)
    field, file = message.iter_parts()
    assert field.get_param("name", header="content-disposition") == "params"
    assert field.get_payload(decode=True) == b'{"a": 1}'
    assert (file.get_filename(), file.get_payload(decode=True)) == ("a.png", b"\x89\r\n--x\x00")


def test_records_hide_folders_and_times_and_are_short(client: Client) -> None:
    client("PUT", "/200/x", file=("label", "Anna.json", b"12345"), image="/somewhere/check/a.png")
    client("POST", "/200/x", json_body={"text": "y" * 1000})
    client("GET", "/200/x", keep=False)
    first, second = client.sent
    assert first["request"] == "PUT /200/x?image=WORK%2Fa.png"
    assert first["file"] == "label: 5 bytes"
    assert "TIME" in first["answer"]
    assert second["json"] == {"text": "y" * 1000}
    assert len(second["answer"]) < LONGEST + 30
    assert "somewhere" not in json.dumps(client.sent)
    assert all(record["status"] == 200 and record["seconds"] >= 0 for record in client.sent)
