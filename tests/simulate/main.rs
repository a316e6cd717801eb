//! Plays generated histories of the whole sync core in a simulated world: the disk, the service,
//! the state's file and the time are simulated, the rest is real. One seed tells all of a history.
//!
//! `cargo simulate --seeds A..B` plays those of these seeds on all processors, after the kept ones
//! in `stories`; `--seed N` and `--story NAME` tell all that is said in one of them. Ends with 1
//! when a promise is broken, and prints the shortest history that breaks it as it can be kept.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may end with a panic")]

mod clock;
#[path = "../common/dice.rs"]
#[allow(dead_code, reason = "the other tests use all of it")]
mod dice;
mod common {
    pub(crate) use crate::dice;
}
mod disk;
mod ledger;
mod play;
mod script;
#[allow(dead_code, unused_imports, reason = "each of the two who use it needs a part")]
mod service;
mod shrink;
mod storage;
mod stories;

use play::{Broken, catch_panics, play, play_twice};
use script::Script;
use std::collections::BTreeMap;
use std::io::{IsTerminal, Write, stderr};
use std::ops::Range;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Instant;
use stories::stories;

/// Histories that `cargo test` plays.
const FEW: Range<u64> = 0..500;
/// Seeds that a thread takes at once.
const CHUNK: u64 = 50;
/// One of so many histories is played twice.
const TWICE: u64 = 16;

fn main() -> ExitCode {
    catch_panics();
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["--seeds", seeds] => match range(seeds) {
            Some(seeds) => run(seeds),
            None => usage(),
        },
        ["--seed", seed] => seed.parse().map_or_else(|_| usage(), |seed| tell(Script::of(seed))),
        ["--story", name] => match stories().into_iter().find(|story| story.name == name) {
            Some(story) => tell(story.script()),
            None => usage(),
        },
        [] => run(FEW),
        [first, ..] if first.starts_with("--s") => usage(),
        // What `cargo test` hands on is meant for the other tests.
        _ => ExitCode::SUCCESS,
    }
}

fn usage() -> ExitCode {
    eprintln!("usage: cargo simulate [--seeds A..B | --seed N | --story NAME]");
    ExitCode::from(2)
}

fn range(text: &str) -> Option<Range<u64>> {
    let (from, to) = text.split_once("..")?;
    Some(from.parse().ok()?..to.parse().ok()?)
}

/// Plays one history and tells everything that happens in it.
fn tell(mut script: Script) -> ExitCode {
    let story = Arc::new(Mutex::new(Vec::new()));
    if let Err(broken) = play(&script, None) {
        script = shrink::shrink(&script, &broken).0;
    }
    eprintln!("{:?}", script.world);
    let result = play(&script, Some(story.clone()));
    for line in story.lock().unwrap().iter() {
        eprintln!("{line}");
    }
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(broken) => {
            report("it", &script, &broken);
            ExitCode::FAILURE
        }
    }
}

/// Plays the kept histories and tells how many of them break a promise again.
fn replay() -> u64 {
    let mut failed = 0;
    for story in stories() {
        let name = story.name;
        let script = story.script();
        if let Err(broken) = play_twice(&script) {
            report(name, &script, &broken);
            failed += 1;
        }
    }
    failed
}

/// Plays the history of a seed, now and then twice.
fn play_seed(seed: u64) -> Result<(), Broken> {
    let script = Script::of(seed);
    if seed.is_multiple_of(TWICE) { play_twice(&script) } else { play(&script, None) }
}

/// Plays the histories of these seeds on all processors.
fn run(seeds: Range<u64>) -> ExitCode {
    let replayed = replay();
    let began = Instant::now();
    let next = AtomicU64::new(seeds.start);
    let played = AtomicU64::new(0);
    let failures = Mutex::new(BTreeMap::<String, (u64, u64)>::new());
    let threads = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let from = next.fetch_add(CHUNK, Relaxed);
                    if from >= seeds.end {
                        return;
                    }
                    for seed in from..(from + CHUNK).min(seeds.end) {
                        if let Err(broken) = play_seed(seed) {
                            let mut failures = failures.lock().unwrap();
                            let kind = failures.entry(kind(&broken)).or_insert((0, seed));
                            kind.0 += 1;
                            kind.1 = kind.1.min(seed);
                        }
                        played.fetch_add(1, Relaxed);
                    }
                    progress(played.load(Relaxed), &seeds, began);
                }
            });
        }
    });
    let failures = failures.into_inner().unwrap();
    for (count, seed) in failures.values() {
        if let Err(broken) = play_twice(&Script::of(*seed)) {
            eprintln!("\n{count} like this:");
            report(&format!("seed {seed}"), &Script::of(*seed), &broken);
        }
    }
    let count = seeds.end - seeds.start;
    let rate = count as f64 / began.elapsed().as_secs_f64() / threads as f64;
    let failed: u64 = failures.values().map(|(count, _)| count).sum::<u64>() + replayed;
    eprintln!(
        "\n{count} histories, {failed} failed; {rate:.0} a second on each of {threads} processors"
    );
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// What failures have in common: the promise, and the words without numbers and names.
fn kind(broken: &Broken) -> String {
    let words: String = broken.what.chars().filter(|c| !c.is_ascii_digit()).take(36).collect();
    let words = words.split('"').next().unwrap_or_default();
    format!("{} {words}", broken.promise)
}

/// Tells the shortest history that breaks the same promise, as it can be kept.
fn report(name: &str, script: &Script, broken: &Broken) {
    let (script, broken) = shrink::shrink(script, broken);
    eprintln!("{name} breaks {}: {}\n{}", broken.promise, broken.what, stories::written(&script));
}

fn progress(played: u64, seeds: &Range<u64>, began: Instant) {
    let count = seeds.end - seeds.start;
    let line = format!("{played} of {count} histories, {} s", began.elapsed().as_secs());
    if stderr().is_terminal() {
        eprint!("\r{line}");
        let _ = stderr().flush();
    } else if (played / CHUNK).is_multiple_of((count / CHUNK / 10).max(1)) {
        eprintln!("{line}");
    }
}
