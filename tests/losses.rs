//! Ways in which something was lost, stuck or done twice once: each test is the story of one.

use crate::common::bench::{APPROVED, Bench, EVERYTHING, POLL};
use crate::common::memory::{DRIVE, ETAGS, Fault, How, STORE};
use crate::removed::World;
use mooring::engine::{Approval, LocalLook, Look};
use mooring::error::Kind;
use mooring::model::Direction;
use mooring::remote::Descriptor;
use nix::Error as Errno;
use std::fs;
use std::os::unix::fs::symlink;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

const KINDS: [&Descriptor; 2] = [&STORE, &DRIVE];

fn folders(names: &[&str]) -> Look {
    let local = LocalLook::Folders(names.iter().map(|name| name.to_string()).collect());
    Look { local, remote: false, approve: Approval::NONE, retry: false, verify: 0 }
}

/// Does `what` at the first call that begins with `call`.
fn at_call(bench: &Bench, call: &'static str, what: impl FnOnce() + Send + 'static) {
    let mut what = Some(what);
    *bench.memory.hook.lock().unwrap() = Some(Box::new(move |made| {
        if made.starts_with(call)
            && let Some(what) = what.take()
        {
            what();
        }
    }));
}

/// An unmounted volume: an empty folder in the root's place.
fn unmount(bench: &Bench) -> impl FnOnce() + Send + 'static {
    let local = bench.local.clone();
    move || {
        fs::rename(&local, local.with_extension("away")).unwrap();
        fs::create_dir(&local).unwrap();
    }
}

fn mount(bench: &Bench) {
    fs::rename(&bench.local, bench.local.with_extension("under")).unwrap();
    fs::rename(bench.local.with_extension("away"), &bench.local).unwrap();
}

#[test]
fn volume_lost_while_uploading_removes_nothing_remotely() {
    for descriptor in KINDS {
        let bench = Bench::new(descriptor, Direction::Both);
        for number in 0..9 {
            bench.write(&format!("photo {number}"), b"first");
        }
        bench.sync(&EVERYTHING).unwrap();
        for number in 0..9 {
            bench.write(&format!("photo {number}"), b"second");
        }
        at_call(&bench, "write", unmount(&bench));
        let report = bench.sync(&EVERYTHING);
        eprintln!("{report:?}");
        assert_eq!(bench.memory.tree().len(), 9, "{:?}", bench.memory.tree().keys());
    }
}

#[test]
fn volume_lost_while_the_service_is_listed_removes_nothing_remotely() {
    for descriptor in KINDS {
        let bench = Bench::new(descriptor, Direction::Both);
        for number in 0..9 {
            bench.write(&format!("photo {number}"), b"first");
        }
        bench.sync(&EVERYTHING).unwrap();
        at_call(&bench, "list", unmount(&bench));
        let report = bench.sync(&EVERYTHING);
        eprintln!("{report:?}");
        assert_eq!(bench.memory.tree().len(), 9, "{:?}", bench.memory.tree().keys());
    }
}

#[test]
fn volume_lost_while_downloading_does_not_lose_the_remote_files() {
    for direction in [Direction::Both] {
        let bench = Bench::new(&DRIVE, direction);
        bench.write("anchor", b"anchor");
        bench.sync(&EVERYTHING).unwrap();
        for number in 0..9 {
            bench.memory.put(&format!("photo {number}"), b"the only copy");
        }
        at_call(&bench, "read", unmount(&bench));
        let _ = bench.sync(&EVERYTHING);
        *bench.memory.hook.lock().unwrap() = None;
        mount(&bench);
        let report = bench.sync(&EVERYTHING);
        eprintln!("{report:?}");
        assert_eq!(bench.memory.tree().len(), 10, "{:?}", bench.memory.tree().keys());
    }
}

