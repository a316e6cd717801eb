//! What isn't in sync is told with one reason, since when and what to do, for as long as it is so:
//! in the state, in the history, and to whoever asks. What would change too much at once waits.

use crate::common::bench::{APPROVED, Bench, EVERYTHING, POLL, TempFolder};
use crate::common::memory::{DRIVE, Fault, How, PATHS, STORE};
use crate::removed::World;
use mooring::admin::view::{ItemLine, ItemsPage, Overview};
use mooring::engine::{Look, Report};
use mooring::error::Kind;
use mooring::model::Direction;
use mooring::remote::Descriptor;
use mooring::store::Trees;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::process::{Command, Stdio};
use std::time::Duration;

fn each_kind(test: impl Fn(Bench)) {
    for descriptor in [&STORE, &DRIVE, &PATHS] {
        test(Bench::new(descriptor, Direction::Both));
    }
}

fn drive() -> Bench {
    Bench::new(&DRIVE, Direction::Both)
}

fn filled(descriptor: &'static Descriptor, files: u64) -> Bench {
    let bench = Bench::new(descriptor, Direction::Both);
    for number in 0..files {
        bench.write(&format!("photos/{number}"), b"as it was");
    }
    bench.sync(&EVERYTHING).unwrap();
    bench
}

fn sync(bench: &Bench) -> Report {
    bench.sync(&EVERYTHING).unwrap()
}

fn trees(bench: &Bench) -> Trees {
    Trees::open(&bench.local.join("../state/tasks/1.redb")).unwrap()
}

/// As after a restart, with nothing in memory.
fn overview(bench: &Bench) -> Overview {
    Overview::of(&trees(bench), bench.task.id).unwrap()
}

fn items(bench: &Bench) -> Vec<ItemLine> {
    ItemsPage::of(&trees(bench), None, 1000).unwrap().items
}

fn codes(bench: &Bench) -> Vec<(String, String, String)> {
    let items = items(bench).into_iter();
    items.map(|item| (item.path, item.state, item.code)).collect()
}

fn line(path: &str, state: &str, code: &str) -> (String, String, String) {
    (path.into(), state.into(), code.into())
}

fn holds(bench: &Bench) -> Vec<String> {
    overview(bench).holds.into_iter().map(|hold| hold.code).collect()
}

/// What the history says of troubles, oldest first.
fn told(bench: &Bench) -> Vec<String> {
    let trees = trees(bench);
    let snapshot = trees.snapshot().unwrap();
    let mut lines: Vec<_> = snapshot
        .history()
        .unwrap()
        .map(|event| event.unwrap())
        .filter(|event| ["skipped", "held", "failed", "solved"].contains(&event.action.as_str()))
        .map(|event| format!("{} {}: {}", event.action, event.path, event.detail))
        .collect();
    lines.reverse();
    lines
}

#[track_caller]
fn begins(lines: &[String], beginnings: &[&str]) {
    assert_eq!(lines.len(), beginnings.len(), "{lines:?}");
    for (line, beginning) in lines.iter().zip(beginnings) {
        assert!(line.starts_with(beginning), "{line:?} doesn't begin with {beginning:?}");
    }
}

fn break_calls(bench: &Bench, calls: &str, kind: Kind) {
    *bench.memory.broken.lock().unwrap() = Some((calls.into(), kind));
}

fn mend(bench: &Bench) {
    *bench.memory.broken.lock().unwrap() = None;
}

#[test]
fn a_skipped_item_tells_its_rule_since_when_and_what_to_do() {
    each_kind(|bench| {
        bench.write("co:lon", b"1");
        bench.write("fine", b"2");
        symlink("fine", bench.local.join("link")).unwrap();
        sync(&bench);
        let first = items(&bench);
        assert_eq!(
            codes(&bench),
            [line("co:lon", "skipped", "character"), line("link", "skipped", "symbolic-link")]
        );
        assert!(first.iter().all(|item| !item.reason.is_empty() && !item.remedy.is_empty()));
        assert!(first.iter().all(|item| item.since.starts_with("20")), "{first:?}");
        bench.write("another", b"3");
        sync(&bench);
        let since = |items: Vec<ItemLine>| items.into_iter().map(|item| item.since);
        assert!(since(items(&bench)).eq(since(first)));
        fs::rename(bench.local.join("co:lon"), bench.local.join("colon")).unwrap();
        fs::remove_file(bench.local.join("link")).unwrap();
        sync(&bench);
        assert!(codes(&bench).is_empty());
        assert!(overview(&bench).up_to_date);
        begins(
            &told(&bench),
            &["skipped co:lon: the char", "skipped link: it is", "solved co:lon", "solved link"],
        );
    });
}

