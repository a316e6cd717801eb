//! Generated histories: edits, moves, swaps, changes of kind and deletions on both sides, between
//! cycles and by looks at just what was touched, with calls that fail or lose their reply, and
//! lost state. However they go, nothing that a person wrote is lost, directions hold, both sides
//! end equal, and one more cycle does nothing and writes nothing.
//!
//! MOORING_SEEDS=FROM..TO chooses other histories. A failure tells its seed and shortest story.

use crate::common::bench::{APPROVED, Bench};
use crate::common::dice::Dice;
use crate::common::memory::{DRIVE, ETAGS, FORGETFUL, Fault, How, IDS, PATHS, STORE, VERSIONED};
use mooring::engine::{Engine, LocalLook, Look};
use mooring::error::Kind;
use mooring::model::{ConflictPolicy, Direction};
use mooring::remote::Descriptor;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

type Tree = BTreeMap<String, Option<Vec<u8>>>;

/// What a seed may do.
#[derive(Clone, Copy)]
struct Game {
    descriptor: &'static Descriptor,
    direction: Direction,
    keep_removed: bool,
    faults: bool,
    /// Skipped names.
    skips: bool,
    /// Looks at the touched folders only.
    partial: bool,
    conflict: ConflictPolicy,
    /// The consistency check is on.
    check: bool,
}

struct History {
    dice: Dice,
    bench: Bench,
    game: Game,
    log: Vec<String>,
    written: u64,
    touched: BTreeSet<String>,
    /// What was moved out of the task on the service.
    away: Vec<String>,
}

fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(parent, _)| parent)
}

impl History {
    fn path(&mut self) -> String {
        const NAMES: &[&str] = &["a", "b", "c", "d-e", "d"];
        const SKIPPED: &[&str] = &["~s", "Thumbs.db", "._r", "x:y"];
        let depth = 1 + self.dice.roll(3);
        let mut parts: Vec<_> = (0..depth).map(|_| *self.dice.pick(NAMES).unwrap()).collect();
        if self.game.skips && self.dice.roll(5) == 0 {
            parts.pop();
            parts.push(*self.dice.pick(SKIPPED).unwrap());
        }
        parts.join("/")
    }

    fn content(&mut self) -> Vec<u8> {
        self.written += 1;
        format!("content {:06}", self.written).into_bytes()
    }

    /// No watch tells that another name of a file has changed content, too: such a file is
    /// replaced.
    fn unlink(&self, target: &Path) {
        let linked = fs::metadata(target).is_ok_and(|file| file.is_file() && file.nlink() > 1);
        if self.game.partial && linked {
            fs::remove_file(target).unwrap();
        }
    }

    /// Makes the folders for `path` and tells what a watch would: the parents of those made.
    fn make_parents(&mut self, path: &str) -> bool {
        let mut at = String::new();
        for part in parent(path).split('/').filter(|part| !part.is_empty()) {
            let above = at.clone();
            if !at.is_empty() {
                at.push('/');
            }
            at.push_str(part);
            let full = self.bench.local.join(&at);
            if full.is_dir() {
                continue;
            }
            if fs::create_dir(&full).is_err() {
                return false;
            }
            self.touched.insert(above);
            self.touched.insert(at.clone());
        }
        true
    }

