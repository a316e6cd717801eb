//! What a package tells of itself before it is unpacked: `INFO`, icons, privileges, resources, wizards.

use crate::common::{Spk, fresh, md5, packages, run};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

/// The languages that there are texts in, beside English.
const LANGUAGES: [&str; 7] = ["chs", "cht", "fre", "ger", "jpn", "krn", "spn"];
/// The user of the package, who owns all that it keeps: another one couldn't read it.
const USER: &str = "mooring";

#[test]
fn a_shell_can_read_info() {
    for spk in packages() {
        let info = spk.text("INFO");
        let mut keys = BTreeSet::new();
        for line in info.lines() {
            let (key, value) = line.split_once('=').unwrap();
            assert!(key.chars().all(|each| each == '_' || each.is_ascii_alphanumeric()), "{line}");
            let inner = value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap();
            assert!(!inner.contains(['"', '$', '`', '\\']), "{line}");
            assert!(keys.insert(key), "{key} is there twice");
        }
        let path = fresh(&format!("info-{}", spk.name())).join("INFO");
        fs::write(&path, info).unwrap();
        let output = run(Command::new("sh").arg("-euc").arg(format!(". '{}'", path.display())));
        assert!(output.stdout.is_empty() && output.stderr.is_empty());
    }
}

#[test]
fn info_has_all_that_is_required() {
    let required =
        ["package", "version", "os_min_ver", "description", "arch", "maintainer", "displayname"];
    for spk in packages() {
        let info = spk.info();
        for key in required {
            assert!(info.get(key).is_some_and(|value| !value.is_empty()), "{}: {key}", spk.name());
        }
        for language in LANGUAGES {
            let described = info[format!("description_{language}").as_str()];
            assert_ne!(described, info["description"], "{language}");
        }
    }
}

#[test]
fn the_name_is_one_that_dsm_takes() {
    for spk in packages() {
        let name = spk.info()["package"];
        let allowed = |each: char| each.is_ascii_alphanumeric() || each == '_' || each == '-';
        assert!(name.chars().all(allowed), "{name}");
    }
}

#[test]
fn the_version_is_numbers_and_a_build() {
    for spk in packages() {
        let version = spk.info()["version"];
        let (feature, build) = version.split_once('-').unwrap();
        let numbers = feature.split(['.', '_']).chain([build]);
        for number in numbers {
            assert!(number.parse::<i32>().is_ok_and(|number| number >= 0), "{version}");
        }
        let manifest = fs::read_to_string(crate::common::root().join("Cargo.toml")).unwrap();
        let manifest: toml::Table = manifest.parse().unwrap();
        assert_eq!(manifest["package"]["version"].as_str(), Some(feature));
    }
}

#[test]
fn each_is_for_its_dsm_only() {
    for spk in packages() {
        let info = spk.info();
        let version = |key| {
            let (version, build) = info.get(key)?.split_once('-')?;
            Some((version.to_owned(), build.parse::<u32>().ok()?))
        };
        let (first, build) = version("os_min_ver").unwrap();
        assert!(first.len() == 3 && first.starts_with(&format!("{}.", spk.dsm)), "{first}");
        if spk.dsm == 7 {
            assert!(build >= 40_000);
            assert_eq!(version("os_max_ver"), None);
        } else {
            assert!(build < 40_000);
            assert_eq!(version("os_max_ver"), Some(("7.0".into(), 40_000)));
        }
    }
}

#[test]
fn info_has_no_key_of_the_past() {
    for spk in packages() {
        assert!(!spk.info().contains_key("firmware"), "{}", spk.name());
    }
}

#[test]
fn the_platforms_are_all_of_the_cpu() {
    for spk in packages() {
        let expected = match spk.cpu {
            "x86_64" => "x86_64",
            "aarch64" => "armv8",
            "i686" => "i686",
            _ => "armv7 armada370 armada375 armada38x armadaxp comcerto2k monaco",
        };
        assert_eq!(spk.info()["arch"], expected, "{}", spk.name());
    }
}

#[test]
fn the_checksum_is_right() {
    for spk in packages() {
        assert_eq!(spk.info()["checksum"], md5(spk.file("package.tgz")), "{}", spk.name());
    }
}

#[test]
fn the_room_it_takes_is_told() {
    for spk in packages() {
        let told = spk.info()["extractsize"].parse::<usize>().unwrap() * 1024;
        let size: usize = spk.target.iter().map(|member| member.bytes.len()).sum();
        assert!(told.abs_diff(size) * 10 <= size, "{}: {told} for {size}", spk.name());
    }
}

