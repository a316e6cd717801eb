//! The rules that decide about names, filters, conflicts, times, mass deletions, what is kept of
//! removed files, schedules, and what is whose: no I/O, no clock.

mod brake;
mod conflict;
mod filter;
mod names;
mod namesake;
mod owner;
mod recycle;
mod schedule;
mod skip;
mod times;

pub use brake::{Brake, Sweep, Toll};
pub use conflict::{conflict_name, marked};
pub use filter::{Filter, MB, is_closed};
pub use names::{
    COMMAND_FOLDER, MAX_PATH, NameCheck, RECYCLE_FOLDER, SkipReason, WORK_FOLDER, dies_with_folder,
    folded, recycle_area, reserved, work_folder,
};
pub use namesake::{is_namesake, namesake};
pub use owner::{Access, Account, Mode, list_lets};
pub use recycle::{
    Day, MOST_RECYCLE_DAYS, RECYCLE_DAYS, RecycledDay, enough, outlived, total as recycled_bytes,
};
pub use schedule::{Grid, Schedule, ScheduleChange, WeekHour};
pub use times::is_newer;
