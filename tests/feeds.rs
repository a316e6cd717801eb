//! Tasks on services that tell what changed, by ids (as Google Drive does) or by paths (as Dropbox
//! does).

use crate::common::bench::{APPROVED, Bench, EVERYTHING};
use crate::common::memory::{DRIVE, Fault, How, IDS, PATHS};
use mooring::engine::{Engine, Intent, LocalLook, Look};
use mooring::error::Kind;
use mooring::model::{Direction, RemotePrint, Version};
use mooring::remote::{Change, Descriptor, Entry, Spot};
use std::fs;
use std::os::unix::fs::symlink;

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

#[test]
fn a_preview_of_a_new_task_leaves_the_root_to_be_linked() {
    each_kind(|bench| {
        bench.memory.put("theirs", b"theirs");
        let mut engine = bench.engine();
        intents(&mut engine);
        engine.cycle(&EVERYTHING).unwrap();
        bench.memory.put("theirs", b"edited there");
        bench.write("mine", b"mine");
        for _ in 0..3 {
            engine.cycle(&EVERYTHING).unwrap();
        }
        assert_eq!(names(&bench), ["mine", "theirs"]);
        assert_eq!(bench.read("theirs").unwrap(), b"edited there");
        assert_eq!(bench.tree(), bench.memory.tree());
    });
}

#[test]
fn another_root_is_not_an_empty_one_when_everything_is_looked_at_anew() {
    each_kind(|bench| {
        bench.memory.put("file", b"content");
        let mut engine = bench.engine();
        engine.cycle(&EVERYTHING).unwrap();
        bench.memory.replace_root();
        bench.memory.forget_cursors();
        let error = engine.cycle(&EVERYTHING).unwrap_err();
        assert_eq!(error.kind(), Kind::RootLost, "{error}");
        assert_eq!(names(&bench), ["file"]);
    });
}

#[test]
fn a_folder_may_go_into_one_that_was_in_it() {
    for apart in [false, true] {
        let bench = Bench::new(&IDS, Direction::Both);
        bench.memory.put("outer/file", b"outer");
        bench.memory.put("outer/inner/file", b"inner");
        let mut engine = bench.engine();
        engine.cycle(&EVERYTHING).unwrap();
        let mark = bench.memory.mark();
        bench.memory.relocate("outer/inner", "inner");
        bench.memory.relocate("outer", "inner/outer");
        // The one that is in the other now is told first, on the same page or on another.
        let between = ["inner/outer/file"; 2];
        let between = if apart { &between[..] } else { &[] };
        let told = [&["inner/outer"], between, &["inner"]].concat();
        bench.memory.tell_instead(mark, &told);
        for _ in 0..2 {
            engine.cycle(&APPROVED).unwrap();
        }
        assert_eq!(bench.tree(), bench.memory.tree());
    }
}

#[test]
fn items_that_change_names_there_change_names_here() {
    for scramble in [false, true] {
        each_kind(|bench| {
            for name in ["one", "two"] {
                bench.memory.put(name, name.as_bytes());
                bench.memory.put(&format!("d{name}/x"), name.as_bytes());
                bench.memory.put(&format!("d{name}/{name}"), name.as_bytes());
            }
            if scramble {
                bench.memory.scramble();
            }
            let mut engine = bench.engine();
            engine.cycle(&EVERYTHING).unwrap();
            for kind in ["", "d"] {
                bench.memory.relocate(&format!("{kind}one"), "aside");
                bench.memory.relocate(&format!("{kind}two"), &format!("{kind}one"));
                bench.memory.relocate("aside", &format!("{kind}two"));
            }
            for _ in 0..2 {
                engine.cycle(&APPROVED).unwrap();
            }
            assert_eq!(bench.tree(), bench.memory.tree());
        });
    }
}

#[test]
fn a_folder_that_went_while_the_cursor_was_unknown_is_gone_though_no_file_is_known() {
    each_kind(|bench| {
        bench.memory.make("empty/inner");
        let mut engine = bench.engine();
        engine.cycle(&EVERYTHING).unwrap();
        assert_eq!(names(&bench), ["empty", "empty/inner"]);
        bench.memory.delete("empty");
        bench.memory.forget_cursors();
        for _ in 0..2 {
            engine.cycle(&EVERYTHING).unwrap();
        }
        assert_eq!(bench.tree(), bench.memory.tree());
    });
}

