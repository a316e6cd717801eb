//! Generated histories: edits, moves and deletions on both sides between cycles, with calls that
//! fail or lose their reply, and lost state. However they go, nothing that a person wrote is
//! lost, both sides end equal, and one more cycle does nothing.

use crate::common::bench::{APPROVED, Bench};
use crate::common::dice::Dice;
use crate::common::memory::{DRIVE, FORGETFUL, Fault, How, STORE};
use mooring::error::Kind;
use mooring::model::Direction;
use mooring::remote::Descriptor;
use std::collections::BTreeSet;
use std::fs;

struct History {
    dice: Dice,
    bench: Bench,
    log: Vec<String>,
    written: u64,
}

impl History {
    fn path(&mut self) -> String {
        const NAMES: &[&str] = &["a", "b", "c", "d-e", "d"];
        let depth = 1 + self.dice.roll(3);
        let parts: Vec<_> = (0..depth).map(|_| *self.dice.pick(NAMES).unwrap()).collect();
        parts.join("/")
    }

    fn content(&mut self) -> Vec<u8> {
        self.written += 1;
        // Often of the same length, so that only content tells them apart.
        match self.dice.roll(8) {
            0 => ("long ".repeat(40_000) + &self.written.to_string()).into_bytes(),
            _ => format!("content {:06}", self.written).into_bytes(),
        }
    }

    fn edit(&mut self) {
        let locals: Vec<_> = self.bench.tree().into_iter().collect();
        let remotes: Vec<_> = self.bench.memory.tree().into_iter().collect();
        let path = self.path();
        let bench = &self.bench;
        let step = match self.dice.roll(10) {
            0 | 1 => {
                let content = self.content();
                let target = self.bench.local.join(&path);
                let done = target.parent().map(fs::create_dir_all).is_some_and(|made| made.is_ok())
                    && fs::write(&target, content).is_ok();
                format!("write local {path} {done}")
            }
            2 | 3 => {
                let clash = remotes.iter().any(|(at, content)| {
                    (*at == path && content.is_none())
                        || (content.is_some() && path.starts_with(&format!("{at}/")))
                });
                if !clash {
                    let content = self.content();
                    self.bench.memory.put(&path, &content);
                }
                format!("write remote {path} {}", !clash)
            }
            4 => match self.dice.pick(&locals) {
                Some((path, Some(_))) => {
                    fs::remove_file(bench.local.join(path)).unwrap();
                    format!("delete local {path}")
                }
                Some((path, None)) => {
                    fs::remove_dir_all(bench.local.join(path)).unwrap();
                    format!("delete local {path}/")
                }
                None => return,
            },
            5 => match self.dice.pick(&remotes) {
                Some((path, _)) => {
                    bench.memory.delete(path);
                    format!("delete remote {path}")
                }
                None => return,
            },
            6 | 7 => match self.dice.pick(&locals) {
                Some((from, _)) => {
                    let to = bench.local.join(&path);
                    let _ = to.parent().map(fs::create_dir_all);
                    let moved = !to.exists() && fs::rename(bench.local.join(from), to).is_ok();
                    format!("move local {from} {path} {moved}")
                }
                None => return,
            },
            8 => {
                let made = fs::create_dir_all(bench.local.join(&path)).is_ok();
                format!("make local {path}/ {made}")
            }
            _ => match self.dice.pick(&locals) {
                // Touched, not changed: nothing may come of it.
                Some((path, Some(content))) => {
                    fs::write(bench.local.join(path), content).unwrap();
                    format!("touch local {path}")
                }
                _ => return,
            },
        };
        self.log.push(step);
    }

    fn fault(&mut self) {
        const KINDS: &[Kind] =
            &[Kind::Offline, Kind::Denied, Kind::Integrity, Kind::QuotaFull, Kind::State];
        let how = match self.dice.roll(3) {
            0 => How::LoseReply,
            _ => How::Refuse(*self.dice.pick(KINDS).unwrap()),
        };
        let after = self.dice.roll(12) as usize;
        self.bench.memory.set_fault(Some(Fault { after, how }));
        self.log.push(format!("fault after {after}"));
    }

