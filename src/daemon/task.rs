//! One task as the daemon runs it: what it waits for, and what is to be done next.
//!
//! Lives on the control plane and never blocks it: the work is done by [`worker`](super::worker)s.

use super::api::Reply;
use super::hours::Rest;
use super::listen::Listening;
use super::schedule::{
    Backoff, Cost, Pace, Patrol, Period, Slot, Window, full_look, merge, next_full_look, no_look,
    read_on,
};
use super::worker::{Done, Job, Left, News, Work, Workplace};
use crate::admin;
use crate::admin::view::{Message, Overview};
use crate::engine::{Approval, Ear, Engine, LocalLook, Look, Report, Scrutiny, linked_root};
use crate::error::{Error, Kind, Reaction, Result};
use crate::http::Cancel;
use crate::local::{Changes, Limit, RootId, Watch, Writes};
use crate::progress::{Progress, ProgressView};
use crate::store::Trees;
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};
use tokio::task::AbortHandle;

/// Between two looks whether a lost local root is back, and before the first call to a service that
/// may be well again; the pauses between these double.
const FIRST_CHECK: Duration = Duration::from_secs(60);
/// Longest pause between two such calls.
const LONGEST_CHECK: Duration = Duration::from_secs(3600);
/// The same where the service answered well, and the task was stopped again: trying it takes the disk.
const LONGEST_TRIAL: Duration = Duration::from_secs(24 * 3600);

/// A task that the daemon keeps in sync.
pub struct TaskRun {
    place: Workplace,
    paused: bool,
    /// What its connection's schedule keeps it from now.
    rest: Option<Rest>,
    engine: Option<Box<Engine>>,
    /// Stops the engine, for good.
    cancel: Cancel,
    running: Option<Running>,
    watch: Option<Sentry>,
    /// What listens to the service, between cycles.
    ear: Option<Ear>,
    listening: Listening,
    /// What to look at next, and since when that waits.
    pending: Option<(Look, Instant)>,
    syncs: Vec<Reply>,
    previews: Vec<Reply>,
    audits: VecDeque<(Scrutiny, Reply)>,
    hold: Option<Hold>,
    /// The next pause before a call whether what stopped it has passed.
    check_pause: Duration,
    /// The local root that it was linked with, when that was asked last.
    linked: Option<RootId>,
    backoff: Backoff,
    /// Why the last cycle failed.
    trouble: Option<Error>,
    pace: Pace,
    next_full: Slot,
    /// Whether it is opened anew before the next look, for the permission of its owner.
    is_stale: bool,
    patrol: Option<Patrol>,
    /// Tells whether a patrol has anything to find.
    writes: Option<Writes>,
    last: Option<(SystemTime, Report)>,
    overview: Option<Overview>,
    /// Whether its state has been asked for that.
    is_read: bool,
    /// Whether nobody may open its state for now.
    is_shut: bool,
}

/// Work that is being done.
struct Running {
    /// The look of a cycle; `None` for anything else.
    look: Option<Look>,
    replies: Vec<Reply>,
    cancel: Cancel,
    opened: Option<(Arc<Progress>, Arc<Trees>)>,
}

/// A watch, and the task of the runtime that wakes us when it has something to tell.
struct Sentry {
    watch: Box<Watch>,
    waker: AbortHandle,
}

impl Drop for Sentry {
    fn drop(&mut self) {
        self.waker.abort();
    }
}

/// Nothing is done until a person acts, or what stopped it has passed.
struct Hold {
    reason: Error,
    check: Option<Check>,
}

/// How it is found out whether what stopped a task has passed by itself.
#[derive(Clone, Copy)]
enum Check {
    /// By a look at the local root.
    Root(Slot),
    /// By a call to the service.
    Service(Slot),
    /// By that, as soon as there is a worker for it.
    Due,
}

