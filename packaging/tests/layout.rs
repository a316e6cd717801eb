//! The archives: what is in them, how, and that they are the same each time.

use crate::common::{Member, Spk, cpus, fresh, pack, packages, packer};
use std::collections::BTreeSet;
use std::fs::{self, File};
use tar::EntryType;

#[test]
fn a_package_is_a_tar_that_isnt_compressed() {
    for spk in packages() {
        // The mark of a tar; what is compressed has none.
        assert_eq!(&spk.bytes[257..262], b"ustar", "{}", spk.name());
    }
}

#[test]
fn all_members_are_there() {
    let required = "INFO package.tgz LICENSE PACKAGE_ICON.PNG PACKAGE_ICON_256.PNG conf conf/privilege scripts \
         scripts/start-stop-status scripts/preinst scripts/postinst scripts/preuninst \
         scripts/postuninst scripts/preupgrade scripts/postupgrade WIZARD_UIFILES";
    for spk in packages() {
        let paths: Vec<_> = spk.members.iter().map(|member| member.path.as_str()).collect();
        assert_eq!(paths.iter().collect::<BTreeSet<_>>().len(), paths.len(), "{}", spk.name());
        assert_eq!(paths[0], "INFO");
        for path in required.split_whitespace() {
            assert!(paths.contains(&path), "{}: no {path}", spk.name());
        }
        assert!(paths.iter().all(|path| !path.starts_with("./")), "{}", spk.name());
    }
}

#[test]
fn folders_are_members_before_what_is_in_them() {
    for spk in packages() {
        for members in [&spk.members, &spk.target] {
            for (place, member) in members.iter().enumerate() {
                let Some((folder, _)) = member.path.rsplit_once('/') else { continue };
                let is_folder = |each: &Member| each.path == folder && each.kind.is_dir();
                assert!(members[..place].iter().any(is_folder), "{}: {folder}", spk.name());
            }
        }
    }
}

#[test]
fn what_becomes_target_is_compressed_with_gzip() {
    for spk in packages() {
        assert_eq!(spk.file("package.tgz")[..2], [0x1f, 0x8b], "{}", spk.name());
        assert!(!spk.target.is_empty());
    }
}

#[test]
fn what_becomes_target_is_harmless() {
    for spk in packages() {
        for member in spk.target.iter().chain(&spk.members) {
            let Member { path, kind, mode, owner, .. } = member;
            assert!(matches!(kind, EntryType::Regular | EntryType::Directory), "{path}");
            assert!(!path.starts_with('/') && path.split('/').all(|part| part != ".."), "{path}");
            assert_eq!(mode & !0o777, 0, "{path}");
            assert_eq!(*owner, (0, 0), "{path}");
        }
    }
}

#[test]
fn the_licence_is_short_and_readable() {
    for spk in packages() {
        assert!(spk.file("LICENSE").len() < 1 << 20);
        assert!(str::from_utf8(spk.file("LICENSE")).is_ok());
    }
}

#[test]
fn it_takes_no_more_room_than_targets_allows() {
    let limits = |cpu| {
        let path = crate::common::root().join(format!("targets/{cpu}.toml"));
        let target: toml::Table = fs::read_to_string(path).unwrap().parse().unwrap();
        ["binary", "spk"].map(|key| target["limits"][key].as_integer().unwrap() as usize)
    };
    for spk in packages() {
        let [binary, package] = limits(spk.cpu);
        assert!(spk.target_file("bin/mooring").len() <= binary, "{}", spk.name());
        assert!(spk.bytes.len() <= package, "{}", spk.name());
    }
}

#[test]
fn what_is_too_large_isnt_packed() {
    let folder = fresh("large");
    let program = folder.join("program");
    File::create(&program).unwrap().set_len(100 << 20).unwrap();
    let mut packer = packer();
    packer.args(["--cpu", "armv7", "--out"]).arg(&folder).arg("--program").arg(&program);
    let output = packer.output().unwrap();
    assert!(!output.status.success());
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains("the program for armv7 has 104857600 bytes"), "{told}");
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
}

#[test]
fn the_same_files_give_the_same_bytes() {
    let folder = fresh("again");
    for cpu in cpus() {
        pack(cpu, &folder, &[]);
    }
    let same = |spk: &Spk| fs::read(folder.join(spk.name())).unwrap() == spk.bytes;
    for spk in packages() {
        assert!(same(spk), "{}", spk.name());
    }
}
