//! Everything bad that comes from outside: through the real program, against real servers, with a proxy in between that
//! does the harm.
//!
//! Whatever happens, a message has to say what is wrong and what to do, nothing may be lost on either side, what isn't
//! concerned has to go on, and once the cause is gone the next sync has to finish.

use crate::common::contract::pattern;
use crate::common::mounts::Mounts;
use crate::common::peers::{apache, moto};
use crate::common::program::{Answer, Files, Home, Place};
use crate::common::proxy::{Act, Proxy, Request, gate, reply};
use crate::common::tls::unknown_authority;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Write;
use std::net::TcpListener;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, SystemTime};

const HTML: &str = "<!DOCTYPE html><html><body>Please sign in</body></html>";

/// A local folder and a place behind a proxy, linked and synced once.
struct World {
    home: Home,
    place: Place,
    proxy: Proxy,
    rounds: usize,
}

/// What was on both sides at a time.
struct Sides {
    local: Files,
    remote: Files,
}

impl World {
    fn new(test: &str, place: Place) -> World {
        let home = Home::new(&format!("{test}-{}", place.name()));
        let proxy = Proxy::start(place.address());
        home.link(&place, &format!("http://{}", proxy.address), place.secret(), &[]);
        home.write("kept.txt", "kept");
        home.write("inner/kept.bin", pattern(100_000, 1));
        let world = World { home, place, proxy, rounds: 0 };
        world.finishes();
        world
    }

    /// News on both sides: `up-N` and `small-up-N` here, `down-N` and `small-down-N` there.
    fn diverge(&mut self) -> (String, String) {
        self.rounds += 1;
        let n = self.rounds;
        self.home.write(&format!("up-{n}"), pattern(200_000 + n, 2));
        self.home.write(&format!("small-up-{n}"), format!("from here, {n}"));
        let news = Files::from([
            (format!("down-{n}").into_bytes(), pattern(300_000 + n, 3)),
            (format!("small-down-{n}").into_bytes(), format!("from there, {n}").into_bytes()),
        ]);
        self.place.write_all(&news);
        (format!("up-{n}"), format!("down-{n}"))
    }

    fn sides(&self) -> Sides {
        Sides { local: self.home.files(), remote: self.place.files() }
    }

    /// Every file that was there is there still, byte for byte.
    #[track_caller]
    fn nothing_is_lost(&self, before: &Sides) {
        let now = self.sides();
        for (side, before, now) in
            [("local", &before.local, &now.local), ("remote", &before.remote, &now.remote)]
        {
            for (path, bytes) in before {
                let name = String::from_utf8_lossy(path);
                assert!(now.get(path) == Some(bytes), "{side} {name} is lost");
            }
        }
    }

    /// The next sync finishes, and both sides are equal.
    #[track_caller]
    fn finishes(&self) {
        self.home.sync().ended(0);
        self.is_equal();
    }

    #[track_caller]
    fn is_equal(&self) {
        let Sides { local, remote } = self.sides();
        let names = |files: &Files| -> Vec<String> {
            files.keys().map(|path| String::from_utf8_lossy(path).into_owned()).collect()
        };
        assert_eq!(names(&local), names(&remote));
        assert!(local == remote, "the bytes differ");
    }

    /// There is news on both sides (of which `plan` is told the names of the large files), and `plan` is what becomes of the requests. The sync must end with `code` and say
    /// all of `words`; afterwards, without the plan, the next one finishes.
    #[track_caller]
    fn suffers(
        &mut self,
        code: i32,
        words: &[&str],
        plan: impl Fn(&Request, &str, &str) -> Act + Send + Sync + 'static,
    ) {
        let (up, down) = self.diverge();
        let before = self.sides();
        let (of_up, of_down) = (up.clone(), down.clone());
        self.proxy.plan(move |request| plan(request, &of_up, &of_down));
        let answer = self.home.sync();
        assert!(self.proxy.heal() > 0, "the plan met no request: {}", answer.text);
        answer.ended(code).said(words);
        self.nothing_is_lost(&before);
        self.finishes();
        let Sides { local, .. } = self.sides();
        assert_eq!(local.len(), 2 + 4 * self.rounds, "{:?}", local.keys());
        assert!(before.remote.iter().all(|(path, bytes)| local.get(path) == Some(bytes)));
    }
}

fn both() -> [Place; 2] {
    [Place::s3(moto()), Place::dav(apache())]
}

fn html() -> Act {
    Act::Answer(reply("200 OK", "Content-Type: text/html\r\n", HTML))
}