impl TaskRun {
    /// A task that begins with a look at everything.
    pub fn new(place: Workplace, now: Instant) -> Self {
        TaskRun {
            pace: Pace::new(now, period(&place)),
            place,
            paused: false,
            rest: None,
            engine: None,
            cancel: Cancel::default(),
            running: None,
            watch: None,
            ear: None,
            listening: Listening::default(),
            pending: Some((full_look(), now)),
            syncs: Vec::new(),
            previews: Vec::new(),
            audits: VecDeque::new(),
            hold: None,
            check_pause: FIRST_CHECK,
            linked: None,
            backoff: Backoff::default(),
            trouble: None,
            next_full: next_full_look(now),
            is_stale: false,
            patrol: None,
            writes: None,
            last: None,
            overview: None,
            is_read: false,
            is_shut: false,
        }
    }

    /// Where its work is done.
    pub fn place(&self) -> &Workplace {
        &self.place
    }

    /// Whether it works by itself.
    pub fn is_active(&self) -> bool {
        !self.paused && self.rest.is_none() && self.hold.is_none()
    }

    /// Whether work is being done.
    pub fn is_running(&self) -> bool {
        self.running.is_some()
    }

    /// Its state, when it is open.
    pub fn trees(&self) -> Option<&Arc<Trees>> {
        let running = self.running.as_ref().and_then(|running| running.opened.as_ref());
        running.map(|(_, trees)| trees).or(self.engine.as_ref().map(|engine| engine.trees()))
    }

    /// Takes over settings. What is open is closed when they differ.
    pub fn set(&mut self, place: Workplace, paused: bool, now: Instant) {
        self.pace.set(period(&place), now);
        let same = place.task == self.place.task
            && place.reach == self.place.reach
            && place.values == self.place.values
            && place.state == self.place.state
            && place.transfers == self.place.transfers
            && place.history == self.place.history;
        if place.task.filter != self.place.task.filter {
            // It leaves out what the task does.
            self.watch = None;
        }
        self.place = place;
        if !same {
            self.close();
            self.forget_word();
            self.begin_anew(now);
        }
        if paused && !self.paused {
            self.close();
            self.watch = None;
            self.syncs.clear();
            self.forget_word();
        } else if !paused && self.paused {
            self.begin_anew(now);
        }
        self.paused = paused;
    }

    /// Takes over what its connection's schedule says for this hour. What a person asked for goes
    /// on.
    pub fn suspend(&mut self, rest: Option<Rest>, now: Instant) {
        if self.rest.is_none() && rest.is_some() {
            self.watch = None;
            if !self.is_asked() {
                self.close();
            }
        } else if self.rest.is_some() && rest.is_none() {
            self.want(full_look(), now);
        }
        self.rest = rest;
    }

    /// What its connection's schedule keeps it from, unless it works because a person asks.
    pub fn rest(&self) -> Option<Rest> {
        self.rest.filter(|_| self.syncs.is_empty() && !self.is_asked())
    }

    /// Whether the running work is what a person asked for.
    fn is_asked(&self) -> bool {
        self.running.as_ref().is_some_and(|running| !running.replies.is_empty())
    }

    /// A person acted: whatever stopped or delayed it may be solved.
    pub fn resume(&mut self, now: Instant) {
        if self.hold.is_some() || self.trouble.is_some() {
            self.check_pause = FIRST_CHECK;
            self.begin_anew(now);
        }
    }

    fn begin_anew(&mut self, now: Instant) {
        self.pace.stir(now);
        (self.hold, self.trouble, self.backoff) = (None, None, Backoff::default());
        self.want(Look { retry: true, ..full_look() }, now);
    }

    /// Keeps it from working until a person acts, or what stopped it has passed.
    pub fn hold(&mut self, reason: Error, now: Instant) {
        tracing::warn!("task {} is on hold: {reason}", self.place.task.name);
        let check = match reason.kind() {
            Kind::RootLost if !self.is_root_there() => {
                Some(Check::Root(Slot::within(now, FIRST_CHECK)))
            }
            // A server whose disk isn't mounted yet, a certificate that is renewed late, a clock that
            // isn't set yet.
            Kind::RootLost | Kind::Untrusted => Some(self.next_check(now, LONGEST_TRIAL)),
            _ => None,
        };
        for reply in self.syncs.drain(..) {
            // Who asked may have left.
            let _ = reply.send(Err(reason.clone()));
        }
        self.forget_word();
        self.hold = Some(Hold { reason, check });
        self.close();
        self.watch = None;
    }

