//! Verifying: damage that was seeded is found, what a person changed is none, and nothing is
//! changed by looking.

use crate::common::bench::{Bench, EVERYTHING, take_as_agreed};
use crate::common::dice::Dice;
use crate::common::memory::{DRIVE, ETAGS, HASHING, IDS, PATHS, STORE};
use crate::common::pair::{Pair, Peer};
use crate::common::peers;
use mooring::engine::{Engine, Finding, Scrutiny, Verified};
use mooring::error::{Error, Kind, Result};
use mooring::http::Cancel;
use mooring::model::{Direction, Side};
use mooring::remote::Descriptor;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::symlink;
use std::time::Duration;

const KINDS: [&Descriptor; 6] = [&STORE, &DRIVE, &ETAGS, &IDS, &PATHS, &HASHING];
const QUICK: Scrutiny = Scrutiny { after: String::new(), quick: true, most: None };

fn all() -> Scrutiny {
    Scrutiny::default()
}

fn after(path: &str) -> Scrutiny {
    Scrutiny { after: path.into(), ..all() }
}

fn auditor(bench: &Bench) -> Engine {
    bench.open_by(Engine::open_to_verify, Cancel::default()).unwrap()
}

fn try_verify(bench: &Bench, scrutiny: &Scrutiny) -> Result<(Vec<Finding>, Verified)> {
    let mut findings = Vec::new();
    let verified = auditor(bench).verify(scrutiny, &mut |finding| {
        findings.push(finding);
        Ok(())
    })?;
    Ok((findings, verified))
}

fn verify(bench: &Bench, scrutiny: &Scrutiny) -> (Vec<Finding>, Verified) {
    try_verify(bench, scrutiny).unwrap()
}

/// Path and state of each finding.
fn told(findings: &[Finding]) -> Vec<(&str, &str)> {
    findings.iter().map(|finding| (&*finding.path, &*finding.state)).collect()
}

#[track_caller]
fn finds(bench: &Bench, expected: &[(&str, &str)]) -> Verified {
    let (findings, verified) = verify(bench, &all());
    assert_eq!(told(&findings), expected, "{}: {findings:#?}", bench.memory.descriptor.name);
    verified
}

const FILES: [&str; 7] = ["a", "a-b/x", "a.b", "b/c/d", "b/c.txt", "b/e/f", "z"];

fn filled(descriptor: &'static Descriptor, direction: Direction) -> Bench {
    let bench = Bench::new(descriptor, direction);
    for file in FILES {
        match direction {
            Direction::Download => bench.memory.put(file, format!("{file} good").as_bytes()),
            _ => bench.write(file, format!("{file} good").as_bytes()),
        }
    }
    bench.sync(&EVERYTHING).unwrap();
    bench.memory.take_calls();
    bench
}

fn each_kind(test: impl Fn(Bench)) {
    for descriptor in KINDS {
        test(filled(descriptor, Direction::Both));
    }
}

#[test]
fn what_is_in_sync_is_fine_and_nothing_is_written() {
    for direction in [Direction::Both, Direction::Upload, Direction::Download] {
        for descriptor in KINDS {
            let bench = filled(descriptor, direction);
            let before = (fs::read(bench.state_file()).unwrap(), bench.tree(), bench.memory.tree());
            let verified = finds(&bench, &[]);
            let hashes = if descriptor.hash.is_some() { FILES.len() as u64 } else { 0 };
            let counts = (verified.files, verified.read, verified.confirmed);
            assert_eq!(counts, (FILES.len() as u64, FILES.len() as u64, hashes));
            assert_eq!(verify(&bench, &QUICK).1.read, 0);
            let after = (fs::read(bench.state_file()).unwrap(), bench.tree(), bench.memory.tree());
            assert!(before == after, "{}: something was written", descriptor.name);
            let calls = bench.memory.take_calls();
            let looks = |call: &String| {
                ["list ", "stat ", "changes "].iter().any(|look| call.starts_with(look))
            };
            assert!(calls.iter().all(looks), "{calls:?}");
        }
    }
}

