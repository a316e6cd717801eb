//! The daemon as its users meet it: the real program, its socket and its signals.
//!
//! Nothing here sleeps to be safe or asserts a time: a condition is polled for until it holds.

use crate::common::peers::{self, DavPeer};
use crate::common::relay::Relay;
use mooring::settings::Book;
use serde_json::Value;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Far longer than anything takes; whatever takes longer never comes.
const PATIENCE: Duration = Duration::from_secs(60);
const SECRET: &str = "correct-horse-battery-staple";

/// A state folder and a folder to sync, gone when the test has passed.
struct Home {
    folder: PathBuf,
}

/// A daemon, killed with the test.
struct Daemon {
    child: Child,
}

impl Home {
    fn new(name: &str) -> Home {
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("daemon").join(name);
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(folder.join("nas")).unwrap();
        Home { folder }
    }

    /// With a task called `docs` to a service that nobody serves.
    fn offline(name: &str) -> Home {
        let home = Home::new(name);
        home.add_task("http://127.0.0.1:9/", "tester", SECRET, "/");
        home
    }

    /// With a task called `docs` to a new folder of this server, which is polled every second.
    fn with_peer(name: &str, peer: &DavPeer) -> (Home, String) {
        let home = Home::new(name);
        let folder = peer.new_folder();
        home.add_task(&peer.url, &peer.user, &peer.password, &format!("/{folder}"));
        (home, folder)
    }

    fn add_task(&self, url: &str, user: &str, password: &str, remote: &str) {
        fs::write(self.path("password"), password).unwrap();
        let secret = format!("password=@{}", self.path("password").display());
        let (url, user) = (format!("url={url}"), format!("user={user}"));
        let line = ["connection", "add", "cloud", "--service", "webdav", "--set", &url];
        let more = ["--set", &user, "--set", "poll=1", "--secret", &secret];
        self.done(&[&line[..], &more].concat());
        let nas = self.path("nas");
        let line = ["task", "add", "docs", "--connection", "cloud", "--remote", remote];
        self.done(&[&line[..], &["--local", nas.to_str().unwrap()]].concat());
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn socket(&self) -> PathBuf {
        self.path("state/mooring.sock")
    }

    fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mooring"));
        command.args(args).env("MOORING_STATE", self.path("state")).stdin(Stdio::null());
        command
    }

    #[track_caller]
    fn done(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert!(output.status.success(), "{args:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn daemon(&self) -> Daemon {
        self.daemon_by(self.command(&["daemon"]))
    }

    /// One that this command becomes.
    fn daemon_by(&self, mut command: Command) -> Daemon {
        let child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let daemon = Daemon { child };
        eventually("the daemon answers", || UnixStream::connect(self.socket()).is_ok());
        daemon
    }

    /// How the task is, by the daemon.
    fn task(&self) -> Value {
        let status: Value = serde_json::from_str(&self.done(&["status", "--json"])).unwrap();
        assert_eq!(status["daemon"], true);
        status["tasks"][0].clone()
    }

    /// Bytes that the running cycle has transferred.
    fn bytes_done(&self) -> u64 {
        self.task()["progress"]["bytes_done"].as_u64().unwrap_or(0)
    }

    #[track_caller]
    fn becomes(&self, state: &str) {
        let (mut last, began) = (self.task(), Instant::now());
        while last["state"] != state {
            assert!(began.elapsed() < PATIENCE, "it doesn't become {state}: {last}");
            sleep(Duration::from_millis(20));
            last = self.task();
        }
    }

    /// Sends bytes to the socket and tells the status and the body of the answer.
    fn exchange(&self, request: &str) -> (u16, Value) {
        let mut stream = UnixStream::connect(self.socket()).unwrap();
        // The daemon may answer, and hang up, before it has read all of it.
        let _ = stream.write_all(request.as_bytes());
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        let answer = String::from_utf8(answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, serde_json::from_str(body).unwrap())
    }

    fn post(&self, path: &str, body: &str) -> (u16, Value) {
        let length = body.len();
        let head = format!("POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n");
        self.exchange(&(head + body))
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let _ = fs::remove_dir_all(&self.folder);
        }
    }
}

impl Daemon {
    fn signal(&self, signal: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", signal, &pid]).status().unwrap().success());
    }

    /// What it has of a file in memory: each mapping of it, and what the kernel tells of that.
    fn maps(&self, file: &str) -> Vec<String> {
        let maps = fs::read_to_string(format!("/proc/{}/smaps", self.child.id())).unwrap();
        let last = "VmFlags:";
        let maps = maps.split_inclusive('\n').collect::<Vec<_>>();
        let maps = maps.split_inclusive(|line| line.starts_with(last)).map(|lines| lines.concat());
        maps.filter(|map| map.lines().next().unwrap().contains(file)).collect()
    }

