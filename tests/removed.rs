//! What a task removes from the disk can be had back: where it is kept, for how long, and what it
//! gives way to.

use crate::common::bench::{APPROVED, Bench, EVERYTHING, TempFolder, task};
use crate::common::memory::{DRIVE, Memory};
use mooring::admin::view::Overview;
use mooring::clock::Clock;
use mooring::engine::{Engine, LocalLook, Look, Parts, Report, Workers, open_trees};
use mooring::http::Cancel;
use mooring::local::Disk;
use mooring::model::Direction;
use mooring::remote::Descriptor;
use mooring::rules::Day;
use mooring::settings::Task;
use mooring::store::Recycled;
use nix::Error as Errno;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, UNIX_EPOCH};

#[path = "simulate/clock.rs"]
#[allow(dead_code, reason = "the simulation uses all of it")]
pub mod clock;
#[path = "simulate/disk.rs"]
#[allow(dead_code, reason = "the simulation uses all of it")]
pub mod disk;

use clock::Time;
use disk::{Bytes, Format, SimDisk};

const LOOK: Look = Look { verify: 0, ..APPROVED };
const POLL: Look = Look { local: LocalLook::Nothing, ..LOOK };

/// A task with a simulated disk of 10,000 bytes and a simulated clock.
pub struct World {
    pub disk: SimDisk,
    pub time: Time,
    pub memory: Arc<Memory>,
    task: Task,
    state: TempFolder,
    engine: Option<Engine>,
}

/// An engine between a simulated disk and a service.
pub fn engine(
    task: &Task,
    disk: &SimDisk,
    time: &Time,
    memory: &Arc<Memory>,
    state: &TempFolder,
) -> Engine {
    let parts = Parts {
        trees: open_trees(state.path(), task.id).unwrap(),
        disk: Disk::on(Arc::new(disk.clone()), &task.local),
        remote: memory.clone(),
        descriptor: memory.descriptor,
        counters: Arc::default(),
        workers: Workers::Threads(2),
        clock: Arc::new(time.clone()),
        state: state.path().into(),
        history: 100,
        cancel: Cancel::default(),
    };
    Engine::with(task, parts)
}

impl World {
    fn new() -> World {
        World::with(&DRIVE)
    }

    /// With a service of this kind.
    pub fn with(descriptor: &'static Descriptor) -> World {
        let time = Time::new();
        let format = Format { links: true, tick: 1, reuses_inodes: false };
        let disk = SimDisk::new(time.clone(), format);
        let task = task(Path::new("/volume/task"), Direction::Both);
        let (memory, state) = (Memory::new(descriptor), TempFolder::new());
        World { disk, time, memory, task, state, engine: None }
    }

    pub fn engine(&mut self) -> &mut Engine {
        let World { disk, time, memory, task, state, .. } = self;
        self.engine.get_or_insert_with(|| engine(task, disk, time, memory, state))
    }

    #[track_caller]
    fn sync(&mut self, look: &Look) -> Report {
        self.time.rest(Duration::from_secs(60));
        let report = self.engine().cycle(look).unwrap();
        assert_eq!((report.errors, report.held), (0, 0), "{report:?}");
        report
    }

    /// Both sides get this file, and then it is removed in the cloud.
    #[track_caller]
    fn remove(&mut self, path: &str, bytes: &[u8]) {
        self.disk.write(path, &bytes.into());
        assert_eq!(self.sync(&LOOK).uploaded, 1);
        self.memory.delete(path);
        assert_eq!(self.sync(&LOOK).deleted_local, 1);
    }

    fn days_pass(&mut self, days: u64) {
        self.time.rest(Duration::from_secs(days * 86_400));
    }

    /// What is kept, by path below the area.
    fn kept(&self) -> Vec<(String, Bytes)> {
        let all = self.disk.recycled().into_iter();
        all.filter_map(|(path, content)| Some((path, content?))).collect()
    }

    fn paths(&self) -> Vec<String> {
        self.kept().into_iter().map(|(path, _)| path).collect()
    }

    /// What the status tells: files and bytes.
    fn told(&mut self) -> (u64, u64) {
        let recycled = Overview::of(self.engine().trees(), 1).unwrap().recycled;
        (recycled.files, recycled.bytes)
    }

    fn today(&self) -> Day {
        Day::of(self.time.now())
    }
}

/// The folders that a real task keeps removed files in, one for each day.
fn days(bench: &Bench) -> Vec<PathBuf> {
    let area = bench.local.join(".mooring/1/removed");
    let mut days: Vec<_> = fs::read_dir(area).unwrap().map(|day| day.unwrap().path()).collect();
    days.sort();
    days
}

