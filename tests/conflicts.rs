//! What becomes of contents that differ: conflicts by every policy, folders that are linked again,
//! and files that a disk altered by itself.

use crate::common::bench::{APPROVED, Bench, EVERYTHING, POLL};
use crate::common::memory::{DRIVE, ETAGS, Fault, HASHING, How, IDS, PATHS, STORE, VERSIONED};
use mooring::engine::Look;
use mooring::error::Kind;
use mooring::model::ConflictPolicy::{self, Both, Local, Newer, Remote};
use mooring::model::Direction;
use mooring::remote::Descriptor;
use std::collections::BTreeMap;
use std::fs;
use std::sync::{Arc, Mutex};

const KINDS: [&Descriptor; 6] = [&STORE, &DRIVE, &ETAGS, &IDS, &PATHS, &HASHING];
const POLICIES: [ConflictPolicy; 4] = [Local, Remote, Newer, Both];
/// Seconds since 1970 in 2001 and 2030: before and after what [`Memory::put`] writes.
const EARLIER: u64 = 1_000_000_000;
const LATER: u64 = 1_900_000_000;

/// A two-way task of every policy on every kind of service, and when its local edits are made.
fn each_policy(test: impl Fn(&Bench, u64)) {
    for descriptor in KINDS {
        for policy in POLICIES {
            for edited in [EARLIER, LATER] {
                test(&bench(descriptor, policy), edited);
            }
        }
    }
}

fn bench(descriptor: &'static Descriptor, policy: ConflictPolicy) -> Bench {
    let mut bench = Bench::new(descriptor, Direction::Both);
    bench.task.conflict = policy;
    bench
}

/// Whether the remote content is to keep the name.
fn remote_wins(bench: &Bench, edited: u64) -> bool {
    match bench.task.conflict {
        Local | Both => false,
        Remote => true,
        Newer => bench.memory.descriptor.keeps_mtime && edited == EARLIER,
    }
}

fn edit(bench: &Bench, path: &str, bytes: &[u8], seconds: u64) {
    bench.write(path, bytes);
    bench.date(path, seconds);
}

/// Syncs until nothing is to be done; tells how many conflicts there were.
fn settle(bench: &Bench) -> u64 {
    let mut conflicts = 0;
    for _ in 0..6 {
        let report = bench.sync(&EVERYTHING).unwrap();
        assert_eq!((report.errors, report.held), (0, 0), "{report:?}");
        conflicts += report.conflicts;
        if !report.did_something() {
            assert_eq!(bench.tree(), bench.memory.tree());
            return conflicts;
        }
    }
    panic!("it goes on and on: {:?}", bench.tree().keys());
}

/// The contents of all local files, in order.
fn contents(bench: &Bench) -> Vec<Vec<u8>> {
    let mut contents: Vec<_> = bench.tree().into_values().flatten().collect();
    contents.sort();
    contents
}

fn context(bench: &Bench, edited: u64) -> String {
    format!("{} {:?} {edited}", bench.memory.descriptor.name, bench.task.conflict)
}

#[test]
fn a_conflict_keeps_both_contents_once() {
    for agreed in [true, false] {
        each_policy(|bench, edited| {
            let context = context(bench, edited);
            if agreed {
                bench.write("in/note.txt", b"first");
                bench.sync(&EVERYTHING).unwrap();
            }
            edit(bench, "in/note.txt", b"from here", edited);
            bench.memory.put("in/note.txt", b"there");
            assert_eq!(settle(bench), 1, "{context}");
            let winner: &[u8] = if remote_wins(bench, edited) { b"there" } else { b"from here" };
            assert_eq!(bench.read("in/note.txt").unwrap(), winner, "{context}");
            assert_eq!(contents(bench), [&b"from here"[..], b"there"], "{context}");
            let copy = bench.tree().into_keys().find(|path| path.contains("(conflict "));
            assert!(copy.unwrap().starts_with("in/note (conflict 20"), "{context}");
        });
    }
}

