//! What is shown on the desktop.

use crate::common::{Spk, packages};
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Map, Value};
use std::io::Write;

const ICON_SIZES: [u32; 7] = [16, 24, 32, 48, 64, 72, 256];
/// Endings of what nobody but the package may see: all of the folder can be read by anybody.
const SECRET: [&str; 6] = [".conf", ".key", ".pem", ".db", ".log", ".sock"];

/// The entries of the desktop by their ids.
fn entries(spk: &Spk) -> Map<String, Value> {
    let config: Value = serde_json::from_slice(spk.target_file("ui/config")).unwrap();
    let groups = config.as_object().unwrap().values();
    groups.flat_map(|group| group.as_object().unwrap().clone()).collect()
}

/// The texts in English by section and key.
fn is_told(spk: &Spk, reference: &str) -> bool {
    let (section, key) = reference.split_once(':').unwrap();
    let strings = str::from_utf8(spk.target_file("ui/texts/enu/strings")).unwrap();
    let mut lines = strings.lines().skip_while(|line| *line != format!("[{section}]")).skip(1);
    let mut section = lines.by_ref().take_while(|line| !line.starts_with('['));
    section.any(|line| line.split('=').next().is_some_and(|each| each.trim() == key))
}

#[test]
fn the_entry_is_there() {
    for spk in packages() {
        let info = spk.info();
        assert_eq!(info["dsmuidir"], "ui");
        let entries = entries(spk);
        let apps: Vec<_> = info["dsmappname"].split_whitespace().collect();
        assert!(!apps.is_empty());
        assert!(apps.iter().all(|app| entries.contains_key(*app)), "{}", spk.name());
    }
}

#[test]
fn its_icons_are_there_in_all_sizes() {
    for spk in packages() {
        for entry in entries(spk).values() {
            let Some(icon) = entry["icon"].as_str() else { continue };
            for size in ICON_SIZES {
                spk.target_file(&format!("ui/{}", icon.replace("{0}", &size.to_string())));
            }
        }
    }
}

#[test]
fn nothing_secret_lies_where_everybody_may_look() {
    for spk in packages() {
        let files = spk.target.iter().filter(|member| member.kind.is_file());
        for member in files.filter(|member| member.path.starts_with("ui/")) {
            let path = &member.path;
            assert!(!SECRET.iter().any(|ending| path.ends_with(ending)), "{path}");
            let mode = if path.ends_with(".cgi") { 0o755 } else { 0o644 };
            assert_eq!(member.mode, mode, "{path}");
        }
    }
}

#[test]
fn all_texts_are_there() {
    let is_reference = |text: &str| {
        let plain = |part: &str| part.bytes().all(|byte| byte == b'_' || byte.is_ascii_lowercase());
        text.split_once(':').is_some_and(|(section, key)| plain(section) && plain(key))
    };
    for spk in packages() {
        for entry in entries(spk).values() {
            let preloaded = entry["preloadTexts"].as_array().into_iter().flatten();
            let texts = preloaded.chain([&entry["title"], &entry["desc"]]);
            for text in texts.filter_map(Value::as_str).filter(|text| is_reference(text)) {
                assert!(is_told(spk, text), "{}: {text}", spk.name());
            }
        }
    }
}

#[test]
fn what_calls_the_program_finds_its_state() {
    for spk in packages() {
        for path in ["ui/api.cgi", "cli/mooring"] {
            let script = str::from_utf8(spk.target_file(path)).unwrap();
            assert!(script.contains("/var/packages/mooring/target/bin/mooring"), "{path}");
            assert!(script.contains("MOORING_STATE="), "{path}");
        }
    }
}

#[test]
fn another_version_is_loaded_anew() {
    for spk in packages() {
        let version = format!("?{}", spk.info()["version"]);
        for (name, what) in
            [("index.html", "page.css"), ("index.html", "page.js"), ("mooring.js", "index.html")]
        {
            let text = str::from_utf8(spk.target_file(&format!("ui/{name}"))).unwrap();
            assert!(text.contains(&format!("{what}{version}")), "{}: {name}", spk.name());
        }
    }
}

/// Most bytes of all that the panel is made of, as web servers send it, in all languages together. The help is another
/// page, and pictures of other sizes than the panel's own are for the desktop.
const PANEL_BYTES: usize = 80 << 10;

#[test]
fn the_panel_is_small_and_whole() {
    for spk in packages() {
        let others = ["ui/images/", "ui/help/"];
        let is_told = |path: &str| {
            path == "ui/images/mooring-32.png"
                || path.starts_with("ui/") && !others.iter().any(|other| path.starts_with(other))
        };
        let files = spk.target.iter().filter(|it| it.kind.is_file() && is_told(&it.path));
        let size: usize = files
            .map(|member| {
                let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
                gzip.write_all(&member.bytes).unwrap();
                gzip.finish().unwrap().len()
            })
            .sum();
        assert!(size <= PANEL_BYTES, "{}: {size}", spk.name());
        let script = str::from_utf8(spk.target_file("ui/page.js")).unwrap();
        // Nothing of it comes from elsewhere, and what it is made of is packed into it.
        for from_elsewhere in ["import ", "from\"", "from`", "sourceMappingURL"] {
            assert!(!script.contains(from_elsewhere), "{from_elsewhere}");
        }
    }
}
