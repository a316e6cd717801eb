//! The real program as scripts use it: exit codes, documents, and that secrets stay secret.

use crate::common::peers::NOBODY;
use serde_json::{Value, json};
use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const SECRET: &str = "wJalrXUtnFEMI-K7MDENG-bPxRfiCYEXAMPLEKEY";

/// A state folder and a folder to sync, gone when the test ends.
struct Home {
    folder: PathBuf,
}

struct Answer {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.out)
            .unwrap_or_else(|error| panic!("{error}: {}{}", self.out, self.err))
    }

    #[track_caller]
    fn done(self) -> Self {
        assert_eq!(self.code, Some(0), "{}{}", self.out, self.err);
        self
    }

    #[track_caller]
    fn wrong(self, cause: &str) -> Self {
        assert_eq!(self.code, Some(2), "{}{}", self.out, self.err);
        assert!(self.err.contains(cause), "{cause}: {}", self.err);
        self
    }
}

impl Home {
    fn new(name: &str) -> Self {
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("command-line").join(name);
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(folder.join("data/inner")).unwrap();
        fs::create_dir_all(folder.join("other")).unwrap();
        Home { folder: folder.canonicalize().unwrap() }
    }

    fn state(&self) -> PathBuf {
        self.folder.join("state")
    }

    fn path(&self, name: &str) -> String {
        self.folder.join(name).to_str().unwrap().to_owned()
    }

    fn run(&self, line: &str) -> Answer {
        self.run_with(&line.split_whitespace().collect::<Vec<_>>(), "")
    }

