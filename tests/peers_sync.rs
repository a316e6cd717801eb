//! The real program against every server and every fake of a service, with another person at the
//! other side.

use crate::common::contract::pattern;
use crate::common::pair::{Pair, Peer};
use crate::common::peers;
use serde_json::Value;
use std::fs;
use std::time::{Duration, SystemTime};

/// More than two parts of an upload in parts.
const LARGE: usize = 20 << 20;

/// What can't be expected of a server, and why.
struct Limits {
    /// Paths that it can't have.
    refuses: &'static [&'static str],
    /// Names that it moves to a wrong place, so that nothing moves there.
    misplaces: &'static [&'static str],
    /// It doesn't list all that is in a folder, so that none is removed there.
    hides: bool,
}

fn limits(peer: Peer) -> Limits {
    let (refuses, misplaces): (&[_], &[_]) = match peer.name() {
        // nginx takes names that begin with a dot, but doesn't list them.
        "nginx" => (&[".hidden"], &[]),
        // WsgiDAV decodes a Destination before it takes it apart at `;`.
        "wsgidav" => (&[], &["a+b&c;d'e"]),
        "aliyun-oss" | "tencent-cos" => (&[], &[]),
        // Its rule leaves out these.
        "jd-oss" => (&["100%", "a+b&c;d'e"], &[]),
        // The rule for S3 leaves out characters that Amazon says to avoid.
        _ if peer.is_s3() => (&["100%"], &[]),
        _ => (&[], &[]),
    };
    Limits { refuses, misplaces, hides: peer.name() == "nginx" }
}

/// Runs it on all servers, and tells on which it failed.
fn on_all(test: fn(Peer)) {
    peers().into_iter().for_each(test);
}

fn peers() -> Vec<Peer> {
    let s3 = peers::s3_peers().into_iter().chain(peers::s3_fronts()).map(Peer::S3);
    let azure = [Peer::Azure(peers::azurite())];
    let dav = peers::dav_peers().into_iter().map(Peer::Dav);
    let fakes = peers::fakes().into_iter().map(Peer::Fake);
    let others = [Peer::B2(peers::b2()), Peer::Gcs(peers::gcs()), Peer::Swift(peers::swift_api())];
    s3.chain(azure).chain(others).chain(dav).chain(fakes).collect()
}

const NAMES: &[&str] =
    &["with space", "\u{dc}bergr\u{f6}\u{df}e", "\u{1f600} emoji", "a+b&c;d'e", ".hidden", "100%"];

/// The counts of a report that aren't 0.
#[track_caller]
fn counts(report: &Value) -> Vec<(&'static str, u64)> {
    const COUNTS: [&str; 9] = [
        "uploaded",
        "downloaded",
        "moved",
        "deleted_local",
        "deleted_remote",
        "conflicts",
        "held",
        "errors",
        "skipped",
    ];
    let counts = COUNTS.map(|name| (name, report[name].as_u64().expect(name)));
    counts.into_iter().filter(|(_, count)| *count > 0).collect()
}

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

#[test]
fn the_first_sync_unites_both_sides_and_the_second_writes_nothing() {
    on_all(|peer| {
        let relay = peer.relay();
        let pair = Pair::through(peer, Some(&relay), &[]);
        let names: Vec<_> =
            NAMES.iter().filter(|name| !limits(peer).refuses.contains(name)).collect();
        for name in &names {
            pair.write(&format!("ours/{name}/{name}"), name);
        }
        pair.write("ours/deep/er/and/deeper/file", "deep");
        pair.write("ours/nothing", "");
        pair.write("ours/large", pattern(LARGE, 1));
        fs::create_dir_all(pair.local.join("ours/empty/inner")).unwrap();
        pair.write("same/file", "the same on both sides");
        let remote: Vec<_> =
            names.iter().map(|name| (format!("theirs/{name}/{name}"), name.as_bytes())).collect();
        let mut items: Vec<_> =
            remote.iter().map(|(path, bytes)| (path.as_str(), Some(*bytes))).collect();
        let large = pattern(LARGE, 2);
        items.push(("theirs/deep/er/file", Some(b"deep")));
        items.push(("theirs/nothing", Some(b"")));
        items.push(("theirs/large", Some(&large)));
        items.push(("theirs/empty/inner", None));
        items.push(("same/file", Some(b"the same on both sides")));
        pair.put(&items);

        let report = pair.sync();
        let transferred = names.len() as u64 + 3;
        let expected = [("uploaded", transferred), ("downloaded", transferred)];
        assert_eq!(counts(&report), expected, "{}", peer.name());
        let local = pair.local.to_str().unwrap();
        // Backblaze B2 has files that stand for empty folders.
        pair.rclone(&["check", "--download", "--exclude", ".bzEmpty", local, "@"]);
        let tree = pair.is_equal();
        assert_eq!(tree.values().flatten().count() as u64, 2 * transferred + 1);
        if !peer.forgets_folders() {
            assert!(tree.contains_key("theirs/empty/inner"), "{}", peer.name());
            assert!(tree.contains_key("ours/empty/inner"), "{}", peer.name());
        }
        assert!(pair.local.join("ours/empty/inner").is_dir());
        let parts = [
            "partNumber=",
            "?blockid=",
            "/upload-part/",
            "PUT /upload/storage/",
            "_segments/docs/ours/large/",
        ];
        let is_part = |it: &&String| parts.iter().any(|part| it.contains(part));
        let parts = relay.requests().iter().filter(is_part).count();
        // Most cut it by what is in it.
        let wanted = if peer.is_store() { 2..=10 } else { 0..=0 };
        assert!(wanted.contains(&parts), "{}: {parts} parts", peer.name());

        let before = relay.requests().len();
        let again = pair.sync();
        assert_eq!(counts(&again), [], "{}", peer.name());
        let writes = relay.writes_since(before);
        assert!(writes.is_empty(), "{}: {writes:?}", peer.name());
        assert_eq!(again["requests"], relay.requests().len() - before, "{}", peer.name());
    });
}

