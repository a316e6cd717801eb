//! Large files of which only a part changes: the rest isn't sent again where the service can copy it, nor fetched again
//! where the service tells what it is made of, and whatever is known wrongly, both sides end up with the file.

use crate::common::contract::pattern;
use crate::common::pair::{Pair, Peer, eventually};
use crate::common::peers;
use crate::common::proxy::{Act, Proxy, Request, reply};
use crate::common::relay::Relay;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mooring::blocks::{Block, BlockHash, Blocks, Limits, Mapper};
use mooring::model::Version;
use mooring::store::{Key, Trees};
use serde_json::json;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

const MIB: usize = 1 << 20;
/// In several parts of 5 MiB and more.
const SIZE: usize = 16 * MIB;
/// In blocks of 512 KiB and more.
const FETCHED: usize = 40 * MIB;
/// More than any part of such a file has, as it is cut, with the requests around it.
const PART: u64 = 7 << 20;

/// A pair with one large file on both sides, and what it is.
fn large(peer: Peer, relay: Option<&Relay>, size: usize) -> (Pair, Vec<u8>) {
    let pair = Pair::through(peer, relay, &[]);
    small_blocks(&pair);
    let content = pattern(size, 3);
    pair.write("large", &content);
    pair.sync();
    (pair, content)
}

/// What is in several blocks there.
fn size_for(peer: Peer) -> usize {
    if matches!(peer, Peer::Azure(_) | Peer::Swift(_)) { SIZE / 2 } else { SIZE }
}

/// Has them as small as they can be, where the service tells them itself.
fn small_blocks(pair: &Pair) {
    let size = match pair.peer {
        Peer::Azure(_) => "block-size=1",
        Peer::Swift(_) => "segment-size=1",
        _ => return,
    };
    pair.done(&["connection", "set", "cloud", "--set", size]);
}

/// Another NAS with the same task, which has fetched everything.
fn another(pair: &Pair) -> Pair {
    let other = pair.another();
    small_blocks(&other);
    other.done(&other.task_line(&[]));
    other.sync();
    other
}

/// The same behind a proxy.
fn behind(peer: Peer) -> (Pair, Vec<u8>, Proxy) {
    let endpoint = match peer {
        Peer::S3(peer) => &peer.endpoint,
        Peer::B2(peer) => &peer.endpoint,
        Peer::Azure(peer) => &peer.endpoint,
        Peer::Swift(peer) => &peer.endpoint,
        _ => panic!("{} copies nothing and tells no blocks", peer.name()),
    };
    let proxy = Proxy::start(endpoint.split('/').nth(2).unwrap());
    let relay = Relay::before(&format!("http://{}/", proxy.address));
    let (pair, content) = large(peer, Some(&relay), size_for(peer));
    (pair, content, proxy)
}

/// The services that tell what a file is made of.
fn tellers() -> [Peer; 2] {
    [Peer::Azure(peers::azurite()), Peer::Swift(peers::swift_api())]
}

/// Other bytes in the middle of it.
fn edit(content: &mut [u8]) {
    let middle = content.len() / 2;
    content[middle..middle + 4096].fill(b'x');
}

fn copies(request: &Request) -> bool {
    ["x-amz-copy-source-range", "x-oss-copy-source-range", "x-cos-copy-source-range"]
        .iter()
        .any(|name| !request.header(name).is_empty())
        || request.target.ends_with("/b2_copy_part")
}

