//! The real program with a state folder and a local folder of its own, and the real servers it syncs with.

use super::bench::is_recycle_area;
use super::peers::{DavPeer, S3Peer};
use serde_json::Value;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

/// Files by path, which may be any bytes.
pub type Files = BTreeMap<Vec<u8>, Vec<u8>>;

/// A state folder and a local folder, gone when the test ends.
pub struct Home {
    folder: PathBuf,
    /// What the program is started through, such as `nsenter`.
    pub through: Vec<String>,
    /// Where this process sees the local folder.
    pub seen: PathBuf,
}

/// What the program answered.
pub struct Answer {
    pub code: Option<i32>,
    /// Standard output and standard error.
    pub text: String,
}

/// A bucket or folder on a real server that no other test uses.
pub enum Place {
    S3 { peer: &'static S3Peer, bucket: String },
    Dav { peer: &'static DavPeer, folder: String },
}

impl Home {
    pub fn new(name: &str) -> Home {
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("bad-input").join(name);
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(folder.join("local")).unwrap();
        let folder = folder.canonicalize().unwrap();
        let seen = folder.join("local");
        Home { folder, through: Vec::new(), seen }
    }

    pub fn local(&self) -> PathBuf {
        self.folder.join("local")
    }

    pub fn state(&self) -> PathBuf {
        self.folder.join("state")
    }

    /// A path beside the local folder.
    pub fn beside(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Writes a local file, and the folders it is in.
    pub fn write(&self, path: &str, bytes: impl AsRef<[u8]>) {
        write_below(&self.seen, path, bytes.as_ref());
    }

    /// All local files, our own work folder too.
    pub fn files(&self) -> Files {
        files_below(&self.seen)
    }

    /// Starts the program with these words; `input` goes to its standard input.
    pub fn start(&self, words: &[String], input: &str) -> Child {
        let line: Vec<String> = self
            .through
            .iter()
            .cloned()
            .chain([env!("CARGO_BIN_EXE_mooring").to_owned()])
            .chain(["--state".to_owned(), self.state().to_str().unwrap().to_owned()])
            .chain(words.iter().cloned())
            .collect();
        let mut child = Command::new(&line[0])
            .args(&line[1..])
            .current_dir(&self.folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // A command that reads nothing may have ended already.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        child
    }

    /// Runs a command line.
    pub fn run(&self, line: &str) -> Answer {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        Answer::of(self.start(&words, ""))
    }

    /// Makes the connection `cloud` to a place behind `base` (an address without a path), and the task `task` between it
    /// and the local folder.
    pub fn link(&self, place: &Place, base: &str, secret: &str, more: &[(&str, &str)]) {
        let (service, secret_key) = place.service();
        let mut settings = place.settings(base);
        for (key, value) in more {
            settings.insert(key, (*value).to_owned());
        }
        let words = ["connection", "add", "cloud", "--service", service];
        let mut words = words.map(str::to_owned).to_vec();
        words.extend(
            settings.iter().flat_map(|(key, value)| ["--set".into(), format!("{key}={value}")]),
        );
        words.extend(["--secret".into(), format!("{secret_key}=-")]);
        Answer::of(self.start(&words, secret)).ended(0);
        let (local, remote) = (self.local(), place.root());
        let words = ["task", "add", "task", "--connection", "cloud", "--remote", remote, "--local"];
        let words =
            words.map(str::to_owned).into_iter().chain([local.to_str().unwrap().to_owned()]);
        Answer::of(self.start(&words.collect::<Vec<_>>(), "")).ended(0);
    }

    /// Gives the connection another secret.
    pub fn set_secret(&self, place: &Place, secret: &str) {
        let option = format!("{}=-", place.service().1);
        let words = ["connection", "set", "cloud", "--secret", &option].map(str::to_owned);
        Answer::of(self.start(&words, secret)).ended(0);
    }

    pub fn sync(&self) -> Answer {
        self.run("sync task")
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

impl Answer {
    /// Waits for the program to end.
    pub fn of(child: Child) -> Answer {
        let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
        let text = String::from_utf8_lossy(&[stdout, stderr].concat()).into_owned();
        assert!(!text.contains("panicked"), "{text}");
        Answer { code: status.code(), text }
    }

    /// It has to have ended with this exit code.
    #[track_caller]
    pub fn ended(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{}", self.text);
        self
    }

    /// It has to have said all of this.
    #[track_caller]
    pub fn said(self, words: &[&str]) -> Self {
        for word in words {
            assert!(self.text.contains(word), "it didn't say '{word}': {}", self.text);
        }
        self
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }
}

impl Place {
    pub fn s3(peer: &'static S3Peer) -> Place {
        Place::S3 { peer, bucket: peer.new_bucket() }
    }

    pub fn dav(peer: &'static DavPeer) -> Place {
        Place::Dav { peer, folder: peer.new_folder() }
    }

    /// For the names of folders and messages.
    pub fn name(&self) -> &'static str {
        match self {
            Place::S3 { peer, .. } => peer.name,
            Place::Dav { peer, .. } => peer.name,
        }
    }

    /// Where the server is: host and port.
    pub fn address(&self) -> &str {
        let url = match self {
            Place::S3 { peer, .. } => &peer.endpoint,
            Place::Dav { peer, .. } => &peer.url,
        };
        url.split('/').nth(2).unwrap()
    }

    /// The right secret.
    pub fn secret(&self) -> &str {
        match self {
            Place::S3 { peer, .. } => &peer.secret_key,
            Place::Dav { peer, .. } => &peer.password,
        }
    }

    fn service(&self) -> (&'static str, &'static str) {
        match self {
            Place::S3 { .. } => ("s3", "secret-key"),
            Place::Dav { .. } => ("webdav", "password"),
        }
    }

    fn settings(&self, base: &str) -> BTreeMap<&str, String> {
        match self {
            Place::S3 { peer, bucket } => BTreeMap::from([
                ("endpoint", base.to_owned()),
                ("region", peer.region.clone()),
                ("bucket", bucket.clone()),
                ("access-key", peer.access_key.clone()),
            ]),
            Place::Dav { peer, .. } => {
                let path = peer.url.splitn(4, '/').nth(3).unwrap();
                BTreeMap::from([("url", format!("{base}/{path}")), ("user", peer.user.clone())])
            }
        }
    }

    /// The right value of a setting.
    pub fn setting(&self, key: &str, base: &str) -> String {
        self.settings(base)[key].clone()
    }

    /// The remote folder of a task.
    fn root(&self) -> &str {
        match self {
            Place::S3 { .. } => "/",
            Place::Dav { folder, .. } => folder,
        }
    }

    /// Runs rclone, for which `{}` is the place.
    fn rclone(&self, args: &[&str]) -> Output {
        let place = match self {
            Place::S3 { bucket, .. } => format!("peer:{bucket}"),
            Place::Dav { folder, .. } => format!("peer:{folder}"),
        };
        let args: Vec<String> = args.iter().map(|arg| arg.replace("{}", &place)).collect();
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let output = match self {
            Place::S3 { peer, .. } => peer.rclone(&args),
            Place::Dav { peer, .. } => peer.rclone(&args),
        };
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        output
    }

    /// All remote files, as another client sees them.
    pub fn files(&self) -> Files {
        let folder = Scratch::new();
        self.rclone(&["copy", "--inplace", "--no-unicode-normalization", "{}", folder.path()]);
        files_below(&folder.0)
    }

    /// Writes a remote file as another client does.
    pub fn write(&self, path: &str, bytes: impl AsRef<[u8]>) {
        self.write_all(&Files::from([(path.into(), bytes.as_ref().into())]));
    }

    /// Writes remote files as another client does.
    pub fn write_all(&self, files: &Files) {
        let folder = Scratch::new();
        for (path, bytes) in files {
            write_below(&folder.0, std::str::from_utf8(path).unwrap(), bytes);
        }
        self.rclone(&["copy", "--no-unicode-normalization", folder.path(), "{}"]);
    }

    /// Removes the bucket or folder with all that is in it.
    pub fn destroy(&self) {
        self.rclone(&["purge", "{}"]);
    }

    /// Makes it again, with these files.
    pub fn remake(&self, files: &Files) {
        self.rclone(&["mkdir", "{}"]);
        self.write_all(files);
    }
}

/// A folder for a moment.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Scratch {
        use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("scratch-{}", COUNT.fetch_add(1, Relaxed));
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("bad-input").join(name);
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        Scratch(folder)
    }

    fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn write_below(root: &Path, path: &str, bytes: &[u8]) {
    let file = root.join(path);
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(file, bytes).unwrap();
}

/// All files below a folder but removed files that are kept.
pub fn files_below(root: &Path) -> Files {
    let mut files = Files::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if is_recycle_area(&path, root) {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else {
                let name: &OsStr = path.strip_prefix(root).unwrap().as_os_str();
                files.insert(name.as_bytes().to_vec(), fs::read(&path).unwrap());
            }
        }
    }
    files
}

/// What a fuzzer begins with, in the order of the files' names.
pub fn seeds_of(target: &str) -> impl Iterator<Item = Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds").join(target);
    files_below(&folder).into_values()
}
