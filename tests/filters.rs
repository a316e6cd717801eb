//! What a person leaves out of a task: it is left alone on both sides, whatever becomes of the
//! filter, and nothing is ever removed because of it.

use crate::common::bench::{APPROVED, Bench, EVERYTHING};
use crate::common::dice::Dice;
use crate::common::memory::{DRIVE, ETAGS, FORGETFUL, IDS, PATHS, STORE};
use mooring::engine::{Engine, LocalLook, Look, Report};
use mooring::model::Direction;
use mooring::remote::Descriptor;
use mooring::rules::{Filter, MB, SkipReason};
use std::collections::BTreeMap;
use std::fs;

const KINDS: [&Descriptor; 6] = [&STORE, &FORGETFUL, &DRIVE, &ETAGS, &IDS, &PATHS];

/// A two-way task for each kind of service.
fn each_kind(test: impl Fn(Bench)) {
    for descriptor in KINDS {
        test(Bench::new(descriptor, Direction::Both));
    }
}

fn filter(folders: &[&str], patterns: &[&str]) -> Filter {
    let owned = |all: &[&str]| all.iter().map(ToString::to_string).collect();
    Filter { folders: owned(folders), patterns: owned(patterns), max_size: None }
}

/// At most so many bytes.
fn limit(bytes: u64) -> Filter {
    Filter { max_size: Some(bytes), ..Filter::default() }
}

/// As a person changes the setting.
fn set(bench: &mut Bench, filter: Filter) {
    bench.task.filter = filter;
    bench.task.revision += 1;
}

/// Syncs until nothing more is to do, without ever removing anything, and tells all that was done.
#[track_caller]
fn settle(bench: &Bench) -> Report {
    let mut all = Report::default();
    for _ in 0..5 {
        let report = bench.sync(&APPROVED).unwrap();
        let name = bench.memory.descriptor.name;
        assert_eq!((report.deleted_local, report.deleted_remote), (0, 0), "{name}: {report:?}");
        assert_eq!((report.errors, report.held), (0, 0), "{name}: {report:?}");
        all.uploaded += report.uploaded;
        all.downloaded += report.downloaded;
        all.conflicts += report.conflicts;
        all.skipped = report.skipped;
        if !report.did_something() {
            return all;
        }
    }
    panic!("{}: it doesn't come to rest", bench.memory.descriptor.name);
}

type Files = BTreeMap<String, Vec<u8>>;

fn files(tree: BTreeMap<String, Option<Vec<u8>>>) -> Files {
    tree.into_iter().filter_map(|(path, content)| Some((path, content?))).collect()
}

fn here(bench: &Bench) -> Files {
    files(bench.tree())
}

fn there(bench: &Bench) -> Files {
    files(bench.memory.tree())
}

#[track_caller]
fn names(files: Files, expected: &[&str]) {
    assert_eq!(files.keys().map(String::as_str).collect::<Vec<_>>(), expected);
}

/// Why the items that aren't synced aren't, by path.
fn reasons(bench: &Bench) -> BTreeMap<String, SkipReason> {
    let engine = bench.engine();
    let snapshot = engine.trees().snapshot().unwrap();
    let keys = snapshot.skipped(None).unwrap().map(|key| key.unwrap());
    keys.map(|key| {
        let reason = snapshot.get(&key).unwrap().unwrap().skip.unwrap().reason;
        (snapshot.path(&key).unwrap(), reason)
    })
    .collect()
}

