//! A task on a bench: a real local folder, a service in memory, and an engine between them.

use super::memory::{Memory, MemoryService};
use mooring::engine::{Approval, Approved, Engine, LocalLook, Look, Report, Setup};
use mooring::error::Result;
use mooring::http::Cancel;
use mooring::local::{Disk, Found};
use mooring::model::{ConflictPolicy, Direction, ItemKind};
use mooring::remote::{Descriptor, Settings};
use mooring::settings::Task;
use mooring::store::{Key, ROOT, Trees};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, UNIX_EPOCH};

/// A folder that is removed with everything in it when this is dropped.
pub struct TempFolder(PathBuf);

impl TempFolder {
    pub fn new() -> TempFolder {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Relaxed);
        // In memory where there is such a place: thousands of small histories run here.
        let shm = Path::new("/dev/shm");
        let base = if shm.is_dir() { shm.to_path_buf() } else { std::env::temp_dir() };
        let path = base.join(format!("mooring-test-{}-{number}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        TempFolder(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

/// Whether this is the work folder of tasks with this root, and nothing is in it but removed files
/// that are kept.
pub fn is_recycle_area(path: &Path, root: &Path) -> bool {
    let inside = |folder: &Path| {
        let entries = fs::read_dir(folder).into_iter().flatten();
        entries.map(|entry| entry.unwrap().path()).collect::<Vec<_>>()
    };
    let holds = |folder: &Path, each: &dyn Fn(&PathBuf) -> bool| {
        let inside = inside(folder);
        !inside.is_empty() && inside.iter().all(each)
    };
    path == root.join(".mooring")
        && holds(path, &|task| holds(task, &|kept| kept.ends_with("removed")))
}

impl Drop for TempFolder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

pub struct Bench {
    pub local: PathBuf,
    pub memory: Arc<Memory>,
    pub task: Task,
    state: PathBuf,
    _folder: TempFolder,
}

/// Looks at everything, and asks nobody.
pub const EVERYTHING: Look = Look {
    local: LocalLook::All,
    remote: true,
    approve: Approval::NONE,
    retry: false,
    verify: u64::MAX,
};
/// Only asks the service.
pub const POLL: Look = Look { local: LocalLook::Nothing, verify: 0, ..EVERYTHING };
/// A yes to whatever comes up.
pub const ANYTHING: Approval = {
    let all = Approved { removals: u64::MAX, overwrites: u64::MAX };
    Approval { local: all, remote: all }
};
/// The same with every removal approved.
pub const APPROVED: Look = Look { approve: ANYTHING, ..EVERYTHING };

/// A task that keeps this folder with the root of a connection.
pub fn task(local: &Path, direction: Direction) -> Task {
    Task {
        name: "task".into(),
        id: 1,
        connection: "connection".into(),
        local: local.into(),
        remote: String::new(),
        direction,
        conflict: ConflictPolicy::Local,
        consistency_check: false,
        keep_removed: false,
        recycle_days: 30,
        filter: Default::default(),
        settings: Vec::new(),
        paused: false,
        revision: 0,
    }
}

impl Bench {
    pub fn new(descriptor: &'static Descriptor, direction: Direction) -> Bench {
        let folder = TempFolder::new();
        let local = folder.path().join("local");
        let state = folder.path().join("state");
        fs::create_dir(&local).unwrap();
        fs::create_dir(&state).unwrap();
        let task = task(&local, direction);
        Bench { local, memory: Memory::new(descriptor), task, state, _folder: folder }
    }

    /// Opens the engine, as after a start.
    pub fn engine(&self) -> Engine {
        self.try_engine().unwrap()
    }

    /// The same where the state may be damaged.
    pub fn try_engine(&self) -> Result<Engine> {
        self.open_by(Engine::open, Cancel::default())
    }

    /// Opens the engine by one of its ways.
    pub fn open_by(&self, open: fn(Setup<'_>) -> Result<Engine>, cancel: Cancel) -> Result<Engine> {
        let service = Box::leak(Box::new(MemoryService(self.memory.clone())));
        open(Setup {
            task: &self.task,
            disk: Disk::new(&self.task.local),
            service,
            values: &Settings::default(),
            state: &self.state,
            transfers: 2,
            history: 1000,
            cancel,
        })
    }

    /// One cycle after a start.
    pub fn sync(&self, look: &Look) -> Result<Report> {
        self.engine().cycle(look)
    }

    /// The file of the task's state.
    pub fn state_file(&self) -> PathBuf {
        self.task.state_file(&self.state)
    }

    /// Loses the state.
    pub fn forget(&self) {
        fs::remove_dir_all(self.state.join("tasks")).unwrap();
    }

    pub fn write(&self, path: &str, bytes: &[u8]) {
        let path = self.local.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    /// Gives a file this time of modification, in seconds since 1970.
    pub fn date(&self, path: &str, seconds: u64) {
        let file = fs::File::options().write(true).open(self.local.join(path)).unwrap();
        file.set_modified(UNIX_EPOCH + Duration::from_secs(seconds)).unwrap();
    }

    /// Gives a file another content of the same length, as if the disk had altered it by itself.
    pub fn rot(&self, path: &str, bytes: &[u8]) {
        assert_eq!(self.read(path).unwrap().len(), bytes.len());
        self.write(path, bytes);
        take_as_agreed(&self.state_file(), &self.local, path);
    }

    pub fn read(&self, path: &str) -> Option<Vec<u8>> {
        fs::read(self.local.join(path)).ok()
    }

    /// Everything in the local folder but removed files that are kept: files with their content,
    /// folders with `None`.
    pub fn tree(&self) -> BTreeMap<String, Option<Vec<u8>>> {
        let mut tree = BTreeMap::new();
        let mut folders = vec![self.local.clone()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if is_recycle_area(&path, &self.local) {
                    continue;
                }
                let name = path.strip_prefix(&self.local).unwrap().to_str().unwrap().to_string();
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
}

/// Makes a state take the times that a file has now for those that were agreed on.
pub fn take_as_agreed(state: &Path, local: &Path, path: &str) {
    let Some(Found::File(print)) = Disk::new(local).stat(path).unwrap() else { panic!("{path}") };
    let trees = Trees::open(state).unwrap();
    let snapshot = trees.snapshot().unwrap();
    let (mut folder, mut parts) = (ROOT, path.split('/').peekable());
    let key = loop {
        let part = parts.next().unwrap();
        if parts.peek().is_none() {
            break Key::new(folder, part, ItemKind::File);
        }
        folder = snapshot.get(&Key::new(folder, part, ItemKind::Folder)).unwrap().unwrap().node;
    };
    let mut record = snapshot.get(&key).unwrap().unwrap();
    record.synced.as_mut().unwrap().local = print;
    let mut batch = trees.batch().unwrap();
    batch.put(key, record).unwrap();
    batch.commit().unwrap();
}
