//! How far a sync is: one line on the terminal, rewritten a couple of times a second.

use super::units;
use crate::progress::ProgressView;
use crate::threads;
use std::collections::VecDeque;
use std::io::{self, IsTerminal, Write};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

/// Time between two drawings.
const PERIOD: Duration = Duration::from_millis(500);
/// Drawings that the rate is the mean of: ten seconds.
const SAMPLES: usize = 20;

/// Shows how far `work` is while it runs.
pub fn during<T>(view: impl Fn() -> ProgressView + Send, work: impl FnOnce() -> T) -> T {
    let mut line = Line::new();
    if !line.shown {
        return work();
    }
    thread::scope(|scope| {
        let (ended, end) = mpsc::channel::<()>();
        let draw = move || {
            while end.recv_timeout(PERIOD) == Err(RecvTimeoutError::Timeout) {
                line.draw(&view());
            }
            line.clear();
        };
        // When there is no thread to be had, nothing is shown.
        let _ = threads::named("progress").spawn_scoped(scope, draw);
        let result = work();
        drop(ended);
        result
    })
}

/// The line on standard error; none when that isn't a terminal.
pub struct Line {
    shown: bool,
    /// When how many bytes were done.
    samples: VecDeque<(Instant, u64)>,
}

impl Default for Line {
    fn default() -> Self {
        Line::new()
    }
}

impl Line {
    /// A line that nothing is on yet.
    pub fn new() -> Self {
        Line { shown: io::stderr().is_terminal(), samples: VecDeque::with_capacity(SAMPLES) }
    }

    /// Shows how far it is.
    pub fn draw(&mut self, view: &ProgressView) {
        if self.shown {
            let text = text(view, self.rate(Instant::now(), view.bytes_done));
            // A line that wraps can't be rewritten. A failure isn't worth ending a sync for.
            let _ = write!(io::stderr(), "\r\x1b[K{text:.79}");
        }
    }

    /// Leaves the line empty for what is printed next.
    pub fn clear(&self) {
        if self.shown {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }

    /// Bytes per second of late.
    fn rate(&mut self, now: Instant, done: u64) -> f64 {
        if self.samples.len() == SAMPLES {
            self.samples.pop_front();
        }
        self.samples.push_back((now, done));
        let Some((since, before)) = self.samples.front() else { return 0.0 };
        let seconds = now.duration_since(*since).as_secs_f64();
        if seconds > 0.0 { done.saturating_sub(*before) as f64 / seconds } else { 0.0 }
    }
}

fn text(view: &ProgressView, rate: f64) -> String {
    if view.files == 0 {
        return match view.seen {
            0 => view.phase.to_owned(),
            seen => format!("{}: {}", view.phase, units::count(seen, "file")),
        };
    }
    let mut text = format!(
        "{}: {}/{} files, {} of {}",
        view.phase,
        view.files_done,
        view.files,
        units::bytes(view.bytes_done),
        units::bytes(view.bytes),
    );
    let left = view.bytes.saturating_sub(view.bytes_done);
    if rate >= 1.0 {
        text += &format!(", {}/s", units::bytes(rate as u64));
        if left > 0 {
            let left = units::time(Duration::from_secs((left as f64 / rate) as u64));
            text += &format!(", {left} left");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_how_far_it_is() {
        let mut view = ProgressView { phase: "observing", seen: 7, ..ProgressView::default() };
        assert_eq!(text(&view, 0.0), "observing: 7 files");
        view = ProgressView {
            phase: "transferring",
            files: 3,
            files_done: 1,
            bytes: 4096,
            bytes_done: 1024,
            ..view
        };
        let line = "transferring: 1/3 files, 1.0 KiB of 4.0 KiB, 1.0 KiB/s, 3s left";
        assert_eq!(text(&view, 1024.0), line);
    }

    #[test]
    fn the_rate_is_that_of_late() {
        let mut line = Line { shown: false, samples: VecDeque::new() };
        let start = Instant::now();
        for second in 0..100 {
            let done = if second < 50 { 0 } else { (second - 49) * 10 };
            line.rate(start + Duration::from_secs(second), done);
        }
        assert_eq!(line.rate(start + Duration::from_secs(100), 510), 10.0);
    }
}
