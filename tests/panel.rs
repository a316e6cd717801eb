//! The panel in a browser: Chromium is driven as a person would, with a real daemon and real servers behind the panel.
//! What it does stands in `tests/browser`; pictures of each page are kept in `target/panel/pictures`.

use crate::common::bridge::{Bridge, Running};
use crate::common::pair::eventually;
use crate::common::peers;
use mooring::services;
use mooring::store::{Event, Trees};
use serde_json::{Value, json};
use std::fs;
use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

const PASSWORD: &str = "correct horse battery";
/// Names the folder with Chromium and what drives it, where `tests/run` hasn't put them.
const ELSEWHERE: &str = "MOORING_BROWSER";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The panel as a browser loads it, built of what it is now.
fn panel() -> &'static Path {
    static PANEL: OnceLock<PathBuf> = OnceLock::new();
    PANEL.get_or_init(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("panel-ui");
        let _ = fs::remove_dir_all(&folder);
        let mut cargo = Command::new(env!("CARGO"));
        cargo.current_dir(root()).args(["run", "--quiet", "--locked", "--package", "packaging"]);
        succeed(cargo.args(["--", "panel", "--out"]).arg(&folder));
        folder
    })
}

#[track_caller]
fn succeed(command: &mut Command) -> Output {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let [said, told] = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text));
    assert!(output.status.success(), "{said}{told}");
    output
}

/// Runs a script of `tests/browser`, which is told what it needs.
fn browse(script: &str, mut given: Value) {
    let peers =
        std::env::var_os(ELSEWHERE).map_or_else(|| root().join("target/peers"), PathBuf::from);
    for part in ["debian/usr/lib/chromium/chromium", "browser/node_modules"] {
        assert!(peers.join(part).exists(), "{part} is missing: run tests/run --install");
    }
    given["peers"] = json!(peers);
    given["shots"] = json!(root().join("target/panel/pictures").join(script));
    let file = root().join("tests/browser").join(format!("{script}.mjs"));
    let output = succeed(Command::new("node").arg(file).env("PANEL_TEST", given.to_string()));
    print!("{}", String::from_utf8_lossy(&output.stdout));
}

/// A folder for the moment, by its one true path, that users of the NAS can get to.
fn fresh(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("mooring-{}-panel-{name}", std::process::id()));
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
    folder.canonicalize().unwrap()
}

/// A box whose daemon serves the panel itself, gone when the test ends.
struct Nas {
    folder: PathBuf,
    local: PathBuf,
    base: String,
    daemon: Option<Running>,
}

impl Nas {
    /// One with a password, and nothing else.
    fn new(name: &str) -> Nas {
        let folder = fresh(name);
        let local = folder.join("nas");
        fs::create_dir(&local).unwrap();
        let new = Nas { folder, local, base: String::new(), daemon: None };
        let mut set = new.command(&["settings", "password"]);
        let mut set = set.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        writeln!(set.stdin.take().unwrap(), "{PASSWORD}").unwrap();
        assert!(set.wait().unwrap().success());
        new
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mooring"));
        command.args(words).env("MOORING_STATE", self.folder.join("state")).stderr(Stdio::null());
        command
    }

    #[track_caller]
    fn done(&self, words: &[&str]) {
        succeed(self.command(words).stderr(Stdio::piped()));
    }

    /// Starts the daemon with the panel.
    fn served(mut self) -> Nas {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let port = port.to_string();
        let page = panel().to_str().unwrap();
        let daemon = self.command(&["daemon", "--listen", &port, "--panel", page]).spawn().unwrap();
        self.daemon = Some(Running::of(daemon));
        let address = format!("127.0.0.1:{port}");
        eventually("it listens", || TcpStream::connect(&address).is_ok());
        self.base = format!("http://localhost:{port}/");
        self
    }
}

impl Drop for Nas {
    fn drop(&mut self) {
        self.daemon = None;
        let _ = fs::remove_dir_all(&self.folder);
    }
}

