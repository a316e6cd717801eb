//! The daemon between a folder and a real server: what it does by itself, and where it goes on.
//!
//! Nothing here sleeps to be safe or asserts a time: a condition is polled for until it holds.

use crate::common::contract::pattern;
use crate::common::pair::{Pair, Peer, eventually};
use crate::common::peers;
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Sent in several parts.
const LARGE: usize = 32 << 20;

fn cloud_peers() -> Vec<Peer> {
    let s3 = [peers::moto(), peers::swift()].into_iter().map(Peer::S3);
    let azure = [Peer::Azure(peers::azurite())];
    let others = [Peer::B2(peers::b2()), Peer::Gcs(peers::gcs()), Peer::Swift(peers::swift_api())];
    s3.chain(azure).chain(others).chain(peers::fakes().into_iter().map(Peer::Fake)).collect()
}

/// What the first line of a request with a part of a file has in it.
fn part_of(peer: Peer) -> &'static str {
    match peer.name() {
        "google-drive" => "PUT /upload/drive/v3/files",
        "dropbox" => "POST /2/files/upload_session/append",
        "azurite" => "?blockid=",
        "b2" => "POST /upload-part/",
        "google-cloud-storage" => "PUT /upload/storage/",
        "swift-api" => "_segments/docs/large/",
        _ => "partNumber=",
    }
}

#[test]
fn changes_of_each_side_reach_the_other() {
    for peer in cloud_peers() {
        let pair = Pair::new(peer, &[]);
        let daemon = pair.daemon();
        pair.write("a/b/up", "from here");
        eventually("the local file is there", || {
            pair.remote("a/b/up") == Some(b"from here".into())
        });
        pair.put(&[("a/down", Some(b"from there"))]);
        eventually("the remote file is here", || pair.read("a/down") == Some(b"from there".into()));
        pair.remove_there("a/b/up");
        eventually("the local file is gone", || pair.read("a/b/up").is_none());
        pair.remove("a/down");
        eventually("the remote file is gone", || pair.remote("a/down").is_none());
        daemon.signal("TERM");
        let (ended, log) = daemon.end();
        assert!(ended, "{}: {log}", peer.name());
        pair.sync();
        pair.is_equal();
    }
}

#[test]
fn without_news_its_state_stays_closed_and_what_comes_is_noticed() {
    let dav = peers::dav_peers().into_iter().map(Peer::Dav);
    for peer in cloud_peers().into_iter().chain(dav) {
        let relay = peer.relay();
        let pair = Pair::through(peer, Some(&relay), &[]);
        let daemon = pair.daemon();
        let state = pair.state().join("tasks/1.redb");
        for number in 0..2 {
            // One after the other: folders of one name, made on both sides at once, may be two of
            // Google Drive's, and the first of them is the task's.
            let (up, down) = (format!("a/up/{number}"), format!("a/down/{number}"));
            pair.write(&up, "from here");
            eventually("one is there", || pair.remote(&up) == Some(b"from here".into()));
            pair.put(&[(&down, Some(b"from there"))]);
            eventually("one is here", || pair.read(&down) == Some(b"from there".into()));
            eventually("the state stays closed while it is polled", || {
                let (asked, written) = (relay.requests().len(), changed(&state));
                // Dropbox is listened to: it isn't asked again and again.
                let polls = if peer.name() == "dropbox" { 0 } else { 3 };
                eventually("it is polled", || relay.requests().len() >= asked + polls);
                !daemon.has_open(&state) && changed(&state) == written
            });
        }
        daemon.signal("TERM");
        let (ended, log) = daemon.end();
        assert!(ended, "{}: {log}", peer.name());
        pair.sync();
        pair.is_equal();
    }
}

/// When a file was written to or touched last.
fn changed(file: &Path) -> (i64, i64) {
    let metadata = file.metadata().unwrap();
    (metadata.ctime(), metadata.ctime_nsec())
}