#[test]
fn what_is_left_out_is_left_alone_on_both_sides_and_listed() {
    each_kind(|mut bench| {
        bench.task.filter = Filter { max_size: Some(10), ..filter(&["raw", "a/b"], &["*.iso"]) };
        for path in ["mine.iso", "raw/1", "raw/deep/2", "a/b/3", "a/mine", "b/b/4", "a.iso/in"] {
            bench.write(path, b"mine");
        }
        for path in ["theirs.iso", "raw/5", "a/b/6", "a/theirs", "c/theirs.iso", "ISO.ISO"] {
            bench.memory.put(path, b"theirs");
        }
        bench.write("large here", b"eleven byte");
        bench.memory.put("large there", b"eleven byte");
        bench.write("fits", b"ten bytes!");
        settle(&bench);
        let here = ["ISO.ISO", "a.iso/in", "a/b/3", "a/mine", "a/theirs", "b/b/4", "fits"];
        let here = [&here[..], &["large here", "mine.iso", "raw/1", "raw/deep/2"]].concat();
        names(files(bench.tree()), &here);
        let there = ["ISO.ISO", "a.iso/in", "a/b/6", "a/mine", "a/theirs", "b/b/4", "c/theirs.iso"];
        let there = [&there[..], &["fits", "large there", "raw/5", "theirs.iso"]].concat();
        names(files(bench.memory.tree()), &there);
        let like = SkipReason::ExcludedName("*.iso".into());
        let expected = [
            ("a/b", SkipReason::ExcludedFolder),
            ("c/theirs.iso", like.clone()),
            ("large here", SkipReason::OverLimit(10)),
            ("large there", SkipReason::OverLimit(10)),
            ("mine.iso", like.clone()),
            ("raw", SkipReason::ExcludedFolder),
            ("theirs.iso", like),
        ];
        let expected = expected.map(|(path, reason)| (path.to_owned(), reason));
        assert_eq!(reasons(&bench), expected.into());
        assert_eq!(bench.sync(&EVERYTHING).unwrap().skipped, 7);
    });
}

#[test]
fn reasons_name_what_leaves_an_item_out() {
    for (reason, said) in [
        (SkipReason::ExcludedFolder, "the task excludes this folder"),
        (SkipReason::ExcludedName("*.iso".into()), "the task excludes files with names like *.iso"),
        (SkipReason::OverLimit(3 * MB), "it is larger than the task's limit of 3 MB"),
        (SkipReason::OverLimit(10), "it is larger than the task's limit of 10 bytes"),
    ] {
        assert_eq!(reason.to_string(), said);
    }
}

#[test]
fn one_way_tasks_leave_out_the_same() {
    for (direction, uploaded, downloaded) in
        [(Direction::Upload, 1, 0), (Direction::Download, 0, 1)]
    {
        for descriptor in KINDS {
            let mut bench = Bench::new(descriptor, direction);
            bench.task.filter = Filter { max_size: Some(10), ..filter(&["raw"], &["*.iso"]) };
            for path in ["mine.iso", "raw/mine", "mine"] {
                bench.write(path, b"mine");
            }
            for path in ["theirs.iso", "raw/theirs", "theirs"] {
                bench.memory.put(path, b"theirs");
            }
            bench.write("large here", b"eleven byte");
            bench.memory.put("large there", b"eleven byte");
            let report = settle(&bench);
            assert_eq!(
                (report.uploaded, report.downloaded, report.skipped),
                (uploaded, downloaded, 5)
            );
        }
    }
}

#[test]
fn what_is_newly_left_out_stays_on_both_sides() {
    each_kind(|mut bench| {
        for path in ["raw/1", "raw/deep/2", "film.iso", "large", "rest"] {
            bench.write(path, path.as_bytes());
        }
        bench.write("large", b"eleven byte");
        settle(&bench);
        let before = here(&bench);
        set(&mut bench, Filter { max_size: Some(10), ..filter(&["raw"], &["*.iso"]) });
        let report = settle(&bench);
        assert_eq!(report.skipped, 3);
        assert_eq!((here(&bench), there(&bench)), (before.clone(), before.clone()));

        // From now on, what happens to it on one side is nothing to the other.
        fs::remove_dir_all(bench.local.join("raw")).unwrap();
        bench.memory.delete("film.iso");
        bench.memory.delete("large");
        bench.write("film.iso", b"another");
        settle(&bench);
        names(here(&bench), &["film.iso", "large", "rest"]);
        names(there(&bench), &["raw/1", "raw/deep/2", "rest"]);
    });
}

