//! The page on the NAS desktop, as far as it can be judged without a browser: every text that it
//! asks for is there in every language, and it keeps the rules that its safety rests on.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Of which the page has texts.
const LANGUAGES: [&str; 10] =
    ["chs", "cht", "enu", "fre", "ger", "ita", "jpn", "krn", "nld", "spn"];
/// Where an enum of the program's tells its words, by the section of their texts.
const ENUMS: [(&str, &str); 2] = [("error", "error.rs"), ("items", "rules/skip.rs")];
/// Other words that the daemon tells, likewise.
const WORDS: [(&str, &[&str]); 8] = [
    (
        "task",
        &[
            "both",
            "both_help",
            "upload",
            "upload_help",
            "download",
            "download_help",
            "keep_upload",
            "keep_download",
            "conflict_local",
            "conflict_remote",
            "conflict_newer",
            "conflict_both",
        ],
    ),
    (
        "first",
        &[
            "upload",
            "download",
            "move",
            "compare",
            "delete_local",
            "delete_remote",
            "make_folder_local",
            "make_folder_remote",
        ],
    ),
    ("fate", &["add", "replace", "same", "refuse"]),
    ("state", &["idle", "syncing", "waiting", "held", "failed", "skipped", "paused", "suspended"]),
    ("phase", &["observing", "planning", "transferring", "removing"]),
    ("direction", &["both", "upload", "download"]),
    (
        "hold",
        &[
            "mass_removal_local",
            "mass_removal_remote",
            "mass_overwrite_local",
            "mass_overwrite_remote",
            "loss_local",
            "loss_remote",
        ],
    ),
    (
        "action",
        &[
            "uploaded",
            "downloaded",
            "moved",
            "deleted_local",
            "deleted_remote",
            "conflict",
            "held",
            "failed",
            "skipped",
            "solved",
        ],
    ),
];
/// The sections of the texts, and those whose texts are asked for by words of the program.
const SECTIONS: [&str; 25] = [
    "app",
    "page",
    "do",
    "connect",
    "task",
    "folders",
    "items",
    "removed",
    "first",
    "history",
    "settings",
    "tray",
    "fate",
    "schedule",
    "lines",
    "service",
    "guide",
    "field",
    "state",
    "phase",
    "direction",
    "hold",
    "error",
    "remedy",
    "action",
];
const BY_CODE: [&str; 7] =
    ["hold:", "error:", "page:sign_in_", "lines:", "service:", "guide:", "field:"];
/// What to do about an error: in English, the daemon says it itself.
const REMEDY: &str = "remedy:";
/// What could turn a file's name into a part of the page or a program.
const UNSAFE: [&str; 9] = [
    "innerHTML",
    "outerHTML",
    "insertAdjacentHTML",
    "document.write",
    "eval(",
    "Function(",
    "dangerously",
    " style=",
    ".style",
];

fn here() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn ui() -> PathBuf {
    here().join("spk/ui")
}

/// The sources of the script, one after the other.
fn script() -> String {
    let sources = fs::read_dir(here().join("panel/src")).unwrap().map(|it| it.unwrap().path());
    let is_script = |path: &PathBuf| {
        path.extension().is_some_and(|it| it == "ts" || it == "tsx") && !path.ends_with("api.ts")
    };
    sources.filter(is_script).map(|path| fs::read_to_string(path).unwrap()).collect()
}