    /// Waits for its end, and tells its log as well.
    fn end(mut self) -> (ExitStatus, String) {
        let mut log = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut log).unwrap();
        (self.child.wait().unwrap(), log)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[track_caller]
fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < PATIENCE, "never: {what}");
        sleep(Duration::from_millis(20));
    }
}

#[test]
fn it_ends_cleanly_when_told_to() {
    for signal in ["TERM", "INT"] {
        let home = Home::offline(&format!("ends-{signal}"));
        let daemon = home.daemon();
        let mode = fs::metadata(home.socket()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        daemon.signal("HUP");
        home.becomes("waiting");
        daemon.signal(signal);
        let (status, log) = daemon.end();
        assert!(status.success(), "{status}: {log}");
        assert!(!home.socket().exists());
    }
}

#[test]
fn its_program_and_what_lookups_read_stay_in_memory() {
    let is_locked = |map: &String| map.contains(" lo ");
    for may_lock in [true, false] {
        let home = Home::offline(&format!("memory-{may_lock}"));
        let mut command = home.command(&["daemon"]);
        if !may_lock {
            // Root of a namespace has no more rights than anybody, as far as memory goes.
            let program = env!("CARGO_BIN_EXE_mooring");
            let words = ["ulimit -l 64 && exec unshare --map-root-user \"$0\" daemon", program];
            command = Command::new("sh");
            command.arg("-c").args(words).env("MOORING_STATE", home.path("state"));
        }
        let daemon = home.daemon_by(command);
        home.becomes("waiting");
        let (copy, program) = (daemon.maps("/memfd:mooring"), daemon.maps("/mooring"));
        let runs_from_memory = !copy.is_empty() && program.is_empty();
        let is_kept = !program.is_empty() && program.iter().all(is_locked);
        assert!(runs_from_memory || may_lock && is_kept, "{copy:?} {program:?}");
        let hosts = daemon.maps("/etc/hosts");
        assert!(!hosts.is_empty() && hosts.iter().all(is_locked), "{hosts:?}");
        daemon.signal("TERM");
        let (_, log) = daemon.end();
        assert!(!log.contains("in memory"), "{log}");
    }
}

#[test]
fn a_killed_daemon_doesnt_keep_the_next_from_starting() {
    let home = Home::offline("stale");
    let daemon = home.daemon();
    daemon.signal("KILL");
    daemon.end();
    assert!(home.socket().exists());
    let offline: Value = serde_json::from_str(&home.done(&["status", "--json"])).unwrap();
    assert_eq!(offline["daemon"], false);
    let _daemon = home.daemon();
    home.becomes("waiting");
}

#[test]
fn a_killed_daemon_that_hasnt_quite_ended_is_waited_for() {
    let home = Home::offline("dying");
    let settings = Book::open(&home.path("state")).unwrap();
    let socket = UnixListener::bind(home.socket()).unwrap();
    let child = home.command(&["daemon"]).stderr(Stdio::null()).spawn().unwrap();
    let _daemon = Daemon { child };
    socket.accept().unwrap();
    drop((socket, settings));
    eventually("the daemon answers", || UnixStream::connect(home.socket()).is_ok());
    home.becomes("waiting");
}

#[test]
fn a_second_daemon_is_refused() {
    let home = Home::offline("second");
    let _daemon = home.daemon();
    let second = home.run(&["daemon"]);
    assert_eq!(second.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&second.stderr).contains("another daemon runs"));
    home.becomes("waiting");
}

#[test]
fn an_unreachable_service_is_said_and_waited_for() {
    let home = Home::offline("offline");
    let daemon = home.daemon();
    home.becomes("waiting");
    let task = home.task();
    assert!(task["message"].as_str().unwrap().contains("127.0.0.1"), "{task}");
    let sync = home.run(&["sync", "docs"]);
    assert_eq!(sync.status.code(), Some(1));
    let all = [home.done(&["status", "--json"]), home.done(&["connection", "show", "cloud"])];
    daemon.signal("TERM");
    let (_, log) = daemon.end();
    assert!(log.contains("WARN task docs"), "{log}");
    assert!(all.iter().chain([&log]).all(|text| !text.contains(SECRET)));
}