/// Changes a file in one way after the other. `most` is what a part has at most.
fn story(peer: Peer, size: usize, most: u64) {
    let relay = peer.relay();
    let (pair, mut content) = large(peer, Some(&relay), size);
    let first = relay.bytes();
    assert!(first > size as u64);
    let changed = |content: &[u8]| {
        let before = relay.bytes();
        pair.write("large", content);
        assert_eq!(pair.sync()["uploaded"], 1);
        let sent = relay.bytes() - before;
        assert!(pair.remote("large").as_deref() == Some(content), "{}", peer.name());
        sent
    };
    edit(&mut content);
    let sent = changed(&content);
    assert!(sent < most, "{}: changed in the middle: {sent}", peer.name());
    content.splice(0..0, *b"new at the front");
    let sent = changed(&content);
    assert!(sent < most, "{}: new at the front: {sent}", peer.name());
    content.extend(b"new at the end");
    let sent = changed(&content);
    assert!(sent < most, "{}: new at the end: {sent}", peer.name());
    content.truncate(content.len() - size / 16);
    let sent = changed(&content);
    assert!(sent < most, "{}: truncated: {sent}", peer.name());
    pair.is_equal();
    assert_eq!(pair.sync()["uploaded"], 0);
}

#[test]
fn only_what_changed_is_sent_to_swift() {
    story(Peer::S3(peers::swift()), SIZE, PART);
}

#[test]
fn only_what_changed_is_sent_to_moto() {
    story(Peer::S3(peers::moto()), SIZE, PART);
}

#[test]
fn only_what_changed_is_sent_in_each_dialect() {
    for peer in peers::s3_fronts() {
        let relay = Peer::S3(peer).relay();
        let (pair, mut content) = large(Peer::S3(peer), Some(&relay), SIZE);
        let before = relay.bytes();
        edit(&mut content);
        pair.write("large", &content);
        pair.sync();
        let sent = relay.bytes() - before;
        assert!(sent < PART, "{}: {sent}", peer.name);
        pair.is_equal();
    }
}

#[test]
fn only_what_changed_is_sent_to_azurite() {
    story(Peer::Azure(peers::azurite()), SIZE / 2, PART / 2);
}

#[test]
fn only_what_changed_is_sent_to_b2() {
    story(Peer::B2(peers::b2()), SIZE, PART);
}

#[test]
fn only_what_changed_is_sent_to_swift_by_its_own_api() {
    story(Peer::Swift(peers::swift_api()), SIZE / 2, PART / 2);
}

#[test]
fn a_moved_file_is_sent_in_part_too() {
    let stores = [
        Peer::S3(peers::swift()),
        Peer::S3(peers::moto()),
        Peer::B2(peers::b2()),
        Peer::Azure(peers::azurite()),
        Peer::Swift(peers::swift_api()),
    ];
    for peer in stores {
        let relay = peer.relay();
        let (pair, mut content) = large(peer, Some(&relay), size_for(peer));
        fs::create_dir(pair.local.join("folder")).unwrap();
        fs::rename(pair.local.join("large"), pair.local.join("folder/moved")).unwrap();
        let before = relay.bytes();
        assert_eq!(pair.sync()["moved"], 1, "{}", peer.name());
        edit(&mut content);
        pair.write("folder/moved", &content);
        assert_eq!(pair.sync()["uploaded"], 1);
        let sent = relay.bytes() - before;
        assert!(sent < PART, "{}: {sent}", peer.name());
        pair.is_equal();
    }
}

/// What another client has sent as it likes is cut on its way to the disk.
#[test]
fn a_fetched_file_is_sent_in_part_too() {
    for peer in [Peer::S3(peers::swift()), Peer::S3(peers::moto()), Peer::B2(peers::b2())] {
        let relay = peer.relay();
        let pair = Pair::through(peer, Some(&relay), &[]);
        let mut content = pattern(SIZE, 3);
        pair.put(&[("large", Some(&content))]);
        pair.sync();
        let before = relay.bytes();
        content.splice(0..0, *b"new at the front");
        pair.write("large", &content);
        assert_eq!(pair.sync()["uploaded"], 1);
        let sent = relay.bytes() - before;
        assert!(sent < PART, "{}: {sent}", peer.name());
        pair.is_equal();
    }
    for peer in tellers() {
        let relay = peer.relay();
        let (pair, mut content) = large(peer, Some(&relay), size_for(peer));
        let other = another(&pair);
        let before = relay.bytes();
        edit(&mut content);
        other.write("large", &content);
        assert_eq!(other.sync()["uploaded"], 1);
        let sent = relay.bytes() - before;
        assert!(sent < PART / 2, "{}: {sent}", peer.name());
        other.is_equal();
    }
}

