//! A bounded number of workers that run jobs.

use super::{Context, Done, Job, Outcome, run};
use crate::error::{Error, Kind, Result};
use crate::threads;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// Outcomes that are held back at most, and folders that are open for their names; and for how long.
const MOST_HELD: usize = 64;
const HOLD: Duration = Duration::from_millis(500);

/// Who runs the jobs of a task.
#[derive(Clone)]
pub enum Workers {
    /// So many threads.
    Threads(usize),
    /// The caller itself, one job after the other; so many may be under way as far as anybody can
    /// tell from the order in which they end.
    InTurn(usize, Arc<dyn Turns>),
}

/// Who says in which order jobs end that are under way together.
pub trait Turns: Send + Sync {
    /// Which of so many jobs ends next; `None` for none as long as nobody waits for one.
    fn next(&self, running: usize) -> Option<usize>;
}

/// Hands out jobs and takes back what became of them.
///
/// What a power cut may still undo is held back a little, so that many files wait together for the
/// disk to have their names.
pub(crate) struct Pool<'a> {
    context: &'a Context<'a>,
    crew: Crew<'a>,
    held: Vec<Outcome>,
    /// When the first of them was, by the clock that only runs on.
    since: Duration,
    settled: VecDeque<Outcome>,
}

/// Who does the jobs.
enum Crew<'a> {
    Threads { jobs: SyncSender<Job>, outcomes: Receiver<Told>, running: usize, threads: usize },
    InTurn { context: &'a Context<'a>, jobs: Vec<Job>, most: usize, turns: &'a dyn Turns },
}

/// What became of a job; an error is its panic, which ends the work of whoever waits for it.
type Told = thread::Result<Outcome>;

