//! The packages, made once and read with nothing that made them.

mod nas;

pub use nas::{Layout, Nas, busybox, signal};

use flate2::read::GzDecoder;
use md5::{Digest, Md5};
use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;
use tar::EntryType;

/// The CPUs that there are packages for.
const CPUS: [&str; 4] = ["x86_64", "aarch64", "armv7", "i686"];

/// A package.
pub struct Spk {
    pub path: PathBuf,
    pub cpu: &'static str,
    pub dsm: u32,
    pub bytes: Vec<u8>,
    pub members: Vec<Member>,
    /// What is in `package.tgz`.
    pub target: Vec<Member>,
}

/// A member of a tar.
pub struct Member {
    pub path: String,
    pub kind: EntryType,
    pub mode: u32,
    pub owner: (u64, u64),
    pub bytes: Vec<u8>,
}

impl Spk {
    pub fn name(&self) -> String {
        self.path.file_name().unwrap().to_str().unwrap().to_owned()
    }

    pub fn file(&self, path: &str) -> &[u8] {
        file(&self.members, path).unwrap_or_else(|| panic!("{}: no {path}", self.name()))
    }

    pub fn text(&self, path: &str) -> &str {
        str::from_utf8(self.file(path)).unwrap()
    }

    pub fn target_file(&self, path: &str) -> &[u8] {
        file(&self.target, path).unwrap_or_else(|| panic!("{}: no target/{path}", self.name()))
    }

    pub fn info(&self) -> BTreeMap<&str, &str> {
        let pairs = self.text("INFO").lines().map(|line| line.split_once('=').unwrap());
        pairs.map(|(key, value)| (key, value.trim_matches('"'))).collect()
    }
}

fn file<'a>(members: &'a [Member], path: &str) -> Option<&'a [u8]> {
    members.iter().find(|member| member.path == path).map(|member| member.bytes.as_slice())
}

/// The CPUs whose packages are looked at: those in `MOORING_CPUS`, with spaces between them, or all.
pub fn cpus() -> Vec<&'static str> {
    let Some(named) = env::var_os("MOORING_CPUS") else { return CPUS.into() };
    let named = named.into_string().unwrap();
    let known = |name| *CPUS.iter().find(|cpu| **cpu == name).unwrap_or_else(|| panic!("{name}"));
    named.split_whitespace().map(known).collect()
}

/// All packages.
pub fn packages() -> &'static [Spk] {
    static PACKAGES: OnceLock<Vec<Spk>> = OnceLock::new();
    PACKAGES.get_or_init(|| {
        let folder = fresh("packages");
        let cpus = cpus();
        for cpu in &cpus {
            pack(cpu, &folder, &[]);
        }
        let each = cpus.iter().flat_map(|cpu| [(cpu, 6), (cpu, 7)]);
        each.map(|(cpu, dsm)| read(cpu, dsm, &folder)).collect()
    })
}

/// The package for the CPU of this machine.
pub fn native(dsm: u32) -> &'static Spk {
    let is_native = |spk: &&Spk| spk.cpu == env::consts::ARCH && spk.dsm == dsm;
    packages()
        .iter()
        .find(is_native)
        .expect("these tests run programs: they need an x86_64 or aarch64")
}

/// Packs the program for a CPU into a folder.
pub fn pack(cpu: &str, folder: &Path, words: &[&str]) {
    let program = program(cpu);
    let mut packer = packer();
    packer.args(["--cpu", cpu, "--out"]).arg(folder).arg("--program").arg(program).args(words);
    run(&mut packer);
}

pub fn packer() -> Command {
    Command::new(env!("CARGO_BIN_EXE_packaging"))
}

pub fn run(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    output
}

/// The program for a CPU.
pub fn program(cpu: &str) -> PathBuf {
    let folder =
        env::var_os("MOORING_PROGRAMS").map_or_else(|| root().join("target/spk"), Into::into);
    let program = folder.join(cpu).join("mooring");
    assert!(
        program.exists(),
        "{} isn't there: run `cargo spk`, or name a folder with CPU/mooring in MOORING_PROGRAMS",
        program.display()
    );
    program
}

/// The project's folder.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// An empty folder for a test.
pub fn fresh(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    folder
}

pub fn md5(bytes: &[u8]) -> String {
    Md5::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn read(cpu: &'static str, dsm: u32, folder: &Path) -> Spk {
    let ending = format!("-dsm{dsm}-{cpu}.spk");
    let found = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut found = found.filter(|path| path.to_str().unwrap().ends_with(&ending));
    let path = found.next().unwrap();
    let bytes = fs::read(&path).unwrap();
    let members = unpacked(bytes.as_slice());
    let target = unpacked(GzDecoder::new(file(&members, "package.tgz").unwrap()));
    Spk { path, cpu, dsm, bytes, members, target }
}

pub fn unpacked(tar: impl Read) -> Vec<Member> {
    let mut archive = tar::Archive::new(tar);
    let members = archive.entries().unwrap().map(|member| {
        let mut member = member.unwrap();
        let header = member.header();
        let owner = (header.uid().unwrap(), header.gid().unwrap());
        let (kind, mode) = (header.entry_type(), header.mode().unwrap());
        // As it is written, but for the slash at the end of a folder.
        let path = String::from_utf8(member.path_bytes().into_owned()).unwrap();
        let path = path.trim_end_matches('/').to_owned();
        let mut bytes = Vec::new();
        member.read_to_end(&mut bytes).unwrap();
        Member { path, kind, mode, owner, bytes }
    });
    members.collect()
}