/// What is never sent needs no blocks.
#[test]
fn a_task_that_only_downloads_keeps_no_blocks() {
    let pair = Pair::new(Peer::S3(peers::moto()), &["--direction", "download"]);
    pair.put(&[("large", Some(&pattern(SIZE / 2, 3)))]);
    pair.sync();
    let trees = Trees::open(&pair.state().join("tasks/1.redb")).unwrap();
    let snapshot = trees.snapshot().unwrap();
    let (key, _) = snapshot.items(None).unwrap().next().unwrap().unwrap();
    assert!(snapshot.blocks(&key).unwrap().is_none());
}

/// Another NAS changes a file in one way after the other, and this one fetches it.
fn fetched_story(peer: Peer) {
    let relay = peer.relay();
    let (pair, mut content) = large(peer, Some(&relay), FETCHED);
    let other = another(&pair);
    let fetched = |change: &str, content: &[u8], most: u64| {
        other.write("large", content);
        other.sync();
        let before = relay.bytes();
        assert_eq!(pair.sync()["downloaded"], 1);
        let fetched = relay.bytes() - before;
        assert!(fetched < most, "{}: {change}: {fetched}", peer.name());
        assert!(pair.read("large").as_deref() == Some(content), "{}: {change}", peer.name());
    };
    edit(&mut content);
    fetched("changed in the middle", &content, PART / 2);
    content.splice(0..0, *b"new at the front");
    fetched("new at the front", &content, PART / 2);
    // Nothing of it is there.
    fetched("replaced", &pattern(FETCHED / 4, 5), FETCHED as u64 / 3);
    pair.is_equal();
    assert_eq!(pair.sync()["downloaded"], 0);
}

#[test]
fn only_what_changed_is_fetched_from_azurite() {
    fetched_story(Peer::Azure(peers::azurite()));
}

#[test]
fn only_what_changed_is_fetched_from_swift_by_its_own_api() {
    fetched_story(Peer::Swift(peers::swift_api()));
}

#[test]
fn what_was_being_fetched_goes_on_or_begins_anew() {
    for peer in tellers() {
        let (pair, mut content, proxy) = behind(peer);
        let other = another(&pair);
        let quarter = content.len() / 4;
        for at in [quarter, 3 * quarter] {
            content[at..at + 4096].fill(b'x');
        }
        other.write("large", &content);
        other.sync();
        // What comes before the second of the changes is there by then.
        let asked = AtomicUsize::new(0);
        proxy.plan(move |request| {
            let second = first_of_range(request).is_some() && asked.fetch_add(1, SeqCst) == 1;
            if second { Act::CutReply(1000) } else { Act::Pass }
        });
        pair.run(&["sync", "docs"]);
        assert_eq!(proxy.heal(), 1, "{}", peer.name());
        let from = Arc::new(AtomicUsize::new(0));
        let told = from.clone();
        proxy.plan(move |request| match first_of_range(request) {
            None => Act::Pass,
            Some(first) => {
                told.store(first, SeqCst);
                Act::Hang
            }
        });
        let running = pair.start(&["sync", "docs"]);
        eventually("the change is on its way", || from.load(SeqCst) > 0);
        running.kill();
        proxy.heal();
        assert!(from.load(SeqCst) > 2 * quarter, "{}: {from:?}", peer.name());
        pair.sync();
        assert!(pair.is_equal()["large"].as_ref() == Some(&content), "{}", peer.name());
    }
}

/// The first byte of the part of a file that it asks for, if it does.
fn first_of_range(request: &Request) -> Option<usize> {
    let asked = ["range", "x-ms-range"].map(|name| request.header(name).strip_prefix("bytes="));
    let (first, _) = asked.into_iter().flatten().next()?.split_once('-')?;
    first.parse().ok()
}