    /// A call to the service after a pause, and later ones after up to `most`.
    fn next_check(&mut self, now: Instant, most: Duration) -> Check {
        let pause = self.check_pause;
        self.check_pause = (pause * 2).min(most);
        Check::Service(Slot::within(now, pause))
    }

    /// Whether the local root is the one that the task was linked with, as far as that is known.
    fn is_root_there(&self) -> bool {
        let there = self.place.disk().identity().ok();
        if self.linked.is_some() { there == self.linked } else { there.is_some() }
    }

    fn check(&self) -> Option<Check> {
        self.hold.as_ref()?.check
    }

    fn set_check(&mut self, check: Check) {
        if let Some(hold) = &mut self.hold {
            hold.check = Some(check);
        }
    }

    /// Whether the service is to be asked if what stopped the task has passed.
    fn is_check_due(&self) -> bool {
        !self.paused && self.rest.is_none() && matches!(self.check(), Some(Check::Due))
    }

    /// Closes the state, or stops the work and closes it then.
    pub fn close(&mut self) {
        self.engine = None;
        self.ear = None;
        self.listening.stop();
        self.cancel.cancel();
        self.cancel = Cancel::default();
    }

    /// Keeps its state closed, whoever wants to work with it, or lets it be opened again.
    pub fn rest_closed(&mut self, shut: bool) {
        self.is_shut = shut;
        if shut {
            self.close();
        }
    }

    /// What it tells to wait for a person's word.
    pub fn told(&mut self) -> Approval {
        self.overview().map(|overview| overview.sweeps()).unwrap_or_default()
    }

    /// Syncs once, because a person asks.
    pub fn sync(&mut self, approve: Approval, reply: Reply, now: Instant) {
        self.hold = None;
        self.backoff = Backoff::default();
        self.pace.stir(now);
        self.syncs.push(reply);
        self.want(Look { approve, retry: true, ..full_look() }, now);
    }

    /// Tells what a sync would do.
    pub fn preview(&mut self, reply: Reply) {
        self.previews.push(reply);
    }

    /// Verifies for a while.
    pub fn verify(&mut self, scrutiny: Scrutiny, reply: Reply) {
        self.audits.push_back((scrutiny, reply));
    }

    /// How many wait for its work.
    pub fn waiting(&self) -> usize {
        let running = self.running.as_ref().map_or(0, |running| running.replies.len());
        self.syncs.len() + self.previews.len() + self.audits.len() + running
    }

    /// The kernel has something to tell of the task's folder.
    pub fn stirred(&mut self, now: Instant) {
        let Some(Sentry { watch, .. }) = &mut self.watch else { return };
        watch.read(now);
        if let Some(limit) = watch.limit() {
            self.limited(limit, now);
        }
    }

    /// What it has to do that may wait a little.
    pub fn slots(&self) -> impl Iterator<Item = Slot> {
        let check = match self.check() {
            Some(Check::Root(slot) | Check::Service(slot)) => Some(slot),
            Some(Check::Due) | None => None,
        };
        let patrol = self.patrol.map(|patrol| patrol.slot);
        let full = Some(self.next_full);
        let slots = if self.paused || self.rest.is_some() {
            [None; 5]
        } else if self.hold.is_some() {
            [check, full.filter(|_| self.waits_a_day()), None, None, None]
        } else {
            [self.poll(), full, self.backoff.slot(), patrol, self.listening.slot()]
        };
        slots.into_iter().flatten()
    }

    /// The next poll of the service; `None` while something else does it.
    fn poll(&self) -> Option<Slot> {
        let pending = self.pending.as_ref().map(|(look, _)| look);
        let running = self.running.as_ref().and_then(|running| running.look.as_ref());
        let asks = [pending, running].into_iter().flatten().any(|look| look.remote);
        let waits = self.is_active() && !asks && !self.listening.is_on();
        waits.then(|| self.pace.slot())
    }