#[test]
fn what_is_left_out_no_longer_is_compared() {
    each_kind(|mut bench| {
        for path in ["raw/same", "raw/edited", "raw/gone here", "raw/gone there", "a.iso", "b.iso"]
        {
            bench.write(path, path.as_bytes());
        }
        settle(&bench);
        set(&mut bench, filter(&["raw"], &["*.iso"]));
        settle(&bench);
        fs::remove_file(bench.local.join("raw/gone here")).unwrap();
        bench.memory.delete("raw/gone there");
        bench.memory.delete("b.iso");
        bench.write("raw/edited", b"edited here");
        bench.write("raw/new here", b"new");
        bench.memory.put("raw/new there", b"new");
        bench.memory.put("raw/deep/new there", b"new");
        let report = settle(&bench);
        assert_eq!((report.uploaded, report.downloaded), (0, 0));

        set(&mut bench, Filter::default());
        let report = settle(&bench);
        // Gone here, and two that are new there, and the other version of what was edited; up go
        // what is gone there, what is new, what was edited and what it was before.
        let name = bench.memory.descriptor.name;
        assert_eq!((report.conflicts, report.skipped), (1, 0), "{name}: {report:?}");
        assert_eq!((report.uploaded, report.downloaded), (5, 3), "{name}: {report:?}");
        assert_eq!(here(&bench), there(&bench));
        assert_eq!(here(&bench).len(), 10, "{name}: {:?}", here(&bench).keys());
        assert_eq!(bench.read("raw/edited").as_deref(), Some(&b"edited here"[..]));
    });
}

#[test]
fn what_is_the_same_is_not_transferred_when_it_is_left_out_no_longer() {
    each_kind(|mut bench| {
        for number in 0..20 {
            bench.write(&format!("raw/{number}.iso"), &[number]);
        }
        settle(&bench);
        for filter in [filter(&["raw"], &[]), filter(&[], &["*.iso"]), limit(0)] {
            set(&mut bench, filter);
            settle(&bench);
            set(&mut bench, Filter::default());
            bench.memory.take_calls();
            let report = settle(&bench);
            assert_eq!((report.uploaded, report.downloaded, report.conflicts), (0, 0, 0));
            let calls = bench.memory.take_calls();
            assert!(!calls.iter().any(|call| call.starts_with("write")), "{calls:?}");
            assert_eq!(here(&bench), there(&bench));
        }
    });
}

#[test]
fn another_filter_takes_the_place_of_the_one_before() {
    each_kind(|mut bench| {
        bench.task.filter = filter(&["a"], &["*.iso"]);
        for path in ["a/1", "b/2", "x.iso", "y.img"] {
            bench.write(path, b"x");
        }
        settle(&bench);
        names(there(&bench), &["b/2", "y.img"]);
        set(&mut bench, filter(&["b"], &["*.im?"]));
        settle(&bench);
        names(there(&bench), &["a/1", "b/2", "x.iso", "y.img"]);
        bench.memory.delete("y.img");
        bench.memory.delete("b");
        settle(&bench);
        names(here(&bench), &["a/1", "b/2", "x.iso", "y.img"]);
        // The same item by another rule.
        set(&mut bench, filter(&["b"], &["y*"]));
        settle(&bench);
        let expected = SkipReason::ExcludedName("y*".into());
        assert_eq!(reasons(&bench)["y.img"], expected);
    });
}

#[test]
fn a_folder_is_never_removed_with_what_is_left_out_in_it() {
    each_kind(|mut bench| {
        bench.task.filter = Filter { max_size: Some(10), ..filter(&["a/b/raw"], &["*.iso"]) };
        for path in ["a/b/raw/1", "a/b/2", "c/x.iso", "c/3", "d/4"] {
            bench.write(path, path.as_bytes());
        }
        bench.write("d/large", b"eleven byte");
        bench.memory.put("e/f/x.iso", b"theirs");
        bench.memory.put("e/5", b"theirs");
        settle(&bench);
        bench.memory.delete("a");
        bench.memory.delete("c");
        bench.memory.delete("d");
        fs::remove_dir_all(bench.local.join("e")).unwrap();
        for _ in 0..3 {
            bench.sync(&APPROVED).unwrap();
        }
        names(here(&bench), &["a/b/raw/1", "c/x.iso", "d/large"]);
        names(there(&bench), &["e/f/x.iso"]);
        assert!(!bench.sync(&EVERYTHING).unwrap().did_something());
    });
}

#[test]
fn a_filter_that_comes_after_a_deletion_saves_what_is_left() {
    each_kind(|mut bench| {
        for path in ["raw/1", "x.iso", "theirs/y.iso", "rest"] {
            bench.write(path, path.as_bytes());
        }
        settle(&bench);
        // Nobody has seen these yet.
        fs::remove_dir_all(bench.local.join("raw")).unwrap();
        fs::remove_file(bench.local.join("x.iso")).unwrap();
        bench.memory.delete("theirs");
        set(&mut bench, filter(&["raw"], &["*.iso"]));
        settle(&bench);
        names(there(&bench), &["raw/1", "rest", "x.iso"]);
        names(here(&bench), &["rest", "theirs/y.iso"]);
    });
}

