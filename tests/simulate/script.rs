//! A history as data, made of a seed: what kind of world it is played in, and what happens there.
//!
//! Nothing in it depends on what Mooring does, so that any part can be left out to find the
//! shortest history that still fails.

use super::common::dice::Dice;
use super::disk::{Format, Instead, Odd};
use super::service::{Abilities, twins};
use mooring::error::Kind;
use mooring::model::{ConflictPolicy, Direction, Side};
use mooring::remote::Special;
use std::sync::LazyLock;

/// What a world is like.
#[derive(Clone, Copy, Debug)]
pub struct World {
    /// The name of one of [`twins`], which the service is.
    pub twin: &'static str,
    pub direction: Direction,
    pub keep_removed: bool,
    pub conflict: ConflictPolicy,
    /// What was sent is compared once more, and what is there read again.
    pub checks: bool,
    /// A person says yes to mass removals and overwrites, now and then before they are told of any.
    pub approves: bool,
    pub format: Format,
    /// How many jobs are under way together.
    pub workers: usize,
    /// Seeds the chances that aren't in the script: how a disk tears, in which order jobs end.
    pub seed: u64,
}

/// What happens.
#[derive(Clone, Debug)]
pub struct Script {
    pub world: World,
    pub steps: Vec<Step>,
}

#[derive(Clone, Debug)]
pub enum Step {
    /// Somebody does something between two cycles.
    Act(Act),
    /// Mooring syncs, while others do something before their calls of these numbers.
    Cycle { look: Wide, meanwhile: Vec<(u32, Act)> },
    /// Mooring ends and starts again.
    Restart,
    /// A person changes what the task is to do.
    Change(Change),
    /// The state is lost.
    LoseState,
    /// A copy of the state is made.
    CopyState,
    /// Something else is in the place of the folder that the task keeps on a side, and Mooring
    /// starts again.
    RootAway(Side, Instead),
    /// That folder is back in its place.
    RootBack,
    /// The copy is put in the state's place, if there is one.
    RestoreState,
    /// Everything is in order and at rest until nothing more happens.
    Calm,
    /// The same, and then this happens on the service, which is only polled.
    News(Vec<Act>),
}

/// How much a cycle looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wide {
    Everything,
    /// The local folders that something happened in.
    Touched,
    /// The same, and the service.
    TouchedAndRemote,
    /// The service only.
    Remote,
}

#[derive(Clone, Copy, Debug)]
pub enum Change {
    Direction(Direction),
    KeepRemoved(bool),
    Conflict(ConflictPolicy),
    Filter(LeaveOut),
}