#[test]
fn changes_of_each_side_reach_the_other() {
    on_all(|peer| {
        let pair = Pair::new(peer, &[]);
        // Where a name like the first can't be, it is another one.
        let Limits { refuses, misplaces, hides } = limits(peer);
        let odd = if refuses.contains(&"a+b&c;d'e") { "a&b;c'd" } else { "a+b&c;d'e" };
        for side in ["ours", "theirs"] {
            for name in ["edited", "removed", "renamed", odd, "folder/file", "gone/in/it"] {
                pair.write(&format!("{side}/{name}"), format!("{side} {name}"));
            }
        }
        pair.sync();
        pair.is_equal();

        pair.write("ours/edited", "edited here");
        pair.remove("ours/removed");
        pair.rename("ours/renamed", "ours/with a new name");
        pair.rename("ours/folder", "ours/f\u{f6}lder");
        match hides {
            true => pair.remove("ours/gone/in/it"),
            false => fs::remove_dir_all(pair.local.join("ours/gone")).unwrap(),
        }
        let reversed: String = odd.chars().rev().collect();
        let moved = if misplaces.contains(&odd) { "plain" } else { &*reversed };
        pair.rename(&format!("ours/{odd}"), &format!("ours/{moved}"));
        pair.put(&[("theirs/edited", Some(b"edited there"))]);
        pair.rclone(&["deletefile", "@theirs/removed"]);
        pair.rclone(&["moveto", "@theirs/renamed", "@theirs/with a new name"]);
        // By `moveto`, rclone leaves the marker of a folder behind on S3.
        pair.rclone(&["copy", "@theirs/folder", "@theirs/f\u{f6}lder"]);
        pair.rclone(&["purge", "@theirs/folder"]);
        pair.rclone(&["purge", "@theirs/gone"]);
        let report = pair.sync();
        assert_eq!(report["uploaded"], 1, "{}: {report}", peer.name());
        assert_eq!((&report["conflicts"], &report["held"]), (&0.into(), &0.into()));
        let tree = pair.is_equal();
        let content = |path: &str| tree[path].as_deref().map(String::from_utf8_lossy).unwrap();
        assert_eq!(content("ours/edited"), "edited here", "{}", peer.name());
        assert_eq!(content("theirs/edited"), "edited there", "{}", peer.name());
        for side in ["ours", "theirs"] {
            assert_eq!(content(&format!("{side}/with a new name")), format!("{side} renamed"));
            assert_eq!(content(&format!("{side}/f\u{f6}lder/file")), format!("{side} folder/file"));
            let folder = if hides && side == "ours" { "gone/in/it" } else { "gone" };
            for gone in ["removed", "renamed", "folder", folder] {
                assert!(
                    !pair.local.join(side).join(gone).exists(),
                    "{}: {side}/{gone}",
                    peer.name()
                );
            }
        }
        assert_eq!(counts(&pair.sync()), [], "{}", peer.name());
    });
}

