//! Work whose instructions `benches/ratchet` counts: the same each time, on one thread, with an empty
//! local folder and no network.
//!
//! `cargo bench` runs it, too, but counts nothing.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a bench may end with a panic")]

use mooring::clock::SystemClock;
use mooring::content::Content;
use mooring::engine::{Approval, Engine, LocalLook, Look, Parts, Workers};
use mooring::error::{Error, Kind, Result};
use mooring::http::Cancel;
use mooring::local::Disk;
use mooring::model::{
    ConflictPolicy, Direction, ItemKind, LocalPrint, Nanos, RemotePrint, Version,
};
use mooring::plan::View;
use mooring::remote::{Download, Entry, Expect, Made, Place, Remote, Removal, Resume, Written};
use mooring::services;
use mooring::settings::Task;
use mooring::store::{Facet, Key, ROOT, Record, Synced, Trees};
use std::hint::black_box;
use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::{env, fs, process};

/// Files in the listing, and how many are in a folder.
const FILES: usize = 20_000;
const IN_FOLDER: usize = 100;
/// One of so many files changes.
const CHANGING: usize = 100;
/// How often every combination of facets is planned.
const ROUNDS: usize = 3;

/// A look at the service and at nothing else.
const REMOTE: Look = Look {
    local: LocalLook::Nothing,
    remote: true,
    approve: Approval::NONE,
    retry: false,
    verify: 0,
};

fn main() {
    let records = records();
    assert_eq!(counted::plan(&records), 110_592);

    let local = env::temp_dir().join(format!("mooring-instructions-{}", process::id()));
    fs::create_dir(&local).unwrap();
    let (bucket, mut engine) = in_sync(&local);
    counted::first_listing(&mut engine);
    assert_eq!(changed(&engine), 0);
    counted::same_listing(&mut engine);
    assert_eq!(changed(&engine), 0);
    bucket.change();
    counted::changed_listing(&mut engine);
    assert_eq!(changed(&engine), FILES / CHANGING);
    fs::remove_dir_all(&local).unwrap();
}

/// What is counted, each by its name. Called once; nothing else bears these names.
mod counted {
    use super::*;

    /// Plans every item in every direction and under every setting; tells how often that was.
    #[inline(never)]
    pub fn plan(records: &[Record]) -> usize {
        (0..ROUNDS).map(|_| records.iter().map(plan_all_ways).sum::<usize>()).sum()
    }

    /// Compares a listing with a state that has the same.
    #[inline(never)]
    pub fn first_listing(engine: &mut Engine) {
        engine.cycle(&REMOTE).unwrap();
    }

    /// The same listing once more.
    #[inline(never)]
    pub fn same_listing(engine: &mut Engine) {
        engine.cycle(&REMOTE).unwrap();
    }

    /// One in which 1 % of the files changed.
    #[inline(never)]
    pub fn changed_listing(engine: &mut Engine) {
        engine.cycle(&REMOTE).unwrap();
    }
}

/// Every combination of the facets of a file and of a folder.
fn records() -> Vec<Record> {
    let local = LocalPrint { size: 5, ..LocalPrint::default() };
    let remote = RemotePrint::file(6, Version::new("v2"), Some(2));
    let mut all = Vec::new();
    for (node, known) in [(0, false), (0, true), (7, false), (7, true)] {
        for here in [Facet::AsSynced, Facet::Gone, Facet::Suspect(local), Facet::Now(local)] {
            for there in [Facet::AsSynced, Facet::Gone, Facet::Now(remote.clone())] {
                let mut record = if known { agreed(node, 0) } else { Record::new(node) };
                record.local = here.clone();
                record.remote = there;
                all.push(record);
            }
        }
    }
    all
}

fn plan_all_ways(record: &Record) -> usize {
    use ConflictPolicy::*;
    let mut count = 0;
    for conflict in [Local, Remote, Newer, Both] {
        for bits in 0..64 {
            let is_set = |bit: u32| bits & 1 << bit != 0;
            let view = black_box(View {
                record,
                twin_local: is_set(0),
                twin_remote: is_set(1),
                twin_stays: is_set(2),
                made_by_children: is_set(3),
                keep_removed: is_set(4),
                conflict,
                keeps_mtime: is_set(5),
            });
            black_box(mooring::plan::both(&view));
            black_box(mooring::plan::upload(&view));
            black_box(mooring::plan::download(&view));
            count += 3;
        }
    }
    count
}

/// An item that both sides agree on; `node` is 0 for a file.
fn agreed(node: u64, number: usize) -> Record {
    let mut record = Record::new(node);
    let (local, remote) = match node {
        0 => (LocalPrint { size: 9, ..LocalPrint::default() }, print(number, "d41d8cd98f00")),
        _ => (LocalPrint::default(), RemotePrint::default()),
    };
    record.agree(Synced { local, remote, content: Some([7; 16]) });
    record
}