/// What a task leaves out on both sides.
#[derive(Clone, Copy, Debug)]
pub enum LeaveOut {
    Nothing,
    Folder(&'static str),
    /// Files whose names are like this.
    Names(&'static str),
    /// Files of more bytes.
    Larger(u64),
}

/// Something that somebody other than Mooring does.
#[derive(Clone, Debug)]
pub enum Act {
    Write(Side, Path, Content),
    /// Written anew and renamed over the old one.
    Save(Path, Content),
    MakeFolder(Side, Path),
    /// Files in a folder, whose names and contents are counted from there on.
    Many(Side, Path, u32, Content),
    /// A link or pipe on the disk.
    MakeOdd(Path, Odd),
    /// Something on the service that isn't a file to be downloaded.
    MakeSpecial(Path, Special),
    /// A file beside one of its name on the service, where there may be such.
    WriteNamesake(Path, Content),
    /// On the disk, another name for a file.
    Link(Path, Path),
    /// Moved on the service to where the task doesn't see it.
    TakeOut(Path),
    /// What was taken out last is moved back.
    BringBack(Path),
    Rename(Side, Path, Path),
    Swap(Side, Path, Path),
    Remove(Side, Path),
    /// Only attributes, or the time of modification too.
    Touch(Path, bool),
    /// Takes away the right to read it.
    Close(Path),
    /// Gives back the right to read everything.
    OpenAll,
    /// A program has it open to write.
    Use(Path),
    /// The disk has room for so many bytes.
    Room(u64),
    /// The account has room for so many bytes more than there are.
    Quota(u64),
    /// The account has room again, and so has the disk.
    MakeRoom,
    Unmount,
    Mount,
    /// The clock on the wall jumps by so many seconds.
    Jump(i64),
    /// So many milliseconds pass.
    Rest(u64),
    /// The next so many requests fail so.
    Fail(Trouble, u32),
    /// The service forgets the cursors it gave.
    ForgetCursors,
    /// Mooring is killed.
    Kill,
    /// The power fails.
    PowerCut,
}

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    Offline,
    Busy,
    Protocol,
    SignIn,
    /// It is carried out, but nobody is told.
    LostReply,
    /// It isn't carried out, for a reason that may make no sense.
    Refused(Kind),
}

/// A path, one of few, so that many acts meet at the same places.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Path(pub &'static str);

/// A content by its number; its size follows from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Content(pub u32);

const FOLDERS: &[&str] = &["a", "b", "c", "A"];
const NAMES: &[&str] = &[
    "a",
    "b",
    "x",
    "y",
    "z",
    "X",
    "e\u{301}",
    "\u{e9}",
    "~t",
    "Thumbs.db",
    "._r",
    "q:",
    "end.",
    "w?",
];

/// Every path that a generated history may name.
static PATHS: LazyLock<Vec<String>> = LazyLock::new(|| {
    let all = NAMES.iter().flat_map(|name| (0..64).map(move |place| path(name, place)));
    all.collect()
});

/// A name on the top level or in one or two folders.
fn path(name: &str, place: usize) -> String {
    let folder = |number: usize| FOLDERS[number % FOLDERS.len()];
    match place & 3 {
        0 | 1 => name.to_string(),
        2 => format!("{}/{name}", folder(place >> 2)),
        _ => format!("{}/{}/{name}", folder(place >> 2), folder(place >> 4)),
    }
}

impl Path {
    /// The folder it is in.
    pub fn folder(self) -> &'static str {
        self.0.rsplit_once('/').map_or("", |(folder, _)| folder)
    }

    fn any(dice: &mut Dice) -> Path {
        let odd = dice.roll(8) == 0;
        let name = dice.roll(if odd { NAMES.len() as u64 } else { 5 });
        Path(&PATHS[(name * 64 + dice.roll(64)) as usize])
    }
}

impl Content {
    /// The bytes it stands for: as many as its number says, all of them telling the number.
    pub fn bytes(self) -> Vec<u8> {
        let Content(number) = self;
        let length = match number % 16 {
            0 => 0,
            // More than a transfer moves at once.
            1 if number % 512 == 1 => 70_000 + number as usize % 70_000,
            2 | 3 => 70 + number as usize % 200,
            _ => 8,
        };
        if length == 0 {
            return Vec::new();
        }
        let mark = format!("<{number}>");
        mark.bytes().cycle().take(length.max(mark.len())).collect()
    }
}

/// Makes histories.
struct Author {
    dice: Dice,
    contents: u32,
    abilities: Abilities,
    /// There are many files.
    crowd: bool,
}

impl Script {
    /// The history of a seed.
    pub fn of(seed: u64) -> Script {
        let mut dice = Dice::new(seed);
        let twins = twins();
        let abilities = twins[dice.roll(twins.len() as u64) as usize];
        let direction = match dice.roll(8) {
            0 => Direction::Upload,
            1 => Direction::Download,
            _ => Direction::Both,
        };
        let world = World {
            twin: abilities.name,
            direction,
            keep_removed: dice.roll(10) == 0,
            conflict: match dice.roll(8) {
                0 => ConflictPolicy::Remote,
                1 => ConflictPolicy::Newer,
                2 => ConflictPolicy::Both,
                _ => ConflictPolicy::Local,
            },
            checks: dice.roll(8) == 0,
            approves: dice.roll(8) > 0,
            format: match dice.roll(6) {
                0 => Format { links: false, tick: 2_000_000_000, reuses_inodes: true },
                number => Format { links: true, tick: 4_000_000, reuses_inodes: number > 2 },
            },
            workers: 1 + dice.roll(4) as usize,
            seed,
        };
        let crowd = !world.approves && dice.roll(25) == 0;
        let mut author = Author { dice, contents: 0, abilities, crowd };
        Script { world, steps: author.steps() }
    }
}