#[test]
fn conflicts_of_one_file_add_up() {
    each_policy(|bench, edited| {
        bench.write("note.txt", b"first");
        bench.sync(&EVERYTHING).unwrap();
        let mut written = Vec::new();
        for round in 0..3 {
            let (here, there) = (format!("{round} here"), format!("{round} from there"));
            edit(bench, "note.txt", here.as_bytes(), edited + round);
            bench.memory.put("note.txt", there.as_bytes());
            assert_eq!(settle(bench), 1, "{}", context(bench, edited));
            let (winner, loser) =
                if remote_wins(bench, edited) { (there, here) } else { (here, there) };
            written.push(loser.into_bytes());
            let mut expected = written.clone();
            expected.push(winner.into_bytes());
            expected.sort();
            assert_eq!(contents(bench), expected, "{}", context(bench, edited));
        }
    });
}

#[test]
fn the_same_edit_on_both_sides_is_no_conflict() {
    each_policy(|bench, edited| {
        bench.write("note.txt", b"first");
        bench.sync(&EVERYTHING).unwrap();
        edit(bench, "note.txt", b"second", edited);
        bench.memory.put("note.txt", b"second");
        let report = bench.sync(&EVERYTHING).unwrap();
        assert!(!report.did_something(), "{report:?}");
        assert_eq!(contents(bench), [b"second"]);
        assert_eq!(settle(bench), 0);
    });
}

#[test]
fn an_edit_beats_a_deletion_by_every_policy() {
    each_policy(|bench, edited| {
        bench.write("here", b"first");
        bench.write("in/there", b"first");
        bench.sync(&EVERYTHING).unwrap();
        edit(bench, "here", b"edited here", edited);
        bench.memory.delete("here");
        fs::remove_dir_all(bench.local.join("in")).unwrap();
        bench.memory.put("in/there", b"edited there");
        assert_eq!(settle(bench), 0);
        assert_eq!(bench.read("here").unwrap(), b"edited here");
        assert_eq!(bench.read("in/there").unwrap(), b"edited there");
    });
}

/// Wherever a conflict is cut short, the state being lost from there on, it comes to the same.
#[test]
fn a_crash_in_a_conflict_leaves_one_copy() {
    for (descriptor, policy) in
        [&STORE, &DRIVE, &IDS].into_iter().flat_map(|kind| POLICIES.map(|policy| (kind, policy)))
    {
        let bench = &bench(descriptor, policy);
        for after in 0..10 {
            let path = format!("{after}.txt");
            edit(bench, &path, b"first", EARLIER);
            assert_eq!(settle(bench), 0);
            let mut expected = contents(bench);
            let (here, there) = (format!("{after} here"), format!("{after} from there"));
            expected.retain(|content| content != b"first");
            expected.extend([&here, &there].map(|text| text.clone().into_bytes()));
            expected.sort();
            edit(bench, &path, here.as_bytes(), EARLIER);
            bench.memory.put(&path, there.as_bytes());
            crash(bench, after);
            settle(bench);
            let context = format!("{} after {after}", context(bench, EARLIER));
            assert_eq!(contents(bench), expected, "{context}: {:?}", bench.tree().keys());
            let winner = if remote_wins(bench, EARLIER) { there } else { here };
            assert_eq!(bench.read(&path).unwrap(), winner.into_bytes(), "{context}");
        }
    }
}

/// A cycle that ends after this many calls, with the state as it was on the disk by then.
fn crash(bench: &Bench, after: usize) {
    let durable = Arc::new(Mutex::new(None));
    let (mut calls, kept, state) = (0, durable.clone(), bench.state_file());
    *bench.memory.hook.lock().unwrap() = Some(Box::new(move |_| {
        if calls == after {
            *kept.lock().unwrap() = Some(fs::read(&state).unwrap());
        }
        calls += 1;
    }));
    bench.memory.set_fault(Some(Fault { after, how: How::Refuse(Kind::State) }));
    let _ = bench.sync(&EVERYTHING);
    bench.memory.set_fault(None);
    *bench.memory.hook.lock().unwrap() = None;
    if let Some(durable) = durable.lock().unwrap().take() {
        fs::write(bench.state_file(), durable).unwrap();
    }
}

