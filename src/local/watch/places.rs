//! Which folder a watch is on, in little memory.

use nix::sys::inotify::WatchDescriptor;

/// Deeper than any path that the kernel takes: a chain of parents this long has a loop in it.
const DEEPEST: usize = 4096;

/// The watched folders, each known by its parent's watch and its own name, so that moving a
/// folder changes one row, whatever is in it.
///
/// Kept in the order of the watches, which the kernel numbers upwards: a row is mostly added at
/// the end. 50,000 folders take about 3 MiB, half of it their names; on a 32-bit CPU, 2 MiB.
pub(super) struct Places {
    rows: Vec<Row>,
    gone: usize,
}

struct Row {
    watch: WatchDescriptor,
    parent: WatchDescriptor,
    /// Empty for the root, `None` for a folder that isn't watched any more.
    name: Option<Box<str>>,
}

impl Places {
    /// Only the root.
    pub fn new(root: WatchDescriptor) -> Self {
        Places { rows: vec![Row { watch: root, parent: root, name: Some("".into()) }], gone: 0 }
    }

    /// Folders watched.
    pub fn len(&self) -> usize {
        self.rows.len() - self.gone
    }

    /// Notes where a watched folder is. Tells whether it wasn't known before.
    pub fn put(&mut self, watch: WatchDescriptor, parent: WatchDescriptor, name: &str) -> bool {
        let name = Some(name.into());
        match self.find(watch) {
            Ok(at) => {
                let row = &mut self.rows[at];
                let is_new = row.name.is_none();
                self.gone -= usize::from(is_new);
                (row.parent, row.name) = (parent, name);
                is_new
            }
            Err(at) => {
                self.rows.insert(at, Row { watch, parent, name });
                true
            }
        }
    }

    /// Forgets a folder.
    pub fn remove(&mut self, watch: WatchDescriptor) {
        if let Ok(at) = self.find(watch)
            && self.rows[at].name.take().is_some()
        {
            self.gone += 1;
        }
        if self.gone > self.rows.len() / 2 {
            self.rows.retain(|row| row.name.is_some());
            self.rows.shrink_to_fit();
            self.gone = 0;
        }
    }

    /// The parent and the name of a watched folder.
    pub fn get(&self, watch: WatchDescriptor) -> Option<(WatchDescriptor, &str)> {
        let row = &self.rows[self.find(watch).ok()?];
        Some((row.parent, row.name.as_deref()?))
    }

    /// A folder's path from the root on; `None` when it, or a folder above it, isn't watched.
    pub fn path(&self, watch: WatchDescriptor) -> Option<String> {
        let mut names = Vec::new();
        let (mut parent, mut name) = self.get(watch)?;
        while !name.is_empty() {
            if names.len() == DEEPEST {
                return None;
            }
            names.push(name);
            (parent, name) = self.get(parent)?;
        }
        names.reverse();
        Some(names.join("/"))
    }

    /// The watches on a folder and on everything in it.
    pub fn below(&self, top: WatchDescriptor) -> Vec<WatchDescriptor> {
        let is_below = |row: &&Row| {
            let mut at = row.watch;
            for _ in 0..DEEPEST {
                if at == top {
                    return true;
                }
                match self.get(at) {
                    Some((parent, name)) if !name.is_empty() => at = parent,
                    _ => return false,
                }
            }
            false
        };
        let rows = self.rows.iter().filter(|row| row.name.is_some());
        rows.filter(is_below).map(|row| row.watch).collect()
    }

    fn find(&self, watch: WatchDescriptor) -> Result<usize, usize> {
        self.rows.binary_search_by_key(&watch, |row| row.watch)
    }
}