#[test]
fn what_was_removed_in_the_cloud_can_be_put_back() {
    let bench = Bench::new(&DRIVE, Direction::Both);
    bench.write("album/photo.jpg", b"the only copy");
    bench.date("album/photo.jpg", 1_500_000_000);
    bench.write("other", b"stays");
    bench.sync(&EVERYTHING).unwrap();
    bench.memory.delete("album");
    assert_eq!(bench.sync(&EVERYTHING).unwrap().deleted_local, 2);
    assert!(!bench.local.join("album").exists());

    let kept = days(&bench).remove(0).join("album/photo.jpg");
    assert_eq!(fs::read(&kept).unwrap(), b"the only copy");
    let modified = fs::metadata(&kept).unwrap().modified().unwrap();
    assert_eq!(modified, UNIX_EPOCH + Duration::from_secs(1_500_000_000));
    let engine = bench.engine();
    let mut history = engine.trees().snapshot().unwrap().history().unwrap();
    let event = history.find(|event| event.as_ref().unwrap().path == "album/photo.jpg");
    let event = event.unwrap().unwrap();
    let told = kept.strip_prefix(&bench.local).unwrap().display().to_string();
    assert_eq!((event.action.as_str(), event.detail), ("deleted-local", format!("kept as {told}")));
    drop((history, engine));
    // Nobody takes it for something in the task.
    assert!(!bench.sync(&EVERYTHING).unwrap().did_something());
    assert_eq!(bench.memory.tree().len(), 1);

    fs::create_dir(bench.local.join("album")).unwrap();
    fs::rename(&kept, bench.local.join("album/photo.jpg")).unwrap();
    assert_eq!(bench.sync(&EVERYTHING).unwrap().uploaded, 1);
    assert_eq!(bench.memory.tree()["album/photo.jpg"], Some(b"the only copy".to_vec()));
}

#[test]
fn nothing_that_was_kept_is_overwritten() {
    let mut world = World::new();
    for content in ["one", "two", "three"] {
        world.remove("a.jpg", content.as_bytes());
    }
    let day = world.today();
    let kept: Vec<_> = world.kept().into_iter().map(|(path, it)| (path, it.to_vec())).collect();
    let expected = [("a (2).jpg", "two"), ("a (3).jpg", "three"), ("a.jpg", "one")]
        .map(|(name, text)| (format!("{day}/{name}"), text.as_bytes().to_vec()));
    assert_eq!(kept, expected);
    assert_eq!(world.told(), (3, 11));
}

#[test]
fn each_day_goes_after_as_many_days_as_the_task_says() {
    let mut world = World::new();
    world.remove("old", b"old");
    world.days_pass(1);
    world.remove("new", b"newer");
    world.days_pass(29);
    world.sync(&LOOK);
    assert_eq!(world.told(), (2, 8));
    world.days_pass(1);
    // The disk may be asleep.
    world.sync(&POLL);
    assert_eq!(world.told(), (2, 8));
    world.sync(&LOOK);
    assert_eq!((world.told(), world.paths().len()), ((1, 5), 1));
    world.days_pass(1);
    world.sync(&LOOK);
    assert_eq!((world.told(), world.paths().len()), ((0, 0), 0));
    assert_eq!(world.disk.work_folder(), None);
}

#[test]
fn a_tenth_of_the_volume_is_kept() {
    let mut world = World::new();
    for number in 0..4 {
        world.remove(&number.to_string(), &[number; 400]);
        world.days_pass(3);
    }
    assert_eq!(world.told(), (2, 800));
    let kept: Vec<_> = world.kept().into_iter().map(|(_, content)| content[0]).collect();
    assert_eq!(kept, [2, 3]);
    // What went at once stays for a day, however much it is.
    world.remove("much", &[9; 5000]);
    assert_eq!(world.told(), (1, 5000));
    world.days_pass(2);
    world.sync(&LOOK);
    assert_eq!(world.told(), (0, 0));
}

#[test]
fn nothing_is_kept_where_a_person_says_so() {
    let mut world = World::new();
    world.remove("before", b"before");
    world.task.recycle_days = 0;
    world.engine = None;
    assert_eq!(world.disk.erased(), None);
    world.remove("after", b"after");
    assert_eq!(world.disk.erased().as_deref(), Some(&b"after"[..]));
    assert_eq!((world.told(), world.paths()), ((0, 0), vec![]));
    assert_eq!(world.disk.work_folder(), None);
}

