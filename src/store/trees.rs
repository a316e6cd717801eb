//! The three trees of one task, as rows of items with their facets.
//!
//! An item's row is kept under its folder's node and its own name, so that renaming a folder
//! touches one row, whatever is in it. A folder's name ends in `/` there: rows then come in the
//! order in which object stores list their keys, and a file and a folder may want the same name.
//!
//! What holds in every committed state: an item that isn't clean is in `dirty`; a skipped one is
//! in `skipped`; what came to be skipped or a problem, or is so no more, is in `untold` until the
//! history says so; a folder's node leads back to its row; a folder's inode leads to its node; an id
//! of the service leads to the row that has it; a file whose blocks are known is in the version that
//! they are of.

use super::file::{Base, Keeper, identity, open_database};
use super::hold::{Again, Hold, Mark, Problem};
use super::record::{Record, decode, encode};
use super::recycled::Recycled;
use super::state_error;
use crate::blocks::Blocks;
use crate::error::{Error, Kind, Result};
use crate::model::{ItemKind, Nanos, Side, Version};
use redb::{
    Durability, ReadOnlyTable, ReadableTable, ReadableTableMetadata, StorageBackend,
    TableDefinition, WriteTransaction,
};
use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::ops::{Bound, RangeBounds};
use std::panic::{RefUnwindSafe, UnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The node of a task's root folder.
pub const ROOT: u64 = 1;
/// Cache of one task's state. redb's own default is 1 GiB.
const CACHE_BYTES: usize = 2 << 20;
/// Bytes of a file below which it isn't worth the while to make it smaller.
const LEAST_SHRUNK: u64 = 4 << 20;
/// Touched items that are told apart.
const MOST_TOUCHED: usize = 64;
/// Changed rows kept in memory until they are written together.
const PENDING_ROWS: usize = 1024;

type Place = (u64, &'static str);
const ITEMS: TableDefinition<Place, &[u8]> = TableDefinition::new("items");
const DIRTY: TableDefinition<Place, ()> = TableDefinition::new("dirty");
const SKIPPED: TableDefinition<Place, ()> = TableDefinition::new("skipped");
const NODES: TableDefinition<u64, Place> = TableDefinition::new("nodes");
const INODES: TableDefinition<u64, u64> = TableDefinition::new("inodes");
const IDS: TableDefinition<u64, Place> = TableDefinition::new("ids");
const PROBLEMS: TableDefinition<Place, &[u8]> = TableDefinition::new("problems");
const UNTOLD: TableDefinition<Place, &[u8]> = TableDefinition::new("untold");
const TRANSFERS: TableDefinition<Place, &[u8]> = TableDefinition::new("transfers");
const BLOCKS: TableDefinition<Place, &[u8]> = TableDefinition::new("blocks");
const DEPARTED: TableDefinition<u64, Place> = TableDefinition::new("departed");
const DEPARTED_IDS: TableDefinition<u64, Place> = TableDefinition::new("departed-ids");
const HISTORY: TableDefinition<u64, &[u8]> = TableDefinition::new("history");
const FACTS: TableDefinition<&str, &[u8]> = TableDefinition::new("facts");

/// Fact: the next folder's node.
const NEXT_NODE: &str = "next-node";
/// Fact: what tells the file from a copy of it.
const FILE: &str = "file";
/// Fact: bytes that the file had when what it had to spare was given back.
const SHRUNK: &str = "shrunk";
/// Fact: what holds up the task, or one side, as a whole.
const HOLDS: &str = "holds";
/// Fact: what is kept of removed files.
const RECYCLED: &str = "recycled";
const PROBLEM_FORMAT: u8 = 2;
const HOLDS_FORMAT: u8 = 1;
const RECYCLED_FORMAT: u8 = 1;
const MARK_FORMAT: u8 = 1;
const BLOCKS_FORMAT: u8 = 1;
const EVENT_FORMAT: u8 = 1;

/// Where an item's row is: its folder's node, and its name (with a `/` at the end for a folder).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// Node of the folder it is in.
    pub folder: u64,
    /// Its name; a folder's ends in `/`.
    pub name: String,
}

impl Key {
    /// The row of an item called `name` in `folder`.
    pub fn new(folder: u64, name: &str, kind: ItemKind) -> Self {
        let slash = if kind == ItemKind::Folder { "/" } else { "" };
        Key { folder, name: format!("{name}{slash}") }
    }

    /// The item's name as people write it.
    pub fn plain(&self) -> &str {
        self.name.strip_suffix('/').unwrap_or(&self.name)
    }

    /// File or folder.
    pub fn kind(&self) -> ItemKind {
        if self.name.ends_with('/') { ItemKind::Folder } else { ItemKind::File }
    }

    /// The row of an item of the same name but the other kind.
    pub fn twin(&self) -> Key {
        match self.kind() {
            ItemKind::File => Key::new(self.folder, &self.name, ItemKind::Folder),
            ItemKind::Folder => Key::new(self.folder, self.plain(), ItemKind::File),
        }
    }

    fn place(&self) -> (u64, &str) {
        (self.folder, &self.name)
    }
}

/// A line of the history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// When it happened.
    pub time: Nanos,
    /// What happened: uploaded, downloaded, moved …
    pub action: String,
    /// Path of the item from the task's root on; empty when it concerns the task.
    pub path: String,
    /// Bytes transferred.
    pub bytes: u64,
    /// What else there is to say: an error, a new name.
    pub detail: String,
}

/// The state of one task.
pub struct Trees {
    /// What is committed now, if anybody asked since the last change. Before the database, so that
    /// it lets go of that before it is closed.
    latest: Mutex<Option<Snapshot>>,
    keeper: Keeper,
    /// What tells its file from a copy of it, and what told it when it was opened.
    identity: Box<dyn Fn() -> Result<u64> + Send + Sync>,
    opened: AtomicU64,
    /// Something was written that isn't durable yet.
    loose: AtomicBool,
    /// The next folder's node, whichever batch it is made in.
    next_node: AtomicU64,
    /// Lines of history that are kept.
    history: AtomicU64,
    touched: Mutex<Touched>,
}

/// Items of which something else is known since somebody asked last: whether they are on the
/// service, in which version, and whether they are skipped.
#[derive(Debug)]
pub enum Touched {
    /// These.
    Items(Box<heapless::Vec<Key, MOST_TOUCHED>>),
    /// More than can be told apart.
    Everything,
}

impl Default for Touched {
    fn default() -> Self {
        Touched::Items(Box::default())
    }
}

