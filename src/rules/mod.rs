//! The rules that decide about names, filters, conflicts and mass deletions: no I/O, no clock.

mod brake;
mod conflict;
mod filter;
mod names;
mod namesake;
mod skip;

pub use brake::{Brake, Sweep, Toll};
pub use conflict::conflict_name;
pub use filter::{Filter, MB, is_closed};
pub use names::{MAX_PATH, NameCheck, SkipReason, WORK_FOLDER, dies_with_folder};
pub use namesake::namesake;
