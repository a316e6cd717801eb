//! The contract: what the engine relies on, tried on every adapter against a real server.
//!
//! What is tried follows from the [`Descriptor`]; [`Server`] says what else one server can or
//! can't. [`run`] tries everything in a root that holds nothing yet, goes on after a failure, and
//! ends with the names of all checks that failed.

use crate::common::by_path::ByPath;
use mooring::content::Content;
use mooring::error::{Error, Kind, Result};
use mooring::model::{ItemKind, Nanos, Version};
use mooring::remote::{Descriptor, Entry, Expect, Listing, Moves, Place, Remote, Removal, Resume};
use std::collections::BTreeMap;
use std::io::Read as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed, Ordering::SeqCst};

/// 2020-09-13 12:26:40 UTC.
const SOME_TIME: Nanos = 1_600_000_000_000_000_000;

/// What is known of the server at the other end, beyond the descriptor of its service.
#[derive(Clone, Debug)]
pub struct Server {
    /// Whether it keeps the time of modification.
    pub keeps_mtime: bool,
    /// Whether an upload that is cut off leaves nothing behind, and the old file alone.
    pub drops_cut_writes: bool,
    /// Whether of several writes at the same time that expect nothing in their place one wins.
    pub creates_once: bool,
    /// Names that it refuses, beyond the descriptor's rule.
    pub refuses: &'static [&'static str],
    /// Characters that no path it is to move something to may hold.
    pub misplaces: &'static str,
    /// Whether it lists all that is in a folder, so that an empty one can be told.
    pub removes_folders: bool,
    /// Bytes of a file that is sent in more than one part where parts exist.
    pub large: usize,
    /// Files in one folder that take more than one page to list.
    pub many: usize,
}

impl Server {
    /// One that can all that is asked.
    pub fn of(descriptor: &Descriptor) -> Self {
        Server {
            keeps_mtime: descriptor.keeps_mtime,
            drops_cut_writes: true,
            creates_once: true,
            refuses: &[],
            misplaces: "",
            removes_folders: true,
            large: (17 << 20) + 1,
            many: 1200,
        }
    }
}

