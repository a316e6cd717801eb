//! In which hours of the week something may run.

use crate::error::{Error, Kind, Result};
use serde::{Deserialize, Serialize};
use std::fmt;

const DAYS: [&str; 7] =
    ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
/// A day of which every hour is set.
const WHOLE_DAY: u32 = (1 << 24) - 1;
/// What stands for no hour at all.
const NEVER: &str = "never";
/// Local hours begin at multiples of this in universal time, in seconds: no zone is off by less.
const STEP: i64 = 15 * 60;
/// A week, and whatever a change of the clocks adds to it.
const MOST_STEPS: i64 = (7 * 24 + 24) * 4;

/// An hour of the week in local time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WeekHour {
    /// 0 for Monday to 6 for Sunday.
    day: u8,
    /// 0 to 23.
    hour: u8,
}

impl WeekHour {
    /// The hour that this local time is in: seconds since 1970 as if it were universal.
    pub fn of_local(seconds: i64) -> Self {
        let hours = seconds.div_euclid(3600);
        // 1970 began on a Thursday.
        let day = (hours.div_euclid(24) + 3).rem_euclid(7);
        WeekHour { day: day as u8, hour: hours.rem_euclid(24) as u8 }
    }
}

impl fmt::Display for WeekHour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let day = DAYS.get(usize::from(self.day)).copied().unwrap_or_default();
        write!(f, "{day} at {}:00", self.hour)
    }
}

/// Which of the 168 hours of a week something may run in.
///
/// As a document it is seven rows of 24 characters from Monday on, `1` for run and `0` for
/// suspend. As text, it is the hours to run in: `mon-fri 0-7,22-24; sat-sun 0-24`.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "Vec<String>", try_from = "Vec<String>")]
pub struct Grid {
    /// A bit for each hour of each day.
    days: [u32; 7],
}

impl Grid {
    /// Every hour.
    pub const ALWAYS: Grid = Grid { days: [WHOLE_DAY; 7] };
    /// No hour.
    pub const NEVER: Grid = Grid { days: [0; 7] };

    /// Understands its text.
    ///
    /// # Errors
    /// `Usage`, naming what can't be understood.
    pub fn parse(text: &str) -> Result<Self> {
        let mut grid = Grid::NEVER;
        if text.trim() == NEVER {
            return Ok(grid);
        }
        let entries = text.split(';').map(str::trim).filter(|entry| !entry.is_empty());
        for entry in entries {
            let hours_at = entry.find(|c: char| c.is_ascii_digit()).unwrap_or(entry.len());
            let (days, hours) = entry.split_at(hours_at);
            let hours = list(hours, parse_hours).ok_or_else(|| wrong(text, entry))?;
            let hours = hours.into_iter().fold(0, |all, some| all | some);
            for days in list(days, parse_days).ok_or_else(|| wrong(text, entry))? {
                for (number, day) in grid.days.iter_mut().enumerate() {
                    *day |= if days & 1 << number == 0 { 0 } else { hours };
                }
            }
        }
        if grid == Grid::NEVER { Err(wrong(text, text)) } else { Ok(grid) }
    }

    /// Whether it may run in this hour.
    pub fn has(&self, at: WeekHour) -> bool {
        self.days.get(usize::from(at.day)).is_some_and(|day| day & 1 << at.hour != 0)
    }
}

impl fmt::Display for Grid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Grid::NEVER {
            return f.write_str(NEVER);
        }
        let mut from = 0;
        let mut separator = "";
        for same in self.days.chunk_by(|a, b| a == b) {
            let to = from + same.len() - 1;
            if let Some(hours) = same.first().filter(|hours| **hours != 0) {
                write!(f, "{separator}{}", short(from))?;
                if to > from {
                    write!(f, "-{}", short(to))?;
                }
                write!(f, " {}", hours_text(*hours))?;
                separator = "; ";
            }
            from = to + 1;
        }
        Ok(())
    }
}

impl fmt::Debug for Grid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Grid({self})")
    }
}

impl From<Grid> for Vec<String> {
    fn from(grid: Grid) -> Self {
        let row = |day: u32| (0..24).map(move |hour| if day & 1 << hour == 0 { '0' } else { '1' });
        grid.days.into_iter().map(|day| row(day).collect()).collect()
    }
}

impl TryFrom<Vec<String>> for Grid {
    type Error = &'static str;

    fn try_from(rows: Vec<String>) -> Result<Self, Self::Error> {
        let row = |text: &String| {
            let mut day = 0;
            for (hour, character) in text.chars().enumerate() {
                match character {
                    '0' => {}
                    '1' if hour < 24 => day |= 1 << hour,
                    _ => return None,
                }
            }
            Some(day).filter(|_| text.len() == 24)
        };
        let days: Option<Vec<u32>> = rows.iter().map(row).collect();
        let days = days.and_then(|days| days.try_into().ok());
        let days =
            days.ok_or("a schedule is seven rows of 24 characters, 1 for run and 0 for suspend")?;
        Ok(Grid { days })
    }
}

