//! Tasks on services that tell what changed, by ids (as Google Drive does) or by paths (as Dropbox
//! does).

use crate::common::bench::{APPROVED, Bench, EVERYTHING};
use crate::common::memory::{DRIVE, IDS, PATHS};
use mooring::engine::{Engine, Intent};
use mooring::error::Kind;
use mooring::model::Direction;
use mooring::remote::Descriptor;
use std::fs;

const KINDS: [&Descriptor; 2] = [&IDS, &PATHS];

/// A two-way task for each kind of feed.
fn each_kind(test: impl Fn(Bench)) {
    for descriptor in KINDS {
        test(Bench::new(descriptor, Direction::Both));
    }
}

fn names(bench: &Bench) -> Vec<String> {
    bench.tree().into_keys().collect()
}

fn intents(engine: &mut Engine) -> Vec<Intent> {
    let mut intents = Vec::new();
    engine
        .preview(&mut |intent| {
            intents.push(intent);
            Ok(())
        })
        .unwrap();
    intents
}

#[test]
fn nothing_changed_costs_one_request_and_writes_nothing() {
    each_kind(|bench| {
        bench.write("a/b.txt", b"b");
        bench.memory.put("c/d.txt", b"d");
        let mut engine = bench.engine();
        engine.cycle(&EVERYTHING).unwrap();
        engine.cycle(&EVERYTHING).unwrap();
        let state = bench.task.local.join("../state/tasks/1.redb");
        let before = fs::read(&state).unwrap();
        bench.memory.take_calls();
        assert!(!engine.cycle(&EVERYTHING).unwrap().did_something());
        assert_eq!(bench.memory.take_calls(), ["changes "]);
        assert!(fs::read(&state).unwrap() == before, "the state was written");
    });
}

#[test]
fn a_folder_renamed_there_is_one_move_here_and_no_transfer() {
    each_kind(|bench| {
        for number in 0..30 {
            bench.memory.put(&format!("old/in/{number}"), b"content");
        }
        let mut engine = bench.engine();
        engine.cycle(&EVERYTHING).unwrap();
        engine.cycle(&EVERYTHING).unwrap();
        let inode = |path: &str| fs::metadata(bench.local.join(path)).map(|it| inode_of(&it));
        let before = inode("old/in/7").unwrap();
        bench.memory.relocate("old", "elsewhere/new");
        bench.memory.take_calls();
        let report = engine.cycle(&EVERYTHING).unwrap();
        assert_eq!((report.moved, report.downloaded, report.deleted_local), (1, 0, 0));
        assert_eq!(inode("elsewhere/new/in/7").unwrap(), before, "it is another file");
        assert_eq!(bench.tree(), bench.memory.tree());
        assert!(!bench.memory.take_calls().iter().any(|call| call.starts_with("read")));
        assert!(!engine.cycle(&EVERYTHING).unwrap().did_something());
    });
}

fn inode_of(metadata: &fs::Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::ino(metadata)
}

#[test]
fn a_file_moved_there_is_moved_here_and_what_changed_besides_is_fetched() {
    each_kind(|bench| {
        for name in ["kept", "edited", "plain"] {
            bench.memory.put(&format!("from/{name}"), name.as_bytes());
        }
        let mut engine = bench.engine();
        engine.cycle(&EVERYTHING).unwrap();
        bench.memory.relocate("from/kept", "to/kept");
        bench.memory.relocate("from/edited", "to/edited");
        bench.memory.put("to/edited", b"edited there");
        let report = engine.cycle(&EVERYTHING).unwrap();
        assert_eq!((report.moved, report.downloaded, report.deleted_local), (2, 1, 0));
        assert_eq!(bench.read("to/edited").unwrap(), b"edited there");
        assert_eq!(bench.tree(), bench.memory.tree());
    });
}