/// What isn't there isn't gone where the root isn't there either.
#[test]
fn a_remote_root_lost_while_downloading_removes_nothing_here() {
    for descriptor in [&DRIVE, &ETAGS] {
        let bench = Bench::new(descriptor, Direction::Both);
        for name in ["photo", "other"] {
            bench.write(name, b"first");
        }
        bench.sync(&EVERYTHING).unwrap();
        bench.memory.put("photo", b"second");
        let memory = bench.memory.clone();
        at_call(&bench, "read", move || memory.lose_root());
        let error = bench.sync(&EVERYTHING).unwrap_err();
        assert_eq!(error.kind(), Kind::RootLost, "{error}");
        assert_eq!(bench.read("photo").as_deref(), Some(&b"first"[..]));
    }
}

#[test]
fn a_local_root_that_is_removed_while_uploading_removes_nothing_there() {
    for descriptor in KINDS {
        let bench = Bench::new(descriptor, Direction::Both);
        for content in [b"first", b"again"] {
            for number in 0..9 {
                bench.write(&format!("photo {number}"), content);
            }
            let local = bench.local.clone();
            match content {
                b"first" => drop(bench.sync(&EVERYTHING).unwrap()),
                _ => at_call(&bench, "write", move || fs::remove_dir_all(local).unwrap()),
            }
        }
        let error = bench.sync(&EVERYTHING).unwrap_err();
        assert_eq!(error.kind(), Kind::RootLost, "{error}");
        assert_eq!(bench.memory.tree().len(), 9, "{:?}", bench.memory.tree().keys());
    }
}

#[test]
fn a_folder_that_begins_like_litter_is_not_litter() {
    for descriptor in KINDS {
        let bench = Bench::new(descriptor, Direction::Both);
        bench.write("album/a", b"a");
        bench.sync(&EVERYTHING).unwrap();
        bench.memory.delete("album");
        // Made since the last look at the disk; a poll doesn't look there.
        bench.write("album/._gallery/photo.jpg", b"the only copy");
        let mut engine = bench.engine();
        let report = engine.cycle(&POLL);
        eprintln!("{report:?}");
        assert!(bench.read("album/._gallery/photo.jpg").is_some());
    }
}

#[test]
fn a_file_put_into_a_folder_whose_litter_is_being_removed_stays() {
    let mut lost = 0;
    for _ in 0..5 {
        let bench = Bench::new(&DRIVE, Direction::Both);
        bench.write("album/a", b"a");
        for number in 0..300 {
            bench.write(&format!("album/@eaDir/{number}/SYNOPHOTO_THUMB_XL.jpg"), b"thumb");
        }
        bench.sync(&EVERYTHING).unwrap();
        bench.memory.delete("album");
        let done = Arc::new(AtomicBool::new(false));
        let local = bench.local.clone();
        let stop = done.clone();
        let person = std::thread::spawn(move || {
            let count = || fs::read_dir(local.join("album/@eaDir")).map_or(0, Iterator::count);
            while count() >= 300 && !stop.load(SeqCst) {}
            fs::write(local.join("album/photo.jpg"), b"the only copy").is_ok()
        });
        let report = bench.sync(&EVERYTHING);
        done.store(true, SeqCst);
        let written = person.join().unwrap();
        eprintln!("{written} {report:?}");
        if written && bench.read("album/photo.jpg").is_none() {
            lost += 1;
        }
    }
    assert_eq!(lost, 0);
}

#[test]
fn a_moved_file_with_other_content_of_the_same_size_and_time_is_sent() {
    for descriptor in KINDS {
        let bench = Bench::new(descriptor, Direction::Both);
        bench.write("a", b"aaaa");
        bench.sync(&EVERYTHING).unwrap();
        let time = fs::metadata(bench.local.join("a")).unwrap().modified().unwrap();
        fs::rename(bench.local.join("a"), bench.local.join("b")).unwrap();
        // As an encrypted container does, or a new file that got the old inode.
        fs::write(bench.local.join("b"), b"bbbb").unwrap();
        let file = fs::File::options().write(true).open(bench.local.join("b")).unwrap();
        file.set_modified(time).unwrap();
        drop(file);
        bench.sync(&EVERYTHING).unwrap();
        bench.sync(&EVERYTHING).unwrap();
        assert_eq!(bench.tree(), bench.memory.tree());
    }
}