impl Trees {
    /// Opens the state in `file`, or makes it.
    ///
    /// # Errors
    /// `State` when the file is damaged or open elsewhere, or a disk error.
    pub fn open(file: &Path) -> Result<Self> {
        let path = file.to_owned();
        let open = move || unpanicked(|| open_database(&path, CACHE_BYTES)).map(Base::Open);
        Trees::of(Keeper::new(Some(file), open), identity_of(file))
    }

    /// Opens the state in `file` to be read only: the file stays as it is, unless whoever had it
    /// open last didn't close it. Then it is repaired first.
    ///
    /// # Errors
    /// As [`Trees::open`], or a disk error when there is none.
    pub fn open_to_read(file: &Path) -> Result<Self> {
        let path = file.to_owned();
        let open = move || unpanicked(|| Base::to_read(&path, CACHE_BYTES));
        Trees::of(Keeper::new(Some(file), open), identity_of(file))
    }

    /// Opens the state that these bytes are, or makes it of none. Another `identity` than before
    /// tells that they are a copy that was put in place of them.
    ///
    /// # Errors
    /// As [`Trees::open`].
    pub fn on(
        bytes: impl StorageBackend + Clone + UnwindSafe + RefUnwindSafe,
        identity: u64,
    ) -> Result<Self> {
        let open = move || unpanicked(|| Base::on(bytes.clone(), CACHE_BYTES));
        Trees::of(Keeper::new(None, open), Box::new(move || Ok(identity)))
    }

    fn of(keeper: Keeper, identity: Box<dyn Fn() -> Result<u64> + Send + Sync>) -> Result<Self> {
        let trees = Trees {
            latest: Mutex::default(),
            keeper,
            identity,
            opened: AtomicU64::new(0),
            loose: AtomicBool::new(false),
            next_node: AtomicU64::new(0),
            history: AtomicU64::new(u64::MAX),
            touched: Mutex::default(),
        };
        trees.base()?;
        Ok(trees)
    }

    /// The database; it is opened if it isn't.
    fn base(&self) -> Result<Arc<Base>> {
        if let Some(base) = self.keeper.known() {
            return Ok(base);
        }
        let (base, opened) = self.keeper.open()?;
        if opened && let Err(error) = self.prepare(&base) {
            drop(base);
            self.latest().take();
            self.keeper.close();
            return Err(error);
        }
        Ok(base)
    }

    fn prepare(&self, base: &Base) -> Result<()> {
        let identity = (self.identity)()?;
        if self.opened.swap(identity, Relaxed) != identity {
            // Somebody may have put another file in its place.
            *self.touched() = Touched::Everything;
        }
        self.batch()?.open_tables(base)?;
        let next = self.snapshot()?.fact(NEXT_NODE)?.map_or(ROOT + 1, |bytes| number(&bytes));
        self.next_node.store(next, Relaxed);
        Ok(())
    }

    /// Closes the file until it is needed again, if all that is known is in it and nobody reads it
    /// now: memory is freed, and nothing has to be repaired should the power fail.
    pub fn rest(&self) {
        if !self.is_loose() {
            self.latest().take();
            self.keeper.close();
        }
    }

    /// Gives back to the disk what the file has to spare, if it is twice as large as when that was
    /// done last and nobody reads it now: the first sync of many files leaves half of it unused.
    ///
    /// # Errors
    /// Those of reading and writing it. What fails in between costs nothing but the time.
    pub fn shrink(&self) -> Result<()> {
        let before = self.snapshot()?.fact(SHRUNK)?.map_or(0, |bytes| number(&bytes));
        let has_grown = |size: &u64| *size >= LEAST_SHRUNK && size / 2 >= before;
        let Some(size) = self.keeper.size().filter(has_grown) else { return Ok(()) };
        self.latest().take();
        if self.is_loose() || !self.keeper.is_alone() {
            return Ok(());
        }
        // Before it, as redb makes the file twice as large for the next page that is written.
        let mut batch = self.batch()?;
        batch.set_fact(SHRUNK, Some(size.to_le_bytes().to_vec()));
        batch.commit()?;
        self.latest().take();
        if let Err(error) = self.keeper.compact() {
            tracing::debug!("the state isn't made smaller: {error}");
        }
        Ok(())
    }

    /// Whether the file is closed, as nobody needs it.
    pub fn is_resting(&self) -> bool {
        self.keeper.known().is_none()
    }

    /// Whether this is a copy that was put in the place of the state, and so may know of things
    /// that have gone since.
    pub fn is_copy(&self) -> Result<bool> {
        let known = self.snapshot()?.fact(FILE)?;
        Ok(known.is_some_and(|known| number(&known) != self.opened.load(Relaxed)))
    }

    /// Takes the file for the state itself from now on. Only who copied that, and does away with what
    /// was copied, may say so.
    pub fn take_its_place(&self) -> Result<()> {
        let mut batch = self.batch()?;
        batch.note_file();
        batch.commit()
    }

    /// Forgets everything but the history and these facts.
    pub fn begin_anew(&self, kept: &[&str]) -> Result<()> {
        self.write(|tx| {
            for table in [ITEMS, PROBLEMS, UNTOLD, TRANSFERS, BLOCKS] {
                tx.delete_table(table).map_err(state_error)?;
            }
            for table in [DIRTY, SKIPPED] {
                tx.delete_table(table).map_err(state_error)?;
            }
            for table in [NODES, IDS, DEPARTED, DEPARTED_IDS] {
                tx.delete_table(table).map_err(state_error)?;
            }
            tx.delete_table(INODES).map_err(state_error)?;
            {
                let mut facts = tx.open_table(FACTS).map_err(state_error)?;
                facts.retain(|name, _| kept.contains(&name)).map_err(state_error)?;
            }
            tx.commit().map_err(state_error)
        })?;
        self.next_node.store(ROOT + 1, Relaxed);
        *self.touched() = Touched::Everything;
        self.batch()?.make_tables()
    }

    /// The items of which something else is known since this was asked last.
    pub fn take_touched(&self) -> Touched {
        std::mem::take(&mut self.touched())
    }

    fn touched(&self) -> MutexGuard<'_, Touched> {
        self.touched.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn touch(&self, key: &Key) {
        let mut touched = self.touched();
        if let Touched::Items(keys) = &mut *touched
            && keys.push(key.clone()).is_err()
        {
            *touched = Touched::Everything;
        }
    }

    /// Whether something was written that isn't durable yet.
    pub fn is_loose(&self) -> bool {
        self.loose.load(Relaxed)
    }

    /// Keeps so many lines of history from now on, the newest.
    pub fn keep_history(&self, lines: u64) {
        self.history.store(lines, Relaxed);
    }