/// The local file has its conflict name already, and what came from the service isn't there yet.
#[test]
fn a_crash_between_two_renames_loses_nothing() {
    for descriptor in KINDS {
        let bench = bench(descriptor, Remote);
        bench.write("note.txt", b"first");
        bench.sync(&EVERYTHING).unwrap();
        bench.write("note.txt", b"from here");
        bench.memory.put("note.txt", b"there");
        let kept = "note (conflict 2026-11-23 1a2b).txt";
        fs::rename(bench.local.join("note.txt"), bench.local.join(kept)).unwrap();
        assert_eq!(settle(&bench), 0);
        assert_eq!(bench.read("note.txt").unwrap(), b"there");
        assert_eq!(bench.read(kept).unwrap(), b"from here");
        assert_eq!(contents(&bench).len(), 2);
    }
}

#[test]
fn what_the_service_keeps_as_a_version_needs_no_copy_unless_both_are_wanted() {
    for (policy, copies) in [(Local, 0), (Newer, 0), (Both, 1), (Remote, 1)] {
        let bench = bench(&VERSIONED, policy);
        bench.write("note.txt", b"first");
        bench.sync(&EVERYTHING).unwrap();
        edit(&bench, "note.txt", b"from here", LATER);
        bench.memory.put("note.txt", b"there");
        assert_eq!(settle(&bench), 1);
        assert_eq!(contents(&bench).len(), 1 + copies, "{policy:?}");
        if copies == 0 {
            assert_eq!(bench.read("note.txt").unwrap(), b"from here");
            assert!(bench.memory.versions().contains(&b"there".to_vec()), "{policy:?}");
        }
    }
}

#[test]
fn a_conflict_while_nobody_knows_the_time_is_won_here() {
    let bench = bench(&IDS, Newer);
    edit(&bench, "note.txt", b"from here", EARLIER);
    bench.memory.put_at("note.txt", b"there", 0);
    assert_eq!(settle(&bench), 1);
    assert_eq!(bench.read("note.txt").unwrap(), b"from here");
}

/// What was called, by name, without looks at folders.
fn calls(bench: &Bench, name: &str) -> Vec<String> {
    let calls = bench.memory.take_calls();
    calls.iter().filter_map(|call| call.strip_prefix(name)).map(str::to_owned).collect()
}

#[test]
fn linking_again_moves_only_what_differs() {
    // Without a hash, a content has to be read to be known.
    for (descriptor, check, read) in [
        (&STORE, false, true),
        (&HASHING, false, false),
        (&IDS, false, true),
        (&PATHS, false, true),
        (&DRIVE, false, true),
        (&ETAGS, false, true),
        (&HASHING, true, false),
        (&STORE, true, true),
        (&IDS, true, true),
    ] {
        let mut bench = bench(descriptor, Local);
        bench.task.consistency_check = check;
        bench.memory.put("theirs", b"theirs");
        bench.write("mine/one", b"one");
        bench.write("mine/two", b"two");
        bench.sync(&EVERYTHING).unwrap();
        bench.forget();
        bench.write("mine/two", b"another");
        bench.write("new here", b"new");
        bench.memory.put("new there", b"new");
        bench.memory.take_calls();
        let report = bench.sync(&EVERYTHING).unwrap();
        let context = format!("{} {check}", descriptor.name);
        // Of the two contents of an edited file, nobody knows any more which one is the older:
        // it is sent, and so is the copy of the other.
        let moved = (report.uploaded, report.downloaded, report.conflicts);
        assert_eq!(moved, (3, 1, 1), "{context}");
        let unchanged = |path: &String| path.ends_with("theirs") || path.ends_with("one");
        let reads = calls(&bench, "read").into_iter().filter(unchanged).count();
        assert_eq!(reads, if read { 2 } else { 0 }, "{context}");
        assert_eq!(settle(&bench), 0, "{context}");
    }
}

#[test]
fn size_and_time_alone_make_no_two_contents_the_same() {
    for descriptor in [&STORE, &HASHING, &DRIVE] {
        let bench = bench(descriptor, Local);
        edit(&bench, "note.txt", b"one", EARLIER);
        bench.memory.put_at("note.txt", b"two", EARLIER as i64 * 1_000_000_000);
        assert_eq!(bench.sync(&EVERYTHING).unwrap().conflicts, 1, "{}", descriptor.name);
    }
}