#[test]
fn a_folder_replaced_by_another_is_looked_into() {
    for descriptor in KINDS {
        let bench = Bench::new(descriptor, Direction::Both);
        bench.write("a/x", b"of a");
        bench.write("b/y", b"of b");
        let mut engine = bench.engine();
        engine.cycle(&EVERYTHING).unwrap();
        fs::remove_dir_all(bench.local.join("a")).unwrap();
        fs::rename(bench.local.join("b"), bench.local.join("a")).unwrap();
        // Only the root and what is gone were touched.
        for _ in 0..3 {
            engine.cycle(&folders(&["", "a"][..1])).unwrap();
            engine.cycle(&POLL).unwrap();
        }
        assert_eq!(bench.tree(), bench.memory.tree());
    }
}

#[test]
fn swapped_folders_are_looked_into() {
    for descriptor in KINDS {
        let bench = Bench::new(descriptor, Direction::Both);
        bench.write("a/x", b"of a");
        bench.write("b/y", b"of b");
        let mut engine = bench.engine();
        engine.cycle(&EVERYTHING).unwrap();
        let at = |name: &str| bench.local.join(name);
        fs::rename(at("a"), at("t")).unwrap();
        fs::rename(at("b"), at("a")).unwrap();
        fs::rename(at("t"), at("b")).unwrap();
        for _ in 0..3 {
            engine.cycle(&folders(&[""])).unwrap();
            engine.cycle(&POLL).unwrap();
        }
        assert_eq!(bench.tree(), bench.memory.tree());
    }
}

#[test]
fn a_link_in_a_files_place_makes_no_conflict_copies() {
    for descriptor in KINDS {
        let bench = Bench::new(descriptor, Direction::Both);
        bench.write("a", b"content");
        let mut engine = bench.engine();
        engine.cycle(&EVERYTHING).unwrap();
        fs::remove_file(bench.local.join("a")).unwrap();
        symlink("/etc/hostname", bench.local.join("a")).unwrap();
        engine.cycle(&EVERYTHING).unwrap();
        bench.memory.take_calls();
        for _ in 0..3 {
            let report = engine.cycle(&POLL);
            eprintln!("{report:?}");
        }
        let calls = bench.memory.take_calls();
        assert!(!calls.iter().any(|call| call.starts_with("read")), "{calls:?}");
        assert_eq!(bench.tree().len(), 1, "{:?}", bench.tree().keys());
    }
}

#[test]
fn an_item_skipped_on_one_side_writes_no_state_each_cycle() {
    for descriptor in KINDS {
        let bench = Bench::new(descriptor, Direction::Both);
        bench.memory.put("a", b"content");
        symlink("/etc/hostname", bench.local.join("a")).unwrap();
        let mut engine = bench.engine();
        for _ in 0..3 {
            engine.cycle(&EVERYTHING).unwrap();
        }
        let state = bench.task.local.join("../state/tasks/1.redb");
        let before = fs::read(&state).unwrap();
        engine.cycle(&EVERYTHING).unwrap();
        assert!(fs::read(&state).unwrap() == before, "the state was written");
    }
}

#[test]
fn a_folder_that_is_looked_at_with_its_parent_gets_one_row() {
    for descriptor in KINDS {
        let mut bench = Bench::new(descriptor, Direction::Both);
        bench.task.keep_removed = true;
        bench.write("x/other", b"other");
        bench.write("x/y/f", b"f");
        let mut engine = bench.engine();
        engine.cycle(&EVERYTHING).unwrap();
        fs::remove_dir_all(bench.local.join("x/y")).unwrap();
        engine.cycle(&folders(&["x"])).unwrap();
        bench.write("x/y/new/deep/g", b"g");
        // What a watch tells: each folder in which something came up.
        let report = engine.cycle(&folders(&["x", "x/y", "x/y/new"]));
        eprintln!("{report:?}");
        report.unwrap();
        engine.cycle(&EVERYTHING).unwrap();
        assert!(bench.memory.tree().contains_key("x/y/new/deep/g"));
    }
}

