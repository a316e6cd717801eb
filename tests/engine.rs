//! What a task does, one behaviour at a time, between a real folder and a service in memory.

use crate::common::bench::{APPROVED, Bench, EVERYTHING};
use crate::common::memory::{DRIVE, FORGETFUL, Fault, How, STORE};
use mooring::engine::{Engine, Intent, LocalLook, Look};
use mooring::error::Kind;
use mooring::model::Direction;
use mooring::remote::Descriptor;
use std::fs;
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};

const KINDS: [&Descriptor; 2] = [&STORE, &DRIVE];

/// A two-way task for each kind of service.
fn each_kind(test: impl Fn(Bench)) {
    for descriptor in KINDS {
        test(Bench::new(descriptor, Direction::Both));
    }
}

fn names(bench: &Bench) -> Vec<String> {
    bench.tree().into_keys().collect()
}

#[test]
fn the_first_sync_unites_both_sides() {
    each_kind(|bench| {
        bench.write("mine/one.txt", b"one");
        bench.write("same.txt", b"same");
        bench.memory.put("theirs/two.txt", b"two");
        bench.memory.put("same.txt", b"same");
        fs::create_dir_all(bench.local.join("empty/inside")).unwrap();
        bench.memory.make("bare");
        let report = bench.sync(&EVERYTHING).unwrap();
        assert_eq!((report.uploaded, report.downloaded, report.conflicts), (1, 1, 0));
        assert_eq!((report.deleted_local, report.deleted_remote, report.errors), (0, 0, 0));
        assert_eq!(bench.tree(), bench.memory.tree());
        assert_eq!(bench.read("theirs/two.txt").unwrap(), b"two");
    });
}

#[test]
fn nothing_changed_costs_a_look_and_writes_nothing() {
    each_kind(|bench| {
        bench.write("a/b.txt", b"b");
        bench.sync(&EVERYTHING).unwrap();
        let state = bench.task.local.join("../state/tasks/1.redb");
        let mut engine = bench.engine();
        let before = fs::read(&state).unwrap();
        bench.memory.take_calls();
        let report = engine.cycle(&EVERYTHING).unwrap();
        assert!(!report.did_something());
        assert_eq!(fs::read(&state).unwrap(), before, "the state was written");
        let calls = bench.memory.take_calls();
        assert!(calls.iter().all(|call| call.starts_with("list") || call == "stat "), "{calls:?}");
    });
}

#[test]
fn what_was_fetched_is_not_read_again() {
    each_kind(|bench| {
        (0..20).for_each(|it| bench.memory.put(&format!("{it}"), &[it]));
        assert_eq!(bench.sync(&EVERYTHING).unwrap().downloaded, 20);
        let state = bench.task.local.join("../state/tasks/1.redb");
        let mut engine = bench.engine();
        let before = fs::read(&state).unwrap();
        engine.cycle(&EVERYTHING).unwrap();
        assert_eq!(fs::read(&state).unwrap(), before, "it was looked into");
    });
}

#[test]
fn a_write_right_after_the_fetch_is_noticed() {
    each_kind(|bench| {
        bench.memory.put("a", b"fetched");
        let local = bench.local.join("a");
        // As soon as it is there, and of the same size.
        let writer = std::thread::spawn(move || {
            while !local.exists() {
                std::thread::yield_now();
            }
            fs::write(&local, b"written").unwrap();
        });
        let first = bench.sync(&EVERYTHING);
        writer.join().unwrap();
        first.unwrap();
        bench.sync(&EVERYTHING).unwrap();
        assert_eq!(bench.memory.tree()["a"], Some(b"written".to_vec()));
    });
}

#[test]
fn edits_and_deletions_reach_the_other_side() {
    each_kind(|bench| {
        for name in ["a", "b", "c", "d"] {
            bench.write(name, name.as_bytes());
        }
        bench.sync(&EVERYTHING).unwrap();
        bench.write("a", b"edited here");
        bench.memory.put("b", b"edited there");
        fs::remove_file(bench.local.join("c")).unwrap();
        bench.memory.delete("d");
        let report = bench.sync(&EVERYTHING).unwrap();
        assert_eq!((report.uploaded, report.downloaded), (1, 1));
        assert_eq!((report.deleted_local, report.deleted_remote), (1, 1));
        assert_eq!(names(&bench), ["a", "b"]);
        assert_eq!(bench.tree(), bench.memory.tree());
    });
}