/// Runs `drive` with a pool of workers; they end when it returns.
pub(crate) fn with_pool<T>(
    context: &Context<'_>,
    workers: &Workers,
    drive: impl FnOnce(&mut Pool<'_>) -> Result<T>,
) -> Result<T> {
    match workers {
        Workers::Threads(threads) => with_threads(context, *threads, drive),
        Workers::InTurn(most, turns) => {
            let (jobs, turns) = (Vec::with_capacity(*most), turns.as_ref());
            drive(&mut Pool::new(context, Crew::InTurn { context, jobs, most: *most, turns }))
        }
    }
}

fn with_threads<T>(
    context: &Context<'_>,
    threads: usize,
    drive: impl FnOnce(&mut Pool<'_>) -> Result<T>,
) -> Result<T> {
    let (jobs, queue) = sync_channel::<Job>(0);
    let (told, outcomes) = sync_channel::<Told>(threads);
    let queue = Mutex::new(queue);
    thread::scope(|scope| {
        for number in 0..threads {
            let (told, queue) = (told.clone(), &queue);
            threads::named(format!("transfer-{number}"))
                .spawn_scoped(scope, move || {
                    loop {
                        let next = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
                        let Ok(job) = next else { return };
                        let outcome = catch_unwind(AssertUnwindSafe(|| run(context, job)));
                        if told.send(outcome).is_err() {
                            return;
                        }
                    }
                })
                .map_err(|error| Error::disk("starting a thread", error))?;
        }
        drop(told);
        drive(&mut Pool::new(context, Crew::Threads { jobs, outcomes, running: 0, threads }))
    })
}

impl<'a> Pool<'a> {
    fn new(context: &'a Context<'a>, crew: Crew<'a>) -> Self {
        let (held, settled) = (Vec::new(), VecDeque::new());
        Pool { context, crew, held, since: Duration::ZERO, settled }
    }

    /// Gives a job to a free worker, waiting for one if need be; tells what became of another
    /// meanwhile.
    pub fn submit(&mut self, job: Job) -> Result<Option<Outcome>> {
        while self.crew.is_full() {
            self.take_next()?;
        }
        self.crew.start(job)?;
        self.ready()
    }

    /// What became of a job that is finished already.
    pub fn ready(&mut self) -> Result<Option<Outcome>> {
        while let Some(outcome) = self.crew.ready()? {
            self.take(outcome);
        }
        self.settle_if_due();
        Ok(self.settled.pop_front())
    }

    /// What became of the next job to finish; `None` when none is running.
    pub fn wait(&mut self) -> Result<Option<Outcome>> {
        while self.settled.is_empty() && self.crew.is_busy() {
            self.take_next()?;
        }
        if self.settled.is_empty() && !self.held.is_empty() {
            self.settle();
        }
        Ok(self.settled.pop_front())
    }

    /// Waits for the next job to finish, or until what is held has been for long enough.
    fn take_next(&mut self) -> Result<()> {
        let patience = (!self.held.is_empty()).then(|| HOLD.saturating_sub(self.held_for()));
        if let Some(outcome) = self.crew.wait(patience)? {
            self.take(outcome);
        }
        self.settle_if_due();
        Ok(())
    }

    fn take(&mut self, outcome: Outcome) {
        // What was removed from the service gave no names here.
        let is_final = matches!(outcome.result, Err(_) | Ok(Done::Purged(_)));
        if is_final || self.context.ways.disk().unsynced_folders() == 0 {
            self.settled.push_back(outcome);
            return;
        }
        if self.held.is_empty() {
            self.since = self.context.clock.running();
        }
        self.held.push(outcome);
    }

    fn held_for(&self) -> Duration {
        self.context.clock.running().saturating_sub(self.since)
    }

    fn settle_if_due(&mut self) {
        // Of transfers that failed, the folders are open and nothing is held.
        let is_full = self.held.len().max(self.context.ways.disk().unsynced_folders()) >= MOST_HELD;
        if is_full || !self.held.is_empty() && self.held_for() >= HOLD {
            self.settle();
        }
    }

    fn settle(&mut self) {
        let synced = self.context.ways.disk().sync_names();
        for outcome in self.held.drain(..) {
            let result = synced.clone().and(outcome.result);
            self.settled.push_back(Outcome { result, ..outcome });
        }
    }
}

impl Crew<'_> {
    fn start(&mut self, job: Job) -> Result<()> {
        match self {
            Crew::Threads { jobs, running, .. } => {
                jobs.send(job).map_err(|_| lost())?;
                *running += 1;
            }
            Crew::InTurn { jobs, .. } => jobs.push(job),
        }
        Ok(())
    }

    fn is_full(&self) -> bool {
        match self {
            Crew::Threads { running, threads, .. } => running == threads,
            Crew::InTurn { jobs, most, .. } => jobs.len() == *most,
        }
    }

    fn is_busy(&self) -> bool {
        match self {
            Crew::Threads { running, .. } => *running > 0,
            Crew::InTurn { jobs, .. } => !jobs.is_empty(),
        }
    }

    fn ready(&mut self) -> Result<Option<Outcome>> {
        match self {
            Crew::Threads { .. } => self.wait(Some(Duration::ZERO)),
            Crew::InTurn { context, jobs, turns, .. } => {
                let next = turns.next(jobs.len()).filter(|next| *next < jobs.len());
                Ok(next.map(|next| run(context, jobs.remove(next))))
            }
        }
    }

    /// What became of the next job to finish; `None` when none is running, or none finishes in
    /// this time.
    fn wait(&mut self, patience: Option<Duration>) -> Result<Option<Outcome>> {
        match self {
            Crew::Threads { running: 0, .. } => Ok(None),
            Crew::Threads { outcomes, running, .. } => {
                let next = match patience {
                    None => outcomes.recv().map_err(|_| RecvTimeoutError::Disconnected),
                    Some(patience) => outcomes.recv_timeout(patience),
                };
                match next {
                    Ok(outcome) => {
                        *running -= 1;
                        Ok(Some(outcome.unwrap_or_else(|panic| resume_unwind(panic))))
                    }
                    Err(RecvTimeoutError::Timeout) => Ok(None),
                    Err(RecvTimeoutError::Disconnected) => Err(lost()),
                }
            }
            Crew::InTurn { jobs, .. } if jobs.is_empty() => Ok(None),
            Crew::InTurn { context, jobs, turns, .. } => {
                let next = turns.next(jobs.len()).filter(|next| *next < jobs.len());
                Ok(Some(run(context, jobs.remove(next.unwrap_or(0)))))
            }
        }
    }
}

fn lost() -> Error {
    Error::new(Kind::State, "the transfers", "their threads ended")
}
