use super::*;
use crate::remote::{Descriptor, Listing, Moves, NameRule};
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

static SERVICE: Descriptor = Descriptor {
    name: "test",
    label: "Test",
    fields: &[],
    providers: &[],
    task_fields: &[],
    sign_in: None,
    listing: Listing::Folders,
    folders_implied: false,
    folds_case: false,
    namesakes: false,
    moves: Moves::Trees,
    keeps_mtime: true,
    hash: None,
    max_size: None,
    max_path: 4096,
    names: NameRule::NONE,
    stored_bytes: None,
    bucket: None,
};

/// A folder that goes with the test.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Folder {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("watch-{}-{next}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    fn make(&self, folders: &[&str]) {
        for folder in folders {
            fs::create_dir_all(self.join(folder)).unwrap();
        }
    }

    fn join(&self, path: &str) -> PathBuf {
        self.0.join(path)
    }

    fn watch(&self) -> Watch {
        self.watch_at_most(1000)
    }

    fn watch_at_most(&self, most: usize) -> Watch {
        let names = NameCheck::new(&SERVICE, "");
        let budget = WatchBudget::new(most);
        let mut watch = Watch::new(Disk::new(&self.0), names, &budget).unwrap();
        watch.add_tree(&Cancel::default()).unwrap();
        watch
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The changes, as if all had come to rest: whatever happened before the call has been told.
fn changes(watch: &mut Watch) -> Option<Changes> {
    settled(watch, Duration::from_secs(3600))
}

fn settled(watch: &mut Watch, rest: Duration) -> Option<Changes> {
    let now = Instant::now();
    watch.read(now);
    let changes = watch.take(now + rest);
    changes.map(|changes| match changes {
        Changes::Folders(mut folders) => {
            folders.sort();
            Changes::Folders(folders)
        }
        changes => changes,
    })
}

fn in_folders(folders: &[&str]) -> Option<Changes> {
    Some(Changes::Folders(folders.iter().map(|folder| folder.to_string()).collect()))
}

fn write(path: &Path) {
    fs::write(path, "content").unwrap();
}

#[test]
fn a_change_is_told_with_its_folder() {
    let folder = Folder::new();
    folder.make(&["a/b", "c"]);
    let mut watch = folder.watch();
    assert_eq!(changes(&mut watch), None);
    write(&folder.join("a/b/file"));
    write(&folder.join("top"));
    assert_eq!(changes(&mut watch), in_folders(&["", "a/b"]));
    fs::remove_file(folder.join("a/b/file")).unwrap();
    assert_eq!(changes(&mut watch), in_folders(&["a/b"]));
    assert_eq!(changes(&mut watch), None);
}

#[test]
fn the_kernel_wakes_whoever_waits_for_it() {
    let folder = Folder::new();
    let watch = folder.watch();
    write(&folder.join("file"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        #[allow(deprecated)]
        let waiting = tokio::io::unix::AsyncFd::new(watch.as_fd()).unwrap();
        let woken = tokio::time::timeout(Duration::from_secs(60), waiting.readable()).await;
        assert!(woken.is_ok());
    });
}

#[test]
fn a_file_is_held_back_until_it_is_closed() {
    let folder = Folder::new();
    let mut watch = folder.watch();
    let mut file = File::create(folder.join("slow")).unwrap();
    file.write_all(b"first").unwrap();
    let second = Duration::from_secs(1);
    assert_eq!(settled(&mut watch, second), None);
    file.write_all(b"last").unwrap();
    assert_eq!(settled(&mut watch, second), None);
    drop(file);
    assert_eq!(settled(&mut watch, second), in_folders(&[""]));
}

#[test]
fn a_file_linked_into_place_is_complete() {
    let folder = Folder::new();
    folder.make(&[".mooring"]);
    let mut watch = folder.watch();
    write(&folder.join(".mooring/arriving"));
    fs::hard_link(folder.join(".mooring/arriving"), folder.join("arrived")).unwrap();
    fs::remove_file(folder.join(".mooring/arriving")).unwrap();
    assert_eq!(settled(&mut watch, Duration::from_secs(1)), in_folders(&[""]));
}

#[test]
fn new_folders_are_watched_and_looked_at() {
    let folder = Folder::new();
    let mut watch = folder.watch();
    folder.make(&["new/deep"]);
    assert_eq!(changes(&mut watch), in_folders(&["", "new", "new/deep"]));
    write(&folder.join("new/deep/file"));
    assert_eq!(changes(&mut watch), in_folders(&["new/deep"]));
    assert_eq!(watch.folders(), 3);
    fs::remove_dir_all(folder.join("new")).unwrap();
    assert!(changes(&mut watch).is_some());
    assert_eq!(watch.folders(), 1);
}

#[test]
fn a_renamed_folder_is_known_by_its_new_path() {
    let folder = Folder::new();
    folder.make(&["a/b", "other"]);
    let mut watch = folder.watch();
    fs::rename(folder.join("a"), folder.join("other/moved")).unwrap();
    assert_eq!(changes(&mut watch), in_folders(&["", "other"]));
    write(&folder.join("other/moved/b/file"));
    assert_eq!(changes(&mut watch), in_folders(&["other/moved/b"]));
}

#[test]
fn a_change_before_a_rename_is_told_under_the_new_path() {
    let folder = Folder::new();
    folder.make(&["a/b"]);
    let mut watch = folder.watch();
    write(&folder.join("a/b/file"));
    fs::rename(folder.join("a"), folder.join("z")).unwrap();
    fs::rename(folder.join("z"), folder.join("y")).unwrap();
    let Some(Changes::Folders(folders)) = changes(&mut watch) else { panic!("no changes") };
    assert!(folders.contains(&"".into()));
    assert!(folders.contains(&"y/b".into()), "{folders:?}");
    assert!(folders.iter().all(|path| folder.join(path).is_dir()), "{folders:?}");
}

#[test]
fn a_folder_that_left_is_forgotten_with_all_in_it() {
    let (folder, outside) = (Folder::new(), Folder::new());
    folder.make(&["a/b/c"]);
    let mut watch = folder.watch();
    fs::rename(folder.join("a"), outside.join("a")).unwrap();
    assert_eq!(changes(&mut watch), in_folders(&[""]));
    assert_eq!(watch.folders(), 1);
    write(&outside.join("a/b/c/file"));
    assert_eq!(changes(&mut watch), None);
    fs::rename(outside.join("a"), folder.join("back")).unwrap();
    let back = in_folders(&["", "back", "back/b", "back/b/c"]);
    assert_eq!(changes(&mut watch), back);
}

#[test]
fn what_is_never_synced_is_not_watched() {
    let folder = Folder::new();
    folder.make(&[".mooring", "@eaDir/x", "a"]);
    let mut watch = folder.watch();
    assert_eq!(watch.folders(), 2);
    write(&folder.join(".mooring/arriving"));
    folder.make(&["@eaDir/y", "a/@eaDir"]);
    write(&folder.join("a/.DS_Store"));
    assert_eq!(changes(&mut watch), None);
    fs::rename(folder.join(".mooring/arriving"), folder.join("a/arrived")).unwrap();
    assert_eq!(changes(&mut watch), in_folders(&["a"]));
}

#[test]
fn links_are_not_followed() {
    let (folder, outside) = (Folder::new(), Folder::new());
    outside.make(&["in"]);
    std::os::unix::fs::symlink(&outside.0, folder.join("link")).unwrap();
    assert_eq!(folder.watch().folders(), 1);
}

#[test]
fn more_folders_than_it_may_watch_are_admitted() {
    let folder = Folder::new();
    folder.make(&["a", "b", "c", "d"]);
    let mut watch = folder.watch_at_most(3);
    assert_eq!(watch.limit(), Some(Limit::Memory));
    assert!(!watch.is_broken());
    assert_eq!(watch.folders(), 3);
    write(&folder.join("file"));
    assert_eq!(changes(&mut watch), in_folders(&[""]));
}

#[test]
fn the_folders_nearest_to_the_root_are_watched_first() {
    let folder = Folder::new();
    folder.make(&["a/deep/deeper", "b/deep/deeper", "c"]);
    let mut watch = folder.watch_at_most(4);
    write(&folder.join("c/file"));
    assert_eq!(changes(&mut watch), in_folders(&["c"]));
    write(&folder.join("a/deep/file"));
    assert_eq!(changes(&mut watch), None);
}

#[test]
fn a_renamed_folder_stays_watched_where_there_is_no_room_for_more() {
    let folder = Folder::new();
    folder.make(&["a/b"]);
    let mut watch = folder.watch_at_most(3);
    assert_eq!(watch.limit(), None);
    fs::rename(folder.join("a"), folder.join("z")).unwrap();
    folder.make(&["new"]);
    assert_eq!(changes(&mut watch), in_folders(&[""]));
    assert_eq!(watch.limit(), Some(Limit::Memory));
    write(&folder.join("z/b/file"));
    assert_eq!(changes(&mut watch), in_folders(&["z/b"]));
    fs::remove_dir_all(folder.join("z")).unwrap();
    folder.make(&["room"]);
    assert!(changes(&mut watch).is_some());
    write(&folder.join("room/file"));
    assert_eq!(changes(&mut watch), in_folders(&["room"]));
}

#[test]
fn more_events_than_the_kernel_keeps_break_it() {
    let folder = Folder::new();
    let most = fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").unwrap();
    let most: usize = most.trim().parse().unwrap();
    let mut watch = folder.watch();
    let (one, two) = (folder.join("one"), folder.join("two"));
    write(&one);
    for _ in 0..=most / 4 {
        fs::rename(&one, &two).unwrap();
        fs::rename(&two, &one).unwrap();
    }
    watch.read(Instant::now());
    assert!(watch.is_broken());
}

#[test]
fn a_root_that_goes_breaks_it() {
    let folder = Folder::new();
    folder.make(&["root"]);
    let inner = Folder(folder.join("root"));
    let mut watch = inner.watch();
    fs::rename(&inner.0, folder.join("away")).unwrap();
    watch.read(Instant::now());
    assert!(watch.is_broken());
}