/// One of the checks below.
type Check = fn(&Ground<'_>);

/// Tries everything on a server that can all that is asked.
pub fn run(remote: ByPath, descriptor: &Descriptor) {
    run_on(remote, descriptor, &Server::of(descriptor));
}

/// Tries everything.
pub fn run_on(remote: ByPath, descriptor: &Descriptor, server: &Server) {
    if must("a look at the root", remote.stat("", ItemKind::Folder)).is_none() {
        must("making the root", remote.make_folder(""));
    }
    must("test() of a root that is there", remote.test());
    let checks: &[(&str, Check)] = &[
        ("round_trip", round_trip),
        ("mtime", mtime),
        ("create_spares_what_is_there", create_spares_what_is_there),
        ("overwrite", overwrite),
        ("stale_overwrite", stale_overwrite),
        ("creates_at_the_same_time", creates_at_the_same_time),
        ("content_that_changes", content_that_changes),
        ("content_that_shrinks", content_that_shrinks),
        ("ranges", ranges),
        ("read_of_something_else", read_of_something_else),
        ("missing", missing),
        ("names", names),
        ("many_files", many_files),
        ("nested", nested),
        ("empty_folders", empty_folders),
        ("rename_file", rename_file),
        ("rename_refused", rename_refused),
        ("rename_tree", rename_tree),
        ("copy", copy),
        ("remove_files", remove_files),
        ("remove_folders", remove_folders),
    ];
    let mut broken = Vec::new();
    for (name, check) in checks {
        // Shown when a check fails, or hangs.
        eprintln!("{}: {name}", descriptor.name);
        let ground = Ground { remote, descriptor, server, base: name };
        let tried = catch_unwind(AssertUnwindSafe(|| {
            ground.folder("");
            check(&ground);
        }));
        if tried.is_err() {
            broken.push(*name);
        }
    }
    assert!(broken.is_empty(), "{} breaks the contract in: {broken:?}", descriptor.name);
}

/// Every byte arrives, and all calls tell the same of the file.
pub fn round_trip(on: &Ground<'_>) {
    for size in [0, 1, 100 << 10, on.server.large] {
        let name = format!("{size}");
        let bytes = pattern(size, 1);
        let entry = on.create(&name, &bytes);
        assert_eq!(entry.kind, ItemKind::File, "write told another kind");
        assert_eq!(entry.print.size, size as u64, "write told another size");
        assert!(!entry.print.version.is_empty(), "write told no version");
        on.holds(&name, &bytes);
        let seen = on.stat(&name).expect("stat doesn't find what was written");
        same("stat right after the write", &seen, &entry);
        same("list right after the write", &on.children("")[&name], &entry);
    }
}

/// The time of modification is the one given, or isn't told.
pub fn mtime(on: &Ground<'_>) {
    let written = on.create("old", b"old");
    let after = on.stat("old").expect("stat doesn't find what was written");
    let listed = on.children("")["old"].clone();
    for (what, entry) in [("write", &written), ("stat", &after), ("list", &listed)] {
        if let Some(time) = entry.print.mtime {
            let off = (time - SOME_TIME).abs();
            assert!(off < 1_000_000_000, "{what} tells an mtime that isn't the one given: {time}");
        }
    }
    if on.server.keeps_mtime {
        assert!(written.print.mtime.is_some(), "write tells no mtime");
        assert!(after.print.mtime.is_some(), "stat tells no mtime");
    }
}

/// A write that expects nothing leaves alone what is there.
pub fn create_spares_what_is_there(on: &Ground<'_>) {
    let first = on.create("file", b"the first");
    if on.descriptor.namesakes {
        on.create("file", b"the second, longer");
        on.unchanged("file", b"the first", &first);
        on.all_hold("file", &[b"the first", b"the second, longer"]);
        return;
    }
    for bytes in [&b"the second, longer"[..], b"", b"the first"] {
        let refused = on.write("file", bytes, Expect::Absent);
        fails("a create of a file that is there", refused, &[Kind::Exists]);
        on.unchanged("file", b"the first", &first);
    }
}

/// A write over the expected version replaces the content and has a new version.
pub fn overwrite(on: &Ground<'_>) {
    let mut entry = on.create("file", b"1");
    for size in [100_000, 0, 7, on.server.large, 12] {
        let bytes = pattern(size, 2);
        let new = on.write("file", &bytes, Expect::Version(&entry.print.version));
        let new = must("an overwrite of the expected version", new);
        assert_ne!(new.print.version, entry.print.version, "an overwrite kept the version");
        assert_eq!(new.print.size, size as u64, "an overwrite told another size");
        on.unchanged("file", &bytes, &new);
        entry = new;
    }
}

/// A write over a version that isn't there any more changes nothing.
pub fn stale_overwrite(on: &Ground<'_>) {
    let first = on.create("file", b"first");
    let second = on.write("file", b"the second", Expect::Version(&first.print.version));
    let second = must("an overwrite of the expected version", second);
    let stale = on.write("file", b"the third one", Expect::Version(&first.print.version));
    fails("an overwrite of a stale version", stale, &[Kind::Changed]);
    on.unchanged("file", b"the second", &second);

    let gone = on.write("missing", b"new", Expect::Version(&first.print.version));
    fails("an overwrite of a missing file", gone, &[Kind::Changed, Kind::NotFound]);
    assert_eq!(on.stat("missing"), None, "a failed overwrite of a missing file made one");
}

/// Of writes at the same time that all expect nothing, one wins and the others know it; where names
/// may repeat, each makes a file of its own.
pub fn creates_at_the_same_time(on: &Ground<'_>) {
    // The adapter has learnt what the server can before the race begins.
    on.create("before", b"before");
    for round in 0..5 {
        let name = format!("contested {round}");
        let all: Vec<Vec<u8>> = (0..4).map(|n| pattern(50_000 + n, n as u8)).collect();
        let results: Vec<Result<Entry>> = std::thread::scope(|scope| {
            let writes: Vec<_> = all
                .iter()
                .map(|bytes| scope.spawn(|| on.write(&name, bytes, Expect::Absent)))
                .collect();
            writes.into_iter().map(|write| write.join().expect("a write panicked")).collect()
        });
        if on.descriptor.namesakes {
            results.into_iter().for_each(|result| drop(must("a create", result)));
            on.all_hold(&name, &all.iter().map(Vec::as_slice).collect::<Vec<_>>());
            continue;
        }
        let won: Vec<usize> = (0..4).filter(|&n| results[n].is_ok()).collect();
        assert!(!won.is_empty(), "no create won: {results:?}");
        for result in results.iter().filter(|result| result.is_err()) {
            let kind = result.as_ref().map_err(Error::kind).expect_err("filtered");
            let known = [Kind::Exists, Kind::Changed, Kind::Integrity, Kind::Busy];
            // rclone serve s3 tells no ETag of a file that another request is writing.
            let midway = kind == Kind::Protocol && !on.server.creates_once;
            assert!(midway || known.contains(&kind), "a create that lost: {result:?}");
        }
        if on.server.creates_once {
            assert_eq!(won.len(), 1, "several creates of one file succeeded");
            on.holds(&name, &all[won[0]]);
        }
    }
}

/// A file that changed while it was sent leaves no trace.
pub fn content_that_changes(on: &Ground<'_>) {
    for size in [0, 10, 300_000, on.server.large] {
        let bytes = pattern(size, 3);
        let changed = || Bytes::with(&bytes, Flaw::Changes);
        let old = on.create(&format!("old {size}"), b"as it was");

        let new = on.send(&format!("new {size}"), &changed(), Expect::Absent);
        fails("a create from a file that changed", new, &[Kind::Changed]);
        let expected = Expect::Version(&old.print.version);
        let over = on.send(&format!("old {size}"), &changed(), expected);
        fails("an overwrite from a file that changed", over, &[Kind::Changed]);

        // Without a byte there is nothing to cut: it holds on every server.
        if on.server.drops_cut_writes || size == 0 {
            let made = on.stat(&format!("new {size}"));
            assert_eq!(made, None, "a create from a file that changed left something");
            on.unchanged(&format!("old {size}"), b"as it was", &old);
        }
    }
}

/// A file that became shorter while it was sent leaves no trace.
pub fn content_that_shrinks(on: &Ground<'_>) {
    let bytes = pattern(300_000, 4);
    let short = Bytes::with(&bytes, Flaw::Shrinks);
    let old = on.create("old", b"as it was");
    fails(
        "a create from a file that shrinks",
        on.send("new", &short, Expect::Absent),
        &[Kind::Changed],
    );
    let over = on.send("old", &short, Expect::Version(&old.print.version));
    fails("an overwrite from a file that shrinks", over, &[Kind::Changed]);
    if on.server.drops_cut_writes {
        assert_eq!(on.stat("new"), None, "a create from a file that shrinks left something");
        on.unchanged("old", b"as it was", &old);
    }
    // Whatever it left, the next try gets through.
    let expected = on.stat("old").expect("the old file is gone").print.version;
    must("a write after a cut one", on.write("old", &bytes, Expect::Version(&expected)));
    on.holds("old", &bytes);
}

/// A read from the middle gets the rest, or the part that was asked for.
pub fn ranges(on: &Ground<'_>) {
    let bytes = pattern(300_001, 5);
    let entry = on.create("file", &bytes);
    for from in [0, 1, 65_536, 300_000] {
        let what = format!("a read from byte {from}");
        let download =
            must(&what, on.remote.read(&on.at("file"), &entry.print.version, from..u64::MAX));
        assert!(download.entry.print.same(&entry.print), "{what} tells another state");
        let mut got = Vec::new();
        let mut reader = download.reader;
        reader.read_to_end(&mut got).expect("the read broke off");
        assert!(got == bytes[from as usize..], "{what} got other bytes ({} of them)", got.len());
    }
    for part in [0..1, 65_536..131_072, 299_999..300_001, 1..300_000] {
        let what = format!("a read of the bytes {part:?}");
        let download =
            must(&what, on.remote.read(&on.at("file"), &entry.print.version, part.clone()));
        assert!([part.end, bytes.len() as u64].contains(&download.end), "{what} ends elsewhere");
        assert!(download.entry.print.same(&entry.print), "{what} tells another state");
        let mut got = Vec::new();
        let mut reader = download.reader;
        reader.read_to_end(&mut got).expect("the read broke off");
        let wanted = &bytes[part.start as usize..download.end as usize];
        assert!(got == wanted, "{what} got other bytes ({} of them)", got.len());
    }
}

/// A read gets the version asked for, or nothing.
pub fn read_of_something_else(on: &Ground<'_>) {
    let first = on.create("file", b"first");
    let second = on.write("file", b"the second", Expect::Version(&first.print.version));
    must("an overwrite", second);
    for from in [0, 3] {
        let stale =
            on.remote.read(&on.at("file"), &first.print.version, from..u64::MAX).map(|_| ());
        fails("a read of a version that is gone", stale, &[Kind::Changed]);
    }
    let never = on.remote.read(&on.at("missing"), &first.print.version, 0..u64::MAX).map(|_| ());
    fails("a read of a missing file", never, &[Kind::NotFound]);
}

/// What isn't there is told as such.
pub fn missing(on: &Ground<'_>) {
    assert_eq!(on.stat("missing"), None, "stat finds a file that was never there");
    let folder = must("stat", on.remote.stat(&on.at("missing"), ItemKind::Folder));
    assert_eq!(folder, None, "stat finds a folder that was never there");
    let deep = must("stat", on.remote.stat(&on.at("missing/deeper"), ItemKind::File));
    assert_eq!(deep, None, "stat finds a file in a folder that was never there");
    if !on.descriptor.folders_implied {
        let list = on.remote.list(&on.at("missing"), &mut |_, _| Ok(()));
        fails("a list of a missing folder", list, &[Kind::NotFound]);
        let write = on.write("missing/file", b"bytes", Expect::Absent);
        fails("a write into a missing folder", write, &[Kind::NotFound]);
        assert_eq!(on.stat("missing/file"), None, "a failed write left a file");
    }
}

/// Every name that the service takes comes back as it was given, of a file and of a folder.
pub fn names(on: &Ground<'_>) {
    const NAMES: &[&str] = &[
        "plain",
        "with space",
        "a+b&c;d'e%f#g?h",
        "%41",
        "100%",
        "%2F",
        "a=b,c@d$e!f",
        "(x) [y] {z}",
        "~tilde^`x",
        "back\\slash",
        "quote\"d",
        "<b>bold|",
        "co:lon",
        "star*",
        ".hidden",
        "..two dots",
        "a&amp;b",
        "caf\u{e9}",
        "\u{65e5}\u{672c}\u{8a9e}",
        "\u{1f600} emoji.txt",
        "UPPER",
    ];
    let allowed = |name: &str| {
        let rule = &on.descriptor.names;
        !name.contains(|c| rule.characters.contains(c))
            && !rule.names.contains(&name)
            && !on.server.refuses.contains(&name)
    };
    let mut wanted = BTreeMap::new();
    for name in NAMES.iter().filter(|name| allowed(name)) {
        on.folder(&format!("f {name}"));
        for path in [name.to_string(), format!("f {name}/{name}")] {
            let entry = on.create(&path, path.as_bytes());
            let seen = on.stat(&path).unwrap_or_else(|| panic!("stat doesn't find '{path}'"));
            same(&format!("stat of '{path}'"), &seen, &entry);
            on.holds(&path, path.as_bytes());
            wanted.insert(path, entry);
        }
    }
    on.tree_is("", &wanted);
    for (path, entry) in &wanted {
        let (mut at, mut version) = (on.at(path), entry.print.version.clone());
        if !path.contains(|c| on.server.misplaces.contains(c)) {
            let moved = format!("{at} moved");
            let told = on.remote.rename(&at, &moved, ItemKind::File, &version);
            version = must(&format!("a rename of '{path}'"), told).print.version;
            at = moved;
        }
        let removal = Removal { place: Place::at(&at), kind: ItemKind::File, version: &version };
        must(&format!("the removal of '{at}'"), on.remove(&[removal]).remove(0));
    }
    on.tree_is("", &BTreeMap::new());
}

/// A listing of more than one page tells everything once, and a list that is stopped stops.
pub fn many_files(on: &Ground<'_>) {
    let names: Vec<String> = (0..on.server.many).map(|n| format!("file {n:05}")).collect();
    let wanted: BTreeMap<String, Entry> = std::thread::scope(|scope| {
        let quarters = names.chunks(on.server.many.div_ceil(4));
        let writers: Vec<_> = quarters
            .map(|names| {
                scope.spawn(|| {
                    let one = |name: &String| (name.clone(), on.create(name, name.as_bytes()));
                    names.iter().map(one).collect::<Vec<_>>()
                })
            })
            .collect();
        writers.into_iter().flat_map(|writer| writer.join().expect("a writer failed")).collect()
    });
    on.tree_is("", &wanted);

    let mut told = 0;
    let stopped = on.remote.list(&on.at(""), &mut |_, _| {
        told += 1;
        Err(Error::cancelled())
    });
    fails("a list whose receiver failed", stopped, &[Kind::Cancelled]);
    assert_eq!(told, 1, "a list went on after its receiver failed");
}

/// Files at several depths are all told, in the order promised.
pub fn nested(on: &Ground<'_>) {
    // Sorted by bytes with folders ending in '/', "a b" and "a-" come before what is in "a".
    let mut wanted = BTreeMap::new();
    for folder in ["a", "a b", "a/deep", "a/deep/deeper", "z"] {
        on.folder(folder);
        for name in ["one", "two"] {
            let path = format!("{folder}/{name}");
            wanted.insert(path.clone(), on.create(&path, path.as_bytes()));
        }
    }
    for path in ["a-", "a.txt", "b", "a0"] {
        wanted.insert(path.into(), on.create(path, path.as_bytes()));
    }
    on.tree_is("", &wanted);
    let below: BTreeMap<String, Entry> = wanted
        .into_iter()
        .filter_map(|(path, entry)| Some((path.strip_prefix("a/")?.to_string(), entry)))
        .collect();
    on.tree_is("a", &below);
}

/// Folders without anything in them are there, and making one twice does no harm.
pub fn empty_folders(on: &Ground<'_>) {
    on.folder("empty");
    on.folder("empty");
    on.folder("full");
    on.create("full/file", b"bytes");
    on.folder("full");
    on.holds("full/file", b"bytes");
    assert!(on.children("empty").is_empty(), "an empty folder isn't empty");
    if on.descriptor.folders_implied {
        return;
    }
    let entry = must("stat", on.remote.stat(&on.at("empty"), ItemKind::Folder));
    let entry = entry.expect("stat doesn't find an empty folder");
    assert_eq!(entry.kind, ItemKind::Folder, "stat tells a folder is a file");
    assert_eq!(entry.print.size, 0, "a folder has a size");
    let listed = on.children("");
    let kind = listed.get("empty").map(|entry| entry.kind);
    assert_eq!(kind, Some(ItemKind::Folder), "list doesn't tell an empty folder");
}

/// A file moves with its content.
pub fn rename_file(on: &Ground<'_>) {
    on.folder("elsewhere");
    let bytes = pattern(100_000, 6);
    let mut entry = on.create("one", &bytes);
    for (from, to) in [("one", "two"), ("two", "elsewhere/three"), ("elsewhere/three", "one")] {
        let new = on.remote.rename(&on.at(from), &on.at(to), ItemKind::File, &entry.print.version);
        entry = must(&format!("a rename of {from} to {to}"), new);
        assert_eq!(entry.kind, ItemKind::File, "rename told another kind");
        assert_eq!(on.stat(from), None, "a rename left the old file");
        on.unchanged(to, &bytes, &entry);
    }
}

/// A rename that can't be done leaves both alone.
pub fn rename_refused(on: &Ground<'_>) {
    let stale = on.create("from", b"from at first").print.version;
    let from = must("an overwrite", on.write("from", b"from", Expect::Version(&stale)));
    let to = on.create("to", b"to, longer");
    let rename = |from: &str, to: &str, version: &Version| {
        on.remote.rename(&on.at(from), &on.at(to), ItemKind::File, version)
    };
    fails("a rename to a taken name", rename("from", "to", &from.print.version), &[Kind::Exists]);
    fails(
        "a rename of a stale version",
        rename("from", "free", &stale),
        &[Kind::Changed, Kind::NotFound],
    );
    fails(
        "a rename of a missing file",
        rename("missing", "free", &stale),
        &[Kind::Changed, Kind::NotFound],
    );
    on.unchanged("from", b"from", &from);
    on.unchanged("to", b"to, longer", &to);
    assert_eq!(on.stat("free"), None, "a failed rename made something");
    on.folder("folder");
    on.create("folder/inside", b"inside");
    if !on.descriptor.folders_implied {
        let over = rename("from", "folder", &from.print.version);
        fails("a rename of a file to a folder's name", over, &[Kind::Exists]);
    }
    on.unchanged("from", b"from", &from);
    on.holds("folder/inside", b"inside");
}

/// A folder moves with everything in it, where the service can.
pub fn rename_tree(on: &Ground<'_>) {
    if on.descriptor.moves != Moves::Trees {
        return;
    }
    for folder in ["tree", "tree/deep", "tree/empty", "taken", "new parent"] {
        on.folder(folder);
    }
    on.create("tree/one", b"one");
    on.create("tree/deep/two", b"two");
    on.create("taken/three", b"three");
    let rename = |from: &str, to: &str| {
        on.remote.rename(&on.at(from), &on.at(to), ItemKind::Folder, &Version::default())
    };
    fails("a rename of a folder to a taken name", rename("tree", "taken"), &[Kind::Exists]);
    fails(
        "a rename of a missing folder",
        rename("missing", "free"),
        &[Kind::NotFound, Kind::Changed],
    );
    on.holds("tree/one", b"one");
    on.holds("taken/three", b"three");
    for (from, to) in [("tree", "moved tree"), ("moved tree", "new parent/tree")] {
        let told = must(&format!("a rename of folder {from} to {to}"), rename(from, to));
        assert_eq!(told.kind, ItemKind::Folder, "rename told another kind");
        let old = must("stat", on.remote.stat(&on.at(from), ItemKind::Folder));
        assert_eq!(old, None, "a rename left the old folder");
        on.holds(&format!("{to}/one"), b"one");
        on.holds(&format!("{to}/deep/two"), b"two");
        let empty = must("stat", on.remote.stat(&on.at(&format!("{to}/empty")), ItemKind::Folder));
        assert!(empty.is_some(), "a rename lost an empty folder");
    }
}

/// A copy has the content, and the original stays.
pub fn copy(on: &Ground<'_>) {
    for size in [0, 100_000, on.server.large] {
        let bytes = pattern(size, 7);
        let (from, to) = (format!("from {size}"), format!("to {size}"));
        let original = on.create(&from, &bytes);
        let copied = on.remote.copy(&on.at(&from), &on.at(&to), &original.print.version);
        let copied = must("a copy", copied);
        assert_eq!(copied.print.size, size as u64, "a copy told another size");
        on.unchanged(&from, &bytes, &original);
        on.unchanged(&to, &bytes, &copied);
    }
    let stale = on.create("changing", b"first").print.version;
    must("an overwrite", on.write("changing", b"the second", Expect::Version(&stale)));
    let taken = on.create("taken", b"taken");
    let source = on.stat("from 100000").expect("the original is there").print.version;
    let copy =
        |from: &str, to: &str, version: &Version| on.remote.copy(&on.at(from), &on.at(to), version);
    fails("a copy to a taken name", copy("from 100000", "taken", &source), &[Kind::Exists]);
    on.unchanged("taken", b"taken", &taken);
    let gone = [Kind::Changed, Kind::NotFound];
    fails("a copy of a stale version", copy("changing", "free", &stale), &gone);
    fails("a copy of a missing file", copy("missing", "free", &stale), &gone);
    assert_eq!(on.stat("free"), None, "a failed copy made something");
}

/// Each file of a batch goes or stays by itself.
pub fn remove_files(on: &Ground<'_>) {
    let stale = on.create("changed", b"first").print.version;
    let changed = on.write("changed", b"the second", Expect::Version(&stale));
    let changed = must("an overwrite", changed);
    let one = on.create("one", b"one").print.version;
    let odd = on.create("odd & name's", b"odd").print.version;
    on.create("kept", b"kept");
    let removal = |path, version| Removal { place: Place::at(path), kind: ItemKind::File, version };
    let paths: Vec<String> =
        ["one", "changed", "missing", "odd & name's"].map(|name| on.at(name)).into();
    let results = on.remove(&[
        removal(&paths[0], &one),
        removal(&paths[1], &stale),
        removal(&paths[2], &stale),
        removal(&paths[3], &odd),
    ]);
    let mut results = results.into_iter();
    let mut next = || results.next().expect("a result for each item");
    must("the removal of a file", next());
    fails("the removal of a changed file", next(), &[Kind::Changed]);
    must("the removal of a missing file", next());
    must("the removal of a file with an odd name", next());
    on.unchanged("changed", b"the second", &changed);
    on.holds("kept", b"kept");
    assert_eq!(on.children("").len(), 2, "a batch of removals left or took too much");
    assert!(on.remove(&[]).is_empty(), "a batch of nothing told results");
}

/// An empty folder goes, any other stays.
pub fn remove_folders(on: &Ground<'_>) {
    for folder in ["empty", "full", "outer", "outer/inner"] {
        on.folder(folder);
    }
    on.create("full/file", b"bytes");
    let none = Version::default();
    let one = |path: &str| {
        let path = on.at(path);
        let removal = Removal { place: Place::at(&path), kind: ItemKind::Folder, version: &none };
        on.remove(&[removal]).remove(0)
    };
    if !on.server.removes_folders {
        return fails("the removal of an empty folder", one("empty"), &[Kind::Denied]);
    }
    must("the removal of an empty folder", one("empty"));
    must("the removal of a missing folder", one("empty"));
    let full = one("full");
    if !on.descriptor.folders_implied {
        fails("the removal of a folder with a file", full, &[Kind::Exists]);
        fails("the removal of a folder with a folder", one("outer"), &[Kind::Exists]);
        let inner = must("stat", on.remote.stat(&on.at("outer/inner"), ItemKind::Folder));
        assert!(inner.is_some(), "a folder that wasn't empty is gone");
    }
    on.holds("full/file", b"bytes");
    let gone = must("stat", on.remote.stat(&on.at("empty"), ItemKind::Folder));
    assert_eq!(gone, None, "a removed folder is there");
}

/// Where one check works: a folder of its own.
pub struct Ground<'a> {
    /// What is tried.
    pub remote: ByPath,
    /// What it says of itself.
    pub descriptor: &'a Descriptor,
    /// What it talks to.
    pub server: &'a Server,
    /// The folder.
    pub base: &'a str,
}

