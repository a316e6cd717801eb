//! A bounded number of workers that run jobs.

use super::{Context, Job, Outcome, run};
use crate::error::{Error, Kind, Result};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

/// Stack of a thread that transfers.
const STACK_BYTES: usize = 512 << 10;

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
pub(crate) enum Pool<'a> {
    Threads { jobs: SyncSender<Job>, outcomes: Receiver<Outcome>, running: usize, threads: usize },
    InTurn { context: &'a Context<'a>, jobs: Vec<Job>, most: usize, turns: &'a dyn Turns },
}

/// Runs `drive` with a pool of workers; they end when it returns.
pub(crate) fn with_pool<T>(
    context: &Context<'_>,
    workers: &Workers,
    drive: impl FnOnce(&mut Pool) -> Result<T>,
) -> Result<T> {
    match workers {
        Workers::Threads(threads) => with_threads(context, *threads, drive),
        Workers::InTurn(most, turns) => {
            let turns = turns.as_ref();
            drive(&mut Pool::InTurn {
                context,
                jobs: Vec::with_capacity(*most),
                most: *most,
                turns,
            })
        }
    }
}

fn with_threads<T>(
    context: &Context<'_>,
    threads: usize,
    drive: impl FnOnce(&mut Pool) -> Result<T>,
) -> Result<T> {
    let (jobs, queue) = sync_channel::<Job>(0);
    let (told, outcomes) = sync_channel::<Outcome>(threads);
    let queue = Mutex::new(queue);
    thread::scope(|scope| {
        for number in 0..threads {
            let (told, queue) = (told.clone(), &queue);
            thread::Builder::new()
                .name(format!("transfer-{number}"))
                .stack_size(STACK_BYTES)
                .spawn_scoped(scope, move || {
                    loop {
                        let next = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
                        let Ok(job) = next else { return };
                        if told.send(run(context, job)).is_err() {
                            return;
                        }
                    }
                })
                .map_err(|error| Error::disk("starting a thread", error))?;
        }
        drop(told);
        drive(&mut Pool::Threads { jobs, outcomes, running: 0, threads })
    })
}

impl Pool<'_> {
    /// Gives a job to a free worker, waiting for one if need be; tells what became of another
    /// meanwhile.
    pub fn submit(&mut self, job: Job) -> Result<Option<Outcome>> {
        let outcome = if self.is_full() { self.wait()? } else { self.ready()? };
        match self {
            Pool::Threads { jobs, running, .. } => {
                jobs.send(job).map_err(|_| lost())?;
                *running += 1;
            }
            Pool::InTurn { jobs, .. } => jobs.push(job),
        }
        Ok(outcome)
    }

    fn is_full(&self) -> bool {
        match self {
            Pool::Threads { running, threads, .. } => running == threads,
            Pool::InTurn { jobs, most, .. } => jobs.len() == *most,
        }
    }

    /// What became of a job that is finished already.
    pub fn ready(&mut self) -> Result<Option<Outcome>> {
        match self {
            Pool::Threads { outcomes, running, .. } => match outcomes.try_recv() {
                Ok(outcome) => {
                    *running -= 1;
                    Ok(Some(outcome))
                }
                Err(TryRecvError::Empty) => Ok(None),
                Err(TryRecvError::Disconnected) => Err(lost()),
            },
            Pool::InTurn { context, jobs, turns, .. } => {
                let next = turns.next(jobs.len()).filter(|next| *next < jobs.len());
                Ok(next.map(|next| run(context, jobs.remove(next))))
            }
        }
    }

    /// What became of the next job to finish; `None` when none is running.
    pub fn wait(&mut self) -> Result<Option<Outcome>> {
        match self {
            Pool::Threads { running: 0, .. } => Ok(None),
            Pool::Threads { outcomes, running, .. } => {
                let outcome = outcomes.recv().map_err(|_| lost())?;
                *running -= 1;
                Ok(Some(outcome))
            }
            Pool::InTurn { jobs, .. } if jobs.is_empty() => Ok(None),
            Pool::InTurn { context, jobs, turns, .. } => {
                let next = turns.next(jobs.len()).filter(|next| *next < jobs.len());
                Ok(Some(run(context, jobs.remove(next.unwrap_or(0)))))
            }
        }
    }
}

fn lost() -> Error {
    Error::new(Kind::State, "the transfers", "their threads ended")
}