    /// Takes note of all that is due by now, or in this window.
    pub fn tick(&mut self, window: &Window, now: Instant) {
        if self.paused || self.rest.is_some() {
            return;
        }
        match self.check() {
            Some(Check::Root(slot)) if window.takes(slot) => {
                self.set_check(Check::Root(Slot::within(now, FIRST_CHECK)));
                if self.is_root_there() {
                    self.begin_anew(now);
                }
            }
            Some(Check::Service(slot)) if window.takes(slot) => self.set_check(Check::Due),
            _ => {}
        }
        if self.waits_a_day() && window.takes(self.next_full) {
            self.next_full = next_full_look(now);
            self.begin_anew(now);
        }
        if self.hold.is_some() {
            return;
        }
        self.tick_watch(now);
        self.backoff.tick(window);
        self.listening.tick(window);
        if window.takes(self.next_full) {
            self.next_full = next_full_look(now);
            self.is_stale = self.place.reach.is_bounded();
            self.want(Look { remote: false, ..full_look() }, now);
        }
        if let Some(patrol) = self.patrol.as_mut().filter(|patrol| window.takes(patrol.slot)) {
            // What it finds is known when it has ended.
            patrol.looked(now, false);
            // A look wakes a sleeping disk, and one that slept since the last look has nothing new.
            if self.writes.as_mut().is_none_or(Writes::any) {
                self.want_local(LocalLook::All, now);
            }
        }
        if self.poll().is_some_and(|poll| window.takes(poll)) {
            self.want_poll(now);
        }
    }

    /// Takes the changes on the disk that have come to rest.
    fn tick_watch(&mut self, now: Instant) {
        if let Some(changes) = self.watch.as_mut().and_then(|sentry| sentry.watch.take(now)) {
            self.backoff.hurry();
            self.want_local(
                match changes {
                    Changes::Folders(folders) => LocalLook::Folders(folders),
                    Changes::Everything => LocalLook::All,
                },
                now,
            );
        }
        if self.watch.as_ref().is_some_and(|sentry| sentry.watch.is_broken()) {
            tracing::info!("task {}: changes were missed, looking anew", self.place.task.name);
            self.watch = None;
            self.want_local(LocalLook::All, now);
        }
    }

    /// Begins to listen to the service if it can be waited for and nothing else is to be done.
    pub fn listen(&mut self, now: Instant, tell: impl FnOnce(u64, Result<()>) + Send + 'static) {
        let idle =
            self.is_active() && !self.is_shut && self.running.is_none() && self.pending.is_none();
        if !idle || !self.listening.may_begin(now) {
            return;
        }
        if let Some(ear) = self.ear.take()
            && let Err(error) = self.listening.begin(ear, tell)
        {
            tracing::warn!("task {}: {error}", self.place.task.name);
        }
    }

    /// The service told that something changed, or couldn't be listened to.
    pub fn heard(&mut self, number: u64, result: Result<()>, now: Instant) {
        if !self.listening.ended(number, &result, now, chance()) {
            return;
        }
        if let Err(error) = &result {
            tracing::debug!("task {}: {error}", self.place.task.name);
        }
        // The look tells what is wrong, if anything is.
        self.want_poll(now);
    }

    fn want_poll(&mut self, now: Instant) {
        self.want(Look { remote: true, ..no_look() }, now);
    }

    /// A person's word is for what was shown: by the time that the task goes on, that may be something
    /// else.
    fn forget_word(&mut self) {
        if let Some((look, _)) = &mut self.pending {
            look.approve = Approval::NONE;
        }
    }

    /// Whether it is on hold because its owner may not have its folder, or the service didn't accept
    /// the credentials, as far as was known then.
    fn waits_a_day(&self) -> bool {
        let kind = self.hold.as_ref().map(|hold| hold.reason.kind());
        matches!(kind, Some(Kind::Denied | Kind::SignIn))
    }