    fn drop_oldest(&self, history: &mut redb::Table<'_, u64, &'static [u8]>) -> Result<()> {
        let keep = self.history.load(Relaxed);
        if history.len().map_err(state_error)? <= keep {
            return Ok(());
        }
        let last = history.last().map_err(state_error)?.map_or(0, |row| row.0.value());
        history.retain_in(..=last.saturating_sub(keep), |_, _| false).map_err(state_error)
    }

    /// What is committed now, unchanged by later commits.
    pub fn snapshot(&self) -> Result<Snapshot> {
        let latest = self.latest();
        if let Some(snapshot) = &*latest {
            return Ok(snapshot.clone());
        }
        drop(latest);
        let snapshot = Snapshot::of(self.base()?)?;
        *self.latest() = Some(snapshot.clone());
        Ok(snapshot)
    }

    fn latest(&self) -> MutexGuard<'_, Option<Snapshot>> {
        self.latest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the state in one transaction, which `change` commits.
    fn write<T>(&self, change: impl FnOnce(WriteTransaction) -> Result<T>) -> Result<T> {
        // A snapshot that is held keeps the state from using space again.
        self.latest().take();
        let result = self.base()?.begin_write().and_then(change);
        // Another thread may have asked meanwhile.
        self.latest().take();
        result
    }

    /// Does some work and then takes back all that it changed in the state.
    pub fn trial<T>(&self, work: impl FnOnce() -> Result<T>) -> Result<T> {
        let loose = self.loose.load(Relaxed);
        let before = self.write(|tx| {
            let before = tx.ephemeral_savepoint().map_err(state_error)?;
            tx.abort().map_err(state_error)?;
            Ok(before)
        })?;
        let result = work();
        self.write(|mut tx| {
            tx.set_durability(Durability::None).map_err(state_error)?;
            tx.restore_savepoint(&before).map_err(state_error)?;
            tx.commit().map_err(state_error)
        })?;
        self.loose.store(loose, Relaxed);
        *self.touched() = Touched::Everything;
        result
    }

    /// Starts to collect changes.
    pub fn batch(&self) -> Result<Batch<'_>> {
        Ok(Batch {
            trees: self,
            rows: BTreeMap::new(),
            ids: BTreeMap::new(),
            events: Vec::new(),
            problems: BTreeMap::new(),
            told: Vec::new(),
            transfers: BTreeMap::new(),
            blocks: BTreeMap::new(),
            facts: BTreeMap::new(),
        })
    }
}

/// The committed state at one moment. Clones are the same one.
#[derive(Clone)]
pub struct Snapshot(Arc<Tables>);

struct Tables {
    items: ReadOnlyTable<Place, &'static [u8]>,
    dirty: ReadOnlyTable<Place, ()>,
    skipped: ReadOnlyTable<Place, ()>,
    nodes: ReadOnlyTable<u64, Place>,
    inodes: ReadOnlyTable<u64, u64>,
    ids: ReadOnlyTable<u64, Place>,
    problems: ReadOnlyTable<Place, &'static [u8]>,
    untold: ReadOnlyTable<Place, &'static [u8]>,
    transfers: ReadOnlyTable<Place, &'static [u8]>,
    /// `None` in a state that an older version of the program wrote last.
    blocks: Option<ReadOnlyTable<Place, &'static [u8]>>,
    departed: ReadOnlyTable<u64, Place>,
    departed_ids: ReadOnlyTable<u64, Place>,
    history: ReadOnlyTable<u64, &'static [u8]>,
    facts: ReadOnlyTable<&'static str, &'static [u8]>,
    /// Not to be closed as long as these are read.
    _base: Arc<Base>,
}

impl Snapshot {
    fn of(base: Arc<Base>) -> Result<Snapshot> {
        let tx = base.begin_read()?;
        Ok(Snapshot(Arc::new(Tables {
            items: tx.open_table(ITEMS).map_err(state_error)?,
            dirty: tx.open_table(DIRTY).map_err(state_error)?,
            skipped: tx.open_table(SKIPPED).map_err(state_error)?,
            nodes: tx.open_table(NODES).map_err(state_error)?,
            inodes: tx.open_table(INODES).map_err(state_error)?,
            ids: tx.open_table(IDS).map_err(state_error)?,
            problems: tx.open_table(PROBLEMS).map_err(state_error)?,
            untold: tx.open_table(UNTOLD).map_err(state_error)?,
            transfers: tx.open_table(TRANSFERS).map_err(state_error)?,
            blocks: tx.open_table(BLOCKS).ok(),
            departed: tx.open_table(DEPARTED).map_err(state_error)?,
            departed_ids: tx.open_table(DEPARTED_IDS).map_err(state_error)?,
            history: tx.open_table(HISTORY).map_err(state_error)?,
            facts: tx.open_table(FACTS).map_err(state_error)?,
            _base: base,
        })))
    }

    /// An item's facets.
    pub fn get(&self, key: &Key) -> Result<Option<Record>> {
        let row = self.0.items.get(key.place()).map_err(state_error)?;
        row.map(|row| Record::decode(row.value())).transpose()
    }

    /// The items of a folder in the order of their names.
    pub fn children(&self, folder: u64) -> Result<Children> {
        let range = self.0.items.range((folder, "")..(folder + 1, "")).map_err(state_error)?;
        Ok(Children { range })
    }

    /// The items of a folder that come after one of them.
    pub fn children_after(&self, key: &Key) -> Result<Children> {
        let range = (Bound::Excluded(key.place()), Bound::Excluded((key.folder + 1, "")));
        let range = self.0.items.range::<(u64, &str)>(range).map_err(state_error)?;
        Ok(Children { range })
    }

    /// All items, from just after `after` on.
    pub fn items(&self, after: Option<&Key>) -> Result<Children> {
        let range = self.0.items.range::<(u64, &str)>(beyond(after)).map_err(state_error)?;
        Ok(Children { range })
    }