#[test]
fn one_unreadable_remote_folder_does_not_stop_the_rest() {
    let bench = Bench::new(&DRIVE, Direction::Both);
    bench.write("a/x", b"x");
    bench.write("b/y", b"y");
    bench.sync(&EVERYTHING).unwrap();
    *bench.memory.broken.lock().unwrap() = Some(("list a".into(), Kind::Denied));
    bench.write("b/z", b"z");
    let report = bench.sync(&EVERYTHING);
    assert!(bench.memory.tree().contains_key("b/z"), "{report:?}");
    report.unwrap();
}

#[test]
fn a_folder_moved_out_of_one_that_cannot_be_read_stops_nothing() {
    let mut world = World::with(&DRIVE);
    let disk = world.disk.clone();
    assert!(disk.write("private/sub/a", &(*b"a").into()));
    world.engine().cycle(&EVERYTHING).unwrap();
    assert!(disk.rename("private/sub", "sub") && disk.write("other", &(*b"other").into()));
    disk.set_hook(Some(Box::new(|call, name| match (call, name) {
        ("open folder", "private") => Err(Errno::EACCES),
        _ => Ok(()),
    })));
    let report = world.engine().cycle(&EVERYTHING).unwrap();
    assert_eq!((report.uploaded, report.deleted_remote), (2, 0), "{report:?}");
    assert_eq!((report.errors, report.problems[0].path.as_str()), (1, "private"));
    disk.set_hook(None);
    world.engine().cycle(&EVERYTHING).unwrap();
    let paths: Vec<_> = world.memory.tree().into_keys().collect();
    assert_eq!(paths, ["other", "private", "sub", "sub/a"]);
}

#[test]
fn a_file_that_cannot_be_looked_at_after_its_move_failed_stops_nothing() {
    for descriptor in KINDS {
        let bench = Bench::new(descriptor, Direction::Both);
        bench.write("a", b"a");
        bench.sync(&EVERYTHING).unwrap();
        fs::rename(bench.local.join("a"), bench.local.join("b")).unwrap();
        bench.write("c", b"c");
        // Whatever is asked of the file at its old place is refused.
        *bench.memory.broken.lock().unwrap() = Some(("rename a".into(), Kind::Denied));
        let memory = bench.memory.clone();
        at_call(&bench, "rename a", move || {
            *memory.broken.lock().unwrap() = Some(("stat a".into(), Kind::Denied));
            memory.set_fault(Some(Fault { after: 0, how: How::Refuse(Kind::Protocol) }));
        });
        bench.sync(&EVERYTHING).unwrap();
        assert_eq!(bench.memory.tree()["b"].as_deref(), Some(&b"a"[..]));
        assert_eq!(bench.memory.tree()["c"].as_deref(), Some(&b"c"[..]));
    }
}

#[test]
fn a_folder_that_cannot_be_kept_as_its_last_file_goes_stops_nothing() {
    let bench = Bench::new(&STORE, Direction::Both);
    for path in ["kept/last", "gone/last", "other"] {
        bench.write(path, b"x");
    }
    bench.sync(&EVERYTHING).unwrap();
    fs::remove_file(bench.local.join("kept/last")).unwrap();
    fs::remove_dir_all(bench.local.join("gone")).unwrap();
    *bench.memory.broken.lock().unwrap() = Some(("make_folder kept".into(), Kind::Denied));
    let report = bench.sync(&EVERYTHING).unwrap();
    assert_eq!((report.deleted_remote, report.problems[0].path.as_str()), (2, "kept/last"));
    assert!(bench.memory.tree().contains_key("kept/last"));
}

