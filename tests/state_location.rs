//! Where the tasks' states lie: moving them loses nothing, syncs nothing again, and leaves one state.

use crate::common::bench::TempFolder;
use crate::common::pair::{Pair, Peer, eventually};
use crate::common::peers;
use mooring::store::Trees;
use std::fs;
use std::path::{Path, PathBuf};

fn states(base: &Path) -> Vec<String> {
    let names = fs::read_dir(base.join("tasks")).into_iter().flatten();
    names.map(|it| it.unwrap().file_name().into_string().unwrap()).collect()
}

fn moved(volume: &Path) -> PathBuf {
    volume.join("mooring-state")
}

fn set(volume: &Path) -> [&str; 3] {
    ["settings", "state-location", volume.to_str().unwrap()]
}

/// A task in sync with one file.
fn in_sync() -> Pair {
    let pair = Pair::new(Peer::Dav(peers::rclone_dav()), &[]);
    pair.write("a/letter", "from here");
    pair.sync();
    pair
}

#[test]
fn a_moved_state_is_the_only_one_and_nothing_is_synced_again() {
    let pair = in_sync();
    let volume = TempFolder::new();
    pair.done(&set(volume.path()));
    assert_eq!(states(&moved(volume.path())), ["1.redb"]);
    assert!(states(&pair.state()).is_empty());
    let report = pair.sync();
    assert_eq!((&report["uploaded"], &report["downloaded"]), (&0.into(), &0.into()));
    assert!(pair.done(&["log"]).contains("a/letter"));

    pair.done(&["settings", "state-location", "default"]);
    assert_eq!(states(&pair.state()), ["1.redb"]);
    assert!(!moved(volume.path()).exists());
    assert_eq!(pair.sync()["uploaded"], 0);
}

#[test]
fn what_was_removed_before_a_move_is_removed_after_it() {
    let pair = in_sync();
    pair.write("b", "stays");
    pair.sync();
    let volume = TempFolder::new();
    pair.remove("a/letter");
    pair.done(&set(volume.path()));
    assert_eq!(pair.sync()["downloaded"], 0);
    assert_eq!(pair.remote("a/letter"), None);

    // A backup that was put in its place isn't taken for it because it is moved.
    let state = moved(volume.path()).join("tasks/1.redb");
    let backup = state.with_extension("backup");
    fs::copy(&state, &backup).unwrap();
    fs::rename(&backup, &state).unwrap();
    pair.done(&["settings", "state-location", "default"]);
    assert!(Trees::open(&pair.state().join("tasks/1.redb")).unwrap().is_copy().unwrap());
}

#[test]
fn a_daemon_moves_it_while_it_runs_and_goes_on_from_there() {
    let pair = in_sync();
    let volume = TempFolder::new();
    let daemon = pair.daemon();
    pair.done(&set(volume.path()));
    let file = moved(volume.path()).join("tasks/1.redb");
    assert!(file.exists() && states(&pair.state()).is_empty());
    pair.write("a/later", "more");
    eventually("it is sent", || pair.remote("a/later") == Some(b"more".into()));
    assert!(pair.done(&["log"]).contains("a/later"));
    daemon.signal("TERM");
    assert!(daemon.end().0);
    assert!(states(&pair.state()).is_empty());
    let again = pair.daemon();
    pair.write("a/last", "end");
    eventually("it is sent", || pair.remote("a/last") == Some(b"end".into()));
    drop(again);
}

#[test]
fn without_its_volume_no_other_state_is_made_and_it_goes_on_when_that_is_back() {
    let pair = in_sync();
    let volume = TempFolder::new();
    pair.done(&set(volume.path()));
    let away = volume.path().with_extension("away");
    fs::rename(volume.path(), &away).unwrap();
    // What is left of a volume that isn't mounted.
    fs::create_dir(volume.path()).unwrap();
    let output = pair.run(&["sync", "docs"]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && said.contains("it isn't there"), "{said}");
    assert!(fs::read_dir(volume.path()).unwrap().next().is_none());
    fs::remove_dir(volume.path()).unwrap();
    fs::rename(&away, volume.path()).unwrap();
    assert_eq!(pair.sync()["uploaded"], 0);

    // A volume that is gone for good costs a comparison.
    fs::remove_dir_all(moved(volume.path())).unwrap();
    pair.done(&["settings", "state-location", "default"]);
    assert_eq!(pair.sync()["uploaded"], 0);
    assert_eq!(pair.read("a/letter"), Some(b"from here".into()));
}

#[test]
fn what_a_move_left_over_is_removed_and_what_isnt_its_own_stays() {
    let pair = in_sync();
    let volume = TempFolder::new();
    pair.done(&set(volume.path()));
    let other = TempFolder::new();
    // A state that something else uses.
    fs::create_dir_all(moved(other.path()).join("tasks")).unwrap();
    fs::write(moved(other.path()).join("tasks/1.redb"), "another's").unwrap();
    let said = String::from_utf8(pair.run(&set(other.path())).stderr).unwrap();
    assert!(said.contains("there is something in it already"), "{said}");
    assert_eq!(fs::read(moved(other.path()).join("tasks/1.redb")).unwrap(), b"another's");

    // One that is damaged isn't moved, and what was copied of the others goes.
    let damaged = moved(volume.path()).join("tasks/2.redb");
    fs::write(&damaged, "no state").unwrap();
    let third = TempFolder::new();
    assert!(!pair.run(&set(third.path())).status.success());
    assert!(!moved(third.path()).exists());
    fs::remove_file(damaged).unwrap();
    assert_eq!(pair.sync()["uploaded"], 0);
}

#[test]
fn a_folder_that_is_synced_or_not_there_is_refused() {
    let pair = in_sync();
    let inside = pair.local.join("a");
    for (folder, cause) in [
        (inside.to_str().unwrap(), "it is in the local folder of task docs"),
        ("/nowhere/at/all", "No such file"),
        ("relative", "it isn't absolute"),
        (pair.state().to_str().unwrap(), "it is in the state folder"),
    ] {
        let output = pair.run(&["settings", "state-location", folder]);
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(2) && said.contains(cause), "{said}");
    }
    let volume = TempFolder::new();
    pair.done(&set(volume.path()));
    let local = volume.path().to_str().unwrap();
    let words =
        ["task", "add", "more", "--connection", "cloud", "--remote", "/x", "--local", local];
    let said = String::from_utf8(pair.run(&words).stderr).unwrap();
    assert!(said.contains("Mooring's own state is in it"), "{said}");
}
