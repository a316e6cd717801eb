"""A NAS of any CPU: a root folder with busybox, its users, one volume, and what runs on it."""

import os
import resource
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import apart

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path.insert(0, str(HERE.parent))
import debian  # noqa: E402: it is beside the folder of this file

TOOLS = ROOT / "target" / "lifecycle"
PROGRAMS = TOOLS / "debian/usr/bin"
# In memory, seen by nobody else, and gone with the process.
MEMORY = TOOLS / "memory"

# The package's user; without root's help there is only one.
USER = 1026 if apart.USERS > 1 else 0
# Seconds that something may take on a machine with much else to do; a NAS is done at once.
PATIENCE = 180


@dataclass
class Cpu:
    """A CPU, as an ELF file, Debian and qemu call it."""

    machine: int
    bits: int
    debian: str
    qemu: str | None = None
    # The least that the boxes have.
    model: str = ""
    # Bytes of the largest pages that some boxes have, as far as qemu can have them.
    pages: int = 4096


# What isn't emulated runs on this machine, where strace can look on.
CPUS = {
    "x86_64": Cpu(62, 64, "amd64"),
    "aarch64": Cpu(183, 64, "arm64", "aarch64", "cortex-a53", 65536),
    # No NEON, and 16 registers of floating point. With pages of 64 KiB, qemu has no room for what it adds at the end.
    "armv7": Cpu(40, 32, "armhf", "arm", "cortex-a9,neon=off", 32768),
    # By the kernel of an x86_64: to qemu, all threads of an i386 have the memory of the last one after a signal.
    "i686": Cpu(3, 32, "i386"),
}


def cpu_of(program: bytes) -> str:
    """The CPU that a program is for."""
    machine = int.from_bytes(program[18:20], "little")
    return next(name for name, cpu in CPUS.items() if cpu.machine == machine)


def install():
    """Fetches what emulates the CPUs, and a busybox for each."""
    if not (ROOT / "target/peers/installed").exists():
        raise debian.Missing("needs the servers of the tests: run tests/run --install first")
    installed = TOOLS / "installed"
    if installed.exists():
        return
    print(f"Fetching the userlands below {TOOLS}", flush=True)
    shutil.rmtree(TOOLS, ignore_errors=True)
    debian.unpack(TOOLS / "debian", ["qemu-user-static", "strace"])
    for cpu in CPUS.values():
        debian.unpack_foreign(TOOLS / cpu.debian, cpu.debian, ["busybox-static"])
    installed.touch()


class Failed(Exception):
    """Something isn't as it has to be."""


def expect(condition, what: str):
    if not condition:
        raise Failed(what)


def eventually(what: str, holds, patience=PATIENCE):
    """Waits until something holds, and answers it."""
    end = time.monotonic() + patience
    while not (answer := holds()):
        expect(time.monotonic() < end, f"waited in vain: {what}")
        time.sleep(0.05)
    return answer


@dataclass
class Ended:
    """How a program ended."""

    code: int
    output: str
    # What it told a person.
    said: str
    # Seconds of the processor, and by the clock.
    work: float
    took: float


