//! What the control plane does when, by a clock that the test sets.

use super::worker::Done;
use super::*;
use crate::engine::{Report, open_trees};
use crate::http::Cancel;
use crate::local::{Disk, Found, Watch};
use crate::model::{ConflictPolicy, Direction, ItemKind, RemotePrint, Version};
use crate::rules::ScheduleChange;
use crate::settings::{Entered, NewTask, Secret};
use crate::store::{Key, ROOT, Record, Synced};
use serde_json::json;
use std::cell::Cell;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::rc::Rc;
use std::sync::Mutex;
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

/// A task called `docs` over the connection `cloud`.
fn docs(local: PathBuf) -> NewTask {
    NewTask {
        name: "docs".into(),
        connection: "cloud".into(),
        local,
        remote: "/".into(),
        direction: Direction::Both,
        conflict: ConflictPolicy::Local,
        consistency_check: false,
        keep_removed: false,
        recycle_days: 30,
        filter: Default::default(),
        settings: Vec::new(),
    }
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
        book.add_connection("cloud", "webdav", None, entered).unwrap();
        book.add_task(docs(folder.join("nas"))).unwrap();
        let unix = Rc::new(Cell::new(MORNING));
        let clock = unix.clone();
        let local = move || {
            let zone = TimeZone::from_posix_tz("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
            Local::at(SystemTime::UNIX_EPOCH + Duration::from_secs(clock.get()), zone)
        };
        let (events, inbox) = mpsc::channel(MOST_EVENTS);
        let daemon = Daemon::new(book, events, Box::new(local)).unwrap();
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

    /// Adds a task over a connection to this bucket, both of its name.
    fn adds_bucket(&self, name: &str, address: &str, period: u64) {
        let local = self.folder.join(name);
        std::fs::create_dir(&local).unwrap();
        let period = period.to_string();
        let values = [
            ("endpoint", address),
            ("region", "here"),
            ("bucket", name),
            ("access-key", "key"),
            ("poll", &period),
        ];
        let entered = Entered {
            values: values.map(|(key, value)| (key.into(), value.into())).into(),
            secrets: vec![("secret-key".into(), Secret::new("secret".into()))],
            ..Entered::default()
        };
        let book = &self.daemon.book;
        book.add_connection(name, "s3", None, entered).unwrap();
        let task = NewTask { name: name.into(), connection: name.into(), ..docs(local) };
        book.add_task(task).unwrap();
    }

    /// Puts so many files into a task's folder that both sides have agreed on.
    fn syncs_files(&self, name: &str, count: usize) {
        let task = self.daemon.book.task(name).unwrap();
        let trees = open_trees(&self.folder.join("state"), task.id).unwrap();
        let mut batch = trees.batch().unwrap();
        for number in 0..count {
            let name = format!("photo {number}");
            std::fs::write(task.local.join(&name), "the only copy").unwrap();
            let found = Disk::new(&task.local).stat(&name).unwrap();
            let Some(Found::File(local)) = found else { panic!("{found:?}") };
            let remote = RemotePrint::file(local.size, Version::new("v"), None);
            let mut record = Record::new(0);
            record.agree(Synced { local, remote, content: Some([1; 16]) });
            batch.put(Key::new(ROOT, &name, ItemKind::File), record).unwrap();
        }
        batch.commit().unwrap();
    }

    /// Until the running work has ended.
    fn rests(&mut self) {
        self.rests_at(Instant::now());
    }

    fn rests_at(&mut self, now: Instant) {
        let _inside = self.runtime.enter();
        while self.is_running() {
            let event = self.inbox.blocking_recv().unwrap();
            self.daemon.take(event, now);
        }
    }

    /// Does all that is due, in no time, and tells when something will be.
    fn works(&mut self, now: Instant) -> Option<Instant> {
        loop {
            let wake = self.daemon.advance(now);
            if !self.is_running() {
                return wake;
            }
            self.rests_at(now);
        }
    }

    /// Goes on for so long from now on, and tells how often it wakes.
    fn goes_on(&mut self, now: &mut Instant, time: Duration) -> usize {
        let (end, mut wakes) = (*now + time, 0);
        while *now < end {
            *now = self.works(*now).unwrap();
            wakes += 1;
        }
        wakes
    }

    fn is_running(&self) -> bool {
        self.daemon.tasks.values().any(TaskRun::is_running)
    }

    fn asks(&mut self, request: serde_json::Value) -> oneshot::Receiver<Result<serde_json::Value>> {
        let (reply, answer) = oneshot::channel();
        let request = serde_json::from_value(request).unwrap();
        let asked = Asked { caller: Caller::Host, request, reply };
        self.daemon.answer(asked, Instant::now());
        answer
    }

    /// The task's and the connection's status.
    fn status(&mut self) -> [serde_json::Value; 2] {
        let status = self.daemon.status(&Caller::Host, Instant::now()).unwrap();
        [status["tasks"][0].clone(), status["connections"][0].clone()]
    }

    fn state(&mut self) -> String {
        self.status()[0]["state"].as_str().unwrap().to_owned()
    }

    /// How the task with this id is.
    fn word(&self, id: u64) -> &'static str {
        self.daemon.tasks[&id].word()
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
    stage.rests();
    // Not that it was stopped.
    assert_eq!(sync.blocking_recv().unwrap().unwrap_err().kind(), Kind::Offline);
}

/// What a service answers while it is set: a status, and an error's code.
type Trouble = Arc<Mutex<Option<(u16, &'static str)>>>;

/// A service whose buckets are all empty, or answer with nonsense: its address, which were listed,
/// and what is wrong with it.
fn buckets() -> (String, Arc<Mutex<Vec<String>>>, Trouble) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let listed: Arc<Mutex<Vec<String>>> = Arc::default();
    let trouble = Trouble::default();
    let (seen, wrong) = (listed.clone(), trouble.clone());
    thread::spawn(move || {
        for stream in listener.incoming() {
            let stream = stream.unwrap();
            let mut lines = BufReader::new(&stream).lines().map_while(std::io::Result::ok);
            let line = lines.next().unwrap_or_default();
            while lines.next().is_some_and(|line| !line.is_empty()) {}
            let bucket = line.split(['/', '?']).nth(1).unwrap_or_default();
            let listing = "<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>";
            let (status, body) = match *wrong.lock().unwrap() {
                Some((status, code)) => (status, format!("<Error><Code>{code}</Code></Error>")),
                None if line.starts_with("HEAD") => (404, String::new()),
                None if bucket.contains("nonsense") => (200, "nonsense".into()),
                None => (200, listing.into()),
            };
            seen.lock().unwrap().push(bucket.to_owned());
            let length = body.len();
            let head = format!("HTTP/1.1 {status} So\r\nContent-Length: {length}\r\n");
            let reply = format!("{head}Connection: close\r\n\r\n{body}");
            // The test may have ended.
            let _ = (&stream).write_all(reply.as_bytes());
        }
    });
    (address, listed, trouble)
}

/// Ten connections: their bucket, their polling period in seconds, and how often they are to be
/// listed in an hour without news, where that is certain.
const CONNECTIONS: [(&str, u64, Option<usize>); 10] = [
    ("lost", 60, Some(0)),
    ("limited", 60, Some(60)),
    ("a-minute", 60, Some(60)),
    ("more-than-that", 75, Some(60)),
    ("nearly-two", 119, Some(60)),
    ("two-minutes", 120, Some(30)),
    ("five-minutes", 300, Some(12)),
    ("ten-minutes", 600, Some(6)),
    ("nonsense", 60, None),
    ("more-nonsense", 900, None),
];

#[test]
fn ten_connections_wake_it_once_a_window_whatever_they_wait_for() {
    let (address, listed, _) = buckets();
    // Its own connection never runs.
    let mut stage = Stage::new("windows", "never");
    for (name, period, _) in CONNECTIONS {
        stage.adds_bucket(name, &address, period);
    }
    std::fs::remove_dir(stage.folder.join("lost")).unwrap();
    let mut now = Instant::now();
    stage.daemon.reload(now).unwrap();
    stage.works(now);
    let id = stage.daemon.book.task("limited").unwrap().id;
    let limited = Error::new(Kind::Disk, "watching", "there are no more watches");
    stage.daemon.hear(id, News::Watching(Err(limited)), now);

    // In the first hour the pauses become what they are while nothing happens.
    let hour = Duration::from_secs(HOUR);
    stage.goes_on(&mut now, hour);
    listed.lock().unwrap().clear();
    assert_eq!(stage.goes_on(&mut now, hour), 60);
    let listed = listed.lock().unwrap();
    for (name, _, expected) in CONNECTIONS {
        let times = listed.iter().filter(|bucket| *bucket == name).count();
        assert!(expected.is_none_or(|expected| times == expected), "{name}: {times}");
    }
    let status = stage.daemon.status(&Caller::Host, now).unwrap();
    for task in status["tasks"].as_array().unwrap() {
        let name = task["name"].as_str().unwrap();
        let state = match name {
            "docs" => "suspended",
            "lost" => "held",
            _ if name.contains("nonsense") => "waiting",
            _ => "idle",
        };
        assert_eq!(
            (&task["state"], &task["watch_limited"]),
            (&json!(state), &json!(name == "limited"))
        );
    }
}

#[test]
fn what_stopped_a_task_passes_and_nobody_has_to_act() {
    let (address, listed, trouble) = buckets();
    // Its own connection never runs.
    let mut stage = Stage::new("passes", "never");
    stage.adds_bucket("away", &address, 60);
    let mut now = Instant::now();
    stage.daemon.reload(now).unwrap();
    let id = stage.daemon.book.task("away").unwrap().id;
    let file = stage.folder.join(format!("state/tasks/{id}.redb"));
    let state = || std::fs::read(&file).unwrap();
    let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
    stage.goes_on(&mut now, minutes(5));
    assert_eq!(stage.word(id), "idle");
    *trouble.lock().unwrap() = Some((404, "NoSuchBucket"));
    stage.goes_on(&mut now, minutes(5));
    assert_eq!(stage.word(id), "held");
    let before = state();
    listed.lock().unwrap().clear();
    stage.goes_on(&mut now, minutes(60));
    // Seldom, and without the disk.
    let calls = listed.lock().unwrap().len();
    assert!((1..=6).contains(&calls), "{calls}");
    assert!(stage.word(id) == "held" && state() == before);
    *trouble.lock().unwrap() = None;
    stage.goes_on(&mut now, minutes(60));
    assert_eq!(stage.word(id), "idle");

    *trouble.lock().unwrap() = Some((403, "InvalidAccessKeyId"));
    stage.goes_on(&mut now, minutes(2));
    assert_eq!(stage.word(id), "held");
    *trouble.lock().unwrap() = None;
    let held = now;
    stage.goes_on(&mut now, minutes(1));
    assert_eq!(stage.word(id), "idle");
    assert!(now - held <= minutes(24 * 60));

    // By the time that it is held, nothing is wrong any more.
    for kind in [Kind::RootLost, Kind::Untrusted] {
        let task = stage.daemon.tasks.get_mut(&id).unwrap();
        task.hold(Error::new(kind, "the root", "it is away"), now);
        stage.goes_on(&mut now, minutes(2));
        assert_eq!(stage.word(id), "idle", "{kind:?}");
    }
}

#[test]
fn a_word_is_forgotten_by_a_task_that_is_paused_or_held_before_it_counts() {
    let (address, ..) = buckets();
    // Its own connection never runs.
    let mut stage = Stage::new("word", "never");
    stage.adds_bucket("emptied", &address, 60);
    stage.syncs_files("emptied", 20);
    let now = Instant::now();
    stage.daemon.reload(now).unwrap();
    stage.works(now);
    let id = stage.daemon.book.task("emptied").unwrap().id;
    assert_eq!(stage.word(id), "held");
    let photos = stage.folder.join("emptied");
    let files = || {
        let names = std::fs::read_dir(&photos).unwrap().map(|entry| entry.unwrap().file_name());
        names.filter(|name| name.to_string_lossy().starts_with("photo")).count()
    };
    let (shown, nothing) =
        (json!({ "removals": 20, "overwrites": 0 }), json!({ "removals": 0, "overwrites": 0 }));
    let shown = json!({ "local": shown, "remote": nothing });
    let says_yes = json!({ "request": "sync", "task": "emptied", "approve": true, "shown": shown });

    stage.asks(says_yes.clone());
    for request in ["pause", "resume"] {
        let request = json!({ "request": request, "scope": { "task": "emptied" } });
        stage.asks(request).blocking_recv().unwrap().unwrap();
    }
    stage.works(now);
    assert_eq!(files(), 20, "paused");

    let answer = stage.asks(says_yes.clone());
    let task = stage.daemon.tasks.get_mut(&id).unwrap();
    task.hold(Error::new(Kind::RootLost, "the root", "it is away"), now);
    assert_eq!(answer.blocking_recv().unwrap().unwrap_err().kind(), Kind::RootLost);
    stage.daemon.resume(&Scope::Everything, now);
    stage.works(now);
    assert_eq!(files(), 20, "held");

    stage.asks(says_yes);
    stage.works(now);
    assert_eq!(files(), 0);
}

#[test]
fn where_not_all_can_be_watched_what_was_written_is_looked_for() {
    let mut stage = Stage::new("patrol", "off");
    let entered = json!({ "values": [["poll", "86400"]] });
    let request = json!({ "request": "connection_set", "name": "cloud", "entered": entered });
    stage.asks(request).blocking_recv().unwrap().unwrap();
    let nas = stage.folder.join("nas");
    std::fs::create_dir(nas.join("unwatched")).unwrap();
    let waker = stage.runtime.spawn(async {}).abort_handle();
    let now = Instant::now();
    let task = stage.daemon.tasks.values_mut().next().unwrap();

    let names = task.place().task.names(task.place().service.descriptor());
    let mut small = Watch::new(task.place().disk(), names, &WatchBudget::new(1)).unwrap();
    small.add_tree(&Cancel::default()).unwrap();
    let refused = || Err(Error::new(Kind::Disk, "watching", "the kernel has no more"));
    for watch in [refused(), Ok(Box::new(small))] {
        let (tell, told) = std::sync::mpsc::channel();
        task.start(move |news| drop(tell.send(news))).unwrap();
        // Whatever came of it without a service.
        assert!(told.iter().any(|news| matches!(news, News::Ended(..))));
        task.ended(None, Ok(Done::Cycle(Report::default())), now);
        assert_eq!(task.ready_since(now), None);

        task.watching(watch, |_| Ok(waker.clone()), now);
        assert!(task.is_limited());
        let patrol = task.wake(now).unwrap();
        assert!(patrol <= now + Duration::from_secs(600));
        let file = File::create(nas.join("unwatched/file")).unwrap();
        file.set_len(1).unwrap();
        file.sync_all().unwrap();
        let window = Window::at(patrol, task.slots());
        task.tick(&window, patrol);
        assert_eq!(task.ready_since(patrol), Some(patrol));
    }
}