#[test]
fn hostile_names_stay_where_they_are() {
    let long = "n".repeat(300);
    let names_told =
        ["", ".", "..", ".mooring", "a/b", "../up", "nul\0", "line\n", "/", "~x", &long, "ok"];
    for kind in KINDS {
        for name in names_told {
            // On the way to an item, a path has folders that are as good as any.
            if kind.name == "paths" && ["", "a/b", "/"].contains(&name) {
                continue;
            }
            for below in [None, Some("x"), Some("..")] {
                let bench = Bench::new(kind, Direction::Both);
                bench.memory.put("mine", b"mine");
                let mut engine = bench.engine();
                engine.cycle(&EVERYTHING).unwrap();
                let mut print = RemotePrint::file(1, Version::new("v"), None);
                print.id = "hostile".into();
                let spot = |folder: &str, name: &str| match kind.name {
                    "ids" => Spot::Child { folder: folder.into(), name: name.into() },
                    _ if folder == "root" => Spot::Path(name.into()),
                    _ => Spot::Path(format!("{folder}/{name}")),
                };
                let folder = if kind.name == "ids" { "evil" } else { name };
                match below {
                    None => {
                        let entry = Entry::file(print, None);
                        bench.memory.tell(Change::There { spot: spot("root", name), entry });
                    }
                    Some(child) => {
                        let entry = Entry::file(print, None);
                        let inside = Change::There { spot: spot(folder, child), entry };
                        let entry = Entry::folder("evil");
                        let outside = Change::There { spot: spot("root", name), entry };
                        if child == "x" {
                            bench.memory.tell(inside);
                            bench.memory.tell(outside);
                        } else {
                            bench.memory.tell(outside);
                            bench.memory.tell(inside);
                        }
                    }
                }
                let what = format!("{} {name:?} {below:?}", kind.name);
                for _ in 0..3 {
                    if let Err(error) = engine.cycle(&EVERYTHING) {
                        panic!("{what}: {error}");
                    }
                }
                let here = names(&bench);
                let fine = here.iter().all(|at| ["mine", "ok", "~x", &long].contains(&&**at));
                assert!(fine, "{what}: {here:?}");
                let above = fs::read_dir(bench.local.join("..")).unwrap().count();
                assert_eq!(above, 2, "{what}");
                let tree = bench.memory.tree();
                assert!(tree.len() <= 2, "{what}: {tree:?}");
            }
        }
    }
}

#[test]
fn what_was_moved_there_and_back_is_known_by_its_id_still() {
    for keep_removed in [false, true] {
        each_kind(|mut bench| {
            bench.task.keep_removed = keep_removed;
            bench.memory.put("here/file", b"content");
            let mut engine = bench.engine();
            engine.cycle(&EVERYTHING).unwrap();
            bench.memory.relocate("here/file", "there");
            engine.cycle(&EVERYTHING).unwrap();
            bench.memory.relocate("there", "here/file");
            engine.cycle(&EVERYTHING).unwrap();
            bench.memory.relocate("here/file", "elsewhere");
            bench.memory.put("elsewhere", b"edited there");
            for _ in 0..2 {
                engine.cycle(&APPROVED).unwrap();
            }
            assert_eq!(bench.read("elsewhere").unwrap(), b"edited there");
            let stale = bench.read("here/file").is_some();
            assert_eq!(stale, keep_removed);
            bench.memory.delete("elsewhere");
            for _ in 0..2 {
                engine.cycle(&APPROVED).unwrap();
            }
            if !keep_removed {
                assert_eq!(bench.tree(), bench.memory.tree());
            }
        });
    }
}

#[test]
fn a_file_renamed_there_to_a_name_that_is_new_here_goes_by_one_row() {
    each_kind(|bench| {
        bench.memory.put("old", b"theirs");
        let mut engine = bench.engine();
        engine.cycle(&EVERYTHING).unwrap();
        bench.memory.relocate("old", "new");
        // Nobody has looked at this yet.
        bench.write("new", b"mine");
        engine.cycle(&Look { local: LocalLook::Nothing, ..APPROVED }).unwrap();
        for _ in 0..3 {
            engine.cycle(&APPROVED).unwrap();
        }
        assert!(bench.read("old").is_none(), "{:?}", names(&bench));
        assert_eq!(bench.tree(), bench.memory.tree());
        let contents: Vec<_> = bench.tree().into_values().flatten().collect();
        assert!(contents.contains(&b"mine".to_vec()) && contents.contains(&b"theirs".to_vec()));
    });
}

