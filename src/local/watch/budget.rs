//! How many watches there may be: each takes memory that no look at our own shows.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Folders watched at most, however large the machine's memory is: a bound of our own memory.
const MOST: usize = 65_536;
/// Bytes of memory that a watch takes: the kernel keeps the folder's inode for it, of 0.6 to 1.1
/// KiB by CPU and file system, and a mark; with ext4 on 64 bits that was measured as 1,224 bytes.
/// We ourselves keep a name.
const EACH: usize = 1300;
/// The share of the machine's memory that all watches together may take. With 256 MiB that is 8
/// MiB, and 6,452 folders.
const SHARE: usize = 32;

/// The watches that all tasks may have together. Clones are the same budget.
#[derive(Clone)]
pub struct WatchBudget {
    most: usize,
    used: Arc<AtomicUsize>,
}

impl WatchBudget {
    /// As many as are right for this machine.
    pub fn of_machine() -> Self {
        let memory = fs::read_to_string("/proc/meminfo").ok();
        let memory = memory.and_then(|text| total(&text));
        Self::new(memory.map_or(MOST, |bytes| (bytes / SHARE / EACH).min(MOST)))
    }

    /// This many.
    pub fn new(most: usize) -> Self {
        WatchBudget { most, used: Arc::default() }
    }

    /// The part of it that one watch takes, nothing yet.
    pub(super) fn part(&self) -> Part {
        Part { budget: self.clone(), used: 0 }
    }
}

/// What one task takes of the budget, and gives back at its end.
pub(super) struct Part {
    budget: WatchBudget,
    used: usize,
}

impl Part {
    /// Whether there is nothing left.
    pub fn is_used_up(&self) -> bool {
        self.budget.used.load(Relaxed) >= self.budget.most
    }

    /// Takes note of how many watches the task has now.
    pub fn set(&mut self, used: usize) {
        self.budget.used.fetch_add(used, Relaxed);
        self.budget.used.fetch_sub(self.used, Relaxed);
        self.used = used;
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        self.set(0);
    }
}

/// The machine's memory in bytes, by `/proc/meminfo`.
fn total(text: &str) -> Option<usize> {
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<usize>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_task_no_longer_watches_is_free_for_another() {
        let budget = WatchBudget::new(3);
        let (mut one, mut two) = (budget.part(), budget.part());
        one.set(2);
        assert!(!two.is_used_up());
        two.set(1);
        assert!(one.is_used_up());
        one.set(1);
        assert!(!two.is_used_up());
        two.set(2);
        drop(one);
        assert!(!two.is_used_up());
    }

    #[test]
    fn the_machines_memory_is_read() {
        let text = "MemFree:  1 kB\nMemTotal:         251004 kB\nMemFree: 7 kB\n";
        assert_eq!(total(text), Some(251_004 << 10));
        assert_eq!(total("MemTotal: much"), None);
        assert_eq!(total(&format!("MemTotal: {} kB", usize::MAX)), None);
    }
}