#[test]
fn an_item_that_fails_is_told_once_until_it_is_solved() {
    each_kind(|bench| {
        bench.write("bad", b"bad");
        bench.write("good", b"good");
        for (kind, state) in [(Kind::Denied, "held"), (Kind::Protocol, "failed")] {
            break_calls(&bench, "write bad", kind);
            bench.sync(&Look { retry: true, ..EVERYTHING }).unwrap();
            let first = items(&bench);
            assert_eq!(codes(&bench), [line("bad", state, kind.word())]);
            // It changes, and fails for the same reason.
            bench.write("bad", format!("changed after {}", kind.word()).as_bytes());
            sync(&bench);
            sync(&bench);
            assert_eq!(items(&bench)[0].since, first[0].since);
            let overview = overview(&bench);
            assert!(!overview.up_to_date || overview.counts.problems == 1);
            assert_eq!(overview.counts.pending, 0);
        }
        mend(&bench);
        bench.sync(&Look { retry: true, ..EVERYTHING }).unwrap();
        assert!(items(&bench).is_empty() && overview(&bench).up_to_date);
        begins(&told(&bench), &["held bad: ", "failed bad: ", "solved bad: protocol"]);
    });
}

#[test]
fn what_fails_is_tried_ever_more_rarely() {
    let mut world = World::with(&STORE);
    let disk = world.disk.clone();
    *world.memory.broken.lock().unwrap() = Some(("write bad".into(), Kind::Integrity));
    let mut cycle = |look: &Look| {
        assert_eq!(world.engine().cycle(look).unwrap().errors, 1);
        world.time.rest(Duration::from_secs(60));
        world.memory.take_calls().iter().filter(|call| *call == "write bad").count()
    };
    assert!(disk.write("bad", &(*b"bad").into()));
    let mut tried = Vec::new();
    for minute in 0..190_u8 {
        // Each begins a cycle.
        assert!(disk.write("other", &[minute; 9].into()));
        match cycle(&EVERYTHING) {
            0 => {}
            1 => tried.push(minute),
            more => panic!("{more} tries in minute {minute}"),
        }
    }
    assert_eq!(tried, [0, 1, 2, 4, 8, 16, 32, 64, 124, 184]);
    assert_eq!(cycle(&Look { retry: true, ..POLL }), 1, "a person asks");
    assert_eq!(cycle(&EVERYTHING), 0);
    assert!(disk.write("bad", &(*b"changed").into()));
    assert_eq!(cycle(&EVERYTHING), 1, "it changed");
}

#[test]
fn what_cannot_be_removed_is_tried_once() {
    each_kind(|bench| {
        for number in 0..30 {
            bench.write(&format!("{number:02}"), b"x");
        }
        bench.write("folder/inside", b"x");
        sync(&bench);
        for number in 0..9 {
            fs::remove_file(bench.local.join(format!("{number:02}"))).unwrap();
        }
        fs::remove_dir_all(bench.local.join("folder")).unwrap();
        break_calls(&bench, "remove", Kind::Denied);
        let mut engine = bench.engine();
        let removals = |bench: &Bench| {
            let calls = bench.memory.take_calls();
            calls.iter().filter(|call| call.starts_with("remove")).count()
        };
        assert_eq!(engine.cycle(&EVERYTHING).unwrap().errors, 10);
        assert_eq!(removals(&bench), 10);
        let before = fs::read(bench.state_file()).unwrap();
        for _ in 0..2 {
            let report = engine.cycle(&POLL).unwrap();
            assert_eq!((report.errors, report.problems.len()), (10, 10), "{report:?}");
            assert_eq!(removals(&bench), 0);
            assert!(fs::read(bench.state_file()).unwrap() == before, "the state was written");
        }
        // Likewise the folder, once it is empty.
        break_calls(&bench, "remove folder", Kind::Denied);
        let asked = Look { retry: true, ..EVERYTHING };
        let report = engine.cycle(&asked).unwrap();
        assert_eq!((report.deleted_remote, report.errors), (10, 1), "{report:?}");
        assert_eq!(removals(&bench), 11);
        engine.cycle(&POLL).unwrap();
        assert_eq!(removals(&bench), 0);
        mend(&bench);
        engine.cycle(&asked).unwrap();
        assert_eq!(bench.tree(), bench.memory.tree());
    });
}