#[test]
fn a_conflict_keeps_both_once() {
    on_all(|peer| {
        let pair = Pair::new(peer, &[]);
        pair.write("both.txt", "as agreed");
        pair.write("edited here", "as agreed");
        pair.write("edited there", "as agreed");
        pair.sync();
        pair.write("both.txt", "edited here");
        pair.put(&[("both.txt", Some(b"edited there, too")), ("edited there", Some(b"an edit"))]);
        pair.write("edited here", "an edit");
        pair.rclone(&["deletefile", "@edited here"]);
        pair.remove("edited there");
        let report = pair.sync();
        assert_eq!(report["conflicts"], 1, "{}: {report}", peer.name());
        pair.sync();
        let tree = pair.is_equal();
        assert_eq!(tree["both.txt"].as_deref(), Some(&b"edited here"[..]));
        let kept: Vec<_> = tree.keys().filter(|path| path.contains("(conflict ")).collect();
        assert_eq!(kept.len(), 1, "{}: {kept:?}", peer.name());
        assert!(kept[0].starts_with("both (conflict ") && kept[0].ends_with(").txt"), "{kept:?}");
        assert_eq!(tree[kept[0]].as_deref(), Some(&b"edited there, too"[..]));
        // An edit beats a deletion.
        assert_eq!(tree["edited here"].as_deref(), Some(&b"an edit"[..]));
        assert_eq!(tree["edited there"].as_deref(), Some(&b"an edit"[..]));
        assert_eq!(counts(&pair.sync()), [], "{}", peer.name());
    });
}

#[test]
fn an_upload_only_task_never_writes_here() {
    on_all(|peer| {
        let pair = Pair::new(peer, &["--direction", "upload", "--keep-removed"]);
        pair.write("folder/kept", "kept");
        pair.write("folder/edited", "first");
        pair.write("both", "first");
        pair.put(&[("theirs/file", Some(b"theirs"))]);
        assert_eq!(counts(&pair.sync()), [("uploaded", 3)], "{}", peer.name());
        pair.remove("folder/kept");
        pair.write("folder/edited", "second");
        pair.write("both", "ours");
        pair.put(&[("both", Some(b"theirs, edited"))]);
        let before = pair.local_tree();
        let report = pair.sync();
        assert_eq!(counts(&report), [("uploaded", 2), ("conflicts", 1)], "{}", peer.name());
        assert!(pair.local_tree() == before, "{} was written to locally", peer.name());
        let remote = pair.remote_tree();
        let of = |path: &str| remote.get(path).cloned().flatten();
        assert_eq!(of("folder/kept"), Some(b"kept".to_vec()), "{}", peer.name());
        assert_eq!(of("folder/edited"), Some(b"second".to_vec()), "{}", peer.name());
        assert_eq!(of("theirs/file"), Some(b"theirs".to_vec()), "{}", peer.name());
        assert_eq!(of("both"), Some(b"ours".to_vec()), "{}", peer.name());
        assert!(remote.values().flatten().any(|bytes| bytes == b"theirs, edited"));
        assert_eq!(counts(&pair.sync()), [], "{}", peer.name());
    });
}

#[test]
fn a_download_only_task_sends_no_write() {
    on_all(|peer| {
        let relay = peer.relay();
        let pair =
            Pair::through(peer, Some(&relay), &["--direction", "download", "--keep-removed"]);
        pair.put(&[
            ("folder/kept", Some(b"kept")),
            ("folder/edited", Some(b"first")),
            ("both", Some(b"first")),
        ]);
        pair.write("ours/file", "ours");
        assert_eq!(counts(&pair.sync()), [("downloaded", 3)], "{}", peer.name());
        pair.rclone(&["deletefile", "@folder/kept"]);
        pair.put(&[("folder/edited", Some(b"2nd")), ("both", Some(b"theirs"))]);
        pair.write("both", "ours, edited");
        let report = pair.sync();
        assert_eq!(counts(&report), [("downloaded", 2), ("conflicts", 1)], "{}", peer.name());
        let local = pair.local_tree();
        let of = |path: &str| local.get(path).cloned().flatten();
        assert_eq!(of("folder/kept"), Some(b"kept".to_vec()), "{}", peer.name());
        assert_eq!(of("folder/edited"), Some(b"2nd".to_vec()), "{}", peer.name());
        assert_eq!(of("ours/file"), Some(b"ours".to_vec()), "{}", peer.name());
        assert_eq!(of("both"), Some(b"theirs".to_vec()), "{}", peer.name());
        assert!(local.values().flatten().any(|bytes| bytes == b"ours, edited"));
        assert_eq!(counts(&pair.sync()), [], "{}", peer.name());
        let writes = relay.writes_since(0);
        assert!(writes.is_empty(), "{}: {writes:?}", peer.name());
    });
}