impl Ground<'_> {
    /// The path of `name` from the remote root.
    pub fn at(&self, name: &str) -> String {
        if name.is_empty() { self.base.into() } else { format!("{}/{name}", self.base) }
    }

    #[track_caller]
    fn folder(&self, name: &str) {
        must(&format!("making folder '{name}'"), self.remote.make_folder(&self.at(name)));
    }

    fn send(&self, name: &str, content: &dyn Content, expect: Expect<'_>) -> Result<Entry> {
        self.remote.write(&self.at(name), content, SOME_TIME, expect, &Notes::default())
    }

    fn write(&self, name: &str, bytes: &[u8], expect: Expect<'_>) -> Result<Entry> {
        self.send(name, &Bytes::with(bytes, Flaw::None), expect)
    }

    #[track_caller]
    fn create(&self, name: &str, bytes: &[u8]) -> Entry {
        must(&format!("a create of '{name}'"), self.write(name, bytes, Expect::Absent))
    }

    #[track_caller]
    fn stat(&self, name: &str) -> Option<Entry> {
        must(&format!("stat of '{name}'"), self.remote.stat(&self.at(name), ItemKind::File))
    }

    /// A read of the file's present version gets `bytes`.
    #[track_caller]
    fn holds(&self, name: &str, bytes: &[u8]) {
        let entry = self.stat(name).unwrap_or_else(|| panic!("'{name}' is gone"));
        let read = self.remote.read(&self.at(name), &entry.print.version, 0..u64::MAX);
        let mut download = must(&format!("a read of '{name}'"), read);
        assert_eq!(download.entry.print.size, bytes.len() as u64, "'{name}' has another size");
        let mut got = Vec::new();
        download.reader.read_to_end(&mut got).expect("the read broke off");
        assert!(got == bytes, "'{name}' holds other bytes ({} of them)", got.len());
    }

    /// There are so many files of this name, with these contents in any order.
    #[track_caller]
    fn all_hold(&self, name: &str, contents: &[&[u8]]) {
        let mut found = Vec::new();
        let list = self.remote.list(&self.at(""), &mut |told, entry| {
            if told == name {
                found.push(entry);
            }
            Ok(())
        });
        must("a list", list);
        let path = self.at(name);
        let read = |entry: &Entry| {
            let place = Place { path: &path, id: &entry.print.id, folder: "" };
            let download = Remote::read(&*self.remote, place, &entry.print.version, 0..u64::MAX);
            let mut got = Vec::new();
            let mut reader = must("a read of a namesake", download).reader;
            reader.read_to_end(&mut got).expect("the read broke off");
            got
        };
        let mut got: Vec<Vec<u8>> = found.iter().map(read).collect();
        let mut wanted = contents.to_vec();
        got.sort();
        wanted.sort();
        assert!(got == wanted, "'{name}' is there {} times, or with other bytes", got.len());
    }

    /// The file has `bytes` and the state that was told of it.
    #[track_caller]
    fn unchanged(&self, name: &str, bytes: &[u8], entry: &Entry) {
        let seen = self.stat(name).unwrap_or_else(|| panic!("'{name}' is gone"));
        same(&format!("stat of '{name}'"), &seen, entry);
        self.holds(name, bytes);
    }

    /// What is directly in a folder, by name; everything below it with a flat listing.
    #[track_caller]
    fn children(&self, name: &str) -> BTreeMap<String, Entry> {
        let mut all = BTreeMap::new();
        let mut last = String::new();
        let list = self.remote.list(&self.at(name), &mut |path, entry| {
            if self.descriptor.listing == Listing::Flat {
                let mut key = path.to_string();
                if entry.kind == ItemKind::Folder {
                    key.push('/');
                }
                assert!(last < key, "list isn't in order: '{last}' before '{key}'");
                last = key;
            } else {
                assert!(!path.contains('/'), "list of a folder told a path: '{path}'");
            }
            assert!(!path.is_empty(), "list told the folder itself");
            let twice = all.insert(path.to_string(), entry);
            assert!(twice.is_none(), "list told '{path}' twice");
            Ok(())
        });
        must(&format!("a list of '{name}'"), list);
        all
    }

    /// All files below a folder are `wanted`, with the states told of them.
    #[track_caller]
    fn tree_is(&self, name: &str, wanted: &BTreeMap<String, Entry>) {
        let mut files = BTreeMap::new();
        let mut folders = vec![String::new()];
        while let Some(folder) = folders.pop() {
            let below = |part: &str, rest: &str| {
                if part.is_empty() { rest.to_string() } else { format!("{part}/{rest}") }
            };
            let whole = below(name, &folder);
            for (path, entry) in self.children(whole.trim_end_matches('/')) {
                match (entry.kind, self.descriptor.listing) {
                    (ItemKind::File, _) => drop(files.insert(below(&folder, &path), entry)),
                    (ItemKind::Folder, Listing::Folders) => folders.push(below(&folder, &path)),
                    (ItemKind::Folder, Listing::Flat) => {}
                }
            }
        }
        let told: Vec<_> = files.keys().collect();
        assert_eq!(told, wanted.keys().collect::<Vec<_>>(), "list tells other files");
        for (path, entry) in wanted {
            same(&format!("list of '{path}'"), &files[path], entry);
        }
    }

    /// The results of a batch, each told once.
    fn remove(&self, items: &[Removal<'_>]) -> Vec<Result<()>> {
        let mut results: Vec<Option<Result<()>>> = items.iter().map(|_| None).collect();
        self.remote.remove(items, &mut |index, result| {
            assert!(results[index].is_none(), "remove told item {index} twice");
            results[index] = Some(result);
        });
        results.into_iter().map(|result| result.expect("remove didn't tell an item")).collect()
    }
}

