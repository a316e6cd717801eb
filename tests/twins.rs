//! The twins obey the contract that the real adapters obey, and are the same for the same seed.

#[path = "simulate/service/mod.rs"]
#[allow(dead_code, unused_imports, reason = "each of the two who use it needs a part")]
mod service;

use crate::common::bench::{APPROVED, TempFolder, task};
use crate::common::by_path::ByPath;
use crate::common::contract::{self, Bytes, Flaw, Notes, Server, pattern};
use crate::common::dice::Dice;
use mooring::engine::{Engine, Setup};
use mooring::error::{Error, Kind, Result};
use mooring::http::Cancel;
use mooring::local::Disk;
use mooring::model::{Direction, ItemKind, RemotePrint, Version};
use mooring::remote::{
    Change, Entry, Expect, Listing, Place, Remote, Removal, Settings, Special, Spot,
};
use mooring::services;
use service::{
    Abilities, Aftermath, At, Changes, Item, PART, Times, Twin, TwinService, Unicode, twins,
};
use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};

const START: i64 = 1_600_000_000_000_000_000;
const MINUTE: i64 = 60_000_000_000;

/// A twin and what moves its clock.
fn timed(abilities: Abilities, seed: u64) -> (Arc<Twin>, Arc<AtomicI64>) {
    let now = Arc::new(AtomicI64::new(START));
    let clock = now.clone();
    (Twin::new(abilities, seed, Box::new(move || clock.load(Relaxed))), now)
}

fn twin(name: &str) -> (Arc<Twin>, Arc<AtomicI64>) {
    timed(*twins().iter().find(|abilities| abilities.name == name).unwrap(), 1)
}

fn paths(twin: &Twin) -> Vec<String> {
    twin.items().into_iter().map(|item| item.path).collect()
}

fn content(twin: &Twin, path: &str) -> Option<Vec<u8>> {
    let item = twin.items().into_iter().find(|item| item.path == path)?;
    item.content.map(|bytes| bytes.to_vec())
}

/// What a listing of the root tells.
fn listed(twin: &Twin) -> Vec<String> {
    let mut names = Vec::new();
    let mut each = |name: &str, _| {
        names.push(name.to_owned());
        Ok(())
    };
    Remote::list(twin, Place::at(""), &mut each).unwrap();
    names.sort();
    names
}

fn write(twin: &Twin, path: &str, bytes: &[u8], expect: Expect<'_>, notes: &Notes) -> Result<bool> {
    let content = Bytes::with(bytes, Flaw::None);
    let written = Remote::write(twin, Place::at(path), &content, START, expect, notes);
    written.map(|written| written.overtook)
}

/// The only item in the root.
fn only(twin: &Twin) -> RemotePrint {
    let mut seen = None;
    let mut each = |_: &str, entry: Entry| {
        seen = Some(entry.print);
        Ok(())
    };
    Remote::list(twin, Place::at(""), &mut each).unwrap();
    seen.unwrap()
}

fn offline() -> Error {
    Error::new(Kind::Offline, "the call", "a fault")
}

/// Lets the requests of this name fail at one point, after the world has done something there.
fn fail_at(twin: &Twin, call: &'static str, at: At, error: Option<Error>, act: fn(&Twin)) {
    twin.set_hook(Some(Box::new(move |twin, point| {
        if point.call != call || point.at != at {
            return Ok(());
        }
        act(twin);
        error.clone().map_or(Ok(()), Err)
    })));
}

#[test]
fn every_twin_keeps_the_contract() {
    for abilities in twins() {
        // The contract's files are larger than those of a simulation.
        let abilities = Abilities { largest: None, ..abilities };
        let server = Server {
            keeps_mtime: abilities.times != Times::Lost,
            drops_cut_writes: !abilities.keeps_cut,
            creates_once: abilities.conditional,
            large: 3 * PART as usize + 1,
            many: 40,
            ..Server::of(abilities.descriptor)
        };
        eprintln!("twin {}", abilities.name);
        let (twin, now) = timed(abilities, 1);
        // What lags behind has no time to.
        twin.set_hook(Some(Box::new(move |_, _| {
            now.fetch_add(MINUTE, Relaxed);
            Ok(())
        })));
        contract::run_on(ByPath::new(twin), abilities.descriptor, &server);
    }
}

