//! Histories that broke a promise once, kept as they were found. Written out, as a seed means
//! another history whenever what is generated changes.

use super::disk::{Format, Instead, Odd};
use super::script::Act::*;
use super::script::Step::*;
use super::script::{Change, Content, LeaveOut, Path, Script, Step, Trouble, Wide, World};
use mooring::model::{ConflictPolicy, Direction, Side::*};
use mooring::remote::Special;

/// A kept history.
pub struct Story {
    pub name: &'static str,
    pub world: World,
    pub steps: Vec<Step>,
}

impl Story {
    pub fn script(self) -> Script {
        Script { world: self.world, steps: self.steps }
    }
}

/// A history in the form in which it is kept below.
pub fn written(script: &Script) -> String {
    let in_full = [
        ("meanwhile: [", "meanwhile: vec!["),
        ("look: ", "look: Wide::"),
        ("direction: ", "direction: Direction::"),
        ("conflict: ", "conflict: ConflictPolicy::"),
        ("Fail(", "Fail(Trouble::"),
        ("Change(", "Change(Change::"),
        ("Direction(", "Direction(Direction::"),
        ("Conflict(", "Conflict(ConflictPolicy::"),
        ("Refused(", "Refused(Kind::"),
        ("Filter(", "Filter(LeaveOut::"),
    ];
    let as_code =
        |debug: String| in_full.iter().fold(debug, |code, (short, long)| code.replace(short, long));
    let mut code = String::from("        Story {\n            name: \"\",\n");
    code.push_str(&format!("            world: {},\n", as_code(format!("{:?}", script.world))));
    code.push_str("            steps: vec![\n");
    for step in &script.steps {
        code.push_str(&format!("                {},\n", as_code(format!("{step:?}"))));
    }
    code + "            ],\n        },"
}

/// What most histories don't depend on.
const PLAIN: World = World {
    twin: "webdav",
    direction: Direction::Both,
    keep_removed: false,
    conflict: ConflictPolicy::Local,
    checks: false,
    approves: true,
    format: Format { links: true, tick: 4_000_000, reuses_inodes: true },
    workers: 1,
    seed: 0,
};

