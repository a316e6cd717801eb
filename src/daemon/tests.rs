//! What the control plane does when, by a clock that the test sets.

use super::*;
use crate::model::{ConflictPolicy, Direction};
use crate::rules::ScheduleChange;
use crate::settings::{Entered, NewTask};
use serde_json::json;
use std::cell::Cell;
use std::rc::Rc;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;
use tz::TimeZone;

/// In the summer of Berlin, Monday, 27 July 2026, 6:30.
const MORNING: u64 = 1_785_126_600;
const HOUR: u64 = 3600;

/// A daemon with a task called `docs` whose service isn't there, and its clock on the wall.
struct Stage {
    daemon: Daemon,
    inbox: mpsc::Receiver<Event>,
    unix: Rc<Cell<u64>>,
    folder: PathBuf,
    /// What watches belong to; it isn't run.
    runtime: Runtime,
}

impl Stage {
    fn new(name: &str, schedule: &str) -> Stage {
        let name = format!("daemon-{name}-{}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(folder.join("nas")).unwrap();
        let state = folder.join("state");
        let book = Book::open(&state).unwrap();
        let entered = Entered {
            values: vec![("url".into(), "http://127.0.0.1:9/".into())],
            schedule: Some(ScheduleChange::parse(schedule).unwrap()),
            ..Entered::default()
        };
        book.add_connection("cloud", "webdav", entered).unwrap();
        let task = NewTask {
            name: "docs".into(),
            connection: "cloud".into(),
            local: folder.join("nas"),
            remote: "/".into(),
            direction: Direction::Both,
            conflict: ConflictPolicy::Local,
            consistency_check: false,
            keep_removed: false,
            recycle_days: 30,
            filter: Default::default(),
            settings: Vec::new(),
        };
        book.add_task(task).unwrap();
        let unix = Rc::new(Cell::new(MORNING));
        let clock = unix.clone();
        let local = move || {
            let zone = TimeZone::from_posix_tz("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
            Local::at(SystemTime::UNIX_EPOCH + Duration::from_secs(clock.get()), zone)
        };
        let (events, inbox) = mpsc::channel(MOST_EVENTS);
        let daemon = Daemon::new(book, &state, events, Box::new(local)).unwrap();
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        Stage { daemon, inbox, unix, folder, runtime }
    }

    /// Begins what is due, and tells whether the daemon wants to be woken for more.
    fn advance(&mut self) -> bool {
        self.daemon.advance(Instant::now()).is_some()
    }

    /// Sets the clock, which the calendar tells the daemon.
    fn sets_clock(&mut self, unix: u64) {
        self.unix.set(unix);
        self.daemon.take(Event::Hour, Instant::now());
    }

    /// Until the running work has ended.
    fn rests(&mut self) {
        let _inside = self.runtime.enter();
        while self.daemon.tasks.values().any(TaskRun::is_running) {
            let event = self.inbox.blocking_recv().unwrap();
            self.daemon.take(event, Instant::now());
        }
    }

    fn is_running(&self) -> bool {
        self.daemon.tasks.values().any(TaskRun::is_running)
    }

    fn asks(&mut self, request: serde_json::Value) -> oneshot::Receiver<Result<serde_json::Value>> {
        let (reply, answer) = oneshot::channel();
        let request = serde_json::from_value(request).unwrap();
        self.daemon.answer(request, reply, Instant::now());
        answer
    }

    /// The task's and the connection's status.
    fn status(&mut self) -> [serde_json::Value; 2] {
        let status = self.daemon.status(Instant::now()).unwrap();
        [status["tasks"][0].clone(), status["connections"][0].clone()]
    }

    fn state(&mut self) -> String {
        self.status()[0]["state"].as_str().unwrap().to_owned()
    }

    fn turn(&self) -> Option<u64> {
        let turn = self.daemon.turn?;
        Some(turn.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs())
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

#[test]
fn a_suspended_connection_does_nothing_until_its_hour_comes() {
    let mut stage = Stage::new("hours", "mon 7-8");
    assert!(!stage.advance() && !stage.is_running());
    let [task, connection] = stage.status();
    assert_eq!((&task["state"], &connection["suspended"]), (&json!("suspended"), &json!(true)));
    for runs_again in [&task["runs_again"], &connection["runs_again"]] {
        assert_eq!(runs_again, "2026-07-27T05:00:00Z");
    }
    assert!(task["message"].as_str().unwrap().ends_with("again on Monday at 7:00"), "{task}");
    assert_eq!((task["next_poll"].clone(), stage.turn()), (json!(null), Some(MORNING + HOUR / 2)));

    stage.sets_clock(MORNING + HOUR / 2);
    assert_eq!(stage.turn(), Some(MORNING + 3 * HOUR / 2));
    stage.advance();
    assert!(stage.is_running());
    assert_eq!(stage.state(), "syncing");
    stage.rests();
    assert!(stage.advance());
    assert_eq!(
        (stage.state().as_str(), stage.status()[1]["suspended"].clone()),
        ("waiting", json!(false))
    );

    stage.sets_clock(MORNING + 3 * HOUR / 2);
    assert_eq!(stage.turn(), Some(MORNING + HOUR / 2 + 7 * 24 * HOUR));
    assert!(!stage.advance() && !stage.is_running());
    assert_eq!(stage.state(), "suspended");
}

#[test]
fn running_work_is_stopped_and_begins_anew_in_the_next_window() {
    let mut stage = Stage::new("stops", "mon 6-7,9-10");
    stage.advance();
    assert!(stage.is_running());
    stage.sets_clock(MORNING + HOUR);
    assert_eq!(stage.state(), "suspended");
    stage.rests();
    assert!(!stage.advance() && !stage.is_running());
    stage.sets_clock(MORNING + 3 * HOUR);
    stage.advance();
    assert!(stage.is_running());
}

#[test]
fn a_clock_that_jumps_is_believed() {
    let mut stage = Stage::new("jumps", "mon 7-8");
    for (unix, suspended) in [
        (MORNING + HOUR, false),
        (MORNING - 100 * HOUR, true),
        (MORNING + HOUR, false),
        (MORNING + 1000 * HOUR, true),
        (0, true),
    ] {
        stage.sets_clock(unix);
        assert_eq!(stage.status()[1]["suspended"], suspended, "{unix}");
        assert!(stage.turn().is_some_and(|turn| turn > unix && turn <= unix + 8 * 24 * HOUR));
    }
}

#[test]
fn what_a_person_asks_for_is_done_all_the_same() {
    let mut stage = Stage::new("asked", "never");
    assert_eq!((stage.advance(), stage.turn()), (false, None));
    let task = &stage.status()[0];
    assert_eq!((&task["state"], &task["runs_again"]), (&json!("suspended"), &json!(null)));

    let answer = stage.asks(json!({ "request": "sync", "task": "docs", "approve": false }));
    stage.advance();
    assert_eq!((stage.is_running(), stage.state().as_str()), (true, "syncing"));
    // Its schedule doesn't stop it, nor do other hours.
    stage.sets_clock(MORNING + HOUR);
    stage.rests();
    assert_eq!(answer.blocking_recv().unwrap().unwrap_err().kind(), Kind::Offline);
    assert!(!stage.advance() && !stage.is_running());
    assert_eq!(stage.state(), "suspended");

    let change = json!({ "schedule": { "enabled": false } });
    let answer =
        stage.asks(json!({ "request": "connection_set", "name": "cloud", "entered": change }));
    let schedule = answer.blocking_recv().unwrap().unwrap()["schedule"].clone();
    assert_eq!(schedule, json!({ "enabled": false, "grid": vec!["0".repeat(24); 7] }));
    stage.advance();
    assert!(stage.is_running());
}

#[test]
fn a_new_limit_or_polling_period_stops_nothing() {
    let mut stage = Stage::new("live", "off");
    stage.advance();
    let sync = stage.asks(json!({ "request": "sync", "task": "docs", "approve": false }));
    stage.rests();
    stage.advance();
    assert!(stage.is_running());
    for values in [json!([["max-upload", "1"], ["max-download", "1"]]), json!([["poll", "5"]])] {
        let entered = json!({ "values": values });
        let request = json!({ "request": "connection_set", "name": "cloud", "entered": entered });
        stage.asks(request).blocking_recv().unwrap().unwrap();
    }
    assert_eq!(stage.daemon.tasks.values().next().unwrap().period(), Duration::from_secs(5));
    stage.rests();
    // Not that it was stopped.
    assert_eq!(sync.blocking_recv().unwrap().unwrap_err().kind(), Kind::Offline);
}