#[test]
fn every_service_has_a_twin() {
    for service in services::ALL {
        let has_twin =
            twins().iter().any(|twin| std::ptr::eq(twin.descriptor, service.descriptor()));
        assert!(has_twin, "{} has none", service.descriptor().name);
    }
}

/// A replica that knows only what a feed tells: paths, or ids with folder and name, and versions.
#[derive(Default)]
struct Replica(BTreeMap<String, (String, String, Version)>);

impl Replica {
    fn take(&mut self, changes: &[Change]) {
        for change in changes {
            match change {
                Change::There { spot: Spot::Path(path), entry } => {
                    let version = entry.print.version.clone();
                    self.0.insert(path.to_lowercase(), (String::new(), String::new(), version));
                }
                Change::There { spot: Spot::Child { folder, name }, entry } => {
                    let state = (folder.to_string(), name.clone(), entry.print.version.clone());
                    self.0.insert(entry.print.id.to_string(), state);
                }
                Change::GoneId(id) => drop(self.0.remove(&**id)),
                Change::GonePath(path) => {
                    let (path, below) = (path.to_lowercase(), format!("{path}/").to_lowercase());
                    self.0.retain(|at, _| *at != path && !at.starts_with(&below));
                }
            }
        }
    }

    /// Items below the root.
    fn is_of(&self, twin: &Twin) {
        let account = twin.lock();
        let root = account.root().unwrap();
        let by_ids = account.by_ids();
        let mut known = self.0.clone();
        if by_ids {
            known.remove(&*account.told_id(root));
        }
        // What was in a folder that is gone, is gone.
        while let Some(orphan) = known.iter().find_map(|(id, (folder, ..))| {
            let there = !by_ids || *folder == *account.told_id(root) || known.contains_key(folder);
            (!there).then(|| id.clone())
        }) {
            known.remove(&orphan);
        }
        let all = account.tree.below(root).into_iter().map(|id| {
            let node = account.tree.get(id).unwrap();
            let version = account.entry(id).unwrap().print.version;
            match by_ids {
                true => {
                    let folder = account.told_id(node.parent).into();
                    (account.told_id(id).into(), (folder, node.name.clone(), version))
                }
                false => {
                    let path = account.path(id).unwrap().to_lowercase();
                    (path, (String::new(), String::new(), version))
                }
            }
        });
        assert_eq!(known, all.collect::<BTreeMap<String, _>>());
    }
}

