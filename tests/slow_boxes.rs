//! What small and old machines have: a kernel from before what we would like to ask it, and little room for stacks.
//!
//! The real program syncs both ways there, by hand and by the daemon.

use crate::common::contract::pattern;
use crate::common::pair::{Running, eventually};
use crate::common::peers::{apache, moto};
use crate::common::program::{Files, Home, Place};
use crate::common::proxy::Proxy;
use crate::common::tls::unknown_authority;
use std::fs;
use std::process::Command;

/// More than one part of an upload.
const LARGE: usize = 6 << 20;
const PYTHON: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/target/peers/python/bin/python");
const OLD_KERNEL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/peers/old_kernel.py");

fn both() -> [Place; 2] {
    [Place::s3(moto()), Place::dav(apache())]
}

/// Everything works, with the server at this address and these settings.
fn works(home: &Home, place: &Place, base: &str, settings: &[(&str, &str)]) {
    let parts: &[_] = if place.name() == "moto" { &[("part-size", "5")] } else { &[] };
    let settings = [settings, parts, &[("poll", "1")]].concat();
    home.link(place, base, place.secret(), &settings);
    for number in 0..30 {
        home.write(&format!("here/{number}"), pattern(number * 1000, 1));
    }
    home.write("large from here", pattern(LARGE, 2));
    place.write_all(&Files::from([
        (b"there/small".to_vec(), b"small".to_vec()),
        (b"large from there".to_vec(), pattern(LARGE, 3)),
    ]));
    home.run("plan task").ended(0).said(&["large from there"]);
    home.sync().ended(0);
    assert_eq!(home.files().len(), 33);
    assert!(home.files() == place.files());
    home.run("verify task").ended(0);

    let mut daemon = Running::of(home.start(&["daemon".to_owned()], ""));
    eventually("the daemon answers", || {
        assert!(!daemon.has_ended(), "the daemon ended");
        // In the moment in which it starts, this may fail.
        let status = home.run("status --json");
        status.code == Some(0) && status.json()["daemon"] == true
    });
    home.run("connection test cloud").ended(0);
    home.write("for the service", "from here");
    place.write("for here", "from there");
    eventually("the remote file is here", || home.seen.join("for here").exists());
    let is_there = || place.files().contains_key(&b"for the service"[..]);
    eventually("the local file is there", is_there);
    daemon.signal("TERM");
    let (ended, log) = daemon.end();
    assert!(ended && !log.contains("in memory"), "{log}");
    assert!(home.files() == place.files());
}

#[test]
fn linux_3_2_is_new_enough() {
    let through = [PYTHON, OLD_KERNEL].map(str::to_owned);
    let later = ["-c", "import os; os.getrandom(1)"];
    let asked = Command::new(PYTHON).args([OLD_KERNEL, PYTHON]).args(later).output().unwrap();
    let said = String::from_utf8_lossy(&asked.stderr).into_owned();
    assert!(said.contains("Function not implemented"), "this is no old kernel: {said}");

    for place in both() {
        let mut home = Home::new(&format!("old-kernel-{}", place.name()));
        home.through = through.to_vec();
        works(&home, &place, &format!("http://{}", place.address()), &[]);
    }
}

/// How much room that is depends on how the program was built: `tests/run` runs this optimized, too.
#[test]
fn small_stacks_are_large_enough_for_tls() {
    let (authority, config) = unknown_authority();
    for place in both() {
        let home = Home::new(&format!("stacks-{}", place.name()));
        let proxy = Proxy::start_tls(place.address(), config.clone());
        fs::write(home.beside("ca.pem"), &authority).unwrap();
        works(&home, &place, &format!("https://{}", proxy.address), &[("ca", "@ca.pem")]);
    }
}