    fn edit(&mut self) {
        let locals: Vec<_> = self.bench.tree().into_iter().collect();
        let remotes: Vec<_> = self.bench.memory.tree().into_iter().collect();
        let path = self.path();
        let step = match self.dice.roll(24) {
            0 | 1 => {
                let content = self.content();
                let target = self.bench.local.join(&path);
                let made = self.make_parents(&path);
                self.unlink(&target);
                let done = made && fs::write(&target, content).is_ok();
                self.touched.insert(parent(&path).into());
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
                Some((path, content)) => {
                    let at = self.bench.local.join(path);
                    match content {
                        Some(_) => fs::remove_file(at).unwrap(),
                        None => fs::remove_dir_all(at).unwrap(),
                    }
                    self.touched.insert(parent(path).into());
                    format!("delete local {path}")
                }
                None => return,
            },
            5 => match self.dice.pick(&remotes) {
                Some((path, _)) => {
                    self.bench.memory.delete(path);
                    format!("delete remote {path}")
                }
                None => return,
            },
            6..=8 => {
                // Folders more often than files.
                let only_folders = self.dice.roll(3) > 0;
                let from: Vec<_> =
                    locals.iter().filter(|(_, c)| !only_folders || c.is_none()).collect();
                let Some((from, _)) = self.dice.pick(&from) else { return };
                let made = self.make_parents(&path);
                let (at, to) = (self.bench.local.join(from), self.bench.local.join(&path));
                let moved = made && !to.exists() && fs::rename(at, to).is_ok();
                self.touched.insert(parent(from).into());
                self.touched.insert(parent(&path).into());
                format!("move local {from} {path} {moved}")
            }
            9 | 10 => {
                // Two items change places.
                let (Some((one, _)), Some((two, _))) =
                    (self.dice.pick(&locals), self.dice.pick(&locals))
                else {
                    return;
                };
                let at = |path: &str| self.bench.local.join(path);
                let within = |a: &str, b: &str| a == b || a.starts_with(&format!("{b}/"));
                if within(one, two) || within(two, one) {
                    return;
                }
                fs::rename(at(one), at("swap")).unwrap();
                fs::rename(at(two), at(one)).unwrap();
                fs::rename(at("swap"), at(two)).unwrap();
                self.touched.insert(parent(one).into());
                self.touched.insert(parent(two).into());
                format!("swap local {one} {two}")
            }
            11 => {
                // A file becomes a folder or the other way round.
                let Some((path, content)) = self.dice.pick(&locals).cloned() else { return };
                let at = self.bench.local.join(&path);
                let content_now = self.content();
                if content.is_some() {
                    fs::remove_file(&at).unwrap();
                    fs::create_dir(&at).unwrap();
                    fs::write(at.join("a"), content_now).unwrap();
                    self.touched.insert(path.clone());
                } else {
                    fs::remove_dir_all(&at).unwrap();
                    fs::write(&at, content_now).unwrap();
                }
                self.touched.insert(parent(&path).into());
                format!("change kind local {path}")
            }
            12 => {
                let Some((path, content)) = self.dice.pick(&remotes).cloned() else { return };
                self.bench.memory.delete(&path);
                let content_now = self.content();
                let at = if content.is_some() { format!("{path}/a") } else { path.clone() };
                self.bench.memory.put(&at, &content_now);
                format!("change kind remote {path}")
            }
            13 => {
                // A hard link, as backup programs make them.
                let files: Vec<_> = locals.iter().filter(|(_, c)| c.is_some()).collect();
                let Some((from, _)) = self.dice.pick(&files) else { return };
                let made = self.make_parents(&path);
                let (at, to) = (self.bench.local.join(from), self.bench.local.join(&path));
                let done = made && fs::hard_link(at, to).is_ok();
                self.touched.insert(parent(&path).into());
                format!("link local {from} {path} {done}")
            }
            14 => {
                let made = self.make_parents(&format!("{path}/x"));
                format!("make local {path}/ {made}")
            }
            15..=17 => {
                let only_folders = self.dice.roll(3) > 0;
                let from: Vec<_> =
                    remotes.iter().filter(|(_, c)| !only_folders || c.is_none()).collect();
                let Some((from, _)) = self.dice.pick(&from) else { return };
                let clash = remotes.iter().any(|(at, content)| {
                    *at == path || (content.is_some() && path.starts_with(&format!("{at}/")))
                });
                let moved = !clash && !path.starts_with(&format!("{from}/"));
                if moved {
                    self.bench.memory.relocate(from, &path);
                }
                format!("move remote {from} {path} {moved}")
            }
            18 => {
                self.bench.memory.forget_cursors();
                "forget the cursors".into()
            }
            19 | 20 => {
                let (Some((one, _)), Some((two, _))) =
                    (self.dice.pick(&remotes), self.dice.pick(&remotes))
                else {
                    return;
                };
                let within = |a: &str, b: &str| a == b || a.starts_with(&format!("{b}/"));
                if within(one, two) || within(two, one) {
                    return;
                }
                self.bench.memory.relocate(one, "swap");
                self.bench.memory.relocate(two, one);
                self.bench.memory.relocate("swap", two);
                format!("swap remote {one} {two}")
            }
            21 | 22 => {
                if self.game.descriptor.name != IDS.name && self.game.descriptor.name != PATHS.name
                {
                    return;
                }
                let clash = remotes.iter().any(|(at, content)| {
                    *at == path || (content.is_some() && path.starts_with(&format!("{at}/")))
                });
                match (self.away.pop(), self.dice.pick(&remotes)) {
                    (Some(away), _) if !clash => {
                        self.bench.memory.relocate(&away, &path);
                        format!("bring back remote {path}")
                    }
                    (away, Some((from, _))) => {
                        self.away.extend(away);
                        self.away.push(self.bench.memory.take_out(from));
                        format!("take out remote {from}")
                    }
                    _ => return,
                }
            }
            _ => match self.dice.pick(&locals) {
                Some((path, Some(content))) => {
                    fs::write(self.bench.local.join(path), content).unwrap();
                    self.touched.insert(parent(path).into());
                    format!("touch local {path}")
                }
                _ => return,
            },
        };
        self.log.push(step);
    }