/// Does it to the requests that `which` names.
fn hit(which: bool, act: Act) -> Act {
    if which { act } else { Act::Pass }
}

#[test]
fn a_wrong_secret_is_told_and_can_be_corrected() {
    for place in both() {
        let home = Home::new(&format!("wrong-secret-{}", place.name()));
        let base = format!("http://{}", place.address());
        home.link(&place, &base, "wr0ng-s3cret", &[]);
        home.write("file", "local");
        place.write("other", "remote");
        let what = if matches!(place, Place::S3 { .. }) { "secret key" } else { "password" };
        home.run("connection test cloud").ended(3).said(&[what, "check the "]);
        let answer = home.sync().ended(3).said(&[what, "check the "]);
        assert!(!answer.text.contains("wr0ng"), "{}", answer.text);
        assert_eq!((home.files().len(), place.files().len()), (1, 1));
        home.set_secret(&place, place.secret());
        home.run("connection test cloud").ended(0);
        home.sync().ended(0);
        assert_eq!(home.files(), place.files());
        assert_eq!(home.files().len(), 2);
    }
}

#[test]
fn wrong_settings_are_told_and_can_be_corrected() {
    let s3 = || Place::s3(moto());
    let dav = || Place::dav(apache());
    for (name, place, key, value, code, words) in [
        (
            "key",
            s3(),
            "access-key",
            "nobody".to_owned(),
            3,
            ["InvalidAccessKeyId", "check the connection's access key"],
        ),
        (
            "bucket",
            s3(),
            "bucket",
            "no-such-bucket".to_owned(),
            1,
            ["NoSuchBucket", "make the bucket no-such-bucket or correct"],
        ),
        (
            "user",
            dav(),
            "user",
            "nobody".to_owned(),
            3,
            ["user and password", "check the credentials"],
        ),
        (
            "path",
            dav(),
            "url",
            format!("http://{}/nowhere/", dav().address()),
            1,
            ["not the address of its files", "check the address"],
        ),
    ] {
        let home = Home::new(&format!("wrong-{name}"));
        let base = format!("http://{}", place.address());
        home.link(&place, &base, place.secret(), &[(key, &value)]);
        home.write("file", "local");
        let test = home.run("connection test cloud");
        test.ended(code).said(&words);
        let sync = home.sync();
        let sync_code = if name == "bucket" { 3 } else { code };
        sync.ended(sync_code).said(&words);
        assert_eq!(home.files().len(), 1);
        let right = place.setting(key, &base);
        home.run(&format!("connection set cloud --set {key}={right}")).ended(0);
        home.run("connection test cloud").ended(0);
        home.sync().ended(0);
        assert_eq!(home.files(), place.files());
        assert_eq!(home.files().len(), 1);
    }
}

#[test]
fn a_server_that_cannot_be_reached_is_told() {
    // Bound and dropped: nobody listens there.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    for (name, base, word) in [
        ("host", "http://no-such-host.invalid".to_owned(), "no-such-host.invalid"),
        ("port", format!("http://127.0.0.1:{port}"), "127.0.0.1"),
    ] {
        for place in both() {
            let home = Home::new(&format!("no-{name}-{}", place.name()));
            home.link(&place, &base, place.secret(), &[]);
            home.write("file", "local");
            home.sync().ended(1).said(&[word, "check the network and the address"]);
            assert_eq!(home.files().len(), 1);
        }
    }
}

#[test]
fn a_bucket_or_folder_that_was_deleted_is_no_empty_one() {
    for place in both() {
        let mut world = World::new("deleted", place);
        for _ in 0..3 {
            world.diverge();
            world.finishes();
        }
        let before = world.sides();
        world.place.destroy();
        let remedy = match world.place {
            Place::S3 { .. } => {
                ["NoSuchBucket", "make the bucket", "correct the connection's bucket"]
            }
            Place::Dav { .. } => {
                ["it isn't there", "make it again", "correct the task's remote folder"]
            }
        };
        world.home.sync().ended(3).said(&remedy);
        assert!(world.home.files() == before.local, "local files are gone");

        // Made again, but empty: the plan waits for a person.
        world.place.remake(&Files::new());
        world.home.sync().ended(3).said(&["--approve"]);
        assert!(world.home.files() == before.local, "local files are gone");

        world.place.remake(&before.remote);
        world.finishes();
        assert!(world.home.files() == before.local);
    }
}