#[test]
fn a_conflict_keeps_both_and_the_local_one_keeps_the_name() {
    each_kind(|bench| {
        bench.write("note.txt", b"first");
        bench.sync(&EVERYTHING).unwrap();
        bench.write("note.txt", b"from here");
        bench.memory.put("note.txt", b"from there");
        let report = bench.sync(&EVERYTHING).unwrap();
        assert_eq!(report.conflicts, 1);
        assert_eq!(bench.read("note.txt").unwrap(), b"from here");
        let names = names(&bench);
        assert_eq!(names.len(), 2, "{names:?}");
        assert!(names[0].starts_with("note (conflict 2020-09-13 "), "{names:?}");
        assert_eq!(bench.read(&names[0]).unwrap(), b"from there");
        assert_eq!(bench.tree(), bench.memory.tree());
        assert!(!bench.sync(&EVERYTHING).unwrap().did_something());
    });
}

#[test]
fn a_conflict_met_again_after_a_crash_leaves_one_copy() {
    each_kind(|bench| {
        bench.write("note.txt", b"first");
        bench.sync(&EVERYTHING).unwrap();
        bench.write("note.txt", b"from here");
        bench.memory.put("note.txt", b"from there");
        // The copy is made, then the upload fails with everything after it.
        bench.memory.set_fault(Some(Fault { after: 4, how: How::Refuse(Kind::State) }));
        let _ = bench.sync(&EVERYTHING);
        bench.memory.set_fault(None);
        bench.sync(&EVERYTHING).unwrap();
        bench.sync(&EVERYTHING).unwrap();
        assert_eq!(names(&bench).len(), 2, "{:?}", names(&bench));
        assert_eq!(bench.tree(), bench.memory.tree());
    });
}

#[test]
fn the_same_edit_on_both_sides_is_no_conflict() {
    each_kind(|bench| {
        bench.write("note.txt", b"first");
        bench.sync(&EVERYTHING).unwrap();
        bench.write("note.txt", b"second");
        bench.memory.put("note.txt", b"second");
        let report = bench.sync(&EVERYTHING).unwrap();
        assert_eq!((report.conflicts, report.uploaded, report.downloaded), (0, 0, 0));
    });
}

#[test]
fn an_edit_beats_a_deletion_in_both_directions() {
    each_kind(|bench| {
        bench.write("in/a", b"a");
        bench.write("out/b", b"b");
        bench.sync(&EVERYTHING).unwrap();
        fs::remove_dir_all(bench.local.join("in")).unwrap();
        bench.memory.put("in/a", b"edited there");
        bench.memory.delete("out");
        bench.write("out/b", b"edited here");
        let report = bench.sync(&EVERYTHING).unwrap();
        assert_eq!((report.deleted_local, report.deleted_remote, report.conflicts), (0, 0, 0));
        assert_eq!(bench.read("in/a").unwrap(), b"edited there");
        assert_eq!(bench.tree(), bench.memory.tree());
    });
}

#[test]
fn a_touched_file_is_not_sent_again() {
    each_kind(|bench| {
        bench.write("a", b"same");
        bench.sync(&EVERYTHING).unwrap();
        bench.write("a", b"same");
        let mode = fs::Permissions::from_mode(0o600);
        fs::set_permissions(bench.local.join("a"), mode).unwrap();
        bench.memory.take_calls();
        let report = bench.sync(&EVERYTHING).unwrap();
        assert!(!report.did_something());
        let calls = bench.memory.take_calls();
        assert!(!calls.iter().any(|call| call.starts_with("write")), "{calls:?}");
    });
}

#[test]
fn a_renamed_folder_is_one_call_where_the_service_can() {
    let bench = Bench::new(&DRIVE, Direction::Both);
    for number in 0..20 {
        bench.write(&format!("old/deep/{number}"), &[number]);
    }
    bench.sync(&EVERYTHING).unwrap();
    fs::rename(bench.local.join("old"), bench.local.join("new")).unwrap();
    bench.write("new/deep/more", b"more");
    bench.memory.take_calls();
    let report = bench.sync(&EVERYTHING).unwrap();
    assert_eq!((report.moved, report.uploaded, report.deleted_remote), (1, 1, 0));
    let calls = bench.memory.take_calls();
    let renames = calls.iter().filter(|call| call.starts_with("rename"));
    assert_eq!(renames.collect::<Vec<_>>(), ["rename old"]);
    assert_eq!(bench.tree(), bench.memory.tree());
    assert!(!bench.sync(&EVERYTHING).unwrap().did_something());
}

