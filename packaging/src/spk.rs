//! The package for DSM: a tar of `package.tgz` (what becomes `target`), `INFO`, scripts, wizards and icons.

use crate::archive::Archive;
use crate::data::{Data, ENGLISH};
use crate::icon::Icon;
use crate::info::{self, Payload};
use crate::{Result, at, files, panel, texts};
use md5::{Digest, Md5};
use serde_json::Value;
use std::fs;

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
    panel::put(data, icon, "ui", &mut target)?;
    let api = folder.join("ui/api.cgi");
    target.program("ui/api.cgi", fs::read(&api).map_err(at(&api))?);
    let config = folder.join(format!("ui/config-{dsm}.json"));
    let text = fs::read_to_string(&config).map_err(at(&config))?;
    let apps = apps(&serde_json::from_str(&text).map_err(at(&config))?);
    target.file("ui/config", panel::stamped(data, text.into()));
    Ok((target, apps))
}

fn apps(config: &Value) -> Vec<String> {
    let groups = config.as_object().into_iter().flat_map(|groups| groups.values());
    let entries = groups.filter_map(Value::as_object).flatten();
    let is_app = |entry: &Value| APP_TYPES.iter().any(|kind| entry["type"] == *kind);
    entries.filter(|(_, entry)| is_app(entry)).map(|(id, _)| id.clone()).collect()
}