#[test]
fn an_edit_of_a_copy_that_was_kept_never_reaches_the_file_that_was_renamed() {
    for direction in [Direction::Both, Direction::Upload] {
        let mut bench = Bench::new(&IDS, direction);
        bench.task.keep_removed = true;
        bench.write("one", b"content");
        let mut engine = bench.engine();
        engine.cycle(&EVERYTHING).unwrap();
        for (from, to) in [("one", "two"), ("two", "one"), ("one", "three")] {
            bench.memory.relocate(from, to);
            engine.cycle(&EVERYTHING).unwrap();
        }
        bench.write("one", b"another content");
        for _ in 0..2 {
            engine.cycle(&EVERYTHING).unwrap();
        }
        let there = bench.memory.tree();
        assert_eq!(there["three"].as_deref(), Some(&b"content"[..]), "{there:?}");
        assert_eq!(there["one"].as_deref(), Some(&b"another content"[..]), "{there:?}");
    }
}

#[test]
fn a_folder_that_comes_back_while_it_is_removed_here_comes_back_whole() {
    let bench = Bench::new(&IDS, Direction::Both);
    bench.memory.put("folder/file", b"content");
    let mut engine = bench.engine();
    engine.cycle(&EVERYTHING).unwrap();
    bench.memory.tell(Change::GoneId(bench.memory.id_of("folder")));
    // Nobody has looked at this yet: the folder stays.
    bench.write("folder/mine", b"mine");
    engine.cycle(&Look { local: LocalLook::Nothing, ..APPROVED }).unwrap();
    let mark = bench.memory.mark();
    bench.memory.tell_instead(mark, &["folder"]);
    for _ in 0..2 {
        engine.cycle(&EVERYTHING).unwrap();
    }
    assert_eq!(bench.read("folder/file").as_deref(), Some(&b"content"[..]));
    assert_eq!(bench.tree(), bench.memory.tree());
}

#[test]
fn a_file_that_is_told_as_a_folder_by_the_same_id_is_no_file_any_more() {
    let bench = Bench::new(&IDS, Direction::Both);
    bench.memory.put("file", b"content");
    let mut engine = bench.engine();
    engine.cycle(&EVERYTHING).unwrap();
    let id = bench.memory.id_of("file");
    let spot = Spot::Child { folder: "root".into(), name: "other".into() };
    bench.memory.tell(Change::There { spot, entry: Entry::folder(id) });
    engine.cycle(&EVERYTHING).unwrap();
    assert_eq!(names(&bench), ["other"]);
}

#[test]
fn what_is_told_of_an_item_last_counts() {
    let bench = Bench::new(&IDS, Direction::Both);
    bench.memory.put("taken", b"taken");
    bench.memory.put("file", b"content");
    let mut engine = bench.engine();
    engine.cycle(&EVERYTHING).unwrap();
    let id = bench.memory.id_of("file");
    let mut print = RemotePrint::file(7, Version::new("0002"), None);
    print.id = id.clone();
    let spot = Spot::Child { folder: "root".into(), name: "taken".into() };
    bench.memory.tell(Change::There { spot, entry: Entry::file(print, None) });
    bench.memory.delete("file");
    bench.memory.tell(Change::GoneId(id));
    let mark = bench.memory.mark();
    bench.memory.tell_instead(mark - 1, &[]);
    engine.cycle(&EVERYTHING).unwrap();
    assert_eq!(names(&bench), ["taken"]);
    let told: Vec<_> = engine.trees().snapshot().unwrap().dirty(None).unwrap().collect();
    assert!(told.is_empty(), "{told:?}");
}

#[test]
fn a_folder_whose_listing_is_cut_short_is_listed_again() {
    for broken in ["list moved", "list moved/in"] {
        let bench = Bench::new(&IDS, Direction::Both);
        bench.memory.put("file", b"content");
        let mut engine = bench.engine();
        engine.cycle(&EVERYTHING).unwrap();
        // It came from elsewhere, with everything in it: only of the folder itself is told.
        let mark = bench.memory.mark();
        bench.memory.put("moved/in/file", b"theirs");
        bench.memory.put("moved/file", b"theirs, too");
        bench.memory.tell_instead(mark, &["moved"]);
        *bench.memory.broken.lock().unwrap() = Some((broken.into(), Kind::Offline));
        for _ in 0..2 {
            assert_eq!(engine.cycle(&EVERYTHING).unwrap_err().kind(), Kind::Offline);
        }
        *bench.memory.broken.lock().unwrap() = None;
        engine.cycle(&EVERYTHING).unwrap();
        assert_eq!(bench.tree(), bench.memory.tree());
    }
}

