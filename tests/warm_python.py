"""A ``python`` that starts at once: a server that has imported the slow libraries forks for each command.

The how-tos hold dozens of commands, each of which would import torch and MONAI anew. ``make_python`` writes a
``python`` for the PATH; commands run in processes of their own, with their own arguments, folder, environment, streams.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import json
import os
import runpy
import socket
import stat
import subprocess
import sys
import time
import traceback
from collections.abc import Iterator
from pathlib import Path

SLOW = (
    *(
        "torch",
        "torch.utils.tensorboard",
        "ignite.engine",
        "ignite.handlers",
        "nibabel",
        "pydicom",
        "matplotlib.pyplot",
    ),
    *("monai.bundle", "monai.engines", "monai.handlers", "monai.networks.nets", "monai.transforms", "skimage.metrics"),
    *("sklearn.metrics", "sklearn.linear_model", "scipy.ndimage", "scipy.stats"),
)
CLIENT = """#!{python} -IS
import json, os, signal, socket, sys
link = socket.socket(socket.AF_UNIX)
link.connect({address!r})
socket.send_fds(link, [b"."], [0, 1, 2])
link.sendall(json.dumps([sys.argv[1:], os.getcwd(), dict(os.environ)]).encode())
link.shutdown(socket.SHUT_WR)
answers = link.makefile()
child = int(answers.readline() or 0)  # who waits for this process may end the command by it
signal.signal(signal.SIGTERM, lambda *_: os.kill(child, signal.SIGTERM))
sys.exit(int(answers.readline() or 99))
"""


@contextlib.contextmanager
def make_python(folder: Path) -> Iterator[Path]:
    """Start a server and write ``folder/python``; both end with the context.

    Args:
        folder: an empty folder with a short path.

    Yields:
        The folder, for the PATH.
    """
    address = folder / "socket"
    with open(folder / "server.log", "wb") as log:
        server = subprocess.Popen([sys.executable, __file__, address], stdout=log, stderr=log)
    try:
        for _ in range(1200):
            if address.exists() or server.poll() is not None:
                break
            time.sleep(0.1)
        assert address.exists(), (folder / "server.log").read_text()
        client = folder / "python"
        client.write_text(CLIENT.format(python=sys.executable, address=str(address)))
        client.chmod(client.stat().st_mode | stat.S_IXUSR)
        yield folder
    finally:
        server.terminate()
        server.wait()


def serve(address: str) -> None:
    """Fork for each command that comes."""
    for name in SLOW:
        importlib.import_module(name)
    gc.freeze()  # else each process copies what it looks through
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(f"{address}.new")
    listener.listen()
    os.rename(f"{address}.new", address)
    while True:
        link, _ = listener.accept()
        if os.fork() == 0:
            listener.close()
            _supervise(link)
        link.close()
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass


def _supervise(link: socket.socket) -> None:
    """Fork once more, to be there when the command ends, and tell its status."""
    _, streams, _, _ = socket.recv_fds(link, 1, 3)
    request = b""
    while part := link.recv(1 << 16):
        request += part
    child = os.fork()
    if child:
        link.sendall(f"{child}\n".encode())
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        link.sendall(f"{status if status >= 0 else 128 - status}\n".encode())
        os._exit(0)
    link.close()
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    arguments, folder, environment = json.loads(request)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    try:
        _run(arguments)
        status = 0
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
        status = 1
    atexit._run_exitfuncs()  # and not the interpreter's own end, which takes seconds to free what was imported
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def _run(arguments: list[str]) -> None:
    """What python does with its arguments: ``-m module``, ``-c code``, or a program on the standard input."""
    sys.path[0] = os.getcwd()
    if arguments[:1] == ["-m"]:
        sys.argv = arguments[1:]
        runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
    elif arguments[:1] == ["-c"]:
        sys.argv = ["-c", *arguments[2:]]
        exec(compile(arguments[1], "<string>", "exec"), {"__name__": "__main__"})
    elif arguments in ([], ["-"]):
        exec(compile(sys.stdin.read(), "<stdin>", "exec"), {"__name__": "__main__"})
    else:
        sys.exit(f"python {arguments[0]}: only -m, -c and - are known here")


if __name__ == "__main__":
    serve(sys.argv[1])