    /// Since when it could work; `None` when it can't or needn't.
    pub fn ready_since(&self, now: Instant) -> Option<Instant> {
        if self.running.is_some() || self.is_shut {
            None
        } else if !self.previews.is_empty() || !self.audits.is_empty() || self.is_check_due() {
            Some(now)
        } else {
            self.pending.as_ref().filter(|_| self.may_cycle()).map(|(_, since)| *since)
        }
    }

    fn may_cycle(&self) -> bool {
        let by_itself = self.rest.is_none() && self.backoff.slot().is_none();
        !self.paused && self.hold.is_none() && (by_itself || !self.syncs.is_empty())
    }

    /// When something is due next, after [`TaskRun::tick`] and apart from what is ready now.
    pub fn wake(&self, now: Instant) -> Option<Instant> {
        let slots = self.slots().map(|slot| slot.until());
        let watch = self.watch.as_ref().and_then(|sentry| sentry.watch.due());
        let listen = self.listening.after().filter(|after| self.ear.is_some() && *after > now);
        slots.chain(watch).chain(listen).min()
    }

    /// Begins to do what is to be done.
    pub fn start(&mut self, tell: impl Fn(News) + Send + 'static) -> Result<()> {
        if self.is_check_due() {
            let cancel = self.cancel.clone();
            self.running = Some(Running { look: None, replies: Vec::new(), cancel, opened: None });
            return self.place.clone().probe(self.cancel.clone(), tell);
        }
        let (look, work, replies) = match self.pending.take() {
            Some((look, _)) if self.may_cycle() => {
                let work = Work::Cycle(look.clone());
                (Some(look), work, std::mem::take(&mut self.syncs))
            }
            pending => {
                self.pending = pending;
                let audit = if self.previews.is_empty() { self.audits.pop_front() } else { None };
                match audit {
                    Some((scrutiny, reply)) => (None, Work::Verify(scrutiny), vec![reply]),
                    None => (None, Work::Preview, std::mem::take(&mut self.previews)),
                }
            }
        };
        if look.is_some() && std::mem::take(&mut self.is_stale) {
            (self.engine, self.ear) = (None, None);
        }
        let watch = self.is_active()
            && self.watch.is_none()
            && look.as_ref().is_some_and(|look| matches!(look.local, LocalLook::All));
        let cancel = self.cancel.clone();
        self.running = Some(Running { look, replies, cancel, opened: None });
        let job = Job {
            place: self.place.clone(),
            engine: self.engine.take(),
            cancel: self.cancel.clone(),
            watch,
            work,
        };
        job.start(tell)
    }

    /// What a worker tells before it ends.
    pub fn opened(&mut self, progress: Arc<Progress>, trees: Arc<Trees>) {
        if let Some(running) = &mut self.running {
            running.opened = Some((progress, trees));
        }
    }

    /// A worker has set up the watch, or failed to.
    pub fn watching(
        &mut self,
        watch: Result<Box<Watch>>,
        wake: impl FnOnce(&Watch) -> Result<AbortHandle>,
        now: Instant,
    ) {
        if !self.is_active() {
            return;
        }
        // The folder may be on another disk than before.
        self.writes = Writes::below(&self.place.task.local);
        match watch.and_then(|watch| Ok(Sentry { waker: wake(&watch)?, watch })) {
            Ok(sentry) => {
                match sentry.watch.limit() {
                    Some(limit) => self.limited(limit, now),
                    None => self.patrol = None,
                }
                self.watch = Some(sentry);
            }
            // The cycle says the same.
            Err(error) if matches!(error.kind(), Kind::RootLost | Kind::Cancelled) => {}
            Err(error) => {
                tracing::warn!("task {}: {error}", self.place.task.name);
                self.limited(Limit::Kernel, now);
            }
        }
    }