    /// Whether any item of a folder satisfies `wanted`.
    pub fn any_child(&self, folder: u64, wanted: impl Fn(&Key, &Record) -> bool) -> Result<bool> {
        for row in self.children(folder)? {
            let (key, record) = row?;
            if wanted(&key, &record) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The row that a folder's node leads to; `None` for the root and for unknown nodes.
    pub fn folder_key(&self, node: u64) -> Result<Option<Key>> {
        let row = self.0.nodes.get(node).map_err(state_error)?;
        Ok(row.map(|row| {
            let (folder, name) = row.value();
            Key { folder, name: name.into() }
        }))
    }

    /// A folder's path from the root on; `None` when it is unknown.
    pub fn folder_path(&self, node: u64) -> Result<Option<String>> {
        let mut path = String::new();
        let mut at = node;
        while at != ROOT {
            let Some(key) = self.folder_key(at)? else { return Ok(None) };
            path.insert_str(0, &key.name);
            at = key.folder;
        }
        path.pop();
        Ok(Some(path))
    }

    /// An item's path from the root on.
    ///
    /// # Errors
    /// `State` when its folder is unknown, which no committed state allows.
    pub fn path(&self, key: &Key) -> Result<String> {
        self.known_path(key)?.ok_or_else(|| {
            Error::new(Kind::State, format!("the folder of {}", key.plain()), "it is unknown")
        })
    }

    /// An item's path from the root on; `None` when its folder is unknown.
    pub fn known_path(&self, key: &Key) -> Result<Option<String>> {
        Ok(self.folder_path(key.folder)?.map(|folder| {
            let slash = if folder.is_empty() { "" } else { "/" };
            format!("{folder}{slash}{}", key.plain())
        }))
    }

    /// The node of the folder that had this inode when it was last seen.
    pub fn node_of_inode(&self, inode: u64) -> Result<Option<u64>> {
        Ok(self.0.inodes.get(inode).map_err(state_error)?.map(|node| node.value()))
    }

    /// The item that the service knows by this id, or knew while it had it.
    pub fn key_of_id(&self, id: &str) -> Result<Option<Key>> {
        Ok(self.0.ids.get(mark_of(id)).map_err(state_error)?.map(|place| key_of(place.value())))
    }

    /// The items that need planning, from just after `after` on.
    pub fn dirty(&self, after: Option<&Key>) -> Result<impl Iterator<Item = Result<Key>> + use<>> {
        keys(&self.0.dirty, after)
    }

    /// The items that need planning, from the last to the first.
    pub fn dirty_backwards(&self) -> Result<impl Iterator<Item = Result<Key>> + use<>> {
        let range = self.0.dirty.range::<Place>(..).map_err(state_error)?;
        Ok(range.rev().map(|row| Ok(key_of(row.map_err(state_error)?.0.value()))))
    }

    /// How many items need planning.
    pub fn dirty_count(&self) -> Result<u64> {
        self.0.dirty.len().map_err(state_error)
    }

    /// Whether an item needs planning.
    pub fn is_dirty(&self, key: &Key) -> Result<bool> {
        Ok(self.0.dirty.get(key.place()).map_err(state_error)?.is_some())
    }

    /// The skipped items, from just after `after` on.
    pub fn skipped(
        &self,
        after: Option<&Key>,
    ) -> Result<impl Iterator<Item = Result<Key>> + use<>> {
        keys(&self.0.skipped, after)
    }

    /// How many items are skipped.
    pub fn skipped_count(&self) -> Result<u64> {
        self.0.skipped.len().map_err(state_error)
    }

    /// The items that failed, with the reason, from just after `after` on.
    pub fn problems(
        &self,
        after: Option<&Key>,
    ) -> Result<impl Iterator<Item = Result<(Key, Problem)>> + use<>> {
        let rows = self.0.problems.range::<(u64, &str)>(beyond(after)).map_err(state_error)?;
        Ok(rows.map(|row| {
            let (place, row) = row.map_err(state_error)?;
            Ok((key_of(place.value()), decode(PROBLEM_FORMAT, row.value())?))
        }))
    }

    /// The items that came to be skipped or a problem, or are so no more, since the history last
    /// told; with what it told then.
    pub fn untold(&self) -> Result<impl Iterator<Item = Result<(Key, Option<Mark>)>> + use<>> {
        let rows = self.0.untold.range::<Place>(..).map_err(state_error)?;
        Ok(rows.map(|row| {
            let (place, row) = row.map_err(state_error)?;
            Ok((key_of(place.value()), decode(MARK_FORMAT, row.value())?))
        }))
    }

    /// What holds up the task, or one side of it, as a whole.
    pub fn holds(&self) -> Result<Vec<Hold>> {
        let row = self.fact(HOLDS)?;
        row.map_or(Ok(Vec::new()), |row| decode(HOLDS_FORMAT, &row))
    }

    /// What is kept of the files that the task removed from the disk; `None` when nobody has
    /// counted.
    pub fn recycled(&self) -> Result<Option<Recycled>> {
        let row = self.fact(RECYCLED)?;
        row.map(|row| decode(RECYCLED_FORMAT, &row)).transpose()
    }

    /// How many items failed.
    pub fn problem_count(&self) -> Result<u64> {
        self.0.problems.len().map_err(state_error)
    }

    /// Why an item failed last, unless it changed or succeeded since.
    pub fn problem(&self, key: &Key) -> Result<Option<Problem>> {
        let row = self.0.problems.get(key.place()).map_err(state_error)?;
        row.map(|row| decode(PROBLEM_FORMAT, row.value())).transpose()
    }

    /// The note of an item's unfinished transfer.
    pub fn transfer(&self, key: &Key) -> Result<Option<Vec<u8>>> {
        let row = self.0.transfers.get(key.place()).map_err(state_error)?;
        Ok(row.map(|row| row.value().to_vec()))
    }

    /// Every unfinished transfer's note.
    pub fn transfers(&self) -> Result<impl Iterator<Item = Result<(Key, Vec<u8>)>> + use<>> {
        let range = self.0.transfers.range::<Place>(..).map_err(state_error)?;
        Ok(range.map(|row| {
            let (place, note) = row.map_err(state_error)?;
            Ok((key_of(place.value()), note.value().to_vec()))
        }))
    }

    /// The version of a file that was sent last, if its blocks are known, and these.
    pub fn blocks(&self, key: &Key) -> Result<Option<(Version, Blocks)>> {
        let Some(table) = &self.0.blocks else { return Ok(None) };
        let row = table.get(key.place()).map_err(state_error)?;
        row.map(|row| decode(BLOCKS_FORMAT, row.value())).transpose()
    }

    /// The file that had this inode and is gone from its place, as [`Batch::depart`] noted.
    pub fn departed(&self, inode: u64) -> Result<Option<Key>> {
        Ok(self.0.departed.get(inode).map_err(state_error)?.map(|place| key_of(place.value())))
    }

    /// The file that had this id of the service and is gone from its place, as
    /// [`Batch::depart_remote`] noted.
    pub fn departed_id(&self, id: &str) -> Result<Option<Key>> {
        let place = self.0.departed_ids.get(mark_of(id)).map_err(state_error)?;
        Ok(place.map(|place| key_of(place.value())))
    }

    /// The history, newest first.
    pub fn history(&self) -> Result<impl Iterator<Item = Result<Event>> + use<>> {
        Ok(self.history_before(None)?.map(|line| line.map(|(_, event)| event)))
    }

    /// The lines of the history before the one of this number, newest first, with their numbers.
    pub fn history_before(
        &self,
        number: Option<u64>,
    ) -> Result<impl Iterator<Item = Result<(u64, Event)>> + use<>> {
        let range = self.0.history.range(..number.unwrap_or(u64::MAX)).map_err(state_error)?;
        Ok(range.rev().map(|row| {
            let (number, event) = row.map_err(state_error)?;
            Ok((number.value(), decode(EVENT_FORMAT, event.value())?))
        }))
    }

    /// How many lines the history has.
    pub fn history_length(&self) -> Result<u64> {
        self.0.history.len().map_err(state_error)
    }

    /// A fact about the task as a whole.
    pub fn fact(&self, name: &str) -> Result<Option<Vec<u8>>> {
        Ok(self.0.facts.get(name).map_err(state_error)?.map(|value| value.value().to_vec()))
    }

    /// Files known on a side, by the rows.
    pub fn known_files(&self, side: Side) -> Result<u64> {
        Ok(self.fact(count_name(side))?.map_or(0, |bytes| number(&bytes)))
    }
}

fn keys(
    table: &ReadOnlyTable<Place, ()>,
    after: Option<&Key>,
) -> Result<impl Iterator<Item = Result<Key>> + use<>> {
    let range = table.range::<(u64, &str)>(beyond(after)).map_err(state_error)?;
    Ok(range.map(|row| Ok(key_of(row.map_err(state_error)?.0.value()))))
}

fn beyond(after: Option<&Key>) -> impl RangeBounds<(u64, &str)> {
    (after.map_or(Bound::Unbounded, |key| Bound::Excluded(key.place())), Bound::Unbounded)
}

fn key_of((folder, name): (u64, &str)) -> Key {
    Key { folder, name: name.into() }
}

/// What stands for an id of a service, in a fifth of its bytes. Two ids that share one would cost
/// a transfer, not more: who looks one up compares the ids.
fn mark_of(id: &str) -> u64 {
    let hash = digest(&SHA256, id.as_bytes());
    number(&hash.as_ref()[..8])
}

fn number(bytes: &[u8]) -> u64 {
    bytes.try_into().map_or(0, u64::from_le_bytes)
}

fn count_name(side: Side) -> &'static str {
    match side {
        Side::Local => "local-files",
        Side::Remote => "remote-files",
    }
}

/// Items in the order of their folders' nodes and their names.
pub struct Children {
    range: redb::Range<'static, Place, &'static [u8]>,
}

impl Iterator for Children {
    type Item = Result<(Key, Record)>;