#[test]
fn what_waits_for_a_word_writes_nothing_in_polls() {
    for there in [false, true] {
        each_kind(|bench| {
            for number in 0..30 {
                bench.write(&format!("photos/{number}"), b"x");
            }
            sync(&bench);
            if there {
                bench.memory.delete("photos");
            } else {
                fs::remove_dir_all(bench.local.join("photos")).unwrap();
            }
            // Neither side may have what could be one of them under another name.
            bench.write("here", b"here");
            bench.memory.put("there", b"there");
            break_calls(&bench, if there { "read there" } else { "write here" }, Kind::Denied);
            let mut engine = bench.engine();
            engine.cycle(&EVERYTHING).unwrap();
            let before = fs::read(bench.state_file()).unwrap();
            for _ in 0..3 {
                let report = engine.cycle(&POLL).unwrap();
                assert_eq!((report.held, report.errors), (30, 1), "{report:?}");
                assert!(fs::read(bench.state_file()).unwrap() == before, "the state was written");
            }
        });
    }
}

#[test]
fn a_problem_goes_with_its_item() {
    each_kind(|bench| {
        bench.write("folder/bad", b"bad");
        break_calls(&bench, "write folder/bad", Kind::TooLarge);
        sync(&bench);
        assert_eq!(codes(&bench), [line("folder/bad", "held", "too-large")]);
        fs::rename(bench.local.join("folder/bad"), bench.local.join("folder/renamed")).unwrap();
        sync(&bench);
        assert!(items(&bench).is_empty());
        bench.write("folder/bad", b"bad");
        sync(&bench);
        fs::remove_dir_all(bench.local.join("folder")).unwrap();
        sync(&bench);
        assert!(items(&bench).is_empty());
        assert!(overview(&bench).up_to_date);
        let (held, solved) = ("held folder/bad: ", "solved folder/bad: too-large");
        begins(&told(&bench), &[held, solved, held, "solved "]);
    });
}

#[test]
fn a_clash_is_one_line_until_one_of_both_is_renamed() {
    for rename_file in [false, true] {
        each_kind(|bench| {
            bench.write("name/inside", b"local folder");
            bench.memory.put("name", b"remote file");
            sync(&bench);
            assert_eq!(codes(&bench), [line("name", "held", "name-clash")]);
            let since = items(&bench)[0].since.clone();
            sync(&bench);
            assert_eq!(items(&bench)[0].since, since);
            assert!(!overview(&bench).up_to_date);
            if rename_file {
                bench.memory.relocate("name", "renamed");
            } else {
                fs::rename(bench.local.join("name"), bench.local.join("renamed")).unwrap();
            }
            sync(&bench);
            assert!(items(&bench).is_empty(), "{:?}", items(&bench));
            assert_eq!(bench.tree(), bench.memory.tree());
            assert!(overview(&bench).up_to_date);
            begins(&told(&bench), &["held name: ", "solved name: name-clash"]);
        });
    }
}

#[test]
fn a_folder_that_cannot_be_read_is_told_until_it_can() {
    let bench = drive();
    bench.memory.put("closed/inside", b"inside");
    bench.write("open", b"open");
    break_calls(&bench, "list closed", Kind::Denied);
    sync(&bench);
    let first = items(&bench);
    assert_eq!(codes(&bench), [line("closed", "held", "denied")]);
    sync(&bench);
    sync(&bench);
    assert_eq!(items(&bench)[0].since, first[0].since);
    mend(&bench);
    sync(&bench);
    assert!(items(&bench).is_empty() && overview(&bench).up_to_date);
    begins(&told(&bench), &["held closed: ", "solved closed: denied"]);
    break_calls(&bench, "list closed", Kind::Denied);
    sync(&bench);
    assert_eq!(items(&bench).len(), 1);
    bench.memory.delete("closed");
    sync(&bench);
    assert!(items(&bench).is_empty());
}

