//! The page on the NAS desktop, as far as it can be judged without a browser: every text that it
//! asks for is there in every language, and it keeps the rules that its safety rests on.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Of which the page has texts.
const LANGUAGES: [&str; 10] =
    ["chs", "cht", "enu", "fre", "ger", "ita", "jpn", "krn", "nld", "spn"];
/// Where an enum of the program's tells its words, by the section of their texts.
const ENUMS: [(&str, &str); 2] = [("error", "error.rs"), ("reason", "rules/skip.rs")];
/// Other words that the daemon tells, likewise.
const WORDS: [(&str, &[&str]); 9] = [
    ("answer", &["address", "code"]),
    ("direction", &["both", "both_help", "upload", "upload_help", "download", "download_help"]),
    ("conflict", &["local", "remote", "newer", "both"]),
    (
        "intent",
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
    (
        "hold",
        &[
            "mass_removal_local",
            "mass_removal_remote",
            "mass_overwrite_local",
            "mass_overwrite_remote",
            "mass_remedy",
            "loss_local",
            "loss_remote",
            "loss_kept",
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
/// The sections whose words are in the services' own descriptions; `login` is what a session's error becomes.
const DESCRIBED: [&str; 4] = ["service:", "guide:", "field:", "error:login"];
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

/// The sources of the script, one after the other.
fn script() -> String {
    let sources = fs::read_dir(here().join("panel/src")).unwrap().map(|it| it.unwrap().path());
    let is_script = |path: &PathBuf| {
        path.extension().is_some_and(|it| it == "ts" || it == "tsx") && !path.ends_with("api.ts")
    };
    sources.filter(is_script).map(|path| fs::read_to_string(path).unwrap()).collect()
}

fn read(name: &str) -> String {
    fs::read_to_string(here().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The texts of a file by `section:key`.
fn texts_of(name: &str) -> BTreeMap<String, String> {
    let mut section = String::new();
    let mut texts = BTreeMap::new();
    for line in read(name).lines().filter(|it| !it.is_empty()) {
        if let Some(name) = line.strip_prefix('[').and_then(|it| it.strip_suffix(']')) {
            section = name.to_owned();
            continue;
        }
        let (key, text) = line.split_once('=').unwrap_or_else(|| panic!("{name}: {line}"));
        let text = text.strip_prefix('"').and_then(|it| it.strip_suffix('"'));
        let text = text.filter(|it| !it.is_empty() && !it.contains('"'));
        let text = text.unwrap_or_else(|| panic!("{name}: {line}")).to_owned();
        let before = texts.insert(format!("{section}:{key}"), text);
        assert!(before.is_none(), "{name}: {section}:{key} is there twice");
    }
    texts
}

/// The texts of a language.
fn texts(language: &str) -> BTreeMap<String, String> {
    texts_of(&format!("panel/texts/{language}.ini"))
}

/// What the desktop of DSM itself shows in a language.
fn texts_of_desktop(language: &str) -> BTreeMap<String, String> {
    texts_of(&format!("spk/ui/texts/{language}/strings"))
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
    let is_word = |word: &str| {
        !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
    };
    let is_key = |text: &&str| {
        text.split_once(':').is_some_and(|(section, key)| is_word(section) && is_word(key))
    };
    text.split('"').filter(is_key).map(str::to_owned).collect()
}

#[test]
fn every_text_that_is_asked_for_is_there() {
    let english = texts("enu");
    let words = WORDS
        .iter()
        .flat_map(|(section, words)| words.iter().map(move |word| format!("{section}:{word}")));
    let told = ENUMS.iter().flat_map(|(section, file)| words_of(section, file));
    let asked_for: BTreeSet<_> = asked(&script()).into_iter().chain(words).chain(told).collect();
    for key in &asked_for {
        assert!(english.contains_key(key), "{key}");
    }
    let is_described = |key: &String| DESCRIBED.iter().any(|section| key.starts_with(section));
    let unasked: Vec<_> =
        english.keys().filter(|key| !is_described(key) && !asked_for.contains(*key)).collect();
    assert!(unasked.is_empty(), "{unasked:?}");
    let of_desktop = [read("spk/ui/config-6.json"), read("spk/ui/config-7.json")];
    let of_desktop: BTreeSet<_> = of_desktop.iter().flat_map(|text| asked(text)).collect();
    assert!(texts_of_desktop("enu").keys().eq(&of_desktop), "{of_desktop:?}");
}

#[test]
fn all_languages_say_the_same() {
    for (folder, ending) in [("panel/texts", ".ini"), ("spk/ui/texts", "")] {
        let mut found: Vec<_> = fs::read_dir(here().join(folder))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        found.sort();
        assert_eq!(found, LANGUAGES.map(|language| format!("{language}{ending}")));
    }
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
        assert!(texts_of_desktop(language).keys().eq(texts_of_desktop("enu").keys()), "{language}");
        for (key, text) in &texts {
            assert_eq!(places(text), places(&english[key]), "{language} {key}");
        }
    }
}

#[test]
fn the_page_runs_nothing_but_its_own_script() {
    let page = read("spk/ui/index.html");
    for rule in
        ["default-src 'none'", "script-src 'self'", "style-src 'self'", "connect-src 'self'"]
    {
        assert!(page.contains(rule), "{rule}");
    }
    for inline in ["<style", " style=", " onclick=", " onload=", "javascript:", "://"] {
        assert!(!page.contains(inline), "{inline}");
    }
    assert_eq!(page.matches("<script").count(), page.matches("<script src=\"").count());
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
        ("mooring.js", "index.html"),
        ("config-6.json", "index.html"),
    ] {
        assert!(
            read(&format!("spk/ui/{file}")).contains(&format!("{asked}?VERSION")),
            "{file}: {asked}"
        );
    }
}
