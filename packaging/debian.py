"""Debian's packages, unpacked without being installed: no root needed, nothing on the machine changed."""

import shutil
import subprocess
from pathlib import Path


class Missing(Exception):
    """Something isn't there; tells what, and what to do."""


def unpack(folder: Path, packages: list[str]):
    """Unpacks these packages, and those they need that this machine lacks."""
    flags = ["--yes", "--download-only", "--reinstall", "--no-install-recommends"]
    _fetch(folder, [], ["install", *flags, *packages])


def unpack_foreign(folder: Path, architecture: str, packages: list[str]):
    """Unpacks these packages of another architecture (in Debian's words: armhf), alone."""
    options = [f"APT::Architecture={architecture}", f"APT::Architectures={architecture}"]
    _fetch(folder, options, ["download", *packages])


def _fetch(folder: Path, options: list[str], command: list[str]):
    for tool in ["apt-get", "dpkg-deb"]:
        if not shutil.which(tool):
            raise Missing(f"needs {tool}: run this on Debian 12 or later, whose packages it takes")
    apt = folder.resolve() / ".apt"
    archives = apt / "archives"
    for part in [apt / "lists" / "partial", archives / "partial"]:
        part.mkdir(parents=True, exist_ok=True)
    # Lists of our own, as only root may refresh the machine's.
    own = [f"Dir::State::Lists={apt}/lists", f"Dir::Cache={apt}", "Debug::NoLocking=true", "APT::Sandbox::User="]
    get = ["apt-get", "-qq", *(f"-o{option}" for option in own + options)]
    # A list that can't be had may be none that is needed here: what is fetched from the others tells.
    subprocess.run([*get, "update"], stdout=2)
    _run([*get, *command], archives)
    for package in sorted(archives.glob("*.deb")):
        _run(["dpkg-deb", "--extract", str(package), str(folder)], archives)
    shutil.rmtree(apt)


def _run(command: list[str], folder: Path):
    # What the machine's own apt prints is for people, as all but the last line of a tool is.
    if subprocess.run(command, cwd=folder, stdout=2).returncode != 0:
        raise Missing(f"{command[0]} failed (above is why): the sources in /etc/apt have to be those of Debian 12 or later")