/// When a connection's tasks run by themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Schedule {
    /// Whether the grid counts.
    pub enabled: bool,
    /// The hours to run in; kept while it doesn't count.
    #[cfg_attr(test, ts(type = "string[]"))]
    pub grid: Grid,
}

impl Default for Schedule {
    fn default() -> Self {
        Schedule { enabled: false, grid: Grid::ALWAYS }
    }
}

impl Schedule {
    /// Whether it suspends in this hour.
    pub fn suspends(&self, at: WeekHour) -> bool {
        self.enabled && !self.grid.has(at)
    }

    /// When it will say something else than at `now`, in seconds since 1970, by what local time
    /// is expected to be then; `None` when it won't.
    pub fn next_change(&self, now: i64, hour_at: &dyn Fn(i64) -> WeekHour) -> Option<i64> {
        let suspends = self.suspends(hour_at(now));
        let first = now.div_euclid(STEP) + 1;
        let mut steps = (first..first + MOST_STEPS).map(|step| step * STEP);
        steps.find(|at| self.suspends(hour_at(*at)) != suspends)
    }
}

/// What a person changes about a schedule; `None` leaves it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct ScheduleChange {
    /// Whether the grid counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// The hours to run in.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, ts(type = "string[] | null"))]
    pub grid: Option<Grid>,
}

impl ScheduleChange {
    /// Understands a grid's text, which then counts, and `on` and `off`, which leave the grid.
    ///
    /// # Errors
    /// As [`Grid::parse`].
    pub fn parse(text: &str) -> Result<Self> {
        let (enabled, grid) = match text {
            "on" => (true, None),
            "off" => (false, None),
            text => (true, Some(Grid::parse(text)?)),
        };
        Ok(ScheduleChange { enabled: Some(enabled), grid })
    }

    /// The schedule after this change.
    pub fn apply(self, to: Schedule) -> Schedule {
        Schedule { enabled: self.enabled.unwrap_or(to.enabled), grid: self.grid.unwrap_or(to.grid) }
    }
}

/// The parts between commas, understood.
fn list(text: &str, parse: fn(&str) -> Option<u32>) -> Option<Vec<u32>> {
    text.split(',').map(|part| parse(part.trim())).collect()
}

/// A bit for each hour from the first to before the last.
fn parse_hours(text: &str) -> Option<u32> {
    let (from, to) = text.split_once('-')?;
    let (from, to): (u32, u32) = (from.trim().parse().ok()?, to.trim().parse().ok()?);
    (from < to && to <= 24).then(|| (WHOLE_DAY >> (24 - (to - from))) << from)
}

/// A bit for each day from the first to the last, over the end of the week if need be.
fn parse_days(text: &str) -> Option<u32> {
    let day = |word: &str| {
        let word = word.trim();
        (0..7).find(|number| short(*number).eq_ignore_ascii_case(word))
    };
    let (from, to) = text.split_once('-').unwrap_or((text, text));
    let (from, to) = (day(from)?, day(to)?);
    let last = if to < from { to + 7 } else { to };
    Some((from..=last).fold(0, |days, number| days | 1 << (number % 7)))
}

fn hours_text(hours: u32) -> String {
    let mut ranges = Vec::new();
    let mut rest = hours & WHOLE_DAY;
    while rest != 0 {
        let from = rest.trailing_zeros();
        let to = from + (rest >> from).trailing_ones();
        ranges.push(format!("{from}-{to}"));
        rest &= !(WHOLE_DAY >> (24 - to));
    }
    ranges.join(",")
}

/// A day as it is written in a text.
fn short(day: usize) -> String {
    DAYS.get(day).map_or(String::new(), |name| name.chars().take(3).collect()).to_lowercase()
}