    fn fault(&mut self) {
        const KINDS: &[Kind] = &[
            Kind::Offline,
            Kind::Denied,
            Kind::TooLarge,
            Kind::Integrity,
            Kind::QuotaFull,
            Kind::State,
            Kind::NotFound,
            Kind::Exists,
            Kind::Changed,
            Kind::Protocol,
        ];
        let how = match self.dice.roll(3) {
            0 => How::LoseReply,
            _ => How::Refuse(*self.dice.pick(KINDS).unwrap()),
        };
        let after = self.dice.roll(20) as usize;
        let word = match how {
            How::LoseReply => "lose the reply".into(),
            How::Refuse(kind) => format!("{kind:?}"),
        };
        self.log.push(format!("fault after {after}: {word}"));
        self.bench.memory.set_fault(Some(Fault { after, how }));
    }

    /// What people wrote: not what programs leave behind in folders, which goes with them.
    fn contents(&self) -> BTreeSet<Vec<u8>> {
        let litter = |path: &str| {
            let name = path.rsplit('/').next().unwrap_or_default();
            name == "Thumbs.db" || name.starts_with("._")
        };
        let all = self.bench.tree().into_iter().chain(self.bench.memory.tree());
        all.filter(|(path, _)| !litter(path)).filter_map(|(_, content)| content).collect()
    }

    fn note(&mut self, report: &mooring::error::Result<mooring::engine::Report>) {
        let text = match report {
            Ok(r) => format!(
                "up {} down {} moved {} -local {} -remote {} conflicts {} skipped {} held {} errors {}",
                r.uploaded,
                r.downloaded,
                r.moved,
                r.deleted_local,
                r.deleted_remote,
                r.conflicts,
                r.skipped,
                r.held,
                r.errors
            ),
            Err(error) => format!("{error}"),
        };
        self.log.push(format!("  -> {text}"));
        if let Ok(report) = report {
            self.log
                .extend(report.problems.iter().map(|p| format!("     {}: {}", p.path, p.reason)));
        }
    }

    fn settle(&mut self, engine: &mut Engine, agreed: &BTreeSet<Vec<u8>>) {
        let before = self.contents();
        let (local_before, remote_before) = (self.bench.tree(), self.bench.memory.tree());
        let touched: Vec<String> = std::mem::take(&mut self.touched).into_iter().collect();
        let partial = self.game.partial && !touched.is_empty();
        let feeds = [&IDS, &PATHS].iter().any(|it| it.name == self.game.descriptor.name);
        let first = if partial && self.dice.roll(3) > 0 {
            self.log.push(format!("look at {touched:?}"));
            // Half of them as the daemon does between two polls: a feed is asked only when there
            // is something to be done.
            let remote = !feeds || self.dice.roll(2) == 0;
            Look { local: LocalLook::Folders(touched), remote, retry: true, ..APPROVED }
        } else {
            self.log.push("look at everything".into());
            Look { retry: true, ..APPROVED }
        };
        let rest = if partial { LocalLook::Nothing } else { LocalLook::All };
        let mut last = None;
        for number in 0..12 {
            let look = if number == 0 {
                first.clone()
            } else {
                Look { local: rest.clone(), retry: true, ..APPROVED }
            };
            let report = engine.cycle(&look);
            self.note(&report);
            self.bench.memory.set_fault(None);
            let done =
                report.as_ref().is_ok_and(|report| !report.did_something() && report.errors == 0);
            last = Some(report);
            if done && look.remote {
                break;
            }
        }
        let report = last.unwrap().unwrap();
        assert!(!report.did_something() && report.errors == 0, "it doesn't come to rest");
        let after = self.contents();
        for content in before.difference(agreed) {
            assert!(after.contains(content), "lost {:?}", String::from_utf8_lossy(content));
        }
        self.compare(&local_before, &remote_before, report.held > 0);
        self.bench.memory.take_calls();
        // A look at everything finds nothing that the partial one missed.
        let report = engine.cycle(&APPROVED).unwrap();
        self.note(&Ok(report.clone()));
        assert!(!report.did_something(), "another cycle does something");
        let calls = self.bench.memory.take_calls();
        let asked = |call: &String| {
            ["list", "stat", "changes", "now"].iter().any(|name| call.starts_with(name))
        };
        assert!(calls.iter().all(asked), "another cycle calls {calls:?}");
        let state = self.bench.task.local.join("../state/tasks/1.redb");
        let bytes = fs::read(&state).unwrap();
        engine.cycle(&APPROVED).unwrap();
        assert!(bytes == fs::read(&state).unwrap(), "the state is written though nothing changed");
        let snapshot = engine.trees().snapshot().unwrap();
        for key in snapshot.skipped(None).unwrap() {
            snapshot.path(&key.unwrap()).unwrap();
        }
    }

