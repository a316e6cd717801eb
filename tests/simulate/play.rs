//! Plays a history, and tells the first promise that is broken in it.
//!
//! The promises have numbers, P1 to P38. Those that histories show, and where:
//!
//! | promise | shown by |
//! |---|---|
//! | P1 no unseen deletion, nothing lost | [`Player::p1_nothing_is_lost`] after every cycle |
//! | P2 root identity | [`Player::p2_another_root_is_left_alone`] |
//! | P3 mass changes wait | [`Player::p3_many_files_wait_for_a_word`] |
//! | P4 crashes | [`Player::p4_every_file_is_whole`], and P1 and P8 after power cuts |
//! | P5 nothing unread is overwritten | P1, with edits between the calls of a cycle |
//! | P6 conflicts keep both, once | [`Player::p6_conflicts_leave_one_copy`] |
//! | P7 an edit beats a deletion | P1: what was written last is owed |
//! | P8 both sides end equal, and quiet | [`Player::p8_both_sides_are_equal`], [`Player::p8_nothing_more_is_done`] |
//! | P9 the same seed, the same calls | [`play_twice`] |
//! | P10, P11 lost and old states | [`p10_p11_doubt_removes_nothing`] |
//! | P12 filters | [`Player::p12_what_is_left_out_stays`] |
//! | P13 unreadable isn't absent | [`Player::p13_unreadable_is_not_absent`] |
//! | P15 no temporary file stays | [`Player::p15_the_work_folder_goes`] |
//! | P18 crossing moves, P20 lost replies | P1, P6 and P8 |
//! | P21, P22 names | P8: nothing differs that nobody is told of |
//! | P23 no retries in vain, P24 no writes when idle | [`Player::p8_nothing_more_is_done`] |
//! | P27 directions | [`Player::p27_directions_are_walls`] |
//! | P28 one bad file stops nothing | P8: the others are equal |
//! | P29 what is held is told | [`Player::p29_what_is_told`], and P8 |
//! | P32 touched files, P33 clocks | [`Player::p8_nothing_more_is_done`] |
//! | P34 full disks and accounts | P1 while they are, P8 when there is room again |

use super::clock::Time;
use super::common::dice::Dice;
use super::disk::{Instead, SimDisk, Tree};
use super::ledger::{Ledger, tree_of};
use super::script::{Act, Change, LeaveOut, Script, Step, Trouble, Wide};
use super::service::{At, Changes, Point, Twin, twin_named};
use super::storage::Storage;
use mooring::engine::{Approval, Approved, Engine, LocalLook, Look, Parts, Report, Turns, Workers};
use mooring::error::{Error, Kind, Result};
use mooring::http::Cancel;
use mooring::local::Disk;
use mooring::model::{Direction, Side};
use mooring::rules::Filter;
use mooring::settings::Task;
use mooring::store::Trees;
use nix::Error as Errno;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{Hash, Hasher};
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
    copy: Option<(Storage, bool)>,
    approves: bool,
    task: Task,
    workers: usize,
    engine: Option<Engine>,
    dice: Dice,
    /// The promise of a state that doesn't know what was agreed on.
    distrusted: Option<&'static str>,
    /// It didn't at some time.
    was_distrusted: bool,
    /// The task had another direction at some time.
    was_turned: bool,
    /// Nobody did anything since both sides were equal, but for changing what conflicts and
    /// filters do.
    still: bool,
    /// Every call that was made, if somebody wants to read them.
    story: Option<Told>,
}

/// What is told of a history: every call that Mooring made, and what came of it.
type Told = Arc<Mutex<Vec<String>>>;

/// Plays a history to its end. With a story, tells every call that Mooring made.
pub fn play(script: &Script, story: Option<Told>) -> Played<()> {
    play_once(script, story).0
}

/// The same, and once more: Mooring makes the same calls then.
pub fn play_twice(script: &Script) -> Played<()> {
    let (played, calls) = play_once(script, None);
    if play_once(script, None) == (played.clone(), calls) {
        return played;
    }
    let told = || {
        let story = Told::default();
        let end = play(script, Some(story.clone()));
        let mut lines = std::mem::take(&mut *lock(&story));
        lines.push(format!("{end:?}"));
        lines
    };
    let (one, other) = (told(), told());
    let differs = one.iter().zip(&other).find(|(line, again)| line != again);
    broken("P9", format!("played again it is another: {differs:?}"))
}