/// Each block is said to be where another is; and none is told at all.
#[test]
fn what_is_told_wrongly_of_a_file_makes_no_wrong_file() {
    for (peer, lies) in tellers().into_iter().flat_map(|peer| [(peer, true), (peer, false)]) {
        let (pair, mut content, proxy) = behind(peer);
        let other = another(&pair);
        edit(&mut content);
        other.write("large", &content);
        other.sync();
        let told = told_blocks(&pair, &other, lies);
        let ranges = Arc::new(AtomicUsize::new(0));
        let count = ranges.clone();
        proxy.plan(move |request| {
            count.fetch_add(first_of_range(request).is_some().into(), SeqCst);
            if is_list(request) { Act::Answer(told.clone()) } else { Act::Pass }
        });
        assert_eq!(pair.sync()["downloaded"], 1);
        assert!(proxy.heal() > 0, "{}", peer.name());
        // What Swift's list says is compared with the version at once.
        let is_believed = lies && matches!(peer, Peer::Azure(_));
        assert_eq!(ranges.load(SeqCst) > 0, is_believed, "{}", peer.name());
        assert!(pair.is_equal()["large"].as_ref() == Some(&content), "{}", peer.name());
    }
}

/// Whether it asks what a file is made of.
fn is_list(request: &Request) -> bool {
    let asks = ["comp=blocklist", "multipart-manifest=get"];
    request.method == "GET" && asks.iter().any(|query| request.target.contains(query))
}

/// What says that a file is made of the blocks that the first NAS has of it, in another order, and one
/// that it doesn't have; else what says nothing.
fn told_blocks(pair: &Pair, other: &Pair, lies: bool) -> String {
    let trees = Trees::open(&other.state().join("tasks/1.redb")).unwrap();
    let (_, record) = trees.snapshot().unwrap().items(None).unwrap().next().unwrap().unwrap();
    let version = record.synced.unwrap().remote.version;
    let etag = format!("ETag: \"{}\"\r\n", version.as_str());
    let azure = matches!(pair.peer, Peer::Azure(_));
    let hash = if azure { BlockHash::Sha256(13) } else { BlockHash::Md5 };
    let limits = Limits { count: 1000, least: 0, most: 5 << 30, equal: false };
    let content = pair.read("large").unwrap();
    let mut mapper = Mapper::new(limits.cutter(MIB as u64 / 2), hash);
    mapper.update(&content);
    let mut blocks: Vec<_> = mapper.finish().iter().copied().collect();
    blocks.rotate_left(1);
    blocks[0].digest = [7; 16];
    if !lies {
        blocks.clear();
    }
    if azure {
        let block = |block: &Block| {
            let (name, size) = (STANDARD.encode(block.digest), block.length);
            format!("<Block><Name>{name}</Name><Size>{size}</Size></Block>")
        };
        let blocks: String = blocks.iter().map(block).collect();
        let xml = format!("<BlockList><CommittedBlocks>{blocks}</CommittedBlocks></BlockList>");
        return reply("200 OK", &format!("{etag}Content-Type: application/xml\r\n"), &xml);
    }
    let segment = |block: &Block| {
        let hash: String = block.digest.iter().map(|byte| format!("{byte:02x}")).collect();
        json!({ "name": "/c/segment", "bytes": block.length, "hash": hash })
    };
    let segments: Vec<_> = blocks.iter().map(segment).collect();
    let fields = format!("{etag}X-Static-Large-Object: True\r\n");
    reply("200 OK", &fields, &json!(segments).to_string())
}

