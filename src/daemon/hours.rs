//! The hours of schedules, by the clock and the time zone of this machine.

use crate::rules::{Schedule, WeekHour};
use std::env;
use std::fmt;
use std::time::{Duration, SystemTime};
use tz::TimeZone;

/// A moment in local time. Asked for anew each time: both the clock and the zone may be set.
pub struct Local {
    /// Seconds since 1970.
    unix: i64,
    zone: TimeZone,
}

/// What a schedule has suspended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rest {
    /// When it runs again; `None` when the schedule never lets it.
    until: Option<(SystemTime, WeekHour)>,
}

impl Local {
    /// Now and here: by `TZ` where it is set, as everywhere, else by `/etc/localtime`.
    pub fn now() -> Local {
        let zone = match env::var("TZ").ok().filter(|zone| !zone.is_empty()) {
            Some(zone) => TimeZone::from_posix_tz(&zone),
            None => TimeZone::local(),
        };
        // Without a zone that makes sense, as the C library does it.
        Local::at(SystemTime::now(), zone.unwrap_or_else(|_| TimeZone::utc()))
    }

    /// This time in this zone.
    pub fn at(time: SystemTime, zone: TimeZone) -> Local {
        Local { unix: crate::http::unix_seconds(time), zone }
    }

    /// What the schedule keeps from running now, if it does.
    pub fn rest(&self, schedule: &Schedule) -> Option<Rest> {
        let until = || self.change(schedule).map(|at| (time(at), self.hour_at(at)));
        schedule.suspends(self.hour_at(self.unix)).then(|| Rest { until: until() })
    }

    /// When the schedule will say something else than now.
    pub fn next_change(&self, schedule: &Schedule) -> Option<SystemTime> {
        self.change(schedule).map(time)
    }

    fn change(&self, schedule: &Schedule) -> Option<i64> {
        schedule.next_change(self.unix, &|at| self.hour_at(at))
    }

    fn hour_at(&self, unix: i64) -> WeekHour {
        let offset = self.zone.find_local_time_type(unix).map_or(0, |local| local.ut_offset());
        WeekHour::of_local(unix.saturating_add(offset.into()))
    }
}

impl Rest {
    /// When it runs again, if it ever does.
    pub fn until(&self) -> Option<SystemTime> {
        self.until.map(|(time, _)| time)
    }
}

impl fmt::Display for Rest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.until {
            Some((_, hour)) => write!(f, "by its schedule it runs again on {hour}"),
            None => f.write_str("its schedule has no hour to run in"),
        }
    }
}

fn time(unix: i64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(unix).unwrap_or(0))
}
