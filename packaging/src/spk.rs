//! The package for DSM: a tar of `package.tgz` (what becomes `target`), `INFO`, scripts, wizards and icons.

use crate::archive::Archive;
use crate::data::{Data, ENGLISH};
use crate::icon::Icon;
use crate::info::{self, Payload};
use crate::{Result, at, files, texts};
use md5::{Digest, Md5};
use serde_json::Value;
use std::fs;

/// Sides in pixels of the icons that the desktop asks for.
const ICON_SIZES: [u32; 7] = [16, 24, 32, 48, 64, 72, 256];
/// What else is in the package's folder and in the package; all of it is wanted.
const PROGRAMS: [&str; 1] = ["cli/mooring"];
/// What an entry of the desktop is that can be opened.
const APP_TYPES: [&str; 3] = ["app", "legacy", "url"];

/// The name and the bytes of the package for this CPU and DSM.
pub fn pack(
    data: &Data,
    dsm: &str,
    cpu: &str,
    program: &[u8],
    icon: &Icon,
) -> Result<(String, Vec<u8>)> {
    let folder = data.spk_folder();
    let (target, apps) = target(data, dsm, program, icon)?;
    let payload = target.tar_gz()?;
    let told = Payload { checksum: md5(&payload), size: target.size(), apps };
    let mut spk = Archive::default();
    spk.file("INFO", info::write(data, dsm, cpu, &told)?);
    spk.file("package.tgz", payload);
    spk.file("PACKAGE_ICON.PNG", icon.png(data.dsm(dsm)?.icon)?);
    spk.file("PACKAGE_ICON_256.PNG", icon.png(256)?);
    let licence = data.root.join("LICENSE");
    spk.file("LICENSE", fs::read(&licence).map_err(at(&licence))?);
    for (name, bytes) in files::below(&folder.join("conf"))? {
        spk.file(format!("conf/{name}"), bytes);
    }
    for (name, bytes) in files::below(&folder.join("scripts"))? {
        spk.program(format!("scripts/{name}"), bytes);
    }
    spk.program("scripts/messages", texts::messages(&data.texts)?);
    for (language, texts) in &data.texts {
        for (name, wizard) in texts.wizards(dsm) {
            let ending = if language == ENGLISH { String::new() } else { format!("_{language}") };
            spk.file(format!("WIZARD_UIFILES/{name}{ending}"), format!("{wizard:#}\n"));
        }
    }
    let name = format!("{}-{}-dsm{dsm}-{cpu}.spk", data.package.id, data.package_version());
    Ok((name, spk.tar()?))
}

/// MD5 in hexadecimal digits.
pub fn md5(bytes: &[u8]) -> String {
    Md5::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What becomes `target`, and the entries of the desktop.
fn target(data: &Data, dsm: &str, program: &[u8], icon: &Icon) -> Result<(Archive, Vec<String>)> {
    let folder = data.spk_folder();
    let mut target = Archive::default();
    target.program(format!("bin/{}", data.package.id), program);
    for path in PROGRAMS {
        let file = folder.join(path);
        target.program(path, fs::read(&file).map_err(at(&file))?);
    }
    put_page(data, icon, "ui", &mut target)?;
    let api = folder.join("ui/api.cgi");
    target.program("ui/api.cgi", fs::read(&api).map_err(at(&api))?);
    let config = folder.join(format!("ui/config-{dsm}.json"));
    let text = fs::read_to_string(&config).map_err(at(&config))?;
    let apps = apps(&serde_json::from_str(&text).map_err(at(&config))?);
    target.file("ui/config", stamped(data, text.into()));
    Ok((target, apps))
}

/// Puts in what a browser loads: all but what only DSM knows what to do with.
pub fn put_page(data: &Data, icon: &Icon, folder: &str, archive: &mut Archive) -> Result<()> {
    for (name, bytes) in files::below(&data.spk_folder().join("ui"))? {
        let is_for_dsm = name == "api.cgi" || name.starts_with("config-");
        if !is_for_dsm {
            archive.file(format!("{folder}/{name}"), stamped(data, bytes));
        }
    }
    for side in ICON_SIZES {
        archive.file(format!("{folder}/images/mooring-{side}.png"), icon.png(side)?);
    }
    Ok(())
}

/// A file of the page in which the addresses of others tell their version: all files have one time, so that a browser
/// would take a new one of the same size for the one it knows.
fn stamped(data: &Data, bytes: Vec<u8>) -> Vec<u8> {
    match String::from_utf8(bytes) {
        Ok(text) => text.replace("?VERSION", &format!("?{}", data.package_version())).into(),
        Err(error) => error.into_bytes(),
    }
}

fn apps(config: &Value) -> Vec<String> {
    let groups = config.as_object().into_iter().flat_map(|groups| groups.values());
    let entries = groups.filter_map(Value::as_object).flatten();
    let is_app = |entry: &Value| APP_TYPES.iter().any(|kind| entry["type"] == *kind);
    entries.filter(|(_, entry)| is_app(entry)).map(|(id, _)| id.clone()).collect()
}