#[test]
fn a_wrong_clock_is_corrected_without_a_person() {
    let mut world = World::new("clock", Place::s3(moto()));
    let theirs = SystemTime::now() + Duration::from_secs(86_400 * 40);
    let day = httpdate::fmt_http_date(theirs);
    let stamp = humantime::format_rfc3339_seconds(theirs).to_string()[..10].replace('-', "");
    let (up, _) = world.diverge();
    world.proxy.plan(move |request| {
        let body = "<Error><Code>RequestTimeTooSkewed</Code><Message>late</Message></Error>";
        let right = request.header("x-amz-date").starts_with(&stamp);
        hit(!right, Act::Answer(reply("403 Forbidden", &format!("Date: {day}\r\n"), body)))
    });
    world.finishes();
    assert_eq!(world.proxy.heal(), 1);
    assert!(world.place.files().contains_key(up.as_bytes()));
}

#[test]
fn a_listing_that_is_cut_or_no_listing_removes_nothing() {
    for place in both() {
        let mut world = World::new("listing", place);
        let network = ["check the network and the address"];
        let address = ["listing", "the address"];
        world.suffers(1, &network, |it, _, _| hit(it.lists(), Act::CutReply(60)));
        world.suffers(1, &address, |it, _, _| hit(it.lists(), html()));
        world.suffers(1, &address, |it, _, _| hit(it.lists(), Act::Halve));
        world.suffers(1, &network, |it, _, _| hit(it.lists(), Act::Lie(100)));
    }
}

#[test]
fn a_download_that_goes_wrong_is_never_taken_for_the_file() {
    for place in both() {
        let mut world = World::new("download", place);
        let network = ["check the network and the address"];
        world.suffers(1, &network, |it, _, down| hit(it.gets(down), Act::CutReply(100_000)));
        world.suffers(1, &["1 item failed", "Mooring"], |it, _, down| {
            hit(it.gets(down), Act::Lie(100))
        });
        world.suffers(1, &["1 item failed", "Mooring"], |it, _, down| {
            hit(it.gets(down), Act::Lie(-100))
        });
        world.suffers(1, &["1 item failed"], |it, _, down| hit(it.gets(down), html()));
    }
}

#[test]
fn an_upload_that_goes_wrong_leaves_the_file_to_be_sent() {
    for place in both() {
        let mut world = World::new("upload", place);
        let network = ["check the network and the address"];
        world.suffers(1, &network, |it, up, _| hit(it.puts(up), Act::CutRequest(100_000)));
        world.suffers(1, &["1 item failed"], |it, up, _| hit(it.puts(up), html()));
    }
}

#[test]
fn a_reply_that_is_lost_makes_no_duplicate_and_no_conflict() {
    for place in both() {
        let mut world = World::new("lost", place);
        let lost = AtomicUsize::new(0);
        world.suffers(0, &["2 uploaded, 2 downloaded"], move |it, up, _| {
            let first = it.puts(up) && lost.fetch_add(1, SeqCst) == 0;
            hit(first, Act::Lose)
        });
        // Every reply is lost from then on: it is told, and still no conflict.
        let lost = AtomicBool::new(false);
        world.suffers(1, &["check the network and the address"], move |it, up, _| {
            lost.fetch_or(it.puts(up), SeqCst);
            hit(lost.load(SeqCst) && it.names(up), Act::Lose)
        });
    }
}

#[test]
fn a_busy_server_is_waited_for_as_long_as_it_asks() {
    for place in both() {
        let mut world = World::new("busy", place);
        let count = AtomicUsize::new(0);
        world.suffers(0, &["uploaded"], move |_, _, _| {
            let fields = "Retry-After: 1\r\n";
            hit(
                count.fetch_add(1, SeqCst) < 2,
                Act::Answer(reply("429 Too Many Requests", fields, "")),
            )
        });
        let count = AtomicUsize::new(0);
        world.suffers(0, &["uploaded"], move |_, _, _| {
            let status = "503 Service Unavailable";
            hit(count.fetch_add(1, SeqCst) < 3, Act::Answer(reply(status, "", "")))
        });
        let busy = ["the service is busy (status 503)", "Mooring tries again by itself"];
        world.suffers(1, &busy, |_, _, _| Act::Answer(reply("503 Service Unavailable", "", "")));
        let busy = ["the service is busy (status 429)", "Mooring tries again by itself"];
        world.suffers(1, &busy, |_, _, _| {
            Act::Answer(reply("429 Too Many Requests", "Retry-After: 86400\r\n", ""))
        });
    }
}

#[test]
fn a_server_that_hangs_is_given_up() {
    for place in both() {
        let mut world = World::new("hang", place);
        world.home.run("connection set cloud --set timeout=2").ended(0);
        let words = ["doesn't answer in time", "check the network and the address"];
        world.suffers(1, &words, |it, _, _| hit(it.lists(), Act::Hang));
        world.suffers(1, &words, |it, _, down| hit(it.gets(down), Act::Hang));
    }
}