#[test]
fn what_changes_on_the_disk_meanwhile_is_not_mixed_in() {
    for peer in tellers() {
        let (pair, mut content, proxy) = behind(peer);
        let other = another(&pair);
        edit(&mut content);
        other.write("large", &content);
        other.sync();
        // Beyond what is being fetched, nothing was taken from the disk yet.
        let mut ours = pair.read("large").unwrap();
        let end = ours.len();
        ours[end - 100..].fill(b'o');
        let (file, changed, done) =
            (pair.local.join("large"), ours.clone(), AtomicBool::new(false));
        proxy.plan(move |request| {
            if first_of_range(request).is_some() && !done.swap(true, SeqCst) {
                fs::write(&file, &changed).unwrap();
            }
            Act::Pass
        });
        pair.run(&["sync", "docs"]);
        proxy.heal();
        pair.sync();
        let tree = pair.is_equal();
        assert_eq!(tree.len(), 2, "{}", peer.name());
        for kept in [&content, &ours] {
            assert!(tree.values().any(|it| it.as_ref() == Some(kept)), "{}", peer.name());
        }
    }
}

/// Where the service tells the blocks, a lost state loses nothing; elsewhere the file is sent once.
#[test]
fn a_lost_state_costs_sending_the_file_at_most() {
    for (peer, size, is_told) in [
        (Peer::Azure(peers::azurite()), SIZE / 2, true),
        (Peer::S3(peers::swift()), SIZE, false),
        (Peer::B2(peers::b2()), SIZE, false),
    ] {
        let relay = peer.relay();
        let (pair, mut content) = large(peer, Some(&relay), size);
        fs::remove_dir_all(pair.state().join("tasks")).unwrap();
        pair.sync();
        for is_known in [is_told, true] {
            let before = relay.bytes();
            edit(&mut content);
            content.push(b'x');
            pair.write("large", &content);
            pair.sync();
            let sent = relay.bytes() - before;
            assert_eq!(sent < size as u64 / 2, is_known, "{}: {sent}", peer.name());
            pair.is_equal();
        }
    }
}

/// The version that the state knows the blocks of, and these.
fn known_blocks(pair: &Pair) -> (Trees, Key, Version, Blocks) {
    let trees = Trees::open(&pair.state().join("tasks/1.redb")).unwrap();
    let snapshot = trees.snapshot().unwrap();
    let (key, _) = snapshot.items(None).unwrap().next().unwrap().unwrap();
    let (version, blocks) = snapshot.blocks(&key).unwrap().unwrap();
    drop(snapshot);
    (trees, key, version, blocks)
}

#[test]
fn wrong_blocks_in_the_state_make_no_wrong_file() {
    for peer in [Peer::S3(peers::swift()), Peer::B2(peers::b2())] {
        let (pair, mut content, proxy) = behind(peer);
        let (trees, key, version, blocks) = known_blocks(&pair);
        // Each is said to be where another is.
        let mut blocks = serde_json::to_value(&blocks).unwrap();
        blocks.as_array_mut().unwrap().rotate_left(1);
        let mut batch = trees.batch().unwrap();
        batch.set_blocks(key, &version, &serde_json::from_value(blocks).unwrap()).unwrap();
        batch.commit().unwrap();
        drop(batch);
        drop(trees);
        let asked = Arc::new(AtomicUsize::new(0));
        let count = asked.clone();
        proxy.plan(move |request| {
            count.fetch_add(copies(request).into(), SeqCst);
            Act::Pass
        });
        edit(&mut content);
        pair.write("large", &content);
        pair.sync();
        assert!(asked.load(SeqCst) > 0);
        pair.is_equal();
    }
}

#[test]
fn blocks_are_forgotten_with_their_version() {
    let (pair, content) = large(Peer::S3(peers::swift()), None, SIZE);
    let (trees, key, ..) = known_blocks(&pair);
    drop(trees);
    // Smaller than a part.
    pair.put(&[("large", Some(&content[..SIZE / 4]))]);
    pair.sync();
    let trees = Trees::open(&pair.state().join("tasks/1.redb")).unwrap();
    assert!(trees.snapshot().unwrap().blocks(&key).unwrap().is_none());
}

