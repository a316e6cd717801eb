"""What the benches share: the tests' servers, Mooring with a state folder, and what a command uses.

All need what `tests/run --install` installs, and a release build (or MOORING, the program to measure).
"""
import contextlib, json, os, pathlib, signal, socket, subprocess, sys, threading, time, urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent
MOORING = os.environ.get("MOORING", str(ROOT / "target/release/mooring"))
RCLONE = str(ROOT / "target/peers/python/bin/rclone")
MIB = 1 << 20
# As in tests/peers/fake_service.py.
FAKE_CLIENT, FAKE_SECRET, FAKE_REFRESH_TOKEN = "tester-client", "tester-secret", "tester-refresh"

# So that being told to end undoes everything, as Ctrl-C does.
signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by a signal"))


def option(words, name, default=None):
    """Takes an option with its value out of the words of the command line."""
    if name not in words:
        return default
    at = words.index(name)
    if at + 1 == len(words):
        sys.exit(f"{name} needs a value")
    value = words[at + 1]
    del words[at:at + 2]
    return value


def flag(words, name):
    """Takes an option without a value out of the words of the command line; tells whether it was there."""
    if name not in words:
        return False
    words.remove(name)
    return True


def need_root(why):
    if os.geteuid() != 0:
        sys.exit(f"{pathlib.Path(sys.argv[0]).name} needs root, {why}: run it with sudo")


def run(words, env=None, **more):
    """Runs a command that has to succeed, and gives its output."""
    env = {**os.environ, **(env or {})}
    done = subprocess.run([str(word) for word in words], env=env, stdout=subprocess.PIPE, **more)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, words[:4]))} … ended with {done.returncode}")
    return done.stdout


def note(what, ours, unit="", theirs=None, most=None, least=None):
    """Adds a row to the table of `benches/all`: our figure, that of the peer if there is one, and the budget, which is
    for the ratio of the two if there is a peer, else for our figure."""
    row = {"what": what, "ours": ours, "unit": unit, "theirs": theirs, "most": most, "least": least}
    if rows := os.environ.get("BENCH_ROWS"):
        with open(rows, "a") as file:
            print(json.dumps(row), file=file)