#[test]
fn a_mass_removal_is_held_by_name_until_a_word() {
    each_kind(|bench| {
        for number in 10..40 {
            bench.write(&format!("photos/{number}"), &[number]);
        }
        bench.write("kept", b"kept");
        sync(&bench);
        fs::remove_dir_all(bench.local.join("photos")).unwrap();
        assert_eq!(sync(&bench).held, 30);
        sync(&bench);
        let told_of = overview(&bench);
        let hold = &told_of.holds[0];
        assert_eq!((told_of.holds.len(), hold.code.as_str()), (1, "mass-removal"));
        assert_eq!((hold.items, hold.known, hold.sample.len()), (30, 31, 10));
        assert_eq!(hold.sample[0], "photos/10");
        assert!(hold.remedy.contains("mooring sync \"task\" --approve"), "{}", hold.remedy);
        assert!(!told_of.up_to_date && told_of.counts.problems == 0);
        // Adding others is no yes.
        for number in 0..200 {
            bench.write(&format!("new/{number}"), b"new");
        }
        let report = sync(&bench);
        assert_eq!((report.held, report.deleted_remote, report.uploaded), (30, 0, 200));
        assert_eq!(sync(&bench).deleted_remote, 0);
        assert!(bench.sync(&APPROVED).unwrap().deleted_remote >= 30);
        assert!(holds(&bench).is_empty() && overview(&bench).up_to_date);
        begins(&told(&bench), &["held : removing 30 of 31 remote files", "solved : mass-removal"]);
    });
}

#[test]
fn a_word_covers_no_more_than_was_shown() {
    each_kind(|bench| {
        for number in 0..100 {
            bench.write(&format!("photos/{number}"), b"photo");
        }
        sync(&bench);
        let gone = |numbers: std::ops::Range<u32>| {
            numbers.for_each(|number| bench.memory.delete(&format!("photos/{number}")));
        };
        gone(0..60);
        assert_eq!(sync(&bench).held, 60);
        let shown = overview(&bench).sweeps();
        gone(60..90);
        let said = Look { approve: shown, ..EVERYTHING };
        let report = bench.sync(&said).unwrap();
        assert_eq!((report.held, report.deleted_local), (90, 0), "{report:?}");
        // What comes up among the removals isn't covered either, nor is the other side.
        let shown = overview(&bench).sweeps();
        let report = bench.sync(&Look { approve: shown, ..EVERYTHING }).unwrap();
        assert_eq!((report.held, report.deleted_local), (0, 90), "{report:?}");
        (0..60).for_each(|number| bench.write(&format!("more/{number}"), b"photo"));
        sync(&bench);
        fs::remove_dir_all(bench.local.join("more")).unwrap();
        let report = bench.sync(&Look { approve: shown, ..EVERYTHING }).unwrap();
        assert_eq!((report.held, report.deleted_remote), (60, 0), "{report:?}");
    });
}

#[test]
fn what_was_approved_does_not_count_against_what_comes_next() {
    let bench = filled(&DRIVE, 30);
    bench.write("kept", b"kept");
    let mut engine = bench.engine();
    engine.cycle(&EVERYTHING).unwrap();
    fs::remove_dir_all(bench.local.join("photos")).unwrap();
    engine.cycle(&APPROVED).unwrap();
    fs::remove_file(bench.local.join("kept")).unwrap();
    let report = engine.cycle(&EVERYTHING).unwrap();
    assert_eq!((report.held, report.deleted_remote), (0, 1));
}

#[test]
fn what_is_brought_back_is_held_no_more() {
    let bench = filled(&DRIVE, 30);
    fs::rename(bench.local.join("photos"), bench.local.with_extension("away")).unwrap();
    assert_eq!(sync(&bench).held, 30);
    fs::rename(bench.local.with_extension("away"), bench.local.join("photos")).unwrap();
    assert_eq!(sync(&bench).held, 0);
    assert!(holds(&bench).is_empty());
    assert!(!sync(&bench).did_something());
}

