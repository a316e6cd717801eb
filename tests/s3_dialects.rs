//! The dialects of S3 and its providers, at fronts that play them before a real server.

use crate::common::contract::{self, pattern};
use crate::common::opened::Opened;
use crate::common::pair::{Pair, Peer};
use crate::common::peers::{S3Peer, cos, jd, moto, oss, python, s3_fronts, swift};
use crate::common::relay::Relay;
use crate::s3::{
    EMPTY, Request, answer, error_xml, open_at, open_peer, open_with, pass_on, stub, tunnel_to,
};
use mooring::error::{Error, Kind};
use mooring::http::HttpOptions;
use mooring::model::ItemKind;
use mooring::remote::Expect;
use mooring::services;
use std::io::{Read as _, Write as _};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

#[test]
fn official_clients_take_the_fronts_for_the_services() {
    for peer in s3_fronts() {
        let mut client = python("s3_clients.py");
        client.args([peer.service, &peer.endpoint, &peer.access_key, &peer.secret_key]);
        let output = client.arg(peer.new_bucket()).output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}: {told}", peer.name);
    }
}

/// Opens a service at its own host, to which a proxy leads.
fn open_by_name(peer: &S3Peer, server: &str, host: &str, bucket: &str, root: &str) -> Opened {
    let settings = [
        ("endpoint", host),
        ("region", &peer.region),
        ("bucket", bucket),
        ("access-key", &peer.access_key),
        ("secret-key", &peer.secret_key),
        ("part-size", "5"),
    ];
    let (proxy, _) = tunnel_to(server);
    let idle = Duration::from_secs(30);
    let options = HttpOptions { proxy: Some(proxy), idle, ..HttpOptions::default() };
    Opened::new(peer.service, &settings, root, &options).unwrap()
}

fn keeps_the_contract(peer: &S3Peer, host: &str) {
    let bucket = peer.new_bucket();
    let opened = open_by_name(peer, &peer.endpoint, host, &bucket, "some/root é");
    let descriptor = services::find(peer.service).unwrap().descriptor();
    let mut server = contract::Server::of(descriptor);
    // Swift behind it looks, then writes; JD has no conditions.
    server.creates_once = false;
    contract::run_on(opened.remote, descriptor, &server);
}

#[test]
fn oss_keeps_the_contract() {
    keeps_the_contract(oss(), "http://oss-cn-hangzhou.aliyuncs.com");
}

#[test]
fn cos_keeps_the_contract() {
    keeps_the_contract(cos(), "http://cos.ap-guangzhou.myqcloud.com");
}

#[test]
fn jd_keeps_the_contract() {
    keeps_the_contract(jd(), "http://s3.cn-north-1.jdcloud-oss.com");
}

#[test]
fn conditions_are_used_where_there_are_any() {
    for (peer, create, replace) in [(oss(), 1, 2), (cos(), 1, 2), (jd(), 2, 2)] {
        let opened = open_peer(peer, &peer.new_bucket(), "");
        let first = opened.create("first", b"1").unwrap();
        let create_one = || drop(opened.create("new", b"2").unwrap());
        assert_eq!(opened.requests(create_one), create, "{}", peer.name);
        let over = || {
            let expect = Expect::Version(&first.print.version);
            drop(opened.write("first", b"3", expect).unwrap());
        };
        assert_eq!(opened.requests(over), replace, "{}", peer.name);
        let stale = opened.write("first", b"4", Expect::Version(&first.print.version));
        assert_eq!(stale.unwrap_err().kind(), Kind::Changed, "{}", peer.name);
        assert_eq!(opened.create("new", b"5").unwrap_err().kind(), Kind::Exists, "{}", peer.name);
        assert_eq!((opened.content("first"), opened.content("new")), (b"3".into(), b"2".into()));
    }
}

#[test]
fn a_bucket_with_versions_forbids_no_overwriting_which_is_found_out() {
    for peer in [oss(), cos()] {
        let bucket = peer.new_bucket();
        let versioning = ["backend", "versioning", &format!("peer:{bucket}"), "Enabled"];
        assert!(peer.rclone(&versioning).status.success());
        let opened = open_peer(peer, &bucket, "");
        opened.create("first", b"1").unwrap();
        assert_eq!(opened.create("first", b"2").unwrap_err().kind(), Kind::Exists);
        assert_eq!(opened.requests(|| drop(opened.create("new", b"3").unwrap())), 2);
        assert_eq!(opened.content("first"), b"1", "{}", peer.name);
        let version = opened.create("kept", b"4").unwrap().print.version;
        assert!(opened.remote.keeps_version("kept", &version).unwrap(), "{}", peer.name);
    }
}