    fn next(&mut self) -> Option<Self::Item> {
        let row = self.range.next()?;
        Some(
            row.map_err(state_error)
                .and_then(|(place, row)| Ok((key_of(place.value()), Record::decode(row.value())?))),
        )
    }
}

/// Changes on their way into the state: kept in memory up to a bound, then written together.
///
/// What is flushed may be lost in a crash until [`Batch::commit`]; then all of it is durable.
/// Dropping a batch keeps what was flushed and loses the rest.
pub struct Batch<'t> {
    trees: &'t Trees,
    rows: BTreeMap<Key, Record>,
    /// What the service calls the items of these rows.
    ids: BTreeMap<Box<str>, Key>,
    events: Vec<Event>,
    problems: BTreeMap<Key, Option<Problem>>,
    told: Vec<Key>,
    transfers: BTreeMap<Key, Option<Vec<u8>>>,
    blocks: BTreeMap<Key, Vec<u8>>,
    facts: BTreeMap<&'static str, Option<Vec<u8>>>,
}

impl Batch<'_> {
    /// A new folder's node.
    pub fn new_node(&mut self) -> Result<u64> {
        let node = self.trees.next_node.fetch_add(1, Relaxed);
        self.set_fact(NEXT_NODE, Some((node + 1).to_le_bytes().to_vec()));
        Ok(node)
    }

    /// An item's facets, this batch's changes included.
    pub fn get(&self, key: &Key) -> Result<Option<Record>> {
        match self.rows.get(key) {
            Some(record) if record.is_void() => Ok(None),
            Some(record) => Ok(Some(record.clone())),
            None => self.trees.snapshot()?.get(key),
        }
    }

    /// The item that the service knows by this id, or knew while it had it, this batch's changes
    /// included.
    pub fn of_id(&self, id: &str) -> Result<Option<(Key, Record)>> {
        if id.is_empty() {
            return Ok(None);
        }
        let key = match self.ids.get(id) {
            Some(key) => Some(key.clone()),
            None => self.trees.snapshot()?.key_of_id(id)?,
        };
        let Some(key) = key else { return Ok(None) };
        let record = self.get(&key)?.filter(|record| record.remote_id() == id);
        Ok(record.map(|record| (key, record)))
    }

    /// The row that a folder's node leads to, this batch's changes included.
    pub fn folder_key(&self, node: u64) -> Result<Option<Key>> {
        let new = self.rows.iter().find(|(_, record)| record.node == node && !record.is_void());
        match new {
            Some((key, _)) => Ok(Some(key.clone())),
            None => self.trees.snapshot()?.folder_key(node),
        }
    }

    /// Replaces an item's facets. A record of nothing removes the row.
    pub fn put(&mut self, key: Key, record: Record) -> Result<()> {
        if record.is_on(Side::Remote) && !record.remote_id().is_empty() {
            self.ids.insert(record.remote_id().into(), key.clone());
        }
        self.rows.insert(key, record);
        self.flush_if_full()
    }

    /// Puts a folder's row, and with it everything in the folder, under another name.
    pub fn rename_folder(&mut self, from: &Key, to: Key) -> Result<()> {
        if let Some(record) = self.get(from)? {
            self.put(from.clone(), Record::new(record.node))?;
            // The old row goes before the new one claims the node.
            self.flush()?;
            self.put(to, record)?;
        }
        Ok(())
    }

    /// Adds a line to the history.
    pub fn event(&mut self, event: Event) -> Result<()> {
        self.events.push(event);
        self.flush_if_full()
    }

    /// Notes why an item failed, or that it doesn't any more.
    pub fn set_problem(&mut self, key: Key, problem: Option<Problem>) -> Result<()> {
        self.problems.insert(key, problem);
        self.flush_if_full()
    }

    /// Why an item failed, this batch's changes included.
    pub fn problem(&self, key: &Key) -> Result<Option<Problem>> {
        match self.problems.get(key) {
            Some(problem) => Ok(problem.clone()),
            None => self.trees.snapshot()?.problem(key),
        }
    }

    /// The history says why an item isn't in sync, or that it is again.
    pub fn tell(&mut self, key: Key) -> Result<()> {
        self.told.push(key);
        self.flush_if_full()
    }

    /// Notes what holds up the task, or one side of it, as a whole.
    pub fn set_holds(&mut self, holds: &[Hold]) -> Result<()> {
        let row = if holds.is_empty() { None } else { Some(encode(HOLDS_FORMAT, &holds)?) };
        self.set_fact(HOLDS, row);
        Ok(())
    }

    /// Notes what is kept of the files that the task removed from the disk.
    pub fn set_recycled(&mut self, recycled: &Recycled) -> Result<()> {
        self.set_fact(RECYCLED, Some(encode(RECYCLED_FORMAT, recycled)?));
        Ok(())
    }

    /// Keeps or drops the note of an item's unfinished transfer.
    pub fn set_transfer(&mut self, key: Key, note: Option<Vec<u8>>) -> Result<()> {
        self.transfers.insert(key, note);
        self.flush_if_full()
    }

    /// Notes the blocks of a file that was agreed on in this version. They are forgotten when it is
    /// so no more.
    pub fn set_blocks(&mut self, key: Key, version: &Version, blocks: &Blocks) -> Result<()> {
        self.blocks.insert(key, encode(BLOCKS_FORMAT, &(version, blocks))?);
        self.flush_if_full()
    }

    /// Sets or drops a fact about the task as a whole.
    pub fn set_fact(&mut self, name: &'static str, value: Option<Vec<u8>>) {
        self.facts.insert(name, value);
    }

    fn flush_if_full(&mut self) -> Result<()> {
        let rows = self.rows.len() + self.events.len() + self.transfers.len() + self.blocks.len();
        let rows = rows + self.problems.len() + self.told.len();
        if rows >= PENDING_ROWS { self.flush() } else { Ok(()) }
    }

    /// Writes what was collected, not yet durably.
    pub fn flush(&mut self) -> Result<()> {
        if self.is_empty() {
            return Ok(());
        }
        self.transact(Durability::None, |_| Ok(()))
    }

    /// Writes what was collected; it and everything that any batch flushed before are durable
    /// afterwards. Writes nothing when there is nothing to write.
    pub fn commit(&mut self) -> Result<()> {
        if self.is_empty() && !self.trees.loose.load(Relaxed) {
            return Ok(());
        }
        self.transact(Durability::Immediate, |_| Ok(()))
    }

    fn is_empty(&self) -> bool {
        self.rows.is_empty()
            && self.events.is_empty()
            && self.problems.is_empty()
            && self.told.is_empty()
            && self.transfers.is_empty()
            && self.blocks.is_empty()
            && self.facts.is_empty()
    }

    /// Notes files that are gone from their place by the inode they had, so that one that turns
    /// up elsewhere is known as moved. Forgets what was noted before.
    pub fn depart(&mut self, files: impl Iterator<Item = Result<(u64, Key)>>) -> Result<()> {
        self.note_departed(DEPARTED, files)
    }

    /// Notes files that are gone from their place on the service by the id they had there,
    /// likewise.
    pub fn depart_remote(
        &mut self,
        files: impl Iterator<Item = Result<(Box<str>, Key)>>,
    ) -> Result<()> {
        let marked = files.map(|file| file.map(|(id, key)| (mark_of(&id), key)));
        self.note_departed(DEPARTED_IDS, marked)
    }

    fn note_departed(
        &mut self,
        table: TableDefinition<'static, u64, Place>,
        files: impl Iterator<Item = Result<(u64, Key)>>,
    ) -> Result<()> {
        self.transact(Durability::None, |tx| {
            tx.delete_table(table).map_err(state_error)?;
            let mut departed = tx.open_table(table).map_err(state_error)?;
            for file in files {
                let (mark, key) = file?;
                departed.insert(mark, key.place()).map_err(state_error)?;
            }
            Ok(())
        })
    }

    /// Takes items off the list of those that need planning, though they aren't clean: nothing
    /// is to be done about them until a side changes, and nothing is wrong with them.
    pub fn leave(&mut self, keys: &[Key]) -> Result<()> {
        self.transact(Durability::None, |tx| {
            let mut dirty = tx.open_table(DIRTY).map_err(state_error)?;
            let mut problems = tx.open_table(PROBLEMS).map_err(state_error)?;
            let mut untold = tx.open_table(UNTOLD).map_err(state_error)?;
            for key in keys {
                dirty.remove(key.place()).map_err(state_error)?;
                let before = drop_problem(&mut problems, key)?;
                note_untold(&mut untold, key, before, None)?;
            }
            Ok(())
        })
    }

    /// Puts every item that isn't clean on the list of those that need planning, because the
    /// rules changed. What was left where it was removed from one side counts as never agreed on,
    /// so that no change of the rules removes it; what couldn't work may work now; and what is in
    /// a folder of the service may not be known any more, though the folder is as it was.
    pub fn reconsider(&mut self) -> Result<()> {
        *self.trees.touched() = Touched::Everything;
        let snapshot = self.trees.snapshot()?;
        for row in snapshot.0.items.iter().map_err(state_error)? {
            let (place, row) = row.map_err(state_error)?;
            let mut record = Record::decode(row.value())?;
            if !record.forget_version() && record.is_clean() {
                continue;
            }
            if record.is_on(Side::Local) != record.is_on(Side::Remote) {
                record.forget_agreement();
            }
            let key = key_of(place.value());
            if let Some(problem) = snapshot.problem(&key)? {
                self.set_problem(key.clone(), Some(Problem { again: Again::Soon, ..problem }))?;
            }
            self.put(key, record)?;
        }
        self.flush()
    }

    fn open_tables(&mut self, base: &Base) -> Result<()> {
        let made = base.begin_read()?.open_table(FACTS).is_ok();
        if made { Ok(()) } else { self.make_tables() }
    }

    fn note_file(&mut self) {
        self.set_fact(FILE, Some(self.trees.opened.load(Relaxed).to_le_bytes().to_vec()));
    }

    fn make_tables(&mut self) -> Result<()> {
        self.note_file();
        self.transact(Durability::Immediate, |tx| {
            tx.open_table(DEPARTED).map_err(state_error)?;
            tx.open_table(DEPARTED_IDS).map_err(state_error)?;
            Ok(())
        })
    }

    fn transact(
        &mut self,
        durability: Durability,
        more: impl FnOnce(&WriteTransaction) -> Result<()>,
    ) -> Result<()> {
        let durable = matches!(durability, Durability::Immediate);
        self.trees.write(|mut tx| {
            tx.set_durability(durability).map_err(state_error)?;
            // Opening after a crash then costs the same as after a clean end.
            tx.set_quick_repair(durable);
            self.write_rows(&tx)?;
            more(&tx)?;
            // Told while nobody else can write, so that another thread's commit can't undo it.
            self.trees.loose.store(!durable, Relaxed);
            tx.commit().map_err(state_error)
        })?;
        self.rows.clear();
        self.ids.clear();
        self.events.clear();
        self.problems.clear();
        self.told.clear();
        self.transfers.clear();
        self.blocks.clear();
        self.facts.clear();
        Ok(())
    }

    fn write_rows(&self, tx: &WriteTransaction) -> Result<()> {
        let mut items = tx.open_table(ITEMS).map_err(state_error)?;
        let mut dirty = tx.open_table(DIRTY).map_err(state_error)?;
        let mut skipped = tx.open_table(SKIPPED).map_err(state_error)?;
        let mut nodes = tx.open_table(NODES).map_err(state_error)?;
        let mut inodes = tx.open_table(INODES).map_err(state_error)?;
        let mut ids = tx.open_table(IDS).map_err(state_error)?;
        let mut problems = tx.open_table(PROBLEMS).map_err(state_error)?;
        let mut untold = tx.open_table(UNTOLD).map_err(state_error)?;
        let mut transfers = tx.open_table(TRANSFERS).map_err(state_error)?;
        let mut blocks = tx.open_table(BLOCKS).map_err(state_error)?;
        let mut history = tx.open_table(HISTORY).map_err(state_error)?;
        let mut facts = tx.open_table(FACTS).map_err(state_error)?;
        let mut counts = [Side::Local, Side::Remote].map(|side| {
            let count = facts.get(count_name(side)).ok().flatten();
            (side, count.map_or(0, |bytes| number(bytes.value())))
        });
        let counts_before = counts;

        for (key, record) in &self.rows {
            let place = key.place();
            let bytes = if record.is_void() { None } else { Some(record.encode()?) };
            let old = match &bytes {
                Some(bytes) => items.insert(place, bytes.as_slice()),
                None => items.remove(place),
            };
            let old = old.map_err(state_error)?.map(|row| Record::decode(row.value()));
            let old = old.transpose()?;
            index_id(key, old.as_ref(), record, &mut ids)?;
            if old.as_ref().is_none_or(|old| !old.is_remotely(record)) {
                self.trees.touch(key);
            }
            if key.kind() == ItemKind::File {
                let before = old.as_ref().and_then(agreed_version);
                if before.is_some() && before != agreed_version(record) {
                    blocks.remove(place).map_err(state_error)?;
                }
                for (side, count) in &mut counts {
                    let before = old.as_ref().is_some_and(|old| old.is_on(*side));
                    let now = record.is_on(*side);
                    *count = (*count + u64::from(now)).saturating_sub(u64::from(before));
                }
            } else {
                index_folder(key, old.as_ref(), record, &mut nodes, &mut inodes)?;
            }
            if record.is_clean() || record.is_void() {
                dirty.remove(place).map_err(state_error)?;
            } else {
                dirty.insert(place, ()).map_err(state_error)?;
            }
            match record.skip {
                Some(_) if bytes.is_some() => skipped.insert(place, ()).map_err(state_error)?,
                _ => skipped.remove(place).map_err(state_error)?,
            };
            let mut before = old.as_ref().and_then(mark_of_skip);
            if old.as_ref() != Some(record) {
                before = drop_outdated(&mut problems, key, record)?.or(before);
            }
            let after = if bytes.is_some() { mark_of_skip(record) } else { None };
            note_untold(&mut untold, key, before, after)?;
        }
        for (key, problem) in &self.problems {
            let before = drop_problem(&mut problems, key)?;
            note_untold(&mut untold, key, before, problem.as_ref().map(mark_of_problem))?;
            if let Some(problem) = problem {
                let row = encode(PROBLEM_FORMAT, problem)?;
                problems.insert(key.place(), row.as_slice()).map_err(state_error)?;
            }
        }
        for key in &self.told {
            untold.remove(key.place()).map_err(state_error)?;
        }
        for (key, note) in &self.transfers {
            match note {
                Some(note) => {
                    transfers.insert(key.place(), note.as_slice()).map_err(state_error)?
                }
                None => transfers.remove(key.place()).map_err(state_error)?,
            };
        }
        for (key, row) in &self.blocks {
            blocks.insert(key.place(), row.as_slice()).map_err(state_error)?;
        }
        let mut line = history.last().map_err(state_error)?.map_or(0, |row| row.0.value());
        for event in &self.events {
            line += 1;
            history.insert(line, encode(EVENT_FORMAT, event)?.as_slice()).map_err(state_error)?;
        }
        if !self.events.is_empty() {
            self.trees.drop_oldest(&mut history)?;
        }
        for (name, value) in &self.facts {
            // Another batch may have taken nodes since, and written so.
            let next = self.trees.next_node.load(Relaxed).to_le_bytes().to_vec();
            let value = if *name == NEXT_NODE { &Some(next) } else { value };
            match value {
                Some(value) => facts.insert(name, value.as_slice()).map_err(state_error)?,
                None => facts.remove(name).map_err(state_error)?,
            };
        }
        if counts != counts_before {
            for (side, count) in counts {
                let bytes = count.to_le_bytes();
                facts.insert(count_name(side), bytes.as_slice()).map_err(state_error)?;
            }
        }
        Ok(())
    }

    /// Drops the oldest lines of the history if fewer are to be kept than there are.
    pub fn trim_history(&mut self) -> Result<()> {
        let lines = self.trees.snapshot()?.0.history.len().map_err(state_error)?;
        if lines <= self.trees.history.load(Relaxed) {
            return Ok(());
        }
        let trees = self.trees;
        self.transact(Durability::None, |tx| {
            trees.drop_oldest(&mut tx.open_table(HISTORY).map_err(state_error)?)
        })
    }
}