#[test]
fn seeded_damage_is_found_and_nothing_else() {
    for seed in 1..=30 {
        let mut dice = Dice::new(seed);
        let bench = Bench::new(&HASHING, Direction::Both);
        let mut paths = BTreeSet::new();
        for _ in 0..60 {
            let folders = ["", "a/", "a/b/", "a.b/", "c/d/e/"];
            paths.insert(format!("{}{}", dice.pick(&folders).unwrap(), dice.roll(40)));
        }
        for path in &paths {
            bench.write(path, format!("{path} as it was agreed on").as_bytes());
        }
        bench.sync(&EVERYTHING).unwrap();
        let mut expected = BTreeMap::new();
        for path in &paths {
            let mut bytes = bench.read(path).unwrap();
            let bit = dice.roll(bytes.len() as u64 * 8) as usize;
            bytes[bit / 8] ^= 1 << (bit % 8);
            let finding = match dice.roll(10) {
                0 => {
                    bench.rot(path, &bytes);
                    ("damaged", Some(Side::Local))
                }
                1 => {
                    bench.memory.alter(path, &bytes);
                    ("damaged", Some(Side::Remote))
                }
                2 => {
                    bench.memory.alter(path, &bytes[1..]);
                    ("damaged", Some(Side::Remote))
                }
                3 => {
                    bench.write(path, b"edited");
                    ("not-synced", None)
                }
                4 => {
                    bench.memory.put(path, b"edited there");
                    ("not-synced", None)
                }
                _ => continue,
            };
            expected.insert(path.clone(), finding);
        }
        let (findings, verified) = verify(&bench, &all());
        let found: BTreeMap<_, _> = findings
            .iter()
            .map(|finding| (finding.path.clone(), (&*finding.state, finding.side)))
            .collect();
        assert_eq!(found, expected, "seed {seed}");
        assert_eq!(findings.len(), expected.len());
        let damaged = expected.values().filter(|(state, _)| *state == "damaged").count();
        assert_eq!(verified.damaged, damaged as u64);
        assert!(findings.iter().all(|finding| !finding.remedy.is_empty()));
    }
}

#[test]
fn a_rotten_file_is_found_on_every_service() {
    each_kind(|bench| {
        bench.rot("b/c/d", b"b/c/d BAD!");
        let verified = finds(&bench, &[("b/c/d", "damaged")]);
        assert_eq!((verified.damaged, verified.files), (1, FILES.len() as u64));
        // Sizes and times tell nothing of it.
        assert_eq!(verify(&bench, &QUICK).1.damaged, 0);
    });
}

#[test]
fn what_changed_since_the_last_sync_is_no_damage() {
    each_kind(|bench| {
        bench.write("a", b"edited here");
        bench.memory.put("a.b", b"edited there");
        bench.write("b/c/d", b"b/c/d good");
        fs::remove_file(bench.local.join("z")).unwrap();
        bench.memory.delete("b/c.txt");
        bench.write("new here/file", b"new");
        bench.memory.put("new there", b"new");
        let changed = [
            ("a", "not-synced"),
            ("a.b", "not-synced"),
            ("b/c.txt", "not-synced"),
            ("new here", "not-synced"),
            ("new here/file", "not-synced"),
            ("new there", "not-synced"),
            ("z", "not-synced"),
        ];
        // The one that was only touched has the content that was agreed on.
        assert_eq!(finds(&bench, &changed).damaged, 0);
        let (findings, _) = verify(&bench, &QUICK);
        let touched = findings.iter().find(|finding| finding.path == "b/c/d").unwrap();
        assert_eq!(touched.reason, "since the last sync, it was touched here");
        assert_eq!(findings[0].reason, "since the last sync, it changed here");
        bench.sync(&EVERYTHING).unwrap();
        finds(&bench, &[]);
    });
}