#[test]
fn a_mass_overwrite_waits_and_creations_go_on() {
    for descriptor in [&STORE, &DRIVE] {
        // Of the same size it takes a look at the contents to know.
        for content in [&b"ENCRYPTED"[..], b"ENCRYPTED and longer"] {
            let bench = filled(descriptor, 200);
            for number in 0..150 {
                bench.write(&format!("photos/{number}"), content);
            }
            bench.write("new", b"new");
            fs::remove_file(bench.local.join("photos/199")).unwrap();
            bench.memory.put("theirs", b"theirs");
            let report = sync(&bench);
            assert_eq!((report.held, report.uploaded, report.downloaded), (150, 1, 1));
            assert_eq!(report.deleted_remote, 1);
            assert_eq!(report.problems[0].kind, "mass-overwrite");
            assert_eq!(bench.memory.tree()["photos/0"].as_deref(), Some(&b"as it was"[..]));
            let hold = overview(&bench).holds.remove(0);
            assert_eq!((hold.items, hold.sample.len()), (150, 10));
            // Fewer than before are no yes either.
            for number in 100..150 {
                bench.write(&format!("photos/{number}"), b"as it was");
            }
            assert_eq!(sync(&bench).held, 100);
            let report = bench.sync(&APPROVED).unwrap();
            assert_eq!((report.held, report.uploaded), (0, 100));
            assert_eq!(bench.tree(), bench.memory.tree());
            assert!(overview(&bench).up_to_date);
        }
    }
}

#[test]
fn a_mass_overwrite_from_the_service_waits_too() {
    let bench = filled(&DRIVE, 200);
    for number in 0..150 {
        bench.memory.put(&format!("photos/{number}"), b"ENCRYPTED");
    }
    bench.write("new", b"new");
    bench.write("photos/199", b"edited here");
    let report = sync(&bench);
    assert_eq!((report.held, report.uploaded, report.downloaded), (150, 2, 0));
    assert_eq!(bench.read("photos/0").unwrap(), b"as it was");
    let hold = overview(&bench).holds.remove(0);
    assert_eq!(serde_json::to_value(&hold).unwrap()["side"], "local");
    assert_eq!(bench.sync(&APPROVED).unwrap().downloaded, 150);
}

#[test]
fn ordinary_work_never_waits() {
    let bench = filled(&DRIVE, 500);
    let mut engine = bench.engine();
    // Tags for an album, and then the same album saved again and again.
    for round in 0..6 {
        for number in 0..120 {
            bench.write(&format!("photos/{number}"), format!("tagged {round}").as_bytes());
        }
        let report = engine.cycle(&EVERYTHING).unwrap();
        assert_eq!((report.held, report.uploaded), (0, 120), "round {round}");
    }
    // Many small plans that change other files are one large one.
    for number in 120..200 {
        bench.write(&format!("photos/{number}"), b"changed, too");
        if engine.cycle(&EVERYTHING).unwrap().held > 0 {
            return;
        }
    }
    panic!("nothing was held");
}

#[test]
fn the_first_sync_of_equal_sides_overwrites_nothing() {
    let bench = filled(&DRIVE, 150);
    bench.forget();
    let report = sync(&bench);
    assert_eq!((report.held, report.uploaded, report.downloaded), (0, 0, 0));
}

#[test]
fn emptying_a_large_folder_waits_however_large_the_rest_is() {
    let bench = Bench::new(&STORE, Direction::Upload);
    for number in 0..10_500 {
        let folder = if number < 1000 { "large" } else { "rest" };
        bench.write(&format!("{folder}/{number}"), b"");
    }
    sync(&bench);
    for number in 0..999 {
        fs::remove_file(bench.local.join(format!("large/{number}"))).unwrap();
    }
    assert_eq!(sync(&bench).held, 0);
    for number in 0..999 {
        bench.write(&format!("large/{number}"), b"");
    }
    sync(&bench);
    for number in 0..1000 {
        fs::remove_file(bench.local.join(format!("large/{number}"))).unwrap();
    }
    assert_eq!(sync(&bench).held, 1000);
    assert!(overview(&bench).holds[0].reason.contains("a folder of 1000"));
}