#[test]
fn a_crash_between_a_rename_here_and_its_note_costs_nothing() {
    each_kind(|bench| {
        bench.memory.put("old/file", b"content");
        bench.sync(&EVERYTHING).unwrap();
        bench.memory.relocate("old", "new");
        // What the cycle does first, and then nothing more.
        fs::rename(bench.local.join("old"), bench.local.join("new")).unwrap();
        bench.memory.take_calls();
        let report = bench.sync(&EVERYTHING).unwrap();
        assert_eq!((report.uploaded, report.downloaded, report.conflicts), (0, 0, 0));
        assert_eq!(bench.tree(), bench.memory.tree());
        assert_eq!(names(&bench), ["new", "new/file"]);
    });
}

#[test]
fn both_sides_may_rename_the_same_folder() {
    each_kind(|bench| {
        bench.memory.put("old/file", b"content");
        let mut engine = bench.engine();
        engine.cycle(&EVERYTHING).unwrap();
        bench.memory.relocate("old", "there");
        fs::rename(bench.local.join("old"), bench.local.join("here")).unwrap();
        for _ in 0..3 {
            engine.cycle(&APPROVED).unwrap();
        }
        assert_eq!(bench.tree(), bench.memory.tree());
        assert!(bench.tree().values().flatten().any(|content| content == b"content"));
    });
}

#[test]
fn an_unknown_cursor_costs_a_listing_and_nothing_else() {
    each_kind(|bench| {
        bench.write("mine", b"mine");
        bench.memory.put("theirs", b"theirs");
        let mut engine = bench.engine();
        engine.cycle(&EVERYTHING).unwrap();
        bench.memory.forget_cursors();
        bench.memory.delete("theirs");
        bench.memory.put("new", b"new");
        let report = engine.cycle(&EVERYTHING).unwrap();
        assert_eq!((report.uploaded, report.downloaded, report.deleted_local), (0, 1, 1));
        assert_eq!(bench.tree(), bench.memory.tree());
        bench.memory.take_calls();
        engine.cycle(&EVERYTHING).unwrap();
        engine.cycle(&EVERYTHING).unwrap();
        let calls = bench.memory.take_calls();
        assert!(calls.iter().all(|call| call == "changes "), "{calls:?}");
    });
}

#[test]
fn a_preview_of_a_rename_there_leaves_the_state_and_the_disk_as_they_are() {
    each_kind(|bench| {
        bench.memory.put("old/file", b"content");
        let mut engine = bench.engine();
        engine.cycle(&EVERYTHING).unwrap();
        bench.memory.relocate("old", "new");
        for _ in 0..2 {
            let told = intents(&mut engine);
            assert!(
                told.iter().any(|it| it.action == "move" && it.path == "old -> new"),
                "{told:?}"
            );
            assert!(told.iter().all(|it| it.action == "move"), "{told:?}");
        }
        assert_eq!(names(&bench), ["old", "old/file"]);
        let report = engine.cycle(&EVERYTHING).unwrap();
        assert_eq!((report.moved, report.downloaded), (1, 0));
        assert_eq!(bench.tree(), bench.memory.tree());
    });
}

#[test]
fn a_task_that_only_uploads_follows_nothing() {
    for descriptor in KINDS {
        let bench = Bench::new(descriptor, Direction::Upload);
        bench.write("old/file", b"content");
        let mut engine = bench.engine();
        engine.cycle(&EVERYTHING).unwrap();
        bench.memory.relocate("old", "new");
        bench.memory.put("theirs", b"theirs");
        engine.cycle(&EVERYTHING).unwrap();
        assert_eq!(names(&bench), ["old", "old/file"]);
    }
}