fn agreed_version(record: &Record) -> Option<&Version> {
    record.synced.as_ref().map(|synced| &synced.remote.version)
}

fn mark_of_skip(record: &Record) -> Option<Mark> {
    let skip = record.skip.as_ref()?;
    Some(Mark { code: skip.reason.word().into(), since: skip.since })
}

fn mark_of_problem(problem: &Problem) -> Mark {
    Mark { code: problem.kind.clone(), since: problem.since }
}

fn drop_problem(problems: &mut redb::Table<'_, Place, &[u8]>, key: &Key) -> Result<Option<Mark>> {
    let Some(row) = problems.remove(key.place()).map_err(state_error)? else { return Ok(None) };
    Ok(Some(mark_of_problem(&decode(PROBLEM_FORMAT, row.value())?)))
}

/// Whatever was wrong was wrong with what the item was before, but for a folder that can't be
/// listed.
fn drop_outdated(
    problems: &mut redb::Table<'_, Place, &[u8]>,
    key: &Key,
    record: &Record,
) -> Result<Option<Mark>> {
    let row = problems.get(key.place()).map_err(state_error)?;
    let Some(row) = row.map(|row| decode::<Problem>(PROBLEM_FORMAT, row.value())) else {
        return Ok(None);
    };
    let stays = row?.unread.is_some_and(|side| record.is_on(side) && record.skip.is_none());
    if stays { Ok(None) } else { drop_problem(problems, key) }
}

