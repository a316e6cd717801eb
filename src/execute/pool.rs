//! A bounded number of threads that run jobs.

use super::{Context, Job, Outcome, run};
use crate::error::{Error, Kind, Result};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::thread;

/// Stack of a thread that transfers.
const STACK_BYTES: usize = 512 << 10;

/// Hands out jobs and takes back what became of them.
pub(crate) struct Pool {
    jobs: SyncSender<Job>,
    outcomes: Receiver<Outcome>,
    running: usize,
    threads: usize,
}

/// Runs `drive` with a pool of `threads` threads; they end when it returns.
pub(crate) fn with_pool<T>(
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
        let mut pool = Pool { jobs, outcomes, running: 0, threads };
        drive(&mut pool)
    })
}

impl Pool {
    /// Gives a job to a free thread, waiting for one if need be; tells what became of another
    /// meanwhile.
    pub fn submit(&mut self, job: Job) -> Result<Option<Outcome>> {
        let outcome = if self.running == self.threads { self.wait()? } else { self.ready()? };
        self.jobs.send(job).map_err(|_| lost())?;
        self.running += 1;
        Ok(outcome)
    }

    /// What became of a job that is finished already.
    pub fn ready(&mut self) -> Result<Option<Outcome>> {
        match self.outcomes.try_recv() {
            Ok(outcome) => {
                self.running -= 1;
                Ok(Some(outcome))
            }
            Err(TryRecvError::Empty) => Ok(None),
            Err(TryRecvError::Disconnected) => Err(lost()),
        }
    }

    /// What became of the next job to finish; `None` when none is running.
    pub fn wait(&mut self) -> Result<Option<Outcome>> {
        if self.running == 0 {
            return Ok(None);
        }
        let outcome = self.outcomes.recv().map_err(|_| lost())?;
        self.running -= 1;
        Ok(Some(outcome))
    }
}

fn lost() -> Error {
    Error::new(Kind::State, "the transfers", "their threads ended")
}
