//! A local folder and a folder on a server, kept the same by the real program. A person works in
//! the first, and in the second with rclone or by what a fake can be told.

use super::bench::{TempFolder, is_recycle_area};
use super::peers::{AzurePeer, B2Peer, DavPeer, FakePeer, GcsPeer, S3Peer, SwiftPeer};
use super::relay::Relay;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Far longer than anything takes; whatever takes longer never comes.
const PATIENCE: Duration = Duration::from_secs(60);

/// What stands for its folder on Backblaze B2; rclone sees a file.
const MARKER: &str = ".bzEmpty";

/// Files with their content, folders with `None`.
pub type Tree = BTreeMap<String, Option<Vec<u8>>>;

/// A server of any kind.
#[derive(Clone, Copy)]
pub enum Peer {
    S3(&'static S3Peer),
    Azure(&'static AzurePeer),
    Dav(&'static DavPeer),
    B2(&'static B2Peer),
    Gcs(&'static GcsPeer),
    Swift(&'static SwiftPeer),
    /// A cloud service that a fake stands for. The person there works by the fake's controls where
    /// rclone, which each time goes by way of a proxy of its own, would take most of the time.
    Fake(&'static FakePeer),
}

pub struct Pair {
    pub peer: Peer,
    /// The local folder.
    pub local: PathBuf,
    /// The remote folder, to rclone.
    place: String,
    /// The same as the server has it, whatever is encrypted in it.
    stored: String,
    /// What makes the connection.
    connection: Vec<String>,
    /// The remote folder, to the program.
    remote: String,
    /// What is in it is encrypted, and only rclone's crypt knows what it is.
    encrypted: bool,
    folder: TempFolder,
}

/// The password of encrypted tasks.
pub const ENCRYPTION_PASSWORD: &str = "correct horse battery";

impl Peer {
    pub fn name(self) -> &'static str {
        match self {
            Peer::S3(peer) => peer.name,
            Peer::Azure(peer) => peer.name,
            Peer::Dav(peer) => peer.name,
            Peer::B2(peer) => peer.name,
            Peer::Gcs(peer) => peer.fake.name,
            Peer::Swift(peer) => peer.name,
            Peer::Fake(peer) => peer.name,
        }
    }

    pub fn is_s3(self) -> bool {
        matches!(self, Peer::S3(_))
    }

    /// Whether it has names, not folders, and takes large files in parts of a size that can be set.
    pub fn is_store(self) -> bool {
        matches!(self, Peer::S3(_) | Peer::Azure(_) | Peer::B2(_) | Peer::Gcs(_) | Peer::Swift(_))
    }

    /// Whether no empty folders are seen there: `rclone serve s3` has no markers, and rclone doesn't
    /// know those of Swift.
    pub fn forgets_folders(self) -> bool {
        self.name() == "rclone-s3" || matches!(self, Peer::Swift(_))
    }

    /// A relay in front of it.
    pub fn relay(self) -> Relay {
        Relay::before(match self {
            Peer::S3(peer) => &peer.endpoint,
            Peer::Azure(peer) => &peer.endpoint,
            Peer::Dav(peer) => &peer.url,
            Peer::B2(peer) => &peer.endpoint,
            Peer::Gcs(peer) => &peer.fake.endpoint,
            Peer::Swift(peer) => &peer.endpoint,
            Peer::Fake(peer) => &peer.endpoint,
        })
    }

    fn rclone(self, args: &[&str]) -> Output {
        // Empty folders are told and made as Mooring does.
        match self {
            Peer::S3(peer) if !self.forgets_folders() => {
                peer.rclone(&[args, &["--s3-directory-markers"]].concat())
            }
            Peer::S3(peer) => peer.rclone(args),
            // With markers, it fails at a folder that has none.
            Peer::Azure(peer) if args.first() == Some(&"purge") => peer.rclone(args),
            Peer::Azure(peer) => peer.rclone(&[args, &["--azureblob-directory-markers"]].concat()),
            Peer::Dav(peer) => peer.rclone(args),
            Peer::B2(peer) => peer.rclone(args),
            Peer::Gcs(peer) if args.first() == Some(&"purge") => peer.rclone(args),
            Peer::Gcs(peer) => peer.rclone(&[args, &["--gcs-directory-markers"]].concat()),
            Peer::Swift(peer) => peer.rclone(args),
            Peer::Fake(peer) if peer.name == "dropbox" => peer.rclone(&[("TYPE", "dropbox")], args),
            Peer::Fake(peer) => peer.rclone(&[("TYPE", "drive"), ("SCOPE", "drive")], args),
        }
    }
}

impl Pair {
    /// Both sides empty, with a task called `docs`; `flags` are those of `task add`.
    pub fn new(peer: Peer, flags: &[&str]) -> Pair {
        Pair::through(peer, None, flags)
    }

    /// The same by way of a relay.
    pub fn through(peer: Peer, relay: Option<&Relay>, flags: &[&str]) -> Pair {
        let mut pair = Pair::connected(peer, relay);
        let encrypted = flags.iter().find_map(|flag| flag.strip_prefix("encryption="));
        if encrypted.is_some() {
            pair.set_secret("encryption-password", ENCRYPTION_PASSWORD);
        }
        pair.done(&pair.task_line(flags));
        if let Some(way) = encrypted {
            pair.sees_through(way);
        }
        pair
    }

    /// Both sides empty, with a connection called `cloud` and no task.
    pub fn connected(peer: Peer, relay: Option<&Relay>) -> Pair {
        let folder = TempFolder::new();
        let local = folder.path().join("local");
        fs::create_dir(&local).unwrap();
        let seen = |url: &str| relay.map_or(url.into(), |relay| relay.url(url));
        let (service, place, remote, values, secrets) = match peer {
            Peer::S3(it) => {
                let bucket = it.new_bucket();
                let values = vec![
                    format!("endpoint={}", seen(&it.endpoint)),
                    format!("region={}", it.region),
                    format!("bucket={bucket}"),
                    format!("access-key={}", it.access_key),
                    "part-size=5".into(),
                ];
                let secrets = vec![("secret-key", &it.secret_key)];
                let place = format!("peer:{bucket}/docs");
                (it.service, place, "/docs".to_string(), values, secrets)
            }
            Peer::Azure(it) => {
                let container = it.new_container();
                let values = vec![
                    format!("endpoint={}", seen(&it.endpoint)),
                    format!("account={}", it.account),
                    format!("container={container}"),
                    "block-size=5".into(),
                ];
                let place = format!("peer:{container}/docs");
                ("azure-blob", place, "/docs".to_string(), values, vec![("account-key", &it.key)])
            }
            Peer::Dav(it) => {
                let root = it.new_folder();
                let values = vec![format!("url={}", seen(&it.url)), format!("user={}", it.user)];
                let (place, remote) = (format!("peer:{root}/docs"), format!("/{root}/docs"));
                ("webdav", place, remote, values, vec![("password", &it.password)])
            }
            Peer::B2(it) => {
                let bucket = it.new_bucket();
                // Versions end by themselves, as on most services.
                let rule = json!({ "fileNamePrefix": "", "daysFromHidingToDeleting": 30 });
                it.control("lifecycle", json!({ "bucket": bucket, "rules": [rule] }));
                let values = vec![
                    format!("endpoint={}", seen(&it.endpoint)),
                    format!("bucket={bucket}"),
                    format!("key-id={}", it.key_id),
                    "part-size=5".into(),
                ];
                let secrets = vec![("application-key", &it.key)];
                ("b2", format!("peer:{bucket}/docs"), "/docs".to_string(), values, secrets)
            }
            Peer::Gcs(it) => {
                let bucket = it.new_bucket();
                let values = vec![
                    format!("endpoint={}", seen(&it.fake.endpoint)),
                    format!("bucket={bucket}"),
                    "part-size=5".into(),
                ];
                let place = format!("peer:{bucket}/docs");
                (
                    it.fake.name,
                    place,
                    "/docs".to_string(),
                    values,
                    vec![("service-account", &it.key)],
                )
            }
            Peer::Swift(it) => {
                let container = it.new_container();
                let mut values = vec![
                    format!("endpoint={}", seen(&it.endpoint)),
                    format!("container={container}"),
                    "segment-size=5".into(),
                ];
                values.extend(it.settings.iter().map(|(key, value)| format!("{key}={value}")));
                let place = format!("peer:{container}/docs");
                ("swift", place, "/docs".to_string(), values, vec![("key", &it.key)])
            }
            Peer::Fake(it) => {
                let root = it.new_folder();
                let values = vec![
                    format!("endpoint={}", seen(&it.endpoint)),
                    format!("client-id={}", it.client_id),
                ];
                let secrets = vec![
                    ("client-secret", &it.client_secret),
                    ("refresh-token", &it.refresh_token),
                ];
                (it.name, format!("peer:{root}/docs"), format!("/{root}/docs"), values, secrets)
            }
        };
        let (connection, encrypted) = (Vec::new(), false);
        let stored = place.clone();
        let mut pair = Pair { peer, local, place, stored, connection, remote, encrypted, folder };
        let mut line = vec!["connection", "add", "cloud", "--service", service, "--set", "poll=1"];
        line.extend(values.iter().flat_map(|value| ["--set", value]));
        let secrets: Vec<_> = secrets.into_iter().map(|it| pair.secret(it.0, it.1)).collect();
        line.extend(secrets.iter().flat_map(|secret| ["--secret", secret]));
        pair.done(&line);
        pair.connection = line.into_iter().map(str::to_owned).collect();
        pair
    }

    /// Another NAS with the same connection, without a task: its local folder is empty.
    pub fn another(&self) -> Pair {
        let folder = TempFolder::new();
        let local = folder.path().join("local");
        fs::create_dir(&local).unwrap();
        let pair = Pair {
            peer: self.peer,
            local,
            place: self.place.clone(),
            stored: self.stored.clone(),
            connection: self.connection.clone(),
            remote: self.remote.clone(),
            encrypted: self.encrypted,
            folder,
        };
        pair.done(&pair.connection.iter().map(String::as_str).collect::<Vec<_>>());
        pair
    }

    /// What adds the task `docs` with these flags.
    pub fn task_line<'a>(&'a self, flags: &[&'a str]) -> Vec<&'a str> {
        let line = ["task", "add", "docs", "--connection", "cloud", "--remote", &self.remote];
        [&line[..], &["--local", self.local.to_str().unwrap()], flags].concat()
    }

    pub fn set_secret(&self, key: &str, value: &str) {
        let secret = self.secret(key, value);
        self.done(&["connection", "set", "cloud", "--secret", &secret]);
    }

    /// The exported key of the connection.
    pub fn key(&self) -> String {
        let file = self.folder.path().join("exported");
        let _ = fs::remove_file(&file);
        self.done(&["connection", "export-key", "cloud", "-o", file.to_str().unwrap()]);
        fs::read_to_string(file).unwrap().trim().to_owned()
    }

    /// The private key out of what was exported of a connection in Cloud Sync's format, where it is
    /// stored as it is.
    pub fn private_key(&self) -> String {
        let file = self.folder.path().join("key.zip");
        self.done(&["connection", "export-key", "cloud", "-o", file.to_str().unwrap()]);
        let zip = String::from_utf8_lossy(&fs::read(file).unwrap()).into_owned();
        let (begin, end) = ("-----BEGIN RSA PRIVATE KEY", "END RSA PRIVATE KEY-----\n");
        let (from, to) = (zip.find(begin).unwrap(), zip.find(end).unwrap());
        zip[from..to + end.len()].to_owned()
    }

    /// From now on `@` is to rclone what is in the encrypted folder.
    pub fn sees_through(&mut self, way: &str) {
        let names = match way {
            "contents" => ",filename_encryption=off,directory_name_encryption=false,suffix=none",
            _ => "",
        };
        let obscured = self.rclone(&["obscure", &self.key()]);
        let (remote, password) = (&self.stored, obscured.trim());
        self.place = format!(":crypt,remote=\"{remote}\",password=\"{password}\"{names}:");
        self.encrypted = true;
    }

    /// The fake that can be told what happens at the remote side.
    fn fake(&self) -> Option<&'static FakePeer> {
        match self.peer {
            Peer::Fake(fake) if !self.encrypted => Some(fake),
            _ => None,
        }
    }

    /// What tells a connection this secret, by way of a file.
    fn secret(&self, key: &str, value: &str) -> String {
        let file = self.folder.path().join(key);
        fs::write(&file, value).unwrap();
        format!("{key}=@{}", file.display())
    }

    // ---- the program

    pub fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mooring"));
        command.args(args).env("MOORING_STATE", self.state());
        command.stdin(Stdio::null());
        command
    }

    pub fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    #[track_caller]
    pub fn done(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert!(output.status.success(), "{}: {args:?}: {output:?}", self.peer.name());
        String::from_utf8(output.stdout).unwrap()
    }

    /// One sync that has to succeed, and its report.
    #[track_caller]
    pub fn sync(&self) -> Value {
        let report: Value = serde_json::from_str(&self.done(&["sync", "docs", "--json"])).unwrap();
        assert_eq!(report["errors"], 0, "{}: {report}", self.peer.name());
        report
    }

    /// Starts something that runs for a while.
    pub fn start(&self, args: &[&str]) -> Running {
        let mut command = self.command(args);
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        Running::of(command.spawn().unwrap())
    }

    /// Starts the daemon, and waits until it answers.
    pub fn daemon(&self) -> Running {
        let daemon = self.start(&["daemon"]);
        eventually("the daemon answers", || self.status()["daemon"] == true);
        daemon
    }

    pub fn status(&self) -> Value {
        let output = self.run(&["status", "--json"]);
        serde_json::from_slice(&output.stdout).unwrap_or_default()
    }

    // ---- the local side

    pub fn write(&self, path: &str, bytes: impl AsRef<[u8]>) {
        write(&self.local, path, bytes.as_ref());
    }

    pub fn read(&self, path: &str) -> Option<Vec<u8>> {
        fs::read(self.local.join(path)).ok()
    }

    pub fn remove(&self, path: &str) {
        fs::remove_file(self.local.join(path)).unwrap();
    }

    pub fn rename(&self, from: &str, to: &str) {
        fs::rename(self.local.join(from), self.local.join(to)).unwrap();
    }

    /// Makes the local folder that this is to be in.
    pub fn make_folder_of(&self, path: &str) {
        fs::create_dir_all(self.local.join(path).parent().unwrap()).unwrap();
    }

    pub fn local_tree(&self) -> Tree {
        tree(&self.local)
    }

    // ---- the remote side

    fn is_b2(&self) -> bool {
        matches!(self.peer, Peer::B2(_))
    }

    /// Runs rclone, to which `@` before a path is the remote folder, and `%` the same as it is stored.
    pub fn try_rclone(&self, args: &[&str]) -> Output {
        let place = |arg: &&str| {
            let (place, path) = match (arg.strip_prefix('@'), arg.strip_prefix('%')) {
                (Some(path), _) => (&self.place, path),
                (_, Some(path)) => (&self.stored, path),
                _ => return arg.to_string(),
            };
            if path.is_empty() { place.clone() } else { format!("{place}/{path}") }
        };
        let args: Vec<String> = args.iter().map(place).collect();
        self.peer.rclone(&args.iter().map(String::as_str).collect::<Vec<_>>())
    }

    #[track_caller]
    pub fn rclone(&self, args: &[&str]) -> String {
        let output = self.try_rclone(args);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}: {args:?}: {errors}", self.peer.name());
        String::from_utf8(output.stdout).unwrap()
    }

    /// Tells the fake to do this at a path of the remote folder.
    pub fn control_at(&self, what: &str, path: &str, mut more: Value) -> Value {
        let Peer::Fake(fake) = self.peer else { panic!("{} isn't a fake", self.peer.name()) };
        more["path"] = self.there(path).into();
        fake.control(what, more)
    }

    /// A path of the remote folder as its service has it.
    pub fn there(&self, path: &str) -> String {
        format!("{}/{path}", self.place.replacen("peer:", "/", 1))
    }

    /// What a fake has in the remote folder, by path.
    fn listed(&self, fake: &FakePeer) -> Vec<(String, Value)> {
        let root = self.there("");
        // From above, as the remote folder itself may not be there yet.
        let above = root.trim_end_matches("/docs/");
        let listed = fake.control("tree", json!({ "path": above }));
        let listed = listed.as_object().unwrap().iter();
        // One fake tells whole paths, the other those from there on.
        let below = |path: &str| {
            let path = path.strip_prefix(above).unwrap_or(path);
            path.strip_prefix("/docs/").map(str::to_owned)
        };
        listed.filter_map(|(path, item)| Some((below(path)?, item.clone()))).collect()
    }

    /// Puts files (and, with `None`, empty folders) into the remote folder.
    pub fn put(&self, items: &[(&str, Option<&[u8]>)]) {
        if self.fake().is_some() {
            for (path, content) in items {
                match content {
                    Some(bytes) => {
                        let more = json!({ "base64": STANDARD.encode(bytes) });
                        self.control_at("put", path, more)
                    }
                    None => self.control_at("make_folder", path, json!({})),
                };
            }
            return;
        }
        let stage = TempFolder::new();
        for (path, content) in items {
            match content {
                Some(bytes) => write(stage.path(), path, bytes),
                // rclone makes no folders of their own there.
                None if self.is_b2() => write(stage.path(), &format!("{path}/{MARKER}"), b""),
                None => fs::create_dir_all(stage.path().join(path)).unwrap(),
            }
        }
        let from = stage.path().to_str().unwrap();
        self.rclone(&["copy", "--create-empty-src-dirs", "--ignore-times", from, "@"]);
    }

    /// Puts a file there as it is, whatever is encrypted.
    pub fn put_stored(&self, path: &str, bytes: &[u8]) {
        let file = self.folder.path().join("stored");
        fs::write(&file, bytes).unwrap();
        self.rclone(&["copyto", "--ignore-times", file.to_str().unwrap(), &format!("%{path}")]);
    }

    /// A remote file's content; `None` when there is none.
    pub fn remote(&self, path: &str) -> Option<Vec<u8>> {
        if let Some(fake) = self.fake() {
            let mut listed = self.listed(fake).into_iter();
            return listed.find(|(at, _)| at == path).and_then(|(_, item)| bytes_of(fake, &item));
        }
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        let listed = self.try_rclone(&["lsf", "--files-only", &format!("@{folder}")]);
        let listed = String::from_utf8(listed.stdout).unwrap();
        let there = listed.lines().any(|line| line == name);
        there.then(|| self.try_rclone(&["cat", &format!("@{path}")]).stdout)
    }

    pub fn remote_tree(&self) -> Tree {
        if let Some(fake) = self.fake() {
            let listed = self.listed(fake).into_iter();
            return listed.map(|(path, item)| (path, bytes_of(fake, &item))).collect();
        }
        let stage = TempFolder::new();
        let to = stage.path().to_str().unwrap();
        self.rclone(&["copy", "--create-empty-src-dirs", "@", to]);
        let mut tree = tree(stage.path());
        if self.is_b2() {
            tree.retain(|path, _| path != MARKER && !path.ends_with(&format!("/{MARKER}")));
        }
        tree
    }

    /// Removes a remote file.
    pub fn remove_there(&self, path: &str) {
        match self.fake() {
            Some(fake) if fake.name == "google-drive" => {
                self.control_at("trash", path, json!({}));
            }
            Some(_) => drop(self.control_at("delete", path, json!({}))),
            None => drop(self.rclone(&["deletefile", &format!("@{path}")])),
        }
    }

    /// Renames a remote file, or moves it.
    pub fn rename_there(&self, path: &str, to: &str) {
        match self.fake() {
            Some(_) => drop(self.control_at("move", path, json!({ "to": self.there(to) }))),
            None => drop(self.rclone(&["moveto", &format!("@{path}"), &format!("@{to}")])),
        }
    }

    /// Keys of uploads in parts that were begun and neither finished nor dropped.
    pub fn unfinished_uploads(&self) -> Vec<String> {
        let bucket = self.stored.trim_end_matches("/docs");
        let told = self.rclone(&["backend", "list-multipart-uploads", bucket]);
        let told: Value = serde_json::from_str(&told).unwrap();
        let uploads = told.as_object().unwrap().values();
        let uploads = uploads.filter_map(Value::as_array).flatten();
        uploads.map(|upload| upload["Key"].as_str().unwrap().to_string()).collect()
    }

    // ---- both

    /// Both sides have the same files, and the same folders where the server keeps them.
    #[track_caller]
    pub fn is_equal(&self) -> Tree {
        let (mut local, mut remote) = (self.local_tree(), self.remote_tree());
        if self.peer.forgets_folders() {
            local.retain(|_, content| content.is_some());
            remote.retain(|_, content| content.is_some());
        }
        let name = self.peer.name();
        assert_eq!(outline(&local), outline(&remote), "{name}: the sides differ");
        assert!(local == remote, "{name}: contents differ");
        local
    }
}

/// A running program, killed with the test.
pub struct Running {
    child: Child,
}

impl Running {
    pub fn of(child: Child) -> Running {
        Running { child }
    }

    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// How often each of its threads has gone to sleep, by the thread's name.
    pub fn sleeps(&self) -> BTreeMap<String, u64> {
        let threads = fs::read_dir(format!("/proc/{}/task", self.child.id())).unwrap();
        let texts = threads.map(|thread| fs::read_to_string(thread.unwrap().path().join("status")));
        // One may have ended meanwhile.
        let sleeps = texts.filter_map(Result::ok).map(|text| {
            let field =
                |name| text.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim();
            (field("Name:").to_owned(), field("voluntary_ctxt_switches:").parse().unwrap())
        });
        sleeps.collect()
    }

    /// Whether it has this file open.
    pub fn has_open(&self, file: &Path) -> bool {
        let open = fs::read_dir(format!("/proc/{}/fd", self.child.id())).unwrap();
        let links = open.filter_map(|link| fs::read_link(link.unwrap().path()).ok());
        links.into_iter().any(|link| link == file)
    }

    pub fn signal(&self, signal: &str) {
        let pid = self.child.id().to_string();
        // It may have ended by itself.
        let _ = Command::new("kill").args(["-s", signal, &pid]).stderr(Stdio::null()).status();
    }

    pub fn kill(mut self) {
        self.stop();
    }

    fn stop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Waits for its end, and tells whether it succeeded and what it said.
    pub fn end(mut self) -> (bool, String) {
        let began = Instant::now();
        while !self.has_ended() {
            assert!(began.elapsed() < PATIENCE, "it doesn't end");
            sleep(Duration::from_millis(10));
        }
        let mut said = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        (self.child.wait().unwrap().success(), said)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Polls until it holds.
#[track_caller]
pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < PATIENCE, "never: {what}");
        sleep(Duration::from_millis(10));
    }
}

/// Paths with sizes, to be shown.
pub fn outline(tree: &Tree) -> Vec<(&str, Option<usize>)> {
    tree.iter().map(|(path, content)| (path.as_str(), content.as_ref().map(Vec::len))).collect()
}

/// The bytes of what a fake listed; `None` for a folder, and for what is gone since it was listed.
fn bytes_of(fake: &FakePeer, item: &Value) -> Option<Vec<u8>> {
    let id = item.get("id")?;
    let content = fake.try_control("content", json!({ "id": id })).ok()?;
    Some(STANDARD.decode(content["base64"].as_str().unwrap()).unwrap())
}

fn write(root: &Path, path: &str, bytes: &[u8]) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

fn tree(root: &Path) -> Tree {
    let mut tree = Tree::new();
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if is_recycle_area(&path, root) {
                continue;
            }
            let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_string();
            if path.is_dir() {
                tree.insert(name, None);
                folders.push(path);
            } else {
                tree.insert(name, Some(fs::read(path).unwrap()));
            }
        }
    }
    tree
}