#[test]
fn what_was_stored_otherwise_than_sent_is_sent_again() {
    let mut bench = bench(&HASHING, Local);
    bench.task.consistency_check = true;
    bench.write("new", b"new");
    bench.write("old", b"old");
    bench.memory.garble("new", 1);
    let report = bench.sync(&EVERYTHING).unwrap();
    assert_eq!((report.uploaded, report.errors), (1, 1), "{report:?}");
    assert_eq!(report.problems[0].kind, "integrity");
    assert!(!bench.memory.tree().contains_key("new"));
    assert_eq!(settle(&bench), 0);
    bench.write("old", b"changed");
    bench.memory.garble("old", 1);
    assert_eq!(bench.sync(&EVERYTHING).unwrap().errors, 1);
    assert_eq!(settle(&bench), 0);
    assert_eq!(bench.tree().len(), 2);
}

fn checked(descriptor: &'static Descriptor) -> Bench {
    let mut bench = bench(descriptor, Local);
    bench.task.consistency_check = true;
    for name in ["a", "b", "c"] {
        bench.write(name, format!("{name} good").as_bytes());
    }
    bench.sync(&EVERYTHING).unwrap();
    bench
}

#[test]
fn a_damaged_file_waits_for_a_person_and_overwrites_nothing() {
    for descriptor in KINDS {
        let bench = checked(descriptor);
        let good = bench.memory.tree();
        bench.rot("b", b"b BAD!");
        for look in [&EVERYTHING, &POLL, &APPROVED] {
            let report = bench.sync(look).unwrap();
            assert_eq!((report.held, report.errors, report.uploaded), (1, 0, 0), "{report:?}");
            let trouble = &report.problems[0];
            assert_eq!((&*trouble.path, &*trouble.kind), ("b", "damaged"));
            assert!(trouble.remedy.contains("touch it"), "{trouble:?}");
            assert!(trouble.remedy.contains("save what the service has"), "{trouble:?}");
        }
        assert_eq!(bench.memory.tree(), good);
        assert_eq!(bench.read("b").unwrap(), b"b BAD!");
    }
}

#[test]
fn a_damaged_file_is_unnoticed_without_the_check() {
    let mut bench = checked(&STORE);
    bench.task.consistency_check = false;
    bench.rot("b", b"b BAD!");
    assert_eq!(bench.sync(&EVERYTHING).unwrap().held, 0);
}

#[test]
fn both_ways_out_of_damage_work() {
    for descriptor in KINDS {
        let bench = checked(descriptor);
        bench.rot("b", b"b BAD!");
        assert_eq!(bench.sync(&EVERYTHING).unwrap().held, 1);
        bench.date("b", LATER);
        let report = bench.sync(&EVERYTHING).unwrap();
        assert_eq!((report.held, report.uploaded), (0, 1), "{report:?}");
        assert_eq!(bench.memory.tree()["b"].as_deref(), Some(&b"b BAD!"[..]));

        bench.rot("c", b"c BAD!");
        assert_eq!(bench.sync(&EVERYTHING).unwrap().held, 1);
        bench.write("c", b"c good");
        let report = bench.sync(&EVERYTHING).unwrap();
        assert_eq!((report.held, report.uploaded, report.downloaded), (0, 0, 0), "{report:?}");
        assert_eq!(settle(&bench), 0);
    }
}

#[test]
fn a_round_of_the_check_goes_on_in_the_next_cycle() {
    let bench = checked(&STORE);
    bench.rot("c", b"c BAD!");
    let mut told = Vec::new();
    for _ in 0..5 {
        // After a restart each time.
        let report = bench.sync(&Look { verify: 1, ..POLL }).unwrap();
        told.push((report.held, report.unverified));
    }
    assert_eq!(told, [(0, true), (0, true), (1, false), (1, true), (1, true)]);
}

#[test]
fn a_check_that_finds_nothing_writes_nothing_and_asks_nothing() {
    let bench = checked(&IDS);
    let mut engine = bench.engine();
    engine.cycle(&EVERYTHING).unwrap();
    let before = fs::read(bench.state_file()).unwrap();
    bench.memory.take_calls();
    let report = engine.cycle(&EVERYTHING).unwrap();
    assert!(!report.did_something() && !report.unverified);
    assert_eq!(fs::read(bench.state_file()).unwrap(), before, "the state was written");
    let mut calls = BTreeMap::new();
    bench.memory.take_calls().into_iter().for_each(|call| *calls.entry(call).or_insert(0) += 1);
    assert!(calls.keys().all(|call| call.starts_with("changes")), "{calls:?}");
}