    /// A worker has ended.
    pub fn ended(&mut self, left: Option<Box<Left>>, result: Result<Done>, now: Instant) {
        let Some(Running { look, replies, cancel, opened }) = self.running.take() else { return };
        // An engine that was told to stop doesn't start again.
        let was_stopped = cancel.is_cancelled();
        if let Some(left) = left {
            let Left { engine, overview, ear } = *left;
            self.overview = overview.or(self.overview.take());
            let keep = self.is_active() && !was_stopped && !self.is_shut;
            self.ear = ear.filter(|_| keep && result.is_ok());
            self.engine = Some(engine).filter(|_| keep);
        }
        if let (Err(error), Some((_, trees))) = (&result, &opened)
            && error.kind() == Kind::RootLost
        {
            let linked = trees.snapshot().and_then(|snapshot| linked_root(&snapshot));
            self.linked = linked.unwrap_or_default();
        }
        match (&result, look) {
            (Ok(Done::Probed), _) if self.is_check_due() => self.begin_anew(now),
            (Err(_), None) if self.is_check_due() => {
                let next = self.next_check(now, LONGEST_CHECK);
                self.set_check(next);
            }
            (Ok(Done::Cycle(report)), Some(look)) => self.succeeded(report.clone(), &look, now),
            // What it had been told to look at may not have been: it begins anew.
            (Err(_), Some(_)) if was_stopped => self.want(full_look(), now),
            (Err(error), Some(_)) => {
                self.want(full_look(), now);
                // While it is opened, only its owner can lack a permission for long.
                let is_denied = opened.is_none() && error.kind() == Kind::Denied;
                if is_denied && self.place.reach.is_bounded() {
                    self.hold(error.clone(), now);
                } else {
                    self.failed(error.clone(), now);
                }
            }
            _ => {}
        }
        let answer = result.and_then(|done| match done {
            Done::Cycle(report) => document(&report),
            Done::Preview(preview) => document(&preview),
            Done::Probed => Ok(Value::Null),
            Done::Verified(findings, verified) => {
                Ok(json!({ "findings": document(&findings)?, "verified": document(&verified)? }))
            }
        });
        for reply in replies {
            // Who asked may have left.
            let _ = reply.send(answer.clone());
        }
    }

    fn succeeded(&mut self, report: Report, look: &Look, now: Instant) {
        let found = report.did_something();
        if found || report.errors > 0 {
            tracing::info!(
                "task {}: {} up, {} down, {} moved, {} removed, {} conflicts, {} errors",
                self.place.task.name,
                report.uploaded,
                report.downloaded,
                report.moved,
                report.deleted_local + report.deleted_remote,
                report.conflicts,
                report.errors,
            );
        }
        self.backoff = Backoff::default();
        self.check_pause = FIRST_CHECK;
        self.trouble = None;
        if look.remote {
            self.polled(&report, look, now);
        } else if found {
            self.pace.stir(now);
        }
        if matches!(look.local, LocalLook::All) {
            self.next_full = next_full_look(now);
            if found && let Some(patrol) = &mut self.patrol {
                patrol.looked(now, true);
            }
        }
        if report.unverified {
            self.want(read_on(), now);
        }
        self.last = Some((SystemTime::now(), report));
    }

    fn polled(&mut self, report: &Report, look: &Look, now: Instant) {
        let found = report.did_something();
        let only_polled = matches!(look.local, LocalLook::Nothing) && !found;
        if let Some(engine) = self.engine.as_ref().filter(|_| only_polled) {
            let time = Duration::try_from_secs_f64(report.seconds).unwrap_or_default();
            self.pace.learn(Cost { listed: engine.lists(), time });
        }
        self.pace.looked(now, found);
    }

    fn failed(&mut self, error: Error, now: Instant) {
        match error.kind() {
            kind if kind == Kind::State || kind.reaction() == Reaction::Ask => {
                self.hold(error, now);
            }
            _ => {
                tracing::warn!("task {}: {error}", self.place.task.name);
                self.backoff.fail(now, error.wait(), chance());
                self.trouble = Some(error);
            }
        }
    }

    fn limited(&mut self, limit: Limit, now: Instant) {
        if self.patrol.is_some() {
            return;
        }
        let why = match limit {
            Limit::Kernel => "; raise fs.inotify.max_user_watches",
            Limit::Memory => ", as that would take too much of this machine's memory",
        };
        tracing::warn!(
            "task {}: changes in some folders are found only by looking every few minutes: not all \
             can be watched{why}",
            self.place.task.name
        );
        self.patrol = Some(Patrol::new(now));
    }

