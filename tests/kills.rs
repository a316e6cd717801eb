//! Mooring is killed at any moment, over and over, while people work on both sides. Whatever
//! happens: nothing that a person wrote is lost, both sides end equal, and nothing is left behind.
//!
//! `MOORING_KILLS` sets how often (40 when nothing is set), `MOORING_SEED` where the dice begin.

use crate::common::contract::pattern;
use crate::common::dice::Dice;
use crate::common::pair::{Pair, Peer, Running};
use crate::common::peers;
use crate::common::relay::Relay;
use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};
use serde_json::Value;
use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

/// Kills in all, unless `MOORING_KILLS` says otherwise.
const KILLS: u64 = 40;
/// Kills between two looks whether everything is there.
const KILLS_IN_A_STORY: u64 = 5;
/// In parts on S3, where a part has 5 MiB.
const LARGE: usize = 11 << 20;
/// Syncs in which everything has to come to rest.
const MOST_SYNCS: usize = 6;

/// What kills are tried on.
struct Stage {
    peer: fn() -> Peer,
    /// Whether its bytes can be counted on their way: Apache refuses a MOVE by way of a relay.
    relayed: bool,
    /// The daemon is killed, not `mooring sync`.
    daemon: bool,
    /// Whether it keeps what arrived of a write that was cut short.
    keeps_cut_writes: bool,
}

const STAGES: [Stage; 7] = [
    Stage {
        peer: || Peer::S3(peers::moto()),
        relayed: true,
        daemon: false,
        keeps_cut_writes: false,
    },
    Stage {
        peer: || Peer::Dav(peers::rclone_dav()),
        relayed: true,
        daemon: false,
        keeps_cut_writes: true,
    },
    Stage {
        peer: || Peer::S3(peers::swift()),
        relayed: true,
        daemon: true,
        keeps_cut_writes: false,
    },
    Stage {
        peer: || Peer::Dav(peers::apache()),
        relayed: false,
        daemon: true,
        keeps_cut_writes: false,
    },
    Stage {
        peer: || Peer::Fake(peers::google_drive()),
        relayed: true,
        daemon: false,
        keeps_cut_writes: false,
    },
    Stage {
        peer: || Peer::Fake(peers::dropbox()),
        relayed: true,
        daemon: true,
        keeps_cut_writes: false,
    },
    Stage {
        peer: || Peer::Swift(peers::swift_api()),
        relayed: true,
        daemon: false,
        keeps_cut_writes: false,
    },
];

/// A pair, the people who work on it, and what they wrote.
struct Story<'a> {
    stage: &'a Stage,
    pair: Pair,
    relay: Option<Relay>,
    dice: Dice,
    /// Every content that a person wrote, by the number it begins with: whether a person has not
    /// replaced or removed it since.
    wrote: BTreeMap<u64, (Vec<u8>, bool)>,
    log: Vec<String>,
}

#[test]
fn a_killed_sync_loses_nothing_on_s3() {
    tell(&STAGES[0]);
}

#[test]
fn a_killed_sync_loses_nothing_on_webdav() {
    tell(&STAGES[1]);
}

#[test]
fn a_killed_daemon_loses_nothing_on_s3() {
    tell(&STAGES[2]);
}

#[test]
fn a_killed_daemon_loses_nothing_on_webdav() {
    tell(&STAGES[3]);
}

#[test]
fn a_killed_sync_loses_nothing_on_google_drive() {
    tell(&STAGES[4]);
}

#[test]
fn a_killed_daemon_loses_nothing_on_dropbox() {
    tell(&STAGES[5]);
}

#[test]
fn a_killed_sync_loses_nothing_on_openstack_swift() {
    tell(&STAGES[6]);
}

fn tell(stage: &Stage) {
    let number = |name: &str| env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let kills = number("MOORING_KILLS").unwrap_or(KILLS).div_ceil(STAGES.len() as u64);
    let first = number("MOORING_SEED").unwrap_or(1);
    for seed in first..first + kills.div_ceil(KILLS_IN_A_STORY) {
        let relay = stage.relayed.then(|| (stage.peer)().relay());
        let mut story = Story {
            stage,
            pair: Pair::through((stage.peer)(), relay.as_ref(), &[]),
            relay,
            dice: Dice::new(seed),
            wrote: BTreeMap::new(),
            log: Vec::new(),
        };
        let told = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| story.run()));
        if let Err(panic) = told {
            eprintln!("{} with MOORING_SEED={seed}:", story.pair.peer.name());
            story.log.iter().for_each(|line| eprintln!("  {line}"));
            std::panic::resume_unwind(panic);
        }
    }
}

