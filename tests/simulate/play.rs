//! Plays a history, and tells the first promise that is broken in it.

use super::clock::Time;
use super::common::dice::Dice;
use super::disk::{SimDisk, Tree};
use super::ledger::{Ledger, tree_of};
use super::script::{Act, Change, Script, Step, Trouble, Wide};
use super::service::{At, Point, Twin, twins};
use super::storage::Storage;
use mooring::engine::{Engine, LocalLook, Look, Parts, Report, Turns, Workers};
use mooring::error::{Error, Kind, Result};
use mooring::http::Cancel;
use mooring::local::Disk;
use mooring::model::{ConflictPolicy, Direction, Side};
use mooring::settings::Task;
use mooring::store::Trees;
use nix::Error as Errno;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Cycles in which everything has to have come to rest.
const MOST_ROUNDS: u32 = 40;

/// A broken promise: its number in the list of promises, and what is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    pub promise: &'static str,
    pub what: String,
}

type Played<T> = std::result::Result<T, Broken>;

fn broken<T>(promise: &'static str, what: impl Into<String>) -> Played<T> {
    Err(Broken { promise, what: what.into() })
}

thread_local! {
    /// What the last panic on this thread said.
    static PANIC: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Notes panics instead of printing them: the engine turns them into errors.
pub fn catch_panics() {
    std::panic::set_hook(Box::new(|panic| {
        PANIC.with(|last| *last.borrow_mut() = Some(panic.to_string()));
    }));
}

/// Whose turn it is, by chance.
struct Chance(Mutex<Dice>);

impl Turns for Chance {
    fn next(&self, running: usize) -> Option<usize> {
        let mut dice = lock(&self.0);
        match dice.roll(running as u64 + 1) as usize {
            0 => None,
            number => Some(number - 1),
        }
    }
}

struct Player {
    ledger: Arc<Mutex<Ledger>>,
    disk: SimDisk,
    twin: Arc<Twin>,
    time: Time,
    storage: Storage,
    /// Counts the files that were put in the state's place.
    file: u64,
    copy: Option<Storage>,
    task: Task,
    workers: usize,
    engine: Option<Engine>,
    dice: Dice,
    /// The state doesn't know what was agreed on.
    distrusted: bool,
    /// Every call that was made, if somebody wants to read them.
    story: Option<Arc<Mutex<Vec<String>>>>,
}

/// Plays a history to its end. With a story, tells every call that Mooring made.
pub fn play(script: &Script, story: Option<Arc<Mutex<Vec<String>>>>) -> Played<()> {
    PANIC.with(|last| *last.borrow_mut() = None);
    let mut player = Player::new(script, story);
    let played = script.steps.iter().try_for_each(|step| player.step(step));
    if let Some(panic) = PANIC.with(|last| last.borrow_mut().take()) {
        return broken("no panic", panic);
    }
    played
}

impl Player {
    fn new(script: &Script, story: Option<Arc<Mutex<Vec<String>>>>) -> Player {
        let world = script.world;
        let time = Time::new();
        let disk = SimDisk::new(time.clone(), world.format);
        let clock = time.clone();
        let twin = Twin::new(twins()[world.twin], world.seed, Box::new(move || clock.elsewhere()));
        let task = Task {
            name: "task".into(),
            id: 1,
            connection: "connection".into(),
            local: PathBuf::from("/volume/task"),
            remote: String::new(),
            direction: world.direction,
            conflict: ConflictPolicy::Local,
            consistency_check: false,
            keep_removed: world.keep_removed,
            recycle_days: 30,
            filter: Default::default(),
            settings: Vec::new(),
            paused: false,
            revision: 0,
        };
        let ledger = Ledger::new(disk.clone(), twin.clone(), time.clone());
        let player = Player {
            ledger: Arc::new(Mutex::new(ledger)),
            disk,
            twin,
            time,
            storage: Storage::default(),
            file: 0,
            copy: None,
            task,
            workers: world.workers,
            engine: None,
            dice: Dice::new(world.seed ^ 0x5eed),
            distrusted: false,
            story,
        };
        player.set_hooks();
        player
    }

    fn set_hooks(&self) {
        let (ledger, story) = (self.ledger.clone(), self.story.clone());
        self.disk.set_hook(Some(Box::new(move |call, about| {
            let mut ledger = lock(&ledger);
            ledger.calls += 1;
            tell(&story, || format!("{:4}   disk {call} {about}", ledger.calls));
            // Nobody gets between a last look and what follows it: that is left to chance, and
            // said so where it is.
            if !matches!(call, "rename" | "remove file") {
                ledger.do_due();
            }
            let writes = ["create file", "make folder", "link", "rename", "remove file"];
            ledger.local_changes += u32::from(writes.contains(&call) || call == "remove folder");
            if ledger.off.is_some() { Err(Errno::EIO) } else { Ok(()) }
        })));
        let (ledger, story) = (self.ledger.clone(), self.story.clone());
        self.twin.set_hook(Some(Box::new(move |_, Point { call, path, at }| {
            let mut ledger = lock(&ledger);
            ledger.calls += 1;
            tell(&story, || format!("{:4}   service {call} {path} {at:?}", ledger.calls));
            ledger.do_due();
            ledger.time.pass();
            let looks = ["test", "list", "stat", "read", "now", "changes", "wait"];
            ledger.remote_changes += u32::from(!looks.contains(&call));
            fail(&mut ledger.failing, call, at)
        })));
    }

    // ---- what happens

    fn step(&mut self, step: &Step) -> Played<()> {
        tell(&self.story, || format!("{step:?}"));
        match step {
            Step::Act(Act::Kill | Act::PowerCut) => Ok(()),
            Step::Act(act) => {
                self.ledger().act(act);
                Ok(())
            }
            Step::Cycle { look, meanwhile } => self.cycle_of(*look, meanwhile),
            Step::Restart => {
                self.engine = None;
                Ok(())
            }
            Step::Change(change) => {
                self.engine = None;
                self.task.revision += 1;
                match change {
                    Change::Direction(direction) => self.task.direction = *direction,
                    Change::KeepRemoved(keep) => self.task.keep_removed = *keep,
                }
                Ok(())
            }
            Step::LoseState => {
                // Nobody makes a task of a folder that isn't there.
                self.disk.mount(true);
                self.engine = None;
                self.storage = Storage::default();
                self.distrusted = true;
                self.ledger().linked = false;
                Ok(())
            }
            Step::CopyState => {
                self.engine = None;
                self.copy = Some(self.storage.copy());
                Ok(())
            }
            Step::RestoreState => {
                if let Some(copy) = self.copy.take() {
                    self.engine = None;
                    self.storage = copy;
                    self.file += 1;
                    self.distrusted = true;
                }
                Ok(())
            }
            Step::Calm => self.calm(),
        }
    }

    fn cycle_of(&mut self, wide: Wide, meanwhile: &[(u32, Act)]) -> Played<()> {
        let approve = self.dice.roll(2) == 0;
        let look = {
            let mut ledger = self.ledger();
            ledger.due = meanwhile.iter().rev().cloned().collect();
            let folders = || ledger.touched.iter().cloned().collect();
            let look = Look {
                local: match wide {
                    Wide::Everything => LocalLook::All,
                    Wide::Touched | Wide::TouchedAndRemote => LocalLook::Folders(folders()),
                    Wide::Remote => LocalLook::Nothing,
                },
                remote: wide != Wide::Touched,
                approve,
                retry: false,
                verify: 0,
            };
            if wide != Wide::Remote {
                ledger.touched.clear();
            }
            look
        };
        let undisturbed = meanwhile.is_empty() && wide == Wide::Everything;
        let result = self.cycle(&look)?;
        // What one that failed found is agreed on as well, and may be removed by the next.
        let distrusted = std::mem::take(&mut self.distrusted);
        if let Ok(report) = &result
            && distrusted
            && undisturbed
            && report.deleted_local + report.deleted_remote > 0
        {
            return broken("P10", format!("without a state, it removes: {report:?}"));
        }
        if result.is_err() {
            // What was asked for is asked for again.
            self.ledger().touched.insert(String::new());
        }
        Ok(())
    }

    /// One cycle, and what has to be true after each.
    fn cycle(&mut self, look: &Look) -> Played<Result<Report>> {
        let mut engine = self.take_engine()?;
        {
            let mut ledger = self.ledger();
            (ledger.calls, ledger.local_changes, ledger.remote_changes) = (0, 0, 0);
        }
        let result = engine.cycle(look);
        tell(&self.story, || format!("   => {result:?}"));
        let off = {
            let mut ledger = self.ledger();
            ledger.due.clear();
            ledger.linked |= result.is_ok();
            ledger.off.take()
        };
        if let Some(cut) = off {
            self.storage.power_off();
            drop(engine);
            self.power_on(cut);
        } else {
            self.engine = Some(engine);
        }
        if let Err(error) = &result
            && matches!(error.kind(), Kind::State | Kind::Usage)
            && off.is_none()
        {
            return broken("P8", format!("a cycle ends with {error}"));
        }
        self.check_always(result.as_ref().ok())?;
        Ok(result)
    }

    fn power_on(&mut self, cut: bool) {
        let dice = &mut self.dice;
        let mut chance = |sides| dice.roll(sides);
        let gone = self.disk.power_on(cut, &mut chance);
        self.storage = self.storage.power_on(cut, &mut chance);
        self.twin.power_on();
        let mut ledger = self.ledger();
        ledger.taken.extend(gone);
        ledger.touched.insert(String::new());
    }

    fn take_engine(&mut self) -> Played<Engine> {
        if let Some(engine) = self.engine.take() {
            return Ok(engine);
        }
        let trees = match Trees::on(self.storage.clone(), self.file) {
            Ok(trees) => trees,
            Err(error) => return broken("P4", format!("the state can't be opened: {error}")),
        };
        self.twin.reopen();
        let turns = Chance(Mutex::new(Dice::new(self.dice.roll(u64::MAX))));
        let parts = Parts {
            trees,
            disk: Disk::on(Arc::new(self.disk.clone()), Path::new("/volume/task")),
            remote: self.twin.clone(),
            descriptor: self.twin.abilities().descriptor,
            counters: Arc::default(),
            workers: Workers::InTurn(self.workers, Arc::new(turns)),
            clock: Arc::new(self.time.clone()),
            state: PathBuf::from("/nowhere"),
            history: 20,
            cancel: Cancel::default(),
        };
        Ok(Engine::with(&self.task, parts))
    }

    // ---- what has to be true

    /// After every cycle.
    fn check_always(&self, report: Option<&Report>) -> Played<()> {
        let ledger = self.ledger();
        if let Some(content) = ledger.lost().first() {
            return broken("P1", format!("a content is lost: {}", show(content)));
        }
        if let Some(content) = ledger.disk.erased() {
            return broken("P26", format!("a removed file isn't kept: {}", show(&content)));
        }
        let (local, remote) = (ledger.tree(Side::Local), ledger.tree(Side::Remote));
        let cut = ledger.twin.aftermath().cut;
        let torn = |tree: &Tree| {
            let mut all = tree.iter();
            all.find_map(|(path, content)| {
                let content = content.as_ref()?;
                let known = content.is_empty() || ledger.known.contains(content);
                (!known && !cut.contains(content)).then(|| format!("{path}: {}", show(content)))
            })
        };
        if let Some(torn) = torn(&local).or_else(|| torn(&remote)) {
            return broken("P4", format!("nobody ever wrote this: {torn}"));
        }
        match self.task.direction {
            Direction::Upload if ledger.local_changes > 0 => {
                return broken("P27", "an upload-only task changes the disk");
            }
            Direction::Download if ledger.remote_changes > 0 => {
                return broken("P27", "a download-only task changes the service");
            }
            _ => {}
        }
        match report {
            Some(report)
                if self.task.keep_removed && report.deleted_local + report.deleted_remote > 0 =>
            {
                broken("P27", format!("what is to be kept is removed: {report:?}"))
            }
            _ => Ok(()),
        }
    }

    /// Everything is in order and nobody does anything, until nothing more happens.
    fn calm(&mut self) -> Played<()> {
        self.ledger().put_in_order();
        let everything =
            Look { local: LocalLook::All, remote: true, approve: true, retry: true, verify: 0 };
        let mut rounds = 0;
        let report = loop {
            self.time.rest(Duration::from_secs(120));
            let report = match self.cycle(&everything)? {
                Ok(report) => report,
                Err(error) => return broken("P8", format!("a cycle in order ends with {error}")),
            };
            self.distrusted = false;
            rounds += 1;
            if !report.did_something() && rounds > 1 {
                break report;
            }
            if rounds == MOST_ROUNDS {
                return broken("P8", format!("no end after {rounds} cycles: {report:?}"));
            }
        };
        self.check_equal(&report)?;
        self.check_quiet()
    }

    /// Both sides have the same, but for what somebody is told of.
    fn check_equal(&self, report: &Report) -> Played<()> {
        let told = self.told()?;
        tell(&self.story, || format!("   told: {told:?}"));
        let (local, remote) = (self.disk.tree(), tree_of(self.twin.items()));
        // Where what is removed is kept, what is moved is there twice.
        if !self.task.keep_removed {
            self.check_copies(&told, &local, &remote)?;
        }
        if self.task.direction != Direction::Both {
            return Ok(());
        }
        if self.twin.abilities().descriptor.namesakes {
            return self.check_alike(&told, &local, &remote);
        }
        let mut paths: BTreeSet<&String> = local.keys().collect();
        paths.extend(remote.keys());
        for path in paths {
            let (here, there) = (local.get(path), remote.get(path));
            if here == there || is_told(&told, path) {
                continue;
            }
            let empty_folder = here == Some(&None) && there.is_none();
            if empty_folder && !self.twin.abilities().keeps_empty {
                continue;
            }
            if self.task.keep_removed && (here.is_none() || there.is_none()) {
                continue;
            }
            let what = format!("{path} is {} here and {} there", state(here), state(there));
            return broken("P8", format!("{what}, and nobody is told: {report:?}"));
        }
        if let Some(names) = self.disk.work_folder() {
            return broken("P15", format!("the work folder stays, with {names:?}"));
        }
        Ok(())
    }

    /// Where several items may have one name, both sides have as many of each name and content,
    /// by whatever other names they are told apart.
    fn check_alike(
        &self,
        told: &BTreeMap<String, String>,
        local: &Tree,
        remote: &Tree,
    ) -> Played<()> {
        let alike = |tree: &Tree| {
            let mut all: Vec<_> = tree
                .iter()
                .map(|(path, content)| (path, without_marks(path), content))
                // A file and a folder of one name are told by the name.
                .filter(|(path, plain, _)| !is_told(told, path) && !is_told(told, plain))
                .map(|(_, plain, content)| (plain, content.clone()))
                .collect();
            all.sort();
            all
        };
        let (here, there) = (alike(local), alike(remote));
        let missing = |(path, _): &(String, Option<_>), others: &Vec<_>, all: &Vec<_>| {
            let count = |list: &Vec<(String, _)>| list.iter().filter(|it| it.0 == *path).count();
            !self.task.keep_removed || count(others) > count(all)
        };
        let odd = here
            .iter()
            .find(|it| !there.contains(it) && missing(it, &there, &here))
            .or_else(|| there.iter().find(|it| !here.contains(it) && missing(it, &here, &there)));
        match odd {
            Some((path, content)) => {
                let side =
                    if here.contains(&(path.clone(), content.clone())) { "here" } else { "there" };
                let what = format!("{path} is {} only {side}", state(Some(content)));
                broken("P8", format!("{what}, and nobody is told"))
            }
            None => Ok(()),
        }
    }

    /// No content is there more often than persons made it so: where the better one can't be sent,
    /// the loser has its name and one of its own.
    fn check_copies(
        &self,
        told: &BTreeMap<String, String>,
        local: &Tree,
        remote: &Tree,
    ) -> Played<()> {
        let ledger = self.ledger();
        for tree in [local, remote] {
            let mut copies = BTreeMap::<_, u32>::new();
            let settled = tree.iter().filter(|(path, _)| !is_told(told, path));
            let contents = settled.filter_map(|(_, content)| content.as_ref());
            for content in contents.filter(|content| !content.is_empty()) {
                *copies.entry(content).or_default() += 1;
            }
            for (content, count) in copies {
                let made = ledger.made.get(content).copied().unwrap_or(0);
                if count > made {
                    let what = format!("{} is there {count} times", show(content));
                    return broken("P6", format!("{what}, written or moved {made} times"));
                }
            }
        }
        Ok(())
    }

    /// The paths that somebody is told of, and why.
    fn told(&self) -> Played<BTreeMap<String, String>> {
        let Some(engine) = &self.engine else { return Ok(BTreeMap::new()) };
        let tell = || -> Result<BTreeMap<String, String>> {
            let snapshot = engine.trees().snapshot()?;
            let mut told = BTreeMap::new();
            for key in snapshot.skipped(None)? {
                let key = key?;
                let reason = snapshot.get(&key)?.and_then(|record| record.skip);
                told.insert(snapshot.path(&key)?, format!("skipped: {reason:?}"));
            }
            for problem in snapshot.problems(None)? {
                let (key, problem) = problem?;
                told.insert(snapshot.path(&key)?, problem.reason);
            }
            Ok(told)
        };
        tell().or_else(|error| broken("P29", format!("what is held can't be told: {error}")))
    }

    /// With nothing to do, nothing is done: not after a jump of the clock, and not though a file
    /// was touched.
    fn check_quiet(&mut self) -> Played<()> {
        self.time.jump(self.dice.roll(7200) as i64 * 1_000_000_000 - 3600 * 1_000_000_000);
        self.twin.take_log();
        let before = self.storage.copy();
        let everything =
            Look { local: LocalLook::All, remote: true, approve: true, retry: false, verify: 0 };
        let report = self.cycle(&everything)?;
        let log = self.twin.take_log();
        let looks = ["list", "stat", "changes", "now", "test"];
        let looks_only =
            |line: &String| looks.contains(&line.split(' ').next().unwrap_or_default());
        if !log.iter().all(looks_only) || !report.as_ref().is_ok_and(|it| !it.did_something()) {
            return broken("P8", format!("with nothing to do it does {log:?}, {report:?}"));
        }
        if !self.storage.is_same(&before) {
            return broken("P24", "with nothing to do it writes the state");
        }
        let files = self.disk.tree();
        let told = self.told()?;
        let mut files = files.iter();
        let file = files.find(|(path, content)| content.is_some() && !is_told(&told, path));
        if let Some((path, _)) = file {
            self.disk.touch(path, None);
            let report = self.cycle(&everything)?;
            let log = self.twin.take_log();
            if !log.iter().all(looks_only) || !report.as_ref().is_ok_and(|it| !it.did_something()) {
                return broken("P32", format!("touching {path} does {log:?}, {report:?}"));
            }
        }
        Ok(())
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        lock(&self.ledger)
    }
}

/// What becomes of a request where everything goes as `failing` says.
fn fail(failing: &mut Option<(Trouble, u32)>, call: &str, at: At) -> Result<()> {
    let Some((trouble, left)) = failing else { return Ok(()) };
    let lost = *trouble == Trouble::LostReply;
    if at != if lost { At::After } else { At::Before } {
        return Ok(());
    }
    let trouble = *trouble;
    *left -= 1;
    if *left == 0 {
        *failing = None;
    }
    let kind = match trouble {
        Trouble::Offline | Trouble::LostReply => Kind::Offline,
        Trouble::Busy => Kind::Busy,
        Trouble::Protocol => Kind::Protocol,
        Trouble::SignIn => Kind::SignIn,
    };
    Err(Error::new(kind, call, "the simulation says so"))
}

/// A path without the marks that tell items of one name apart, as ` (1a2b)`.
fn without_marks(path: &str) -> String {
    let mut parts: Vec<String> = path.split('/').map(str::to_owned).collect();
    for part in &mut parts {
        while let Some(at) = part.find(" (").filter(|at| part[at + 2..].find(')') == Some(4)) {
            part.replace_range(at..at + 7, "");
        }
    }
    parts.join("/")
}

/// Whether somebody is told of an item, of a folder it is in, or of something in it.
fn is_told(told: &BTreeMap<String, String>, path: &str) -> bool {
    let path = path.trim_end_matches('/');
    let below = format!("{path}/");
    if told.range(below.clone()..).next().is_some_and(|(at, _)| at.starts_with(&below)) {
        return true;
    }
    let mut at = path;
    loop {
        if told.contains_key(at) {
            return true;
        }
        match at.rsplit_once('/') {
            Some((above, _)) => at = above,
            None => return false,
        }
    }
}

fn state(found: Option<&Option<super::disk::Bytes>>) -> String {
    match found {
        None => "absent".into(),
        Some(None) => "a folder".into(),
        Some(Some(content)) => show(content),
    }
}

fn show(content: &[u8]) -> String {
    let text: String = String::from_utf8_lossy(content).chars().take(10).collect();
    format!("{text:?} ({} bytes)", content.len())
}

fn tell(story: &Option<Arc<Mutex<Vec<String>>>>, line: impl FnOnce() -> String) {
    if let Some(story) = story {
        lock(story).push(line());
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
