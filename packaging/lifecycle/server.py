"""The servers that the NAS syncs with: those of the tests, on the loopback address."""

import os
import socket
import subprocess
from pathlib import Path

from nas import MEMORY, ROOT, eventually

USER, PASSWORD = "tester", "testing"


class Server:
    """One of those that `tests/peers/start` knows; it ends with the processes that run apart."""

    def __init__(self, name: str, port: int):
        folder = MEMORY / name
        # What people see who work with its files directly.
        self.files = folder / "files"
        self.files.mkdir(parents=True)
        with (folder / "log").open("wb") as log:
            command = [ROOT / "tests/peers/start", name, folder, str(port), USER, PASSWORD]
            subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        eventually(f"{name} serves", lambda: answers(port))
        self.url = f"http://127.0.0.1:{port}"

    def put(self, path: str, content: bytes):
        """Writes a file as if by another client: it is whole as soon as it is there."""
        whole = self.files / path
        whole.parent.mkdir(exist_ok=True)
        part = Path(f"{self.files.parent}/part")
        part.write_bytes(content)
        os.rename(part, whole)


def answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