/// How a history ends, and a number that stands for all calls made in it.
fn play_once(script: &Script, story: Option<Told>) -> (Played<()>, u64) {
    PANIC.with(|last| *last.borrow_mut() = None);
    let mut player = Player::new(script, story);
    let mut played = script.steps.iter().try_for_each(|step| player.step(step));
    if let Some(panic) = PANIC.with(|last| last.borrow_mut().take()) {
        played = broken("no panic", panic);
    }
    let calls = player.ledger().log.finish();
    // The hooks hold what holds them.
    player.disk.set_hook(None);
    player.twin.set_hook(None);
    (played, calls)
}

impl Player {
    fn new(script: &Script, story: Option<Told>) -> Player {
        let world = script.world;
        let time = Time::new();
        let disk = SimDisk::new(time.clone(), world.format);
        let clock = time.clone();
        let twin =
            Twin::new(twin_named(world.twin), world.seed, Box::new(move || clock.elsewhere()));
        let task = Task {
            name: "task".into(),
            id: 1,
            connection: "connection".into(),
            local: PathBuf::from("/volume/task"),
            remote: String::new(),
            direction: world.direction,
            conflict: world.conflict,
            consistency_check: world.checks,
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
            approves: world.approves,
            task,
            workers: world.workers,
            engine: None,
            dice: Dice::new(world.seed ^ 0x5eed),
            distrusted: None,
            still: false,
            was_distrusted: false,
            was_turned: false,
            story,
        };
        player.set_hooks();
        player
    }

    fn set_hooks(&self) {
        let (ledger, story) = (self.ledger.clone(), self.story.clone());
        self.disk.set_hook(Some(Box::new(move |call, about| {
            let mut ledger = lock(&ledger);
            ledger.note_call(call, about);
            ledger.local_calls += 1;
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
            ledger.note_call(call, path);
            tell(&story, || format!("{:4}   service {call} {path} {at:?}", ledger.calls));
            ledger.do_due();
            ledger.time.pass();
            let looks = ["test", "list", "stat", "read", "now", "changes", "wait"];
            ledger.remote_changes += u32::from(!looks.contains(&call));
            let answer = fail(&mut ledger.failing, call, at);
            match (call, at) {
                ("write", At::After) => ledger.note_astray(path),
                ("copy", At::After) if answer.is_err() || ledger.off.is_some() => {
                    ledger.note_copied(path);
                }
                _ => {}
            }
            answer
        })));
    }

    // ---- what happens