#[test]
fn a_folder_too_large_to_be_renamed_at_once_is_renamed_in_parts() {
    let bench = Bench::new(&DRIVE, Direction::Both);
    for path in ["old/file", "old/in/one", "old/in/deep/two"] {
        bench.write(path, path.as_bytes());
    }
    bench.sync(&EVERYTHING).unwrap();
    fs::rename(bench.local.join("old"), bench.local.join("new")).unwrap();
    *bench.memory.broken.lock().unwrap() = Some(("rename old".into(), Kind::TooLarge));
    bench.memory.take_calls();
    let report = bench.sync(&EVERYTHING).unwrap();
    assert_eq!((report.uploaded, report.moved, report.errors), (0, 2, 0), "{report:?}");
    let calls = bench.memory.take_calls();
    let renames: Vec<_> = calls.iter().filter(|call| call.starts_with("rename")).collect();
    assert_eq!(renames, ["rename old", "rename old/in", "rename old/file"]);
    assert_eq!(bench.tree(), bench.memory.tree());
    assert!(!bench.sync(&EVERYTHING).unwrap().did_something());
}

#[test]
fn moved_files_are_not_sent_again() {
    each_kind(|bench| {
        for number in 0..20 {
            bench.write(&format!("from/{number}"), &[number]);
        }
        bench.sync(&EVERYTHING).unwrap();
        fs::create_dir(bench.local.join("to")).unwrap();
        for number in 0..20 {
            let name = format!("{number}");
            let from = bench.local.join("from").join(&name);
            fs::rename(from, bench.local.join("to").join(&name)).unwrap();
        }
        let report = bench.sync(&EVERYTHING).unwrap();
        assert_eq!((report.moved, report.uploaded, report.deleted_remote), (20, 0, 0));
        assert_eq!(bench.tree(), bench.memory.tree());
        assert!(!bench.sync(&EVERYTHING).unwrap().did_something());
    });
}

#[test]
fn upload_only_never_writes_locally() {
    for descriptor in KINDS {
        let bench = Bench::new(descriptor, Direction::Upload);
        bench.write("a", b"a");
        bench.write("b", b"b");
        bench.write("gone", b"gone");
        bench.memory.put("b", b"different");
        bench.memory.put("theirs", b"theirs");
        let report = bench.sync(&EVERYTHING).unwrap();
        assert_eq!((report.uploaded, report.conflicts, report.downloaded), (3, 1, 0));
        assert_eq!(names(&bench), ["a", "b", "gone"]);
        let remote = bench.memory.tree();
        assert_eq!(remote.len(), 5, "the loser is kept remotely: {:?}", remote.keys());
        assert_eq!(remote["b"].as_deref(), Some(&b"b"[..]));

        bench.memory.put("a", b"edited there");
        bench.memory.delete("b");
        fs::remove_file(bench.local.join("gone")).unwrap();
        let report = bench.sync(&EVERYTHING).unwrap();
        assert_eq!((report.uploaded, report.deleted_remote, report.deleted_local), (0, 1, 0));
        assert_eq!(bench.read("a").unwrap(), b"a");
        assert!(!bench.sync(&EVERYTHING).unwrap().did_something());
    }
}

#[test]
fn download_only_never_writes_remotely() {
    for descriptor in KINDS {
        let bench = Bench::new(descriptor, Direction::Download);
        bench.memory.put("a", b"a");
        bench.memory.put("b", b"b");
        bench.memory.put("folder/gone", b"gone");
        bench.write("b", b"different");
        bench.write("mine", b"mine");
        bench.sync(&EVERYTHING).unwrap();
        assert_eq!(bench.read("b").unwrap(), b"b");
        let kept = names(&bench);
        assert_eq!(kept.len(), 6, "the loser is kept locally: {kept:?}");

        bench.write("a", b"edited here");
        bench.memory.delete("folder");
        bench.memory.take_calls();
        let report = bench.sync(&EVERYTHING).unwrap();
        assert_eq!((report.uploaded, report.deleted_local, report.deleted_remote), (0, 2, 0));
        let calls = bench.memory.take_calls();
        let reads =
            |call: &String| ["list", "stat", "read"].iter().any(|name| call.starts_with(name));
        assert!(calls.iter().all(reads), "{calls:?}");
        assert_eq!(bench.read("a").unwrap(), b"edited here");
    }
}