#[test]
fn a_server_that_knows_only_the_old_signature_is_spoken_to_so() {
    for (peer, newer) in [(oss(), "OSS4"), (swift(), "AWS4")] {
        let upstream = peer.endpoint.trim_start_matches("http://").to_owned();
        let refused = Arc::new(AtomicUsize::new(0));
        let count = refused.clone();
        let endpoint = stub(move |request, stream| {
            if request.header("authorization").starts_with(newer) {
                count.fetch_add(1, SeqCst);
                return answer(stream, "400 Bad Request", "", &error_xml("InvalidArgument", ""));
            }
            pass_on(&upstream, &request, stream);
        });
        let opened = open_at(peer, &endpoint, &peer.new_bucket(), "");
        opened.remote.test().unwrap();
        opened.create("a file é+", b"content").unwrap();
        assert_eq!(opened.content("a file é+"), b"content");
        let large = opened.create("large", &pattern(6 << 20, 3)).unwrap();
        assert_eq!(opened.keys(), ["a file é+", "large"]);
        opened.remove("large", ItemKind::File, &large.print.version).unwrap();
        assert_eq!(refused.load(SeqCst), 1, "{}", peer.name);
    }
}

#[test]
fn a_wrong_key_is_told_as_such() {
    for peer in s3_fronts() {
        let bucket = peer.new_bucket();
        for (key, value) in [("access-key", "nobody"), ("secret-key", "wrong")] {
            let opened = open_with(peer, &peer.endpoint, &bucket, "", &[(key, value)]);
            let error = opened.remote.test().unwrap_err();
            assert_eq!(error.kind(), Kind::SignIn, "{}: {error}", peer.name);
            assert!(error.advice().contains("key"), "{}: {error}", peer.name);
        }
    }
}

#[test]
fn a_bucket_in_another_region_is_followed_or_told() {
    let elsewhere = error_xml("AccessDenied", "<Endpoint>oss-cn-beijing.aliyuncs.com</Endpoint>");
    let server = stub(move |request, stream| match request.header("host") {
        "bucket.oss-cn-beijing.aliyuncs.com" => answer(stream, "200 OK", "", EMPTY),
        _ => answer(stream, "403 Forbidden", "", &elsewhere),
    });
    let at = |host: &str| open_by_name(oss(), &server, host, "bucket", "");
    let opened = at("http://oss-cn-hangzhou.aliyuncs.com");
    assert_eq!(opened.requests(|| opened.remote.test().unwrap()), 2);
    assert_eq!(opened.requests(|| opened.remote.test().unwrap()), 1);
    // An address that a person chose isn't left.
    let error = at("http://oss.example.com").remote.test().unwrap_err();
    assert!(error.advice().contains("oss-cn-beijing.aliyuncs.com"), "{error}");
}

#[test]
fn amazon_is_followed_to_where_the_bucket_is() {
    let moved = "<Endpoint>bucket.s3.eu-west-9.amazonaws.com</Endpoint>";
    let moved = error_xml("PermanentRedirect", moved);
    let server = stub(move |request, stream| match request.header("host") {
        "bucket.s3.eu-west-9.amazonaws.com" => answer(stream, "200 OK", "", EMPTY),
        _ => answer(stream, "301 Moved Permanently", "", &moved),
    });
    let (proxy, _) = tunnel_to(&server);
    let options = HttpOptions { proxy: Some(proxy), ..HttpOptions::default() };
    let settings = [
        ("endpoint", "http://s3.us-east-1.amazonaws.com"),
        ("bucket", "bucket"),
        ("access-key", "key"),
        ("secret-key", "secret"),
    ];
    let opened = Opened::new("s3", &settings, "", &options).unwrap();
    assert_eq!(opened.requests(|| opened.remote.test().unwrap()), 2);
}

