//! `INFO`: what DSM knows about a package before it unpacks it. A shell must be able to read it.

use crate::Result;
use crate::data::{Data, ENGLISH};

/// What tells of the compressed files of a package.
pub struct Payload {
    /// MD5 in hexadecimal digits.
    pub checksum: String,
    /// Bytes of what is in it.
    pub size: usize,
    /// The entries of the desktop.
    pub apps: Vec<String>,
}

/// The file for this CPU and DSM.
pub fn write(data: &Data, dsm: &str, cpu: &str, payload: &Payload) -> Result<String> {
    let package = &data.package;
    let system = data.dsm(dsm)?;
    let english = data.texts.get(ENGLISH).ok_or("there are no English texts")?;
    let mut info = Info::default();
    info.set("package", &package.id)?;
    info.set("version", &data.package_version())?;
    info.set("os_min_ver", &system.os_min_ver)?;
    if let Some(last) = &system.os_max_ver {
        info.set("os_max_ver", last)?;
    }
    info.set("arch", &data.boxes(cpu, dsm)?.arch.join(" "))?;
    info.set("maintainer", &package.maintainer)?;
    info.set("displayname", &package.name)?;
    info.set("description", &english.description)?;
    for (language, texts) in &data.texts {
        info.set(&format!("displayname_{language}"), &package.name)?;
        info.set(&format!("description_{language}"), &texts.description)?;
    }
    info.set("dsmuidir", "ui")?;
    info.set("dsmappname", &payload.apps.join(" "))?;
    info.set("ctl_stop", "yes")?;
    info.set("ctl_uninstall", "yes")?;
    for key in ["silent_install", "silent_upgrade", "silent_uninstall"] {
        info.set(key, "yes")?;
    }
    info.set("checksum", &payload.checksum)?;
    info.set("extractsize", &payload.size.div_ceil(1024).to_string())?;
    Ok(info.text)
}

#[derive(Default)]
struct Info {
    text: String,
}

impl Info {
    fn set(&mut self, key: &str, value: &str) -> Result<()> {
        if value.contains(['"', '$', '`', '\\', '\n']) {
            return Err(format!("INFO can't hold {key} {value:?}: a shell reads it").into());
        }
        self.text += &format!("{key}=\"{value}\"\n");
        Ok(())
    }
}