#[test]
fn an_unknown_authority_is_untrusted_until_it_is_set() {
    let (authority, config) = unknown_authority();
    for place in both() {
        let home = Home::new(&format!("tls-{}", place.name()));
        let proxy = Proxy::start_tls(place.address(), config.clone());
        home.link(&place, &format!("https://{}", proxy.address), place.secret(), &[]);
        home.write("file", "local");
        let words = ["isn't trusted", "--set ca=@"];
        home.run("connection test cloud").ended(3).said(&words);
        home.sync().ended(3).said(&words);
        assert_eq!((home.files().len(), place.files().len()), (1, 0));

        fs::write(home.beside("ca.pem"), &authority).unwrap();
        home.run("connection set cloud --set ca=@ca.pem").ended(0);
        home.sync().ended(0);
        assert_eq!(home.files(), place.files());
    }
}

/// What a program does to the local file while it is being sent.
type Change = fn(&Path);

#[test]
fn a_file_that_changes_while_it_is_sent_is_never_sent_in_part() {
    let append = |file: &Path| {
        File::options().append(true).open(file).unwrap().write_all(b"more").unwrap();
    };
    let rewrite =
        |file: &Path| fs::write(file, pattern(fs::read(file).unwrap().len(), 77)).unwrap();
    let cut =
        |file: &Path| File::options().write(true).open(file).unwrap().set_len(70_000).unwrap();
    let remove = |file: &Path| fs::remove_file(file).unwrap();
    let replace = |file: &Path| {
        let new = file.with_extension("new");
        fs::write(&new, "another file").unwrap();
        fs::rename(new, file).unwrap();
    };
    let changes: [(&str, Change); 5] = [
        ("grows", append),
        ("changed", rewrite),
        ("shrinks", cut),
        ("removed", remove),
        ("replaced", replace),
    ];
    for place in both() {
        let mut world = World::new("changes", place);
        for (name, change) in changes {
            // Far more than the sockets hold, so that most of it hasn't been read yet at the gate.
            world.home.write(name, pattern(20 << 20, 5));
            world.diverge();
            let (gate, keeper) = gate();
            world.proxy.plan(move |request| hit(request.puts(name), Act::Wait(gate.clone())));
            let sync = world.home.start(&["sync".to_owned(), "task".to_owned()], "");
            keeper.wait();
            change(&world.home.local().join(name));
            keeper.open();
            let answer = Answer::of(sync);
            answer.ended(0);
            world.proxy.heal();
            world.is_equal();
            world.finishes();
        }
    }
}

#[test]
fn a_file_that_is_open_for_writing_waits_until_it_is_closed() {
    for place in both() {
        let mut world = World::new("in-use", place);
        let (up, down) = world.diverge();
        let mut writer = File::create(world.home.local().join("open")).unwrap();
        writer.write_all(b"half").unwrap();
        world.home.sync().ended(1).said(&["a program is still writing to it", "once it is closed"]);
        let Sides { local, remote } = world.sides();
        assert!(remote.contains_key(up.as_bytes()) && local.contains_key(down.as_bytes()));
        assert!(!remote.contains_key(&b"open"[..]) && local[&b"open"[..]] == b"half");
        writer.write_all(b" and half").unwrap();
        drop(writer);
        world.finishes();
        assert_eq!(world.place.files()[&b"open"[..]], b"half and half");
    }
}

#[test]
fn a_folder_that_may_not_be_written_to_takes_no_downloads_and_stops_no_uploads() {
    for place in both() {
        let mut world = World::new("read-only", place);
        let (up, down) = world.diverge();
        let before = world.sides();
        let mounts = Mounts::new();
        world.home.through = mounts.through();
        mounts.run(
            "mount --bind \"$1\" \"$1\"; mount -o remount,bind,ro \"$1\"",
            &world.home.local(),
        );
        world.home.sync().ended(1).said(&[&down, "Read-only file system", "permission"]);
        world.nothing_is_lost(&before);
        assert!(world.home.files() == before.local);
        assert!(world.place.files().contains_key(up.as_bytes()));
        world.home.through.clear();
        world.finishes();
    }
}

