//! The daemon between a folder and a real server: what it does by itself, and where it goes on.
//!
//! Nothing here sleeps to be safe or asserts a time: a condition is polled for until it holds.

use crate::common::contract::pattern;
use crate::common::pair::{Pair, Peer, eventually};
use crate::common::peers;
use crate::common::relay::Relay;
use std::fs::File;
use std::io::Write;

/// In parts of 5 MiB on S3.
const LARGE: usize = 32 << 20;
const PARTS: usize = 7;

#[test]
fn changes_of_each_side_reach_the_other_over_s3() {
    for peer in [peers::moto(), peers::swift()] {
        let pair = Pair::new(Peer::S3(peer), &[]);
        let daemon = pair.daemon();
        pair.write("a/b/up", "from here");
        eventually("the local file is there", || {
            pair.remote("a/b/up") == Some(b"from here".into())
        });
        pair.put(&[("a/down", Some(b"from there"))]);
        eventually("the remote file is here", || pair.read("a/down") == Some(b"from there".into()));
        pair.rclone(&["deletefile", "@a/b/up"]);
        eventually("the local file is gone", || pair.read("a/b/up").is_none());
        pair.remove("a/down");
        eventually("the remote file is gone", || pair.remote("a/down").is_none());
        daemon.signal("TERM");
        let (ended, log) = daemon.end();
        assert!(ended, "{}: {log}", peer.name);
        pair.sync();
        pair.is_equal();
    }
}

#[test]
fn a_stopped_upload_goes_on_where_it_was() {
    for peer in [peers::moto(), peers::swift()] {
        let relay = Relay::before(&peer.endpoint);
        let pair = Pair::through(Peer::S3(peer), Some(&relay), &[]);
        let parts = || {
            let requests = relay.requests().into_iter();
            requests.filter(|line| line.contains("partNumber=")).collect::<Vec<_>>()
        };
        pair.write("large", pattern(LARGE, 1));
        let daemon = pair.daemon();
        eventually("two parts are sent", || parts().len() > 2);
        daemon.signal("TERM");
        let (ended, log) = daemon.end();
        assert!(ended, "{}: {log}", peer.name);
        assert_eq!(pair.remote("large"), None, "{}", peer.name);
        assert_eq!(pair.unfinished_uploads().len(), 1, "{}", peer.name);
        let (before, bytes) = (parts(), relay.bytes());
        assert!(before.len() < PARTS, "{}: it didn't stop", peer.name);

        let _daemon = pair.daemon();
        eventually("the upload is done", || pair.unfinished_uploads().is_empty());
        eventually("the task is idle", || pair.status()["tasks"][0]["state"] == "idle");
        assert!(pair.remote("large") == Some(pattern(LARGE, 1)), "{}", peer.name);
        // Only the part under way when it stopped is sent again.
        assert!(parts().len() <= PARTS + 1, "{}: {:?}", peer.name, parts());
        let rest = (LARGE - (before.len() - 1) * (5 << 20)) as u64;
        assert!(relay.bytes() - bytes < rest + (1 << 20), "{}", peer.name);
    }
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
