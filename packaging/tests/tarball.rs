//! The tarball for other systems.

use crate::common::{cpus, fresh, pack, program, unpacked};
use flate2::read::GzDecoder;
use std::fs;

#[test]
fn the_tarball_has_all_that_a_linux_with_systemd_needs() {
    let folder = fresh("tarballs");
    for cpu in cpus() {
        pack(cpu, &folder, &["--tarball"]);
        let name = format!("mooring-{}-{cpu}", env_version());
        let bytes = fs::read(folder.join(format!("{name}.tar.gz"))).unwrap();
        let members = unpacked(GzDecoder::new(bytes.as_slice()));
        let member = |path: &str| {
            let path = format!("{name}/{path}");
            members.iter().find(|member| member.path == path).unwrap_or_else(|| panic!("{path}"))
        };
        assert!(member("bin/mooring").bytes == fs::read(program(cpu)).unwrap());
        assert_eq!(member("bin/mooring").mode, 0o755);
        assert!(member("LICENSE").kind.is_file());
        assert!(member("ui/images/mooring-16.png").kind.is_file());
        let unit = str::from_utf8(&member("mooring.service").bytes).unwrap();
        assert!(unit.contains("ExecStart=/opt/mooring/bin/mooring daemon --listen 127.0.0.1:"));
        // What only DSM knows what to do with isn't in it.
        assert!(members.iter().all(|member| !member.path.ends_with(".cgi")));
        assert!(members.iter().all(|member| member.path.starts_with(&name)));
    }
}

fn env_version() -> String {
    let manifest = fs::read_to_string(crate::common::root().join("Cargo.toml")).unwrap();
    let manifest: toml::Table = manifest.parse().unwrap();
    manifest["package"]["version"].as_str().unwrap().to_owned()
}