#[test]
fn keep_removed_removes_nothing() {
    for direction in [Direction::Both, Direction::Upload, Direction::Download] {
        for descriptor in KINDS {
            let mut bench = Bench::new(descriptor, direction);
            bench.task.keep_removed = true;
            bench.memory.put("theirs/b", b"b");
            bench.write("mine/a", b"a");
            bench.sync(&APPROVED).unwrap();
            let (local, remote) = (bench.tree(), bench.memory.tree());
            if direction != Direction::Download {
                fs::remove_dir_all(bench.local.join("mine")).unwrap();
                bench.sync(&APPROVED).unwrap();
                assert_eq!(bench.memory.tree(), remote);
            }
            if direction != Direction::Upload {
                let local: Vec<_> =
                    local.keys().filter(|path| path.starts_with("theirs")).collect();
                bench.memory.delete("theirs");
                let report = bench.sync(&APPROVED).unwrap();
                assert_eq!(report.deleted_local, 0);
                let now = names(&bench);
                assert!(local.iter().all(|path| now.contains(path)), "{now:?}");
            }
            assert!(!bench.sync(&APPROVED).unwrap().did_something());
        }
    }
}

#[test]
fn changed_settings_take_hold_of_what_was_left_alone() {
    let mut bench = Bench::new(&DRIVE, Direction::Upload);
    bench.write("mine", b"mine");
    bench.memory.put("theirs", b"theirs");
    bench.sync(&EVERYTHING).unwrap();
    assert_eq!(names(&bench), ["mine"]);
    bench.task.direction = Direction::Both;
    bench.task.revision += 1;
    bench.sync(&EVERYTHING).unwrap();
    assert_eq!(names(&bench), ["mine", "theirs"]);
}

#[test]
fn a_mass_deletion_waits_for_a_word_and_the_rest_goes_on() {
    each_kind(|bench| {
        for number in 0..30 {
            bench.write(&format!("photos/{number}"), &[number]);
        }
        bench.sync(&EVERYTHING).unwrap();
        fs::remove_dir_all(bench.local.join("photos")).unwrap();
        bench.write("new", b"new");
        let report = bench.sync(&EVERYTHING).unwrap();
        assert_eq!((report.held, report.deleted_remote, report.uploaded), (30, 0, 1));
        assert_eq!(report.problems[0].kind, "mass-removal");
        let report = bench.sync(&EVERYTHING).unwrap();
        assert_eq!(report.held, 30);
        let report = bench.sync(&APPROVED).unwrap();
        assert_eq!((report.held, report.deleted_remote), (0, 31));
        assert_eq!(bench.tree(), bench.memory.tree());
    });
}

#[test]
fn many_small_deletions_are_judged_as_one() {
    let bench = Bench::new(&DRIVE, Direction::Both);
    for number in 0..30 {
        bench.write(&format!("{number}"), &[number]);
    }
    let mut engine = bench.engine();
    engine.cycle(&EVERYTHING).unwrap();
    let mut held = 0;
    for number in 0..30 {
        fs::remove_file(bench.local.join(format!("{number}"))).unwrap();
        held = engine.cycle(&EVERYTHING).unwrap().held;
    }
    assert!(held > 0);
    assert!(bench.memory.tree().len() >= 15, "{}", bench.memory.tree().len());
}

#[test]
fn another_folder_in_the_roots_place_is_not_an_empty_one() {
    each_kind(|bench| {
        bench.write("a", b"a");
        bench.sync(&EVERYTHING).unwrap();
        fs::rename(&bench.local, bench.local.with_extension("away")).unwrap();
        let error = bench.sync(&APPROVED).unwrap_err();
        assert_eq!(error.kind(), Kind::RootLost);
        fs::create_dir(&bench.local).unwrap();
        let error = bench.sync(&APPROVED).unwrap_err();
        assert_eq!(error.kind(), Kind::RootLost);
        assert_eq!(bench.memory.tree().len(), 1);
        fs::remove_dir(&bench.local).unwrap();
        fs::rename(bench.local.with_extension("away"), &bench.local).unwrap();
        assert!(!bench.sync(&EVERYTHING).unwrap().did_something());
    });
}