#[test]
fn a_renamed_folder_is_moved_and_not_sent_again() {
    on_all(|peer| {
        let pair = Pair::new(peer, &[]);
        for number in 0..5 {
            pair.write(&format!("old/in/{number}"), pattern(10_000, number));
        }
        pair.sync();
        pair.rename("old", "new name");
        let report = pair.sync();
        // Where folders can't be moved, each file is.
        let moved = if peer.is_store() { 5 } else { 1 };
        assert_eq!(report["moved"], moved, "{}: {report}", peer.name());
        assert_eq!(report["uploaded"], 0, "{}: {report}", peer.name());
        assert!(report["bytes_up"].as_u64().unwrap() < 10_000, "{}: {report}", peer.name());
        pair.is_equal();
        assert!(!pair.local.join("old").exists());
        assert_eq!(counts(&pair.sync()), [], "{}", peer.name());
    });
}

#[test]
fn times_of_files_cross() {
    // rclone can't touch a file on the other servers, though Dropbox keeps times, too.
    let kept = peers().into_iter().filter(|it| it.is_store() || it.name() == "google-drive");
    for peer in kept {
        let pair = Pair::new(peer, &[]);
        for (path, size) in [("ours", 5), ("ours in parts", 6 << 20)] {
            pair.write(path, pattern(size, 1));
            let file = fs::File::options().write(true).open(pair.local.join(path)).unwrap();
            file.set_modified(at(1_234_567_890)).unwrap();
        }
        pair.put(&[("theirs", Some(b"theirs")), ("theirs, large", Some(&pattern(6 << 20, 2)))]);
        for path in ["@theirs", "@theirs, large"] {
            pair.rclone(&["touch", "--timestamp", "2011-03-13T07:06:40", path]);
        }
        pair.sync();
        let listed: Value = serde_json::from_str(&pair.rclone(&["lsjson", "@"])).unwrap();
        for item in listed.as_array().unwrap() {
            let path = item["Path"].as_str().unwrap();
            let (told, seconds) = match path.starts_with("ours") {
                true => ("2009-02-13T23:31:30", 1_234_567_890),
                false => ("2011-03-13T07:06:40", 1_300_000_000),
            };
            assert!(item["ModTime"].as_str().unwrap().starts_with(told), "{}: {item}", peer.name());
            let local = fs::metadata(pair.local.join(path)).unwrap().modified().unwrap();
            assert_eq!(local, at(seconds), "{}: {path}", peer.name());
        }
        assert_eq!(counts(&pair.sync()), [], "{}", peer.name());
    }
}

#[test]
fn the_exit_code_and_the_report_tell_how_it_ended() {
    on_all(|peer| {
        let pair = Pair::new(peer, &[]);
        pair.done(&["connection", "test", "cloud"]);
        pair.put(&[("seed", Some(b"seed"))]);
        for number in 0..12 {
            pair.write(&number.to_string(), "file");
        }
        pair.write("left:out", "colon");
        let plan: Value = serde_json::from_str(&pair.done(&["plan", "docs", "--json"])).unwrap();
        assert!(plan.to_string().contains("upload"), "{}: {plan}", peer.name());
        assert_eq!(pair.local_tree().len(), 13, "{}", peer.name());
        let report = pair.sync();
        let expected = [("uploaded", 12), ("downloaded", 1), ("skipped", 1)];
        assert_eq!(counts(&report), expected, "{}", peer.name());
        assert!(report["requests"].as_u64() >= Some(12), "{}: {report}", peer.name());
        assert!(report["bytes_up"].as_u64() >= Some(12 * 4), "{}: {report}", peer.name());
        assert!(report["seconds"].is_f64() && report["problems"] == Value::Array(vec![]));

        // Most of a side at once waits for a person.
        (0..12).for_each(|number| pair.remove(&number.to_string()));
        let held = pair.run(&["sync", "docs", "--json"]);
        assert_eq!(held.status.code(), Some(3), "{}: {held:?}", peer.name());
        let report: Value = serde_json::from_slice(&held.stdout).unwrap();
        assert_eq!(counts(&report), [("held", 12), ("skipped", 1)], "{}", peer.name());
        assert_eq!(report["problems"][0]["kind"], "mass-removal", "{}: {report}", peer.name());
        assert_eq!(pair.remote_tree().len(), 13, "{}", peer.name());
        let line = ["sync", "docs", "--json", "--approve"];
        let report: Value = serde_json::from_str(&pair.done(&line)).unwrap();
        assert_eq!(counts(&report), [("deleted_remote", 12), ("skipped", 1)], "{}", peer.name());
        let left: Vec<_> = pair.remote_tree().into_keys().collect();
        assert_eq!(left, ["seed"], "{}", peer.name());
    });
}