class Peer:
    """A server of the tests with a folder of its own below `folder`. It ends with the `with`, or with this process."""

    # Their folders may be written to directly, until they are asked for what is in them: rclone would else read a large
    # folder anew for every request.
    PLAIN = ("rclone-s3", "rclone-dav")
    SERVICES = {"swift": "s3", "moto": "s3", "ceph": "s3", "rclone-s3": "s3", "google-drive": "google-drive", "dropbox": "dropbox",
                "apache": "webdav", "nginx": "webdav", "wsgidav": "webdav", "rclone-dav": "webdav",
                "azurite": "azure-blob", "b2": "b2", "google-cloud-storage": "google-cloud-storage", "swift-api": "swift",
                "aliyun-oss": "aliyun-oss", "tencent-cos": "tencent-cos", "jd-oss": "jd-oss"}
    # Servers that speak the protocols of two services.
    SERVERS = {"swift-api": "swift"}
    # Dialects of S3, played before a Swift of their own, with the region that each connection is told.
    FRONTS = {"aliyun-oss": "cn-hangzhou", "tencent-cos": "ap-guangzhou", "jd-oss": "cn-north-1"}
    # Who signs in where, unless it is one of the fakes.
    KEYS = {"s3": ("AKIAPEERPEERPEERPEER", "testing"), "webdav": ("tester", "testing"),
            "azure-blob": ("tester", "dGVzdGluZw=="), "b2": ("tester", "testing"), "swift": ("test:tester", "testing")}

    def __init__(self, name, folder):
        if name not in self.SERVICES:
            sys.exit(f"there is no peer {name}; there are {', '.join(self.SERVICES)}")
        self.name, self.service, self.files = name, self.SERVICES[name], pathlib.Path(folder, name, "files")
        self.user, self.password = self.KEYS.get(self.service, (FAKE_CLIENT, FAKE_SECRET))
        if name == "swift":
            self.user = "test:tester"
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port = probe.getsockname()[1]
        if name == "apache":
            # Started by root, it serves as nobody, who has to get there.
            os.chmod(folder, 0o711)
        self.behind = Peer("swift", folder) if name in self.FRONTS else None
        backend = [f"{self.behind.address} {self.behind.user} {self.behind.password}"] if self.behind else []
        place = [f"{folder}/{name}", str(self.port)]
        serve = [ROOT / "tests/peers/leash", *place, ROOT / "tests/peers/start", self.SERVERS.get(name, name), *place, self.user, self.password, *backend]
        # In a group of its own, so that Ctrl-C can't end the leash before it has done its work.
        self.leash = subprocess.Popen(serve, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True,
                                      env={**os.environ, "CACHE": "24h"})
        if self.leash.stdout.readline().strip() != b"ready":
            sys.exit(f"{name} doesn't start; run tests/run --install")
        self.address = f"http://127.0.0.1:{self.port}"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.leash.stdin.close()
        self.leash.wait()
        if self.behind:
            self.behind.__exit__()

    def url(self, address=None):
        """Where its files are; `address` is that of a relay before it."""
        return (address or self.address) + {"apache": "/basic", "azurite": f"/{self.user}", "swift-api": "/auth/v1.0"}.get(self.name, "")

    @property
    def has_buckets(self):
        return self.service in ("s3", "azure-blob", "b2", "google-cloud-storage", "swift", *self.FRONTS)

    def rclone(self):
        """The environment in which `p:` is this server to rclone, which sees what is behind a dialect."""
        if self.behind:
            return self.behind.rclone()
        if self.service == "s3":
            settings = {"TYPE": "s3", "PROVIDER": "Other", "ENDPOINT": self.address, "REGION": "us-east-1",
                        "ACCESS_KEY_ID": self.user, "SECRET_ACCESS_KEY": self.password}
        elif self.service == "webdav":
            hidden = run([RCLONE, "obscure", self.password]).decode().strip()
            vendor = "rclone" if self.name == "rclone-dav" else "other"
            settings = {"TYPE": "webdav", "VENDOR": vendor, "URL": self.url(), "USER": self.user, "PASS": hidden}
        elif self.service == "swift":
            settings = {"TYPE": "swift", "AUTH": self.url(), "AUTH_VERSION": "1", "USER": self.user, "KEY": self.password}
        elif self.service in ("azure-blob", "b2"):
            kind = {"azure-blob": "azureblob"}.get(self.service, self.service)
            settings = {"TYPE": kind, "ENDPOINT": self.url(), "ACCOUNT": self.user, "KEY": self.password}
        else:
            sys.exit(f"{self.name} doesn't do here: take a server that isn't a fake")
        return {"RCLONE_CONFIG": "", **{f"RCLONE_CONFIG_P_{key}": value for key, value in settings.items()}}

    def make(self, place):
        """Makes a bucket or a folder."""
        if self.service == "google-cloud-storage":
            self.control("bucket", name=place)
        elif self.service not in ("google-drive", "dropbox"):
            run([RCLONE, "mkdir", f"p:{place}"], self.rclone())

    def remote(self, place):
        """The remote folder of a task for a bucket or folder."""
        return "/" if self.has_buckets else f"/{place}"

    def remove(self, path):
        run([RCLONE, "deletefile", f"p:{path}"], self.rclone())

    def control(self, what, **fields):
        """Acts on a fake as another person would."""
        urllib.request.urlopen(f"{self.address}/_control/{what}", json.dumps(fields).encode()).close()

    def fill(self, place, files, scratch):
        """Makes a bucket or folder of files, given as paths and contents."""
        plain = self.name in self.PLAIN
        to = self.files / place if plain else pathlib.Path(scratch, "to-send")
        write_files(to, files)
        self.make(place)
        if not plain:
            run([RCLONE, "copy", "--transfers", "32", "--no-traverse", to, f"p:{place}"], self.rclone())
            run(["rm", "-r", to])