    fn compare(&self, local_before: &Tree, remote_before: &Tree, held: bool) {
        let mut local = self.bench.tree();
        let mut remote = self.bench.memory.tree();
        match self.game.direction {
            Direction::Upload => assert_eq!(&local, local_before, "upload-only wrote locally"),
            Direction::Download => {
                assert_eq!(&remote, remote_before, "download-only wrote remotely")
            }
            Direction::Both => {}
        }
        if self.game.keep_removed {
            let there = |tree: &Tree, before: &Tree, side: &str| {
                for (path, content) in before {
                    if content.is_some() {
                        assert!(tree.contains_key(path), "keep-removed removed {side} {path}");
                    }
                }
            };
            there(&local, local_before, "local");
            there(&remote, remote_before, "remote");
            return;
        }
        if held || self.game.direction != Direction::Both {
            return;
        }
        let skipped = |path: &str| {
            path.split('/').any(|part| part == "~s" || part == "Thumbs.db" || part == "x:y")
                || path.rsplit('/').next().is_some_and(|name| name.starts_with("._"))
        };
        let file_skip = |tree: &mut Tree| {
            tree.retain(|path, content| content.is_some() && !skipped(path));
        };
        if self.bench.memory.forgets_folders || self.game.skips {
            file_skip(&mut local);
            file_skip(&mut remote);
            // A folder may be called like a skipped file.
            local.retain(|path, _| !path.contains("~s") && !path.contains("._r"));
            remote.retain(|path, _| !path.contains("~s") && !path.contains("._r"));
        }
        let clash = local
            .iter()
            .any(|(path, one)| remote.get(path).is_some_and(|two| one.is_some() != two.is_some()));
        assert!(!clash, "a file and a folder of one name, and nobody is told");
        assert_eq!(local, remote, "the sides differ");
    }
}

fn run(seed: u64, game: Game) -> Result<(), (usize, String)> {
    let mut bench = Bench::new(game.descriptor, game.direction);
    bench.task.keep_removed = game.keep_removed;
    bench.task.conflict = game.conflict;
    bench.task.consistency_check = game.check;
    if seed % 2 == 1 {
        bench.memory.scramble();
    }
    let mut history = History {
        dice: Dice::new(seed),
        bench,
        game,
        log: Vec::new(),
        written: 0,
        touched: BTreeSet::new(),
        away: Vec::new(),
    };
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let rounds = 1 + history.dice.roll(4);
        let mut agreed = BTreeSet::new();
        let mut engine = history.bench.engine();
        for round in 0..rounds {
            for _ in 0..1 + history.dice.roll(6) {
                history.edit();
            }
            if round == 0 {
                history.touched.clear();
            }
            if game.faults && history.dice.roll(2) == 0 {
                history.fault();
            }
            if !game.partial && history.dice.roll(2) == 0 {
                drop(engine);
                engine = history.bench.engine();
                history.log.push("restart".into());
            }
            if game.faults
                && game.direction == Direction::Both
                && !game.keep_removed
                && history.dice.roll(8) == 0
            {
                drop(engine);
                history.bench.forget();
                engine = history.bench.engine();
                agreed.clear();
                history.log.push("lose the state".into());
            }
            history.settle(&mut engine, &agreed);
            agreed = history.contents();
        }
    }));
    result.map_err(|panic| {
        let text = panic
            .downcast_ref::<String>()
            .cloned()
            .or_else(|| panic.downcast_ref::<&str>().map(|text| text.to_string()))
            .unwrap_or_default();
        let story = history.log.join("\n    ");
        let short: String = text.chars().take(700).collect();
        (history.log.len(), format!("seed {seed}: {short}\n    {story}"))
    })
}