#[test]
fn what_a_feed_doesnt_tell_is_damage() {
    for descriptor in [&IDS, &PATHS] {
        let bench = filled(descriptor, Direction::Both);
        // What was sent is no news any more once the state has a later cursor.
        bench.write("later", b"later");
        bench.sync(&EVERYTHING).unwrap();
        bench.memory.put("a", b"edited there");
        bench.memory.relocate("a.b", "moved");
        bench.memory.delete("b/c");
        bench.memory.forget("b/e/f");
        bench.memory.swap("z", b"another");
        let expected = [
            ("a", "not-synced"),
            ("a.b", "not-synced"),
            ("b/c.txt", "not-synced"),
            ("b/c", "not-synced"),
            ("b/c/d", "not-synced"),
            ("b/e/f", "damaged"),
            ("moved", "not-synced"),
            ("z", "damaged"),
        ];
        bench.memory.put("b/c.txt", b"edited there");
        finds(&bench, &expected);
        // Of what happened before this cursor, nothing can be told: everything may be news.
        bench.memory.forget_cursors();
        let all_news = expected.map(|(path, _)| (path, "not-synced"));
        finds(&bench, &all_news);
    }
}

#[test]
fn what_the_direction_leaves_is_no_news() {
    for descriptor in KINDS {
        let bench = filled(descriptor, Direction::Upload);
        bench.memory.put("only there", b"1");
        bench.memory.put("a", b"edited there");
        bench.memory.delete("z");
        assert_eq!(finds(&bench, &[]).left, 3, "{}", descriptor.name);
        bench.write("only here", b"1");
        finds(&bench, &[("only here", "not-synced")]);

        let bench = filled(descriptor, Direction::Download);
        bench.write("only here", b"1");
        bench.write("a", b"edited here");
        assert_eq!(finds(&bench, &[]).left, 2, "{}", descriptor.name);
        bench.memory.put("only there", b"1");
        finds(&bench, &[("only there", "not-synced")]);
    }
}

#[test]
fn what_removed_files_leave_is_no_news() {
    for descriptor in KINDS {
        let mut bench = filled(descriptor, Direction::Both);
        bench.task.keep_removed = true;
        fs::remove_file(bench.local.join("z")).unwrap();
        bench.sync(&EVERYTHING).unwrap();
        assert_eq!(finds(&bench, &[]).left, 1, "{}", descriptor.name);
    }
}

#[test]
fn what_a_rule_leaves_out_is_counted() {
    for descriptor in KINDS {
        let mut bench = filled(descriptor, Direction::Both);
        bench.write("b/co:lon", b"1");
        bench.write("@eaDir/thumb", b"1");
        symlink("a", bench.local.join("link")).unwrap();
        assert_eq!(finds(&bench, &[]).skipped, 3, "before the sync");
        bench.sync(&EVERYTHING).unwrap();
        assert_eq!(finds(&bench, &[]).skipped, 3, "{}", descriptor.name);
        bench.task.filter.folders.insert("b".into());
        bench.rot("b/c/d", b"b/c/d BAD!");
        bench.task.revision += 1;
        // The folder takes what is left out in it along.
        assert_eq!(finds(&bench, &[]).skipped, 3, "{}", descriptor.name);
        bench.sync(&EVERYTHING).unwrap();
        assert_eq!(finds(&bench, &[]).skipped, 3, "{}", descriptor.name);
    }
}

#[test]
fn what_waits_for_a_person_is_counted() {
    each_kind(|bench| {
        bench.write("bad", b"bad");
        *bench.memory.broken.lock().unwrap() = Some(("write bad".into(), Kind::Denied));
        bench.sync(&EVERYTHING).unwrap();
        *bench.memory.broken.lock().unwrap() = None;
        assert_eq!(finds(&bench, &[]).held, 1);
    });
}