/// A file as the bucket tells it.
fn print(number: usize, version: &str) -> RemotePrint {
    RemotePrint::file(9, Version::new(format!("{version}{number:020}")), Some(1))
}

/// A bucket, and an engine whose state has the same files in it. It only uploads, so that what
/// changes in the bucket is noted, and nothing is transferred.
fn in_sync(local: &Path) -> (Arc<Bucket>, Engine) {
    let bucket = Arc::new(Bucket::default());
    let task = Task {
        name: "bench".into(),
        id: 1,
        connection: "bench".into(),
        local: local.into(),
        remote: String::new(),
        direction: Direction::Upload,
        conflict: ConflictPolicy::Local,
        consistency_check: false,
        keep_removed: false,
        recycle_days: 0,
        filter: Default::default(),
        settings: Vec::new(),
        paused: false,
        revision: 0,
    };
    let parts = Parts {
        trees: Trees::open(&local.join("state.redb")).unwrap(),
        disk: Disk::new(local),
        remote: bucket.clone(),
        descriptor: services::find("s3").unwrap().descriptor(),
        counters: Arc::default(),
        workers: Workers::Threads(1),
        clock: Arc::new(SystemClock::default()),
        state: "/nowhere".into(),
        history: 20,
        cancel: Cancel::default(),
    };
    let mut engine = Engine::with(&task, parts);
    // Links the two while nothing is in them.
    engine.cycle(&REMOTE).unwrap();
    fill(engine.trees());
    bucket.fill();
    (bucket, engine)
}

fn fill(trees: &Trees) {
    let mut batch = trees.batch().unwrap();
    let mut folder = ROOT;
    for number in 0..FILES {
        if number % IN_FOLDER == 0 {
            folder = batch.new_node().unwrap();
            let key = Key::new(ROOT, &folder_name(number), ItemKind::Folder);
            batch.put(key, agreed(folder, number)).unwrap();
        }
        let key = Key::new(folder, &file_name(number), ItemKind::File);
        batch.put(key, agreed(0, number)).unwrap();
    }
    batch.commit().unwrap();
}

fn folder_name(number: usize) -> String {
    format!("folder {:04}", number / IN_FOLDER)
}

fn file_name(number: usize) -> String {
    format!("photo {number:06}.jpg")
}

/// Files of which the state says that the bucket has another version than was agreed on.
fn changed(engine: &Engine) -> usize {
    let items = engine.trees().snapshot().unwrap().items(None).unwrap();
    items.filter(|item| matches!(item.as_ref().unwrap().1.remote, Facet::Now(_))).count()
}

/// A bucket that can only be listed.
#[derive(Default)]
struct Bucket(Mutex<Vec<(String, Entry)>>);

impl Bucket {
    fn fill(&self) {
        let file = |number| {
            let path = format!("{}/{}", folder_name(number), file_name(number));
            (path, Entry::file(print(number, "d41d8cd98f00"), None))
        };
        *self.0.lock().unwrap() = (0..FILES).map(file).collect();
    }

    /// One of so many files has another version.
    fn change(&self) {
        for (number, (_, entry)) in self.0.lock().unwrap().iter_mut().enumerate() {
            if number % CHANGING == CHANGING / 2 {
                entry.print = print(number, "e2fc714c4727");
            }
        }
    }
}

fn unexpected<T>() -> Result<T> {
    Err(Error::new(Kind::Protocol, "the bench", "only a listing is to be asked for"))
}

impl Remote for Bucket {
    fn test(&self) -> Result<()> {
        unexpected()
    }

    fn list(&self, _: Place<'_>, each: &mut dyn FnMut(&str, Entry) -> Result<()>) -> Result<()> {
        self.0.lock().unwrap().iter().try_for_each(|(path, entry)| each(path, entry.clone()))
    }

    fn stat(&self, _: Place<'_>, _: ItemKind) -> Result<Option<Entry>> {
        unexpected()
    }

    fn read(&self, _: Place<'_>, _: &Version, _: Range<u64>) -> Result<Download> {
        unexpected()
    }

    fn write(
        &self,
        _: Place<'_>,
        _: &dyn Content,
        _: Nanos,
        _: Expect<'_>,
        _: &dyn Resume,
    ) -> Result<Written> {
        unexpected()
    }

    fn make_folder(&self, _: Place<'_>) -> Result<Made> {
        unexpected()
    }

    fn rename(&self, _: Place<'_>, _: Place<'_>, _: ItemKind, _: &Version) -> Result<Entry> {
        unexpected()
    }

    fn copy(&self, _: Place<'_>, _: Place<'_>, _: &Version) -> Result<Entry> {
        unexpected()
    }

    fn remove(&self, items: &[Removal<'_>], done: &mut dyn FnMut(usize, Result<()>)) {
        (0..items.len()).for_each(|number| done(number, unexpected()));
    }
}