#[test]
fn a_full_disk_takes_what_fits_and_the_rest_once_there_is_room() {
    for place in both() {
        let mut home = Home::new(&format!("disk-full-{}", place.name()));
        let mounts = Mounts::new();
        mounts.run("mount -t tmpfs -o size=2m none \"$1\"", &home.local());
        home.through = mounts.through();
        home.seen = mounts.seen(&home.local());
        home.link(&place, &format!("http://{}", place.address()), place.secret(), &[]);
        // One at a time, so that the large one doesn't take the others' room while it comes.
        home.run("settings transfers 1").ended(0);
        home.write("ballast", pattern(1 << 20, 1));
        home.sync().ended(0);
        home.write("up", "local");
        let large = pattern(3 << 19, 2);
        place.write_all(&Files::from([
            (b"a large one".to_vec(), large.clone()),
            (b"small".to_vec(), b"small".to_vec()),
        ]));
        home.sync().ended(1).said(&[
            "a large one",
            "No space left on device",
            "free space on the volume",
        ]);
        home.run("status task").ended(0).said(&["disk-full since 2", "a large one", "1 waits"]);
        let names: Vec<Vec<u8>> = home.files().into_keys().collect();
        assert_eq!(names, [&b"ballast"[..], b"small", b"up"]);
        assert_eq!(place.files().len(), 4);

        fs::remove_file(home.seen.join("ballast")).unwrap();
        home.sync().ended(0);
        assert!(home.files() == place.files());
        assert!(home.files()[&b"a large one"[..]] == large);
    }
}

#[test]
fn strange_names_are_synced_or_listed_with_the_reason() {
    let long = "n".repeat(255);
    let deep = format!("{}file", "deep/".repeat(80));
    let twins = ["Twin", "twin", "caf\u{e9}", "cafe\u{301}"];
    for place in both() {
        let world = World::new("names", place);
        let skipped: [&[u8]; 4] = [b"new\nline", b"bell\x07", b"not UTF-8 \xff", b"co:lon"];
        for name in skipped {
            fs::write(world.home.local().join(OsStr::from_bytes(name)), "skipped").unwrap();
        }
        for name in twins.into_iter().chain([long.as_str(), &deep]) {
            world.home.write(name, name);
            world.place.write(&format!("theirs/{name}"), name);
        }
        world.place.write("theirs/co:lon", "skipped");
        world.home.sync().ended(0).said(&["5 items left out"]);
        world.home.run("task show task").ended(0).said(&[
            "there is a control character in its name",
            "its name isn't valid UTF-8",
            "the character : isn't allowed in its path",
            "theirs/co:lon",
        ]);
        let Sides { mut local, mut remote } = world.sides();
        for name in skipped {
            assert_eq!(local.remove(name).as_deref(), Some(&b"skipped"[..]));
        }
        assert!(remote.remove(&b"theirs/co:lon"[..]).is_some());
        assert!(local == remote, "{:?} {:?}", local.keys(), remote.keys());
        assert_eq!(local.len(), 2 + 2 * 6);
    }
}

#[test]
fn a_local_folder_that_is_missing_or_another_one_is_no_empty_one() {
    for place in both() {
        let world = World::new("unmounted", place);
        let before = world.sides();
        let (local, away) = (world.home.local(), world.home.beside("away"));
        fs::rename(&local, &away).unwrap();
        world.home.sync().ended(3).said(&["mount the volume", "local folder"]);
        assert!(!local.exists() && world.place.files() == before.remote);

        fs::create_dir(&local).unwrap();
        world.home.sync().ended(3).said(&["it isn't the one that was linked", "mount its volume"]);
        assert!(world.home.files().is_empty() && world.place.files() == before.remote);

        fs::remove_dir(&local).unwrap();
        fs::rename(&away, &local).unwrap();
        world.finishes();
        world.nothing_is_lost(&before);
    }
}

#[test]
fn a_damaged_state_is_told_or_made_anew_and_removes_nothing() {
    for place in both() {
        let mut world = World::new("state", place);
        let state = world.home.state().join("tasks").join("1.redb");
        let damages: [fn(&mut Vec<u8>); 3] =
            [Vec::clear, |bytes| bytes.truncate(bytes.len() / 2), |bytes| bytes[..4096].fill(0)];
        for damage in damages {
            world.diverge();
            let before = world.sides();
            let mut bytes = fs::read(&state).unwrap();
            damage(&mut bytes);
            fs::write(&state, bytes).unwrap();
            let answer = world.home.sync();
            world.nothing_is_lost(&before);
            if answer.code != Some(0) {
                answer.ended(1).said(&["1.redb", "remove it"]);
                fs::remove_file(&state).unwrap();
            }
            world.finishes();
            world.nothing_is_lost(&before);
            assert_eq!(world.home.files().len(), 2 + 4 * world.rounds);
        }
    }
}