#[test]
fn a_bucket_is_chosen_and_made_in_a_browser() {
    let nas = Nas::new("buckets").served();
    let (s3, azure, b2) = (peers::moto(), peers::azurite(), peers::b2());
    let (gcs, swift) = (peers::gcs(), peers::swift_api());
    let (bucket, container) = (s3.new_bucket(), azure.new_container());
    let made = format!("{bucket}-made");
    browse(
        "buckets",
        json!({
            "base": nas.base, "password": PASSWORD, "local": nas.local, "bucket": bucket, "made": made,
            "s3": { "endpoint": s3.endpoint, "access_key": s3.access_key, "secret_key": s3.secret_key },
            "azure": { "endpoint": azure.endpoint, "account": azure.account, "key": azure.key, "container": container },
            "b2": { "endpoint": b2.endpoint, "id": b2.key_id, "key": b2.key, "made": made },
            "gcs": { "endpoint": gcs.fake.endpoint, "key": gcs.key, "made": made },
            "swift": {
                "endpoint": swift.endpoint, "user": swift.settings[0].1, "key": swift.key, "made": made,
            },
        }),
    );
    // How a file is stored is in what the server tells of it.
    for (name, is_in_parts) in [("small.txt", false), ("large.bin", true)] {
        let file = format!("peer:{made}/{name}");
        let told = s3.rclone(&["lsjson", "--stat", "--dump", "headers", &file]).stderr;
        let told = String::from_utf8(told).unwrap().to_lowercase();
        for header in [
            "x-amz-storage-class: standard_ia",
            "x-amz-server-side-encryption: aws:kms",
            "x-amz-server-side-encryption-aws-kms-key-id: notes-key",
        ] {
            assert!(told.contains(header), "{name}: {told}");
        }
        // Behind the hyphen, its print tells in how many parts it was sent.
        let print = told.lines().find_map(|line| line.strip_prefix("etag: ")).unwrap();
        assert_eq!(print.contains('-'), is_in_parts, "{name}: {print}");
    }
    for listed in [
        b2.rclone(&["lsf", &format!("peer:{made}")]),
        gcs.rclone(&["lsf", &format!("peer:{made}")]),
    ] {
        assert!(listed.status.success());
    }
}

#[test]
fn what_a_task_leaves_out_is_chosen_in_a_browser() {
    let nas = Nas::new("filters").served();
    let dav = peers::rclone_dav();
    let cloud = dav.new_folder();
    let [only, file] = [format!("peer:{cloud}/only in the cloud"), "kept.txt".into()];
    let from: PathBuf = nas.folder.join(&file);
    fs::write(&from, "stays").unwrap();
    assert!(dav.rclone(&["copy", from.to_str().unwrap(), &only]).status.success());
    browse(
        "filters",
        json!({
            "base": nas.base, "password": PASSWORD, "local": nas.local,
            "dav": { "url": format!("{}{cloud}/", dav.url), "user": dav.user, "password": dav.password },
        }),
    );
    let listed = dav.rclone(&["lsf", "--recursive", "--files-only", &format!("peer:{cloud}")]);
    let listed = String::from_utf8(listed.stdout).unwrap();
    let mut there: Vec<_> = listed.lines().collect();
    there.sort_unstable();
    let only = format!("only in the cloud/{file}");
    assert_eq!(there, [&*only, "raw/2023/a.raw", "trips/d.jpg", "trips/e.iso", "trips/large.bin"]);
    assert!(!nas.local.join("photo/only in the cloud").exists());
}

#[test]
fn what_isnt_in_sync_is_solved_in_a_browser() {
    let nas = Nas::new("items").served();
    let (s3, dropbox) = (peers::moto(), peers::new_dropbox());
    let bucket = s3.new_bucket();
    browse(
        "items",
        json!({
            "base": nas.base, "password": PASSWORD, "local": nas.local, "bucket": bucket,
            "s3": { "endpoint": s3.endpoint, "access_key": s3.access_key, "secret_key": s3.secret_key },
            "dropbox": { "endpoint": dropbox.endpoint, "id": dropbox.client_id },
        }),
    );
    let listed =
        s3.rclone(&["lsf", "--recursive", "--files-only", &format!("peer:{bucket}/notes")]);
    let listed = String::from_utf8(listed.stdout).unwrap();
    let mut there: Vec<_> = listed.lines().collect();
    there.sort_unstable();
    assert_eq!(there, ["10_ off/in it.txt", "plans/part 1.txt", "plans/part _1.txt", "skip.iso"]);
}

