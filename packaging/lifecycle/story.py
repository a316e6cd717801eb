"""What happens to a package on a NAS, from its installation to the last trace of it."""

import contextlib
import itertools
import json
import os
import re
import shutil
import signal
from pathlib import Path

from dsm import Dsm, Spk
from nas import USER, Ended, Nas, eventually, expect, strace
from server import PASSWORD, Server
from server import USER as SERVER_USER

# Long enough to be stopped in its middle.
LARGE = 12 << 20
# Seconds since 1970, on a day in 2040: more than fits into 32 bits.
LATE = 2_208_988_800


class Story:
    """A NAS with DSM, servers to sync with, and a person who does this and that."""

    def __init__(self, cpu: str, dsm: int):
        self.nas = Nas(cpu)
        self.dsm = Dsm(self.nas, dsm)
        self.bare = self.nas.tree()
        self.dav = Server("rclone-dav", 8080)
        self.photos = self.nas.share("photo")

    def life(self, spk: Spk, folder: Path):
        """Everything, in one life."""
        self.dsm.install(spk.earlier(folder))
        self.runs()
        self.syncs()
        self.keeps_late_times()
        self.works_with_large_pages()
        self.is_asked()
        self.is_started_and_stopped_twice()
        self.stops_in_a_transfer()
        self.meets_wrong_pids()
        self.goes_through_a_reboot()
        if self.nas.cpu.qemu is None:
            self.is_stopped_though_it_hangs()
        self.dsm.upgrade(spk)
        expect(self.dsm.info["version"] == spk.version, "the new one isn't there")
        self.has_kept_its_state()
        if self.dsm.version == 7:
            self.is_removed_and_comes_back(spk)
        self.is_removed_for_good()
        files = {path.name for path in self.photos.iterdir()}
        expect({"folder", "there", "large"} <= files, "files of the person are gone")

    def migration(self, old: Spk, new: Spk):
        """From DSM 6 to DSM 7."""
        self.dsm.install(old)
        self.runs()
        self.syncs()
        self.dsm.stop("")
        self.dsm.update_to_7()
        self.dsm.upgrade(new)
        self.runs()
        self.has_kept_its_state()
        expect(not self.nas.at("volume1/@appstore/mooring/var").exists(), "target/var is still there")
        self.is_removed_for_good()

    # What it does in its life.

    def runs(self):
        expect(self.dsm.status() == 0, "it doesn't run")
        expect(len(self.daemons()) == 1, f"{len(self.daemons())} daemons run")
        eventually("the daemon answers", lambda: self.ask("status", code=None).get("daemon"))

    def syncs(self):
        """Both ways, with a real server."""
        add = "connection add cloud --service webdav --set poll=1 --secret password=-"
        self.say(add, PASSWORD, url=f"{self.dav.url}/", user=SERVER_USER)
        (self.dav.files / "photo").mkdir()
        self.write("folder/here", b"from here")
        self.dav.put("photo/there", b"from there")
        self.say("task add photos --connection cloud --local /volume1/photo --remote /photo")
        self.is_equal()

    def keeps_late_times(self):
        """Reads and sets the time of a file that no 32 bits hold."""
        s3 = Server("rclone-s3", 9000)
        (s3.files / "bucket").mkdir()
        local, back = self.nas.share("late"), self.nas.share("back")
        path = local / "late"
        path.write_bytes(b"late")
        os.utime(path, (LATE, LATE))
        add = "connection add times --service s3 --set bucket=bucket --set region=us-east-1 --secret secret-key=-"
        self.say(add, PASSWORD, endpoint=s3.url, access_key=SERVER_USER)
        self.say("task add late --connection times --local /volume1/late --remote / --direction upload")
        eventually("the late file is there", lambda: (s3.files / "bucket/late").exists())
        self.say("sync late")
        self.say("task remove late")
        self.say("task add back --connection times --local /volume1/back --remote / --direction download")
        self.say("sync back")
        for copy in [s3.files / "bucket/late", back / "late"]:
            expect(int(copy.stat().st_mtime) == LATE, f"{copy}: its time is {copy.stat().st_mtime}")
        self.say("task remove back")
        self.say("connection remove times")

    def works_with_large_pages(self):
        """A sync by hand, with a state of its own: the userland knows only pages of 4 KiB."""
        if self.nas.cpu.pages == 4096:
            return
        env = {"MOORING_STATE": "/tmp/pages", "QEMU_PAGESIZE": str(self.nas.cpu.pages)}
        local, there = self.nas.share("pages"), self.dav.files / "pages"
        there.mkdir()
        content = os.urandom(1 << 20)
        (local / "here").write_bytes(content)
        os.chown(local / "here", USER, USER)
        self.dav.put("pages/there", content)
        add = "connection add cloud --service webdav --secret password=-"
        self.say(add, PASSWORD, env, url=f"{self.dav.url}/", user=SERVER_USER)
        self.say("task add pages --connection cloud --local /volume1/pages --remote /pages", env=env)
        report = self.say("sync pages", env=env)
        expect((report["uploaded"], report["downloaded"]) == (1, 1), f"with large pages: {report}")
        expect(content_of(local) == content_of(there), "with large pages: the sides differ")
        shutil.rmtree(self.nas.at("tmp/pages"))

    def is_asked(self):
        """DSM asks all the time: that has to be cheap, and to wake no disk."""
        asked = self.dsm.script("status")
        expect(asked.code == 0 and asked.work < 1, f"status: {asked}")
        self.note("status", asked)
        if self.nas.cpu.qemu is not None:
            return
        trace = self.nas.at("tmp/trace")
        calls = "trace=execve,/^open,creat,/^unlink,/^rename,/^mkdir,truncate"
        self.dsm.script("status", through=strace(calls, trace))
        script = f"{self.dsm.package}/scripts/start-stop-status"
        lines = itertools.dropwhile(lambda line: f'execve("{script}"' not in line, trace.read_text().splitlines())
        touched = {path for line in lines for path in re.findall(r'"(/[^"]*)"', line.split(", [")[0])}
        trace.unlink()
        expect(script in touched, "strace saw nothing")
        # The shell, what it reads of the script, what says which process it is, and what is in memory.
        memory = ("/proc/", "/dev/", "/tmp/", "/run/")
        allowed = ("/bin/", f"{self.dsm.package}/scripts/", f"{self.state}/daemon.pid", *memory)
        wrong = [path for path in touched if not path.startswith(allowed)]
        expect(not wrong, f"status touches {wrong}")

    def is_started_and_stopped_twice(self):
        daemons = self.daemons()
        self.dsm.start()
        expect(self.daemons() == daemons, "the second start started something")
        self.stop()
        self.dsm.stop()
        self.note("start", self.dsm.start())
        self.runs()

    def stops_in_a_transfer(self):
        self.say("connection set cloud --set max-download=512")
        content = os.urandom(LARGE)
        self.dav.put("photo/large", content)
        eventually("a part of the large file is here", lambda: self.part() > LARGE // 12)
        self.note("stop in a transfer", self.stop())
        expect(not self.socket().exists(), "it was killed")
        part = self.part()
        expect(0 < part < LARGE, f"{part} bytes are kept of the part that was here")
        self.say("connection set cloud --set max-download=0 --set poll=3600")
        self.dsm.start()
        last = eventually("a cycle comes to its end", lambda: self.say("status")["tasks"][0].get("last"))
        expect((self.photos / "large").read_bytes() == content, "the large file isn't whole")
        expect(last["report"]["bytes_down"] < LARGE, "the large file was fetched from its beginning")
        self.say("connection set cloud --set poll=1")
        self.is_equal()

    def meets_wrong_pids(self):
        """Of a daemon that was killed, and of a process that is none."""
        self.kill()
        expect(self.dsm.status() != 0, "a killed daemon runs")
        self.dsm.stop()
        self.dsm.start()
        self.runs()
        self.kill()
        foreign = self.nas.start(["sleep", "1000"], user=USER)
        self.pid_file().write_text(f"{foreign.pid}\n")
        expect(self.dsm.status() != 0, "a foreign process is taken for the daemon")
        self.dsm.start()
        self.runs()
        self.kill()
        self.pid_file().write_text(f"{foreign.pid}\n")
        self.dsm.stop()
        expect(foreign.poll() is None, "a foreign process was stopped")
        foreign.kill()
        foreign.wait()
        for nonsense in ["", "\n", "-1\n", "nonsense\n", "99999999999999999999\n"]:
            self.pid_file().write_text(nonsense)
            expect(self.dsm.status() != 0, f"{nonsense!r} is taken for a process")
            self.dsm.stop()
        self.dsm.start()
        self.runs()

    def goes_through_a_reboot(self):
        """DSM tells no status then. The second time, the power fails."""
        self.dsm.stop("")
        self.nothing_runs()
        self.dsm.start("")
        self.runs()
        self.kill()
        self.dsm.start("")
        self.runs()
        self.is_equal()

    def is_stopped_though_it_hangs(self):
        [daemon] = self.daemons()
        os.kill(daemon, signal.SIGSTOP)
        self.dsm.stop()
        self.nothing_runs()
        self.dsm.start()
        self.runs()

    def has_kept_its_state(self):
        self.runs()
        expect([task["name"] for task in self.say("status")["tasks"]] == ["photos"], "the task is gone")
        self.write("after the upgrade", b"new")
        self.is_equal()
        expect(self.say("sync photos")["uploaded"] == 0, "something is sent again")

    def is_removed_and_comes_back(self, spk: Spk):
        """The person wants their data to be kept."""
        self.dsm.uninstall(wizard_delete_data="false")
        self.has_left(data=True)
        self.dsm.install(spk)
        self.has_kept_its_state()

    def is_removed_for_good(self):
        """On DSM 6, the data always goes with the package."""
        choices = {"wizard_delete_data": "true"} if self.dsm.version == 7 else {}
        self.dsm.uninstall(**choices)
        self.has_left(data=False)

    # What is looked at.

    def has_left(self, data: bool):
        """The folders that DSM keeps, with or without what is in them, and the files of the person."""
        self.nothing_runs()
        now = self.nas.tree()
        expect(self.bare <= now, f"removed, though it isn't ours: {self.bare - now}")
        parents = {f"/volume1/@app{it}" for it in ("store", "conf", "data", "home", "temp")}
        left = now - self.bare - parents - set(self.dsm.kept)
        others = tuple(f"/volume1/{share}" for share in ("photo", "late", "back", "pages"))
        known = others + tuple(f"{folder}/" for folder in self.dsm.kept if data)
        left = sorted(path for path in left if not path.startswith(known))
        expect(not left, f"left behind: {left}")

    def nothing_runs(self):
        eventually("nothing of it runs", lambda: not self.nas.processes(), patience=5)

    def is_equal(self):
        eventually("both sides are equal", lambda: content_of(self.photos) == content_of(self.dav.files / "photo"))

    def daemons(self) -> list[int]:
        return self.nas.processes([f"{self.dsm.package}/target/bin/mooring", "daemon"])

    @property
    def state(self) -> str:
        return f"{self.dsm.package}/{'var' if self.dsm.version == 7 else 'target/var'}/state"

    def socket(self) -> Path:
        return self.dsm.at(f"{self.state}/mooring.sock")

    def pid_file(self) -> Path:
        return self.dsm.at(f"{self.state}/daemon.pid")

    def part(self) -> int:
        """Bytes that are here of what is fetched."""
        return sum(len(content) for content in content_of(self.photos / ".mooring").values())

    # What is done.

    def note(self, what: str, ended: Ended):
        print(f"{what} {ended.took:.2f} s", end=", ", flush=True)

    def write(self, path: str, content: bytes):
        path = self.photos / path
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
        for each in [path.parent, path]:
            os.chown(each, USER, USER)

    def stop(self) -> Ended:
        ended = self.dsm.stop()
        expect(self.dsm.status() == 3, "it doesn't say that it is stopped")
        self.nothing_runs()
        return ended

    def kill(self):
        daemons = self.daemons()
        for daemon in daemons:
            os.kill(daemon, signal.SIGKILL)
        eventually("it is dead", lambda: not set(daemons) & set(self.nas.processes()), patience=5)

    def say(self, line: str, secret="", env=None, **settings: str):
        """Says something to the program on the command line, as the package's user; answers what it answers."""
        words = [f"--set={key.replace('_', '-')}={value}" for key, value in settings.items()]
        return self.ask(*line.split(), *words, secret=secret, env=env)

    def ask(self, *words: str, secret="", code=0, env=None):
        command = [f"{self.dsm.package}/target/bin/mooring", *words, "--json"]
        ended = self.nas.run(command, {"MOORING_STATE": self.state} | (env or {}), USER, input=secret)
        expect(code is None or ended.code == code, f"mooring {' '.join(words)} ended with {ended.code}: {ended.said}")
        return json.loads(ended.output)


def content_of(folder: Path) -> dict[str, bytes]:
    """The files of a person, each with its content. Some may come and go meanwhile."""
    found = {}
    for place, folders, files in os.walk(folder):
        if ".mooring" in folders:
            folders.remove(".mooring")
        for path in (Path(place, name) for name in files):
            with contextlib.suppress(FileNotFoundError):
                found[str(path.relative_to(folder))] = path.read_bytes()
    return found