/// Notes how an item was before it came to be skipped or a problem, or ceased to be. How it was
/// when the history last told counts.
fn note_untold(
    untold: &mut redb::Table<'_, Place, &[u8]>,
    key: &Key,
    before: Option<Mark>,
    after: Option<Mark>,
) -> Result<()> {
    let same = before.as_ref().map(|mark| &mark.code) == after.as_ref().map(|mark| &mark.code);
    if same || untold.get(key.place()).map_err(state_error)?.is_some() {
        return Ok(());
    }
    let row = encode(MARK_FORMAT, &before)?;
    untold.insert(key.place(), row.as_slice()).map(drop).map_err(state_error)
}

fn identity_of(file: &Path) -> Box<dyn Fn() -> Result<u64> + Send + Sync> {
    let file = file.to_owned();
    Box::new(move || identity(&file))
}

/// redb panics on some damaged files; they must end one task, not the process.
fn unpanicked<T>(open: impl FnOnce() -> Result<T> + UnwindSafe) -> Result<T> {
    catch_unwind(open)
        .unwrap_or_else(|_| Err(Error::new(Kind::State, "the state", "it is damaged")))
}

fn index_id(
    key: &Key,
    old: Option<&Record>,
    record: &Record,
    ids: &mut redb::Table<'_, u64, Place>,
) -> Result<()> {
    let (before, now) = (old.map_or("", Record::remote_id), record.remote_id());
    let there = record.is_on(Side::Remote);
    let turned_up = there && !old.is_some_and(|old| old.is_on(Side::Remote));
    if before == now && !turned_up {
        return Ok(());
    }
    if before != now && !before.is_empty() {
        let mark = mark_of(before);
        // An item that was moved took its id along.
        let ours = ids.get(mark).map_err(state_error)?.is_some_and(|at| at.value() == key.place());
        if ours {
            ids.remove(mark).map_err(state_error)?;
        }
    }
    // Where an item is counts for more than where it was.
    if !now.is_empty() && (there || ids.get(mark_of(now)).map_err(state_error)?.is_none()) {
        ids.insert(mark_of(now), key.place()).map_err(state_error)?;
    }
    Ok(())
}