#[test]
fn half_a_listing_removes_nothing() {
    each_kind(|bench| {
        for name in ["a", "b", "c", "d", "e/f"] {
            bench.write(name, b"x");
        }
        bench.sync(&EVERYTHING).unwrap();
        for after in 0..3 {
            bench.memory.set_fault(Some(Fault { after, how: How::LoseReply }));
            let _ = bench.sync(&APPROVED);
        }
        bench.memory.set_fault(None);
        assert_eq!(names(&bench).len(), 6);
        assert!(!bench.sync(&EVERYTHING).unwrap().did_something());
        assert_eq!(bench.tree(), bench.memory.tree());
    });
}

#[test]
fn the_history_keeps_to_its_number() {
    let bench = Bench::new(&STORE, Direction::Both);
    for number in 0..20 {
        bench.write(&format!("{number:02}"), b"content");
    }
    let mut engine = bench.engine();
    let lines = |engine: &Engine| {
        let history = engine.trees().snapshot().unwrap().history().unwrap();
        history.map(|event| event.unwrap().path).collect::<Vec<_>>()
    };
    engine.trees().keep_history(5);
    assert_eq!(engine.cycle(&EVERYTHING).unwrap().uploaded, 20);
    let newest = lines(&engine);
    assert_eq!(newest.len(), 5);
    engine.trees().keep_history(3);
    engine.cycle(&EVERYTHING).unwrap();
    assert_eq!(lines(&engine), newest[..3]);
}

#[test]
fn lost_state_costs_a_comparison() {
    each_kind(|bench| {
        bench.write("a/b", b"b");
        bench.write("only here", b"x");
        bench.sync(&EVERYTHING).unwrap();
        bench.forget();
        bench.memory.delete("only here");
        let report = bench.sync(&EVERYTHING).unwrap();
        assert_eq!((report.uploaded, report.downloaded, report.deleted_local), (1, 0, 0));
        assert_eq!(report.conflicts, 0);
        assert_eq!(bench.tree(), bench.memory.tree());
    });
}

#[test]
fn names_that_are_not_synced_are_listed_with_their_reason() {
    each_kind(|bench| {
        bench.write("a:b", b"x");
        bench.write("Thumbs.db", b"x");
        bench.write("@eaDir/thumb", b"x");
        bench.write("~temporary", b"x");
        bench.write("tab\tname", b"x");
        bench.write("fine", b"x");
        symlink("fine", bench.local.join("link")).unwrap();
        let report = bench.sync(&EVERYTHING).unwrap();
        assert_eq!((report.uploaded, report.skipped), (1, 6));
        assert_eq!(bench.memory.tree().into_keys().collect::<Vec<_>>(), ["fine"]);
        let engine = bench.engine();
        let snapshot = engine.trees().snapshot().unwrap();
        for key in snapshot.skipped(None).unwrap() {
            let record = snapshot.get(&key.unwrap()).unwrap().unwrap();
            assert!(!record.skip.unwrap().reason.to_string().is_empty());
        }
    });
}

#[test]
fn litter_goes_with_its_folder_and_other_skipped_files_keep_theirs() {
    each_kind(|bench| {
        bench.write("litter/a", b"a");
        bench.write("litter/.DS_Store", b"x");
        bench.write("litter/@eaDir/a/thumb", b"x");
        bench.write("kept/a", b"a");
        bench.write("kept/~open", b"precious");
        bench.sync(&EVERYTHING).unwrap();
        bench.memory.delete("litter");
        bench.memory.delete("kept");
        bench.sync(&APPROVED).unwrap();
        assert_eq!(names(&bench), ["kept", "kept/~open"]);
        assert!(!bench.sync(&EVERYTHING).unwrap().did_something());
    });
}

#[test]
fn one_bad_file_does_not_stop_the_rest() {
    each_kind(|bench| {
        for name in ["a", "b", "c"] {
            bench.write(name, name.as_bytes());
        }
        let writes_after = if bench.memory.descriptor.folders_implied { 2 } else { 3 };
        let fault = Fault { after: writes_after, how: How::Refuse(Kind::TooLarge) };
        bench.memory.set_fault(Some(fault));
        let report = bench.sync(&EVERYTHING).unwrap();
        assert_eq!((report.uploaded, report.errors), (2, 1), "{report:?}");
        assert_eq!(report.problems[0].kind, "too-large");
        // It can't work until it changes, so it isn't tried again.
        bench.memory.take_calls();
        let report = bench.sync(&EVERYTHING).unwrap();
        assert_eq!(report.errors, 1);
        let calls = bench.memory.take_calls();
        assert!(!calls.iter().any(|call| call.starts_with("write")), "{calls:?}");
        let report = bench.sync(&Look { retry: true, ..EVERYTHING }).unwrap();
        assert_eq!((report.uploaded, report.errors), (1, 0));
    });
}

