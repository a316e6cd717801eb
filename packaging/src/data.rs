//! What is described in files: the package, the CPUs, the texts.

use crate::texts::Texts;
use crate::{Result, at};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The language of those whose own isn't there.
pub const ENGLISH: &str = "enu";

/// All of it.
pub struct Data {
    /// The project's folder.
    pub root: PathBuf,
    /// The version of Mooring.
    pub version: String,
    /// What all packages have in common.
    pub package: Package,
    targets: BTreeMap<String, Target>,
    /// The texts by language, as DSM names languages.
    pub texts: BTreeMap<String, Texts>,
}

/// What all packages have in common.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Package {
    /// What DSM knows it by.
    pub id: String,
    /// What people know it by.
    pub name: String,
    /// Who makes it.
    pub maintainer: String,
    /// The number of the package among those of one version of Mooring.
    pub build: u32,
    /// What depends on the DSM, by its major version.
    pub dsm: BTreeMap<String, Dsm>,
}

/// What depends on the DSM.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dsm {
    /// The first version that takes the package.
    pub os_min_ver: String,
    /// The last one, if there is a bound.
    pub os_max_ver: Option<String>,
    /// The side of the package's icon in pixels.
    pub icon: u32,
}

/// What depends on the CPU.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// What rustc calls it.
    pub triple: String,
    /// Flags for rustc.
    pub rustflags: Vec<String>,
    /// What may be packed.
    pub limits: Limits,
    /// The boxes with such a CPU, by major version of DSM.
    pub dsm: BTreeMap<String, Boxes>,
}

/// Sizes in bytes.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Of the program.
    pub binary: usize,
    /// Of the package.
    pub spk: usize,
}

/// The boxes with a CPU.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Boxes {
    /// What `INFO` calls them.
    pub arch: Vec<String>,
    /// What they call themselves.
    pub platforms: Vec<String>,
}

#[derive(Deserialize)]
struct Manifest {
    package: ManifestPackage,
}

#[derive(Deserialize)]
struct ManifestPackage {
    version: String,
}

impl Data {
    /// Reads all of it.
    pub fn read(root: &Path) -> Result<Data> {
        let manifest: Manifest = read(&root.join("Cargo.toml"))?;
        let spk = root.join("packaging/spk");
        Ok(Data {
            root: root.to_owned(),
            version: manifest.package.version,
            package: read(&spk.join("package.toml"))?,
            targets: read_all(&root.join("targets"))?,
            texts: read_all(&spk.join("texts"))?,
        })
    }

    /// Where what is packed as it is lies.
    pub fn spk_folder(&self) -> PathBuf {
        self.root.join("packaging/spk")
    }

    /// The version of the package.
    pub fn package_version(&self) -> String {
        format!("{}-{}", self.version, self.package.build)
    }

    /// The CPU of this name, or all.
    pub fn targets(&self, name: Option<&str>) -> Result<Vec<(&str, &Target)>> {
        chosen(&self.targets, name, "CPU")
    }

    /// The major version of DSM of this name, or all.
    pub fn systems(&self, name: Option<&str>) -> Result<Vec<&str>> {
        let systems = chosen(&self.package.dsm, name, "DSM")?;
        Ok(systems.into_iter().map(|(name, _)| name).collect())
    }

    /// The boxes with this CPU and DSM.
    pub fn boxes(&self, cpu: &str, dsm: &str) -> Result<&Boxes> {
        let boxes = self.targets.get(cpu).and_then(|target| target.dsm.get(dsm));
        boxes.ok_or_else(|| format!("targets/{cpu}.toml has no [dsm.{dsm}]").into())
    }

    /// What depends on this DSM.
    pub fn dsm(&self, dsm: &str) -> Result<&Dsm> {
        let found = self.package.dsm.get(dsm);
        found.ok_or_else(|| format!("package.toml has no [dsm.{dsm}]").into())
    }
}

fn chosen<'a, T>(
    all: &'a BTreeMap<String, T>,
    name: Option<&str>,
    kind: &str,
) -> Result<Vec<(&'a str, &'a T)>> {
    let is_wanted = |each: &str| name.is_none_or(|name| name == each);
    let found = all.iter().map(|(each, value)| (each.as_str(), value));
    let found: Vec<_> = found.filter(|(each, _)| is_wanted(each)).collect();
    if found.is_empty() {
        let names: Vec<_> = all.keys().map(String::as_str).collect();
        let name = name.unwrap_or_default();
        return Err(format!("there is no {kind} {name:?}; there are {}", names.join(", ")).into());
    }
    Ok(found)
}

/// Each file of a folder, by its name without the extension.
fn read_all<T: DeserializeOwned>(folder: &Path) -> Result<BTreeMap<String, T>> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(folder).map_err(at(folder))? {
        let path = entry.map_err(at(folder))?.path();
        if let Some(name) = path.file_stem().and_then(|name| name.to_str()) {
            all.insert(name.to_owned(), read(&path)?);
        }
    }
    Ok(all)
}

fn read<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let text = fs::read_to_string(path).map_err(at(path))?;
    toml::from_str(&text).map_err(at(path))
}