    fn run_with(&self, args: &[&str], input: &str) -> Answer {
        let mut child = Command::new(env!("CARGO_BIN_EXE_mooring"))
            .args(args)
            .env("MOORING_STATE", self.state())
            .current_dir(&self.folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // A command that reads nothing may have ended already.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        let output = child.wait_with_output().unwrap();
        let [out, err] =
            [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
        assert!(!out.contains(SECRET) && !err.contains(SECRET), "a secret was printed");
        Answer { code: output.status.code(), out, err }
    }

    fn add_connection(&self, name: &str) {
        let line = format!(
            "connection add {name} --service s3 --set bucket=photos --set access-key=AKIA \
             --secret secret-key=-"
        );
        self.run_with(&line.split_whitespace().collect::<Vec<_>>(), &format!("{SECRET}\n")).done();
    }

    fn add_task(&self, name: &str, local: &str, remote: &str) -> Answer {
        self.run(&format!(
            "task add {name} --connection cloud --local {local} --remote {remote} --json"
        ))
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn wrong_usage_ends_with_2() {
    let home = Home::new("usage");
    for line in ["", "nonsense", "task add x", "sync", "sync a b", "--unknown", "service show no"] {
        home.run(line).wrong("mooring: ");
    }
    assert!(home.run("task show nothing").wrong("there is no such task").out.is_empty());
    let error = home.run("task show nothing --json").wrong("there is no such task").json();
    assert_eq!(error["error"]["kind"], "usage");
    assert!(error["error"]["reason"].is_string() && error["error"]["remedy"].is_string());
    assert_eq!(home.run("task list --limit 3 --json").json()["error"]["kind"], "usage");
    home.run("plan nothing").wrong("there is no such task");
    home.run("sync nothing").wrong("there is no such task");
}

#[test]
fn help_and_version_need_no_state() {
    let home = Home::new("help");
    assert!(home.run("--help").done().out.contains("mooring sync TASK"));
    assert!(home.run("sync --help").done().out.contains("--approve"));
    assert!(home.run("task -h").done().out.contains("mooring task add"));
    assert!(home.run("--version").done().out.starts_with("mooring "));
    assert!(!home.state().exists());
}

#[test]
fn services_tell_their_settings() {
    let home = Home::new("services");
    let list = home.run("service list --json").done().json();
    assert!(list.as_array().unwrap().iter().any(|service| service["name"] == "s3"));
    let service = home.run("--json service show s3").done().json();
    let field = |key: &str| {
        let fields = service["fields"].as_array().unwrap();
        fields.iter().find(|field| field["key"] == key).unwrap().clone()
    };
    assert_eq!(field("secret-key")["kind"], "secret");
    assert_eq!(field("bucket")["needed"], true);
    assert_eq!(field("poll")["default"], "60");
    for (key, range) in [("poll", [1, 86_400]), ("max-upload", [0, 10_485_760])] {
        assert_eq!(field(key)["range"], json!(range));
    }
    assert_eq!(service["bucket"]["min"], 3);
    let text = home.run("service show s3").done().out;
    assert!(text.contains("--secret secret-key") && text.contains("--set bucket"), "{text}");
}

#[test]
fn connections_come_and_go() {
    let home = Home::new("connections");
    assert_eq!(home.run("connection list --json").done().json(), json!([]));
    home.add_connection("cloud");
    home.run("connection add cloud --service s3 --set bucket=photos").wrong("the name is taken");
    let expected = json!({
        "name": "cloud",
        "service": "s3",
        "paused": false,
        "schedule": { "enabled": false, "grid": vec!["1".repeat(24); 7] },
        "settings": { "bucket": "photos", "access-key": "AKIA", "secret-key": "(sealed)" },
        "tasks": [],
    });
    assert_eq!(home.run("connection list --json").done().json(), json!([expected]));
    assert!(home.run("connection show cloud").done().out.contains("(sealed)"));

    home.run("connection set cloud --set region=eu-central-1 --set poll=5").done();
    let settings = &home.run("connection show cloud --json").done().json()["settings"];
    assert_eq!(settings["region"], "eu-central-1");
    assert_eq!(settings["secret-key"], "(sealed)");
    home.run("connection set cloud --set region=").done();
    let settings = &home.run("connection show cloud --json").done().json()["settings"];
    assert!(settings["region"].is_null());

    assert!(home.run("connection authorize cloud").done().out.contains("needs no sign-in"));
    let document = home.run("connection authorize cloud --json").done().json();
    assert_eq!(document, json!({ "connection": "cloud", "needed": false }));
    home.run("connection authorize cloud --listen").done();
    home.run("connection authorize cloud --answer=code").wrong("its settings are enough");
    assert_eq!(home.run("connection show cloud --json").done().json()["signed_in"], Value::Null);
    home.add_task("docs", "data", "/docs").done();
    home.run("connection remove cloud").wrong("tasks use it: docs");
    home.run("task remove docs").done();
    assert_eq!(home.run("connection remove cloud --json").done().json()["removed"], "cloud");
    assert_eq!(home.run("connection list --json").done().json(), json!([]));
}

#[test]
fn connections_are_checked() {
    let home = Home::new("checks");
    home.add_connection("cloud");
    fs::write(home.folder.join("bucket"), "photos").unwrap();
    for (change, cause) in [
        ("--set colour=blue", "there is no such setting"),
        ("--set bucket=", "it is missing"),
        ("--set bucket=NotAName", "can't be the name of a bucket"),
        ("--set poll=0", "'0' is not a whole number from 1 to 86400"),
        ("--set poll=86401", "whole number from 1 to 86400"),
        ("--set poll=often", "is not a whole number"),
        ("--set timeout=0", "whole number from 1 to 3600"),
        ("--set max-upload=-1", "whole number from 0 to 10485760"),
        ("--set max-download=10485761", "whole number from 0 to 10485760"),
        ("--set endpoint=ftp://host", "is not an http(s) address"),
        ("--set ca=@bucket", "certificate"),
        ("--set part-size=1", "part-size"),
        ("--secret bucket=@data", "Is a directory"),
        ("--secret bucket=-", "it is empty"),
    ] {
        let answer = home.run(&format!("connection set cloud {change}"));
        assert!(answer.code != Some(0) && answer.err.contains(cause), "{change}: {}", answer.err);
    }
    home.run("connection set cloud --set secret-key=x").wrong("it is a secret");
    home.run("connection set cloud --secret bucket=@bucket").wrong("it isn't a secret");
    home.run("connection set cloud --set bucket=@bucket").done();
    home.run("connection add --service s3 -- -x").wrong("dash");
    home.run("connection add x --service nonsense").wrong("there is no such service");
}

#[test]
fn secrets_are_sealed() {
    let home = Home::new("secrets");
    home.add_connection("cloud");
    let key = home.state().join("state.key");
    assert_eq!(mode(&key), 0o600);
    assert_eq!(mode(&home.state()), 0o700);
    assert_eq!(mode(&home.state().join("settings.redb")), 0o600);
    assert_eq!(fs::metadata(&key).unwrap().len(), 32);
    for file in fs::read_dir(home.state()).unwrap() {
        let path = file.unwrap().path();
        if path.is_file() {
            let bytes = fs::read(&path).unwrap();
            let found = bytes.windows(SECRET.len()).any(|window| window == SECRET.as_bytes());
            assert!(!found, "the secret is in {}", path.display());
        }
    }

    // Another key, and none: a person has to enter the secrets again, and can.
    fs::write(&key, [7; 32]).unwrap();
    let answer = home.run("connection test cloud");
    assert_eq!(answer.code, Some(3), "{}", answer.err);
    assert!(answer.err.contains("enter the secrets again"), "{}", answer.err);
    fs::remove_file(&key).unwrap();
    let answer = home.run("connection test cloud --json");
    assert_eq!((answer.code, &answer.json()["error"]["kind"]), (Some(3), &json!("sign-in")));
    home.run_with(&["connection", "set", "cloud", "--secret", "secret-key=-"], SECRET).done();
    home.run("connection set cloud --set endpoint=http://127.0.0.1:1 --set timeout=1").done();
    let answer = home.run("connection show cloud");
    assert!(answer.done().out.contains("(sealed)"));
}

#[test]
fn tasks_come_and_go() {
    let home = Home::new("tasks");
    home.add_connection("cloud");
    let task = home.add_task("docs", "data", "/docs/").done().json();
    let expected = json!({
        "name": "docs",
        "id": 1,
        "connection": "cloud",
        "local": home.path("data"),
        "remote": "/docs",
        "direction": "both",
        "conflict": "local",
        "consistency_check": false,
        "keep_removed": false,
        "recycle_days": 30,
        "filter": { "folders": [], "patterns": [], "max_size": null },
        "settings": {},
        "paused": false,
    });
    assert_eq!(task, expected);
    assert_eq!(home.run("task list --json").done().json(), json!([expected]));
    assert!(home.run("task list").done().out.contains("cloud:/docs"));

    home.run("task set docs --direction upload --keep-removed").done();
    let task = home.run("task show docs --json").done().json();
    assert_eq!((&task["direction"], &task["keep_removed"]), (&json!("upload"), &json!(true)));
    assert_eq!(task["id"], 1);
    let book = mooring::settings::Book::open(&home.state()).unwrap();
    assert_eq!(book.task("docs").unwrap().revision, 1, "what was planned is planned anew");
    drop(book);
    home.run("task set docs --recycle 7").done();
    assert_eq!(home.run("task show docs --json").done().json()["recycle_days"], 7);
    home.run("task set docs --recycle 3651").wrong("too many");
    home.run("task set docs --no-keep-removed --local other").done();
    let task = home.run("task show docs --json").done().json();
    assert_eq!((&task["id"], &task["keep_removed"]), (&json!(2), &json!(false)));

    let state = home.state().join("tasks/2.redb");
    fs::write(&state, "").unwrap();
    assert_eq!(home.run("task remove docs --json").done().json()["removed"], "docs");
    assert!(!state.exists());
    assert!(Path::new(&home.path("other")).exists());
    assert_eq!(home.add_task("docs", "data", "/").done().json()["id"], 3);
}

#[test]
fn folders_that_the_service_takes_for_the_same_overlap() {
    let home = Home::new("case");
    home.run("connection add box --service dropbox --set client-id=app").done();
    home.run("task add docs --connection box --local data --remote /Docs").done();
    for remote in ["/docs", "/DOCS/inner"] {
        let line = format!("task add more --connection box --local other --remote {remote}");
        home.run(&line).wrong("overlaps the remote folder /Docs");
    }
    home.run("task add more --connection box --local other --remote /docs-2").done();
}

#[test]
fn schedules_are_set_and_kept() {
    let home = Home::new("schedules");
    home.add_connection("cloud");
    let schedule = || home.run("connection show cloud --json").done().json()["schedule"].clone();
    let set = |text: &str| home.run_with(&["connection", "set", "cloud", "--schedule", text], "");
    assert!(set("mon-fri 22-7").wrong("isn't days and hours").err.contains("mon-fri 0-7,22-24"));
    let text = "mon-fri 0-7,22-24; sat-sun 0-24";
    assert!(set(text).done().out.contains(text));
    let (week, end) = (format!("1111111{}11", "0".repeat(15)), "1".repeat(24));
    let rows = [&week, &week, &week, &week, &week, &end, &end];
    assert_eq!(schedule(), json!({ "enabled": true, "grid": rows }));
    assert!(set("off").done().out.contains(&format!("off ({text})")));
    assert_eq!(schedule(), json!({ "enabled": false, "grid": rows }));
    home.run("connection set cloud --set poll=5").done();
    set("on").done();
    assert_eq!(schedule(), json!({ "enabled": true, "grid": rows }));
}

#[test]
fn what_a_task_leaves_out_is_set_told_and_taken_back() {
    let home = Home::new("filters");
    home.add_connection("cloud");
    let line = "task add docs --connection cloud --local data --remote /docs --exclude-folder /a/b/ \
                --exclude-folder raw --exclude *.iso --exclude Thumb?.db --max-size 20480 --json";
    let task = home.run(line).done().json();
    let expected = json!({
        "folders": ["a/b", "raw"],
        "patterns": ["*.iso", "Thumb?.db"],
        "max_size": 20_480_u64 << 20,
    });
    assert_eq!(task["filter"], expected);
    assert_eq!(home.run("task show docs --json").done().json()["filter"], expected);
    let text = home.run("task show docs").done().out;
    for told in ["a/b, raw", "*.iso, Thumb?.db", "20.0 GiB"] {
        assert!(text.contains(told), "{told}: {text}");
    }
    let revision =
        || mooring::settings::Book::open(&home.state()).unwrap().task("docs").unwrap().revision;
    assert_eq!(revision(), 0);
    home.run("task set docs --exclude *.iso --max-size 20480").done();
    assert_eq!(revision(), 0, "nothing changed");
    let line = "task set docs --include *.iso --exclude [ab]* --include-folder raw --max-size 0";
    let task = home.run(&format!("{line} --json")).done().json();
    let expected =
        json!({ "folders": ["a/b"], "patterns": ["Thumb?.db", "[ab]*"], "max_size": null });
    assert_eq!((&task["filter"], &task["id"]), (&expected, &json!(1)));
    assert_eq!(revision(), 1, "what was looked at is looked at anew");

    for (change, cause) in [
        ("--exclude-folder /", "the whole of the task"),
        ("--exclude-folder a/../b", "a part of it is empty"),
        ("--exclude a/b", "it has a /"),
        ("--exclude [a", "has no ]"),
        ("--exclude=", "1 to 255 characters"),
        ("--include *.iso", "the task doesn't exclude it"),
        ("--include-folder raw", "the task doesn't exclude it"),
        ("--max-size 1.5", "not a number of MB"),
    ] {
        home.run(&format!("task set docs {change}")).wrong(cause);
    }
    home.run("task set docs --include-folder a/b --include Thumb?.db --include [ab]*").done();
    assert!(!home.run("task show docs").done().out.contains("excluded"));
    assert!(home.run("task set --help").done().out.contains("--include-folder PATH"));
}

#[test]
fn folders_of_tasks_do_not_overlap() {
    let home = Home::new("overlap");
    home.add_connection("cloud");
    home.add_connection("second");
    home.add_task("docs", "data", "/docs").done();
    symlink("data", home.folder.join("link")).unwrap();
    for (local, remote) in [
        ("data", "/a"),
        ("data/inner", "/a"),
        ("data/../data", "/a"),
        ("other", "/docs/inner"),
        ("other", "/"),
        ("link", "/a"),
        ("link/inner", "/a"),
    ] {
        home.add_task("more", local, remote).wrong("overlaps");
    }
    home.add_task("more", "missing", "/a").wrong("local folder");
    home.add_task("more", "state", "/a").wrong("Mooring's own state");
    home.add_task("more", ".", "/a").wrong("Mooring's own state");
    home.add_task("more", "other", "/a/../b").wrong("remote folder");
    home.add_task("docs", "other", "/a").wrong("the name is taken");
    home.add_task("more", "other", "/docs-2").done();
    for local in ["data", "data/inner", "link"] {
        home.run(&format!("task set more --local {local}")).wrong("overlaps");
    }
    for remote in ["/docs", "/docs/inner", "/"] {
        home.run(&format!("task set more --remote {remote}")).wrong("overlaps");
    }
    home.run("task set docs --local data --remote /docs").done();
    // What a folder was when it was entered may lead elsewhere by now.
    let moved = home.folder.join("moved");
    fs::rename(home.folder.join("other"), &moved).unwrap();
    symlink(home.folder.join("data/inner"), home.folder.join("other")).unwrap();
    home.run("task set docs --local data --remote /docs-3").wrong("local folder");
    fs::remove_file(home.folder.join("other")).unwrap();
    fs::rename(&moved, home.folder.join("other")).unwrap();
    home.run("task add third --connection second --local data --remote /").done();
    home.run("task add fourth --connection none --local data --remote /").wrong("connection");
}

#[test]
fn another_bucket_is_compared_anew() {
    let home = Home::new("bucket");
    home.add_connection("cloud");
    home.add_task("docs", "data", "/docs").done();
    let id = || home.run("task show docs --json").done().json()["id"].as_u64();
    home.run("connection set cloud --set bucket=photos --set poll=9 --set part-size=9").done();
    assert_eq!(id(), Some(1));
    fs::write(home.state().join("tasks/1.redb"), "").unwrap();
    home.run("connection set cloud --set bucket=pictures").done();
    assert_eq!(id(), Some(2));
    assert!(!home.state().join("tasks/1.redb").exists());
    // In another region there may be another bucket of that name.
    home.run("connection set cloud --set region=eu-central-1").done();
    assert_eq!(id(), Some(3));
}

#[test]
fn pausing_is_told() {
    let home = Home::new("pause");
    home.add_connection("cloud");
    home.add_task("docs", "data", "/docs").done();
    home.run("pause docs").done();
    home.run("pause --connection cloud").done();
    let paused = home.run("pause --json").done().json();
    assert_eq!(paused, json!({ "everything": true, "connections": ["cloud"], "tasks": ["docs"] }));
    let status = home.run("status --json").done().json();
    assert_eq!((&status["daemon"], &status["paused"]), (&json!(false), &json!(true)));
    assert_eq!(status["tasks"][0]["state"], "paused");
    let answer = home.run("sync docs");
    assert_eq!(answer.code, Some(3));
    assert!(answer.err.contains("mooring resume"), "{}", answer.err);
    for line in ["resume", "resume --connection cloud", "resume docs"] {
        home.run(line).done();
    }
    assert_eq!(home.run("status --json").done().json()["tasks"][0]["state"], "stopped");
    home.run("pause nothing").wrong("there is no such task");
    assert_eq!(home.run("log --json").done().json(), json!([]));
}

#[test]
fn settings_have_ranges() {
    let home = Home::new("settings");
    let settings = home.run("settings --json").done().json();
    let first = json!({
        "transfers": 4, "history": 10_000, "admin_mode": false, "log_level": "info", "state_location": "",
    });
    assert_eq!(settings, first);
    assert_eq!(home.run("settings transfers 20 --json").done().json()["transfers"], 20);
    for line in ["transfers 0", "transfers 21", "history 4", "history 100001", "colour blue"] {
        home.run(&format!("settings {line}")).wrong("setting");
    }
    assert_eq!(home.run("settings --json").done().json()["transfers"], 20);
}

#[test]
fn a_damaged_state_is_an_error() {
    let home = Home::new("damaged");
    fs::create_dir_all(home.state()).unwrap();
    fs::write(home.state().join("settings.redb"), [42; 5000]).unwrap();
    let answer = home.run("task list --json");
    assert_eq!(answer.code, Some(1), "{}", answer.err);
    assert!(answer.err.contains("settings.redb"), "{}", answer.err);
}

#[test]
fn only_one_process_has_the_settings() {
    let home = Home::new("locked");
    let book = mooring::settings::Book::open(&home.state()).unwrap();
    let answer = home.run("task list --json");
    assert_eq!((answer.code, &answer.json()["error"]["kind"]), (Some(1), &json!("state")));
    drop(book);
    home.run("task list").done();
}

#[test]
fn what_root_does_on_anothers_state_is_that_ones() {
    // Only root can be somebody else.
    if !nix::unistd::geteuid().is_root() {
        return;
    }
    let folder = std::env::temp_dir().join(format!("mooring-{}-sudo", std::process::id()));
    let state = folder.join("var/state");
    fs::create_dir_all(folder.join("nas")).unwrap();
    fs::create_dir_all(state.parent().unwrap()).unwrap();
    chown(state.parent().unwrap(), Some(NOBODY), Some(NOBODY)).unwrap();
    // Only root may read it.
    let secret = folder.join("secret");
    fs::write(&secret, SECRET).unwrap();
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
    let run = |words: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mooring"));
        let output = command.args(words).env("MOORING_STATE", &state).output().unwrap();
        assert!(output.status.success(), "{words:?}: {output:?}");
    };
    let secret = format!("secret-key=@{}", secret.display());
    let add = ["connection", "add", "cloud", "--service", "s3", "--set", "bucket=photos", "--set"];
    run(&[&add[..], &["access-key=AKIA", "--secret", &secret]].concat());
    // The folder is there by now.
    let nas = folder.join("nas");
    let nas = nas.to_str().unwrap();
    run(&["task", "add", "docs", "--connection", "cloud", "--local", nas, "--remote", "/"]);
    let mut left = vec![state.clone()];
    let mut seen = 0;
    while let Some(path) = left.pop() {
        let found = path.symlink_metadata().unwrap();
        assert_eq!((found.uid(), found.gid()), (NOBODY, NOBODY), "{}", path.display());
        seen += 1;
        if found.is_dir() {
            left.extend(fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
        }
    }
    assert!(seen > 2);
    fs::remove_dir_all(folder).unwrap();
}