#[test]
fn a_full_account_stops_uploads_and_nothing_else() {
    for descriptor in [&STORE, &DRIVE] {
        let bench = Bench::new(descriptor, Direction::Both);
        for number in 0..20 {
            bench.write(&format!("up/{number}"), b"up");
        }
        bench.write("gone", b"gone");
        bench.memory.put("gone", b"gone");
        sync(&bench);
        for number in 20..40 {
            bench.write(&format!("up/{number}"), b"up");
        }
        bench.memory.put("theirs", b"theirs");
        break_calls(&bench, "write", Kind::QuotaFull);
        bench.memory.take_calls();
        let report = sync(&bench);
        assert_eq!((report.downloaded, report.uploaded, report.errors), (1, 0, 1), "{report:?}");
        let calls = bench.memory.take_calls();
        let tries = calls.iter().filter(|call| call.starts_with("write")).count();
        assert!(tries <= 3, "it tried {tries} times");
        sync(&bench);
        let overview_now = overview(&bench);
        assert_eq!((overview_now.counts.pending, overview_now.counts.problems), (0, 0));
        assert_eq!(overview_now.holds[0].code, "quota-full");
        assert_eq!(overview_now.holds[0].items, 20);
        assert!(items(&bench).is_empty());
        mend(&bench);
        assert_eq!(sync(&bench).uploaded, 20);
        assert!(overview(&bench).up_to_date);
        begins(&told(&bench), &["held : write up/", "solved : quota-full"]);
    }
}

#[test]
fn removing_something_makes_room_at_once() {
    let bench = filled(&DRIVE, 5);
    let mut engine = bench.engine();
    bench.write("new", b"new");
    break_calls(&bench, "write new", Kind::QuotaFull);
    for _ in 0..4 {
        engine.cycle(&EVERYTHING).unwrap();
    }
    bench.memory.take_calls();
    engine.cycle(&EVERYTHING).unwrap();
    let calls = bench.memory.take_calls();
    assert!(!calls.contains(&"write new".to_owned()), "it is tried again and again");
    drop(engine);
    assert_eq!(holds(&bench), ["quota-full"]);
    mend(&bench);
    let mut engine = bench.engine();
    fs::remove_file(bench.local.join("photos/0")).unwrap();
    let report = engine.cycle(&EVERYTHING).unwrap();
    assert_eq!((report.uploaded, report.deleted_remote), (1, 1));
}

#[test]
fn what_ends_a_cycle_is_kept_until_one_comes_to_its_end() {
    each_kind(|bench| {
        bench.write("a", b"a");
        sync(&bench);
        let after = 0;
        for kind in [Kind::Offline, Kind::Offline, Kind::SignIn] {
            bench.write("a", format!("edited {}", kind.word()).as_bytes());
            bench.memory.set_fault(Some(Fault { after, how: How::Refuse(kind) }));
            assert_eq!(bench.sync(&EVERYTHING).unwrap_err().kind(), kind);
            bench.memory.set_fault(None);
            assert_eq!(holds(&bench), [kind.word()]);
            assert!(!overview(&bench).up_to_date);
            assert!(overview(&bench).message().is_some());
        }
        sync(&bench);
        assert!(holds(&bench).is_empty() && overview(&bench).up_to_date);
        let lines = ["failed : ", "held : ", "solved : offline", "solved : sign-in"];
        begins(&told(&bench), &lines);
    });
}

#[test]
fn a_lost_root_is_told_after_a_restart() {
    let bench = filled(&DRIVE, 3);
    let away = bench.local.with_extension("away");
    fs::rename(&bench.local, &away).unwrap();
    assert!(bench.sync(&EVERYTHING).is_err());
    assert!(bench.sync(&EVERYTHING).is_err());
    fs::rename(&away, &bench.local).unwrap();
    assert_eq!(holds(&bench), ["root-lost"]);
    sync(&bench);
    assert!(overview(&bench).up_to_date);
    begins(&told(&bench), &["held : ", "solved : root-lost"]);
}

#[test]
fn nothing_is_called_up_to_date_that_nobody_has_looked_at() {
    let bench = drive();
    bench.memory.set_fault(Some(Fault { after: 1, how: How::Refuse(Kind::Cancelled) }));
    assert!(bench.sync(&EVERYTHING).is_err());
    assert!(!overview(&bench).up_to_date);
    bench.memory.set_fault(None);
    sync(&bench);
    assert!(overview(&bench).up_to_date);
}