class Mooring:
    """The program, with a state folder."""

    def __init__(self, folder, program=MOORING):
        if not os.access(program, os.X_OK):
            sys.exit(f"{program} isn't there: build it with cargo build --release, or set MOORING")
        self.folder, self.program, self.env = folder, program, {"MOORING_STATE": f"{folder}/state"}

    def run(self, *words):
        """Runs a command, and gives what it answers."""
        answer = run([self.program, *words, "--json"], self.env)
        return json.loads(answer) if answer.strip() else None

    def connect(self, name, peer, *settings, bucket=None, address=None):
        """Adds a connection to a server, or to the relay before it at `address`."""
        at = peer.url(address)
        values, secrets = {
            "s3": ([f"endpoint={at}", f"bucket={bucket}", f"access-key={peer.user}"], {"secret-key": peer.password}),
            "webdav": ([f"url={at}", f"user={peer.user}"], {"password": peer.password}),
            "azure-blob": ([f"endpoint={at}", f"container={bucket}", f"account={peer.user}"], {"account-key": peer.password}),
            "b2": ([f"endpoint={at}", f"bucket={bucket}", f"key-id={peer.user}"], {"application-key": peer.password}),
            "swift": ([f"endpoint={at}", f"container={bucket}", f"user={peer.user}"], {"key": peer.password}),
        }.get("s3" if peer.behind else peer.service, ([f"endpoint={at}", f"client-id={peer.user}"],
                             {"client-secret": peer.password, "refresh-token": FAKE_REFRESH_TOKEN}))
        if peer.service == "google-cloud-storage":
            values.append(f"bucket={bucket}")
        if peer.behind:
            values.append(f"region={peer.FRONTS[peer.name]}")
        words = [word for value in [*values, *settings] for word in ("--set", value)]
        for key, secret in secrets.items():
            file = pathlib.Path(self.folder, f"{name}.{key}")
            file.write_text(secret)
            words += ["--secret", f"{key}=@{file}"]
        self.run("connection", "add", name, "--service", peer.service, *words)

    def add_task(self, name, connection, local, remote, *more):
        self.run("task", "add", name, "--connection", connection, "--local", local, "--remote", remote, *more)

    @contextlib.contextmanager
    def daemon(self, around=lambda command: command):
        """A running daemon; `around` may give another command that becomes it."""
        command = around([self.program, "daemon"])
        with running(command, {**os.environ, **self.env}, stdout=subprocess.DEVNULL) as process:
            yield process

    def wait_until_idle(self, patience):
        """Waits so many seconds at most until a daemon has brought all tasks in sync. Where they poll all the time, they
        are hardly ever idle all at once: each has to be once."""
        end, idle = time.monotonic() + patience, set()
        while time.monotonic() < end:
            time.sleep(1)
            tasks = self.run("status")["tasks"]
            idle |= {task["name"] for task in tasks if task["state"] == "idle" and task.get("last")}
            if len(idle) == len(tasks):
                return
        states = ", ".join(f"{task['name']} {task['state']}: {task['message']}" for task in tasks)
        sys.exit(f"the tasks aren't in sync after {patience} seconds: {states}")


@contextlib.contextmanager
def running(command, env=None, **more):
    """A process that is ended with the `with`."""
    process = subprocess.Popen(command, env=env, **more)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


class Relay:
    """Passes bytes on, and notes when how many went up and down and how many requests there were."""

    def __init__(self, port):
        self.port = port
        self.reset()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = "http://127.0.0.1:%d" % self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def reset(self):
        self.noted, self.requests = {"up": [], "down": []}, 0

    def accept(self):
        while True:
            client, _ = self.listener.accept()
            # Small, so that what is on its way is what was counted.
            client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16 << 10)
            server = socket.create_connection(("127.0.0.1", self.port))
            for source, sink, way in ((client, server, "up"), (server, client, "down")):
                threading.Thread(target=self.pump, args=(source, sink, way), daemon=True).start()

    def pump(self, source, sink, way):
        try:
            while data := source.recv(16 << 10):
                sink.sendall(data)
                self.noted[way].append((time.monotonic(), len(data)))
                # A client waits for the reply before it sends more, so a head begins what is received.
                self.requests += way == "up" and b" HTTP/1.1\r\n" in data.partition(b"\r\n")[0] + b"\r\n"
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass


