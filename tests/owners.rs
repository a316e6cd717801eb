//! What belongs to whom: users of the NAS have their own connections and the tasks on them, and learn of no others.

use crate::common::bridge::{Answer, Bridge, Running};
use crate::common::pair::eventually;
use crate::common::peers::{self, DavPeer};
use nix::unistd::geteuid;
use serde_json::{Value, json};
use std::cell::Cell;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::thread;
use std::time::Duration;

/// Users whom every system knows, whoever tests.
const ALICE: &str = "nobody";
const BOB: &str = "daemon";

/// Who asks.
#[derive(Clone, Copy, Debug)]
enum Who {
    Host,
    User(&'static str),
    Administrator(&'static str),
}

use Who::{Administrator, Host, User};

/// A running daemon.
struct Nas {
    bridge: Bridge,
    _daemon: Running,
}

impl Nas {
    fn new(name: &str) -> Nas {
        let bridge = Bridge::alone(&format!("owners-{name}"));
        let daemon = bridge.real_daemon();
        Nas { bridge, _daemon: daemon }
    }

    fn call(&self, who: Who, call: &str, body: &str) -> Answer {
        let fields = match who {
            Host => String::new(),
            User(name) => format!("mooring-user: {name}\r\nmooring-administrator: false\r\n"),
            Administrator(name) => {
                format!("mooring-user: {name}\r\nmooring-administrator: true\r\n")
            }
        };
        self.bridge.ask_daemon(&fields, call, body)
    }

    fn ask(&self, who: Who, request: Value) -> Answer {
        self.call(who, "POST /v1/request", &request.to_string())
    }

    /// Asks for a user, and doesn't wait for the answer.
    fn send(&self, user: &str, request: Value) -> UnixStream {
        let body = request.to_string();
        let mut stream = UnixStream::connect(self.bridge.socket()).unwrap();
        write!(
            stream,
            "POST /v1/request HTTP/1.1\r\nhost: mooring\r\nmooring-user: {user}\r\n\
             mooring-administrator: false\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
        .unwrap();
        stream
    }

    #[track_caller]
    fn done(&self, who: Who, request: Value) -> Value {
        let answer = self.ask(who, request);
        assert_eq!(answer.status, 200, "{who:?}: {}", answer.text);
        answer.body
    }

    fn add_connection(&self, who: Who, name: &str) -> Value {
        let values = json!([["url", "http://127.0.0.1:9/"], ["user", "tester"]]);
        let entered = json!({ "values": values, "secrets": [["password", "secret"]] });
        let request = json!({ "request": "connection_add", "name": name, "service": "webdav", "entered": entered });
        self.done(who, request)
    }

    fn new_task(name: &str, connection: &str, local: &Path) -> Value {
        json!({ "request": "task_add", "task": {
            "name": name, "connection": connection, "local": local, "remote": format!("/{name}"), "direction": "both",
            "keep_removed": false,
        }})
    }

    /// A local folder with this mode.
    fn folder(&self, name: &str, mode: u32) -> PathBuf {
        let folder = self.bridge.folder.join(name);
        fs::create_dir_all(&folder).unwrap();
        fs::set_permissions(&folder, fs::Permissions::from_mode(mode)).unwrap();
        folder
    }

    /// What is seen of what, by name.
    fn seen(&self, who: Who) -> [Vec<String>; 4] {
        let names = |list: &Value| -> Vec<String> {
            list.as_array()
                .unwrap()
                .iter()
                .map(|each| each["name"].as_str().unwrap().into())
                .collect()
        };
        // What the tasks are at may change from one answer to the next.
        let statuses = [
            self.call(who, "GET /v1/status", "").body,
            self.done(who, json!({ "request": "status" })),
        ];
        let [connections, again] = statuses.each_ref().map(|it| names(&it["connections"]));
        assert_eq!(connections, again, "{who:?}");
        let [tasks, again] = statuses.each_ref().map(|it| names(&it["tasks"]));
        assert_eq!(tasks, again, "{who:?}");
        [
            names(&self.done(who, json!({ "request": "connection_list" }))),
            names(&self.done(who, json!({ "request": "task_list" }))),
            connections,
            tasks,
        ]
    }
}

#[track_caller]
fn sees(nas: &Nas, who: Who, connections: &[&str], tasks: &[&str]) {
    assert_eq!(nas.seen(who), [connections, tasks, connections, tasks], "{who:?}");
}

/// Of the host, of Alice and of Bob, each with a connection and a task. No service is there.
fn shared(name: &str) -> Nas {
    let nas = Nas::new(name);
    for (who, name) in [(Host, "ours"), (User(ALICE), "alice"), (User(BOB), "bob")] {
        nas.add_connection(who, name);
        let folder = nas.folder(&format!("of {name}"), 0o777);
        nas.done(who, Nas::new_task(&format!("{name} docs"), name, &folder));
    }
    nas
}

fn admin_mode(nas: &Nas, who: Who, word: &str) -> u16 {
    nas.ask(who, json!({ "request": "settings_set", "key": "admin-mode", "value": word })).status
}

#[test]
fn each_sees_their_own() {
    let nas = shared("seen");
    let all = (["alice", "bob", "ours"], ["alice docs", "bob docs", "ours docs"]);
    sees(&nas, User(ALICE), &["alice"], &["alice docs"]);
    sees(&nas, User(BOB), &["bob"], &["bob docs"]);
    sees(&nas, User("someone else"), &[], &[]);
    sees(&nas, Administrator("admin"), &["ours"], &["ours docs"]);
    sees(&nas, Administrator(ALICE), &["alice", "ours"], &["alice docs", "ours docs"]);
    sees(&nas, Host, &all.0, &all.1);

    assert_eq!(admin_mode(&nas, User(ALICE), "on"), 403);
    assert_eq!(admin_mode(&nas, Administrator("admin"), "on"), 200);
    sees(&nas, Administrator("admin"), &all.0, &all.1);
    sees(&nas, User(ALICE), &["alice"], &["alice docs"]);
    let shown =
        nas.done(Administrator("admin"), json!({ "request": "connection_show", "name": "bob" }));
    assert_eq!(shown["owner"], BOB);
    assert_eq!(admin_mode(&nas, Administrator("admin"), "perhaps"), 400);
    assert_eq!(admin_mode(&nas, Host, "off"), 200);
    sees(&nas, Administrator("admin"), &["ours"], &["ours docs"]);

    // What is paused and what was done is told of one's own only.
    for name in ["alice", "bob", "ours"] {
        nas.done(Host, json!({ "request": "pause", "scope": { "connection": name } }));
        nas.done(Host, json!({ "request": "pause", "scope": { "task": format!("{name} docs") } }));
    }
    let paused =
        nas.done(User(ALICE), json!({ "request": "pause", "scope": { "task": "alice docs" } }));
    assert_eq!(
        (&paused["connections"], &paused["tasks"]),
        (&json!(["alice"]), &json!(["alice docs"]))
    );
    nas.done(User(ALICE), json!({ "request": "log", "task": null, "limit": 100 }));
}

/// Every request that names a connection or a task.
fn naming(connection: &str, task: &str, folder: &Path) -> Vec<Value> {
    let entered = json!({ "values": [["poll", "600"]] });
    let new = Nas::new_task("new", connection, folder);
    vec![
        json!({ "request": "connection_show", "name": connection }),
        json!({ "request": "connection_set", "name": connection, "entered": entered }),
        json!({ "request": "connection_test", "name": connection }),
        json!({ "request": "connection_authorize", "name": connection }),
        json!({ "request": "connection_authorized", "name": connection, "answer": "code" }),
        json!({ "request": "buckets", "name": connection, "service": "webdav", "entered": entered }),
        json!({
            "request": "bucket_make", "name": connection, "service": "webdav", "entered": entered, "bucket": "new",
        }),
        json!({ "request": "connection_remove", "name": connection }),
        json!({ "request": "pause", "scope": { "connection": connection } }),
        json!({ "request": "resume", "scope": { "connection": connection } }),
        new,
        json!({ "request": "task_show", "name": task }),
        json!({ "request": "task_set", "name": task, "change": { "keep_removed": true } }),
        json!({ "request": "task_set", "name": task, "change": { "local": folder } }),
        json!({ "request": "task_remove", "name": task }),
        json!({ "request": "task_status", "name": task, "limit": 10 }),
        json!({ "request": "pause", "scope": { "task": task } }),
        json!({ "request": "resume", "scope": { "task": task } }),
        json!({ "request": "log", "task": task, "limit": 10 }),
        json!({ "request": "item_rename", "task": task, "path": "a", "name": "b" }),
        json!({ "request": "preview", "task": task }),
        json!({ "request": "sync", "task": task, "approve": true }),
        json!({ "request": "verify", "task": task, "quick": true }),
    ]
}

#[test]
fn what_is_anothers_isnt_there() {
    let nas = shared("foreign");
    let folder = nas.folder("anybody's", 0o777);
    let before = nas.seen(Host);
    for (who, foreign) in
        [(User(ALICE), "bob"), (User(ALICE), "ours"), (Administrator("admin"), "bob")]
    {
        let theirs = naming(foreign, &format!("{foreign} docs"), &folder);
        for (theirs, nobodys) in theirs.into_iter().zip(naming("none", "none docs", &folder)) {
            let [answer, nothing] =
                [&theirs, &nobodys].map(|request| nas.ask(who, request.clone()));
            let as_nothing = answer.text.replace(foreign, "none");
            assert_eq!((answer.status, &as_nothing), (400, &nothing.text), "{who:?} {theirs}");
            assert!(answer.text.contains("there is no such"), "{}", answer.text);
        }
        let sync = format!("POST /v1/tasks/{foreign}%20docs/sync");
        let answer = nas.call(who, &sync, "");
        assert!(answer.text.contains("there is no such task"), "{}", answer.text);
    }
    assert_eq!(nas.seen(Host), before);
    // The log of the daemon tells of everybody's.
    assert_eq!(nas.call(User(ALICE), "GET /v1/log", "").status, 403);
    assert_eq!(nas.call(Host, "GET /v1/log", "").status, 200);
    // A name that is taken isn't told to be anybody's.
    let entered = json!({ "values": [["url", "http://127.0.0.1:9/"]] });
    let request = json!({ "request": "connection_add", "name": "bob", "service": "webdav", "entered": entered });
    let answers = [User(ALICE), User(BOB)].map(|who| nas.ask(who, request.clone()).text);
    assert_eq!(answers[0], answers[1]);
    let answer = nas.ask(User(ALICE), Nas::new_task("bob docs", "alice", &folder));
    assert_eq!(answer.body["error"]["reason"], "task bob docs: the name is taken");
}

#[test]
fn ones_own_is_as_the_hosts() {
    let nas = shared("own");
    let folder = nas.folder("another", 0o777);
    let tell =
        |who, what: &str| nas.ask(who, json!({ "request": what, "name": "alice docs" })).status;
    for request in naming("alice", "alice docs", &folder) {
        let what = request["request"].as_str().unwrap().to_owned();
        // What talks to the service finds none, and what removes comes last.
        let removes = what.ends_with("_remove");
        if !removes {
            let answer = nas.ask(User(ALICE), request);
            assert!(!answer.text.contains("there is no such"), "{what}: {}", answer.text);
        }
    }
    assert_eq!((tell(User(ALICE), "task_remove"), tell(User(BOB), "task_show")), (200, 400));
    nas.done(User(ALICE), json!({ "request": "task_remove", "name": "new" }));
    nas.done(User(ALICE), json!({ "request": "connection_remove", "name": "alice" }));
    sees(&nas, Host, &["bob", "ours"], &["bob docs", "ours docs"]);
}

#[test]
fn a_user_takes_only_folders_that_they_may_write() {
    let nas = Nas::new("folders");
    nas.add_connection(User(ALICE), "alice");
    nas.add_connection(Administrator(BOB), "admin");
    nas.add_connection(Host, "ours");
    let (open, closed) = (nas.folder("open", 0o777), nas.folder("closed", 0o755));
    let hidden = nas.folder("hidden/inner", 0o777);
    nas.folder("hidden", 0o700);
    let link = nas.bridge.folder.join("link");
    symlink(&closed, &link).unwrap();
    let missing = nas.bridge.folder.join("missing");
    let add =
        |who, connection, folder: &Path| nas.ask(who, Nas::new_task("docs", connection, folder));
    let remove = |who| nas.done(who, json!({ "request": "task_remove", "name": "docs" }));
    for folder in [&closed, &hidden, &link, &missing, Path::new("/root"), Path::new("/etc")] {
        let answer = add(User(ALICE), "alice", folder);
        let reason =
            format!("local folder {}: {ALICE} may not read and change it", folder.display());
        assert_eq!((answer.status, &answer.body["error"]["reason"]), (403, &json!(reason)));
    }
    assert_eq!(add(User(ALICE), "alice", &open).status, 200);
    let change = |who, folder: &Path| {
        nas.ask(
            who,
            json!({ "request": "task_set", "name": "docs", "change": { "local": folder } }),
        )
        .status
    };
    assert_eq!(change(User(ALICE), &closed), 403);
    // The folder that it has may have been closed to them; other settings don't depend on it.
    fs::set_permissions(&open, fs::Permissions::from_mode(0o755)).unwrap();
    let keep = json!({ "request": "task_set", "name": "docs", "change": { "keep_removed": true } });
    nas.done(User(ALICE), keep);
    fs::set_permissions(&open, fs::Permissions::from_mode(0o777)).unwrap();
    assert_eq!(change(User(ALICE), &nas.folder("open too", 0o777)), 200);
    remove(User(ALICE));

    assert_eq!(add(Administrator(BOB), "admin", &closed).status, 403);
    assert_eq!(admin_mode(&nas, Administrator(BOB), "on"), 200);
    assert_eq!(add(Administrator(BOB), "admin", &closed).status, 200);
    remove(Administrator(BOB));
    assert_eq!(add(Host, "ours", &closed).status, 200);
    remove(Host);
    // Whom the system doesn't know has no folders.
    nas.add_connection(User("someone else"), "theirs");
    assert_eq!(add(User("someone else"), "theirs", &open).status, 403);
}

#[test]
fn what_concerns_everybody_is_for_administrators() {
    let nas = shared("settings");
    let everything = [
        json!({ "request": "settings_set", "key": "transfers", "value": "2" }),
        json!({ "request": "settings_set", "key": "admin-mode", "value": "on" }),
        json!({ "request": "pause", "scope": "everything" }),
        json!({ "request": "resume", "scope": "everything" }),
    ];
    for request in everything {
        let answer = nas.ask(User(ALICE), request.clone());
        assert_eq!(
            (answer.status, &answer.body["error"]["kind"]),
            (403, &json!("denied")),
            "{request}"
        );
        nas.done(Administrator(BOB), request);
    }
    let settings = nas.done(User(ALICE), json!({ "request": "settings" }));
    assert_eq!((&settings["transfers"], &settings["admin_mode"]), (&json!(2), &json!(true)));
}

#[test]
fn the_command_line_shows_and_sets_it() {
    let nas = shared("command-line");
    let run = |words: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mooring"));
        let output = command.args(words).env("MOORING_STATE", nas.bridge.state()).output().unwrap();
        assert!(output.status.success(), "{words:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let words = |text: String| text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(words(run(&["settings"])).contains("admin-mode off"));
    assert!(words(run(&["settings", "admin-mode", "on"])).contains("admin-mode on"));
    assert!(run(&["connection", "show", "alice"]).contains(ALICE));
    assert!(!run(&["connection", "show", "ours"]).contains("owner"));
}

/// A connection of Alice's to a folder of this server, and what other clients find in it.
struct Cloud {
    peer: &'static DavPeer,
    folder: String,
}

impl Cloud {
    fn of_alice(nas: &Nas) -> Cloud {
        let peer = peers::rclone_dav();
        let values = json!([["url", peer.url], ["user", peer.user], ["poll", "1"]]);
        let entered = json!({ "values": values, "secrets": [["password", peer.password]] });
        let request = json!({ "request": "connection_add", "name": "alice", "service": "webdav", "entered": entered });
        nas.done(User(ALICE), request);
        Cloud { peer, folder: peer.new_folder() }
    }

    fn task(&self, local: &Path) -> Value {
        json!({ "request": "task_add", "task": {
            "name": "docs", "connection": "alice", "local": local, "remote": self.folder, "direction": "both",
            "keep_removed": false,
        }})
    }

    fn files(&self) -> Vec<String> {
        let listed =
            self.peer.rclone(&["lsf", "-R", "--files-only", &format!("peer:{}", self.folder)]);
        let mut files: Vec<_> =
            String::from_utf8(listed.stdout).unwrap().lines().map(str::to_owned).collect();
        files.sort();
        files
    }
}

impl Nas {
    fn set_running(&self, runs: bool) {
        let word = if runs { "resume" } else { "pause" };
        self.done(User(ALICE), json!({ "request": word, "scope": { "task": "docs" } }));
    }

    /// How Alice's task is, once it is so, and what it says.
    #[track_caller]
    fn comes_to(&self, state: &str) -> String {
        let mut task = Value::Null;
        eventually(state, || {
            task = self.call(User(ALICE), "GET /v1/status", "").body["tasks"][0].take();
            task["state"] == state
        });
        task["message"].as_str().unwrap_or_default().to_owned()
    }
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_folder_that_is_exchanged_for_anothers_is_not_taken_for_it() {
    let nas = Nas::new("exchanged");
    let cloud = Cloud::of_alice(&nas);
    let (alice, away) = (nas.folder("pub/alice", 0o777), nas.bridge.folder.join("pub/away"));
    let bob = nas.folder("pub/bob", 0o700);
    fs::write(alice.join("hers"), "hers").unwrap();
    fs::write(bob.join("secret"), "secret").unwrap();
    // Never synced yet: nothing is known of the folder but its path.
    nas.done(User(ALICE), json!({ "request": "pause", "scope": { "connection": "alice" } }));
    nas.done(User(ALICE), cloud.task(&alice));
    let resume = || {
        nas.set_running(true);
        nas.done(User(ALICE), json!({ "request": "resume", "scope": { "connection": "alice" } }));
    };
    let denied = format!("local folder {}: {ALICE} may not read and change it", alice.display());

    fs::rename(&alice, &away).unwrap();
    symlink(&bob, &alice).unwrap();
    resume();
    assert!(nas.comes_to("held").starts_with(&denied), "{}", nas.comes_to("held"));
    nas.set_running(false);
    fs::remove_file(&alice).unwrap();

    fs::rename(&bob, &alice).unwrap();
    resume();
    assert!(nas.comes_to("held").starts_with(&denied));
    nas.set_running(false);
    fs::rename(&alice, &bob).unwrap();

    // Her own, by another way.
    symlink(&away, &alice).unwrap();
    resume();
    assert!(nas.comes_to("held").starts_with(&denied));
    nas.set_running(false);
    fs::remove_file(&alice).unwrap();
    assert!(cloud.files().is_empty(), "{:?}", cloud.files());

    fs::rename(&away, &alice).unwrap();
    resume();
    nas.comes_to("idle");
    assert_eq!(cloud.files(), ["hers"]);

    // While it runs, nothing but the folder that was looked at is in its place.
    fs::rename(&alice, &away).unwrap();
    fs::rename(&bob, &alice).unwrap();
    nas.ask(User(ALICE), json!({ "request": "sync", "task": "docs", "approve": true }));
    let message = nas.comes_to("held");
    assert!(message.contains("may not read and change it") || message.contains("another folder"));
    assert_eq!(cloud.files(), ["hers"]);
}

#[test]
fn who_loses_the_permission_has_it_told() {
    let nas = Nas::new("lost");
    let cloud = Cloud::of_alice(&nas);
    let alice = nas.folder("share/alice", 0o777);
    fs::write(alice.join("hers"), "hers").unwrap();
    nas.done(User(ALICE), cloud.task(&alice));
    nas.comes_to("idle");
    nas.set_running(false);
    fs::write(alice.join("later"), "later").unwrap();
    for (folder, mode) in [(alice.as_path(), 0o755), (alice.parent().unwrap(), 0o700)] {
        set_mode(folder, mode);
        nas.set_running(true);
        let message = nas.comes_to("held");
        assert!(message.contains("may not read and change it; choose a folder"), "{message}");
        assert_eq!(cloud.files(), ["hers"]);
        nas.set_running(false);
        set_mode(folder, 0o777);
    }
    nas.set_running(true);
    nas.comes_to("idle");
    assert_eq!(cloud.files(), ["hers", "later"]);
    // A task that is nobody's doesn't depend on anybody.
    set_mode(&alice, 0o755);
    let values = json!([["url", cloud.peer.url], ["user", cloud.peer.user]]);
    let entered = json!({ "values": values, "secrets": [["password", cloud.peer.password]] });
    let request = json!({ "request": "connection_add", "name": "ours", "service": "webdav", "entered": entered });
    nas.done(Host, request);
    nas.done(User(ALICE), json!({ "request": "task_remove", "name": "docs" }));
    let mut task = cloud.task(&alice);
    task["task"]["connection"] = "ours".into();
    nas.done(Host, task);
    nas.done(Host, json!({ "request": "sync", "task": "docs", "approve": false }));
}

#[test]
fn a_user_who_is_no_more_has_no_task_that_runs() {
    let nas = Nas::new("gone");
    // Whom the system doesn't know can't choose a folder, but may have had one.
    let gone = User("someone else");
    nas.add_connection(gone, "theirs");
    nas.done(Host, Nas::new_task("docs", "theirs", &nas.folder("anybody's", 0o777)));
    let task = || nas.call(gone, "GET /v1/status", "").body["tasks"][0].clone();
    eventually("held", || task()["state"] == "held");
    let message = task()["message"].as_str().unwrap().to_owned();
    assert!(message.starts_with("user someone else: "), "{message}");
    assert!(message.contains("look whether this user still exists"), "{message}");
}

#[test]
fn what_a_user_may_not_read_in_a_folder_stays_where_it_is() {
    // Only root has folders that it may read and a user may not.
    if !geteuid().is_root() {
        return;
    }
    let nas = Nas::new("inside");
    let cloud = Cloud::of_alice(&nas);
    let team = nas.folder("team", 0o777);
    let hr = nas.folder("team/hr", 0o777);
    for name in ["open", "sealed", "hr/salaries"] {
        fs::write(team.join(name), "content").unwrap();
    }
    nas.done(User(ALICE), cloud.task(&team));
    eventually("all is there", || cloud.files() == ["hr/salaries", "open", "sealed"]);
    nas.set_running(false);
    set_mode(&hr, 0o700);
    set_mode(&team.join("sealed"), 0o600);
    fs::write(team.join("sealed"), "another content").unwrap();
    for name in ["hr/letters", "open too"] {
        fs::write(team.join(name), "content").unwrap();
    }
    nas.set_running(true);
    let there = ["hr/salaries", "open", "open too", "sealed"];
    eventually("what may be read is there", || cloud.files() == there);
    let items = || {
        let request = json!({ "request": "task_status", "name": "docs", "limit": 100 });
        nas.done(User(ALICE), request)
    };
    eventually("what may not is told", || {
        let text = items().to_string();
        text.contains("sealed") && text.contains("hr") && text.contains("ermission denied")
    });
    let sealed = cloud.peer.rclone(&["cat", &format!("peer:{}/sealed", cloud.folder)]);
    assert_eq!(String::from_utf8_lossy(&sealed.stdout), "content");
    assert_eq!(cloud.files(), there);
    // What comes from there isn't written where the user may not write.
    cloud.peer.rclone(&[
        "copyto",
        team.join("open").to_str().unwrap(),
        &format!("peer:{}/hr/new", cloud.folder),
    ]);
    cloud.peer.rclone(&[
        "copyto",
        team.join("open").to_str().unwrap(),
        &format!("peer:{}/new", cloud.folder),
    ]);
    eventually("what may be written is here", || team.join("new").exists());
    assert!(!hr.join("new").exists());
    // Nor is it renamed there.
    for (folder, path, is_allowed) in [(&hr, "hr/a:b", false), (&team, "a:b", true)] {
        fs::write(folder.join("a:b"), "content").unwrap();
        let request =
            json!({ "request": "item_rename", "task": "docs", "path": path, "name": "a b" });
        let answer = nas.ask(User(ALICE), request);
        assert_eq!(answer.status == 200, is_allowed, "{}", answer.text);
        assert_eq!(folder.join("a b").exists(), is_allowed);
        assert_eq!(folder.join("a:b").exists(), !is_allowed);
    }
}

#[test]
fn who_waits_for_services_keeps_nobody_from_being_answered() {
    let nas = Nas::new("waiting");
    // It takes connections and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    for (who, name) in [(User(ALICE), "alice"), (User(BOB), "bob")] {
        let url = format!("http://{}/", silent.local_addr().unwrap());
        let entered = json!({ "values": [["url", url]] });
        let request = json!({ "request": "connection_add", "name": name, "service": "webdav", "entered": entered });
        nas.done(who, request);
    }
    let test = |user: &str, name: &str| {
        nas.send(user, json!({ "request": "connection_test", "name": name }))
    };
    // As many as there are places.
    let hers: Vec<_> = (0..16).map(|_| test(ALICE, "alice")).collect();
    let answered = |stream: &UnixStream, patience: u64| {
        stream.set_read_timeout(Some(Duration::from_secs(patience))).unwrap();
        let mut first = [0; 12];
        (&mut &*stream).read_exact(&mut first).ok().map(|()| {
            let mut rest = String::new();
            (&mut &*stream).read_to_string(&mut rest).unwrap();
            rest
        })
    };
    assert_eq!(nas.call(User(BOB), "GET /v1/status", "").status, 200);
    // The order in which they are taken is nobody's to tell.
    let busy = Cell::new(0);
    let mut rest: Vec<_> = hers.into_iter().collect();
    eventually("all but two are told to try again", || {
        rest.retain(|stream| match answered(stream, 1) {
            Some(text) => {
                assert!(text.contains(r#""kind":"busy""#), "{text}");
                busy.set(busy.get() + 1);
                false
            }
            None => true,
        });
        busy.get() == 14
    });
    // There are places for others.
    let his = test(BOB, "bob");
    assert_eq!(answered(&his, 1), None);
}

/// Whether what is encrypted there can be written to is asked before a task changes.
#[test]
fn who_lets_a_task_write_keeps_nobody_from_being_answered() {
    let nas = Nas::new("letting");
    // It has nothing, and in the end says nothing.
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", server.local_addr().unwrap());
    let (says, asked) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicUsize::new(0)));
    let (speaks, heard) = (says.clone(), asked.clone());
    thread::spawn(move || {
        let mut held = Vec::new();
        for stream in server.incoming() {
            let mut stream = stream.unwrap();
            if speaks.load(SeqCst) {
                let mut head = [0; 4096];
                let _ = stream.read(&mut head).unwrap();
                let _ = stream.write_all(
                    b"HTTP/1.1 404 No\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
                );
            } else {
                heard.fetch_add(1, SeqCst);
                held.push(stream);
            }
        }
    });
    let secrets = json!([["encryption-key", "a key of somebody"]]);
    let entered = json!({ "values": [["url", url], ["timeout", "3600"]], "secrets": secrets });
    nas.done(User(ALICE), json!({ "request": "connection_add", "name": "hers", "service": "webdav", "entered": entered }));
    let mut task = Nas::new_task("docs", "hers", &nas.folder("hers", 0o777));
    task["paused"] = true.into();
    task["task"]["direction"] = "download".into();
    task["task"]["settings"] = json!([["encryption", "on"]]);
    nas.done(User(ALICE), task);
    says.store(false, SeqCst);
    let change =
        json!({ "request": "task_set", "name": "docs", "change": { "direction": "both" } });
    let hers = nas.send(ALICE, change);
    eventually("her service is asked", || asked.load(SeqCst) > 0);
    let his = nas.send(BOB, json!({ "request": "connection_list" }));
    his.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let mut answer = String::new();
    (&his).read_to_string(&mut answer).expect("he waits for her service");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    drop(hers);
}

#[test]
fn folders_are_told_to_whom_they_are_open() {
    let nas = Nas::new("told-folders");
    nas.add_connection(User(ALICE), "hers");
    let entered = json!({ "values": [], "secrets": [] });
    for request in [
        json!({ "request": "remote_folders", "connection": "hers", "path": "/" }),
        json!({ "request": "remote_folder_make", "connection": "hers", "path": "/new" }),
        json!({ "request": "connection_try", "name": "hers", "service": "webdav", "entered": entered }),
    ] {
        let answer = nas.ask(User(BOB), request.clone());
        assert_eq!(answer.body["error"]["kind"], "usage", "{request}: {}", answer.text);
        // Nobody listens there.
        let answer = nas.ask(User(ALICE), request.clone());
        assert_eq!(answer.body["error"]["kind"], "offline", "{request}: {}", answer.text);
        assert!(!answer.text.contains("secret"), "{}", answer.text);
    }
    let (open, closed, common) =
        (nas.folder("open", 0o755), nas.folder("closed", 0o700), nas.folder("common", 0o777));
    let look = |path: &Path| json!({ "request": "local_folders", "path": path });
    let make = |path: PathBuf| json!({ "request": "local_folder_make", "path": path });
    let told = |who| nas.done(who, look(&nas.bridge.folder))["folders"].to_string();
    for who in [Host, User(ALICE)] {
        assert!(told(who).contains(r#""open""#) && told(who).contains(r#""common""#));
    }
    assert!(told(Host).contains(r#""closed""#) && !told(User(ALICE)).contains(r#""closed""#));
    assert_eq!(nas.ask(User(ALICE), look(&closed)).status, 403);
    assert_eq!(nas.ask(User(ALICE), make(open.join("new"))).status, 403);
    // What Mooring makes is Mooring's own, which this user couldn't write.
    assert_eq!(nas.ask(User(ALICE), make(common.join("new"))).status, 403);
    assert!(!open.join("new").exists() && !common.join("new").exists());
    let made = nas.done(Host, make(common.join("new")));
    assert!(made["folders"] == json!([]) && common.join("new").is_dir());
}
