//! Where log lines go: standard error, and a bounded ring in memory that the daemon shows.
//!
//! Nothing is written to a disk and nothing grows: a line too long is cut, an old one makes room.
//! The least important level that is told is that of the settings. As long as nobody has set one
//! there, it is that of `MOORING_LOG`: error, warn, info (without it), debug, trace or off.

use heapless::{Deque, String as Bounded};
use serde::{Deserialize, Serialize};
use std::fmt::{self, Write as _};
use std::io::Write as _;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};
use tracing::callsite::rebuild_interest_cache;
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

/// Bytes of a line.
const LINE: usize = 240;
/// Lines kept.
const LINES: usize = 128;

type Line = Bounded<LINE>;

static RING: Mutex<Deque<Line, LINES>> = Mutex::new(Deque::new());

/// What is told, by its place in [`LEVELS`].
static TOLD: AtomicU8 = AtomicU8::new(Level::Info as u8);
/// The levels of [`Level`], and what tells nothing.
const LEVELS: [LevelFilter; 6] = [
    LevelFilter::ERROR,
    LevelFilter::WARN,
    LevelFilter::INFO,
    LevelFilter::DEBUG,
    LevelFilter::TRACE,
    LevelFilter::OFF,
];

/// How important a line is, the most important first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(test, derive(ts_rs::TS))]
pub enum Level {
    /// What stops work.
    Error,
    /// What a person should know.
    Warn,
    /// What was done.
    Info,
    /// What helps to find out why.
    Debug,
    /// Every step.
    Trace,
}

/// The words for levels.
pub const LEVEL_WORDS: [(&str, Level); 5] = [
    ("error", Level::Error),
    ("warn", Level::Warn),
    ("info", Level::Info),
    ("debug", Level::Debug),
    ("trace", Level::Trace),
];

/// Sends the log of this process to standard error and the ring. Called again, it does nothing.
pub fn start() {
    keep_to(None);
    // Fails when there is a subscriber already, which is as good.
    let _ = tracing::subscriber::set_global_default(Log { aloud: true });
}

/// Tells what is of this level or more important from now on; what `MOORING_LOG` says when there is
/// none.
pub fn keep_to(level: Option<Level>) {
    let at = level.map_or_else(by_default, |level| level as u8);
    if TOLD.swap(at, Ordering::Relaxed) != at {
        rebuild_interest_cache();
    }
}

/// The level as long as nobody has set one; the most important one where nothing is told.
pub fn level() -> Level {
    let at = usize::from(by_default());
    LEVEL_WORDS.get(at).map_or(Level::Error, |(_, level)| *level)
}

fn by_default() -> u8 {
    let word = std::env::var("MOORING_LOG").ok().and_then(|word| word.parse().ok());
    let at = LEVELS.iter().position(|level| word == Some(*level));
    at.map_or(Level::Info as u8, |at| at as u8)
}

fn told() -> LevelFilter {
    let at = TOLD.load(Ordering::Relaxed);
    LEVELS.get(usize::from(at)).copied().unwrap_or(LevelFilter::INFO)
}

/// The last lines, oldest first.
pub fn recent() -> Vec<String> {
    ring().iter().map(|line| line.as_str().to_owned()).collect()
}

struct Log {
    /// Whether to write to standard error, too.
    aloud: bool,
}

impl Subscriber for Log {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        // What libraries say of themselves concerns nobody here, and may hold secrets.
        metadata.is_event()
            && *metadata.level() <= told()
            && metadata.target().starts_with(env!("CARGO_CRATE_NAME"))
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(told())
    }

    fn event(&self, event: &Event<'_>) {
        let mut text = Cut { line: Line::new(), is_full: false };
        let second = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .map_or(0, |since| since.as_secs());
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(second);
        // Never fails: what doesn't fit is cut.
        let _ =
            write!(text, "{} {}", humantime::format_rfc3339_seconds(now), event.metadata().level());
        event.record(&mut text);
        let mut ring = ring();
        if ring.is_full() {
            ring.pop_front();
        }
        // Line by line under the lock, so that lines of two threads don't mix; nobody is there to
        // be told when standard error is closed.
        if self.aloud {
            let _ = writeln!(std::io::stderr(), "{}", text.line);
        }
        let _ = ring.push_back(text.line);
    }

    // We have events only.
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// A line that takes what fits and drops the rest.
struct Cut {
    line: Line,
    is_full: bool,
}

impl fmt::Write for Cut {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for character in text.chars() {
            // A name with a line break in it must not look like a line of its own.
            let shown = if character.is_control() { '\u{fffd}' } else { character };
            self.is_full = self.is_full || self.line.push(shown).is_err();
        }
        Ok(())
    }
}

impl Visit for Cut {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let _ = match field.name() {
            "message" => write!(self, " {value:?}"),
            name => write!(self, " {name}={value:?}"),
        };
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        let _ = write!(self, " {}={value}", field.name());
    }
}

fn ring() -> MutexGuard<'static, Deque<Line, LINES>> {
    // A ring of texts that no panic can leave half-changed.
    RING.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_kept_up_to_a_bound_and_cut() {
        tracing::subscriber::with_default(Log { aloud: false }, || {
            for number in 0..LINES + 10 {
                tracing::info!(number, "a line\nand {}", "é".repeat(LINE));
            }
            tracing::debug!("not told");
        });
        let lines = recent();
        assert_eq!(lines.len(), LINES);
        assert!(
            lines
                .iter()
                .all(|line| line.len() <= LINE && line.contains(" INFO a line\u{fffd}and é"))
        );
    }
}