/// What one request may be refused with.
const REFUSALS: &[Kind] = &[
    Kind::Denied,
    Kind::NotFound,
    Kind::Exists,
    Kind::Changed,
    Kind::TooLarge,
    Kind::QuotaFull,
    Kind::Integrity,
];

impl Act {
    /// Whether it happens on the disk, whatever side was asked for.
    fn is_local(&self) -> bool {
        use Act::{Link, MakeOdd, Many, Save, Touch};
        matches!(self, Save(..) | MakeOdd(..) | Link(..) | Touch(..) | Many(Side::Local, ..))
    }
}

impl Author {
    fn steps(&mut self) -> Vec<Step> {
        let mut steps = Vec::new();
        // How wild it gets.
        let faults = self.dice.roll(3) > 0;
        let races = self.dice.roll(3) > 0;
        let crashes = self.dice.roll(3) == 0;
        if self.crowd {
            steps.push(Step::Act(self.many()));
            steps.push(Step::Calm);
        }
        for _ in 0..self.dice.roll(8) {
            steps.push(Step::Act(self.edit()));
        }
        for _ in 0..1 + self.dice.roll(5) {
            for _ in 0..self.dice.roll(6) {
                steps.push(Step::Act(self.edit()));
            }
            if faults && self.dice.roll(2) == 0 {
                steps.push(Step::Act(self.trouble()));
            }
            steps.push(self.cycle(faults, races, crashes));
            match self.dice.roll(24) {
                0..5 => steps.push(Step::Restart),
                5..8 => steps.push(Step::Calm),
                8..10 => steps.push(self.news()),
                10 if faults => steps.push(Step::LoseState),
                11 if faults => steps.push(Step::CopyState),
                12 if faults => steps.push(Step::RestoreState),
                13 | 14 => steps.push(Step::Change(self.change())),
                15 if faults => self.lose_root(&mut steps),
                _ => {}
            }
        }
        steps.push(Step::Calm);
        steps
    }

    fn news(&mut self) -> Step {
        let mut acts = Vec::new();
        for _ in 0..1 + self.dice.roll(3) {
            let act = self.edit_on(Side::Remote);
            acts.extend(Some(act).filter(|act| !act.is_local()));
        }
        Step::News(acts)
    }

    fn cycle(&mut self, faults: bool, races: bool, crashes: bool) -> Step {
        let look = match self.dice.roll(8) {
            0 => Wide::Touched,
            1 | 2 => Wide::TouchedAndRemote,
            3 => Wide::Remote,
            _ => Wide::Everything,
        };
        let mut meanwhile = Vec::new();
        if races {
            for _ in 0..self.dice.roll(4) {
                meanwhile.push((self.when(), self.edit()));
            }
        }
        if faults && self.dice.roll(3) == 0 {
            meanwhile.push((self.when(), self.trouble()));
        }
        if crashes && self.dice.roll(2) == 0 {
            let act = if self.dice.roll(2) == 0 { Act::Kill } else { Act::PowerCut };
            meanwhile.push((self.when(), act));
        }
        meanwhile.sort_by_key(|(when, _)| *when);
        Step::Cycle { look, meanwhile }
    }

    /// The number of a call: most cycles make some hundred.
    fn when(&mut self) -> u32 {
        let most = [20, 80, 300][self.dice.roll(3) as usize];
        self.dice.roll(most) as u32
    }

    /// The root of a side is away for a cycle, at least.
    fn lose_root(&mut self, steps: &mut Vec<Step>) {
        let side = if self.dice.roll(2) == 0 { Side::Local } else { Side::Remote };
        let instead = match self.dice.roll(3) {
            0 => Instead::Nothing,
            1 => Instead::Filled,
            _ => Instead::Empty,
        };
        steps.push(Step::RootAway(side, instead));
        steps.push(self.cycle(false, false, false));
        if self.dice.roll(2) == 0 {
            steps.push(Step::RootBack);
        }
    }