/// A random life, and all that was told of it.
fn life(abilities: Abilities, seed: u64) -> Vec<String> {
    let (twin, now) = timed(abilities, seed);
    let mut replica = Replica::default();
    let mut dice = Dice::new(seed);
    let mut story = Vec::new();
    let mut cursor = twin.feed().map(|feed| feed.now().unwrap());
    for _ in 0..60 {
        now.fetch_add(dice.roll(MINUTE as u64) as i64, Relaxed);
        let mut path = || {
            let parts = (0..=dice.roll(2)).map(|_| *dice.pick(&["a", "A", "b"]).unwrap());
            parts.collect::<Vec<_>>().join("/")
        };
        let (one, other) = (path(), path());
        let bytes = pattern(dice.roll(300) as usize, 1);
        let before = twin.items();
        let done = match dice.roll(10) {
            0..3 => twin.put(&one, &bytes, START),
            3 => twin.put_namesake(&one, &bytes, START),
            4 => twin.make(&one),
            5 => twin.relocate(&one, &other),
            6 => twin.swap(&one, &other),
            7 => twin.delete(&one),
            8 => twin.touch(&one, START + 1),
            _ => {
                let mut folders = vec![(String::new(), String::new())];
                while let Some((folder, id)) = folders.pop() {
                    let place = Place { path: &folder, id: &id, folder: "" };
                    let list = Remote::list(&*twin, place, &mut |name, entry| {
                        story.push(format!("{name} {entry:?}"));
                        let below = format!("{folder}/{name}").trim_matches('/').to_owned();
                        let flat = abilities.descriptor.listing == Listing::Flat;
                        if entry.kind == ItemKind::Folder && !flat {
                            folders.push((below, entry.print.id.into()));
                        }
                        Ok(())
                    });
                    list.unwrap();
                }
                true
            }
        };
        story.push(format!("{one} {other} {done}"));
        let after = twin.items();
        assert!(done || before == after, "what can't be done changed something: {story:?}");
        let is_empty = |folder: &Item| {
            let below = format!("{}/", folder.path);
            folder.content.is_none() && !after.iter().any(|item| item.path.starts_with(&below))
        };
        assert!(abilities.keeps_empty || !after.iter().any(is_empty), "{after:?}");
        if let Some(at) = &mut cursor {
            let changes = told(&twin, at);
            replica.take(&changes);
            story.push(format!("{changes:?}"));
        }
    }
    now.fetch_add(MINUTE, Relaxed);
    if let Some(at) = &mut cursor {
        replica.take(&told(&twin, at));
        replica.is_of(&twin);
    }
    story.extend(twin.take_log());
    story.extend(twin.items().iter().map(|item| format!("{item:?}")));
    story
}

/// An engine keeps a folder with each of them.
#[test]
fn every_twin_can_be_synced_with() {
    for abilities in twins() {
        let (twin, now) = timed(abilities, 1);
        let folder = TempFolder::new();
        let (local, state) = (folder.path().join("local"), folder.path().join("state"));
        fs::create_dir_all(local.join("up/deep")).unwrap();
        fs::create_dir(&state).unwrap();
        fs::write(local.join("up/deep/small"), b"small").unwrap();
        fs::write(local.join("up/large"), pattern(150, 1)).unwrap();
        assert!(twin.put("down/deep/file", b"file", START) && twin.put("both", b"both", START));
        let task = task(&local, Direction::Both);
        let mut engine = Engine::open(Setup {
            task: &task,
            disk: Disk::new(&task.local),
            service: Box::leak(Box::new(TwinService(twin.clone()))),
            values: &Settings::default(),
            state: &state,
            transfers: 1,
            history: 10,
            cancel: Cancel::default(),
        })
        .unwrap();
        let mut sync = || {
            let report = engine.cycle(&APPROVED).unwrap();
            now.fetch_add(MINUTE, Relaxed);
            assert_eq!(report.errors, 0, "{}: {report:?}", abilities.name);
        };
        now.fetch_add(MINUTE, Relaxed);
        sync();
        let tree = ["both", "down", "down/deep", "down/deep/file", "up", "up/deep"];
        let tree = [&tree[..], &["up/deep/small", "up/large"]].concat();
        assert_eq!(paths(&twin), tree, "{}", abilities.name);
        assert_eq!(content(&twin, "up/large").unwrap(), pattern(150, 1));
        assert_eq!(fs::read(local.join("down/deep/file")).unwrap(), b"file");

        assert!(twin.put("both", b"changed", START + 1) && twin.delete("down"));
        assert!(twin.relocate("up/large", "moved"));
        fs::rename(local.join("up/deep"), local.join("deep")).unwrap();
        now.fetch_add(MINUTE, Relaxed);
        sync();
        sync();
        let gone: &[&str] = if abilities.keeps_empty { &["up"] } else { &[] };
        assert_eq!(paths(&twin), [&["both", "deep", "deep/small", "moved"], gone].concat());
        assert_eq!(fs::read(local.join("both")).unwrap(), b"changed");
        assert_eq!(fs::read(local.join("moved")).unwrap(), pattern(150, 1));
        assert!(!local.join("down").exists());
        twin.take_log();
        sync();
        let changing = ["write", "rename", "remove", "make_folder", "copy", "read"];
        let log = twin.take_log();
        let calls = |line: &String| changing.iter().any(|call| line.starts_with(call));
        assert!(!log.iter().any(calls), "{} has no peace: {log:?}", abilities.name);
    }
}