/// Swift refuses to copy out of another version; moto copies out of it, which is found out.
#[test]
fn what_is_changed_meanwhile_is_not_mixed_in() {
    for peer in [peers::swift(), peers::moto()] {
        let (pair, mut content, proxy) = behind(Peer::S3(peer));
        let theirs = pattern(SIZE, 2);
        let pair = Arc::new(pair);
        let (there, done) = (pair.clone(), AtomicBool::new(false));
        let other = theirs.clone();
        proxy.plan(move |request| {
            if copies(request) && !done.swap(true, SeqCst) {
                there.put(&[("large", Some(&other))]);
            }
            Act::Pass
        });
        edit(&mut content);
        pair.write("large", &content);
        pair.run(&["sync", "docs"]);
        proxy.heal();
        pair.sync();
        let tree = pair.is_equal();
        assert_eq!(tree.len(), 2, "{}", peer.name);
        assert!(tree["large"].as_ref() == Some(&content), "{}", peer.name);
        assert!(tree.values().any(|it| it.as_ref() == Some(&theirs)), "{}", peer.name);
    }
}

#[test]
fn a_stopped_one_goes_on() {
    for peer in [Peer::S3(peers::swift()), Peer::B2(peers::b2())] {
        let (pair, mut content, proxy) = behind(peer);
        // Until the change is sent, the copies before it are there.
        let stopped = Arc::new(AtomicBool::new(false));
        let told = stopped.clone();
        proxy.plan(move |request| {
            let length: usize = request.header("content-length").parse().unwrap_or(0);
            if length < MIB {
                return Act::Pass;
            }
            told.store(true, SeqCst);
            Act::Hang
        });
        edit(&mut content);
        pair.write("large", &content);
        let running = pair.start(&["sync", "docs"]);
        eventually("the change is on its way", || stopped.load(SeqCst));
        running.kill();
        let again = Arc::new(AtomicUsize::new(0));
        let count = again.clone();
        proxy.plan(move |request| {
            let length: usize = request.header("content-length").parse().unwrap_or(0);
            count.fetch_add(length, SeqCst);
            Act::Pass
        });
        pair.sync();
        assert!(again.load(SeqCst) < PART as usize, "{}", peer.name());
        pair.is_equal();
    }
}

/// rclone has no copies of parts: it takes one for a part without bytes.
#[test]
fn a_service_that_copies_no_parts_is_sent_all_of_them() {
    let (pair, mut content, proxy) = behind(Peer::S3(peers::rclone_s3()));
    pair.write("another", &content);
    pair.sync();
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    proxy.plan(move |request| {
        count.fetch_add(copies(request).into(), SeqCst);
        Act::Pass
    });
    edit(&mut content);
    pair.write("large", &content);
    pair.write("another", &content);
    assert_eq!(pair.sync()["uploaded"], 2);
    // By each of those at once that send parts.
    assert!((1..=5).contains(&asked.load(SeqCst)), "{asked:?}");
    pair.is_equal();
}

#[test]
fn a_copy_that_is_told_wrongly_is_sent() {
    let (pair, mut content, proxy) = behind(Peer::S3(peers::swift()));
    let etag = "00000000000000000000000000000000";
    let xml = format!("<CopyPartResult><ETag>\"{etag}\"</ETag></CopyPartResult>");
    proxy.plan(move |request| {
        if copies(request) {
            return Act::Answer(reply("200 OK", "Content-Type: application/xml\r\n", &xml));
        }
        Act::Pass
    });
    edit(&mut content);
    pair.write("large", &content);
    pair.sync();
    assert!(proxy.heal() > 0);
    pair.is_equal();
}

#[test]
fn an_encrypted_file_is_sent_as_a_whole() {
    let peer = Peer::S3(peers::moto());
    let relay = peer.relay();
    let pair = Pair::through(peer, Some(&relay), &["--set", "encryption=contents"]);
    let mut content = pattern(SIZE / 2, 3);
    pair.write("large", &content);
    pair.sync();
    let before = relay.bytes();
    edit(&mut content);
    pair.write("large", &content);
    pair.sync();
    assert!(relay.bytes() - before > content.len() as u64);
    assert!(pair.remote("large") == Some(content));
}