#[test]
fn one_file_that_cuts_the_connection_does_not_stop_the_rest() {
    for descriptor in KINDS {
        let bench = Bench::new(descriptor, Direction::Both);
        bench.sync(&EVERYTHING).unwrap();
        for number in 0..20 {
            bench.write(&format!("file {number:02}"), b"x");
        }
        *bench.memory.broken.lock().unwrap() = Some(("write file 02".into(), Kind::Offline));
        for _ in 0..4 {
            let _ = bench.sync(&Look { retry: true, ..EVERYTHING });
        }
        assert_eq!(bench.memory.tree().len(), 19, "{:?}", bench.memory.tree().keys());
    }
}

#[test]
fn what_was_denied_is_tried_again_when_a_setting_changed() {
    for descriptor in KINDS {
        let mut bench = Bench::new(descriptor, Direction::Both);
        bench.write("a", b"a");
        *bench.memory.broken.lock().unwrap() = Some(("write a".into(), Kind::Denied));
        bench.sync(&EVERYTHING).unwrap();
        *bench.memory.broken.lock().unwrap() = None;
        bench.task.revision += 1;
        bench.sync(&EVERYTHING).unwrap();
        assert!(bench.memory.tree().contains_key("a"));
    }
}

#[test]
fn a_loser_kept_remotely_is_kept_once() {
    for descriptor in KINDS {
        let bench = Bench::new(descriptor, Direction::Upload);
        bench.write("b", b"here");
        bench.memory.put("b", b"different");
        let mut after = 0;
        loop {
            // Just the copy's reply is lost.
            bench.memory.take_calls();
            bench.memory.set_fault(Some(Fault { after, how: How::LoseReply }));
            let _ = bench.sync(&EVERYTHING);
            let calls = bench.memory.take_calls();
            if calls.get(after).is_some_and(|call| call.starts_with("copy")) || after > 10 {
                break;
            }
            assert!(!calls.iter().any(|call| call.starts_with("copy")), "{calls:?}");
            after += 1;
        }
        bench.memory.set_fault(None);
        bench.sync(&EVERYTHING).unwrap();
        bench.sync(&EVERYTHING).unwrap();
        let tree = bench.memory.tree();
        assert_eq!(tree.len(), 2, "{:?}", tree.keys());
    }
}

#[test]
fn a_folder_that_fills_up_while_it_is_removed_stays() {
    let bench = Bench::new(&ETAGS, Direction::Both);
    bench.write("a/x", b"x");
    bench.sync(&EVERYTHING).unwrap();
    bench.sync(&EVERYTHING).unwrap();
    fs::remove_dir_all(bench.local.join("a")).unwrap();
    let memory = bench.memory.clone();
    let mut done = false;
    *bench.memory.hook.lock().unwrap() = Some(Box::new(move |call| {
        if call == "remove a/x" && !done {
            done = true;
            memory.put("a/new", b"came meanwhile");
        }
    }));
    let report = bench.sync(&EVERYTHING);
    eprintln!("{report:?}");
    *bench.memory.hook.lock().unwrap() = None;
    for _ in 0..4 {
        let report = bench.sync(&Look { retry: true, ..EVERYTHING });
        eprintln!("{report:?}");
    }
    assert_eq!(bench.read("a/new").as_deref(), Some(&b"came meanwhile"[..]));
    assert_eq!(bench.tree(), bench.memory.tree());
}