#[test]
fn a_seed_tells_a_life() {
    for abilities in twins() {
        for seed in 0..20 {
            assert_eq!(life(abilities, seed), life(abilities, seed), "{} {seed}", abilities.name);
        }
        assert_ne!(life(abilities, 1), life(abilities, 2));
    }
}

#[test]
fn a_request_is_refused_cut_off_or_loses_its_reply() {
    for abilities in twins() {
        let (twin, _) = timed(abilities, 1);
        let notes = Notes::default();
        let put = |bytes: &[u8]| write(&twin, "file", bytes, Expect::Absent, &notes);

        fail_at(&twin, "write", At::Before, Some(offline()), |_| {});
        assert_eq!(put(b"one").unwrap_err().kind(), Kind::Offline);
        assert_eq!(paths(&twin), [""; 0], "{}", abilities.name);

        fail_at(&twin, "write", At::Within(3), Some(offline()), |_| {});
        assert_eq!(put(b"one").unwrap_err().kind(), Kind::Offline);
        assert_eq!(twin.aftermath().cut.len(), usize::from(abilities.keeps_cut));
        twin.delete("file");

        fail_at(&twin, "write", At::After, Some(offline()), |_| {});
        assert_eq!(put(b"one").unwrap_err().kind(), Kind::Offline);
        assert_eq!(content(&twin, "file").unwrap(), b"one", "{}", abilities.name);
        twin.set_hook(None);
        twin.take_log();

        twin.power_off();
        assert_eq!(Remote::test(&*twin).unwrap_err().kind(), Kind::Offline);
        assert!(twin.take_log().is_empty());
        twin.power_on();
        Remote::test(&*twin).unwrap();
        assert_eq!(twin.take_log(), ["test "]);
    }
}

#[test]
fn power_that_goes_off_on_the_way_ends_the_request() {
    let (twin, _) = twin("s3");
    fail_at(&twin, "rename", At::Within(1), None, Twin::power_off);
    assert!(twin.put("a", b"a", START));
    let version = Remote::stat(&*twin, Place::at("a"), ItemKind::File).unwrap().unwrap();
    let version = version.print.version;
    let moved = twin.rename(Place::at("a"), Place::at("b"), ItemKind::File, &version);
    assert_eq!(moved.unwrap_err().kind(), Kind::Offline);
    // An object store copies first.
    assert_eq!(paths(&twin), ["a", "b"]);
}

#[test]
fn who_comes_between_look_and_write_is_refused_kept_or_lost() {
    for abilities in twins() {
        let (twin, now) = timed(abilities, 1);
        assert!(twin.put("file", b"known", START));
        now.fetch_add(MINUTE, Relaxed);
        let notes = Notes::default();
        let seen = only(&twin);
        fail_at(&twin, "write", At::Within(0), None, |twin| {
            twin.put("file", b"theirs", START);
        });
        let ours = Bytes::with(b"ours", Flaw::None);
        let place = Place { path: "file", id: &seen.id, folder: "" };
        let written =
            Remote::write(&*twin, place, &ours, START, Expect::Version(&seen.version), &notes);
        let Aftermath { kept, raced, .. } = twin.aftermath();
        let is_in = |list: &[service::Bytes]| list.iter().any(|bytes| **bytes == *b"theirs");
        if abilities.conditional {
            assert_eq!(written.unwrap_err().kind(), Kind::Changed, "{}", abilities.name);
            assert_eq!(content(&twin, "file").unwrap(), b"theirs");
        } else {
            assert_eq!(written.unwrap().overtook, abilities.keeps_replaced);
            assert_eq!((is_in(&kept), is_in(&raced)), {
                (abilities.keeps_replaced, !abilities.keeps_replaced)
            });
        }
    }
}

