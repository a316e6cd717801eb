//! A connection to a server is used again for as long as there is something to ask.

use crate::common::pair::{Pair, Peer};
use crate::common::peers::{dropbox, google_drive, nginx, rclone_dav, rclone_s3, swift};

const FILES: usize = 40;
/// Each of four transfers has one, as have listings; some servers close one now and then.
const MOST: u64 = 10;

fn reuses(peer: Peer) {
    let relay = peer.relay();
    let pair = Pair::through(peer, Some(&relay), &[]);
    let name = |prefix: &str, number: usize| format!("{prefix}/{number}");
    let opened = |what: &str| {
        let before = relay.connections();
        let report = pair.sync();
        let opened = relay.connections() - before;
        assert!(opened <= MOST, "{}: {opened} connections for {what}", peer.name());
        report
    };

    (0..FILES).for_each(|it| pair.write(&name("up", it), vec![b'u'; it * 500]));
    assert_eq!(opened("uploads")["uploaded"], FILES);

    let names: Vec<String> = (0..FILES).map(|it| name("down", it)).collect();
    let bytes = vec![b'd'; FILES * 2000];
    let content = |it: usize| Some(&bytes[..it * 2000]);
    let files: Vec<_> = names.iter().enumerate().map(|(it, name)| (&**name, content(it))).collect();
    pair.put(&files);
    assert_eq!(opened("downloads")["downloaded"], FILES);

    (0..FILES).for_each(|it| pair.remove(&name(["up", "down"][it % 2], it)));
    assert_eq!(opened("removals")["deleted_remote"], FILES);
}

#[test]
fn by_s3() {
    [swift(), rclone_s3()].into_iter().for_each(|peer| reuses(Peer::S3(peer)));
}

#[test]
fn by_webdav() {
    [rclone_dav(), nginx()].into_iter().for_each(|peer| reuses(Peer::Dav(peer)));
}

#[test]
fn by_services_that_are_signed_in_to() {
    [google_drive(), dropbox()].into_iter().for_each(|peer| reuses(Peer::Fake(peer)));
}