#[test]
fn an_unreadable_folder_is_not_an_empty_one() {
    if nix::unistd::geteuid().is_root() {
        // Permissions don't hold root back; a folder that is replaced by a link does as well.
        let bench = Bench::new(&DRIVE, Direction::Both);
        bench.write("folder/a", b"a");
        bench.sync(&EVERYTHING).unwrap();
        let away = bench.local.with_extension("away");
        fs::rename(bench.local.join("folder"), &away).unwrap();
        symlink(&away, bench.local.join("folder")).unwrap();
        bench.memory.put("folder/b", b"b");
        bench.sync(&EVERYTHING).unwrap();
        assert!(!away.join("b").exists(), "a link led out of the task's folder");
        return;
    }
    each_kind(|bench| {
        bench.write("folder/a", b"a");
        bench.sync(&EVERYTHING).unwrap();
        let folder = bench.local.join("folder");
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o000)).unwrap();
        let report = bench.sync(&APPROVED).unwrap();
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).unwrap();
        assert_eq!(report.deleted_remote, 0);
        assert_eq!(bench.tree(), bench.memory.tree());
    });
}

#[test]
fn nothing_is_left_in_the_work_folder() {
    each_kind(|bench| {
        bench.memory.put("a", &vec![7; 300_000]);
        bench.memory.set_fault(Some(Fault { after: 2, how: How::LoseReply }));
        let _ = bench.sync(&EVERYTHING);
        bench.memory.set_fault(None);
        bench.sync(&EVERYTHING).unwrap();
        assert_eq!(names(&bench), ["a"]);
        assert_eq!(bench.tree(), bench.memory.tree());
    });
}

#[test]
fn a_cut_download_goes_on_where_it_was() {
    each_kind(|bench| {
        bench.memory.put("a", &vec![7; 300_000]);
        let reads = if bench.memory.descriptor.folders_implied { 1 } else { 3 };
        bench.memory.set_fault(Some(Fault { after: reads, how: How::LoseReply }));
        assert_eq!(bench.sync(&EVERYTHING).unwrap().problems[0].kind, "offline");
        // The work folder, the task's in it, and what came.
        assert_eq!(names(&bench).len(), 3, "{:?}", names(&bench));
        bench.sync(&EVERYTHING).unwrap();
        assert_eq!(names(&bench), ["a"]);
        assert_eq!(bench.read("a").unwrap(), vec![7; 300_000]);
    });
}

#[test]
fn a_very_large_file_is_fetched_in_ranges_and_goes_on_where_it_was() {
    const SIZE: usize = (90 << 20) + 12_345;
    let mut bytes = vec![0; SIZE];
    for (number, piece) in bytes.chunks_mut(1000).enumerate() {
        piece[0] = number as u8;
        piece[1] = (number / 256) as u8;
    }
    for sends_all in [false, true] {
        let bench = Bench::new(&DRIVE, Direction::Both);
        bench.memory.put("a", &bytes);
        if sends_all {
            bench.memory.send_all();
        }
        let whole = if sends_all { 1 } else { 6 };
        // The last reading of all breaks off.
        bench.memory.set_fault(Some(Fault { after: 2 + whole, how: How::LoseReply }));
        let report = bench.sync(&EVERYTHING).unwrap();
        assert_eq!(report.problems[0].kind, "offline");
        let reads = |calls: Vec<String>| calls.iter().filter(|call| *call == "read a").count();
        assert_eq!(reads(bench.memory.take_calls()), whole);
        let report = bench.sync(&EVERYTHING).unwrap();
        assert_eq!((report.downloaded, report.errors), (1, 0));
        assert_eq!(reads(bench.memory.take_calls()), 1);
        assert_eq!(names(&bench), ["a"]);
        assert!(bench.read("a").unwrap() == bytes);
        // The fingerprint is that of all of it.
        fs::remove_file(bench.task.local.join("a")).unwrap();
        bench.write("a", &bytes);
        assert_eq!(bench.sync(&EVERYTHING).unwrap().uploaded, 0);
    }
}