    fn want_local(&mut self, local: LocalLook, now: Instant) {
        self.want(Look { local, ..no_look() }, now);
    }

    fn want(&mut self, look: Look, now: Instant) {
        self.pending = Some(match self.pending.take() {
            Some((pending, since)) => (merge(pending, look), since),
            None => (look, now),
        });
    }

    /// In a word: paused, held, suspended, syncing, waiting or idle.
    pub fn word(&self) -> &'static str {
        let report = self.last.as_ref().map(|(_, report)| report);
        let asks = report.is_some_and(|report| report.held > 0)
            || self.overview.as_ref().is_some_and(|overview| !overview.holds.is_empty());
        if self.paused {
            "paused"
        } else if self.hold.is_some() {
            "held"
        } else if self.rest().is_some() {
            "suspended"
        } else if self.running.is_some() {
            "syncing"
        } else if self.trouble.is_some() || self.pending.is_some() {
            "waiting"
        } else if asks {
            "held"
        } else {
            "idle"
        }
    }

    /// What a person should know: why it is on hold, suspended or waits.
    pub fn message(&self) -> Option<Message> {
        let hold = self.hold.as_ref().map(|hold| &hold.reason);
        if let Some(rest) = self.rest().filter(|_| hold.is_none() && !self.paused) {
            return Some(Message { text: rest.to_string(), code: None });
        }
        let live = hold.or(self.trouble.as_ref()).map(Message::from);
        live.or_else(|| self.overview.as_ref().and_then(Overview::message))
    }

    /// How far the running work is.
    pub fn progress(&self) -> Option<ProgressView> {
        self.running.as_ref()?.opened.as_ref().map(|(progress, _)| progress.view())
    }

    /// The last cycle that came to its end, and when.
    pub fn last(&self) -> Option<&(SystemTime, Report)> {
        self.last.as_ref()
    }

    /// When the service is polled next; `None` when it isn't.
    pub fn next_poll(&self) -> Option<Instant> {
        self.poll().map(|slot| slot.until())
    }

    /// Whether changes in some folders are found only by looking from time to time.
    pub fn is_limited(&self) -> bool {
        self.patrol.is_some()
    }

    /// What its state tells. It is read only while it is worked with, or once if nothing is known
    /// of it yet.
    pub fn overview(&mut self) -> Option<Overview> {
        let opened = self.running.as_ref().and_then(|running| running.opened.as_ref());
        let read = match opened {
            Some((_, trees)) if !trees.is_resting() => Overview::of(trees, self.place.task.id).ok(),
            _ if self.overview.is_none()
                && self.running.is_none()
                && !self.is_read
                && !self.is_shut =>
            {
                self.is_read = true;
                admin::overview(&self.place.state, &self.place.task).ok().flatten()
            }
            _ => None,
        };
        self.overview = read.or(self.overview.take());
        let at_rest = self.paused || self.running.is_none() && self.pending.is_none();
        let well = self.hold.is_none() && self.trouble.is_none();
        self.overview.clone().map(|overview| Overview {
            up_to_date: overview.up_to_date && at_rest && well,
            ..overview
        })
    }
}

/// The polling period of a task's connection.
fn period(place: &Workplace) -> Period {
    let seconds = place.values.number(place.service.descriptor(), "poll");
    let period = Duration::from_secs(seconds.clamp(1, 86_400).into());
    match place.values.given("poll") {
        Some(_) => Period::Given(period),
        None => Period::Usual(period),
    }
}

/// A number from 0 to 1 by chance.
fn chance() -> f64 {
    RandomState::new().hash_one(()) as f64 / u64::MAX as f64
}

fn document<T: serde::Serialize>(value: &T) -> Result<Value> {
    serde_json::to_value(value).map_err(|error| Error::new(Kind::State, "the answer", error))
}