#[test]
fn kept_removed_files_survive_the_end_of_the_setting() {
    for descriptor in KINDS {
        let mut bench = Bench::new(descriptor, Direction::Both);
        bench.task.keep_removed = true;
        for number in 0..9 {
            bench.write(&format!("{number}"), b"x");
        }
        bench.sync(&EVERYTHING).unwrap();
        for number in 0..9 {
            fs::remove_file(bench.local.join(format!("{number}"))).unwrap();
        }
        bench.sync(&EVERYTHING).unwrap();
        assert_eq!(bench.memory.tree().len(), 9);
        bench.task.keep_removed = false;
        bench.task.revision += 1;
        let report = bench.sync(&EVERYTHING);
        eprintln!("{report:?}");
        assert_eq!(bench.memory.tree().len(), 9);
    }
}

#[test]
fn a_forgotten_folder_leaves_no_rows_behind() {
    let bench = Bench::new(&DRIVE, Direction::Both);
    bench.write("f/.DS_Store", b"litter");
    bench.write("f/x", b"x");
    bench.sync(&EVERYTHING).unwrap();
    bench.memory.delete("f");
    bench.write("zz", b"zz");
    let local = bench.local.clone();
    at_call(&bench, "write", move || fs::remove_dir_all(local.join("f")).unwrap());
    eprintln!("{:?}", bench.sync(&APPROVED));
    eprintln!("{:?}", bench.sync(&APPROVED));
    let engine = bench.engine();
    let snapshot = engine.trees().snapshot().unwrap();
    for key in snapshot.skipped(None).unwrap() {
        let key = key.unwrap();
        snapshot.path(&key).unwrap();
    }
    assert_eq!(snapshot.skipped_count().unwrap(), 0);
}

#[test]
fn a_folder_that_goes_while_it_is_made_remotely_stops_nothing() {
    let bench = Bench::new(&DRIVE, Direction::Both);
    bench.write("f/x", b"x");
    bench.write("g", b"g");
    let local = bench.local.clone();
    let memory = bench.memory.clone();
    // Another client makes a file of the folder's name; a person takes the folder away.
    at_call(&bench, "make_folder f", move || {
        memory.put("f", b"a file");
        fs::remove_dir_all(local.join("f")).unwrap();
        memory.delete("f");
        memory.put("f", b"a file");
    });
    for _ in 0..3 {
        eprintln!("{:?}", bench.sync(&EVERYTHING));
    }
    bench.sync(&EVERYTHING).unwrap();
    assert_eq!(bench.tree(), bench.memory.tree());
}

/// Folders as `mv` makes them: (from, to) in turn.
fn shuffle(bench: &Bench, moves: &[(&str, &str)]) {
    for (from, to) in moves {
        fs::rename(bench.local.join(from), bench.local.join(to)).unwrap();
    }
}

#[test]
fn a_folder_moved_into_the_one_that_took_its_name_is_found() {
    for descriptor in KINDS {
        let bench = Bench::new(descriptor, Direction::Both);
        bench.write("d/f", b"f");
        bench.write("b/g", b"g");
        bench.sync(&EVERYTHING).unwrap();
        shuffle(&bench, &[("d", "t"), ("b", "d"), ("t", "d/d")]);
        for _ in 0..4 {
            let report = bench.sync(&APPROVED);
            eprintln!("{} {report:?}", descriptor.name);
        }
        bench.sync(&APPROVED).unwrap();
        assert_eq!(bench.tree(), bench.memory.tree());
    }
}

#[test]
fn a_renamed_folder_whose_name_is_taken_again_at_once_is_found() {
    for descriptor in KINDS {
        let bench = Bench::new(descriptor, Direction::Both);
        bench.write("photos/f", b"f");
        let mut engine = bench.engine();
        engine.cycle(&EVERYTHING).unwrap();
        shuffle(&bench, &[("photos", "old")]);
        bench.write("photos/new", b"new");
        let report = engine.cycle(&folders(&["", "photos"]));
        eprintln!("{} {report:?}", descriptor.name);
        for _ in 0..3 {
            engine.cycle(&POLL).unwrap();
        }
        assert_eq!(bench.tree(), bench.memory.tree());
    }
}