#[test]
fn a_file_that_grows_beyond_the_limit_is_left_alone_until_it_fits_again() {
    each_kind(|mut bench| {
        bench.task.filter = limit(10);
        bench.write("a", b"small");
        bench.write("b", b"small");
        settle(&bench);
        bench.write("a", b"too large here");
        bench.memory.put("b", b"too large there");
        let report = settle(&bench);
        assert_eq!((report.uploaded, report.downloaded, report.skipped), (0, 0, 2));
        assert_eq!(there(&bench)["a"], b"small");
        assert_eq!(bench.read("b").unwrap(), b"small");
        // Looks at one side only, and at both in turn, don't forget what the other one has.
        let mut engine = bench.engine();
        let poll = Look { local: LocalLook::Nothing, ..EVERYTHING };
        let touched = Look { local: LocalLook::All, remote: false, ..EVERYTHING };
        for look in [&poll, &touched, &EVERYTHING, &poll] {
            assert!(!engine.cycle(look).unwrap().did_something());
        }
        drop(engine);
        // Edited where it is small: it still isn't sent over the large one.
        bench.memory.put("a", b"smaller");
        bench.write("b", b"smaller");
        assert_eq!(settle(&bench).skipped, 2);

        bench.write("a", b"fits here");
        bench.memory.put("b", b"fits there");
        let report = settle(&bench);
        assert_eq!((report.skipped, report.conflicts), (0, 2));
        assert_eq!(here(&bench), there(&bench));
        assert_eq!(bench.read("a").unwrap(), b"fits here");
        assert_eq!(here(&bench).len(), 4);
    });
}

#[test]
fn when_the_large_side_of_a_file_goes_the_other_is_synced() {
    each_kind(|mut bench| {
        bench.task.filter = limit(10);
        for (path, mine, theirs) in [
            ("large here", &b"too large here"[..], &b"small"[..]),
            ("large there", b"small", b"too large there"),
            ("large", b"too large here", b"too large there"),
        ] {
            bench.write(path, mine);
            bench.memory.put(path, theirs);
        }
        assert_eq!(settle(&bench).skipped, 3);
        fs::remove_file(bench.local.join("large here")).unwrap();
        bench.memory.delete("large there");
        fs::remove_file(bench.local.join("large")).unwrap();
        let report = settle(&bench);
        assert_eq!((report.uploaded, report.downloaded, report.skipped), (1, 1, 1));
        names(here(&bench), &["large here", "large there"]);
        names(there(&bench), &["large", "large here", "large there"]);
    });
}

#[test]
fn a_limit_that_changes_takes_hold_on_both_sides() {
    each_kind(|mut bench| {
        bench.write("here", b"twelve bytes");
        bench.memory.put("there", b"twelve bytes");
        set(&mut bench, limit(11));
        assert_eq!(settle(&bench).skipped, 2);
        set(&mut bench, limit(10));
        assert_eq!(settle(&bench).skipped, 2);
        assert_eq!(reasons(&bench)["there"], SkipReason::OverLimit(10));
        set(&mut bench, limit(12));
        let report = settle(&bench);
        assert_eq!((report.uploaded, report.downloaded, report.skipped), (1, 1, 0));
    });
}

#[test]
fn after_a_change_even_a_look_at_one_folder_is_at_everything() {
    each_kind(|mut bench| {
        bench.task.filter = filter(&["raw"], &["*.iso"]);
        bench.write("raw/mine", b"mine");
        bench.write("mine.iso", b"mine");
        bench.write("a/rest", b"rest");
        bench.memory.put("raw/theirs", b"theirs");
        bench.memory.put("deep/theirs.iso", b"theirs");
        settle(&bench);
        set(&mut bench, filter(&["a"], &[]));
        let local = LocalLook::Folders(vec!["a".into()]);
        let look = Look { local, remote: false, ..EVERYTHING };
        let report = bench.engine().cycle(&look).unwrap();
        let name = bench.memory.descriptor.name;
        assert_eq!((report.uploaded, report.downloaded), (2, 2), "{name}: {report:?}");
        assert_eq!(report.skipped, 1);
        assert!(!bench.sync(&EVERYTHING).unwrap().did_something());
    });
}

