"""The command line as an installed program whose libraries are loaded already: every command is a process of its own, forked from one that
has imported everything. In a shell it is found as `consortium`; a test types thirty commands in the time that their imports would take.

`python -m tests.preloaded SOCKET` serves; the program that is on the path passes its words, folder, environment and files there.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parent.parent
_PROGRAM: Final = """#!{python} -SsE
import json, os, socket, sys
with socket.socket(socket.AF_UNIX) as server:
    server.connect({place!r})
    socket.send_fds(server, [b"."], [0, 1, 2])
    server.sendall(json.dumps([sys.argv, os.getcwd(), dict(os.environ)]).encode())
    server.shutdown(socket.SHUT_WR)
    sys.exit(server.recv(1)[0])
"""


@contextmanager
def consortium_in(folder: Path, tree: Path = ROOT) -> Iterator[Path]:
    """Puts the program `consortium`, of this tree or of a copy, into a folder that is to be on the path."""
    place = folder / "socket"
    folder.mkdir()
    environment = os.environ | {"PYTHONPATH": str(tree)}
    server = subprocess.Popen([sys.executable, "-m", __name__, str(place)], stdout=subprocess.PIPE, cwd=tree, env=environment)
    assert server.stdout is not None
    assert server.stdout.readline() == b"ready\n"
    program = folder / "consortium"
    program.write_text(_PROGRAM.format(python=sys.executable, place=str(place)), encoding="utf-8")
    program.chmod(0o755)
    try:
        yield folder
    finally:
        server.terminate()
        server.wait(20)


def serve(place: str) -> None:
    """Carries out commands one after the other, until terminated."""
    import worker  # noqa: F401  what commands import when they are given is imported before
    from cli import main

    for name in main.COMMANDS:
        main.app[name].help  # noqa: B018  loads it
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(place)
        listening.listen()
        print("ready", flush=True)
        while True:
            with listening.accept()[0] as asked:
                asked.sendall(bytes([_carried_out(asked)]))


def _carried_out(asked: socket.socket) -> int:
    """The exit code of the command that is asked for."""
    _, files, *_ = socket.recv_fds(asked, 1, 3)
    words, folder, environment = json.loads(b"".join(iter(lambda: asked.recv(65_536), b"")))
    child = os.fork()
    if not child:
        _become(words, folder, environment, files)
    for file in files:
        os.close(file)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) % 256


def _become(words: list[str], folder: str, environment: dict[str, str], files: list[int]) -> None:
    from cli import main

    for number, file in enumerate(files):
        os.dup2(file, number)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = words
    main.main()


if __name__ == "__main__":
    serve(sys.argv[1])
