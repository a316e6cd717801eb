//! The adapter of OpenStack Swift on Swift, and on stubs where a server has to misbehave.

use crate::common::bench::TempFolder;
use crate::common::contract::{self, Breaks, Bytes, Flaw, Notes, Server, pattern};
use crate::common::opened::{Opened, TIME};
use crate::common::pair::{Pair, Peer};
use crate::common::peers::{SwiftPeer, keystone, swift_api};
use crate::common::proxy::{Act, Proxy, Request, reply};
use mooring::content::Content;
use mooring::error::{Kind, Result};
use mooring::hash::Hash;
use mooring::http::{Call, Cancel, Http, HttpOptions, Payload};
use mooring::model::{ItemKind, Version};
use mooring::remote::{Entry, Expect, Place, Removal, Resume as _};
use mooring::services;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, SystemTime};

fn try_open(settings: &[(&str, &str)], root: &str, idle: Duration) -> Result<Opened> {
    Opened::new("swift", settings, root, &HttpOptions { idle, ..HttpOptions::default() })
}

fn open_at(peer: &SwiftPeer, endpoint: &str, container: &str, root: &str) -> Opened {
    let mut settings = vec![
        ("endpoint", endpoint),
        ("key", &peer.key),
        ("container", container),
        ("segment-size", "2"),
    ];
    settings.extend(peer.settings.iter().map(|(key, value)| (*key, value.as_str())));
    try_open(&settings, root, Duration::from_secs(30)).unwrap()
}

fn open_peer(container: &str, root: &str) -> Opened {
    open_at(swift_api(), &swift_api().endpoint, container, root)
}

/// Opens a new container by way of a proxy, whose plan is made later.
fn open_behind_proxy(root: &str) -> (Opened, Proxy) {
    open_in(&swift_api().new_container(), root)
}

/// The same for one that is there.
fn open_in(container: &str, root: &str) -> (Opened, Proxy) {
    let peer = swift_api();
    let (server, path) = peer.endpoint.trim_start_matches("http://").split_once('/').unwrap();
    let proxy = Proxy::start(server);
    let endpoint = format!("http://{}/{path}", proxy.address);
    (open_at(peer, &endpoint, container, root), proxy)
}

/// Opens a server that lets everybody in and answers everything else so.
fn open_stub(answer: impl Fn(&Request) -> String + Send + Sync + 'static) -> Opened {
    let proxy = Proxy::start("127.0.0.1:9");
    let here = format!("http://{}", proxy.address);
    let endpoint = format!("{here}/auth/v1.0");
    let account = format!("X-Auth-Token: token\r\nX-Storage-Url: {here}/v1/AUTH_a\r\n");
    proxy.plan(move |request| match request.target.as_str() {
        "/auth/v1.0" => Act::Answer(reply("200 OK", &account, "")),
        _ => Act::Answer(answer(request)),
    });
    let settings =
        [("endpoint", endpoint.as_str()), ("user", "a:b"), ("key", "secret"), ("container", "c")];
    try_open(&settings, "", Duration::from_secs(1)).unwrap()
}

/// What another program does with its own token; the path begins with the container.
fn raw(method: &'static str, path: &str, fields: &[(&'static str, &str)], body: &[u8]) -> Vec<u8> {
    let peer = swift_api();
    let http = Http::new(&HttpOptions::default(), Cancel::default()).unwrap();
    let sign_in = || {
        let call = Call::new("GET", peer.endpoint.clone(), true);
        Ok(call.header("X-Auth-User", peer.settings[0].1.as_str()).header("X-Auth-Key", &*peer.key))
    };
    let told = http.call("signing in", &mut { sign_in }).unwrap();
    let (token, storage) = (told.header("x-auth-token"), told.header("x-storage-url"));
    let (token, url) = (token.unwrap(), format!("{}/{path}", storage.unwrap()));
    let ask = || {
        let mut call = Call::new(method, url.clone(), true).header("X-Auth-Token", token);
        call.headers.extend(fields.iter().map(|(name, value)| (*name, value.to_string())));
        Ok(if method == "PUT" { call.payload(Payload::Bytes(body)) } else { call })
    };
    let reply = http.call("the call", &mut { ask }).unwrap();
    assert!((200..300).contains(&reply.status), "{method} {path}: {}", reply.status);
    reply.bytes("the call").unwrap()
}