/// A content for [`Remote::write`].
pub struct Bytes<'a> {
    bytes: &'a [u8],
    flaw: Flaw,
    was_read: AtomicBool,
}

/// What is wrong with a content.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Flaw {
    /// Nothing.
    None,
    /// It changes as soon as it has been read from, and before that if it is empty.
    Changes,
    /// It ends half way.
    Shrinks,
}

impl<'a> Bytes<'a> {
    /// A content that holds `bytes`, but for the flaw.
    pub fn with(bytes: &'a [u8], flaw: Flaw) -> Self {
        Bytes { bytes, flaw, was_read: AtomicBool::new(bytes.is_empty()) }
    }
}

impl Content for Bytes<'_> {
    fn size(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize> {
        self.was_read.store(true, Relaxed);
        let end = match self.flaw {
            Flaw::Shrinks => self.bytes.len() / 2,
            _ => self.bytes.len(),
        };
        let rest = &self.bytes[(offset as usize).min(end)..end];
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }

    fn unchanged(&self) -> Result<()> {
        if self.flaw == Flaw::None || !self.was_read.load(Relaxed) {
            return Ok(());
        }
        Err(Error::new(Kind::Changed, "the file", "it changed while it was sent"))
    }
}

/// A content that can't be read from some byte on, while it is broken.
pub struct Breaks<'a> {
    bytes: Bytes<'a>,
    from: usize,
    /// Whether it is.
    pub broken: AtomicBool,
}