#[test]
fn an_owner_does_everything_in_a_browser() {
    let nas = Nas::new("loopback").served();
    let (dav, drive) = (peers::rclone_dav(), peers::new_google_drive());
    let (cloud, shelf) = (dav.new_folder(), drive.new_folder());
    browse(
        "loopback",
        json!({
            "base": nas.base, "password": PASSWORD, "local": nas.local, "daemon": nas.daemon.as_ref().unwrap().id(),
            "dav": { "url": format!("{}{cloud}/", dav.url), "user": dav.user, "password": dav.password },
            "drive": {
                "endpoint": drive.endpoint, "id": drive.client_id, "secret": drive.client_secret, "folder": shelf,
            },
        }),
    );
    let listed = dav.rclone(&["lsf", "--recursive", "--files-only", &format!("peer:{cloud}")]);
    // What was removed is gone.
    assert_eq!(String::from_utf8(listed.stdout).unwrap(), "pictures/new.txt\n");
}

#[test]
fn encrypted_folders_are_begun_and_opened_in_a_browser() {
    let nas = Nas::new("encryption").served();
    let dav = peers::rclone_dav();
    let cloud = dav.new_folder();
    for name in ["v1.0", "v3.0", "v3.1"] {
        let sample = root().join("tests/csenc").join(format!("{name}.csenc"));
        let to = format!("peer:{cloud}/old/{name}");
        assert!(dav.rclone(&["copyto", sample.to_str().unwrap(), &to]).status.success());
    }
    browse(
        "encryption",
        json!({
            "base": nas.base, "password": PASSWORD, "local": nas.local,
            "dav": { "url": format!("{}{cloud}/", dav.url), "user": dav.user, "password": dav.password },
            "cloud_sync": { "folder": "/old", "password": "correct horse battery staple" },
        }),
    );
    let listed = dav.rclone(&["lsf", "--recursive", &format!("peer:{cloud}/vault")]);
    let listed = String::from_utf8(listed.stdout).unwrap();
    assert!(listed.contains("mooring-key.json") && !listed.contains("monday"), "{listed}");
}

#[test]
fn each_field_of_a_service_has_a_name_in_each_language() {
    let texts = root().join("packaging/panel/texts");
    let texts: Vec<_> = fs::read_dir(texts).unwrap().map(|it| it.unwrap().path()).collect();
    assert_eq!(texts.len(), 10);
    for path in texts {
        let text = fs::read_to_string(&path).unwrap();
        let fields = text.split("[field]\n").nth(1).unwrap().split("\n\n").next().unwrap();
        let named: Vec<_> = fields.lines().map(|line| line.split('=').next().unwrap()).collect();
        for descriptor in services::ALL.iter().map(|service| service.descriptor()) {
            let of_tasks = descriptor.all_task_fields().map(|it| &it.field);
            // What signing in sets is shown to nobody.
            for field in
                descriptor.all_fields().chain(of_tasks).filter(|it| it.key != "refresh-token")
            {
                let key = field.key.replace('-', "_");
                assert!(named.contains(&&*key), "{}: {} {key}", path.display(), descriptor.name);
            }
        }
    }
}

#[test]
fn what_goes_wrong_is_told_in_each_language() {
    let nas = Nas::new("languages").served();
    let dav = peers::rclone_dav();
    browse(
        "languages",
        json!({
            "base": nas.base, "password": PASSWORD, "texts": root().join("packaging/panel/texts"),
            "dav": { "url": format!("{}{}/", dav.url, dav.new_folder()), "user": dav.user },
        }),
    );
}

#[test]
fn a_bucket_is_connected_lost_and_found_in_a_browser() {
    let nas = Nas::new("s3").served();
    let peer = peers::swift();
    let bucket = peer.new_bucket();
    let volume = fresh("volume");
    browse(
        "s3",
        json!({
            "base": nas.base, "password": PASSWORD, "local": nas.local, "volume": volume,
            "s3": {
                "endpoint": peer.endpoint, "region": peer.region, "bucket": bucket,
                "access": peer.access_key, "secret": peer.secret_key,
            },
        }),
    );
    let listed = peer.rclone(&["lsf", "--recursive", "--files-only", &format!("peer:{bucket}")]);
    let listed = String::from_utf8(listed.stdout).unwrap();
    for name in ["first.txt", "second.txt", "third.txt", "fourth.txt"] {
        assert!(listed.contains(name), "{name}: {listed}");
    }
    fs::remove_dir_all(volume).unwrap();
}

/// Rows of a long list.
const ROWS: usize = 100_000;