/// The segments that a container has, of all its files.
fn segments(container: &str) -> Vec<String> {
    let listed =
        swift_api().rclone(&["lsf", "-R", "--files-only", &format!("peer:{container}_segments")]);
    String::from_utf8(listed.stdout).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn swift_keeps_the_contract() {
    let opened = open_peer(&swift_api().new_container(), "some/root é+");
    let descriptor = services::find("swift").unwrap().descriptor();
    // It looks whether something is there when a request begins, not when it ends.
    let server = Server { creates_once: false, ..Server::of(descriptor) };
    contract::run_on(opened.remote, descriptor, &server);
}

#[test]
#[ignore = "takes a Keystone: tests/run --keystone"]
fn keystone_lets_us_in_as_it_lets_in_rclone() {
    for peer in keystone() {
        let pair = Pair::new(Peer::Swift(peer), &[]);
        pair.write("ours/small", "small");
        pair.write("ours/large", pattern(LARGE, 1));
        pair.put(&[("theirs/small", Some(b"there")), ("theirs/large", Some(&pattern(LARGE, 2)))]);
        let report = pair.sync();
        assert_eq!(
            (&report["uploaded"], &report["downloaded"]),
            (&2.into(), &2.into()),
            "{}",
            peer.name
        );
        pair.rclone(&["check", "--download", pair.local.to_str().unwrap(), "@"]);
        pair.is_equal();

        let opened = open_at(peer, &peer.endpoint, &peer.new_container(), "root");
        opened.create("file", b"bytes").unwrap();
        let with = |name: &str, value: &str| {
            let changed = |(key, old): &(&'static str, String)| {
                (*key, if *key == name { value.to_owned() } else { old.clone() })
            };
            let settings = peer.settings.iter().map(changed).collect();
            let (endpoint, key) = (peer.endpoint.clone(), peer.key.clone());
            let changed = SwiftPeer::at(peer.name, endpoint, settings, key);
            open_at(&changed, &changed.endpoint, "c", "").remote.test().unwrap_err()
        };
        for region in ["", "three"] {
            let error = with("region", region);
            assert!(
                error.kind() == Kind::Usage && error.to_string().contains("one, two"),
                "{error}"
            );
        }
        let nobody = with(peer.settings[0].0, "nobody");
        assert_eq!(nobody.kind(), Kind::SignIn, "{nobody}");
    }
    // Rackspace takes a key in the place of a password.
    let [.., peer] = keystone();
    let container = peer.new_container();
    let settings = [
        ("provider", "rackspace-us"),
        ("endpoint", &peer.endpoint),
        ("user", &peer.settings[0].1),
        ("key", &peer.key),
        ("region", "one"),
        ("container", &container),
    ];
    let opened = try_open(&settings, "", Duration::from_secs(60)).unwrap();
    opened.create("file", b"bytes").unwrap();
}

#[test]
#[ignore = "takes a Keystone: tests/run --keystone"]
fn the_contract_is_kept_behind_keystone() {
    let peer = &keystone()[1];
    let opened = open_at(peer, &peer.endpoint, &peer.new_container(), "root");
    let descriptor = services::find("swift").unwrap().descriptor();
    let server = Server { creates_once: false, ..Server::of(descriptor) };
    contract::run_on(opened.remote, descriptor, &server);
}

#[test]
fn each_call_takes_few_requests() {
    let opened = open_peer(&swift_api().new_container(), "root");
    opened.create("first", b"signs in, and learns what counts").unwrap();
    let mut version = Version::default();
    let small = opened.requests(|| version = opened.create("a", b"1").unwrap().print.version);
    assert_eq!(small, 1, "a small file");
    let over = Expect::Version(&version);
    assert_eq!(opened.requests(|| opened.write("a", b"2", over).unwrap()), 2, "a look before");
    version = opened.stat("a").unwrap().print.version;
    opened.remote.rename("a", "b", ItemKind::File, &version).unwrap();
    let rename = || opened.remote.rename("b", "c", ItemKind::File, &version).unwrap();
    assert_eq!(opened.requests(rename), 6, "two looks, a copy, a look at it, a look, a removal");
    assert_eq!(opened.requests(|| opened.remove("c", ItemKind::File, &version).unwrap()), 2);
    for n in 0..20 {
        opened.create(&format!("many/{n}"), b"bytes").unwrap();
    }
    version = opened.stat("many/0").unwrap().print.version;
    let paths: Vec<_> = (0..20).map(|n| format!("many/{n}")).collect();
    let removal =
        |path| Removal { place: Place::at(path), kind: ItemKind::File, version: &version };
    let removals: Vec<_> = paths.iter().map(|path| removal(path)).collect();
    let remove = || opened.remote.remove(&removals, &mut |_, result| result.unwrap());
    assert_eq!(opened.requests(remove), 20 + 1, "a look at each, and one removal");
    assert_eq!(opened.told().unwrap(), ["first"]);
    assert_eq!(opened.requests(|| opened.told().unwrap()), 2, "a page, and nothing after it");
}

#[test]
fn empty_files_are_looked_at_once_and_ours_never() {
    let container = swift_api().new_container();
    let opened = open_peer(&container, "");
    opened.create("ours", b"").unwrap();
    assert_eq!(opened.requests(|| opened.told().unwrap()), 2, "a page, and nothing after it");
    raw("PUT", &format!("{container}/theirs"), &[], b"");
    assert_eq!(opened.requests(|| opened.told().unwrap()), 3);
    assert_eq!(opened.requests(|| opened.told().unwrap()), 2);
    assert_eq!(opened.told().unwrap(), ["ours", "theirs"]);
}

const LARGE: usize = 24 << 20;

#[test]
fn a_change_in_a_large_file_sends_what_changed() {
    let container = swift_api().new_container();
    let opened = open_peer(&container, "folder");
    let mut bytes = pattern(LARGE, 1);
    let first = opened.create("large", &bytes).unwrap();
    let before = segments(&container);
    assert!(before.iter().all(|name| name.starts_with("folder/large/")), "{before:?}");
    let cuts = before.len();
    assert!((6..=24).contains(&cuts), "{cuts} segments of about 2 MiB");

    let change = |entry: &Entry, bytes: &[u8], most: u64, what: &str| {
        let before = opened.bytes_up();
        let new = opened.write("large", bytes, Expect::Version(&entry.print.version)).unwrap();
        let sent = opened.bytes_up() - before;
        assert!(sent <= most << 20, "{what} sent {sent} bytes");
        assert!(opened.content("large") == *bytes, "{what}");
        assert_eq!(opened.stat("large").unwrap(), new, "{what}");
        new
    };
    bytes[LARGE / 2..LARGE / 2 + 4096].fill(0);
    let second = change(&first, &bytes, 8, "4 KiB in the middle");
    let after = segments(&container);
    let kept = after.iter().filter(|name| before.contains(name)).count();
    assert!(kept + 3 >= before.len(), "{before:?} {after:?}");
    assert!(after.len() <= kept + 3, "old segments are left: {before:?} {after:?}");

    let longer = [b"in front", bytes.as_slice()].concat();
    let third = change(&second, &longer, 8, "bytes in front");
    let shorter = change(&third, &longer[..LARGE / 2], 4, "half of it");
    let grown = [&longer[..LARGE / 2], b"at the end"].concat();
    let last = change(&shorter, &grown, 4, "bytes at the end");
    // A copy has segments of its own, and so each can go.
    opened.remote.copy("large", "copy", &last.print.version).unwrap();
    opened.remove("large", ItemKind::File, &last.print.version).unwrap();
    assert!(segments(&container).iter().all(|name| name.starts_with("folder/copy/")));
    assert!(opened.content("copy") == grown);
    let version = opened.stat("copy").unwrap().print.version;
    assert_eq!(opened.stat("copy").unwrap().hash, last.hash);
    opened.remote.rename("copy", "moved", ItemKind::File, &version).unwrap();
    assert!(segments(&container).iter().all(|name| name.starts_with("folder/moved/")));
    assert!(opened.content("moved") == grown);
    // One that is small by now needs none.
    opened.write("moved", b"small", Expect::Version(&version)).unwrap();
    assert_eq!(segments(&container), [""; 0]);
}

#[test]
fn segments_that_are_in_use_stay() {
    let container = swift_api().new_container();
    let opened = open_peer(&container, "");
    let bytes = pattern(LARGE, 2);
    let notes = Notes::default();
    let content = Bytes::with(&bytes, Flaw::None);
    let entry = opened.remote.write("large", &content, TIME, Expect::Absent, &notes).unwrap();
    // The program was killed before it knew that the upload had come to its end.
    opened.remote.abandon(&notes.load().unwrap()).unwrap();
    assert!(opened.content("large") == bytes);
    opened.remove("large", ItemKind::File, &entry.print.version).unwrap();
    opened.remote.abandon(&notes.load().unwrap()).unwrap();
    assert_eq!(segments(&container), [""; 0]);
    opened.remote.abandon(b"of another service").unwrap();
}

#[test]
fn old_versions_keep_their_segments() {
    let (container, old) = (swift_api().new_container(), swift_api().new_container());
    let place = old.rsplit('/').next().unwrap();
    raw("POST", &container, &[("X-History-Location", place)], b"");
    let opened = open_peer(&container, "");
    let bytes = pattern(LARGE, 2);
    let first = opened.create("large", &bytes).unwrap().print.version;
    let second = opened.write("large", b"small", Expect::Version(&first)).unwrap().print.version;
    opened.remove("large", ItemKind::File, &second).unwrap();
    let kept = open_peer(&old, "");
    let versions = kept.told().unwrap();
    let contents: Vec<_> = versions.iter().map(|path| kept.content(path)).collect();
    assert!(contents.contains(&bytes), "{versions:?}");
}

#[test]
fn an_upload_goes_on_where_it_stopped() {
    let container = swift_api().new_container();
    let opened = open_peer(&container, "");
    let bytes = pattern(LARGE, 9);
    let content = Breaks::at(&bytes, 22 << 20);
    let notes = Notes::default();
    let write =
        |content: &dyn Content| opened.remote.write("large", content, TIME, Expect::Absent, &notes);
    assert_eq!(write(&content).unwrap_err().kind(), Kind::Cancelled);
    assert!(opened.told().unwrap().is_empty() && opened.stat("large").is_none());
    assert!(!segments(&container).is_empty());
    content.broken.store(false, SeqCst);
    let before = opened.bytes_up();
    let entry = write(&content).unwrap();
    assert!(opened.bytes_up() - before < 10 << 20, "segments were sent again");
    assert!(opened.content("large") == bytes);
    assert_eq!(opened.stat("large").unwrap(), entry);
    assert!(entry.hash.is_some());

    // Those of a content that isn't there any more are dropped, and so are those that nobody wants.
    let other = pattern(LARGE - 1, 10);
    let half = Breaks::at(&other, 20 << 20);
    let (over, notes) = (Expect::Version(&entry.print.version), Notes::default());
    let stopped = opened.remote.write("large", &half, TIME, over, &notes);
    assert_eq!(stopped.unwrap_err().kind(), Kind::Cancelled);
    let with_half = segments(&container);
    opened.remote.abandon(&notes.load().unwrap()).unwrap();
    assert!(segments(&container).len() < with_half.len());
    assert!(opened.content("large") == bytes);
}

#[test]
fn rclone_and_we_read_each_others_files() {
    let peer = swift_api();
    let container = peer.new_container();
    let opened = open_peer(&container, "");
    let version = opened.create("ours", b"ours").unwrap().print.version;
    opened.remote.copy("ours", "ours, copied", &version).unwrap();
    opened.create("ours, large", &pattern(6 << 20, 1)).unwrap();
    let lsjson = peer.rclone(&["lsjson", "--hash", &format!("peer:{container}")]);
    let lsjson = String::from_utf8(lsjson.stdout).unwrap();
    assert_eq!(lsjson.matches("2020-09-13T12:26:40.123456789Z").count(), 3, "{lsjson}");

    let folder = TempFolder::new();
    let bytes = pattern(12 << 20, 3);
    let time = SystemTime::UNIX_EPOCH + Duration::new(1_500_000_000, 250_000_000);
    for (name, bytes) in [("theirs", b"theirs".as_slice()), ("theirs, large", &bytes)] {
        let file = folder.path().join(name);
        std::fs::write(&file, bytes).unwrap();
        std::fs::File::options().write(true).open(&file).unwrap().set_modified(time).unwrap();
    }
    let from = folder.path().to_str().unwrap();
    assert!(peer.rclone(&["copy", from, &format!("peer:{container}")]).status.success());
    let entry = opened.stat("theirs").unwrap();
    assert_eq!(entry.print.mtime, Some(1_500_000_000_250_000_000));
    assert!(matches!(entry.hash, Some(Hash::Md5([0xce, ..]))));
    let large = opened.stat("theirs, large").unwrap();
    assert_eq!((large.print.mtime, large.hash), (entry.print.mtime, None));
    assert!(opened.content("theirs, large") == bytes);
    let mut listed = Vec::new();
    let list = opened.remote.list("", &mut |path, entry| {
        listed.extend(path.starts_with("theirs").then_some(entry.print.version));
        Ok(())
    });
    list.unwrap();
    assert_eq!(listed, [entry.print.version, large.print.version.clone()]);

    // Its segments tell whether two contents are the same.
    let has = |bytes: &[u8]| {
        let content = Bytes::with(bytes, Flaw::None);
        opened.remote.has_content(Place::at("theirs, large"), &large.print.version, &content)
    };
    assert_eq!(has(&bytes).unwrap(), Some(true));
    let mut other = bytes.clone();
    other[7 << 20] ^= 1;
    assert_eq!(has(&other).unwrap(), Some(false));
    assert_eq!(has(&bytes[1..]).unwrap(), Some(false));
    // What changed in it is sent, and rclone's segments go with what they were of.
    let before = opened.bytes_up();
    opened.write("theirs, large", &other, Expect::Version(&large.print.version)).unwrap();
    assert!(opened.content("theirs, large") == other);
    assert!(opened.bytes_up() - before <= 14 << 20);
    let names = segments(&container);
    let of_theirs = names.iter().filter(|name| name.starts_with("theirs, large/"));
    let folders: BTreeSet<_> =
        of_theirs.filter_map(|name| name.rsplit_once('/')).map(|it| it.0).collect();
    assert_eq!(folders.len(), 1, "{names:?}");
}

#[test]
fn a_dynamic_large_object_is_read_as_it_is() {
    let container = swift_api().new_container();
    let prefix = format!("{container}_segments/large/1");
    raw("PUT", &format!("{container}_segments"), &[], b"");
    raw("PUT", &format!("{prefix}/1"), &[], b"hello, ");
    raw("PUT", &format!("{prefix}/2"), &[], b"world");
    let manifest = format!("{prefix}/");
    let fields = [("X-Object-Manifest", &*manifest), ("X-Object-Meta-Mtime", "1500000000.25")];
    raw("PUT", &format!("{container}/large"), &fields, b"");
    let opened = open_peer(&container, "");
    let entry = opened.stat("large").unwrap();
    assert_eq!((entry.print.size, entry.hash), (12, None));
    assert_eq!(entry.print.mtime, Some(1_500_000_000_250_000_000));
    assert_eq!(opened.content("large"), b"hello, world");
    for _ in 0..2 {
        let mut listed = None;
        let list = opened.remote.list("", &mut |_, entry| {
            listed = Some(entry);
            Ok(())
        });
        list.unwrap();
        assert_eq!(listed.as_ref(), Some(&entry));
    }
    let copied = opened.remote.copy("large", "copied", &entry.print.version).unwrap();
    opened.write("large", b"small", Expect::Version(&entry.print.version)).unwrap();
    assert_eq!(opened.content("large"), b"small");
    assert!(segments(&container).iter().all(|name| name.starts_with("copied/")));
    assert_eq!(opened.content("copied"), b"hello, world");
    assert_eq!(opened.stat("copied").unwrap(), copied);
}

#[test]
fn segments_of_others_are_left_alone() {
    let container = swift_api().new_container();
    let opened = open_peer(&container, "");
    opened.create("photo", b"a file that is also a part").unwrap();
    let manifest = format!("[{{\"path\":\"/{container}/photo\"}}]");
    raw("PUT", &format!("{container}/album?multipart-manifest=put"), &[], manifest.as_bytes());
    let manifest = format!("{container}/pho");
    raw("PUT", &format!("{container}/all"), &[("X-Object-Manifest", &*manifest)], b"");
    for name in ["album", "all"] {
        assert_eq!(opened.content(name), b"a file that is also a part");
        let version = opened.stat(name).unwrap().print.version;
        opened.remove(name, ItemKind::File, &version).unwrap();
    }
    assert_eq!(opened.told().unwrap(), ["photo"]);
}

#[test]
fn folders_of_every_style_are_known_and_go_when_they_are_empty() {
    let container = swift_api().new_container();
    let folder = [("Content-Type", "application/directory")];
    for (name, fields, bytes) in [
        ("bare", &folder[..], &b""[..]),
        ("bare-file", &[], b"1"),
        ("bare.full", &folder, b""),
        ("bare.full/file", &[], b"2"),
        ("bytes", &folder, b"3"),
        ("both", &folder, b""),
        ("both/", &folder, b""),
        ("slash/", &folder, b""),
        ("pseudo/", &[("Content-Type", "application/pseudo-folder")], b""),
    ] {
        raw("PUT", &format!("{container}/{name}"), fields, bytes);
    }
    let opened = open_peer(&container, "");
    let expected = [
        "bare-file",
        "bare.full/",
        "bare.full/file",
        "bare/",
        "both/",
        "bytes",
        "pseudo/",
        "slash/",
    ];
    assert_eq!(opened.told().unwrap(), expected);
    let mut folders = Vec::new();
    let tell = opened.remote.folders(&mut |name| {
        folders.push(name.to_owned());
        Ok(())
    });
    tell.unwrap();
    assert_eq!(folders, ["bare.full", "bare", "both", "pseudo", "slash"]);

    let none = Version::default();
    for name in ["bare", "both", "slash", "pseudo"] {
        let folder = || opened.remote.stat(name, ItemKind::Folder).unwrap();
        assert_eq!(folder(), Some(Entry::folder("")), "{name}");
        assert_eq!(opened.stat(name), None, "{name}");
        opened.remote.make_folder(name).unwrap();
        opened.remove(name, ItemKind::Folder, &none).unwrap();
        assert_eq!(folder(), None, "{name}");
    }
    raw("PUT", &format!("{container}/full/"), &folder, b"no marker");
    for name in ["bare.full", "full"] {
        let full = opened.remove(name, ItemKind::Folder, &none);
        assert_eq!(full.unwrap_err().kind(), Kind::Exists, "{name}");
    }
    raw("DELETE", &format!("{container}/full/"), &[], b"");
    let file = opened.remote.make_folder("bare-file");
    assert_eq!(file.unwrap_err().kind(), Kind::Exists);
    assert_eq!(opened.told().unwrap(), ["bare-file", "bare.full/", "bare.full/file", "bytes"]);
}

#[test]
fn what_is_wrong_is_said() {
    let peer = swift_api();
    let container = peer.new_container();
    let open_with = |key: &str, container: &str| {
        let settings = [
            ("endpoint", peer.endpoint.as_str()),
            ("user", &peer.settings[0].1),
            ("key", key),
            ("container", container),
        ];
        try_open(&settings, "root", Duration::from_secs(30)).unwrap()
    };
    let right = open_with(&peer.key, &container);
    right.remote.test().unwrap();
    assert!(right.remote.stat("", ItemKind::Folder).unwrap().is_some());
    let missing = open_with(&peer.key, "no-such-container");
    assert_eq!(missing.remote.stat("", ItemKind::Folder).unwrap(), None);
    for (opened, kind, says) in [
        (missing, Kind::NotFound, "no-such-container"),
        (open_with("wr0ng", &container), Kind::SignIn, "key"),
    ] {
        let writes = opened.create("file", b"bytes").unwrap_err();
        for error in [opened.remote.test().unwrap_err(), writes] {
            assert_eq!(error.kind(), kind, "{error}");
            assert!(error.advice().contains(says), "{error}");
            assert!(!error.to_string().contains("wr0ng"), "{error}");
        }
    }
    // Nothing there speaks for an identity service.
    let port = peer.endpoint.trim_end_matches("/auth/v1.0");
    for endpoint in [format!("{port}/v3"), format!("{port}/v2.0"), format!("{port}/healthcheck")] {
        let settings = [
            ("endpoint", endpoint.as_str()),
            ("user", "nobody"),
            ("key", "wr0ng"),
            ("container", "c"),
        ];
        let opened = try_open(&settings, "", Duration::from_secs(30)).unwrap();
        let error = opened.remote.test().unwrap_err();
        assert_eq!(error.kind(), Kind::Protocol, "{error}");
        assert!(error.advice().contains("identity"), "{error}");
    }
}

#[test]
fn settings_that_make_no_sense_are_refused() {
    let base = [
        ("endpoint", "http://nas/auth/v1.0"),
        ("user", "u"),
        ("key", "very-secret"),
        ("container", "c"),
    ];
    let open = |settings: &[(&str, &str)]| {
        let all: BTreeMap<_, _> = base.iter().chain(settings).copied().collect();
        try_open(&all.into_iter().collect::<Vec<_>>(), "", Duration::from_secs(1)).map(drop)
    };
    let long = "c".repeat(248);
    for (settings, named) in [
        (&[("container", "a/b")][..], "container"),
        (&[("container", "..")], "container"),
        (&[("container", &long)], "container"),
        (&[("endpoint", "")], "endpoint"),
        (&[("endpoint", "http://")], "endpoint"),
        (&[("endpoint", "http://user@host/v3")], "endpoint"),
        (&[("endpoint", ""), ("provider", "softlayer")], "region"),
        (&[("endpoint", ""), ("provider", "softlayer"), ("region", "a.evil/")], "region"),
        (&[("user", "")], "user"),
        (&[("application-credential", "id")], "application-credential"),
        (&[("project", "a"), ("project-id", "b")], "project-id"),
        (&[("domain", "a"), ("domain-id", "b")], "domain-id"),
        (&[("auth-version", "4")], "auth-version"),
        (&[("segment-size", "0")], "segment-size"),
        (&[("interface", "secret")], "interface"),
        (&[("provider", "nobody")], "provider"),
    ] {
        let error = open(settings).unwrap_err();
        assert_eq!(error.kind(), Kind::Usage, "{settings:?}");
        assert!(error.to_string().contains(&format!("setting {named} ")), "{error}");
        assert!(!error.to_string().contains("very-secret"), "{error}");
    }
    for settings in [
        &[("container", "a b?é.")][..],
        &[("endpoint", ""), ("provider", "rackspace-uk")],
        &[("endpoint", ""), ("provider", "softlayer"), ("region", "dal05")],
        &[("endpoint", "http://nas:5000"), ("application-credential", "id"), ("user", "")],
    ] {
        open(settings).unwrap();
    }
}

/// What a sign-in to Keystone's third version tells, with these addresses by their regions.
fn keystone_told(storage: &[(&str, &str)]) -> String {
    let endpoint = |(region, url): &(&str, &str)| serde_json::json!({ "interface": "public", "region": region, "url": url });
    let endpoints: Vec<_> = storage.iter().map(endpoint).collect();
    let catalog = serde_json::json!([
        { "type": "identity", "endpoints": [] },
        { "type": "object-store", "name": "swift", "endpoints": endpoints },
    ]);
    serde_json::json!({ "token": { "catalog": catalog } }).to_string()
}

/// Opens a server that signs in so, whatever it is told, and answers everything else so.
fn open_keystone(
    path: &str,
    settings: &[(&str, &str)],
    answer: impl Fn(&Request, &str) -> String + Send + Sync + 'static,
) -> Opened {
    let proxy = Proxy::start("127.0.0.1:9");
    let here = format!("http://{}", proxy.address);
    let endpoint = format!("{here}{path}");
    proxy.plan(move |request| Act::Answer(answer(request, &here)));
    let mut all = vec![
        ("endpoint", endpoint.as_str()),
        ("user", "nasuser"),
        ("key", "secret"),
        ("container", "c"),
    ];
    all.extend(settings);
    try_open(&all, "", Duration::from_secs(1)).unwrap()
}

#[test]
fn a_token_is_renewed_when_it_is_refused() {
    let (signs_in, asked) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let opened = open_keystone("/v3", &[], move |request, here| {
        if request.target == "/v3/auth/tokens" {
            let count = signs_in.fetch_add(1, SeqCst);
            let fields = format!("X-Subject-Token: {count}\r\n");
            let account = format!("{here}/v1/AUTH_a");
            return reply("201 Created", &fields, &keystone_told(&[("one", &account)]));
        }
        // The first token is refused at its third use, the second one at once.
        let refused = match request.header("x-auth-token") {
            "0" => asked.fetch_add(1, SeqCst) >= 2,
            token => token == "1",
        };
        match refused {
            true => reply("401 Unauthorized", "X-Trans-Id: t\r\n", ""),
            false => reply("200 OK", "", "[]"),
        }
    });
    assert_eq!(opened.requests(|| opened.remote.test().unwrap()), 2, "signs in, and asks");
    assert_eq!(opened.requests(|| opened.remote.test().unwrap()), 1);
    // A token that isn't taken either is no matter of time.
    let mut error = None;
    assert_eq!(opened.requests(|| error = opened.remote.test().err()), 3);
    assert_eq!(error.unwrap().kind(), Kind::SignIn);
    assert_eq!(opened.requests(|| opened.remote.test().unwrap()), 3);
}

#[test]
fn the_region_is_chosen_or_told() {
    let answer = |request: &Request, here: &str| match request.target.as_str() {
        "/v3/auth/tokens" => {
            let [one, two] = ["one", "two"].map(|region| format!("{here}/{region}/v1/AUTH_a"));
            let fields = "X-Subject-Token: token\r\n";
            reply("201 Created", fields, &keystone_told(&[("one", &one), ("two", &two)]))
        }
        target if target.starts_with("/two/v1/AUTH_a/c?") => reply("200 OK", "", "[]"),
        _ => reply("404 Not Found", "X-Trans-Id: t\r\n", ""),
    };
    open_keystone("", &[("region", "two")], answer).remote.test().unwrap();
    for settings in [&[][..], &[("region", "three")]] {
        let error = open_keystone("/v3", settings, answer).remote.test().unwrap_err();
        assert_eq!(error.kind(), Kind::Usage);
        assert!(
            error.to_string().contains("there are one, two")
                || error.to_string().contains("but one, two"),
            "{error}"
        );
    }
    let elsewhere = [("region", "two"), ("interface", "internal")];
    let error = open_keystone("/v3", &elsewhere, answer).remote.test().unwrap_err();
    assert!(error.kind() == Kind::SignIn && error.to_string().contains("internal"), "{error}");
}

#[test]
fn what_keystone_says_is_told() {
    let refused = r#"{"error": {"code": 401, "message": "The request you have made requires authentication."}}"#;
    let opened = open_keystone("/v3", &[], move |_, _| reply("401 Unauthorized", "", refused));
    let error = opened.remote.test().unwrap_err();
    assert_eq!(error.kind(), Kind::SignIn);
    assert!(error.to_string().contains("requires authentication"), "{error}");
    assert!(error.advice().contains("domain"), "{error}");
    assert!(!error.to_string().contains("secret"), "{error}");
    for (status, body) in [
        ("200 OK", "Welcome to the hotel"),
        ("201 Created", "{}"),
        ("404 Not Found", ""),
        ("300 Multiple Choices", "{}"),
    ] {
        for path in ["/v3", "/v2.0", "/v1.0"] {
            let opened = open_keystone(path, &[], move |_, _| reply(status, "", body));
            assert_eq!(opened.remote.test().unwrap_err().kind(), Kind::Protocol, "{status} {path}");
        }
    }
}

#[test]
fn a_busy_service_is_waited_for_as_long_as_it_asks() {
    for status in ["429 Too Many Requests", "498 Rate Limited", "503 Service Unavailable"] {
        let count = AtomicUsize::new(0);
        let opened = open_stub(move |_| match count.fetch_add(1, SeqCst) {
            0 => reply(status, "Retry-After: 0\r\n", ""),
            1 => reply("200 OK", "", "[]"),
            _ => reply(status, "Retry-After: 3600\r\n", ""),
        });
        assert_eq!(opened.requests(|| opened.remote.test().unwrap()), 3, "with the sign-in");
        let error = opened.remote.test().unwrap_err();
        assert_eq!((error.kind(), error.wait()), (Kind::Busy, Some(Duration::from_secs(3600))));
    }
}

#[test]
fn nonsense_is_never_an_empty_listing() {
    let row = |name: &str| {
        format!(
            "{{\"name\":\"{name}\",\"hash\":\"h\",\"bytes\":1,\"content_type\":\"\",\"last_modified\":\"\"}}"
        )
    };
    for body in [
        "<html><body>Welcome to the hotel</body></html>",
        "",
        "{}",
        "null",
        "[",
        "[{}]",
        "[1]",
        "[{\"name\":\"a\"}]",
        "[{\"name\":\"a\",\"hash\":\"h\",\"bytes\":-1}]",
        &format!("[{},{}]", row("b"), row("a")),
        &format!("[{},{}]", row("a"), row("a")),
        // It never ends.
        &format!("[{}]", row("a")),
        &"[".repeat(100_000),
    ] {
        let body = body.to_owned();
        let opened = open_stub(move |_| reply("200 OK", "", &body));
        assert_eq!(opened.told().unwrap_err().kind(), Kind::Protocol);
    }
}

#[test]
fn a_short_page_is_not_the_end() {
    let opened = open_stub(|request| {
        let row = |name: &str| format!("[{{\"name\":\"{name}\",\"hash\":\"h\",\"bytes\":1}}]");
        let body = match request.target.split_once("marker=") {
            None => row("a"),
            Some((_, marker)) if marker.starts_with("a") => row("b"),
            Some(_) => "[]".into(),
        };
        reply("200 OK", "", &body)
    });
    assert_eq!(opened.told().unwrap(), ["a", "b"]);
}

#[test]
fn segments_on_short_pages_are_all_found() {
    let [first, second] = ["c4ca4238a0b923820dcc509a6f75849b", "c81e728d9d4c2f636f067f89cc14862c"];
    let opened = open_stub(move |request| {
        let row = |name: &str, hash: &str| {
            format!("[{{\"name\":\"large/{name}\",\"hash\":\"{hash}\",\"bytes\":1}}]")
        };
        let fields =
            "X-Object-Manifest: c_segments/large/\r\nEtag: 302cbafc0dfbc97f30d576a6f394dad3\r\n";
        match (request.method.as_str(), request.target.split_once("marker=large%2F")) {
            ("HEAD", _) => reply("200 OK", fields, "12"),
            (_, None) => reply("200 OK", "", &row("1", first)),
            (_, Some((_, marker))) if marker.starts_with('1') => {
                reply("200 OK", "", &row("2", second))
            }
            _ => reply("200 OK", "", "[]"),
        }
    });
    let version = opened.stat("large").unwrap().print.version;
    let same = |bytes: &[u8]| {
        let content = Bytes::with(bytes, Flaw::None);
        opened.remote.has_content(Place::at("large"), &version, &content).unwrap()
    };
    assert_eq!((same(b"12"), same(b"13")), (Some(true), Some(false)));
}

#[test]
fn objects_that_no_path_can_name_are_told_to_nobody() {
    let names = ["../a", "./a", "/", "//", "/a", "a/./b", "a//", "a//b", "b%2", "d/.."];
    let rows = names.map(|name| format!("{{\"name\":\"{name}\",\"hash\":\"h\",\"bytes\":1}}"));
    let body = format!("[{}]", rows.join(","));
    let opened = open_stub(move |request| match request.target.contains("marker=") {
        true => reply("200 OK", "", "[]"),
        false => reply("200 OK", "", &body),
    });
    assert_eq!(opened.told().unwrap(), ["b%2"]);
}

#[test]
fn a_page_instead_of_a_file_is_not_a_removed_file() {
    let html = "Content-Type: text/html\r\n";
    let opened = open_stub(move |_| reply("404 Not Found", html, "<html></html>"));
    let version = Version::new("v");
    for error in [
        opened.remote.read("a", &version, 0..u64::MAX).err(),
        opened.remote.stat("a", ItemKind::File).err(),
        opened.remote.stat("a", ItemKind::Folder).err(),
        opened.remove("a", ItemKind::File, &version).err(),
        opened.remote.test().err(),
    ] {
        assert_eq!(error.unwrap().kind(), Kind::Protocol);
    }
}

#[test]
fn a_reply_that_breaks_off_is_offline() {
    let short = reply("200 OK", "ETag: v\r\n", "abc").replace("Length: 3", "Length: 9");
    let opened = open_stub(move |_| short.clone());
    let mut download = opened.remote.read("a", &Version::new("v"), 0..u64::MAX).unwrap();
    assert!(download.reader.read_to_end(&mut Vec::new()).is_err());
}

#[test]
fn a_write_whose_reply_was_lost_is_known_as_ours() {
    let (opened, proxy) = open_behind_proxy("");
    opened.create("first", b"learns that conditions count").unwrap();
    let lose_first = |which: fn(&str, &str) -> bool| {
        let count = AtomicUsize::new(0);
        proxy.plan(move |request| {
            match which(&request.method, &request.target) && count.fetch_add(1, SeqCst) == 0 {
                true => Act::Lose,
                false => Act::Pass,
            }
        });
    };
    lose_first(|method, target| method == "PUT" && target.ends_with("/file"));
    let first = opened.create("file", b"ours").unwrap();
    assert_eq!(opened.stat("file").unwrap(), first);
    lose_first(|method, target| method == "PUT" && target.ends_with("/file"));
    let second = opened.write("file", b"over", Expect::Version(&first.print.version)).unwrap();
    assert_eq!(opened.stat("file").unwrap(), second);
    lose_first(|_, target| target.contains("multipart-manifest=put"));
    let large = opened.create("large", &pattern(6 << 20, 4)).unwrap();
    assert_eq!(opened.stat("large").unwrap(), large);
    lose_first(|method, _| method == "DELETE");
    opened.remove("file", ItemKind::File, &second.print.version).unwrap();
    assert_eq!(opened.told().unwrap(), ["first", "large"]);
    assert_eq!(proxy.heal(), 1);
}

#[test]
fn somebody_elses_file_is_not_taken_for_ours_after_a_lost_reply() {
    let (opened, proxy) = open_behind_proxy("");
    opened.create("first", b"learns that conditions count").unwrap();
    let count = AtomicUsize::new(0);
    // The first attempt never arrives, and they write before the second.
    proxy.plan(move |request| {
        if request.method != "PUT" || count.fetch_add(1, SeqCst) > 0 {
            return Act::Pass;
        }
        let container = request.target.split('/').nth(3).unwrap();
        open_peer(container, "").create("contested", b"them").unwrap();
        Act::CutRequest(1)
    });
    assert_eq!(opened.create("contested", b"ours").unwrap_err().kind(), Kind::Exists);
    assert_eq!(opened.content("contested"), b"them");
}

#[test]
fn a_server_that_ignores_conditions_is_found_out() {
    // What a server without them does with each PUT; the file is there from the first on.
    let (there, puts) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let opened = open_stub(move |request| {
        let sum = request.header("etag").to_owned();
        let fields = format!("X-Trans-Id: t\r\nEtag: {sum}\r\n");
        match request.method.as_str() {
            "PUT" => {
                there.store(1, SeqCst);
                puts.fetch_add(1, SeqCst);
                reply("201 Created", &fields, "")
            }
            _ if there.swap(0, SeqCst) == 0 => reply("404 Not Found", "X-Trans-Id: t\r\n", ""),
            _ => reply("200 OK", "X-Trans-Id: t\r\nEtag: theirs\r\nContent-Length: 0\r\n", ""),
        }
    });
    assert_eq!(opened.requests(|| opened.create("a", b"1").unwrap()), 4, "a look, and twice");
    // From now on it looks itself: the first time it finds something.
    assert_eq!(opened.create("a", b"2").unwrap_err().kind(), Kind::Exists);
    assert_eq!(opened.requests(|| opened.create("a", b"2").unwrap()), 2, "a look, and once");
}

#[test]
fn what_another_wrote_over_a_copy_is_not_taken_for_it() {
    let (opened, proxy) = open_behind_proxy("");
    let version = opened.create("old", b"ours").unwrap().print.version;
    let copied = AtomicUsize::new(0);
    proxy.plan(move |request| {
        if !request.header("x-copy-from").is_empty() {
            copied.store(1, SeqCst);
        } else if request.method == "HEAD" && copied.swap(0, SeqCst) > 0 {
            let container = request.target.split('/').nth(3).unwrap();
            open_peer(container, "").overwrite("new", b"them");
        }
        Act::Pass
    });
    let moved = opened.remote.rename("old", "new", ItemKind::File, &version);
    assert_eq!(moved.unwrap_err().kind(), Kind::Changed);
    assert_eq!((opened.content("old"), opened.content("new")), (b"ours".into(), b"them".into()));
}

#[test]
fn a_second_attempt_neither_overwrites_nor_removes_what_came_between() {
    let container = swift_api().new_container();
    let (opened, proxy) = open_in(&container, "");
    let theirs = Arc::new(open_peer(&container, ""));
    let other = opened.create("other", b"other").unwrap().print.version;
    let large = pattern(3 << 20, 1);
    for how in ["create", "write", "join", "copy", "remove", "batch"] {
        if let Some(seen) = opened.stat("contested") {
            opened.remove("contested", ItemKind::File, &seen.print.version).unwrap();
        }
        let absent = matches!(how, "create" | "copy");
        let seen = (!absent).then(|| opened.create("contested", b"ours").unwrap().print.version);
        let (theirs, count) = (theirs.clone(), AtomicUsize::new(0));
        // The first attempt fails, and they write before the second.
        proxy.plan(move |request| {
            let is_last = match request.method.as_str() {
                "PUT" => !request.target.contains("_segments"),
                method => matches!(method, "POST" | "DELETE"),
            };
            if !is_last || count.fetch_add(1, SeqCst) > 0 {
                return Act::Pass;
            }
            theirs.overwrite("contested", b"them");
            Act::Answer(reply("503 Service Unavailable", "", ""))
        });
        let done = match (how, &seen) {
            ("copy", _) => opened.remote.copy("other", "contested", &other).map(drop),
            ("remove", Some(seen)) => opened.remove_files(&[("contested", seen)]),
            ("batch", Some(seen)) => opened.remove_files(&[("contested", seen), ("other", &other)]),
            ("join", Some(seen)) => {
                opened.write("contested", &large, Expect::Version(seen)).map(drop)
            }
            (_, Some(seen)) => opened.write("contested", b"over", Expect::Version(seen)).map(drop),
            (_, None) => opened.create("contested", b"ours").map(drop),
        };
        let kind = if absent { Kind::Exists } else { Kind::Changed };
        assert!(proxy.heal() > 0, "{how}");
        assert_eq!(done.map_err(|error| error.kind()), Err(kind), "{how}");
        assert_eq!(opened.content("contested"), b"them", "{how}");
    }
    assert_eq!(opened.told().unwrap(), ["contested"]);
}

#[test]
fn a_batch_of_which_not_all_is_told_is_not_all_removed() {
    for (errors, not_found) in [
        // It gave up after one, and one of another name.
        (r#"[["/c/a", "409 Conflict"]]"#, 0),
        (r#"[["c/a", "409 Conflict"]]"#, 2),
    ] {
        let opened = open_stub(move |request| match (request.method.as_str(), &*request.target) {
            ("GET", "/info") => {
                reply("200 OK", "", r#"{"bulk_delete": {"max_deletes_per_request": 9}}"#)
            }
            ("POST", _) => {
                let told = format!(
                    r#"{{"Response Status": "400 Bad Request", "Number Deleted": 0, "Number Not Found": {not_found}, "Errors": {errors}}}"#
                );
                reply("200 OK", "X-Trans-Id: t\r\n", &told)
            }
            _ => reply("200 OK", "X-Trans-Id: t\r\nEtag: e\r\nContent-Length: 0\r\n", ""),
        });
        let version = Version::new("e");
        let removals = ["a", "b", "d"].map(|path| Removal {
            place: Place::at(path),
            kind: ItemKind::File,
            version: &version,
        });
        let mut failed = 0;
        opened.remote.remove(&removals, &mut |_, result| failed += usize::from(result.is_err()));
        assert_eq!(failed, 3, "{errors}");
    }
}
