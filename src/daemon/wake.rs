//! What wakes the control plane besides messages: file descriptors and one alarm.

use super::Event;
use crate::error::{Error, Kind, Result};
use nix::errno::Errno;
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use std::os::fd::AsFd;
use std::time::{Duration, Instant, SystemTime};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::mpsc::Sender;
use tokio::task::AbortHandle;
use tokio::time::sleep;

/// Sends an event whenever a file descriptor becomes readable, and then none for a while.
pub fn on_readable(
    source: impl AsFd,
    event: impl Fn() -> Event + Send + 'static,
    pause: Duration,
    events: Sender<Event>,
) -> Result<AbortHandle> {
    let failed = |error| Error::disk("waiting for the kernel", error);
    let source = source.as_fd().try_clone_to_owned().map_err(failed)?;
    // Deprecated as the descriptor might be closed early; this one is owned, and its replacement
    // is unsafe.
    #[allow(deprecated)]
    let source = AsyncFd::with_interest(source, Interest::READABLE).map_err(failed)?;
    let waker = tokio::spawn(async move {
        loop {
            let Ok(mut ready) = source.readable().await else { return };
            // Before it is read, so that what comes after is told again.
            ready.clear_ready();
            if events.send(event()).await.is_err() {
                return;
            }
            if !pause.is_zero() {
                sleep(pause).await;
            }
        }
    });
    Ok(waker.abort_handle())
}

/// The alarm of the kernel. The runtime's own timers wake up several times on a long way.
pub struct Alarm {
    timer: TimerFd,
    at: Option<Instant>,
}

impl Alarm {
    /// Sends [`Event::Due`] at the times that will be set.
    pub fn new(events: Sender<Event>) -> Result<Alarm> {
        Ok(Alarm { timer: timer(ClockId::CLOCK_MONOTONIC, || Event::Due, events)?, at: None })
    }

    /// Sets the one time at which it goes off.
    pub fn set(&mut self, at: Option<Instant>, now: Instant) -> Result<()> {
        if at == self.at && at.is_none_or(|at| at > now) {
            return Ok(());
        }
        self.at = at;
        match at {
            Some(at) => {
                // No time at all would turn it off.
                let wait = at.saturating_duration_since(now).max(Duration::from_millis(1));
                let once = Expiration::OneShot(TimeSpec::from_duration(wait));
                self.timer.set(once, TimerSetTimeFlags::empty()).map_err(failed)
            }
            None => self.timer.unset().map_err(failed),
        }
    }
}

/// The kernel's alarm by the clock on the wall, which also goes off when that clock is set, and
/// in time when the machine has slept.
pub struct Calendar {
    timer: TimerFd,
    at: Option<SystemTime>,
}

impl Calendar {
    /// Sends [`Event::Hour`] at the times that will be set.
    pub fn new(events: Sender<Event>) -> Result<Calendar> {
        Ok(Calendar { timer: timer(ClockId::CLOCK_REALTIME, || Event::Hour, events)?, at: None })
    }

    /// Sets the one time at which it goes off.
    pub fn set(&mut self, at: Option<SystemTime>) -> Result<()> {
        if at == self.at {
            return Ok(());
        }
        self.at = at;
        let Some(at) = at else { return self.timer.unset().map_err(failed) };
        let since = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        // No time at all would turn it off.
        let once = Expiration::OneShot(TimeSpec::from_duration(since.max(Duration::from_secs(1))));
        let flags =
            TimerSetTimeFlags::TFD_TIMER_ABSTIME | TimerSetTimeFlags::TFD_TIMER_CANCEL_ON_SET;
        match self.timer.set(once, flags) {
            // It is on all the same: this tells that the clock was set, as the event does.
            Err(Errno::ECANCELED) => Ok(()),
            set => set.map_err(failed),
        }
    }
}

fn timer(clock: ClockId, event: fn() -> Event, events: Sender<Event>) -> Result<TimerFd> {
    let flags = TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC;
    let timer = TimerFd::new(clock, flags).map_err(failed)?;
    on_readable(&timer, event, Duration::ZERO, events)?;
    Ok(timer)
}

fn failed(errno: nix::Error) -> Error {
    Error::new(Kind::Disk, "the alarm clock", std::io::Error::from(errno))
}