class MemoryGroup:
    """A memory cgroup with a hard limit, of version 1 or 2; needs root. It goes with the `with`."""

    def __init__(self, limit):
        base = pathlib.Path("/sys/fs/cgroup")
        self.is_first = (base / "memory").is_dir()
        if not self.is_first and "memory" not in (base / "cgroup.subtree_control").read_text():
            (base / "cgroup.subtree_control").write_text("+memory")
        self.folder = (base / "memory" if self.is_first else base) / f"mooring-bench-{os.getpid()}"
        self.folder.mkdir()
        (self.folder / ("memory.limit_in_bytes" if self.is_first else "memory.max")).write_text(str(limit))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        # The kernel may not be done yet with those that ended.
        for _ in range(50):
            with contextlib.suppress(OSError):
                return self.folder.rmdir()
            time.sleep(0.1)
        print(f"{self.folder} can't be removed", file=sys.stderr)

    def holding(self, command):
        """The command that runs this one in the group."""
        return ["sh", "-c", 'echo $$ > "$0" && exec "$@"', f"{self.folder}/cgroup.procs", *map(str, command)]

    def peak(self):
        """Bytes charged to the group at most, the kernel's and those of cached files among them."""
        return int((self.folder / ("memory.max_usage_in_bytes" if self.is_first else "memory.peak")).read_text())

    def at_limit(self):
        """How often the limit was met, and the kernel had to find memory to take back."""
        if self.is_first:
            return int((self.folder / "memory.failcnt").read_text())
        return self.fields("memory.events")["max"]

    def kills(self):
        """How often it found none."""
        return self.fields("memory.oom_control" if self.is_first else "memory.events")["oom_kill"]

    def fields(self, name):
        lines = (self.folder / name).read_text().splitlines()
        return {key: int(value) for key, value in map(str.split, lines)}


class Used:
    """What a command printed and used: seconds, and MiB at its highest."""

    def __init__(self, command, env):
        begun = time.monotonic()
        process = subprocess.Popen(command, stdout=subprocess.PIPE, env={**os.environ, **env})
        self.memory = self.anonymous = 0.0
        ended = threading.Event()
        looker = threading.Thread(target=self.look, args=(process.pid, ended))
        looker.start()
        try:
            self.output = process.stdout.read()
            # Not reaped before the last look is over: its number would be free for another process.
            os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        except BaseException:
            process.kill()
            raise
        finally:
            self.wall = time.monotonic() - begun
            ended.set()
            looker.join()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = self.code = os.waitstatus_to_exitcode(status)
        self.cpu = usage.ru_utime + usage.ru_stime

    def look(self, pid, ended):
        # What the kernel keeps for the end counts what ran before the program in the same process, too.
        while not ended.wait(0.02):
            fields = status_of(pid)
            self.memory = max(self.memory, fields.get("VmHWM", 0) / 1024)
            self.anonymous = max(self.anonymous, fields.get("RssAnon", 0) / 1024)


def measure(name, command, env):
    """Runs a command that has to succeed; prints what it used, and gives it."""
    used = Used([str(word) for word in command], env)
    if used.code != 0:
        sys.exit(f"{name} failed: it ended with {used.code}")
    print(f"{name:28} {used.cpu:7.2f} s CPU {used.memory:7.1f} MiB {used.wall:7.2f} s", end="", flush=True)
    return used


def status_of(pid):
    """The numbers in the status of a process; none after its end. Memory is in KiB."""
    with contextlib.suppress(OSError):
        lines = [line.split() for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines()]
        return {words[0][:-1]: int(words[1]) for words in lines if len(words) > 1 and words[1].isdigit()}
    return {}


def cpu_of(pid):
    """CPU seconds that a process has used."""
    ticks = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")


def write_files(folder, files):
    """Writes files, given as paths and contents, below a folder."""
    made = set()
    for path, content in files:
        parent = os.path.join(folder, os.path.dirname(path))
        if parent not in made:
            os.makedirs(parent, exist_ok=True)
            made.add(parent)
        with open(os.path.join(folder, path), "wb") as file:
            file.write(content)