    /// Some hundred files, more than may be removed or overwritten unseen.
    fn many(&mut self) -> Act {
        let side = if self.dice.roll(2) == 0 { Side::Local } else { Side::Remote };
        let count = 100 + self.dice.roll(60) as u32;
        let first = Content((self.contents + 1) * 64 + 8);
        self.contents += count;
        Act::Many(side, Path(FOLDERS[self.dice.roll(2) as usize]), count, first)
    }

    fn change(&mut self) -> Change {
        match self.dice.roll(10) {
            4 => Change::Conflict(ConflictPolicy::Local),
            5 => Change::Conflict(ConflictPolicy::Remote),
            6 => Change::Filter(LeaveOut::Nothing),
            7 => Change::Filter(LeaveOut::Folder(["a", "b", "a/b"][self.dice.roll(3) as usize])),
            8 => Change::Filter(LeaveOut::Names(["x", "[yz]", "?"][self.dice.roll(3) as usize])),
            9 => Change::Filter(LeaveOut::Larger(100)),
            0 => Change::KeepRemoved(self.dice.roll(2) == 0),
            1 => Change::Direction(Direction::Upload),
            2 => Change::Direction(Direction::Download),
            _ => Change::Direction(Direction::Both),
        }
    }

    fn content(&mut self) -> Content {
        // Now and then both sides write the same.
        if self.contents == 0 || self.dice.roll(10) > 0 {
            self.contents += 1;
        }
        let size = self.dice.roll(64) as u32;
        Content(self.contents * 64 + size)
    }

    fn edit(&mut self) -> Act {
        let side = if self.dice.roll(2) == 0 { Side::Local } else { Side::Remote };
        self.edit_on(side)
    }

    /// An edit; one that is possible on both sides is made on this one.
    fn edit_on(&mut self, side: Side) -> Act {
        let (one, two) = (Path::any(&mut self.dice), Path::any(&mut self.dice));
        if self.crowd && self.dice.roll(4) == 0 {
            let folder = Path(FOLDERS[self.dice.roll(2) as usize]);
            return match self.dice.roll(2) {
                0 => Act::Remove(side, folder),
                _ => self.many(),
            };
        }
        match self.dice.roll(26) {
            20 if self.dice.roll(3) == 0 => Act::MakeOdd(one, Odd::Link),
            20 => Act::MakeOdd(one, Odd::Pipe),
            21 if self.dice.roll(3) == 0 => Act::MakeSpecial(one, Special::Closed),
            21 => Act::MakeSpecial(one, Special::Document),
            22 => Act::WriteNamesake(one, self.content()),
            23 => Act::Link(one, two),
            24 => Act::TakeOut(one),
            25 => Act::BringBack(one),
            0..8 => Act::Write(side, one, self.content()),
            8 => Act::Save(one, self.content()),
            9 => Act::MakeFolder(side, one),
            10..14 => Act::Rename(side, one, two),
            14 => Act::Swap(side, one, two),
            15..18 => Act::Remove(side, one),
            18 => Act::Touch(one, self.dice.roll(2) == 0),
            19.. => Act::Rest(1 + self.dice.roll(30_000)),
        }
    }

    fn trouble(&mut self) -> Act {
        let path = Path::any(&mut self.dice);
        let failures = 1 + self.dice.roll(3) as u32;
        match self.dice.roll(18) {
            16 | 17 => {
                let kind = self.dice.pick(REFUSALS).copied().unwrap_or(Kind::Denied);
                Act::Fail(Trouble::Refused(kind), 1)
            }
            0 => Act::Close(path),
            1 => Act::OpenAll,
            2 => Act::Use(path),
            3 => Act::Room(self.dice.roll(400)),
            4 => Act::Quota(self.dice.roll(400)),
            5 => Act::MakeRoom,
            6 => Act::Unmount,
            7 => Act::Mount,
            8 => Act::Jump(self.dice.roll(7200) as i64 - 3600),
            9 => Act::ForgetCursors,
            10 => Act::Fail(Trouble::Busy, failures),
            11 => Act::Fail(Trouble::Protocol, failures),
            12 => Act::Fail(Trouble::SignIn, 1),
            13 | 14 if self.abilities.parts => Act::Fail(Trouble::LostReply, 1),
            13 => Act::Fail(Trouble::LostReply, failures),
            _ => Act::Fail(Trouble::Offline, failures),
        }
    }
}
