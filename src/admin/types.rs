//! The requests and their answers as the panel's own language has them. The panel is built with
//! the committed file, so that it can't ask for what isn't there.

use super::view::*;
use super::*;
use crate::daemon::status_types;
use crate::engine::{Approval, Approved, Intent, Report, Trouble};
use crate::logs::Level;
use crate::model::{ConflictPolicy, Direction, ItemKind, Side};
use crate::progress::ProgressView;
use crate::rules::{Filter, Schedule, ScheduleChange};
use crate::settings::{Fate, FilterChange, ImportLine, Thing};
use std::{env, fs};
use ts_rs::{Config, TS};

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/packaging/panel/src/api.ts");
const HEAD: &str = "// Made of the program's own types: cargo test --lib panel_types, with PANEL_TYPES=write to write it.\n";
/// Types in which the fields of another stand, or none of them.
const BESIDE: [(&str, &str); 4] = [
    ("Authorization", "SignInPage"),
    ("LiveTask", "Overview"),
    ("TaskItems", "Overview"),
    ("TaskStatus", "Overview"),
];

#[test]
fn the_panel_types_are_those_of_the_program() {
    // Counts stay below 2^53, which is all that JSON has there.
    let config = Config::new().with_large_int("number");
    let mut types = status_types(&config);
    macro_rules! add {
        ($($name:ty),* $(,)?) => { $(types.push(<$name>::decl(&config));)* };
    }
    add!(
        Request,
        Entered,
        NewTask,
        TaskChange,
        FilterChange,
        Filter,
        Schedule,
        ScheduleChange,
        Scope,
        Approval,
        Approved,
        ItemKind,
        Direction,
        ConflictPolicy,
        Side,
        SessionView,
        LoginView,
        ServiceName,
        ServiceView,
        BucketView,
        ProviderView,
        FieldView,
        SuggestionView,
        BucketsView,
        BucketMade,
        ConnectionView,
        Tested,
        Authorization,
        SignInPage,
        SignedIn,
        Removed,
        TaskView,
        TaskDetails,
        Counts,
        HoldLine,
        ItemLine,
        Renamed,
        RemovedFiles,
        RemovedFile,
        Restored,
        ItemsPage,
        Paused,
        LogLine,
        HistoryPage,
        SettingsView,
        KeyView,
        Level,
        PasswordView,
        ImportLine,
        Thing,
        Fate,
        TaskStatus,
        TaskItems,
        Overview,
        RecycledView,
        ProgressView,
        FoldersView,
        Preview,
        PreviewTotal,
        Report,
        Trouble,
        Intent,
    );
    for each in &mut types {
        // What is absent as a whole can't be told of a field that stands for others.
        for (name, part) in BESIDE {
            if each.starts_with(&format!("type {name} = ")) {
                *each = each.trim_end_matches(';').to_owned() + &format!(" & Partial<{part}>;");
            }
        }
    }
    types.sort();
    let lines = types.into_iter().map(|each| format!("\nexport {each}\n"));
    let text = HEAD.to_owned() + &lines.collect::<String>();
    if env::var_os("PANEL_TYPES").is_some_and(|word| word == "write") {
        fs::write(FILE, &text).unwrap();
    }
    let committed = fs::read_to_string(FILE).unwrap_or_default();
    assert!(committed == text, "{FILE} differs: run this test with PANEL_TYPES=write");
}
