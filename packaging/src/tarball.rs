//! The tarball for any Linux with systemd.

use crate::archive::Archive;
use crate::data::Data;
use crate::icon::Icon;
use crate::{Result, at, panel};
use std::fs;

/// Its name and its bytes.
pub fn pack(data: &Data, cpu: &str, program: &[u8], icon: &Icon) -> Result<(String, Vec<u8>)> {
    let name = format!("{}-{}-{cpu}", data.package.id, data.version);
    let mut tarball = Archive::default();
    tarball.program(format!("{name}/bin/mooring"), program);
    panel::put(data, icon, &format!("{name}/ui"), &mut tarball)?;
    for file in ["LICENSE", "packaging/mooring.service"] {
        let path = data.root.join(file);
        let bytes = fs::read(&path).map_err(at(&path))?;
        let file = file.rsplit('/').next().unwrap_or(file);
        tarball.file(format!("{name}/{file}"), bytes);
    }
    Ok((format!("{name}.tar.gz"), tarball.tar_gz()?))
}
