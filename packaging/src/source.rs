//! A package source: tells Package Center which packages there are for a box, in the user's language.

use crate::data::{Data, ENGLISH};
use crate::spk::md5;
use crate::{Result, at};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The languages that DSM asks for.
const LANGUAGES: [&str; 20] = [
    "enu", "cht", "chs", "krn", "ger", "fre", "ita", "spn", "jpn", "dan", "nor", "sve", "nld",
    "rus", "plk", "ptb", "ptg", "hun", "trk", "csy",
];
/// The first build of DSM that wants an object, and the first that knows of no signatures.
const FIRST_OBJECT: u32 = 5004;
const FIRST_UNSIGNED: u32 = 40_000;
/// The largest icon of a package.
const ICON: &str = "PACKAGE_ICON_256.PNG";

/// What a box tells when it asks.
pub struct Asked {
    platform: String,
    major: u32,
    build: u32,
    language: String,
}

/// Why an answer is refused.
#[derive(Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Something isn't told.
    Missing,
    /// Something makes no sense.
    Unknown,
}

/// The packages of a folder.
pub struct Source {
    folder: PathBuf,
    url: String,
    packages: Vec<Package>,
    /// The words of `INFO` that concern a platform, by major version of DSM and platform.
    arch: BTreeMap<(u32, String), BTreeSet<String>>,
}

struct Package {
    file: String,
    size: usize,
    md5: String,
    info: BTreeMap<String, String>,
    /// Whether it is installed and upgraded without a question.
    is_quick: [bool; 2],
    icon: Vec<u8>,
}

impl Asked {
    /// Understands what was asked for, from the values by their keys.
    pub fn new(values: &BTreeMap<String, String>) -> Result<Asked, Refusal> {
        let value = |key| values.get(key).filter(|value| !value.is_empty());
        let required = |key| value(key).cloned().ok_or(Refusal::Missing);
        let number = |text: &String| text.parse().map_err(|_| Refusal::Unknown);
        let build = number(&required("build")?)?;
        let platform = required("arch")?;
        let language = required("language")?;
        if !LANGUAGES.contains(&language.as_str()) {
            return Err(Refusal::Unknown);
        }
        let major = match value("major") {
            Some(major) => number(major)?,
            None if build < FIRST_UNSIGNED => 6,
            None => 7,
        };
        Ok(Asked { platform, major, build, language })
    }
}

/// Reads the packages of a folder and writes a file for each DSM and CPU, as it is told to who asks in English. Any web
/// server can serve the folder then.
pub fn write(data: &Data, folder: &Path, url: &str) -> Result<Source> {
    let source = Source::read(data, folder, url)?;
    for (cpu, target) in data.targets(None)? {
        for (dsm, boxes) in &target.dsm {
            let major: u32 = dsm.parse()?;
            let Some(platform) = boxes.platforms.first() else { continue };
            let asked = Asked {
                platform: platform.clone(),
                major,
                build: if major < 7 { FIRST_UNSIGNED - 1 } else { u32::MAX },
                language: ENGLISH.to_owned(),
            };
            let told = source.told(&asked).map_err(|_| format!("{platform} isn't known"))?;
            put(folder, &format!("dsm{dsm}-{cpu}.json"), told.to_string().as_bytes())?;
        }
    }
    for package in &source.packages {
        put(folder, &package.icon_name(), &package.icon)?;
    }
    Ok(source)
}

fn put(folder: &Path, name: &str, bytes: &[u8]) -> Result<()> {
    let path = folder.join(name);
    fs::write(&path, bytes).map_err(at(&path))
}

impl Source {
    fn read(data: &Data, folder: &Path, url: &str) -> Result<Source> {
        let mut packages = Vec::new();
        for entry in fs::read_dir(folder).map_err(at(folder))? {
            let path = entry.map_err(at(folder))?.path();
            if path.extension().is_some_and(|extension| extension == "spk") {
                let package = Package::read(&path);
                packages.push(package.map_err(|error| format!("{}: {error}", path.display()))?);
            }
        }
        if packages.is_empty() {
            return Err(format!("{} has no packages: run cargo spk first", folder.display()).into());
        }
        packages.sort_by(|a, b| a.file.cmp(&b.file));
        let mut arch: BTreeMap<_, BTreeSet<String>> = BTreeMap::new();
        for (_, target) in data.targets(None)? {
            for (dsm, boxes) in &target.dsm {
                for platform in &boxes.platforms {
                    let words = arch.entry((dsm.parse()?, platform.clone())).or_default();
                    words.extend(["noarch".to_owned(), platform.clone()]);
                    words.extend(boxes.arch.iter().cloned());
                }
            }
        }
        Ok(Source { folder: folder.to_owned(), url: url.to_owned(), packages, arch })
    }

    /// The document for who asks.
    pub fn told(&self, asked: &Asked) -> Result<Value, Refusal> {
        let known = self.arch.get(&(asked.major, asked.platform.clone()));
        // A platform that another DSM has is known, too.
        let is_known = self.arch.keys().any(|(_, platform)| *platform == asked.platform);
        let none = BTreeSet::new();
        let arch = if is_known { known.unwrap_or(&none) } else { return Err(Refusal::Unknown) };
        let mut newest: BTreeMap<&str, &Package> = BTreeMap::new();
        for package in self.packages.iter().filter(|package| package.suits(arch, asked)) {
            let held = newest.entry(package.told("package")).or_insert(package);
            if held.version() < package.version() {
                *held = package;
            }
        }
        let packages: Vec<Value> =
            newest.values().map(|package| package.document(&self.url, &asked.language)).collect();
        Ok(match asked.build {
            FIRST_UNSIGNED.. => json!({ "packages": packages }),
            FIRST_OBJECT.. => json!({ "packages": packages, "keyrings": [] }),
            _ => json!(packages),
        })
    }