fn read(name: &str) -> String {
    fs::read_to_string(ui().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The texts of a language by `section:key`.
fn texts(language: &str) -> BTreeMap<String, String> {
    let mut section = String::new();
    let mut texts = BTreeMap::new();
    for line in read(&format!("texts/{language}/strings")).lines().filter(|it| !it.is_empty()) {
        if let Some(name) = line.strip_prefix('[').and_then(|it| it.strip_suffix(']')) {
            section = name.to_owned();
            continue;
        }
        let (key, text) = line.split_once('=').unwrap_or_else(|| panic!("{language}: {line}"));
        let text = text.strip_prefix('"').and_then(|it| it.strip_suffix('"'));
        let text = text.filter(|it| !it.is_empty() && !it.contains('"'));
        let text = text.unwrap_or_else(|| panic!("{language}: {line}")).to_owned();
        let before = texts.insert(format!("{section}:{key}"), text);
        assert!(before.is_none(), "{language}: {section}:{key} is there twice");
    }
    texts
}

/// The words of an enum of the program's, as keys of texts.
fn words_of(section: &str, file: &str) -> Vec<String> {
    let file = here().join("../src").join(file);
    let source = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{file:?}: {error}"));
    let body = source.split("pub fn word(").nth(1).and_then(|it| it.split("\n    }\n").next());
    let told = body.unwrap().split("=> \"").skip(1).filter_map(|it| it.split('"').next());
    told.map(|word| format!("{section}:{}", word.replace('-', "_"))).collect()
}

fn places(text: &str) -> BTreeSet<&str> {
    text.match_indices('{').map(|(at, _)| &text[at..at + 3]).collect()
}

/// Every `section:key` that is written out in a file.
fn asked(text: &str) -> BTreeSet<String> {
    let is_key = |text: &&str| {
        text.split_once(':').is_some_and(|(section, key)| {
            SECTIONS.contains(&section)
                && !key.is_empty()
                && key.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
        })
    };
    text.split('"').filter(is_key).map(str::to_owned).collect()
}

#[test]
fn every_text_that_is_asked_for_is_there() {
    let english = texts("enu");
    let words = WORDS
        .iter()
        .flat_map(|(section, words)| words.iter().map(move |word| format!("{section}:{word}")));
    let sources = [script(), read("config-6.json"), read("config-7.json")];
    let written = sources.iter().flat_map(|text| asked(text));
    let told = ENUMS.iter().flat_map(|(section, file)| words_of(section, file));
    let asked: BTreeSet<_> = written.chain(words).chain(told).collect();
    for key in &asked {
        assert!(english.contains_key(key), "{key}");
    }
    // The rest is asked for by a code that only the daemon knows.
    let by_code = |key: &String| BY_CODE.iter().any(|section| key.starts_with(section));
    let unasked: Vec<_> =
        english.keys().filter(|key| !by_code(key) && !asked.contains(*key)).collect();
    let sections: Vec<_> = english.keys().filter_map(|key| key.split(':').next()).collect();
    assert!(sections.iter().all(|each| SECTIONS.contains(each)), "{sections:?}");
    assert!(unasked.is_empty(), "{unasked:?}");
}

#[test]
fn all_languages_say_the_same() {
    let mut found: Vec<_> = fs::read_dir(ui().join("texts"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    found.sort();
    assert_eq!(found, LANGUAGES);
    let script = script();
    let (english, mut remedies) = (texts("enu"), texts("ger"));
    remedies.retain(|key, _| key.starts_with(REMEDY));
    let is_known = |key: &String| english.contains_key(&key.replace(REMEDY, "error:"));
    assert!(remedies.keys().all(is_known), "{remedies:?}");
    for language in LANGUAGES {
        assert!(script.contains(&format!("{language}: \"")), "{language} isn't known to the page");
        let (advice, texts): (BTreeMap<_, _>, BTreeMap<_, _>) =
            texts(language).into_iter().partition(|(key, _)| key.starts_with(REMEDY));
        assert!(texts.keys().eq(english.keys()), "{language}");
        assert!(language == "enu" || advice.keys().eq(remedies.keys()), "{language}");
        for (key, text) in &texts {
            assert_eq!(places(text), places(&english[key]), "{language} {key}");
        }
    }
}

#[test]
fn the_page_runs_nothing_but_its_own_script() {
    for name in ["index.html", "tray.html"] {
        let page = read(name);
        for rule in
            ["default-src 'none'", "script-src 'self'", "style-src 'self'", "connect-src 'self'"]
        {
            assert!(page.contains(rule), "{name}: {rule}");
        }
        for inline in ["<style", " style=", " onclick=", " onload=", "javascript:", "://"] {
            assert!(!page.contains(inline), "{name}: {inline}");
        }
        assert_eq!(page.matches("<script").count(), page.matches("<script src=\"").count());
    }
    let script = script();
    for way in UNSAFE {
        assert!(!script.contains(way), "{way}");
    }
}

#[test]
fn nothing_of_an_older_package_is_taken_from_a_cache() {
    for (file, asked) in [
        ("index.html", "page.js"),
        ("index.html", "page.css"),
        ("tray.html", "tray.js"),
        ("tray.html", "page.css"),
        ("mooring.js", "index.html"),
        ("mooring.js", "tray.html"),
        ("config-6.json", "index.html"),
    ] {
        assert!(read(file).contains(&format!("{asked}?VERSION")), "{file}: {asked}");
    }
}