    fn step(&mut self, step: &Step) -> Played<()> {
        tell(&self.story, || format!("{step:?}"));
        self.still &= match step {
            Step::Cycle { meanwhile, .. } => meanwhile.is_empty(),
            Step::Change(change) => matches!(change, Change::Conflict(_) | Change::Filter(_)),
            Step::Restart | Step::CopyState | Step::Calm => true,
            _ => false,
        };
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
                    Change::Direction(direction) => {
                        self.task.direction = *direction;
                        self.was_turned = true;
                    }
                    Change::KeepRemoved(keep) => self.task.keep_removed = *keep,
                    Change::Conflict(policy) => self.task.conflict = *policy,
                    Change::Filter(leave_out) => self.task.filter = filter_of(*leave_out),
                }
                Ok(())
            }
            Step::LoseState => {
                // Nobody makes a task of a folder that isn't there.
                self.engine = None;
                self.storage = Storage::default();
                (self.distrusted, self.was_distrusted) = (Some("P10"), true);
                self.link_anew();
                Ok(())
            }
            Step::CopyState => {
                self.engine = None;
                let linked = self.ledger().linked;
                self.copy = Some((self.storage.copy(), linked));
                Ok(())
            }
            Step::RestoreState => {
                if let Some((copy, linked)) = self.copy.take() {
                    self.engine = None;
                    self.storage = copy;
                    self.file += 1;
                    (self.distrusted, self.was_distrusted) = (Some("P11"), true);
                    if !linked {
                        self.link_anew();
                    }
                }
                Ok(())
            }
            Step::RootAway(side, instead) => {
                self.take_root(*side, *instead);
                Ok(())
            }
            Step::RootBack => {
                self.ledger().put_roots_back();
                Ok(())
            }
            Step::Calm => self.calm(),
            Step::News(acts) => self.news(acts),
        }
    }

    /// The next cycle is the first that knows of the folders: nobody makes a task of those that
    /// aren't there.
    fn link_anew(&self) {
        let mut ledger = self.ledger();
        ledger.put_roots_back();
        ledger.linked = false;
    }

    /// Puts something in a root's place, where that can be told.
    fn take_root(&mut self, side: Side, instead: Instead) {
        let abilities = self.twin.abilities();
        let mut ledger = self.ledger();
        let has_id = abilities.changes != Changes::Listing;
        match side {
            _ if !ledger.linked => return,
            Side::Local => ledger.disk.replace_root(instead),
            Side::Remote if abilities.descriptor.folders_implied || ledger.remote_away => return,
            Side::Remote => {
                ledger.remote_away = true;
                ledger.twin.move_root(true, has_id && instead != Instead::Nothing);
            }
        }
        drop(ledger);
        self.engine = None;
    }

    fn cycle_of(&mut self, wide: Wide, meanwhile: &[(u32, Act)]) -> Played<()> {
        let polls = wide == Wide::Remote;
        let approve = approval(self.approves && self.dice.roll(2) == 0 && !polls);
        let verify = if polls { 0 } else { self.dice.roll(3) * 64 };
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
                verify,
            };
            if wide != Wide::Remote {
                ledger.touched.clear();
            }
            look
        };
        let undisturbed = meanwhile.is_empty() && wide == Wide::Everything;
        let result = self.cycle(&look)?;
        // What one that failed found is agreed on as well, and may be removed by the next.
        let doubt = std::mem::take(&mut self.distrusted).filter(|_| undisturbed);
        p10_p11_doubt_removes_nothing(doubt, &result)?;
        if result.is_err() {
            // What was asked for is asked for again.
            self.ledger().touched.insert(String::new());
        }
        Ok(())
    }

    /// One cycle, and what has to be true after each.
    fn cycle(&mut self, look: &Look) -> Played<Result<Report>> {
        let mut engine = self.take_engine()?;
        let before = self.before(look);
        {
            let mut ledger = self.ledger();
            (ledger.calls, ledger.local_calls) = (0, 0);
            (ledger.local_changes, ledger.remote_changes) = (0, 0);
        }
        let result = engine.cycle(look);
        format!("{result:?}").hash(&mut self.ledger().log);
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
            if matches!(look.local, LocalLook::Nothing) {
                engine.rest();
            }
            self.engine = Some(engine);
        }
        if let Err(error) = &result
            && matches!(error.kind(), Kind::State | Kind::Usage)
            && off.is_none()
        {
            return broken("P8", format!("a cycle ends with {error}"));
        }
        self.check_always(result.as_ref().ok())?;
        if off.is_none() {
            self.p2_another_root_is_left_alone(&before, &result)?;
        }
        self.p3_many_files_wait_for_a_word(&before)?;
        self.p13_unreadable_is_not_absent(&before)?;
        self.p12_what_is_left_out_stays(&before, result.as_ref().ok())?;
        Ok(result)
    }

    fn power_on(&mut self, cut: bool) {
        let dice = &mut self.dice;
        let mut chance = |sides| dice.roll(sides);
        let before = self.disk.tree();
        let gone = self.disk.power_on(cut, &mut chance);
        self.storage = self.storage.power_on(cut, &mut chance);
        self.twin.power_on();
        let mut ledger = self.ledger();
        ledger.taken.extend(gone);
        ledger.note_returned(&before);
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

    /// What a cycle that nobody disturbs is compared with afterwards.
    fn before(&self, look: &Look) -> Before {
        let ledger = self.ledger();
        let undisturbed = ledger.due.is_empty();
        let brake = !self.approves && look.approve == Approval::NONE && undisturbed;
        let filters = self.task.filter != Filter::default() && undisturbed;
        let troubled = undisturbed && (ledger.closed || ledger.failing.is_some());
        let trees = (brake || filters || troubled)
            .then(|| [Side::Local, Side::Remote].map(|side| ledger.tree(side)));
        Before {
            local_away: ledger.linked && !ledger.disk.is_mounted(),
            remote_away: ledger.remote_away && look.remote,
            undisturbed,
            brake,
            odd: undisturbed.then(|| odd_ones(&ledger)),
            trees,
        }
    }

    /// Nothing is taken from a side because the other's root isn't the one that was linked, and
    /// nothing put into that.
    fn p2_another_root_is_left_alone(
        &self,
        before: &Before,
        result: &Result<Report>,
    ) -> Played<()> {
        let ledger = self.ledger();
        if !ledger.disk.stand_ins_are_untouched() {
            return broken("P2", "something is written into a folder that isn't the task's");
        }
        let local = before.local_away && !ledger.disk.is_mounted() && before.undisturbed;
        // A poll without news asks nothing of the disk.
        let noticed = ledger.local_calls > 0 || result.is_err();
        if !noticed || !local && !before.remote_away {
            return Ok(());
        }
        let changes = match local {
            true => ledger.remote_changes,
            false => ledger.remote_changes + ledger.local_changes,
        };
        match result {
            Err(_) if changes == 0 => Ok(()),
            _ => broken("P2", format!("a root is away, with {changes} changes: {result:?}")),
        }
    }

    /// No cycle that nobody said yes to removes or overwrites many files.
    fn p3_many_files_wait_for_a_word(&self, before: &Before) -> Played<()> {
        let Some(trees) = before.trees.as_ref().filter(|_| before.brake) else { return Ok(()) };
        let after = [Side::Local, Side::Remote].map(|side| self.ledger().tree(side));
        // The loser of a conflict that can't be sent for now is kept here.
        let there: BTreeSet<_> = after.iter().flat_map(BTreeMap::values).flatten().collect();
        for ((side, old), new) in [Side::Local, Side::Remote].into_iter().zip(trees).zip(&after) {
            let files = old.iter().filter(|(_, content)| content.is_some());
            let known = files.clone().count();
            let is_gone = |content: &Option<_>| content.iter().all(|it| !there.contains(it));
            let gone = files.filter(|(_, content)| is_gone(content));
            let (overwritten, removed): (Vec<_>, Vec<_>) =
                gone.partition(|(path, _)| new.contains_key(*path));
            let (overwritten, removed) = (overwritten.len(), removed.len());
            let sweep =
                removed >= 10 && removed > known / 2 || removed > 100 && removed > known / 10;
            if sweep || overwritten > 100 && overwritten > known / 4 {
                let what = format!("{removed} removed and {overwritten} overwritten of {known}");
                return broken("P3", format!("{side:?}: {what}, and nobody was asked"));
            }
        }
        Ok(())
    }

    /// Nothing is removed from a side while the other still has it. A listing that lags behind may
    /// say otherwise, and what was sent last then comes back.
    fn p13_unreadable_is_not_absent(&self, before: &Before) -> Played<()> {
        let ledger = self.ledger();
        let trees = before.trees.as_ref().filter(|_| before.undisturbed && !ledger.remote_away);
        let trees = trees.filter(|_| self.twin.abilities().list_lag == 0);
        let Some([local, remote]) = trees else { return Ok(()) };
        let [here, there] = [Side::Local, Side::Remote].map(|side| ledger.tree(side));
        for (old, new, others) in [(local, &here, &there), (remote, &there, &here)] {
            let contents: BTreeSet<_> = new.values().flatten().collect();
            let gone = old.iter().find(|(path, content)| {
                let is_gone = content.as_ref().is_some_and(|content| !contents.contains(content));
                is_gone && !new.contains_key(*path) && others.get(*path) == Some(*content)
            });
            if let Some((path, _)) = gone {
                return broken("P13", format!("{path} is removed though it is on the other side"));
            }
        }
        Ok(())
    }

    /// What a filter leaves out, or can't be synced, stays where it is, and nothing is removed
    /// because a filter changed.
    fn p12_what_is_left_out_stays(&self, before: &Before, report: Option<&Report>) -> Played<()> {
        if let Some(report) = report
            && self.still
            && report.deleted_local + report.deleted_remote > 0
        {
            return broken("P12", format!("only settings changed, and it removes: {report:?}"));
        }
        let ledger = self.ledger();
        if let Some(odd) = &before.odd
            && *odd != odd_ones(&ledger)
        {
            return broken("P12", format!("what can't be synced was {odd:?}"));
        }
        let trees = before.trees.as_ref().filter(|_| before.undisturbed && !ledger.remote_away);
        let filter = &self.task.filter;
        let sides = [Side::Local, Side::Remote].into_iter().zip(trees.into_iter().flatten());
        for (side, old) in sides.filter(|_| *filter != Filter::default()) {
            let there: BTreeSet<_> = ledger.tree(side).into_values().flatten().collect();
            let missing = old.iter().find(|(path, content)| {
                let content = content.as_ref().filter(|content| !there.contains(*content));
                content.is_some_and(|content| leaves_out(filter, path, content.len()))
            });
            if let Some((path, _)) = missing {
                return broken("P12", format!("{path} is left out, and gone: {side:?}"));
            }
        }
        Ok(())
    }

    /// After every cycle.
    fn check_always(&self, report: Option<&Report>) -> Played<()> {
        self.p1_nothing_is_lost()?;
        self.p4_every_file_is_whole()?;
        self.p26_removed_files_are_kept()?;
        self.p27_directions_are_walls(report)
    }

    /// Also shows that an edit beats a deletion (P7): nobody took away what was written last.
    fn p1_nothing_is_lost(&self) -> Played<()> {
        match self.ledger().lost().first() {
            Some(content) => broken("P1", format!("a content is lost: {}", show(content))),
            None => Ok(()),
        }
    }

    fn p4_every_file_is_whole(&self) -> Played<()> {
        let ledger = self.ledger();
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
        Ok(())
    }

    fn p26_removed_files_are_kept(&self) -> Played<()> {
        match self.disk.erased() {
            Some(content) => {
                broken("P26", format!("a removed file isn't kept: {}", show(&content)))
            }
            None => Ok(()),
        }
    }

    fn p27_directions_are_walls(&self, report: Option<&Report>) -> Played<()> {
        let ledger = self.ledger();
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
        let mut everything = Look { approve: approval(self.approves), retry: true, ..EVERYTHING };
        let mut rounds = 0;
        let mut sides = None;
        let report = loop {
            self.time.rest(Duration::from_secs(120));
            let report = match self.cycle(&everything)? {
                Ok(report) => report,
                Err(error) => return broken("P8", format!("a cycle in order ends with {error}")),
            };
            self.distrusted = None;
            rounds += 1;
            // A report doesn't count folders.
            let now = Some([self.disk.tree(), tree_of(self.twin.items())]);
            let rests = !report.did_something() && sides == now;
            sides = now;
            if rests {
                let waits = report.problems.iter().any(|told| told.kind.starts_with("mass-"));
                if !waits || everything.approve != Approval::NONE {
                    break report;
                }
                // Whoever is asked says yes in the end.
                everything.approve = approval(true);
            }
            if rounds == MOST_ROUNDS {
                return broken("P8", format!("no end after {rounds} cycles: {report:?}"));
            }
        };
        self.p8_both_sides_are_equal(&report)?;
        self.p15_the_work_folder_goes()?;
        self.p8_nothing_more_is_done()?;
        self.still = true;
        Ok(())
    }

    /// Polls find what a look at everything would, and need neither the state nor the disk as long as
    /// there is nothing.
    fn news(&mut self, acts: &[Act]) -> Played<()> {
        self.calm()?;
        let _ = self.cycle(&POLL)?;
        if self.engine.as_ref().is_some_and(Engine::is_settled) {
            let polled = self.cycle(&POLL)?;
            let is_resting = self.engine.as_ref().is_some_and(|it| it.trees().is_resting());
            if polled.is_err() || !is_resting || self.ledger().local_calls > 0 {
                return broken("P24", format!("a poll without news touches the disk: {polled:?}"));
            }
        }
        for act in acts {
            self.ledger().act(act);
        }
        self.still = false;
        for _ in 0..MOST_ROUNDS {
            self.time.rest(Duration::from_secs(120));
            if !self.cycle(&POLL)?.is_ok_and(|report| report.did_something()) {
                break;
            }
        }
        let polled = [self.disk.tree(), tree_of(self.twin.items())];
        let report = self.cycle(&EVERYTHING)?;
        let looked = [self.disk.tree(), tree_of(self.twin.items())];
        if report.as_ref().is_ok_and(Report::did_something) || polled != looked {
            return broken("P8", format!("a poll left something to do: {report:?}"));
        }
        Ok(())
    }

    /// Both sides have the same, but for what somebody is told of.
    /// And so is what is told: of what differs, somebody is (P29).
    fn p8_both_sides_are_equal(&self, report: &Report) -> Played<()> {
        let told = self.p29_what_is_told()?;
        tell(&self.story, || format!("   told: {told:?}"));
        let (local, remote) = (self.disk.tree(), tree_of(self.twin.items()));
        // Where what is removed is kept, what is moved is there twice.
        if !self.task.keep_removed {
            self.p6_conflicts_leave_one_copy(&told, &local, &remote)?;
        }
        if self.task.direction != Direction::Both {
            return Ok(());
        }
        if self.twin.abilities().descriptor.namesakes {
            return self.p8_as_many_of_each_name(&told, &local, &remote);
        }
        let in_lower_case: BTreeMap<_, _> =
            told.iter().map(|(path, why)| (path.to_lowercase(), why.clone())).collect();
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
            if self.twin.abilities().changes == Changes::Paths
                && (is_there_in_other_case(path, &local, &remote)
                    || is_told(&in_lower_case, &path.to_lowercase()))
            {
                continue;
            }
            let what = format!("{path} is {} here and {} there", state(here), state(there));
            return broken("P8", format!("{what}, and nobody is told: {report:?}"));
        }
        Ok(())
    }

    /// Where the task may write to the disk at all.
    fn p15_the_work_folder_goes(&self) -> Played<()> {
        match self.disk.work_folder() {
            Some(names) if self.task.direction != Direction::Upload => {
                broken("P15", format!("the work folder stays, with {names:?}"))
            }
            _ => Ok(()),
        }
    }

    /// Where several items may have one name, both sides have as many of each name and content,
    /// by whatever other names they are told apart.
    fn p8_as_many_of_each_name(
        &self,
        told: &BTreeMap<String, String>,
        local: &Tree,
        remote: &Tree,
    ) -> Played<()> {
        // Which of one name has a mark is for Mooring to say.
        let plainly: BTreeMap<_, _> =
            told.iter().map(|(path, why)| (without_marks(path), why.clone())).collect();
        let alike = |tree: &Tree| {
            let mut all: Vec<_> = tree
                .iter()
                .map(|(path, content)| (path, without_marks(path), content))
                // A file and a folder of one name are told by the name.
                .filter(|(path, plain, _)| !is_told(told, path) && !is_told(&plainly, plain))
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
    fn p6_conflicts_leave_one_copy(
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
                // With the state, it is lost which of several of one name had it here; and what one
                // direction had begun, the other doesn't end.
                let namesakes = self.twin.abilities().descriptor.namesakes;
                let again = self.was_distrusted && namesakes || self.was_turned;
                if count > made + u32::from(again) {
                    let what = format!("{} is there {count} times", show(content));
                    return broken("P6", format!("{what}, written or moved {made} times"));
                }
            }
        }
        Ok(())
    }

    /// The paths that somebody is told of, and why.
    fn p29_what_is_told(&self) -> Played<BTreeMap<String, String>> {
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

    /// With nothing to do, nothing is done: not after a jump of the clock (P33), and not though a
    /// file was touched (P32).
    fn p8_nothing_more_is_done(&mut self) -> Played<()> {
        self.time.jump(self.dice.roll(7200) as i64 * 1_000_000_000 - 3600 * 1_000_000_000);
        self.twin.take_log();
        let before = self.storage.copy();
        let everything = Look { approve: approval(self.approves), ..EVERYTHING };
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
        let told = self.p29_what_is_told()?;
        // One of several names of a file isn't touched alone.
        let is_alone = |content: &_| files.values().filter(|other| *other == content).count() == 1;
        let file = files.iter().find(|(path, content)| {
            content.is_some() && is_alone(content) && !is_told(&told, path)
        });
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

/// The first cycle with a state that was lost, or is an old one, only compares.
fn p10_p11_doubt_removes_nothing(
    doubt: Option<&'static str>,
    result: &Result<Report>,
) -> Played<()> {
    match (doubt, result) {
        (Some(promise), Ok(report)) if report.deleted_local + report.deleted_remote > 0 => {
            broken(promise, format!("without a state, it removes: {report:?}"))
        }
        _ => Ok(()),
    }
}

/// A yes to whatever comes up, or to nothing.
fn approval(yes: bool) -> Approval {
    let files = if yes { u64::MAX } else { 0 };
    let all = Approved { removals: files, overwrites: files };
    Approval { local: all, remote: all }
}

/// A look at both sides as a whole.
const EVERYTHING: Look =
    Look { local: LocalLook::All, remote: true, approve: Approval::NONE, retry: false, verify: 0 };

/// What a daemon asks for while nothing happens.
const POLL: Look = Look { local: LocalLook::Nothing, ..EVERYTHING };

/// What a cycle is compared with.
struct Before {
    /// Something else is in the place of the folder that the task was linked with.
    local_away: bool,
    /// The root on the service is away, and the service asked.
    remote_away: bool,
    /// Nobody does anything meanwhile.
    undisturbed: bool,
    /// Nobody said yes to anything.
    brake: bool,
    /// How many there are of what can't be synced, here and there.
    odd: Option<(usize, usize)>,
    trees: Option<[Tree; 2]>,
}

fn odd_ones(ledger: &Ledger) -> (usize, usize) {
    let litter = |name: &str| name.ends_with("Thumbs.db");
    let here = ledger.disk.odd_names();
    let there = match ledger.remote_away {
        true => Vec::new(),
        false => ledger.twin.items(),
    };
    let special = there.iter().filter(|item| item.special.is_some() && !litter(&item.path));
    (here.iter().filter(|name| !litter(name)).count(), special.count())
}

fn filter_of(leave_out: LeaveOut) -> Filter {
    let mut filter = Filter::default();
    match leave_out {
        LeaveOut::Nothing => {}
        LeaveOut::Folder(path) => drop(filter.folders.insert(path.into())),
        LeaveOut::Names(pattern) => drop(filter.patterns.insert(pattern.into())),
        LeaveOut::Larger(most) => filter.max_size = Some(most),
    }
    filter
}

/// Whether a filter leaves a file out, but for what goes with the folder that it is in.
fn leaves_out(filter: &Filter, path: &str, size: usize) -> bool {
    let name = path.rsplit('/').next().unwrap_or_default();
    let inside = |folder: &String| {
        path.strip_prefix(folder.as_str()).is_some_and(|rest| rest.starts_with('/'))
    };
    let by_rule = filter.folders.iter().any(inside)
        || filter.pattern_of(name).is_some()
        || filter.limit_below(size as u64).is_some();
    by_rule && name != "Thumbs.db"
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
        Trouble::Refused(kind) => kind,
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

/// Whether both sides have the same under names that differ in the case of letters only: a feed by
/// paths of a service that doesn't tell these apart keeps still about such a rename.
fn is_there_in_other_case(path: &str, local: &Tree, remote: &Tree) -> bool {
    let named = |tree: &Tree| -> Vec<_> {
        let alike = tree.iter().filter(|(other, _)| other.to_lowercase() == path.to_lowercase());
        alike.map(|(_, content)| content.clone()).collect()
    };
    let (here, there) = (named(local), named(remote));
    here.len() == 1 && here == there
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

fn tell(story: &Option<Told>, line: impl FnOnce() -> String) {
    if let Some(story) = story {
        lock(story).push(line());
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