#[test]
fn what_is_longer_than_was_told_is_no_file() {
    each_kind(|bench| {
        for size in [0, 1, 65_536, 300_000, 2_000_000] {
            bench.memory.put("a", &vec![7; size]);
            bench.memory.send_without_end("a");
            let report = bench.sync(&EVERYTHING).unwrap();
            assert_eq!(report.problems[0].kind, "protocol", "{size}");
            assert_eq!(names(&bench), [""; 0], "{size}");
        }
    });
}

#[test]
fn large_files_are_fetched_whole_and_go_on_where_they_were() {
    each_kind(|bench| {
        let bytes: Vec<u8> = (0..5_000_003_u32).map(|at| (at * 7 / 3) as u8).collect();
        bench.memory.put("a", &bytes);
        let reads = if bench.memory.descriptor.folders_implied { 1 } else { 3 };
        bench.memory.set_fault(Some(Fault { after: reads, how: How::LoseReply }));
        assert_eq!(bench.sync(&EVERYTHING).unwrap().problems[0].kind, "offline");
        bench.sync(&EVERYTHING).unwrap();
        assert!(bench.read("a").unwrap() == bytes);
        // The fingerprint is that of all of it.
        bench.write("a", &bytes);
        bench.memory.take_calls();
        bench.sync(&EVERYTHING).unwrap();
        let calls = bench.memory.take_calls();
        assert!(!calls.iter().any(|call| call.starts_with("write")), "{calls:?}");
    });
}

#[test]
fn a_look_at_one_folder_finds_what_is_new_in_it() {
    each_kind(|bench| {
        bench.write("a/old", b"old");
        let mut engine = bench.engine();
        engine.cycle(&EVERYTHING).unwrap();
        bench.write("a/new/deep/file", b"new");
        bench.write("elsewhere", b"not looked at");
        bench.memory.take_calls();
        let folders = LocalLook::Folders(vec!["a".into()]);
        let report = engine.cycle(&Look { local: folders, remote: false, ..EVERYTHING }).unwrap();
        assert_eq!(report.uploaded, 1);
        let calls = bench.memory.take_calls();
        assert!(!calls.iter().any(|call| call.starts_with("list")), "{calls:?}");
    });
}

#[test]
fn a_preview_tells_everything_and_does_nothing() {
    each_kind(|bench| {
        bench.write("gone", b"gone");
        bench.write("moved", b"moved");
        bench.sync(&EVERYTHING).unwrap();
        fs::remove_file(bench.local.join("gone")).unwrap();
        fs::rename(bench.local.join("moved"), bench.local.join("there")).unwrap();
        bench.write("mine", b"12345");
        bench.memory.put("theirs", b"123");
        let (local, remote) = (bench.tree(), bench.memory.tree());
        let mut intents = Vec::new();
        let mut tell = |intent: Intent| {
            intents.push(format!("{} {} {}", intent.action, intent.path, intent.bytes));
            Ok(())
        };
        bench.engine().preview(&mut tell).unwrap();
        intents.sort();
        let expected =
            ["delete-remote gone 0", "download theirs 3", "move moved -> there 0", "upload mine 5"];
        assert_eq!(intents, expected);
        assert_eq!((bench.tree(), bench.memory.tree()), (local, remote));
        let report = bench.sync(&EVERYTHING).unwrap();
        assert_eq!((report.moved, report.deleted_remote), (1, 1));
    });
}

#[test]
fn a_file_and_a_folder_of_one_name_wait_for_a_person() {
    each_kind(|bench| {
        bench.write("name/inside", b"local folder");
        bench.memory.put("name", b"remote file");
        bench.write("other", b"other");
        let report = bench.sync(&EVERYTHING).unwrap();
        assert_eq!((report.held, report.uploaded, report.errors), (1, 1, 0), "{report:?}");
        fs::rename(bench.local.join("name"), bench.local.join("renamed")).unwrap();
        let report = bench.sync(&EVERYTHING).unwrap();
        assert_eq!(report.held, 0);
        assert_eq!(bench.tree(), bench.memory.tree());
    });
}