#[test]
fn who_changes_what_is_moved_is_noticed() {
    for abilities in twins() {
        let (twin, now) = timed(abilities, 1);
        assert!(twin.put("file", b"known", START));
        now.fetch_add(MINUTE, Relaxed);
        let seen = only(&twin);
        let act = |twin: &Twin| assert!(twin.put("file", b"newer", START));
        fail_at(&twin, "rename", At::Within(0), None, act);
        let from = Place { path: "file", id: &seen.id, folder: "" };
        let moved = twin.rename(from, Place::at("moved"), ItemKind::File, &seen.version);
        assert_eq!(moved.unwrap_err().kind(), Kind::Changed, "{}", abilities.name);
        let at = if abilities.moves_checked { "file" } else { "moved" };
        assert_eq!(content(&twin, at).unwrap(), *b"newer", "{}", abilities.name);
    }
}

#[test]
fn an_upload_in_parts_goes_on_and_is_dropped() {
    let (twin, now) = twin("google-drive");
    let bytes = pattern(200, 9);
    let notes = Notes::default();
    let send = || write(&twin, "large", &bytes, Expect::Absent, &notes);
    fail_at(&twin, "write", At::Within(2 * PART), Some(offline()), |_| {});
    send().unwrap_err();
    twin.set_hook(None);
    assert_eq!(twin.open_uploads(), 1);
    assert_eq!(twin.take_log(), ["write large", "begin large", "part large 0", "part large 64"]);
    send().unwrap();
    assert_eq!(twin.take_log(), ["write large", "part large 128", "part large 192"]);
    assert_eq!((content(&twin, "large").unwrap(), twin.open_uploads()), (bytes.clone(), 0));

    twin.delete("large");
    fail_at(&twin, "write", At::Within(PART), Some(offline()), |_| {});
    send().unwrap_err();
    twin.set_hook(None);
    now.fetch_add(2 * MINUTE, Relaxed);
    twin.take_log();
    send().unwrap();
    assert_eq!(twin.take_log()[1], "begin large", "a session that is over is gone on with");
    let note = mooring::remote::Resume::load(&notes).unwrap();
    twin.abandon(&note).unwrap();
    twin.abandon(b"of another service").unwrap();
}

#[test]
fn names_that_the_service_takes_for_the_same_collide() {
    for abilities in twins() {
        let (twin, _) = timed(abilities, 1);
        assert!(twin.put("A", b"a", START) && twin.put("e\u{301}", b"e", START));
        let notes = Notes::default();
        let create = |path: &str| write(&twin, path, b"new", Expect::Absent, &notes);
        let kind = |result: Result<bool>| result.err().map(|error| error.kind());
        let refusal = if abilities.descriptor.folds_case { Kind::NameTaken } else { Kind::Exists };
        let folded = abilities.any_case().then_some(refusal);
        assert_eq!(kind(create("a")), folded, "{}", abilities.name);
        let composed = (abilities.unicode != Unicode::Exact).then_some(refusal);
        assert_eq!(kind(create("\u{e9}")), composed, "{}", abilities.name);
        let stored = if abilities.unicode == Unicode::Composed { "\u{e9}" } else { "e\u{301}" };
        assert!(paths(&twin).contains(&stored.to_owned()), "{}", abilities.name);
    }
}

#[test]
fn several_of_one_name_are_told_apart_and_the_eldest_comes_first() {
    let (twin, _) = twin("google-drive");
    assert!(twin.put("a.txt", b"first", START) && twin.put_namesake("a.txt", b"second", START));
    let items = twin.items();
    assert_eq!((items.len(), &*items[0].path), (2, "a.txt"));
    assert_ne!(items[1].path, "a.txt");
    assert!(twin.put(&items[1].path, b"third", START));
    assert_eq!(content(&twin, &items[1].path).unwrap(), b"third");
    let mut sizes = Vec::new();
    let list = Remote::list(&*twin, Place::at(""), &mut |name, entry| {
        sizes.push((name.to_owned(), entry.print.size));
        Ok(())
    });
    list.unwrap();
    assert_eq!(sizes, [("a.txt".into(), 5), ("a.txt".into(), 5)]);
    assert!(!self::twin("dropbox").0.put_namesake("a.txt", b"", START));
}