#[test]
fn it_goes_on_after_any_item() {
    each_kind(|bench| {
        bench.write("new here/file", b"new");
        bench.memory.put("b/new there", b"new");
        bench.rot("z", b"z BAD!");
        let (whole, counts) = verify(&bench, &all());
        let mut spots: Vec<String> = bench.tree().into_keys().collect();
        spots.extend(["b/", "b/c/", "0", "b/nothing", "zz"].map(str::to_owned));
        for spot in spots {
            let (rest, _) = verify(&bench, &after(&spot));
            let beyond = |finding: &&Finding| {
                let folder = bench.local.join(&finding.path).is_dir();
                format!("{}{}", finding.path, if folder { "/" } else { "" }) > spot
            };
            let expected: Vec<_> = whole.iter().filter(beyond).cloned().collect();
            assert_eq!(rest, expected, "after {spot}");
        }
        // As the daemon does it: a bit at a time.
        let (mut bits, mut all, mut findings) = (0, Verified::default(), Vec::new());
        let mut next = Some(String::new());
        while let Some(after) = next {
            let most = Some((Duration::ZERO, 1));
            let (found, verified) = verify(&bench, &Scrutiny { after, quick: false, most });
            assert!(verified.stopped.is_none());
            findings.extend(found);
            next = verified.next.clone();
            all.add(verified);
            bits += 1;
        }
        assert!(bits > FILES.len());
        assert_eq!((findings, all), (whole, counts));
    });
}

#[test]
fn what_ends_it_early_tells_where_to_go_on() {
    each_kind(|bench| {
        bench.rot("a", b"a BAD!");
        bench.rot("z", b"z BAD!");
        let cancel = Cancel::default();
        let mut engine = bench.open_by(Engine::open_to_verify, cancel.clone()).unwrap();
        let verified = engine.verify(&all(), &mut |_| {
            cancel.cancel();
            Ok(())
        });
        let verified = verified.unwrap();
        assert_eq!(verified.stopped.unwrap().kind, "cancelled");
        assert_eq!((verified.damaged, verified.next.as_deref()), (1, Some("a")));
        let (rest, _) = verify(&bench, &after("a"));
        assert_eq!(told(&rest), [("z", "damaged")]);
    });
    for descriptor in [&DRIVE, &IDS] {
        let bench = filled(descriptor, Direction::Both);
        *bench.memory.broken.lock().unwrap() = Some(("list b".into(), Kind::Offline));
        let (_, verified) = verify(&bench, &all());
        assert_eq!(verified.stopped.unwrap().kind, "offline");
        assert_eq!(verified.next.as_deref(), Some("b/"));
    }
}

#[test]
fn one_folder_that_cant_be_listed_doesnt_stop_the_rest() {
    for descriptor in [&DRIVE, &ETAGS, &IDS, &PATHS] {
        let bench = filled(descriptor, Direction::Both);
        bench.rot("z", b"z BAD!");
        *bench.memory.broken.lock().unwrap() = Some(("list b/c".into(), Kind::Denied));
        let verified = finds(&bench, &[("b/c", "failed"), ("z", "damaged")]);
        // Nothing is said about what is in it.
        assert_eq!(verified.files, FILES.len() as u64 - 1);
    }
}

#[test]
fn without_an_agreement_there_is_nothing_to_verify() {
    let bench = Bench::new(&STORE, Direction::Both);
    let error = bench.open_by(Engine::open_to_verify, Cancel::default()).err().unwrap();
    assert!(error.to_string().contains("it was never synced"), "{error}");
    assert!(!bench.state_file().exists());
}

#[test]
fn another_root_isnt_compared() {
    each_kind(|bench| {
        fs::rename(&bench.local, bench.local.with_extension("away")).unwrap();
        fs::create_dir(&bench.local).unwrap();
        let error = try_verify(&bench, &all()).unwrap_err();
        assert_eq!(error.kind(), Kind::RootLost);
    });
    let bench = filled(&IDS, Direction::Both);
    bench.memory.replace_root();
    assert_eq!(try_verify(&bench, &all()).unwrap_err().kind(), Kind::RootLost);
}

#[test]
fn namesakes_are_told_apart() {
    let bench = filled(&IDS, Direction::Both);
    for path in ["a", "b/c.txt"] {
        bench.memory.put_namesake(path, b"another");
    }
    bench.sync(&EVERYTHING).unwrap();
    assert_eq!(bench.tree().len(), FILES.len() + 4 + 2, "{:?}", bench.tree().keys());
    finds(&bench, &[]);
}