/// All of them, each with what went wrong in it.
pub fn stories() -> Vec<Story> {
    vec![
        // Both sides change a file, and the one that wins is too large for the service: the loser
        // was fetched again in every cycle.
        Story {
            name: "winner-refused",
            world: World { twin: "webdav-plain", ..PLAIN },
            steps: vec![
                Act(Save(Path("z"), Content(579))),
                Act(Write(Remote, Path("z"), Content(590))),
                Calm,
            ],
        },
        // A folder on the service is given the name that a file has, where both may be: neither
        // was brought here, and nobody was told.
        Story {
            name: "file-and-folder-of-one-name",
            world: World { twin: "google-drive", ..PLAIN },
            steps: vec![
                Act(Write(Remote, Path("z"), Content(98))),
                Act(MakeFolder(Remote, Path("x"))),
                Act(Rename(Remote, Path("x"), Path("z"))),
                Calm,
            ],
        },
        // A file is written on the service while the one that the disk has is sent, then the state
        // is lost: the one content was there twice.
        Story {
            name: "namesake-after-lost-state",
            world: World { twin: "google-drive", seed: 3314, ..PLAIN },
            steps: vec![
                Cycle { look: Wide::Everything, meanwhile: vec![] },
                Act(Write(Local, Path("c/A/y"), Content(228))),
                Cycle {
                    look: Wide::TouchedAndRemote,
                    meanwhile: vec![(0, Write(Remote, Path("c/A/y"), Content(291)))],
                },
                LoseState,
                Calm,
            ],
        },
        // A file that a listing didn't tell any more is there when it is looked at, in a folder that
        // is removed meanwhile: its row stayed without that of the folder, and no cycle could begin.
        Story {
            name: "row-without-its-folder",
            world: World { twin: "swift", ..PLAIN },
            steps: vec![
                Act(Write(Remote, Path("b/c/z"), Content(89))),
                Act(Write(Local, Path("A/b/z"), Content(287))),
                Cycle { look: Wide::Touched, meanwhile: vec![] },
                Cycle {
                    look: Wide::Everything,
                    meanwhile: vec![(25, Remove(Local, Path("A/b/z")))],
                },
                Calm,
            ],
        },
        // A folder is moved into one that isn't told of yet, and is gone for a moment: what is in
        // it was never looked at again.
        Story {
            name: "moved-out-of-sight",
            world: World { twin: "onedrive", ..PLAIN },
            steps: vec![
                Act(Write(Remote, Path("b/c/b"), Content(132))),
                Cycle { look: Wide::Touched, meanwhile: vec![] },
                Act(Rename(Remote, Path("b"), Path("A/a/x"))),
                Calm,
            ],
        },
        // A folder is removed here while something new comes into it there, and a file has its name
        // by now: both waited for each other, and nobody was told.
        Story {
            name: "no-room-to-come-back",
            world: World { twin: "swift", ..PLAIN },
            steps: vec![
                Act(Write(Remote, Path("b"), Content(69))),
                Act(Write(Local, Path("b/y"), Content(182))),
                Cycle { look: Wide::Everything, meanwhile: vec![] },
                Act(Remove(Local, Path("b"))),
                Act(Write(Remote, Path("b/c/a"), Content(482))),
                Calm,
            ],
        },
        // The service writes the accent of a name in its own way, and the state is lost: two files
        // here were agreed on with the same one there.
        Story {
            name: "accents-without-a-state",
            world: World { twin: "nextcloud", ..PLAIN },
            steps: vec![
                Act(Save(Path("c/c/e\u{301}"), Content(144))),
                Cycle { look: Wide::TouchedAndRemote, meanwhile: vec![] },
                LoseState,
                Calm,
            ],
        },
        // An upload is cut short by a power cut, on a server that keeps such things, in a task where
        // the service wins conflicts: half a file got the name of the whole one.
        Story {
            name: "half-a-file-wins",
            world: World {
                twin: "webdav-plain",
                conflict: ConflictPolicy::Remote,
                seed: 2344,
                ..PLAIN
            },
            steps: vec![
                Act(Write(Remote, Path("b"), Content(254))),
                Act(Write(Remote, Path("c/b/a"), Content(271))),
                Cycle { look: Wide::Everything, meanwhile: vec![] },
                Act(Write(Local, Path("c/x"), Content(331))),
                Act(Write(Local, Path("A/a/x"), Content(400))),
                Act(Write(Local, Path("A/y"), Content(466))),
                Cycle { look: Wide::Touched, meanwhile: vec![(70, PowerCut)] },
                Calm,
            ],
        },
        // The listing is behind, and the file that it doesn't tell is asked for: its folder counted
        // as gone still, so that nothing in it was looked at again.
        Story {
            name: "listing-behind",
            world: World { twin: "swift", conflict: ConflictPolicy::Both, seed: 11990, ..PLAIN },
            steps: vec![
                Act(Write(Local, Path("~t"), Content(84))),
                Act(Write(Local, Path("b/b"), Content(143))),
                Act(MakeFolder(Local, Path("a"))),
                Cycle { look: Wide::Everything, meanwhile: vec![] },
                Cycle { look: Wide::Everything, meanwhile: vec![(25, Remove(Remote, Path("b")))] },
                Calm,
            ],
        },
        // The root on the service is away while a file that it had is fetched, and comes back with the
        // version that it had: the file counted as removed.
        Story {
            name: "root-back-as-it-was",
            world: World { twin: "nextcloud", seed: 101427, ..PLAIN },
            steps: vec![
                Cycle { look: Wide::Everything, meanwhile: vec![] },
                Act(Write(Remote, Path("b/a/y"), Content(157))),
                Cycle { look: Wide::Remote, meanwhile: vec![(29, Kill)] },
                RootAway(Remote, Instead::Empty),
                Cycle { look: Wide::Touched, meanwhile: vec![] },
                Calm,
            ],
        },
        // A file on the service is beyond the limits of both the service and the task: each look
        // wrote down another one.
        Story {
            name: "two-limits",
            world: World { twin: "azure", seed: 98226, ..PLAIN },
            steps: vec![
                Act(Write(Remote, Path("b"), Content(147))),
                Change(Change::Filter(LeaveOut::Larger(100))),
                Act(Write(Local, Path("b"), Content(376))),
                Calm,
            ],
        },
        // A folder can't be made because a file has its name on the service, which goes by another
        // here: it was tried again in each pass of each cycle.
        Story {
            name: "taken-by-a-namesake",
            world: World { twin: "google-drive", approves: false, seed: 116879, ..PLAIN },
            steps: vec![
                Act(MakeSpecial(Path("a"), Special::Closed)),
                Act(MakeFolder(Local, Path("a/z"))),
                Act(WriteNamesake(Path("a"), Content(190))),
                Calm,
                Cycle { look: Wide::Everything, meanwhile: vec![(15, Remove(Remote, Path("a")))] },
                Calm,
            ],
        },
        // A folder is gone from the service, and one of the same name in other letters new here: what
        // was in the first was asked for by its path, and the second answered.
        Story {
            name: "answered-by-a-case-twin",
            world: World { twin: "webdav-plain", seed: 192077, ..PLAIN },
            steps: vec![
                Act(Write(Remote, Path("A/z"), Content(160))),
                Cycle { look: Wide::TouchedAndRemote, meanwhile: vec![] },
                Act(Write(Local, Path("a/z"), Content(407))),
                Act(Rename(Remote, Path("a"), Path("c/x"))),
                Cycle { look: Wide::TouchedAndRemote, meanwhile: vec![] },
                Calm,
            ],
        },
        // A folder with files that a filter leaves out gives way to a file on the service: that both
        // want one name was forgotten and found out again in each cycle.
        Story {
            name: "a-clash-is-told-once",
            world: World { seed: 165848, ..PLAIN },
            steps: vec![
                Act(Write(Remote, Path("a/y"), Content(72))),
                Act(Write(Local, Path("a/a/x"), Content(306))),
                Cycle { look: Wide::Touched, meanwhile: vec![] },
                Change(Change::Filter(LeaveOut::Names("?"))),
                Act(Remove(Remote, Path("a"))),
                Cycle {
                    look: Wide::Touched,
                    meanwhile: vec![(5, Write(Remote, Path("a"), Content(669)))],
                },
                Calm,
            ],
        },
        // A file is written to while it is given the name that it has on the service by now: what was
        // written counted as known.
        Story {
            name: "written-while-it-is-moved",
            world: World {
                twin: "dropbox",
                conflict: ConflictPolicy::Both,
                approves: false,
                format: Format { reuses_inodes: false, ..PLAIN.format },
                seed: 336558,
                ..PLAIN
            },
            steps: vec![
                Act(MakeOdd(Path("c/a"), Odd::Link)),
                Act(Write(Local, Path("y"), Content(137))),
                Cycle {
                    look: Wide::Touched,
                    meanwhile: vec![(16, Write(Local, Path("b/x"), Content(247)))],
                },
                Restart,
                Act(Rename(Remote, Path("y"), Path("x"))),
                Cycle {
                    look: Wide::Everything,
                    meanwhile: vec![
                        (0, Write(Local, Path("a/b"), Content(297))),
                        (35, Write(Local, Path("y"), Content(327))),
                    ],
                },
                Calm,
            ],
        },
        // A conflict's loser is kept and the winner fails to arrive; a folder has its name, too: from
        // then on, the file waited for the folder to go.
        Story {
            name: "a-folder-beside-the-conflict",
            world: World {
                twin: "google-drive",
                direction: Direction::Upload,
                format: Format { reuses_inodes: false, ..PLAIN.format },
                seed: 369784,
                ..PLAIN
            },
            steps: vec![
                Act(Save(Path("a"), Content(192))),
                Act(WriteNamesake(Path("b/c/b"), Content(273))),
                Act(Write(Local, Path("b"), Content(374))),
                Act(WriteNamesake(Path("b"), Content(406))),
                Cycle { look: Wide::Everything, meanwhile: vec![(58, Fail(Trouble::Offline, 2))] },
                Calm,
            ],
        },
        // Many files are gone from the service, and here they look as if something had touched them:
        // they were read, and removed at once, as nobody had counted them.
        Story {
            name: "touched-and-removed",
            world: World { approves: false, seed: 380330, ..PLAIN },
            steps: vec![
                Act(Many(Remote, Path("b"), 140, Content(14792))),
                Cycle { look: Wide::Everything, meanwhile: vec![] },
                Cycle {
                    look: Wide::TouchedAndRemote,
                    meanwhile: vec![(0, Remove(Remote, Path("b")))],
                },
                Calm,
            ],
        },
        // A folder that was taken out of the task is brought back by another name, and one of this name
        // is wanted before the feed tells: it was taken for made, and what is in it for known.
        Story {
            name: "found-not-made",
            world: World { twin: "google-drive", seed: 440646, ..PLAIN },
            steps: vec![
                Act(Write(Remote, Path("A/a/z"), Content(316))),
                Cycle { look: Wide::TouchedAndRemote, meanwhile: vec![(21, TakeOut(Path("A/a")))] },
                Calm,
                Act(BringBack(Path("b"))),
                Act(Save(Path("b/a/z"), Content(632))),
                Cycle { look: Wide::Everything, meanwhile: vec![] },
                Calm,
            ],
        },
        // A conflict's loser is kept, the account is full, and the state is lost: kept once more, it got
        // another name, as a listing doesn't tell of what time it is.
        Story {
            name: "one-name-for-a-loser",
            world: World {
                twin: "swift",
                direction: Direction::Upload,
                checks: true,
                seed: 636472,
                ..PLAIN
            },
            steps: vec![
                Act(Write(Local, Path("a"), Content(116))),
                Act(Write(Local, Path("A/x"), Content(175))),
                Act(Write(Remote, Path("b/z"), Content(222))),
                Act(Write(Local, Path("b/c/a"), Content(299))),
                Act(Save(Path("b/z"), Content(439))),
                Act(Quota(38)),
                Cycle { look: Wide::Touched, meanwhile: vec![] },
                LoseState,
                Calm,
            ],
        },
        // Folders are removed while another root is in the place of the one on the service, which comes
        // back with the version that it had: they counted as gone.
        Story {
            name: "removed-from-another-root",
            world: World {
                twin: "nextcloud",
                format: Format { reuses_inodes: false, ..PLAIN.format },
                seed: 732486,
                ..PLAIN
            },
            steps: vec![
                Act(MakeOdd(Path("a/A/b"), Odd::Pipe)),
                Cycle {
                    look: Wide::Remote,
                    meanwhile: vec![(6, Rename(Local, Path("a"), Path("z")))],
                },
                Act(Remove(Local, Path("z"))),
                Cycle { look: Wide::Remote, meanwhile: vec![] },
                RootAway(Remote, Instead::Filled),
                Cycle { look: Wide::Touched, meanwhile: vec![] },
                Calm,
            ],
        },
        // Something is removed on the service from a folder just before we rename that there: told by
        // a path that nothing has here any more, it counted as unknown.
        Story {
            name: "gone-before-its-folder-was-renamed",
            world: World {
                twin: "dropbox",
                conflict: ConflictPolicy::Remote,
                format: Format { reuses_inodes: false, ..PLAIN.format },
                seed: 905138,
                ..PLAIN
            },
            steps: vec![
                Act(Write(Local, Path("a/a/a"), Content(65))),
                Act(Write(Remote, Path("b/z"), Content(130))),
                Cycle {
                    look: Wide::Everything,
                    meanwhile: vec![(11, Write(Remote, Path("b/A/a"), Content(428)))],
                },
                Act(Rename(Local, Path("a"), Path("b/y"))),
                Cycle {
                    look: Wide::Everything,
                    meanwhile: vec![(23, Remove(Remote, Path("A/a")))],
                },
                Restart,
                Calm,
            ],
        },
        // The power fails while names are made durable here, right after files were removed on the
        // service: their removal counted as failed, of an item that nobody knows.
        Story {
            name: "names-not-durable-beside-removals",
            world: World {
                twin: "webdav",
                format: Format { reuses_inodes: false, ..PLAIN.format },
                approves: true,
                seed: 6056,
                ..PLAIN
            },
            steps: vec![
                Act(Write(Remote, Path("a/y"), Content(91))),
                Act(Write(Local, Path("A/z"), Content(130))),
                Cycle { look: Wide::Everything, meanwhile: vec![] },
                Act(Remove(Local, Path("a"))),
                Act(Write(Remote, Path("b"), Content(312))),
                Act(Write(Remote, Path("y"), Content(286))),
                Cycle { look: Wide::Everything, meanwhile: vec![(67, Kill)] },
                Calm,
            ],
        },
    ]
}