#[test]
fn a_listing_lags_behind_and_catches_up() {
    let mut stale = 0;
    for seed in 0..20 {
        let swift = *twins().iter().find(|abilities| abilities.name == "swift").unwrap();
        let (twin, now) = timed(swift, seed);
        assert!(twin.put("a", b"a", START));
        now.fetch_add(MINUTE, Relaxed);
        assert!(twin.put("b", b"b", START) && twin.delete("a"));
        now.fetch_add(MINUTE / 6, Relaxed);
        stale += usize::from(listed(&twin) != ["b"]);
        now.fetch_add(MINUTE, Relaxed);
        assert_eq!(listed(&twin), ["b"]);
    }
    assert!((1..20).contains(&stale), "{stale} of 20 listings were behind");
}

/// Every change after a cursor.
fn told(twin: &Twin, cursor: &mut String) -> Vec<Change> {
    let mut all = Vec::new();
    loop {
        let page = twin.feed().unwrap().changes(Some(cursor), &mut |change| {
            all.push(change);
            Ok(())
        });
        let page = page.unwrap();
        *cursor = page.cursor;
        if !page.more {
            return all;
        }
    }
}

#[test]
fn a_feed_tells_what_changed_and_when_it_does() {
    for abilities in twins() {
        let (twin, now) = timed(abilities, 3);
        let Some(feed) = twin.feed() else { continue };
        let mut cursor = feed.now().unwrap();
        assert!(twin.put("a/b", b"b", START) && twin.make("c"));
        now.fetch_add(MINUTE, Relaxed);
        let names = |changes: &[Change]| {
            let name = |change: &Change| match change {
                Change::There { spot: Spot::Path(path), .. } => path.clone(),
                Change::There { spot: Spot::Child { name, .. }, .. } => name.clone(),
                Change::GoneId(_) => "-".into(),
                Change::GonePath(path) => format!("-{path}"),
            };
            let mut names: Vec<_> = changes.iter().map(name).collect();
            names.sort();
            names.dedup();
            names
        };
        let by_path = abilities.changes == Changes::Paths;
        let file = if by_path { "a/b" } else { "b" };
        let mut all = vec!["a", file, "c", "root"];
        all.retain(|name| *name != "root" || !by_path);
        let first = names(&told(&twin, &mut cursor));
        assert!(first.iter().all(|name| all.contains(&&**name)) && first.len() >= 3, "{first:?}");
        assert!(told(&twin, &mut cursor).is_empty());
        if feed.can_wait() {
            assert!(!feed.wait(&cursor, std::time::Duration::ZERO).unwrap());
        }

        let away = twin.take_out("a").unwrap();
        now.fetch_add(MINUTE, Relaxed);
        let gone = told(&twin, &mut cursor);
        assert_eq!(names(&gone), [if by_path { "-a" } else { "away 3" }], "{}", abilities.name);
        assert!(twin.bring_back(away, "c/a"));
        now.fetch_add(MINUTE, Relaxed);
        let mut back = vec![if by_path { "c/a" } else { "a" }];
        back.extend(feed.tells_all().then_some(if by_path { "c/a/b" } else { "b" }));
        assert_eq!(names(&told(&twin, &mut cursor)), back);

        let all = feed.changes(None, &mut |_| Ok(()));
        assert_eq!(all.is_ok(), feed.tells_all());
        twin.forget_cursors();
        let lost = feed.changes(Some(&cursor), &mut |_| Ok(()));
        assert_eq!(lost.unwrap_err().kind(), Kind::NotFound);
    }
}