    fn contents(&self) -> BTreeSet<Vec<u8>> {
        let local = self.bench.tree().into_values().flatten();
        local.chain(self.bench.memory.tree().into_values().flatten()).collect()
    }

    /// Syncs until nothing more comes of it, and checks what must hold.
    fn settle(&mut self, agreed: &BTreeSet<Vec<u8>>) {
        let before = self.contents();
        let mut last = None;
        for _ in 0..12 {
            let report = self.bench.sync(&mooring::engine::Look { retry: true, ..APPROVED });
            let short = report.as_ref().map(|report| {
                let mut short = report.clone();
                short.problems.clear();
                short
            });
            self.log.push(format!("sync {short:?}"));
            if let Ok(report) = &report {
                self.log.extend(report.problems.iter().map(|problem| format!("  {problem:?}")));
            }
            self.bench.memory.set_fault(None);
            let done =
                report.as_ref().is_ok_and(|report| !report.did_something() && report.errors == 0);
            last = Some(report);
            if done {
                break;
            }
        }
        let report = last.unwrap().unwrap();
        let after = self.contents();
        for content in before.difference(agreed) {
            assert!(
                after.contains(content),
                "lost {:?}",
                String::from_utf8_lossy(&content[..content.len().min(20)])
            );
        }
        if report.held == 0 {
            let mut local = self.bench.tree();
            let mut remote = self.bench.memory.tree();
            if self.bench.memory.forgets_folders {
                local.retain(|_, content| content.is_some());
                remote.retain(|_, content| content.is_some());
            }
            assert_eq!(local, remote, "the sides differ");
        }
        self.bench.memory.take_calls();
        let report = self.bench.sync(&APPROVED).unwrap();
        assert!(!report.did_something(), "another cycle does something: {report:?}");
        let calls = self.bench.memory.take_calls();
        let looks = ["list", "stat"];
        let asked = |call: &String| looks.iter().any(|name| call.starts_with(name));
        assert!(calls.iter().all(asked), "another cycle calls {calls:?}");
    }
}

fn run(seed: u64, descriptor: &'static Descriptor) {
    let mut history = History {
        dice: Dice::new(seed),
        bench: Bench::new(descriptor, Direction::Both),
        log: Vec::new(),
        written: 0,
    };
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let rounds = 2 + history.dice.roll(4);
        let mut agreed = BTreeSet::new();
        for _ in 0..rounds {
            for _ in 0..1 + history.dice.roll(6) {
                history.edit();
            }
            if history.dice.roll(3) == 0 {
                history.fault();
            }
            if history.dice.roll(12) == 0 {
                let _ = fs::remove_dir_all(history.bench.task.local.join("../state/tasks"));
                history.log.push("lose the state".into());
                agreed = BTreeSet::new();
            }
            history.settle(&agreed);
            agreed = history.contents();
        }
    }));
    if let Err(panic) = result {
        eprintln!("seed {seed} on {}:\n{}", descriptor.name, history.log.join("\n"));
        eprintln!("local {:?}", history.bench.tree().keys());
        eprintln!("remote {:?}", history.bench.memory.tree().keys());
        std::panic::resume_unwind(panic);
    }
}

/// Histories for each kind of service; MOORING_SEEDS=FROM..TO chooses others.
fn seeds() -> std::ops::Range<u64> {
    let chosen = std::env::var("MOORING_SEEDS").ok();
    let chosen = chosen.and_then(|text| {
        let (from, to) = text.split_once("..")?;
        Some(from.parse().ok()?..to.parse().ok()?)
    });
    chosen.unwrap_or(0..250)
}

#[test]
fn an_object_store_and_a_folder_end_equal() {
    seeds().for_each(|seed| run(seed, &STORE));
}

#[test]
fn an_object_store_that_forgets_folders_and_a_folder_end_equal() {
    seeds().for_each(|seed| run(seed, &FORGETFUL));
}

#[test]
fn a_drive_and_a_folder_end_equal() {
    seeds().for_each(|seed| run(seed, &DRIVE));
}