#[test]
fn a_preview_goes_by_the_filter_that_is_set_and_changes_nothing() {
    each_kind(|mut bench| {
        bench.task.filter = filter(&["raw"], &["mine"]);
        bench.write("mine", b"mine");
        bench.memory.put("raw/deep/theirs", b"theirs");
        bench.write("film.iso", b"film");
        settle(&bench);
        set(&mut bench, filter(&[], &["*.iso"]));
        bench.memory.delete("film.iso");
        let mut engine = bench.engine();
        for _ in 0..2 {
            let mut intents = Vec::new();
            let report = engine.preview(&mut |intent| {
                if !intent.action.starts_with("make-folder") {
                    intents.push(format!("{} {}", intent.action, intent.path));
                }
                Ok(())
            });
            intents.sort();
            assert_eq!(intents, ["download raw/deep/theirs", "upload mine"]);
            assert_eq!(report.unwrap().skipped, 1);
        }
        let report = engine.cycle(&EVERYTHING).unwrap();
        assert_eq!((report.uploaded, report.downloaded, report.deleted_local), (1, 1, 0));
        names(here(&bench), &["film.iso", "mine", "raw/deep/theirs"]);
    });
}

#[test]
fn renamed_folders_are_left_out_by_the_paths_they_have() {
    each_kind(|mut bench| {
        bench.task.filter = filter(&["a/raw", "c/deep"], &[]);
        bench.write("a/1", b"1");
        bench.write("a/deep/2", b"2");
        bench.write("a/raw/mine", b"mine");
        bench.memory.put("a/raw/theirs", b"theirs");
        settle(&bench);
        // What was left out isn't any more, and the other way round.
        fs::rename(bench.local.join("a"), bench.local.join("c")).unwrap();
        for _ in 0..4 {
            bench.sync(&APPROVED).unwrap();
        }
        let name = bench.memory.descriptor.name;
        assert!(!bench.sync(&EVERYTHING).unwrap().did_something(), "{name}");
        let (here, there) = (here(&bench), there(&bench));
        assert_eq!((&here["c/1"], &here["c/deep/2"]), (&b"1".to_vec(), &b"2".to_vec()));
        assert_eq!((&there["c/1"], &there["c/raw/mine"]), (&b"1".to_vec(), &b"mine".to_vec()));
        assert!(there.values().any(|content| content == b"theirs"), "{name}: {there:?}");
        // Where the folder was renamed as a whole, so was what is left out in it.
        if there.contains_key("c/raw/theirs") {
            assert_eq!(here["c/raw/theirs"], b"theirs", "{name}");
        } else {
            assert_eq!(there["a/raw/theirs"], b"theirs", "{name}");
        }
    });
}

#[test]
fn a_file_takes_a_name_that_is_left_out_and_leaves_it() {
    each_kind(|mut bench| {
        bench.task.filter = filter(&[], &["*.iso"]);
        bench.write("a.img", b"a");
        bench.write("b.iso", b"b");
        settle(&bench);
        fs::rename(bench.local.join("a.img"), bench.local.join("a.iso")).unwrap();
        fs::rename(bench.local.join("b.iso"), bench.local.join("b.img")).unwrap();
        bench.sync(&APPROVED).unwrap();
        names(here(&bench), &["a.iso", "b.img"]);
        names(there(&bench), &["b.img"]);
        assert!(!bench.sync(&EVERYTHING).unwrap().did_something());
    });
}

#[test]
fn conflict_copies_can_be_left_out() {
    each_kind(|mut bench| {
        bench.task.filter = filter(&[], &["*(conflict *"]);
        bench.write("note", b"first");
        settle(&bench);
        bench.write("note", b"from here");
        bench.memory.put("note", b"from there");
        let report = settle(&bench);
        assert_eq!((report.conflicts, report.uploaded, report.skipped), (1, 1, 1));
        names(there(&bench), &["note"]);
        assert_eq!(here(&bench).len(), 2);
    });
}