class Nas:
    """Made anew in memory; to be used in a process that runs apart."""

    def __init__(self, cpu: str):
        self.cpu = CPUS[cpu]
        MEMORY.mkdir(exist_ok=True)
        mount("-t", "tmpfs", "-o", "mode=755", "tmpfs", MEMORY)
        self.root = MEMORY / "nas"
        for folder in ["bin", "dev", "etc", "proc", "run", "usr/bin", "usr/local/bin", "var/packages", "volume1"]:
            self.at(folder).mkdir(parents=True)
        for folder in ["tmp", "var/tmp"]:
            self.at(folder).mkdir()
            self.at(folder).chmod(0o1777)
        mount("-t", "proc", "proc", self.at("proc"))
        for device in ["null", "zero", "random", "urandom"]:
            self.at(f"dev/{device}").touch()
            mount("--bind", f"/dev/{device}", self.at(f"dev/{device}"))
        self.emulate()
        shutil.copy2(TOOLS / self.cpu.debian / "bin/busybox", self.at("bin"))
        expect(self.run(["/bin/busybox", "--install", "-s", "/bin"]).code == 0, "busybox doesn't run")
        self.at("etc/passwd").write_text("root:x:0:0::/root:/bin/sh\n")
        self.at("etc/group").write_text("root:x:0:\n")

    def at(self, path) -> Path:
        """Where this path of the NAS is, following no link."""
        return self.root / str(path).lstrip("/")

    def emulate(self):
        """Has the kernel run programs of the CPU, for this user namespace only."""
        if self.cpu.qemu is None:
            return
        binfmt = Path("/proc/sys/fs/binfmt_misc")
        mount("-t", "binfmt_misc", "binfmt_misc", binfmt)
        # Static programs of this CPU, little-endian, of Linux or of no system in particular.
        magic = b"\x7fELF" + bytes([self.cpu.bits // 32, 1, 1]) + bytes(9) + bytes([2, 0, self.cpu.machine, 0])
        mask = b"\xff" * 7 + b"\0" + b"\xff" * 12
        escaped = ["".join(f"\\x{byte:02x}" for byte in each) for each in (magic, mask)]
        # O, P, F: qemu gets the program open, with the name it was called by, and needn't be in the root folder itself.
        rule = [f":{self.cpu.debian}:M:", *escaped, f"{PROGRAMS}/qemu-{self.cpu.qemu}-static", "OPF"]
        (binfmt / "register").write_text(":".join(rule))

    def add_user(self, name: str, group: str, home: str):
        with self.at("etc/passwd").open("a") as users, self.at("etc/group").open("a") as groups:
            users.write(f"{name}:x:{USER}:{USER}::{home}:/sbin/nologin\n")
            groups.write(f"{group}:x:{USER}:\n")

    def share(self, name: str) -> Path:
        """Makes a shared folder that the package may write."""
        folder = self.at(f"volume1/{name}")
        folder.mkdir()
        os.chown(folder, USER, USER)
        return folder

    def start(self, command: list[str], env=None, user=0, through=(), **options) -> subprocess.Popen:
        """Starts a program of the NAS, by this program of the machine."""
        env = {"PATH": "/sbin:/bin:/usr/sbin:/usr/bin"} | (env or {})
        if self.cpu.qemu:
            env["QEMU_CPU"] = self.cpu.model
        become = [f"--userspec={user}:{user}", "--groups="] if user else []
        return subprocess.Popen([*through, "chroot", *become, str(self.root), *command], env=env, **options)

    def run(self, command: list[str], env=None, user=0, through=(), input="", patience=PATIENCE) -> Ended:
        """Runs a program of the NAS, until everything that it started has let go of its output."""
        begun, work = time.monotonic(), work_of_children()
        pipe = subprocess.PIPE
        child = self.start(command, env, user, through, stdin=pipe, stdout=pipe, stderr=pipe, text=True)
        try:
            output, said = child.communicate(input, timeout=patience)
        except subprocess.TimeoutExpired:
            child.kill()
            raise Failed(f"{' '.join(command)} doesn't end, or leaves its output to what goes on") from None
        return Ended(child.returncode, output, said, work_of_children() - work, time.monotonic() - begun)

    def processes(self, words=()) -> list[int]:
        """Everything that runs on the NAS and has these words in its command line."""
        found = []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                inside = Path(os.readlink(f"/proc/{pid}/root")) == self.root
                line = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
            except OSError:
                continue
            if inside and all(word in line for word in words):
                found.append(int(pid))
        return found

    def tree(self) -> set[str]:
        """Every file and folder."""
        found = set()
        for folder, folders, files in os.walk(self.root):
            folders[:] = [name for name in folders if Path(folder, name) not in (self.at("proc"), self.at("dev"))]
            found |= {f"{folder}/{name}".removeprefix(str(self.root)) for name in folders + files}
        return found


def mount(*words):
    done = subprocess.run(["mount", *map(str, words)])
    # Since then, each user namespace has rules of its own for programs of other CPUs.
    expect(done.returncode == 0, "what is mounted here needs Linux 6.7 or newer")


def strace(calls: str, trace: Path) -> list:
    """What a program of this machine is run by, to find these of its system calls in a file."""
    libraries = ":".join(map(str, (TOOLS / "debian").glob("usr/lib/*-linux-gnu")))
    return ["env", f"LD_LIBRARY_PATH={libraries}", PROGRAMS / "strace", "-f", "-qq", "-e", calls, "-o", trace]


def work_of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