#[test]
fn of_a_long_list_only_what_is_seen_is_drawn() {
    let nas = Nas::new("lists");
    for number in 0..ROWS {
        fs::write(nas.local.join(format!("file {number:05}.tmp")), "").unwrap();
    }
    let dav = peers::rclone_dav();
    let (url, user) =
        (format!("url={}{}/", dav.url, dav.new_folder()), format!("user={}", dav.user));
    let secret = nas.folder.join("password");
    fs::write(&secret, &dav.password).unwrap();
    let secret = format!("password=@{}", secret.display());
    let values = ["--set", &url, "--set", &user, "--secret", &secret];
    nas.done(&[&["connection", "add", "cloud", "--service", "webdav"][..], &values].concat());
    let local = nas.local.to_str().unwrap();
    let task = ["task", "add", "docs", "--connection", "cloud", "--remote", "/", "--local", local];
    nas.done(&[&task[..], &["--exclude", "*.tmp"]].concat());
    nas.done(&["settings", "history", &ROWS.to_string()]);
    nas.done(&["sync", "docs"]);
    let (oldest, moved) = fill_history(&nas.folder.join("state/tasks/1.redb"));
    let nas = nas.served();
    let last = format!("file {:05}.tmp", ROWS - 1);
    browse(
        "lists",
        json!({ "base": nas.base, "password": PASSWORD, "last": last, "oldest": oldest, "moved": moved }),
    );
}

/// Gives a task's state as much history as it keeps; tells the path of the oldest line and of the oldest one that something
/// was moved.
fn fill_history(state: &Path) -> (String, String) {
    let trees = Trees::open(state).unwrap();
    let path = |number: usize| format!("photos/2026/picture {number:05}.jpg");
    let mut batch = trees.batch().unwrap();
    for number in 0..ROWS {
        let action = if number % 10 == 1 { "moved" } else { "uploaded" };
        let time = 1_790_000_000_000_000_000 + number as i64 * 1_000_000_000;
        let (action, detail) = (action.into(), String::new());
        batch.event(Event { time, action, path: path(number), bytes: 4096, detail }).unwrap();
    }
    batch.flush().unwrap();
    (path(0), path(1))
}

/// Names the users whose cookies they are, and nobody else.
const HELPER: &str = r#"#!/bin/sh
[ "$QUERY_STRING" = "SynoToken=Good.token-1_" ] || exit 0
case $HTTP_COOKIE in
    id=alice) echo nobody ;;
    id=admin) echo daemon ;;
esac
"#;
/// Only the second of them is an administrator.
const ID: &str = r#"#!/bin/sh
[ "$3" = daemon ] && echo 1 101 || echo 65534
"#;
const DESKTOP: &str = r#"<!doctype html><html lang="en"><title>The desktop</title><h1>The desktop</h1>
<iframe title="Mooring" src="index.html#SynoToken=Good.token-1_&lang=enu" width="100%" height="640"></iframe>
"#;

#[test]
fn a_user_of_the_nas_is_served_by_its_web_server() {
    let peer = peers::nginx_cgi();
    let bridge = Bridge::at(peer, "panel");
    bridge.program("helper", HELPER);
    bridge.program("id", ID);
    copy(panel(), &bridge.folder);
    fs::write(bridge.folder.join("desktop.html"), DESKTOP).unwrap();
    let daemon = bridge.real_daemon();

    let folder = fresh("nas");
    let (own, hidden) = (folder.join("own"), folder.join("hidden"));
    for (each, mode) in [(&own, 0o777), (&hidden, 0o700)] {
        fs::create_dir(each).unwrap();
        fs::set_permissions(each, fs::Permissions::from_mode(mode)).unwrap();
    }
    fs::write(own.join("letter.txt"), "Dear reader").unwrap();
    fs::write(own.join("9:30.txt"), "an appointment").unwrap();

    let dav = peers::rclone_dav();
    let cloud = dav.new_folder();
    browse(
        "nas",
        json!({
            "base": format!("https://{}/panel/", peer.address), "own": own, "hidden": hidden, "daemon": daemon.id(),
            "dav": { "url": format!("{}{cloud}/", dav.url), "user": dav.user, "password": dav.password },
        }),
    );
    for (name, content) in [("letter.txt", "Dear reader"), ("9_30.txt", "an appointment")] {
        let sent = dav.rclone(&["cat", &format!("peer:{cloud}/own/{name}")]);
        assert_eq!(String::from_utf8(sent.stdout).unwrap(), content);
    }
    fs::remove_dir_all(folder).unwrap();
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if from.is_dir() {
            copy(&from, &to);
        } else {
            fs::copy(&from, &to).unwrap();
        }
    }
}