#[test]
fn the_icons_have_their_sizes() {
    let side = |png: &[u8]| {
        assert_eq!(&png[..8], b"\x89PNG\r\n\x1a\n");
        let number = |at: usize| u32::from_be_bytes(png[at..at + 4].try_into().unwrap());
        assert_eq!(number(16), number(20));
        number(16)
    };
    for spk in packages() {
        let expected = if spk.dsm == 7 { 64 } else { 72 };
        assert_eq!(side(spk.file("PACKAGE_ICON.PNG")), expected, "{}", spk.name());
        assert_eq!(side(spk.file("PACKAGE_ICON_256.PNG")), 256, "{}", spk.name());
        for member in spk.target.iter().filter(|member| member.path.ends_with(".png")) {
            let name = member.path.trim_end_matches(".png");
            let told = name.rsplit(['-', '_']).next().unwrap();
            assert_eq!(side(&member.bytes).to_string(), told, "{}", member.path);
        }
    }
}

#[test]
fn it_runs_as_a_user_of_its_own() {
    for spk in packages() {
        let privilege = json(spk, "conf/privilege");
        assert_eq!(privilege["defaults"]["run-as"], "package");
        assert!(!spk.text("conf/privilege").contains("root"));
        assert!(privilege.get("tool").is_none() && privilege.get("ctrl-script").is_none());
    }
}

#[test]
fn its_user_is_always_the_same() {
    for spk in packages() {
        let privilege = json(spk, "conf/privilege");
        assert_eq!(privilege["username"], USER);
        assert_eq!(privilege["groupname"], USER);
    }
}

#[test]
fn resources_are_only_those_that_anybody_may_have() {
    for spk in packages() {
        let resource = json(spk, "conf/resource");
        for (worker, wanted) in resource.as_object().unwrap() {
            assert_eq!(worker, "usr-local-linker");
            for path in wanted["bin"].as_array().unwrap() {
                spk.target_file(path.as_str().unwrap());
            }
        }
    }
}

#[test]
fn no_ports_are_asked_for() {
    for spk in packages() {
        let members = spk.members.iter().chain(&spk.target);
        let mut paths = members.map(|member| member.path.as_str());
        assert!(paths.all(|path| !path.ends_with(".sc")), "{}", spk.name());
    }
}

#[test]
fn wizards_are_understood_in_all_languages() {
    const TYPES: [&str; 5] = ["textfield", "password", "singleselect", "multiselect", "combobox"];
    for spk in packages() {
        let folder = "WIZARD_UIFILES/";
        let paths = spk.members.iter().filter_map(|member| member.path.strip_prefix(folder));
        let found: BTreeSet<_> = paths.map(str::to_owned).collect();
        let kinds = ["install", "upgrade", "uninstall"];
        let expected = kinds.iter().flat_map(|kind| {
            let others = LANGUAGES.iter().map(move |language| format!("{kind}_uifile_{language}"));
            others.chain([format!("{kind}_uifile")])
        });
        assert_eq!(found, expected.collect());
        for name in found {
            let wizard = json(spk, &format!("{folder}{name}"));
            for step in wizard.as_array().unwrap() {
                assert!(step["step_title"].is_string());
                for item in step["items"].as_array().unwrap() {
                    let kind = item.get("type").map(|kind| kind.as_str().unwrap());
                    assert!(kind.is_none_or(|kind| TYPES.contains(&kind)), "{name}");
                    for sub in item["subitems"].as_array().into_iter().flatten() {
                        assert!(sub["key"].as_str().unwrap().starts_with("wizard_"), "{name}");
                        assert_ne!(kind, Some("password"), "{name}");
                    }
                }
            }
        }
    }
}

#[test]
fn deleting_what_it_knows_has_to_be_chosen() {
    for spk in packages() {
        let wizard = json(spk, "WIZARD_UIFILES/uninstall_uifile");
        let items = wizard[0]["items"].as_array().unwrap();
        let mut choices =
            items.iter().flat_map(|item| item["subitems"].as_array().into_iter().flatten());
        if spk.dsm == 7 {
            let choice = choices.next().unwrap();
            assert_eq!(choice["key"], "wizard_delete_data");
            assert_eq!(choice["defaultValue"], false);
        }
        // DSM 6 keeps nothing, whatever is chosen.
        assert!(choices.next().is_none());
    }
}

fn json(spk: &Spk, path: &str) -> Value {
    serde_json::from_slice(spk.file(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}
