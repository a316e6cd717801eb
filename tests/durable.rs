//! What the state tells of is on the disk for good, and that costs few waits for it.

use crate::common::bench::{EVERYTHING, TempFolder, task};
use crate::common::memory::{DRIVE, Memory};
use crate::removed::clock::Time;
use crate::removed::disk::{Format, SimDisk};
use crate::removed::engine;
use mooring::engine::Report;
use mooring::model::Direction;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

const FILES: u32 = 200;

/// A cycle of a task between a simulated disk and a service; tells how many folders were synced.
fn sync(disk: &SimDisk, time: &Time, memory: &Arc<Memory>, state: &TempFolder) -> (Report, u32) {
    let syncs = Arc::new(AtomicU32::new(0));
    let counted = syncs.clone();
    disk.set_hook(Some(Box::new(move |call, _| {
        counted.fetch_add(u32::from(call == "sync folder"), Relaxed);
        Ok(())
    })));
    let task = task(Path::new("/volume/task"), Direction::Both);
    let report = engine(&task, disk, time, memory, state).cycle(&EVERYTHING).unwrap();
    (report, syncs.load(Relaxed))
}

#[test]
fn the_names_of_many_files_are_made_durable_together() {
    let time = Time::new();
    let format = Format { links: true, tick: 1, reuses_inodes: false };
    let disk = SimDisk::new(time.clone(), format);
    let (memory, state) = (Memory::new(&DRIVE), TempFolder::new());

    (0..FILES).for_each(|it| memory.put(&format!("down/{it}"), b"fetched"));
    let (report, syncs) = sync(&disk, &time, &memory, &state);
    assert_eq!(report.downloaded, u64::from(FILES));
    assert!(syncs < FILES / 5, "{syncs} waits for {FILES} downloads");

    (0..FILES).for_each(|it| assert!(disk.save(&format!("up/{it}"), &(*b"made").into())));
    let (report, syncs) = sync(&disk, &time, &memory, &state);
    assert_eq!(report.uploaded, u64::from(FILES));
    assert!(syncs < FILES / 5, "{syncs} waits for {FILES} uploads");

    let before = disk.tree();
    disk.power_on(true, &mut |_| 0);
    assert_eq!(disk.tree(), before);
    let (report, _) = sync(&disk, &time, &memory, &state);
    assert!(!report.did_something(), "{report:?}");
}