impl Story<'_> {
    fn run(&mut self) {
        let large = self.content(true);
        self.note(format!("here: large is {}", number_of(&large)));
        self.pair.write("large", large);
        let large = self.content(true);
        self.note(format!("there: folder/large is {}", number_of(&large)));
        self.pair.put(&[("folder/large", Some(&large))]);
        for _ in 0..KILLS_IN_A_STORY {
            for _ in 0..self.dice.roll(4) {
                self.edit_here();
            }
            for _ in 0..self.dice.roll(3) {
                self.edit_there();
            }
            self.run_and_kill();
        }
        self.comes_to_rest();
        self.is_all_there();
    }

    fn note(&mut self, line: String) {
        self.log.push(line);
    }

    // ---- the program

    /// Starts it, lets it get to some point while people go on working, and kills it.
    fn run_and_kill(&mut self) {
        let mut running = match self.stage.daemon {
            true => self.pair.start(&["daemon"]),
            false => self.pair.start(&["sync", "docs", "--approve"]),
        };
        let busy = self.dice.roll(3);
        for _ in 0..busy {
            self.get_on(&mut running);
            self.edit_here_meanwhile();
        }
        self.get_on(&mut running);
        self.note("killed".into());
        running.kill();
    }

    /// Waits until it has moved some number of bytes, or for a moment, or until it has ended.
    fn get_on(&mut self, running: &mut Running) {
        let moment = 1 << self.dice.roll(10);
        match &self.relay {
            Some(relay) if self.dice.roll(3) > 0 => {
                let until = relay.bytes() + (1 << self.dice.roll(25));
                // A daemon with nothing to do moves no more bytes.
                let mut patience = 1000;
                while relay.bytes() < until && patience > 0 && !running.has_ended() {
                    sleep(Duration::from_millis(1));
                    patience -= 1;
                }
                let bytes = relay.bytes();
                self.note(format!("{bytes} bytes on"));
            }
            _ => {
                sleep(Duration::from_millis(moment));
                self.note(format!("{moment} ms on"));
            }
        }
    }

    fn comes_to_rest(&mut self) {
        for _ in 0..MOST_SYNCS {
            let line = ["sync", "docs", "--approve", "--json"];
            let output = self.pair.run(&line);
            // What nobody was told of yet is held until the next.
            assert!(matches!(output.status.code(), Some(0 | 3)), "{output:?}");
            let report: Value = serde_json::from_slice(&output.stdout).unwrap();
            self.note(format!("synced: {report}"));
            let counts = ["uploaded", "downloaded", "moved", "conflicts"];
            let removed = ["deleted_local", "deleted_remote", "errors", "held"];
            if counts.iter().chain(&removed).all(|name| report[name] == 0) {
                return;
            }
        }
        panic!("it doesn't come to rest");
    }

    fn is_all_there(&mut self) {
        let log = self.pair.done(&["log", "docs", "--limit", "1000"]);
        self.log.extend(log.lines().map(Into::into));
        let tree = self.pair.is_equal();
        let mut found = Vec::new();
        for (path, content) in &tree {
            assert!(!path.contains(".mooring"), "{path} was left behind");
            let Some(content) = content else { continue };
            let number = number_of(content);
            let whole = self.wrote.get(&number).is_some_and(|(wrote, _)| wrote == content);
            let is_part = |(wrote, _): &(Vec<u8>, bool)| wrote.starts_with(content);
            let part = self.stage.keeps_cut_writes && self.wrote.values().any(is_part);
            assert!(whole || part, "{path}: nobody wrote this ({} bytes)", content.len());
            if whole {
                found.push(number);
            }
        }
        for (number, (_, alive)) in &self.wrote {
            assert!(!alive || found.contains(number), "what was written as {number} is lost");
        }
        if self.pair.peer.is_s3() {
            let unfinished = self.pair.unfinished_uploads();
            assert!(unfinished.is_empty(), "uploads were left behind: {unfinished:?}");
        }
    }

    // ---- the people

    /// A content that nobody wrote before; it begins with its number.
    fn content(&mut self, large: bool) -> Vec<u8> {
        let number = self.wrote.len() as u64;
        let size = if large { LARGE } else { 1 << self.dice.roll(18) };
        let mut content = number.to_le_bytes().to_vec();
        content.extend(pattern(size, number as u8));
        self.wrote.insert(number, (content.clone(), true));
        content
    }

    /// A person has seen this and replaced or removed it.
    fn dismiss(&mut self, content: &[u8]) {
        if let Some((_, alive)) = self.wrote.get_mut(&number_of(content)) {
            *alive = false;
        }
    }

    fn path(&mut self) -> String {
        const PATHS: &[&str] =
            &["a", "b", "folder/a", "folder/b", "folder/c d", "x/y/a", "x/y/b", "x/\u{fc}", "z/z"];
        (*self.dice.pick(PATHS).unwrap()).to_string()
    }

    /// Something that a person does in the local folder while nothing runs.
    fn edit_here(&mut self) {
        let path = self.path();
        let old = self.pair.read(&path);
        match (self.dice.roll(8), old) {
            (0, Some(old)) => {
                self.dismiss(&old);
                self.note(format!("here: removed {path}, {}", number_of(&old)));
                self.pair.remove(&path);
            }
            (1, Some(_)) => {
                let to = self.path();
                if !self.pair.local.join(&to).exists() {
                    self.note(format!("here: {path} renamed to {to}"));
                    self.pair.make_folder_of(&to);
                    self.pair.rename(&path, &to);
                }
            }
            (2, _) => {
                let number = self.wrote.len();
                let folder = if self.pair.local.join("x").exists() { "x" } else { "folder" };
                if self.pair.local.join(folder).exists() {
                    self.note(format!("here: {folder} renamed to {folder} {number}"));
                    self.pair.rename(folder, &format!("{folder} {number}"));
                }
            }
            (roll, old) => {
                let content = self.content(roll == 3);
                self.note(format!("here: {path} is {}", number_of(&content)));
                old.iter().for_each(|old| self.dismiss(old));
                self.pair.write(&path, content);
            }
        }
    }

    /// Something that a person does in the local folder while Mooring runs: a new file, or a file
    /// changed with what it replaces well in hand.
    fn edit_here_meanwhile(&mut self) {
        let content = self.content(false);
        let number = number_of(&content);
        let (path, aside) = (self.path(), self.pair.local.with_file_name("aside"));
        fs::write(&aside, &content).unwrap();
        let place = self.pair.local.join(&path);
        if exchange(&aside, &place) {
            let old = fs::read(&aside).unwrap();
            self.note(format!("here, meanwhile: {path} is {number}, was {}", number_of(&old)));
            self.dismiss(&old);
        } else {
            let path = format!("new here {number}");
            self.note(format!("here, meanwhile: {path}"));
            self.pair.write(&path, content);
        }
    }

    /// Something that a person does in the remote folder while nothing runs.
    fn edit_there(&mut self) {
        let path = self.path();
        let old = self.pair.remote(&path);
        match (self.dice.roll(6), old) {
            (0, Some(old)) => {
                self.dismiss(&old);
                self.note(format!("there: removed {path}, {}", number_of(&old)));
                self.pair.remove_there(&path);
            }
            (1, Some(old)) => {
                let to = format!("new there {}", self.wrote.len());
                self.note(format!("there: {path} renamed to {to}, {}", number_of(&old)));
                self.pair.rename_there(&path, &to);
            }
            (roll, old) => {
                let content = self.content(roll == 2);
                self.note(format!("there: {path} is {}", number_of(&content)));
                old.iter().for_each(|old| self.dismiss(old));
                self.pair.put(&[(&path, Some(&content))]);
            }
        }
    }
}

fn number_of(content: &[u8]) -> u64 {
    content.first_chunk().map_or(u64::MAX, |bytes| u64::from_le_bytes(*bytes))
}

/// Gives two files each other's name, at once. Tells whether both were there.
fn exchange(one: &Path, other: &Path) -> bool {
    renameat2(AT_FDCWD, one, AT_FDCWD, other, RenameFlags::RENAME_EXCHANGE).is_ok()
}