#[test]
fn a_file_that_is_being_written_is_sent_when_it_is_closed() {
    each_kind(|bench| {
        bench.write("other", b"other");
        let mut writer = fs::File::create(bench.local.join("film")).unwrap();
        writer.write_all(b"first half").unwrap();
        let report = bench.sync(&EVERYTHING).unwrap();
        assert_eq!((report.uploaded, report.errors), (1, 1), "{report:?}");
        assert_eq!(report.problems[0].kind, "in-use");
        writer.write_all(b", second half").unwrap();
        drop(writer);
        let report = bench.sync(&EVERYTHING).unwrap();
        assert_eq!((report.uploaded, report.errors), (1, 0));
        assert_eq!(bench.tree(), bench.memory.tree());
    });
}

/// Programs keep files open for hours, and what they write to one that was replaced or removed goes
/// with it.
#[test]
fn a_file_that_is_being_written_is_neither_replaced_nor_removed() {
    for recycle_days in [0, 30] {
        each_kind(|mut bench| {
            bench.task.recycle_days = recycle_days;
            for name in ["changed", "removed"] {
                bench.write(name, b"first");
            }
            bench.sync(&EVERYTHING).unwrap();
            let open =
                |name| fs::File::options().append(true).open(bench.local.join(name)).unwrap();
            let mut writers = ["changed", "removed"].map(open);
            bench.memory.put("changed", b"there");
            bench.memory.delete("removed");
            bench.memory.take_calls();
            for _ in 0..2 {
                let report = bench.sync(&EVERYTHING).unwrap();
                assert_eq!((report.errors, report.downloaded), (2, 0), "{report:?}");
                assert!(report.problems.iter().all(|problem| problem.kind == "in-use"));
            }
            assert!(!bench.memory.take_calls().iter().any(|call| call.starts_with("read")));
            for writer in &mut writers {
                writer.write_all(b", second").unwrap();
            }
            drop(writers);
            assert_eq!(bench.sync(&EVERYTHING).unwrap().errors, 0);
            assert_eq!(bench.tree(), bench.memory.tree());
            let written = b"first, second".to_vec();
            let kept = bench.tree().into_values().filter(|bytes| bytes.as_ref() == Some(&written));
            assert_eq!(kept.count(), 2);
        });
    }
}

#[test]
fn an_empty_folder_survives_a_service_that_forgets_it() {
    let bench = Bench::new(&FORGETFUL, Direction::Both);
    fs::create_dir(bench.local.join("empty")).unwrap();
    bench.write("emptied/a", b"a");
    bench.sync(&EVERYTHING).unwrap();
    fs::remove_file(bench.local.join("emptied/a")).unwrap();
    bench.sync(&EVERYTHING).unwrap();
    assert!(!bench.sync(&EVERYTHING).unwrap().did_something());
    assert_eq!(names(&bench), ["emptied", "empty"]);
}

#[test]
fn a_new_folder_in_the_place_of_a_renamed_one_is_found_at_once() {
    each_kind(|bench| {
        bench.write("a/old", b"old");
        bench.sync(&EVERYTHING).unwrap();
        fs::rename(bench.local.join("a"), bench.local.join("b")).unwrap();
        bench.write("a/new/file", b"new");
        bench.sync(&EVERYTHING).unwrap();
        assert_eq!(bench.tree(), bench.memory.tree());
        assert!(!bench.sync(&EVERYTHING).unwrap().did_something());
    });
}

#[test]
fn a_damaged_state_is_an_error_and_its_remedy_works() {
    let bench = Bench::new(&DRIVE, Direction::Both);
    for number in 0..200 {
        bench.write(&format!("{}/{number}", number % 7), &[number as u8]);
    }
    bench.sync(&EVERYTHING).unwrap();
    let file = bench.task.local.join("../state/tasks/1.redb");
    let good = fs::read(&file).unwrap();
    for at in (4096..good.len()).step_by(4096) {
        let mut bad = good.clone();
        bad[at..at + 64].iter_mut().for_each(|byte| *byte = !*byte);
        fs::write(&file, &bad).unwrap();
        let opened = bench.try_engine().and_then(|mut engine| engine.cycle(&EVERYTHING));
        if let Err(error) = opened {
            assert_eq!(error.kind(), Kind::State, "{error}");
        }
        assert_eq!(bench.memory.tree().len(), 207, "damage at {at} removed files");
    }
    fs::remove_file(&file).unwrap();
    assert!(!bench.sync(&EVERYTHING).unwrap().did_something());
    assert_eq!(bench.tree(), bench.memory.tree());
}