#[test]
fn a_root_that_is_lost_or_replaced_is_noticed() {
    for abilities in twins() {
        let (twin, _) = timed(abilities, 1);
        assert!(twin.put("a", b"a", START));
        let root = || Remote::stat(&*twin, Place::at(""), ItemKind::Folder).unwrap();
        let first = root().unwrap();
        twin.replace_root();
        assert!(paths(&twin).is_empty());
        let another = root().unwrap();
        let has_ids = abilities.changes != Changes::Listing;
        assert_eq!(another.print.id != first.print.id, has_ids, "{}", abilities.name);
        twin.lose_root();
        // A bucket stays.
        assert_eq!(root().is_some(), abilities.descriptor.folders_implied);
    }
}

#[test]
fn there_is_an_end_to_the_room_and_to_what_is_taken() {
    for abilities in twins() {
        let (twin, _) = timed(abilities, 1);
        let notes = Notes::default();
        let create = |path: &str, size: usize| {
            let created = write(&twin, path, &pattern(size, 1), Expect::Absent, &notes);
            created.err().map(|error| error.kind())
        };
        twin.set_quota(Some(100));
        assert_eq!((create("a", 60), create("b", 60)), (None, Some(Kind::QuotaFull)));
        twin.set_quota(None);
        assert_eq!(create("c", 201), abilities.largest.map(|_| Kind::TooLarge));
    }
}

#[test]
fn what_cannot_be_downloaded_is_told_and_refused() {
    let (twin, _) = twin("dropbox");
    assert!(twin.put_special("closed", Special::Closed));
    let entry = Remote::stat(&*twin, Place::at("closed"), ItemKind::File).unwrap().unwrap();
    assert_eq!(entry.special, Some(Special::Closed));
    let read = Remote::read(&*twin, Place::at("closed"), &entry.print.version, 0..u64::MAX);
    assert_eq!(read.err().map(|error| error.kind()), Some(Kind::Denied));
    assert!(!self::twin("s3").0.put_special("closed", Special::Closed));
}

#[test]
fn a_read_comes_in_pieces_and_breaks_off() {
    let (twin, _) = twin("webdav");
    let bytes = pattern(300, 2);
    assert!(twin.put("file", &bytes, START));
    let entry = Remote::stat(&*twin, Place::at("file"), ItemKind::File).unwrap().unwrap();
    let read = || {
        Remote::read(&*twin, Place::at("file"), &entry.print.version, 0..u64::MAX).unwrap().reader
    };
    let mut piece = [0; 300];
    assert!(read().read(&mut piece).unwrap() <= PART as usize);
    twin.set_hook(Some(Box::new(|_, point| match point.at {
        At::Within(at) if at > 100 => Err(offline()),
        _ => Ok(()),
    })));
    let mut got = Vec::new();
    read().read_to_end(&mut got).unwrap_err();
    assert!(got.len() > 100 && bytes.starts_with(&got));
}

#[test]
fn a_removal_takes_what_came_into_the_folder_in_between() {
    for abilities in twins().into_iter().filter(|abilities| abilities.keeps_empty) {
        let (twin, _) = timed(abilities, 1);
        assert!(twin.make("folder"));
        fail_at(&twin, "remove", At::Within(0), None, |twin| {
            twin.put("folder/theirs", b"theirs", START);
        });
        let version = Version::default();
        let place = Place::at("folder");
        let removal = Removal { place, kind: ItemKind::Folder, version: &version };
        let mut results = Vec::new();
        twin.remove(&[removal], &mut |_, result| results.push(result));
        let Aftermath { kept, raced, .. } = twin.aftermath();
        if abilities.descriptor.folders_implied {
            assert_eq!(results[0].as_ref().unwrap_err().kind(), Kind::Exists);
            assert_eq!(content(&twin, "folder/theirs").unwrap(), b"theirs");
        } else {
            assert!(results[0].is_ok() && paths(&twin).is_empty());
            assert_eq!(
                (kept.len(), raced.len()),
                match abilities.keeps_replaced {
                    true => (1, 0),
                    false => (0, 1),
                }
            );
        }
    }
}
