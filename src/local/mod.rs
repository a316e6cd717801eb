//! The local side: looking at the disk, changing it, and being told of changes.
//!
//! [`Disk`] can only look; [`DiskWriter`], the one home of file mutation, exists only where the
//! task's direction lets it write locally. Paths are walked folder by folder without following
//! symbolic links, so a link put in a folder's place leads nobody astray.

pub(crate) mod browse;
mod confined;
mod disk;
mod kernel;
mod lease;
mod recycle;
mod volume;
mod watch;
mod writer;
mod writes;

pub use disk::{Disk, DiskEntry, Found, LocalFile, RootId, granularity};
pub use volume::{Folder, OpenFile, Space, Volume};
pub use watch::{Changes, Limit, Watch, WatchBudget};
pub use writer::{Arrival, DiskWriter};
pub use writes::Writes;