#[test]
fn a_listing_goes_on_after_a_key_where_there_are_no_tokens() {
    let pages = |request: &Request| {
        let after = |key: &str| request.head.contains(&format!("marker={key}&"));
        let (key, more) = match () {
            () if after("b") => ("c", false),
            () if after("a") => ("b", true),
            () => ("a", true),
        };
        let row = format!("<Contents><Key>{key}</Key><Size>1</Size><ETag>e</ETag></Contents>");
        let more = EMPTY.replace("false", if more { "true" } else { "false" });
        more.replace("<IsT", &format!("{row}<IsT"))
    };
    let endpoint = stub(move |request, stream| answer(stream, "200 OK", "", &pages(&request)));
    let settings = [
        ("endpoint", endpoint.as_str()),
        ("bucket", "bucket"),
        ("access-key", "key"),
        ("secret-key", "secret"),
    ];
    let opened = Opened::new("s3", &settings, "", &HttpOptions::default()).unwrap();
    assert_eq!(opened.requests(|| assert_eq!(opened.keys(), ["a", "b", "c"])), 3);
}

/// What is between a client and a service that tells another CRC-64 for the requests of which `which` says so.
fn miscounting(peer: &S3Peer, which: impl Fn(&Request) -> bool + Send + Sync + 'static) -> String {
    let upstream = peer.endpoint.trim_start_matches("http://").to_owned();
    stub(move |request, stream| {
        let (mut reply, is_wrong) = (Vec::new(), which(&request));
        pass_on(&upstream, &request, &mut reply);
        let name = b"-hash-crc64ecma: ";
        let at = reply.windows(name.len()).position(|it| it == name).filter(|_| is_wrong);
        if let Some(at) = at.map(|at| at + name.len()) {
            let digits = reply[at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
            // Another digit, and no larger number of them.
            reply[at + digits - 1] ^= 1;
        }
        let _ = stream.write_all(&reply);
    })
}

/// The first request by this method, once.
fn first(method: &'static str) -> impl Fn(&Request) -> bool {
    let done = AtomicBool::new(false);
    move |request| request.head.starts_with(method) && !done.swap(true, SeqCst)
}

/// The first look after parts were joined, once.
fn after_parts() -> impl Fn(&Request) -> bool {
    let (joined, look) = (AtomicBool::new(false), first("HEAD"));
    move |request| {
        let joins = request.head.starts_with("POST") && request.head.contains("?uploadId=");
        joined.fetch_or(joins, SeqCst) && look(request)
    }
}

#[test]
fn what_has_another_crc_than_was_sent_is_taken_back_and_sent_again() {
    for peer in [oss(), cos()] {
        let bucket = peer.new_bucket();
        for (content, endpoint) in [
            (pattern(2 << 20, 1), miscounting(peer, first("PUT"))),
            (pattern(6 << 20, 2), miscounting(peer, after_parts())),
        ] {
            let opened = open_at(peer, &endpoint, &bucket, "");
            let error = opened.create("file", &content).unwrap_err();
            assert_eq!(error.kind(), Kind::Integrity, "{}: {error}", peer.name);
            assert_eq!(opened.stat("file"), None, "{}", peer.name);
            let entry = opened.create("file", &content).unwrap();
            assert!(opened.content("file") == content, "{}", peer.name);
            opened.remove("file", ItemKind::File, &entry.print.version).unwrap();
        }
    }
}

#[test]
fn what_comes_with_another_crc_is_no_file() {
    for peer in [oss(), cos()] {
        let bucket = peer.new_bucket();
        for content in [b"small".to_vec(), pattern(6 << 20, 2)] {
            let opened = open_at(peer, &miscounting(peer, first("GET")), &bucket, "");
            let version = opened.create("file", &content).unwrap().print.version;
            let read = |bytes: Range<u64>| {
                let mut read = Vec::new();
                let mut download = opened.remote.read("file", &version, bytes).unwrap();
                download.reader.read_to_end(&mut read).map(|_| read)
            };
            let error = read(0..u64::MAX).unwrap_err().downcast::<Error>().unwrap();
            assert_eq!(error.kind(), Kind::Integrity, "{}: {error}", peer.name);
            assert!(read(0..u64::MAX).unwrap() == content, "{}", peer.name);
            assert!(read(0..3).unwrap() == content[..3] && read(3..5).unwrap() == content[3..5]);
            opened.remove("file", ItemKind::File, &version).unwrap();
        }
    }
}

#[test]
fn a_partial_update_with_another_crc_is_never_recorded() {
    for peer in [oss(), cos()] {
        let (changed, look) = (Arc::new(AtomicBool::new(false)), after_parts());
        let is_changed = changed.clone();
        let endpoint = miscounting(peer, move |request| is_changed.load(SeqCst) && look(request));
        let relay = Relay::before(&endpoint);
        let pair = Pair::through(Peer::S3(peer), Some(&relay), &[]);
        let mut content = pattern(16 << 20, 3);
        pair.write("large", &content);
        pair.sync();
        content[8 << 20..][..4096].fill(b'x');
        pair.write("large", &content);
        changed.store(true, SeqCst);
        let output = pair.run(&["sync", "docs", "--json"]);
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(said.contains("something else than was sent"), "{}: {said}", peer.name);
        assert!(relay.requests().iter().any(|line| line.contains("partNumber=")));
        pair.sync();
        assert!(pair.remote("large") == Some(content), "{}", peer.name);
        pair.is_equal();
    }
}

/// A server that takes everything; tells the heads of the requests.
fn taker() -> (String, Arc<Mutex<Vec<String>>>) {
    let heads = Arc::new(Mutex::new(Vec::new()));
    let seen = heads.clone();
    let endpoint = stub(move |request, stream| {
        let method = request.head.split(' ').next().unwrap_or_default().to_owned();
        let begins = request.head.contains("?uploads=");
        seen.lock().unwrap().push(request.head);
        match method.as_str() {
            "HEAD" => answer(stream, "404 Not Found", "", ""),
            "POST" if begins => {
                answer(stream, "403 Forbidden", "", &error_xml("AccessDenied", ""));
            }
            _ => answer(stream, "200 OK", "ETag: \"some-1\"\r\n", ""),
        }
    });
    (endpoint, heads)
}

#[test]
fn the_storage_class_and_the_encryption_are_asked_for_in_the_services_words() {
    for (peer, class, sse, key) in [
        (moto(), "DEEP_ARCHIVE", "aws:kms", "x-amz-server-side-encryption-aws-kms-key-id"),
        (oss(), "ColdArchive", "KMS", "x-oss-server-side-encryption-key-id"),
        (cos(), "ARCHIVE", "cos/kms", "x-cos-server-side-encryption-cos-kms-key-id"),
    ] {
        let (endpoint, heads) = taker();
        let more = [("storage-class", class), ("sse", sse), ("sse-key", "my-key")];
        let opened = open_with(peer, &endpoint, "bucket-1", "", &more);
        opened.create("small", b"1").unwrap();
        opened.create("large", &vec![0; 6 << 20]).unwrap_err();
        opened.remote.make_folder("folder").unwrap();
        let prefix = &key[..6];
        let class = format!("{prefix}storage-class: {class}\r\n");
        let (sse, key) =
            (format!("{prefix}server-side-encryption: {sse}\r\n"), format!("{key}: my-key\r\n"));
        let heads = heads.lock().unwrap();
        let of = |begin: &str| {
            let head = heads.iter().find(|head| head.starts_with(begin)).unwrap();
            (head.contains(&class), head.contains(&sse), head.contains(&key))
        };
        assert_eq!(of("PUT /bucket-1/small "), (true, true, true), "{}", peer.name);
        assert_eq!(of("POST /bucket-1/large?uploads= "), (true, true, true), "{}", peer.name);
        // What is empty costs least where it needn't stay.
        assert_eq!(of("PUT /bucket-1/folder/ "), (false, true, true), "{}", peer.name);
    }
}

#[test]
fn nothing_is_read_from_an_archive_before_it_is_restored() {
    for (peer, class) in [(moto(), "GLACIER"), (oss(), "Archive"), (cos(), "DEEP_ARCHIVE")] {
        let bucket = peer.new_bucket();
        let opened = open_with(peer, &peer.endpoint, &bucket, "", &[("storage-class", class)]);
        let first = opened.create("cold", b"1").unwrap();
        let version = &first.print.version;
        let error = opened.remote.read("cold", version, 0..u64::MAX).err().unwrap();
        assert_eq!(error.kind(), Kind::Denied, "{}: {error}", peer.name);
        assert!(error.advice().contains("restore"), "{}: {error}", peer.name);
        // It can be written all the same.
        let second = opened.write("cold", b"22", Expect::Version(version)).unwrap();
        let seen = opened.remote.stat("cold", ItemKind::File).unwrap().unwrap();
        assert_eq!(seen.print, second.print, "{}", peer.name);
        if peer.service == "s3" {
            let restore = ["backend", "restore", &format!("peer:{bucket}"), "-o", "lifetime=1"];
            assert!(peer.rclone(&restore).status.success());
            assert_eq!(opened.content("cold"), b"22");
        }
    }
}