#[test]
fn the_items_come_in_pages() {
    let bench = drive();
    for number in 0..250 {
        bench.write(&format!("folder/{number}:"), b"");
    }
    for number in 0..5 {
        bench.write(&format!("ordinary{number}"), b"ordinary");
    }
    break_calls(&bench, "write", Kind::TooLarge);
    let report = sync(&bench);
    assert_eq!((report.skipped, report.errors), (250, 5));
    let trees = trees(&bench);
    let (mut paths, mut after, mut pages) = (BTreeSet::new(), None, 0);
    loop {
        let page = ItemsPage::of(&trees, after.as_deref(), 51).unwrap();
        assert!(page.items.len() <= 51);
        paths.extend(page.items.into_iter().map(|item| item.path));
        pages += 1;
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!((paths.len(), pages), (255, 5));
    let error = ItemsPage::of(&trees, Some("elsewhere"), 51).unwrap_err();
    assert_eq!(error.kind(), Kind::Usage);
}

#[test]
fn many_items_at_once_do_not_flood_the_history() {
    let bench = drive();
    for number in 0..300 {
        bench.write(&format!("{number}:"), b"");
    }
    sync(&bench);
    let lines = told(&bench);
    assert_eq!(lines.len(), 51);
    assert_eq!(lines[50], "skipped : 250 more: character");
    for entry in fs::read_dir(&bench.local).unwrap() {
        fs::remove_file(entry.unwrap().path()).unwrap();
    }
    sync(&bench);
    let lines = told(&bench);
    assert_eq!(lines.len(), 102);
    assert_eq!(lines[101], "solved : 250 more: character");
}

#[test]
fn the_program_tells_without_a_daemon() {
    let folder = TempFolder::new();
    let local = folder.path().join("local");
    fs::create_dir(&local).unwrap();
    let run = |line: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mooring"));
        command.args(line.split_whitespace()).env("MOORING_STATE", folder.path().join("state"));
        let output = command.stdin(Stdio::null()).output().unwrap();
        let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        (output.status.code(), text)
    };
    let json = |line: &str| -> Value { serde_json::from_str(&run(line).1).unwrap() };
    let secret = folder.path().join("secret");
    fs::write(&secret, "secret").unwrap();
    let secret = secret.display();
    run(&format!(
        "connection add cloud --service webdav --set url=http://127.0.0.1:9/ --set user=u --secret password=@{secret}"
    ));
    let local = local.display();
    run(&format!("task add docs --connection cloud --local {local} --remote /"));
    assert!(run("status").1.contains("docs (cloud): stopped; never synced"));
    assert_eq!(run("sync docs").0, Some(1));
    let (code, text) = run("status");
    assert_eq!(code, Some(0));
    assert!(text.contains("offline since 20") && text.contains("check the network"), "{text}");
    let hold = json("status --json")["tasks"][0]["holds"][0].clone();
    assert_eq!((&hold["code"], &hold["side"]), (&"offline".into(), &Value::Null));
    let docs = json("status docs --json");
    assert_eq!((&docs["name"], &docs["up_to_date"]), (&"docs".into(), &false.into()));
    assert!(docs["items"].as_array().unwrap().is_empty() && docs["next"].is_null());
    run("sync docs");
    let log = json("log docs --json");
    assert_eq!(log.as_array().unwrap().len(), 1, "{log}");
    assert_eq!(log[0]["action"], "failed");
    assert_eq!(run("status nothing").0, Some(2));
    assert_eq!(run("status docs --after nowhere").0, Some(2));
}

#[test]
fn of_two_names_that_the_service_takes_for_one_the_second_is_held_until_it_is_free() {
    let bench = drive();
    bench.write("Name", b"first");
    sync(&bench);
    bench.write("name", b"second");
    break_calls(&bench, "write name", Kind::NameTaken);
    sync(&bench);
    sync(&bench);
    assert_eq!(codes(&bench), [line("name", "held", "name-taken")]);
    mend(&bench);
    fs::rename(bench.local.join("Name"), bench.local.join("other")).unwrap();
    sync(&bench);
    sync(&bench);
    assert!(items(&bench).is_empty() && overview(&bench).up_to_date);
    assert_eq!(bench.tree(), bench.memory.tree());
    begins(&told(&bench), &["held name: ", "solved name: name-taken"]);
}
