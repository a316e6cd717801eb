//! The planner: what to do about one item, from its three facets and the task's direction.
//!
//! Pure: no I/O, no clock, no state. Each direction has a function and a type of its own; what
//! [`Upward`] can't express, an upload-only task can't do.

use crate::model::ConflictPolicy;
use crate::store::{Facet, Record};

/// What to do about an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step<Op> {
    /// Nothing, until a side changes.
    Nothing,
    /// Nothing yet: something else has to happen first.
    Wait,
    /// Both sides are the same already: agree on it.
    Settle,
    /// Neither side has it any more: forget it.
    Forget,
    /// Read the local file to find out whether it changed.
    Examine,
    /// Do this.
    Do(Op),
    /// A file and a folder want the same name: a person has to rename one.
    Clash,
}

impl<T> Step<T> {
    /// The same step with its operation put in other words.
    pub fn map<U>(self, words: impl FnOnce(T) -> U) -> Step<U> {
        match self {
            Step::Do(op) => Step::Do(words(op)),
            Step::Nothing => Step::Nothing,
            Step::Wait => Step::Wait,
            Step::Settle => Step::Settle,
            Step::Forget => Step::Forget,
            Step::Examine => Step::Examine,
            Step::Clash => Step::Clash,
        }
    }
}

/// What a task may do to its remote side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Upward {
    /// Send a file where there is none.
    Create,
    /// Send a file over the version that was agreed on or seen.
    Replace,
    /// Send a file over one that isn't known to be the same: find out; if it differs, keep the
    /// remote one under a conflict name on the remote side first.
    Resolve,
    /// Make a folder.
    MakeFolder,
    /// Remove a file.
    Remove,
    /// Remove a folder that is empty by then.
    RemoveFolder,
}

/// What a task may do to its local side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Downward {
    /// Fetch a file where there is none.
    Create,
    /// Fetch a file over the one that was agreed on.
    Replace,
    /// Fetch a file over one that isn't known to be the same: find out; if it differs, keep the
    /// local one under a conflict name first.
    Resolve,
    /// Make a folder.
    MakeFolder,
    /// Remove a file.
    Remove,
    /// Remove a folder that is empty by then.
    RemoveFolder,
}

/// What a two-way task may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// To the remote side.
    Up(Upward),
    /// To the local side.
    Down(Downward),
    /// Both sides have it and aren't known to be the same: find out; if they differ, the one that
    /// this says keeps the name, and the other one is kept too.
    Merge(ConflictPolicy),
}

impl Op {
    /// Whether it removes something: such steps come last.
    pub fn removes(self) -> bool {
        matches!(
            self,
            Op::Up(Upward::Remove | Upward::RemoveFolder)
                | Op::Down(Downward::Remove | Downward::RemoveFolder)
        )
    }
}

/// What has to be known of an item to plan it.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// Its facets.
    pub record: &'a Record,
    /// Whether an item of the same name but the other kind is on the local side.
    pub twin_local: bool,
    /// Whether an item of the same name but the other kind is on the remote side.
    pub twin_remote: bool,
    /// Whether that item is there to stay on both counts: agreed on or new, not on its way out.
    pub twin_stays: bool,
    /// Whether the folder comes into being on the remote side with what is put into it.
    pub made_by_children: bool,
    /// The task never removes at the destination.
    pub keep_removed: bool,
    /// Which content keeps its name in a conflict of a two-way task.
    pub conflict: ConflictPolicy,
    /// Whether the service keeps times of modification: elsewhere its times are those of its own
    /// clock, which say nothing about contents.
    pub keeps_mtime: bool,
}

/// How one side of an item stands towards what was agreed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stand {
    Absent,
    Same,
    Changed,
    Gone,
}

fn stand<P>(facet: &Facet<P>, agreed: bool) -> Stand {
    match facet {
        Facet::AsSynced if agreed => Stand::Same,
        Facet::AsSynced => Stand::Absent,
        Facet::Gone => Stand::Gone,
        Facet::Suspect(_) | Facet::Now(_) => Stand::Changed,
    }
}