#[test]
fn what_is_kept_longest_gives_way_on_a_full_disk() {
    let mut world = World::new();
    for number in 0..3 {
        world.remove(&number.to_string(), &[number; 200]);
        world.days_pass(2);
    }
    world.disk.set_room(Some(50));
    world.memory.put("needed", &[7; 230]);
    assert_eq!(world.sync(&LOOK).downloaded, 1);
    assert_eq!(world.told(), (2, 400));
    // What can't be had even so takes nothing with it.
    world.memory.put("huge", &[7; 5000]);
    let report = world.engine().cycle(&LOOK).unwrap();
    assert_eq!((report.downloaded, report.problems[0].kind.as_str()), (0, "disk-full"));
    assert_eq!(world.told(), (2, 400));
}

#[test]
fn files_can_be_removed_from_a_full_disk() {
    let mut world = World::new();
    world.disk.write("a/b", &(*b"content").into());
    world.sync(&LOOK);
    world.disk.set_room(Some(0));
    world.memory.delete("a/b");
    assert_eq!(world.sync(&LOOK).deleted_local, 1);
}

#[test]
fn what_is_written_at_the_last_moment_stays() {
    for replaced in [false, true] {
        let mut world = World::new();
        world.disk.write("a", &(*b"planned").into());
        world.sync(&LOOK);
        world.memory.delete("a");
        let disk = world.disk.clone();
        let late = Mutex::new(Some(()));
        world.disk.set_hook(Some(Box::new(move |call, name| {
            if (call, name) == ("rename", "a") && late.lock().unwrap().take().is_some() {
                let content: Bytes = (*b"written at the last moment").into();
                let write = if replaced { SimDisk::save } else { SimDisk::write };
                assert!(write(&disk, "a", &content));
            }
            Ok(())
        })));
        let report = world.sync(&LOOK);
        assert_eq!((report.deleted_local, report.uploaded), (0, 1), "{report:?}");
        let expected = Some(b"written at the last moment".to_vec());
        assert_eq!(world.memory.tree().remove("a"), Some(expected));
        assert_eq!((world.told(), world.paths()), ((0, 0), vec![]));
    }
}

#[test]
fn what_is_kept_is_counted_anew_when_nobody_knows() {
    let mut world = World::new();
    world.remove("a/b", b"one");
    world.days_pass(1);
    world.remove("c", b"three");
    let known = world.engine().trees().snapshot().unwrap().recycled().unwrap();
    world.engine = None;
    fs::remove_dir_all(world.state.path().join("tasks")).unwrap();
    world.sync(&LOOK);
    assert_eq!(world.told(), (2, 8));
    assert_eq!(world.engine().trees().snapshot().unwrap().recycled().unwrap(), known);
    // A crash came among removals.
    let days = known.unwrap().days;
    let mut batch = world.engine().trees().batch().unwrap();
    batch.set_recycled(&Recycled { days: days[..1].to_vec(), open: true }).unwrap();
    batch.commit().unwrap();
    drop(batch);
    world.remove("d", b"d");
    assert_eq!(world.told(), (3, 9));
}

#[test]
fn an_idle_cycle_leaves_the_area_alone() {
    let mut world = World::new();
    world.remove("a/b", b"content");
    world.sync(&LOOK);
    let opened = Arc::new(Mutex::new(Vec::new()));
    let calls = opened.clone();
    world.disk.set_hook(Some(Box::new(move |call, name| {
        if call.starts_with("open folder") || call.starts_with("remove") {
            calls.lock().unwrap().push(name.to_owned());
        }
        Ok(())
    })));
    world.days_pass(5);
    for look in [&POLL, &LOOK] {
        assert!(!world.sync(look).did_something());
    }
    let opened = opened.lock().unwrap();
    assert!(!opened.is_empty() && !opened.iter().any(|name| name == ".mooring"), "{opened:?}");
}

#[test]
fn what_cannot_be_removed_is_kept_nowhere() {
    let mut world = World::new();
    world.disk.write("closed/a", &(*b"content").into());
    world.sync(&LOOK);
    world.memory.delete("closed/a");
    world.disk.set_hook(Some(Box::new(|call, name| match (call, name) {
        ("rename", "a") => Err(Errno::EACCES),
        _ => Ok(()),
    })));
    for _ in 0..3 {
        let report = world.engine().cycle(&LOOK).unwrap();
        assert_eq!((report.deleted_local, report.problems[0].kind.as_str()), (0, "denied"));
        assert_eq!((world.told(), world.paths()), ((0, 0), vec![]));
    }
    world.disk.set_hook(None);
    assert_eq!(world.sync(&Look { retry: true, ..LOOK }).deleted_local, 1);
    assert_eq!(world.told(), (1, 7));
}