impl<'a> Breaks<'a> {
    /// One that is broken from byte `from` on.
    pub fn at(bytes: &'a [u8], from: usize) -> Self {
        Breaks { bytes: Bytes::with(bytes, Flaw::None), from, broken: AtomicBool::new(true) }
    }
}

impl Content for Breaks<'_> {
    fn size(&self) -> u64 {
        self.bytes.size()
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize> {
        if self.broken.load(SeqCst) && offset >= self.from as u64 {
            return Err(Error::cancelled());
        }
        self.bytes.read_at(buffer, offset)
    }

    fn unchanged(&self) -> Result<()> {
        Ok(())
    }
}

/// The notes of one upload, in memory.
#[derive(Default)]
pub struct Notes(Mutex<Option<Vec<u8>>>);

impl Resume for Notes {
    fn load(&self) -> Option<Vec<u8>> {
        self.0.lock().expect("no writer panicked").clone()
    }

    fn save(&self, note: &[u8]) -> Result<()> {
        *self.0.lock().expect("no writer panicked") = Some(note.to_vec());
        Ok(())
    }
}

/// Bytes that don't repeat and differ with `seed`.
pub fn pattern(size: usize, seed: u8) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(size);
    for number in (u64::from(seed) << 32).. {
        let left = size - bytes.len();
        if left == 0 {
            break;
        }
        let block = number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes();
        bytes.extend_from_slice(&block[..left.min(block.len())]);
    }
    bytes
}

#[track_caller]
fn must<T>(what: &str, result: Result<T>) -> T {
    result.unwrap_or_else(|error| panic!("{what} failed: {:?}: {error}", error.kind()))
}

#[track_caller]
fn fails<T>(what: &str, result: Result<T>, kinds: &[Kind]) {
    match result {
        Ok(_) => panic!("{what} succeeded; {kinds:?} was expected"),
        Err(error) if kinds.contains(&error.kind()) => {}
        Err(error) => panic!("{what}: {:?} where {kinds:?} was expected: {error}", error.kind()),
    }
}

#[track_caller]
fn same(what: &str, seen: &Entry, told: &Entry) {
    assert_eq!(seen.kind, told.kind, "{what} tells another kind");
    assert!(
        seen.print.same(&told.print),
        "{what} tells another state: {:?} instead of {:?}",
        seen.print,
        told.print
    );
}