#[test]
fn names_that_several_items_share_are_left_out_as_they_are_called_here() {
    let mut bench = Bench::new(&IDS, Direction::Both);
    bench.memory.put("film", b"one");
    bench.memory.put_namesake("film", b"two");
    settle(&bench);
    assert_eq!(here(&bench).len(), 2);
    set(&mut bench, filter(&[], &["film"]));
    settle(&bench);
    assert_eq!(bench.sync(&EVERYTHING).unwrap().skipped, 1);
    set(&mut bench, filter(&[], &["film*"]));
    assert_eq!(settle(&bench).skipped, 2);
    assert_eq!(here(&bench).len(), 2);
}

/// People who write and write again, and change their minds about what to leave out.
fn history(descriptor: &'static Descriptor, direction: Direction, seed: u64) {
    const PATHS: &[&str] =
        &["a", "x.iso", "a.d/a", "a.d/x.iso", "raw/a", "raw/x.iso", "raw/in/a", "in/raw/a", "in/a"];
    let mut dice = Dice::new(seed);
    let mut bench = Bench::new(descriptor, direction);
    let mut engine = bench.engine();
    let story = format!("{} {direction:?} seed {seed}", descriptor.name);
    let cycle = |engine: &mut Engine, look: &Look| {
        let report = engine.cycle(look).unwrap();
        let removed = (report.deleted_local, report.deleted_remote);
        assert_eq!(removed, (0, 0), "{story}: {report:?}");
        assert_eq!((report.errors, report.held), (0, 0), "{story}: {report:?}");
        report
    };
    let mut written = Vec::new();
    for number in 0..30 {
        let path = *dice.pick(PATHS).unwrap();
        let content = format!("{number}{}", "x".repeat(dice.roll(12) as usize)).into_bytes();
        match dice.roll(8) {
            0..3 => {
                bench.write(path, &content);
                written.push((path, content, true));
            }
            3..6 => {
                bench.memory.put(path, &content);
                written.push((path, content, false));
            }
            6 => {
                let mut new = Filter::default();
                for folder in ["raw", "in", "a.d", "raw/in"] {
                    if dice.roll(3) == 0 {
                        new.folders.insert(folder.into());
                    }
                }
                for pattern in ["*.iso", "a", "[xy]*"] {
                    if dice.roll(3) == 0 {
                        new.patterns.insert(pattern.into());
                    }
                }
                new.max_size = Some(dice.roll(15)).filter(|most| *most > 2);
                drop(engine);
                set(&mut bench, new);
                engine = bench.engine();
            }
            _ => {
                let folders = LocalLook::Folders(vec!["".into(), "raw".into()]);
                let looks = [
                    EVERYTHING,
                    Look { remote: false, ..EVERYTHING },
                    Look { local: LocalLook::Nothing, ..EVERYTHING },
                    Look { local: folders, remote: false, ..EVERYTHING },
                ];
                cycle(&mut engine, dice.pick(&looks).unwrap());
            }
        }
    }
    drop(engine);
    set(&mut bench, Filter::default());
    let mut engine = bench.engine();
    for _ in 0..4 {
        cycle(&mut engine, &EVERYTHING);
    }
    assert!(!cycle(&mut engine, &EVERYTHING).did_something(), "{story}");
    let (here, there) = (here(&bench), there(&bench));
    if direction == Direction::Both {
        assert_eq!(here, there, "{story}");
    }
    // What each side had last of a path is somewhere, if only by another name.
    for local in [true, false] {
        for path in PATHS {
            let of_path = |each: &&(&str, Vec<u8>, bool)| each.0 == *path && each.2 == local;
            let Some((_, last, _)) = written.iter().rfind(of_path) else { continue };
            let kept = here.values().chain(there.values()).any(|content| content == last);
            // A later one may have replaced it on both sides.
            let replaced = written.iter().rfind(|each| each.0 == *path).unwrap().1 != *last;
            assert!(kept || replaced, "{story}: {path} lost {last:?}");
        }
    }
}

#[test]
fn whatever_is_left_out_meanwhile_nothing_is_removed_and_both_sides_end_equal() {
    for descriptor in KINDS {
        for direction in [Direction::Both, Direction::Upload, Direction::Download] {
            for seed in 0..4 {
                history(descriptor, direction, seed);
            }
        }
    }
}