#[test]
fn a_renamed_folder_whose_name_is_taken_again_is_found_by_one_look() {
    for descriptor in KINDS {
        let bench = Bench::new(descriptor, Direction::Both);
        bench.write("photos/f", b"f");
        bench.sync(&EVERYTHING).unwrap();
        shuffle(&bench, &[("photos", "old")]);
        bench.write("photos/new", b"new");
        bench.sync(&EVERYTHING).unwrap();
        assert_eq!(bench.tree(), bench.memory.tree());
    }
}

#[test]
fn a_renamed_folder_whose_name_is_taken_again_twice() {
    // Three folders in a ring, then nested.
    for descriptor in KINDS {
        let bench = Bench::new(descriptor, Direction::Both);
        for name in ["a", "b", "c"] {
            bench.write(&format!("{name}/of {name}"), name.as_bytes());
        }
        bench.sync(&EVERYTHING).unwrap();
        shuffle(&bench, &[("a", "t"), ("b", "a"), ("c", "b"), ("t", "b/t")]);
        for _ in 0..3 {
            bench.sync(&APPROVED).unwrap();
        }
        assert_eq!(bench.tree(), bench.memory.tree());
    }
}

#[test]
fn folders_renamed_into_each_other_between_looks() {
    // h_drive_partial, seed 34, cut down: two swaps of a folder with one that took a moved one's place.
    for descriptor in KINDS {
        let bench = Bench::new(descriptor, Direction::Both);
        bench.write("c/a", b"ca");
        bench.write("a/d", b"ad");
        bench.write("b/d/d", b"bdd");
        let mut engine = bench.engine();
        engine.cycle(&APPROVED).unwrap();
        shuffle(&bench, &[("a", "d")]);
        bench.memory.put("b/a", b"ba");
        engine.cycle(&APPROVED).unwrap();
        // b and d change places, then b and d/d.
        shuffle(&bench, &[("b", "t"), ("d", "b"), ("t", "d")]);
        shuffle(&bench, &[("b", "t"), ("d/d", "b"), ("t", "d/d")]);
        fs::remove_file(bench.local.join("b/d")).unwrap();
        for _ in 0..3 {
            let report = engine.cycle(&APPROVED);
            eprintln!("{} {:?} {report:?}", descriptor.name, bench.tree().keys());
        }
        engine.cycle(&APPROVED).unwrap();
        assert_eq!(bench.tree(), bench.memory.tree());
    }
}

#[test]
fn a_file_in_the_place_of_a_folder_that_got_something_new_is_held() {
    for descriptor in KINDS {
        let bench = Bench::new(descriptor, Direction::Both);
        bench.memory.put("c/b", b"b");
        bench.sync(&EVERYTHING).unwrap();
        bench.memory.put("c/new", b"new");
        fs::remove_dir_all(bench.local.join("c")).unwrap();
        bench.write("c", b"a file now");
        bench.sync(&EVERYTHING).unwrap();
        let report = bench.sync(&EVERYTHING).unwrap();
        eprintln!("{} {report:?}", descriptor.name);
        let said = report.held + report.errors > 0;
        assert!(said || bench.tree() == bench.memory.tree(), "differ, and nobody is told");
    }
}

#[test]
fn folders_renamed_into_each_other_survive_a_restart() {
    let bench = Bench::new(&STORE, Direction::Both);
    bench.write("d/a/f", b"f");
    bench.write("b/g", b"g");
    bench.sync(&APPROVED).unwrap();
    // Swap d and b, then d/b... : the folder that was d ends up inside the one now called d.
    shuffle(&bench, &[("d", "t"), ("b", "d"), ("t", "d/d")]);
    fs::remove_file(bench.local.join("d/g")).unwrap();
    for _ in 0..3 {
        let report = bench.sync(&APPROVED);
        eprintln!("{report:?}");
    }
    bench.sync(&APPROVED).unwrap();
    assert_eq!(bench.tree(), bench.memory.tree());
}