/// Runs all seeds; tells each kind of failure with its shortest story.
fn play(name: &str, game: Game) {
    let seeds = std::env::var("MOORING_SEEDS").ok().and_then(|text| {
        let (from, to) = text.split_once("..")?;
        Some(from.parse::<u64>().ok()?..to.parse::<u64>().ok()?)
    });
    let mut failures: BTreeMap<String, (Vec<u64>, usize, String)> = BTreeMap::new();
    for seed in seeds.unwrap_or(0..60) {
        if let Err((length, story)) = run(seed, game) {
            let first = story.split_once(": ").map_or("", |(_, rest)| rest);
            let kind: String = first
                .lines()
                .next()
                .unwrap_or("")
                .chars()
                .filter(|c| !c.is_ascii_digit())
                .take(70)
                .collect();
            let kind = match kind.find('"') {
                Some(at) => kind[..at].to_string(),
                None => kind,
            };
            let entry = failures.entry(kind).or_insert((Vec::new(), usize::MAX, String::new()));
            entry.0.push(seed);
            if length < entry.1 {
                (entry.1, entry.2) = (length, story);
            }
        }
    }
    for (kind, (seeds, _, story)) in &failures {
        let shown: Vec<_> = seeds.iter().take(12).collect();
        eprintln!("== {name}: {} x {kind} {shown:?}\n  {story}\n", seeds.len());
    }
    assert!(failures.is_empty());
}

const PLAIN: Game = Game {
    descriptor: &DRIVE,
    direction: Direction::Both,
    keep_removed: false,
    faults: false,
    skips: false,
    partial: false,
    conflict: ConflictPolicy::Local,
    check: false,
};

/// The remote side wins, and nothing is trusted.
const REMOTE: Game = Game { conflict: ConflictPolicy::Remote, check: true, faults: true, ..PLAIN };

macro_rules! games {
    ($($name:ident: $game:expr;)*) => {
        $(#[test] fn $name() { play(stringify!($name), $game); })*
    };
}

games! {
    drive: PLAIN;
    store: Game { descriptor: &STORE, ..PLAIN };
    forgetful: Game { descriptor: &FORGETFUL, ..PLAIN };
    etags: Game { descriptor: &ETAGS, ..PLAIN };
    drive_faults: Game { faults: true, ..PLAIN };
    store_faults: Game { descriptor: &STORE, faults: true, ..PLAIN };
    etags_faults: Game { descriptor: &ETAGS, faults: true, ..PLAIN };
    drive_partial: Game { partial: true, ..PLAIN };
    store_partial: Game { descriptor: &STORE, partial: true, ..PLAIN };
    drive_skips: Game { skips: true, ..PLAIN };
    store_skips: Game { descriptor: &STORE, skips: true, ..PLAIN };
    drive_upload: Game { direction: Direction::Upload, faults: true, ..PLAIN };
    store_upload: Game { descriptor: &STORE, direction: Direction::Upload, faults: true, ..PLAIN };
    drive_download: Game { direction: Direction::Download, faults: true, ..PLAIN };
    store_download: Game { descriptor: &STORE, direction: Direction::Download, faults: true, ..PLAIN };
    drive_keep: Game { keep_removed: true, faults: true, ..PLAIN };
    store_keep: Game { descriptor: &STORE, keep_removed: true, faults: true, ..PLAIN };
    drive_keep_upload: Game { keep_removed: true, direction: Direction::Upload, ..PLAIN };
    ids: Game { descriptor: &IDS, ..PLAIN };
    paths: Game { descriptor: &PATHS, ..PLAIN };
    ids_faults: Game { descriptor: &IDS, faults: true, ..PLAIN };
    paths_faults: Game { descriptor: &PATHS, faults: true, ..PLAIN };
    ids_partial: Game { descriptor: &IDS, partial: true, ..PLAIN };
    paths_partial: Game { descriptor: &PATHS, partial: true, ..PLAIN };
    ids_skips: Game { descriptor: &IDS, skips: true, ..PLAIN };
    paths_skips: Game { descriptor: &PATHS, skips: true, ..PLAIN };
    ids_upload: Game { descriptor: &IDS, direction: Direction::Upload, faults: true, ..PLAIN };
    ids_download: Game { descriptor: &IDS, direction: Direction::Download, faults: true, ..PLAIN };
    paths_download: Game { descriptor: &PATHS, direction: Direction::Download, faults: true, ..PLAIN };
    ids_keep: Game { descriptor: &IDS, keep_removed: true, faults: true, ..PLAIN };
    drive_remote: REMOTE;
    store_remote: Game { descriptor: &STORE, ..REMOTE };
    ids_remote: Game { descriptor: &IDS, ..REMOTE };
    paths_remote: Game { descriptor: &PATHS, ..REMOTE };
    store_remote_partial: Game { descriptor: &STORE, partial: true, ..REMOTE };
    ids_newer: Game { descriptor: &IDS, conflict: ConflictPolicy::Newer, faults: true, ..PLAIN };
    versioned: Game { descriptor: &VERSIONED, conflict: ConflictPolicy::Both, faults: true, ..PLAIN };
    drive_keep_download: Game { keep_removed: true, direction: Direction::Download, ..PLAIN };
}