#[test]
fn a_folder_that_is_synced_again_is_looked_into_on_the_service() {
    each_kind(|bench| {
        let top = "t".repeat(250);
        let deep = format!("{}/{}", [&*top; 8].join("/"), "d".repeat(60));
        bench.write(&format!("{deep}/mine"), b"mine");
        bench.memory.put(&format!("{deep}/theirs"), b"theirs");
        let mut engine = bench.engine();
        // Its path is too long.
        engine.cycle(&EVERYTHING).unwrap();
        assert!(engine.cycle(&EVERYTHING).unwrap().skipped > 0);
        bench.memory.put(&format!("{deep}/later"), b"later");
        engine.cycle(&EVERYTHING).unwrap();
        fs::rename(bench.local.join(&top), bench.local.join("t")).unwrap();
        for _ in 0..3 {
            engine.cycle(&EVERYTHING).unwrap();
        }
        assert_eq!(bench.tree(), bench.memory.tree());
    });
}

#[test]
fn what_a_link_hid_is_fetched_when_the_link_is_gone() {
    for descriptor in [&DRIVE, &IDS, &PATHS] {
        let bench = Bench::new(descriptor, Direction::Both);
        symlink("/etc/hostname", bench.local.join("link")).unwrap();
        bench.memory.put("link", b"theirs");
        let mut engine = bench.engine();
        engine.cycle(&EVERYTHING).unwrap();
        engine.cycle(&EVERYTHING).unwrap();
        fs::remove_file(bench.local.join("link")).unwrap();
        for _ in 0..2 {
            engine.cycle(&EVERYTHING).unwrap();
        }
        assert_eq!(bench.tree(), bench.memory.tree(), "{}", descriptor.name);
    }
}

#[test]
fn a_folder_whose_old_name_another_one_has_by_now_leaves_it_alone() {
    for (old, new) in [("m", "n"), ("m", "l")] {
        each_kind(|bench| {
            bench.memory.put(&format!("{old}/file"), b"content");
            let mut engine = bench.engine();
            engine.cycle(&EVERYTHING).unwrap();
            bench.memory.relocate(old, new);
            bench.memory.put(&format!("{old}/another"), b"another");
            bench.memory.forget_cursors();
            for _ in 0..2 {
                engine.cycle(&EVERYTHING).unwrap();
            }
            assert_eq!(bench.tree(), bench.memory.tree());
        });
    }
}

#[test]
fn a_file_that_left_the_task_with_its_folder_is_not_taken_for_one_that_stayed() {
    let bench = Bench::new(&IDS, Direction::Both);
    bench.memory.put("folder/file", b"content");
    let mut engine = bench.engine();
    engine.cycle(&EVERYTHING).unwrap();
    let away = bench.memory.take_out("folder");
    // Nobody has looked at this yet: the removal finds another time of change than it expects.
    fs::hard_link(bench.local.join("folder/file"), bench.local.join("link")).unwrap();
    engine.cycle(&Look { local: LocalLook::Nothing, ..EVERYTHING }).unwrap();
    engine.cycle(&EVERYTHING).unwrap();
    assert_eq!(names(&bench), ["link"]);
    assert_eq!(bench.tree(), bench.memory.tree());
    bench.memory.relocate(&away, "back");
    engine.cycle(&EVERYTHING).unwrap();
    assert_eq!(bench.read("back/file").as_deref(), Some(&b"content"[..]));
}

#[test]
fn a_folder_that_could_not_be_listed_is_not_forgotten_when_a_later_page_fails() {
    let bench = Bench::new(&IDS, Direction::Both);
    bench.memory.put("file", b"content");
    let mut engine = bench.engine();
    engine.cycle(&EVERYTHING).unwrap();
    let mark = bench.memory.mark();
    bench.memory.put("moved/file", b"theirs");
    bench.memory.tell_instead(mark, &["moved", "file", "file", "file"]);
    *bench.memory.broken.lock().unwrap() = Some(("list moved".into(), Kind::Denied));
    bench.memory.set_fault(Some(Fault { after: 1, how: How::Refuse(Kind::Offline) }));
    assert_eq!(engine.cycle(&EVERYTHING).unwrap_err().kind(), Kind::Offline);
    *bench.memory.broken.lock().unwrap() = None;
    engine.cycle(&EVERYTHING).unwrap();
    assert_eq!(bench.tree(), bench.memory.tree());
}