#[test]
fn a_folder_put_into_a_new_one_of_its_own_name_is_found() {
    for direction in [Direction::Both, Direction::Upload] {
        for descriptor in KINDS {
            for target in ["photos/2024", "photos/old/2024"] {
                let bench = Bench::new(descriptor, direction);
                bench.write("photos/f", b"f");
                bench.sync(&EVERYTHING).unwrap();
                fs::rename(bench.local.join("photos"), bench.local.join("t")).unwrap();
                fs::create_dir_all(bench.local.join(target).parent().unwrap()).unwrap();
                fs::rename(bench.local.join("t"), bench.local.join(target)).unwrap();
                let mut ended = Ok(());
                for _ in 0..3 {
                    let report = bench.sync(&APPROVED);
                    ended = report.map(|_| ());
                }
                let equal = bench.tree() == bench.memory.tree();
                let name = descriptor.name;
                assert!(equal, "{direction:?} {name} {target}: {ended:?}");
            }
        }
    }
}

/// A folder that is kept in two clouds.
#[test]
fn two_tasks_with_one_folder_leave_each_others_work_alone() {
    let one = Bench::new(&STORE, Direction::Both);
    let mut two = Bench::new(&STORE, Direction::Both);
    (two.task.id, two.task.local, two.task.recycle_days) = (2, one.local.clone(), 0);
    let two = Arc::new(Mutex::new(two));
    one.memory.put("large", &vec![7; 300_000]);
    let other = two.clone();
    at_call(&one, "read large", move || {
        let two = other.lock().unwrap();
        two.memory.put("small", b"small");
        assert_eq!(two.sync(&EVERYTHING).unwrap().downloaded, 1);
    });
    let report = one.sync(&EVERYTHING).unwrap();
    assert_eq!((report.downloaded, report.errors), (1, 0), "{report:?}");
    let two = two.lock().unwrap();
    let sync = |bench: &Bench| bench.sync(&EVERYTHING).unwrap();
    sync(&two);
    sync(&one);
    assert_eq!(two.memory.tree(), one.memory.tree());

    one.memory.delete("large");
    assert_eq!(sync(&one).deleted_local, 1);
    assert_eq!(sync(&two).deleted_remote, 1);
    let kept = || fs::read_dir(one.local.join(".mooring/1/removed")).unwrap().count();
    assert_eq!(kept(), 1);
    two.memory.delete("small");
    assert_eq!(sync(&two).deleted_local, 1);
    assert_eq!(kept(), 1);
    assert!(!one.local.join(".mooring/2").exists());
}

/// As the database does on some damaged files.
#[test]
fn a_panic_of_a_transfer_ends_the_cycle() {
    let bench = Bench::new(&DRIVE, Direction::Both);
    bench.write("photo", b"the only copy");
    at_call(&bench, "write", || panic!("the state is damaged"));
    assert_eq!(bench.sync(&EVERYTHING).unwrap_err().kind(), Kind::State);
}

/// Thousands would be more than a process may have open.
#[test]
fn transfers_that_fail_keep_no_folders_open() {
    let bench = Bench::new(&DRIVE, Direction::Both);
    for number in 0..200 {
        bench.write(&format!("{number}/photo"), b"new");
    }
    *bench.memory.broken.lock().unwrap() = Some(("write".into(), Kind::Denied));
    let (most, local) = (Arc::new(AtomicUsize::new(0)), bench.local.clone());
    let seen = most.clone();
    *bench.memory.hook.lock().unwrap() = Some(Box::new(move |_| {
        let open = fs::read_dir("/proc/self/fd").unwrap().flatten();
        let ours = |path| fs::read_link(path).is_ok_and(|to| to.starts_with(&local));
        seen.fetch_max(open.filter(|fd| ours(fd.path())).count(), SeqCst);
    }));
    assert_eq!(bench.sync(&EVERYTHING).unwrap().errors, 200);
    assert!(most.load(SeqCst) < 100, "{most:?}");
}