fn index_folder(
    key: &Key,
    old: Option<&Record>,
    record: &Record,
    nodes: &mut redb::Table<'_, u64, Place>,
    inodes: &mut redb::Table<'_, u64, u64>,
) -> Result<()> {
    let node = record.node;
    if record.is_void() {
        nodes.remove(node).map_err(state_error)?;
        // A folder that was moved away kept its node findable until the move was dealt with.
        let seen = old.and_then(|old| old.local_print()).map(|print| print.inode);
        let agreed = old.and_then(|old| old.synced.as_ref()).map(|synced| synced.local.inode);
        for inode in [seen, agreed].into_iter().flatten() {
            let own = inodes.get(inode).map_err(state_error)?.map(|known| known.value());
            if own == Some(node) {
                inodes.remove(inode).map_err(state_error)?;
            }
        }
        return Ok(());
    }
    if old.is_none_or(|old| old.node != node) {
        nodes.insert(node, key.place()).map_err(state_error)?;
    }
    let inode = |record: &Record| record.local_print().map(|print| print.inode);
    if let Some(now) = inode(record)
        && old.and_then(inode) != Some(now)
    {
        inodes.insert(now, node).map_err(state_error)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{LocalPrint, RemotePrint, Version};
    use crate::store::Synced;
    use std::fs;

    const FILES: u32 = 24_000;

    fn agreed(number: u32) -> Record {
        let mut record = Record::new(0);
        let local = LocalPrint { size: number.into(), mtime: 5, ctime: 5, inode: number.into() };
        let remote = RemotePrint::file(number.into(), Version::new("v"), None);
        record.agree(Synced { local, remote, content: Some([1; 16]) });
        record
    }

    fn key(number: u32) -> Key {
        // Far from the one before, as what comes of many transfers is.
        Key::new(ROOT, &format!("{:08x} of many files", number.reverse_bits()), ItemKind::File)
    }

    #[test]
    fn a_file_that_has_much_to_spare_gets_smaller_once() {
        let folder = std::env::temp_dir().join(format!("shrink-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let file = folder.join("state.redb");
        let size = || file.metadata().unwrap().len();
        let trees = Trees::open(&file).unwrap();
        for numbers in (0..FILES).collect::<Vec<_>>().chunks(500) {
            let mut batch = trees.batch().unwrap();
            for number in numbers {
                batch.put(key(*number), agreed(*number)).unwrap();
            }
            batch.commit().unwrap();
        }
        let before = size();
        assert!(before >= LEAST_SHRUNK, "{before}");
        trees.shrink().unwrap();
        let shrunk = size();
        assert!(shrunk < before * 3 / 4, "{before}, {shrunk}");
        let modified = || file.metadata().unwrap().modified().unwrap();
        let then = modified();
        trees.shrink().unwrap();
        assert_eq!(modified(), then);
        let snapshot = trees.snapshot().unwrap();
        for number in [0, 1, FILES / 2, FILES - 1] {
            assert!(snapshot.get(&key(number)).unwrap() == Some(agreed(number)));
        }
        drop(snapshot);
        trees.rest();
        assert!(trees.is_resting() && size() < before * 3 / 4, "{before}, {shrunk}, {}", size());
        drop(trees);
        assert_eq!(
            Trees::open(&file).unwrap().snapshot().unwrap().items(None).unwrap().count(),
            FILES as usize
        );
        fs::remove_dir_all(folder).unwrap();
    }
}
