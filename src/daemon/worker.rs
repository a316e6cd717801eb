//! The threads that do a task's work, one for each piece of it: an idle task has none.

use crate::admin::Reach;
use crate::admin::view::{Overview, Preview, PreviewTotal};
use crate::engine::{Ear, Engine, Finding, Look, Report, Scrutiny, Setup, Verified, open_remote};
use crate::error::{Error, Kind, Result};
use crate::http::Cancel;
use crate::local::{Disk, Watch, WatchBudget};
use crate::progress::Progress;
use crate::remote::{self, Service};
use crate::settings::Task;
use crate::store::Trees;
use crate::threads;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Intents that a preview lists.
const MOST_INTENTS: usize = 10_000;
/// How long verifying keeps a task from being synced, and what it tells in that time.
const VERIFY_BIT: (Duration, u64) = (Duration::from_secs(5), 500);

/// Everything that a task's work needs.
#[derive(Clone)]
pub struct Workplace {
    /// The task.
    pub task: Task,
    /// Which folders it may have.
    pub reach: Reach,
    /// The service of its connection.
    pub service: &'static dyn Service,
    /// The values of its connection, secrets unsealed.
    pub values: remote::Settings,
    /// The folder with its state.
    pub state: PathBuf,
    /// Transfers at the same time.
    pub transfers: usize,
    /// Lines of history kept.
    pub history: u64,
    /// The watches that it shares with other tasks.
    pub watches: WatchBudget,
}

/// A piece of work.
pub struct Job {
    /// Where.
    pub place: Workplace,
    /// The opened task, if it is.
    pub engine: Option<Box<Engine>>,
    /// What stops it, and the engine.
    pub cancel: Cancel,
    /// Whether to set up a watch before anything is looked at.
    pub watch: bool,
    /// What to do.
    pub work: Work,
}

/// What there is to do.
pub enum Work {
    /// A cycle.
    Cycle(Look),
    /// Telling what a cycle would do.
    Preview,
    /// Verifying, for a while.
    Verify(Scrutiny),
}

/// What a worker has to tell.
pub enum News {
    /// The watch is set up, or can't be.
    Watching(Result<Box<Watch>>),
    /// The task is opened: how far it is and its state can be looked at meanwhile.
    Opened(Arc<Progress>, Arc<Trees>),
    /// The last of it.
    Ended(Option<Box<Left>>, Result<Done>),
}

/// What a worker leaves behind, with all of the state that an idle task needs: it isn't read again
/// before there is something to do.
pub struct Left {
    /// The opened task.
    pub engine: Box<Engine>,
    /// What its state tells.
    pub overview: Option<Overview>,
    /// What listens to the service from now on.
    pub ear: Option<Ear>,
}

/// What was done.
pub enum Done {
    /// A cycle.
    Cycle(Report),
    /// A preview.
    Preview(Preview),
    /// A bit of verifying.
    Verified(Vec<Finding>, Verified),
    /// Nothing but a call to the service, which answered well.
    Probed,
}

impl Job {
    /// Does the work in a thread of its own.
    pub fn start(self, tell: impl Fn(News) + Send + 'static) -> Result<()> {
        spawn(self.place.task.id, move || self.run(&tell))
    }

    fn run(self, tell: &dyn Fn(News)) {
        let engine = match self.engine {
            Some(engine) => Ok(engine),
            None => self.place.open(self.cancel.clone()).map(Box::new),
        };
        match engine {
            Ok(mut engine) => {
                if self.watch {
                    let watch = self.place.watch(engine.disk().anew(), &self.cancel);
                    tell(News::Watching(watch.map(Box::new)));
                }
                tell(News::Opened(engine.progress(), engine.trees().clone()));
                let result = self.work.run(&mut engine);
                let trees = engine.trees();
                let overview = if trees.is_resting() {
                    None
                } else {
                    Overview::of(trees, self.place.task.id).ok()
                };
                let ear = engine.ear();
                if matches!(&result, Ok(Done::Cycle(report)) if !report.did_something()) {
                    engine.rest();
                }
                tell(News::Ended(Some(Box::new(Left { engine, overview, ear })), result));
            }
            Err(error) => tell(News::Ended(None, Err(error))),
        }
    }
}

fn spawn(task: u64, work: impl FnOnce() + Send + 'static) -> Result<()> {
    let spawned = threads::named(format!("task {task}")).spawn(work);
    spawned.map(drop).map_err(|error| Error::new(Kind::Busy, "starting a thread", error))
}

impl Workplace {
    /// Asks the service, in a thread of its own, whether the connection and the remote root are good.
    /// Neither the state nor the disk is needed for it.
    pub fn probe(self, cancel: Cancel, tell: impl Fn(News) + Send + 'static) -> Result<()> {
        spawn(self.task.id, move || {
            let opened = open_remote(&self.task, self.service, &self.values, 1, cancel);
            let answer = opened.and_then(|(remote, _)| remote.test());
            tell(News::Ended(None, answer.map(|()| Done::Probed)));
        })
    }

    /// The task's folder, whoever may have it.
    pub fn disk(&self) -> Disk {
        Disk::new(&self.task.local)
    }

    fn watch(&self, disk: Disk, cancel: &Cancel) -> Result<Watch> {
        let names = self.task.names(self.service.descriptor());
        let mut watch = Watch::new(disk, names, &self.watches)?;
        watch.add_tree(cancel)?;
        Ok(watch)
    }

    fn open(&self, cancel: Cancel) -> Result<Engine> {
        Engine::open(Setup {
            task: &self.task,
            disk: self.reach.disk(&self.task)?,
            service: self.service,
            values: &self.values,
            state: &self.state,
            transfers: self.transfers,
            history: self.history,
            cancel,
        })
    }
}

impl Work {
    fn run(self, engine: &mut Engine) -> Result<Done> {
        match self {
            Work::Cycle(look) => engine.cycle(&look).map(Done::Cycle),
            Work::Preview => {
                let mut intents = Vec::new();
                let mut totals = BTreeMap::new();
                let report = engine.preview(&mut |intent| {
                    let (items, bytes): &mut (u64, u64) = totals.entry(intent.action).or_default();
                    *items += 1;
                    *bytes += intent.bytes;
                    if intents.len() < MOST_INTENTS {
                        intents.push(intent);
                    }
                    Ok(())
                })?;
                let totals = totals.into_iter().map(|(action, (items, bytes))| PreviewTotal {
                    action: action.to_owned(),
                    items,
                    bytes,
                });
                Ok(Done::Preview(Preview { intents, totals: totals.collect(), report }))
            }
            Work::Verify(scrutiny) => {
                let mut findings = Vec::new();
                let scrutiny = Scrutiny { most: Some(VERIFY_BIT), ..scrutiny };
                let verified = engine.verify(&scrutiny, &mut |finding| {
                    findings.push(finding);
                    Ok(())
                })?;
                Ok(Done::Verified(findings, verified))
            }
        }
    }
}