#[test]
fn items_of_one_name_go_by_names_of_their_own_and_keep_them() {
    let bench = Bench::new(&IDS, Direction::Both);
    bench.memory.put("docs/note.txt", b"first");
    bench.memory.put_namesake("docs/note.txt", b"second");
    let mut engine = bench.engine();
    engine.cycle(&EVERYTHING).unwrap();
    let before = bench.tree();
    let contents: Vec<_> = before.values().flatten().collect();
    assert_eq!(contents.len(), 2, "{:?}", names(&bench));
    assert_eq!(bench.read("docs/note.txt").unwrap(), b"first");
    let other = names(&bench).into_iter().find(|name| name.starts_with("docs/note (")).unwrap();
    assert_eq!(bench.read(&other).unwrap(), b"second");
    for _ in 0..3 {
        assert!(!engine.cycle(&EVERYTHING).unwrap().did_something());
    }
    // A look at everything, and one from nothing, agree.
    bench.memory.forget_cursors();
    assert!(!engine.cycle(&EVERYTHING).unwrap().did_something());
    drop(engine);
    bench.forget();
    let report = bench.sync(&EVERYTHING).unwrap();
    assert_eq!((report.uploaded, report.downloaded, report.conflicts), (0, 0, 0));
    assert_eq!(bench.tree(), before);
    // Each edit reaches the one that it is of.
    bench.write(&other, b"second, edited");
    bench.sync(&EVERYTHING).unwrap();
    let there: Vec<_> = bench.memory.tree().into_values().flatten().collect();
    assert!(there.contains(&b"first".to_vec()) && there.contains(&b"second, edited".to_vec()));
}

#[test]
fn a_file_replaced_there_by_another_of_its_name_keeps_its_name() {
    let bench = Bench::new(&IDS, Direction::Both);
    bench.memory.put("note.txt", b"first");
    let mut engine = bench.engine();
    engine.cycle(&EVERYTHING).unwrap();
    // As many programs save: the new one is there before the old one goes.
    bench.memory.put_namesake("note.txt", b"second");
    bench.memory.delete("note.txt");
    engine.cycle(&EVERYTHING).unwrap();
    assert_eq!(names(&bench), ["note.txt"]);
    assert_eq!(bench.read("note.txt").unwrap(), b"second");
}

#[test]
fn another_root_is_not_an_empty_one() {
    each_kind(|bench| {
        bench.memory.put("file", b"content");
        bench.sync(&EVERYTHING).unwrap();
        bench.memory.replace_root();
        let error = bench.sync(&EVERYTHING).unwrap_err();
        assert_eq!(error.kind(), Kind::RootLost, "{error}");
        assert_eq!(names(&bench), ["file"]);
    });
}

#[test]
fn a_root_that_went_removes_nothing() {
    each_kind(|bench| {
        bench.memory.put("file", b"content");
        let mut engine = bench.engine();
        engine.cycle(&EVERYTHING).unwrap();
        bench.memory.lose_root();
        let error = engine.cycle(&EVERYTHING).unwrap_err();
        assert_eq!(error.kind(), Kind::RootLost, "{error}");
        assert_eq!(names(&bench), ["file"]);
    });
}

#[test]
fn what_is_told_of_elsewhere_is_nothing_to_us() {
    let bench = Bench::new(&IDS, Direction::Both);
    bench.memory.put("folder/file", b"content");
    let mut engine = bench.engine();
    engine.cycle(&EVERYTHING).unwrap();
    bench.memory.tell_of_elsewhere();
    let report = engine.cycle(&EVERYTHING).unwrap();
    assert!(!report.did_something() && report.errors == 0, "{report:?}");
    assert_eq!(bench.tree(), bench.memory.tree());
}

#[test]
fn a_folder_that_is_said_to_be_in_itself_stays_where_it_is() {
    let bench = Bench::new(&IDS, Direction::Both);
    bench.memory.put("outer/inner/file", b"content");
    let mut engine = bench.engine();
    engine.cycle(&EVERYTHING).unwrap();
    let before = bench.tree();
    bench.memory.tell_of_a_circle("outer", "outer/inner");
    engine.cycle(&EVERYTHING).unwrap();
    assert_eq!(bench.tree(), before);
}

#[test]
fn a_moved_folder_is_sent_anew_where_nothing_is_told_of_it() {
    let bench = Bench::new(&DRIVE, Direction::Both);
    bench.memory.put("old/file", b"content");
    bench.sync(&EVERYTHING).unwrap();
    bench.memory.relocate("old", "new");
    let report = bench.sync(&EVERYTHING).unwrap();
    assert_eq!((report.moved, report.downloaded, report.deleted_local), (0, 1, 2));
    assert_eq!(bench.tree(), bench.memory.tree());
}