impl View<'_> {
    fn stands(&self) -> (Stand, Stand) {
        let agreed = self.record.synced.is_some();
        (stand(&self.record.local, agreed), stand(&self.record.remote, agreed))
    }

    fn is_folder(&self) -> bool {
        self.record.node != 0
    }

    fn is_suspect(&self) -> bool {
        matches!(self.record.local, Facet::Suspect(_))
    }

    /// A step that puts something new on the remote side has to find the name free of the other
    /// kind. What replaces something has its name already.
    fn up<T>(&self, op: T) -> Step<T> {
        self.unless_taken(self.twin_remote, op)
    }

    /// Likewise for the local side.
    fn down<T>(&self, op: T) -> Step<T> {
        self.unless_taken(self.twin_local, op)
    }

    fn unless_taken<T>(&self, taken: bool, op: T) -> Step<T> {
        match (taken, self.twin_stays) {
            (false, _) => Step::Do(op),
            (true, false) => Step::Wait,
            (true, true) => Step::Clash,
        }
    }

    fn merge(&self) -> Op {
        Op::Merge(match self.conflict {
            ConflictPolicy::Newer if !self.keeps_mtime => ConflictPolicy::Local,
            policy => policy,
        })
    }

    fn remove<T>(&self, op: T) -> Step<T> {
        if self.keep_removed { Step::Nothing } else { Step::Do(op) }
    }
}

/// Plans an item of a two-way task.
pub fn both(view: &View<'_>) -> Step<Op> {
    use Stand::*;
    let stands = view.stands();
    if view.is_folder() {
        return match stands {
            (Absent | Gone, Absent | Gone) => Step::Forget,
            (Same | Changed, Same | Changed) => Step::Settle,
            (Changed | Same, Absent) if view.made_by_children => Step::Wait,
            (Changed, Gone) if view.made_by_children => Step::Wait,
            (Changed | Same, Absent) | (Changed, Gone) => view.up(Op::Up(Upward::MakeFolder)),
            (Absent, Changed | Same) | (Gone, Changed) => view.down(Op::Down(Downward::MakeFolder)),
            (Gone, Same) => view.remove(Op::Up(Upward::RemoveFolder)),
            (Same, Gone) => view.remove(Op::Down(Downward::RemoveFolder)),
        };
    }
    if view.is_suspect() {
        return Step::Examine;
    }
    match stands {
        (Same, Same) => Step::Nothing,
        (Absent | Gone, Absent | Gone) => Step::Forget,
        (Changed, Absent | Gone) | (Same, Absent) => view.up(Op::Up(Upward::Create)),
        (Changed, Same) => Step::Do(Op::Up(Upward::Replace)),
        (Absent | Gone, Changed) | (Absent, Same) => view.down(Op::Down(Downward::Create)),
        (Same, Changed) => Step::Do(Op::Down(Downward::Replace)),
        (Changed, Changed) => Step::Do(view.merge()),
        (Gone, Same) => view.remove(Op::Up(Upward::Remove)),
        (Same, Gone) => view.remove(Op::Down(Downward::Remove)),
    }
}

/// Plans an item of an upload-only task: only local changes count.
pub fn upload(view: &View<'_>) -> Step<Upward> {
    use Stand::*;
    let stands = view.stands();
    if view.is_folder() {
        return match stands {
            (Absent | Gone, Absent | Gone) => Step::Forget,
            (Same | Changed, Same | Changed) => Step::Settle,
            (Changed, Absent | Gone) | (Same, Absent) if view.made_by_children => Step::Wait,
            (Changed, Absent | Gone) | (Same, Absent) => view.up(Upward::MakeFolder),
            (Gone, Same) => view.remove(Upward::RemoveFolder),
            (Same, Gone) | (Absent, _) | (Gone, Changed) => Step::Nothing,
        };
    }
    if view.is_suspect() {
        return Step::Examine;
    }
    match stands {
        (Absent | Gone, Absent | Gone) => Step::Forget,
        (Changed, Absent | Gone) => view.up(Upward::Create),
        (Changed, Same) => Step::Do(Upward::Replace),
        (Changed, Changed) => Step::Do(Upward::Resolve),
        (Gone, Same) => view.remove(Upward::Remove),
        (Same | Absent, _) | (Gone, Changed) => Step::Nothing,
    }
}