#[test]
fn a_stopped_upload_goes_on_where_it_was() {
    for peer in cloud_peers() {
        let relay = peer.relay();
        let pair = Pair::through(peer, Some(&relay), &[]);
        let part = part_of(peer);
        let parts = || {
            let requests = relay.requests().into_iter();
            requests.filter(|line| line.contains(part)).collect::<Vec<_>>()
        };
        pair.write("large", pattern(LARGE, 1));
        // So many are on their way at the same time: when they all wait, those before have arrived.
        let at_once = if matches!(peer.name(), "google-drive" | "dropbox" | "google-cloud-storage")
        {
            1
        } else {
            3
        };
        relay.pass_at_most(1, part);
        let daemon = pair.daemon();
        eventually(&format!("{} {at_once}: a part has arrived", peer.name()), || {
            parts().len() == 1 + at_once
        });
        daemon.signal("TERM");
        let (ended, log) = daemon.end();
        assert!(ended, "{}: {log}", peer.name());
        assert_eq!(pair.remote("large"), None, "{}", peer.name());
        if peer.is_s3() {
            assert_eq!(pair.unfinished_uploads().len(), 1, "{}", peer.name());
        }

        relay.pass_all();
        let _daemon = pair.daemon();
        eventually("the upload is done", || pair.status()["tasks"][0]["state"] == "idle");
        if peer.is_s3() {
            assert!(pair.unfinished_uploads().is_empty(), "{}", peer.name());
        }
        assert!(pair.remote("large") == Some(pattern(LARGE, 1)), "{}", peer.name());
        // Nothing that had arrived is sent again.
        assert!(relay.bytes() < (LARGE + (1 << 20)) as u64, "{}: {:?}", peer.name(), parts());
    }
}

#[test]
fn a_stopped_upload_whose_folder_is_renamed_leaves_nothing_behind() {
    let peer = Peer::S3(peers::moto());
    let relay = peer.relay();
    let pair = Pair::through(peer, Some(&relay), &[]);
    pair.write("folder/small", "small");
    pair.sync();
    pair.write("folder/large", pattern(LARGE, 1));
    relay.pass_at_most(2, "partNumber=");
    let daemon = pair.daemon();
    let parts = || relay.requests().into_iter().filter(|line| line.contains("partNumber=")).count();
    eventually("a part waits for its answer", || parts() > 2);
    daemon.signal("TERM");
    let (ended, log) = daemon.end();
    assert!(ended, "{log}");
    assert_eq!(pair.unfinished_uploads().len(), 1);
    relay.pass_all();
    pair.rename("folder", "renamed");
    pair.write("renamed/large", "small by now");
    pair.sync();
    pair.is_equal();
    assert!(pair.unfinished_uploads().is_empty());
}

#[test]
fn a_file_that_is_written_slowly_is_sent_once_and_whole() {
    let peer = Peer::S3(peers::moto());
    let relay = peer.relay();
    let pair = Pair::through(peer, Some(&relay), &[]);
    pair.write("first", "first");
    let _daemon = pair.daemon();
    eventually("the first file is there", || pair.remote("first").is_some());
    let content = pattern(3 << 20, 1);
    let mut file = File::create(pair.local.join("slow")).unwrap();
    for (number, piece) in content.chunks(1 << 20).enumerate() {
        file.write_all(piece).unwrap();
        // Time to get it wrong: whatever is saved meanwhile arrives.
        let beside = format!("beside {number}");
        pair.write(&beside, &beside);
        eventually("the file beside it is there", || pair.remote(&beside).is_some());
        assert_eq!(pair.remote("slow"), None);
    }
    drop(file);
    eventually("the file is there", || pair.remote("slow").is_some());
    assert!(pair.remote("slow") == Some(content));
    let puts = relay.requests().into_iter();
    let puts: Vec<_> = puts.filter(|it| it.starts_with("PUT ") && it.contains("/slow")).collect();
    assert_eq!(puts.len(), 1, "{puts:?}");
}