    /// The file of this name, if it belongs to the source.
    pub fn file(&self, name: &str) -> Option<PathBuf> {
        let is_package = |package: &Package| name == package.file || name == package.icon_name();
        let is_feed = name.starts_with("dsm") && name.ends_with(".json") && !name.contains('/');
        (is_feed || self.packages.iter().any(is_package)).then(|| self.folder.join(name))
    }
}

impl Package {
    fn read(path: &Path) -> Result<Package> {
        let bytes = fs::read(path)?;
        let file = path.file_name().and_then(|name| name.to_str()).ok_or("not a name in UTF-8")?;
        let mut members = BTreeMap::new();
        for member in tar::Archive::new(bytes.as_slice()).entries()? {
            let mut member = member?;
            let name = member.path()?.display().to_string();
            let mut content = Vec::new();
            if name == "INFO" || name == ICON {
                std::io::Read::read_to_end(&mut member, &mut content)?;
            }
            members.insert(name, content);
        }
        let info = members.get("INFO").ok_or("it has no INFO")?;
        let info = info_values(str::from_utf8(info)?);
        for key in ["package", "version", "os_min_ver", "arch", "displayname", "description"] {
            info.get(key).ok_or_else(|| format!("its INFO has no {key}"))?;
        }
        let asks = |wizard: &str| {
            members.contains_key("LICENSE") || members.keys().any(|name| name.starts_with(wizard))
        };
        let wizards = ["WIZARD_UIFILES/install_uifile", "WIZARD_UIFILES/upgrade_uifile"];
        Ok(Package {
            file: file.to_owned(),
            size: bytes.len(),
            md5: md5(&bytes),
            info,
            is_quick: wizards.map(|wizard| !asks(wizard)),
            icon: members.remove(ICON).ok_or_else(|| format!("it has no {ICON}"))?,
        })
    }

    fn told(&self, key: &str) -> &str {
        self.info.get(key).map_or("", String::as_str)
    }

    fn icon_name(&self) -> String {
        format!("{}.png", self.told("package"))
    }

    fn version(&self) -> Vec<u32> {
        numbers(self.told("version"))
    }

    fn suits(&self, arch: &BTreeSet<String>, asked: &Asked) -> bool {
        let (first, last) = (numbers(self.told("os_min_ver")), numbers(self.told("os_max_ver")));
        let build = |version: &[u32]| version.last().copied();
        first.first() == Some(&asked.major)
            && build(&first) <= Some(asked.build)
            && build(&last).is_none_or(|last| asked.build <= last)
            && self.told("arch").split(' ').any(|word| arch.contains(word))
    }

    fn document(&self, url: &str, language: &str) -> Value {
        let in_language = |key: &str| {
            let own = self.info.get(&format!("{key}_{language}"));
            own.map_or_else(|| self.told(key), String::as_str)
        };
        let [installs_quickly, upgrades_quickly] = self.is_quick;
        let icon = format!("{url}/{}", self.icon_name());
        json!({
            "package": self.told("package"),
            "version": self.told("version"),
            "dname": in_language("displayname"),
            "desc": in_language("description"),
            "link": format!("{url}/{}", self.file),
            "md5": self.md5,
            "size": self.size,
            "thumbnail": [icon],
            "thumbnail_retina": [icon],
            "snapshot": [],
            "qinst": installs_quickly,
            "qupgrade": upgrades_quickly,
            "qstart": installs_quickly,
            "deppkgs": null,
            "conflictpkgs": null,
            "download_count": 0,
            "recent_download_count": 0,
            "maintainer": self.told("maintainer"),
            "beta": false,
        })
    }
}

fn info_values(info: &str) -> BTreeMap<String, String> {
    let pairs = info.lines().filter_map(|line| line.split_once('='));
    pairs.map(|(key, value)| (key.to_owned(), value.trim_matches('"').to_owned())).collect()
}

fn numbers(version: &str) -> Vec<u32> {
    version.split(['.', '-', '_']).filter_map(|number| number.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(pairs: &[(&str, &str)]) -> Result<Asked, Refusal> {
        let own = |text: &str| text.to_owned();
        Asked::new(&pairs.iter().map(|(key, value)| (own(key), own(value))).collect())
    }

    #[test]
    fn what_is_missing_or_makes_no_sense_is_refused() {
        let good = [("build", "64570"), ("arch", "apollolake"), ("language", "ger")];
        assert_eq!(asked(&good).unwrap().major, 7);
        for left_out in 0..good.len() {
            let mut pairs = good;
            pairs[left_out].1 = "";
            assert_eq!(asked(&pairs).err(), Some(Refusal::Missing));
        }
        for (key, value) in [("build", "-1"), ("language", "xyz"), ("major", "seven")] {
            let pairs = [good[0], good[1], good[2], (key, value)];
            assert_eq!(asked(&pairs).err(), Some(Refusal::Unknown), "{key}");
        }
    }

    #[test]
    fn versions_are_compared_by_their_numbers() {
        assert!(numbers("0.10.0-1") > numbers("0.9.2-11"));
        assert!(numbers("0.1.0-10") > numbers("0.1.0-9"));
    }
}