/// Plans an item of a download-only task: only remote changes count.
pub fn download(view: &View<'_>) -> Step<Downward> {
    use Stand::*;
    let stands = view.stands();
    if view.is_folder() {
        return match stands {
            (Absent | Gone, Absent | Gone) => Step::Forget,
            (Same | Changed, Same | Changed) => Step::Settle,
            (Absent | Gone, Changed) | (Absent, Same) => view.down(Downward::MakeFolder),
            (Same, Gone) => view.remove(Downward::RemoveFolder),
            (Gone, Same) | (_, Absent) | (Changed, Gone) => Step::Nothing,
        };
    }
    if view.is_suspect() {
        return Step::Examine;
    }
    match stands {
        (Absent | Gone, Absent | Gone) => Step::Forget,
        (Absent | Gone, Changed) => view.down(Downward::Create),
        (Same, Changed) => Step::Do(Downward::Replace),
        (Changed, Changed) => Step::Do(Downward::Resolve),
        (Same, Gone) => view.remove(Downward::Remove),
        (_, Same | Absent) | (Changed, Gone) => Step::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{LocalPrint, RemotePrint, Version};
    use crate::store::Synced;
    use ConflictPolicy::*;

    fn agreed() -> Record {
        let mut record = Record::new(0);
        let remote = RemotePrint::file(3, Version::new("v1"), Some(1));
        record.agree(Synced { local: LocalPrint::default(), remote, content: Some([7; 16]) });
        record
    }

    /// Every pair of stands of a file, without and with an agreement.
    fn stands() -> Vec<(Stand, Stand, Record)> {
        let new = (
            LocalPrint { size: 5, ..LocalPrint::default() },
            RemotePrint::file(6, Version::new("v2"), Some(2)),
        );
        let mut all = Vec::new();
        for known in [Record::new(0), agreed()] {
            for local in [None, Some(Facet::Gone), Some(Facet::Now(new.0))] {
                for remote in [None, Some(Facet::Gone), Some(Facet::Now(new.1.clone()))] {
                    let mut record = known.clone();
                    record.local = local.clone().unwrap_or(Facet::AsSynced);
                    record.remote = remote.unwrap_or(Facet::AsSynced);
                    let (here, there) = view(&record, Local, true).stands();
                    all.push((here, there, record));
                }
            }
        }
        all
    }

    fn view(record: &Record, conflict: ConflictPolicy, keeps_mtime: bool) -> View<'_> {
        View {
            record,
            twin_local: false,
            twin_remote: false,
            twin_stays: false,
            made_by_children: false,
            keep_removed: false,
            conflict,
            keeps_mtime,
        }
    }

    /// What a two-way, an upload-only and a download-only task do.
    type Row = (Stand, Stand, Step<Op>, Step<Upward>, Step<Downward>);

    /// Everything that can become of a file: Absent is never agreed on, Same and Gone were.
    fn files() -> Vec<Row> {
        use Stand::{Absent, Changed, Gone, Same};
        use Step::{Do, Forget, Nothing};
        let up = |op| Do(Op::Up(op));
        let down = |op| Do(Op::Down(op));
        vec![
            (Absent, Absent, Forget, Forget, Forget),
            (Changed, Absent, up(Upward::Create), Do(Upward::Create), Nothing),
            (Absent, Changed, down(Downward::Create), Nothing, Do(Downward::Create)),
            (Changed, Changed, Do(Op::Merge(Local)), Do(Upward::Resolve), Do(Downward::Resolve)),
            (Same, Same, Nothing, Nothing, Nothing),
            (Gone, Gone, Forget, Forget, Forget),
            (Changed, Same, up(Upward::Replace), Do(Upward::Replace), Nothing),
            (Same, Changed, down(Downward::Replace), Nothing, Do(Downward::Replace)),
            (Gone, Same, up(Upward::Remove), Do(Upward::Remove), Nothing),
            (Same, Gone, down(Downward::Remove), Nothing, Do(Downward::Remove)),
            (Changed, Gone, up(Upward::Create), Do(Upward::Create), Nothing),
            (Gone, Changed, down(Downward::Create), Nothing, Do(Downward::Create)),
        ]
    }

    /// Likewise of a folder; what it holds isn't part of it, so it can't be changed once agreed on.
    fn folders() -> Vec<Row> {
        use Stand::{Absent, Changed, Gone, Same};
        use Step::{Do, Forget, Nothing, Settle};
        let up = |op| Do(Op::Up(op));
        let down = |op| Do(Op::Down(op));
        vec![
            (Absent, Absent, Forget, Forget, Forget),
            (Changed, Absent, up(Upward::MakeFolder), Do(Upward::MakeFolder), Nothing),
            (Absent, Changed, down(Downward::MakeFolder), Nothing, Do(Downward::MakeFolder)),
            (Changed, Changed, Settle, Settle, Settle),
            (Same, Same, Settle, Settle, Settle),
            (Gone, Gone, Forget, Forget, Forget),
            (Gone, Same, up(Upward::RemoveFolder), Do(Upward::RemoveFolder), Nothing),
            (Same, Gone, down(Downward::RemoveFolder), Nothing, Do(Downward::RemoveFolder)),
            (Changed, Gone, up(Upward::MakeFolder), Do(Upward::MakeFolder), Nothing),
            (Gone, Changed, down(Downward::MakeFolder), Nothing, Do(Downward::MakeFolder)),
        ]
    }

    /// A record whose sides stand so.
    fn record(node: u64, local: Stand, remote: Stand) -> Record {
        let known = [local, remote].iter().any(|side| matches!(side, Stand::Same | Stand::Gone));
        let mut record = if known { agreed() } else { Record::new(0) };
        record.node = node;
        record.local = facet(local, LocalPrint { size: 5, ..LocalPrint::default() });
        record.remote = facet(remote, RemotePrint::file(6, Version::new("v2"), Some(2)));
        record
    }

    fn facet<P>(stand: Stand, print: P) -> Facet<P> {
        match stand {
            Stand::Absent | Stand::Same => Facet::AsSynced,
            Stand::Changed => Facet::Now(print),
            Stand::Gone => Facet::Gone,
        }
    }

    /// Every row with its record.
    fn rows() -> impl Iterator<Item = (Record, Row)> {
        let all = files().into_iter().map(|row| (0, row));
        let all = all.chain(folders().into_iter().map(|row| (7, row)));
        all.map(|(node, row)| (record(node, row.0, row.1), row))
    }

    fn removes(op: &Op) -> bool {
        matches!(
            op,
            Op::Up(Upward::Remove | Upward::RemoveFolder)
                | Op::Down(Downward::Remove | Downward::RemoveFolder)
        )
    }

    #[test]
    fn each_direction_does_what_its_table_says() {
        for (record, row) in rows() {
            let view = view(&record, Local, true);
            assert_eq!((view.stands(), both(&view)), ((row.0, row.1), row.2), "{row:?}");
            assert_eq!((upload(&view), download(&view)), (row.3, row.4), "{row:?}");
        }
    }

    #[test]
    fn what_is_kept_is_not_removed_and_all_else_is_as_ever() {
        for (record, row) in rows() {
            let view = View { keep_removed: true, ..view(&record, Local, true) };
            let expected = match row.2 {
                Step::Do(op) if removes(&op) => (Step::Nothing, Step::Nothing, Step::Nothing),
                step => (step, row.3, row.4),
            };
            assert_eq!((both(&view), upload(&view), download(&view)), expected, "{row:?}");
        }
    }

    #[test]
    fn a_name_that_the_other_kind_has_is_waited_for_or_told() {
        for (record, row) in rows() {
            for (side, stays) in [(true, false), (true, true), (false, false), (false, true)] {
                let usual = view(&record, Local, true);
                let view =
                    View { twin_remote: side, twin_local: !side, twin_stays: stays, ..usual };
                let instead = |takes: bool| {
                    let step = if stays { Step::Clash } else { Step::Wait };
                    takes.then_some(step)
                };
                let adds_up =
                    matches!(row.2, Step::Do(Op::Up(Upward::Create | Upward::MakeFolder)));
                let adds_down =
                    matches!(row.2, Step::Do(Op::Down(Downward::Create | Downward::MakeFolder)));
                let expected = instead(side && adds_up || !side && adds_down).unwrap_or(row.2);
                assert_eq!(both(&view), expected, "{row:?}");
                if side && adds_up {
                    assert_eq!(upload(&view), expected.map(|_| Upward::Create), "{row:?}");
                }
                if !side && adds_down {
                    assert_eq!(download(&view), expected.map(|_| Downward::Create), "{row:?}");
                }
            }
        }
    }

    #[test]
    fn a_folder_that_comes_with_its_contents_is_not_made() {
        for (record, row) in rows() {
            let view = View { made_by_children: true, ..view(&record, Local, true) };
            let waits = matches!(row.2, Step::Do(Op::Up(Upward::MakeFolder)));
            let expected = if waits { (Step::Wait, Step::Wait) } else { (row.2, row.3) };
            assert_eq!((both(&view), upload(&view)), expected, "{row:?}");
        }
    }

    #[test]
    fn a_touched_file_is_read_before_anything_is_decided() {
        for remote in [Stand::Same, Stand::Changed, Stand::Gone] {
            let mut record = record(0, Stand::Changed, remote);
            record.local = Facet::Suspect(LocalPrint::default());
            let view = view(&record, Local, true);
            let steps = (both(&view), upload(&view), download(&view));
            assert_eq!(steps, (Step::Examine, Step::Examine, Step::Examine), "{remote:?}");
        }
    }

    #[test]
    fn only_removals_come_last() {
        for (_, row) in rows() {
            if let Step::Do(op) = row.2 {
                assert_eq!(op.removes(), removes(&op), "{op:?}");
            }
        }
    }

    #[test]
    fn a_policy_decides_nothing_but_conflicts() {
        for (here, there, record) in stands() {
            let usual = both(&view(&record, Local, true));
            for policy in [Local, Remote, Newer, Both] {
                for keeps_mtime in [true, false] {
                    let expected = match (here, there, policy) {
                        (Stand::Changed, Stand::Changed, Newer) if !keeps_mtime => {
                            Step::Do(Op::Merge(Local))
                        }
                        (Stand::Changed, Stand::Changed, policy) => Step::Do(Op::Merge(policy)),
                        _ => usual,
                    };
                    let step = both(&view(&record, policy, keeps_mtime));
                    assert_eq!(step, expected, "{here:?} {there:?} {policy:?}");
                }
            }
        }
    }

    #[test]
    fn an_edit_beats_a_deletion_whatever_the_policy() {
        for (here, there, record) in stands() {
            let expected = match (here, there) {
                (Stand::Changed, Stand::Gone) => Step::Do(Op::Up(Upward::Create)),
                (Stand::Gone, Stand::Changed) => Step::Do(Op::Down(Downward::Create)),
                _ => continue,
            };
            for policy in [Local, Remote, Newer, Both] {
                assert_eq!(both(&view(&record, policy, true)), expected, "{policy:?}");
            }
        }
    }

    #[test]
    fn one_way_tasks_have_no_policy() {
        for (here, there, record) in stands() {
            for policy in [Remote, Newer, Both] {
                let (usual, other) = (view(&record, Local, true), view(&record, policy, true));
                assert_eq!(upload(&usual), upload(&other), "{here:?} {there:?} {policy:?}");
                assert_eq!(download(&usual), download(&other), "{here:?} {there:?} {policy:?}");
            }
        }
    }
}