#[test]
fn many_items_in_one_folder_are_compared_in_order() {
    let bench = filled(&DRIVE, Direction::Both);
    for number in 0..9000 {
        bench.memory.put(&format!("wide/{number}"), b"");
    }
    let (findings, verified) = verify(&bench, &all());
    assert_eq!((verified.files, verified.not_synced), (9007, 9001));
    assert!(findings.is_sorted_by(|a, b| a.path < b.path));
}

#[test]
fn what_cant_be_printed_ends_it() {
    let bench = filled(&STORE, Direction::Both);
    bench.rot("a", b"a BAD!");
    let verified = auditor(&bench).verify(&all(), &mut |_| {
        Err(Error::new(Kind::Disk, "printing the answer", "the pipe is broken"))
    });
    let stopped = verified.unwrap().stopped.unwrap();
    assert_eq!(stopped.reason, "printing the answer: the pipe is broken");
}

// ---- the program

/// The lines of `verify --json`: findings, and what came of it.
#[track_caller]
fn lines(pair: &Pair, code: i32, more: &[&str]) -> (Vec<Value>, Value) {
    let output = pair.run(&[&["verify", "docs", "--json"], more].concat());
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(code), "{text}");
    let mut lines: Vec<Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let verified = lines.pop().unwrap()["verified"].take();
    (lines, verified)
}

fn rot(pair: &Pair, path: &str, bytes: &[u8]) {
    pair.write(path, bytes);
    let folder = fs::read_dir(pair.state().join("tasks")).unwrap();
    let file = folder.map(|entry| entry.unwrap().path()).next().unwrap();
    take_as_agreed(&file, &pair.local, path);
}

#[test]
fn the_program_tells_by_its_exit_code() {
    for peer in [Peer::S3(peers::moto()), Peer::Dav(peers::dav_peers()[0])] {
        let pair = Pair::new(peer, &[]);
        // A task that was never synced.
        let output = pair.run(&["verify", "docs"]);
        assert_eq!(output.status.code(), Some(1));
        pair.write("folder/good", "good");
        pair.write("folder/bad", "good");
        pair.sync();
        let text = pair.done(&["verify", "docs"]);
        assert!(text.starts_with("Verified 2 files: 2 read here (8 B)"), "{text}");
        let (findings, verified) = lines(&pair, 0, &[]);
        assert_eq!((findings.len(), &verified["files"]), (0, &2.into()));

        rot(&pair, "folder/bad", b"BAD!");
        pair.write("edited", "edited");
        for daemon in [false, true] {
            let running = daemon.then(|| {
                // It is to look, not to sync.
                pair.done(&["pause"]);
                pair.daemon()
            });
            let (findings, verified) = lines(&pair, 3, &[]);
            let told: Vec<_> =
                findings.iter().map(|line| (&line["path"], &line["state"])).collect();
            let (edited, bad) = (Value::from("edited"), Value::from("folder/bad"));
            let (changed, damaged) = (Value::from("not-synced"), Value::from("damaged"));
            assert_eq!(told, [(&edited, &changed), (&bad, &damaged)], "{daemon}");
            assert_eq!((&verified["damaged"], &verified["next"]), (&1.into(), &Value::Null));
            assert_eq!(findings[1]["side"], "local");
            let output = pair.run(&["verify", "docs"]);
            assert_eq!(output.status.code(), Some(3));
            let text = String::from_utf8(output.stdout).unwrap();
            assert!(text.contains("folder/bad: damaged here: its content changed on the disk"));
            assert!(text.contains("edited: not synced yet: "), "{text}");
            let (findings, _) = lines(&pair, 0, &["--after", "folder/bad"]);
            assert!(findings.is_empty());
            let (findings, _) = lines(&pair, 0, &["--quick"]);
            assert_eq!(findings.len(), 1);
            drop(running);
        }
        assert_eq!(pair.remote("folder/bad"), Some(b"good".into()));
        assert_eq!(pair.remote("edited"), None);
    }
}