#[test]
fn what_it_cant_understand_it_refuses() {
    let home = Home::offline("refuses");
    let _daemon = home.daemon();
    let (status, answer) = home.post("/v1/request", "{}");
    assert_eq!((status, answer["error"]["kind"].as_str()), (400, Some("usage")));
    let huge = format!("\"{}\"", "x".repeat(100_000));
    assert_eq!(home.post("/v1/request", &huge).0, 400);
    assert_eq!(home.post("/v1/tasks/nobody/sync", "").0, 400);
    assert_eq!(home.post("/v1/nothing", "").0, 404);
    let (status, log) = home.exchange("GET /v1/log HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(status, 200);
    assert!(log["lines"][0].as_str().unwrap().contains("the daemon runs"));
}

#[test]
fn settings_take_effect_at_once() {
    let home = Home::offline("settings");
    let _daemon = home.daemon();
    home.becomes("waiting");
    home.done(&["pause", "docs"]);
    assert_eq!(home.task()["state"], "paused");
    assert_eq!(home.run(&["sync", "docs"]).status.code(), Some(3));
    home.done(&["resume", "docs"]);
    home.becomes("waiting");
    home.done(&["task", "set", "docs", "--direction", "upload"]);
    home.becomes("waiting");
    home.done(&["task", "remove", "docs"]);
    assert_eq!(home.task(), Value::Null);
    home.done(&["connection", "remove", "cloud"]);
}

#[test]
fn changes_of_each_side_reach_the_other() {
    let peer = peers::apache();
    let (home, folder) = Home::with_peer("both", peer);
    let _daemon = home.daemon();
    let there = |path: &str| peer.rclone(&["cat", &format!("peer:{folder}/{path}")]).stdout;
    fs::create_dir_all(home.path("nas/a/b")).unwrap();
    fs::write(home.path("nas/a/b/up"), "from here").unwrap();
    eventually("the local file is there", || there("a/b/up") == b"from here");
    fs::write(home.path("down"), "from there").unwrap();
    let down = home.path("down");
    peer.rclone(&["copyto", down.to_str().unwrap(), &format!("peer:{folder}/a/down")]);
    let arrived = home.path("nas/a/down");
    eventually("the remote file is here", || {
        fs::read(&arrived).is_ok_and(|it| it == b"from there")
    });
    fs::rename(home.path("nas/a"), home.path("nas/z")).unwrap();
    fs::write(home.path("nas/z/b/more"), "more").unwrap();
    eventually("the folder was moved", || {
        there("z/b/more") == b"more" && there("z/b/up") == b"from here"
    });
    home.becomes("idle");
    let log = home.done(&["log", "docs"]);
    assert!(log.contains("moved") && log.contains("downloaded"), "{log}");
    let report: Value = serde_json::from_str(&home.done(&["sync", "docs", "--json"])).unwrap();
    assert_eq!((&report["uploaded"], &report["errors"]), (&0.into(), &0.into()));
}

#[test]
fn what_is_left_out_no_longer_is_synced_and_watched_at_once() {
    let peer = peers::apache();
    let (home, folder) = Home::with_peer("filter", peer);
    home.done(&["task", "set", "docs", "--exclude-folder", "raw", "--exclude", "*.iso"]);
    let _daemon = home.daemon();
    let there = |path: &str| peer.rclone(&["cat", &format!("peer:{folder}/{path}")]).stdout;
    fs::create_dir_all(home.path("nas/raw/deep")).unwrap();
    for path in ["nas/raw/deep/in", "nas/film.iso", "nas/rest"] {
        fs::write(home.path(path), "from here").unwrap();
    }
    eventually("the rest is there", || there("rest") == b"from here");
    home.becomes("idle");
    assert!(there("raw/deep/in").is_empty() && there("film.iso").is_empty());
    let change = ["task", "set", "docs", "--include-folder", "raw", "--include", "*.iso"];
    home.done(&change);
    eventually("all is there", || {
        there("raw/deep/in") == b"from here" && there("film.iso") == b"from here"
    });
    home.becomes("idle");
    for path in ["nas/raw/deep/more", "nas/more.iso"] {
        fs::write(home.path(path), "more").unwrap();
    }
    eventually("what came later is there", || {
        there("raw/deep/more") == b"more" && there("more.iso") == b"more"
    });
}

#[test]
fn what_is_paused_rests_until_it_is_resumed() {
    let peer = peers::apache();
    let (home, folder) = Home::with_peer("paused", peer);
    let _daemon = home.daemon();
    home.becomes("idle");
    home.done(&["pause"]);
    assert_eq!(home.task()["state"], "paused");
    fs::write(home.path("nas/file"), "content").unwrap();
    assert_eq!(home.run(&["sync", "docs"]).status.code(), Some(3));
    let there = || peer.rclone(&["cat", &format!("peer:{folder}/file")]).stdout;
    assert!(there().is_empty());
    home.done(&["resume"]);
    eventually("the file is there", || there() == b"content");
}

#[test]
fn a_lost_root_is_held_and_nothing_is_removed() {
    let peer = peers::apache();
    let (home, folder) = Home::with_peer("lost", peer);
    fs::write(home.path("nas/file"), "content").unwrap();
    let _daemon = home.daemon();
    let there = || peer.rclone(&["cat", &format!("peer:{folder}/file")]).stdout;
    eventually("the file is there", || there() == b"content");
    fs::rename(home.path("nas"), home.path("away")).unwrap();
    home.becomes("held");
    assert_eq!(there(), b"content");
    fs::rename(home.path("away"), home.path("nas")).unwrap();
    home.done(&["resume", "docs"]);
    home.becomes("idle");
    assert_eq!(there(), b"content");
}

#[test]
fn a_new_limit_holds_for_transfers_that_run() {
    let peer = peers::apache();
    let (home, folder) = Home::with_peer("limits", peer);
    fs::write(home.path("nas/up"), vec![7; 8 << 20]).unwrap();
    home.done(&["connection", "set", "cloud", "--set", "max-upload=1"]);
    let _daemon = home.daemon();
    eventually("it is on its way", || home.bytes_done() > 0);
    home.done(&["connection", "set", "cloud", "--set", "max-upload=0"]);
    let there = || peer.rclone(&["cat", &format!("peer:{folder}/up")]).stdout.len();
    eventually("it is there", || there() == 8 << 20);

    // The other direction.
    let other = home.path("down");
    fs::write(&other, vec![9; 8 << 20]).unwrap();
    home.done(&["connection", "set", "cloud", "--set", "max-download=1"]);
    peer.rclone(&["copyto", other.to_str().unwrap(), &format!("peer:{folder}/down")]);
    eventually("it is on its way", || home.bytes_done() > 0);
    home.done(&["connection", "set", "cloud", "--set", "max-download="]);
    eventually("it is here", || {
        fs::read(home.path("nas/down")).is_ok_and(|it| it.len() == 8 << 20)
    });
    let log = home.done(&["log", "--json"]);
    assert!(!log.contains("error"), "{log}");
}

#[test]
fn a_suspended_download_goes_on_where_it_was() {
    const SIZE: u64 = 32 << 20;
    let peer = peers::apache();
    let relay = Relay::before(&peer.url);
    let (home, folder) = (Home::new("suspended"), peer.new_folder());
    home.add_task(&relay.url(&peer.url), &peer.user, &peer.password, &format!("/{folder}"));
    let there = home.path("there");
    fs::write(&there, vec![5; SIZE as usize]).unwrap();
    peer.rclone(&["copyto", there.to_str().unwrap(), &format!("peer:{folder}/file")]);
    home.done(&["connection", "set", "cloud", "--set", "max-download=8192"]);
    let _daemon = home.daemon();
    eventually("half of it is here", || home.bytes_done() > SIZE / 2);
    home.done(&["connection", "set", "cloud", "--schedule", "never", "--set", "max-download=0"]);
    home.becomes("suspended");
    assert!(home.task()["message"].as_str().unwrap().contains("schedule"));
    fs::write(home.path("nas/new"), "meanwhile").unwrap();
    home.done(&["connection", "set", "cloud", "--schedule", "off"]);
    eventually("it is here", || home.path("nas/file").exists());
    home.becomes("idle");
    let up = || peer.rclone(&["cat", &format!("peer:{folder}/new")]).stdout;
    eventually("what changed meanwhile is there", || up() == b"meanwhile");
    assert_eq!(fs::read(home.path("nas/file")).unwrap(), fs::read(&there).unwrap());
    let log: Value = serde_json::from_str(&home.done(&["log", "--json"])).unwrap();
    let lines = log.as_array().unwrap();
    let fetched = lines.iter().find(|line| line["action"] == "downloaded").unwrap();
    assert!(
        fetched["path"] == "file" && lines.iter().all(|line| line["action"] != "error"),
        "{log}"
    );
    // Half of it wasn't fetched twice, though buffers on the way may have been filled in vain.
    assert!(relay.bytes() < SIZE + SIZE / 4, "{}", relay.bytes());
}

#[test]
fn a_suspended_task_syncs_when_a_person_asks() {
    let peer = peers::apache();
    let (home, folder) = Home::with_peer("asked", peer);
    home.done(&["connection", "set", "cloud", "--schedule", "never"]);
    let _daemon = home.daemon();
    home.becomes("suspended");
    fs::write(home.path("nas/file"), "content").unwrap();
    home.done(&["sync", "docs"]);
    assert_eq!(peer.rclone(&["cat", &format!("peer:{folder}/file")]).stdout, b"content");
    assert_eq!(home.task()["state"], "suspended");
    let status: Value = serde_json::from_str(&home.done(&["status", "--json"])).unwrap();
    assert_eq!(status["connections"][0]["suspended"], true);
}