fn wrong(text: &str, part: &str) -> Error {
    let cause = format!("{part:?} isn't days and hours");
    Error::new(Kind::Usage, format!("schedule {text:?}"), cause).remedy(
        "write the hours to run in, as in \"mon-fri 0-7,22-24; sat-sun 0-24\"; or never, on, off",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A Monday, 0:00 UTC.
    const MONDAY: i64 = 1_774_224_000;
    const HOUR: i64 = 3600;

    fn utc(unix: i64) -> WeekHour {
        WeekHour::of_local(unix)
    }

    /// In Berlin around the changes of 2026: summer time from 29 March to 25 October.
    fn berlin(unix: i64) -> WeekHour {
        let summer = (1_774_746_000..1_792_890_000).contains(&unix);
        WeekHour::of_local(unix + if summer { 2 * HOUR } else { HOUR })
    }

    fn enabled(text: &str) -> Schedule {
        ScheduleChange::parse(text).unwrap().apply(Schedule::default())
    }

    #[test]
    fn hours_of_the_week() {
        assert_eq!(utc(MONDAY), WeekHour { day: 0, hour: 0 });
        assert_eq!(utc(MONDAY - 1), WeekHour { day: 6, hour: 23 });
        assert_eq!(utc(0), WeekHour { day: 3, hour: 0 });
        assert_eq!(utc(-1), WeekHour { day: 2, hour: 23 });
        assert_eq!(utc(MONDAY + 46 * HOUR + 3599).to_string(), "Tuesday at 22:00");
        for extreme in [i64::MIN, i64::MAX] {
            assert!(Grid::ALWAYS.has(utc(extreme)));
        }
    }

    #[test]
    fn texts_are_kept_in_one_form() {
        for (text, kept) in [
            ("mon-fri 0-7,22-24; sat-sun 0-24", "mon-fri 0-7,22-24; sat-sun 0-24"),
            ("MON - Fri 22-24, 0-7 ;sat,sun 0-24;", "mon-fri 0-7,22-24; sat-sun 0-24"),
            ("sun-tue 5-6", "mon-tue 5-6; sun 5-6"),
            ("mon 0-1; mon 1-2; wed 23-24", "mon 0-2; wed 23-24"),
            ("mon 0-3,1-4; mon 2-5", "mon 0-5"),
            ("mon-sun 0-24", "mon-sun 0-24"),
            ("never", "never"),
        ] {
            let grid = Grid::parse(text).unwrap();
            assert_eq!(grid.to_string(), kept);
            assert_eq!(Grid::parse(kept).unwrap(), grid);
            let document = serde_json::to_string(&grid).unwrap();
            assert_eq!(serde_json::from_str::<Grid>(&document).unwrap(), grid);
        }
        assert_eq!(Grid::parse("mon-sun 0-24").unwrap(), Grid::ALWAYS);
    }

    #[test]
    fn what_is_no_schedule_is_refused() {
        for text in [
            "",
            ";",
            "mon",
            "0-24",
            "mon 7",
            "mon 7-7",
            "mon 22-7",
            "mon 0-25",
            "mon 0-7,",
            "mon, 0-7",
            "montag 0-7",
            "mon-xyz 0-7",
            "mon 1-99999999999",
            "mon -1-5",
            "mon 0-7 tue 0-7",
            "é 0-1",
        ] {
            assert_eq!(Grid::parse(text).unwrap_err().kind(), Kind::Usage, "{text}");
        }
        let row = "1".repeat(24);
        let long = [25, 33].map(|hours| vec!["1".repeat(hours); 7]);
        let odd = [vec![row.clone(); 6], vec!["é".repeat(12); 7], vec![]];
        for rows in long.into_iter().chain(odd) {
            assert!(Grid::try_from(rows).is_err());
        }
        assert!(Grid::try_from(vec![row; 7]).is_ok_and(|grid| grid == Grid::ALWAYS));
    }

    #[test]
    fn only_an_enabled_schedule_suspends() {
        let schedule = enabled("mon 1-2");
        let at = [0, 1, 2, 25].map(|hour| schedule.suspends(utc(MONDAY + hour * HOUR)));
        assert_eq!(at, [true, false, true, true]);
        let off = ScheduleChange::parse("off").unwrap().apply(schedule);
        assert!(!off.suspends(utc(MONDAY)) && off.grid == schedule.grid);
        assert_eq!(ScheduleChange::parse("on").unwrap().apply(off), schedule);
        assert!(!Schedule::default().suspends(utc(MONDAY)));
    }

    #[test]
    fn the_next_change() {
        let next = |text, now| enabled(text).next_change(now, &utc);
        assert_eq!(next("mon 1-2", MONDAY), Some(MONDAY + HOUR));
        assert_eq!(next("mon 1-2", MONDAY + HOUR), Some(MONDAY + 2 * HOUR));
        assert_eq!(next("mon 1-2", MONDAY + 2 * HOUR), Some(MONDAY + (7 * 24 + 1) * HOUR));
        assert_eq!(next("mon 1-2", MONDAY + HOUR - 1), Some(MONDAY + HOUR));
        assert_eq!(next("mon-sun 0-24", MONDAY), None);
        assert_eq!(next("never", MONDAY), None);
        assert_eq!(enabled("off").next_change(MONDAY, &utc), None);
    }

    #[test]
    fn changes_of_the_clocks_are_seen_ahead() {
        // The night in which 2:00 is followed by 3:00: the Sunday begins at 23:00 UTC.
        let sunday = 1_774_738_800;
        let next = |text, now| enabled(text).next_change(now, &berlin);
        assert_eq!(next("sun 6-7", sunday), Some(sunday + 5 * HOUR));
        assert_eq!(next("sun 2-3; sun 4-5", sunday), Some(sunday + 3 * HOUR));
        // The night in which 2:00 comes twice.
        let sunday = 1_792_879_200;
        assert_eq!(next("sun 6-7", sunday), Some(sunday + 7 * HOUR));
        assert_eq!(next("sun 2-3", sunday), Some(sunday + 2 * HOUR));
        assert_eq!(next("sun 2-3", sunday + 2 * HOUR), Some(sunday + 4 * HOUR));
        // Zones that are off by a quarter of an hour.
        let kathmandu = |unix| WeekHour::of_local(unix + 5 * HOUR + 45 * 60);
        let next = enabled("mon 6-7").next_change(MONDAY, &kathmandu);
        assert_eq!(next, Some(MONDAY + 15 * 60));
    }
}
