//! A NAS as the scripts of the package see it: a `/var` of its own, in a namespace of mounts.

use super::{Spk, fresh, native, root};
use std::env;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Where DSM keeps what belongs to a package.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    Dsm6,
    Dsm7,
}

/// A NAS with the package on it. Its daemon ends with it.
pub struct Nas {
    name: String,
    pub layout: Layout,
    /// What is its `/var`.
    pub var: PathBuf,
    shell: Vec<PathBuf>,
}

impl Nas {
    /// Two of each layout, one for each shell that DSM may have.
    pub fn each(name: &str) -> Vec<Nas> {
        let layouts = [Layout::Dsm6, Layout::Dsm7];
        let shells = [vec!["/bin/sh".into()], vec![busybox(), "ash".into()]];
        let pairs =
            layouts.iter().flat_map(|layout| shells.iter().map(move |shell| (layout, shell)));
        pairs.map(|(layout, shell)| Nas::new(name, *layout, shell.clone())).collect()
    }

    fn new(name: &str, layout: Layout, shell: Vec<PathBuf>) -> Nas {
        let name = format!("nas-{name}-{layout:?}-{}", shell.len());
        let var = fresh(&name);
        let nas = Nas { name, layout, var, shell };
        for folder in ["packages/mooring", "volume1/@appstore", "tmp/upgrade"] {
            fs::create_dir_all(nas.var.join(folder)).unwrap();
        }
        let kept: &[_] = match layout {
            Layout::Dsm6 => &[("etc", "etc/packages")],
            Layout::Dsm7 => &[
                ("etc", "volume1/@appconf"),
                ("var", "volume1/@appdata"),
                ("home", "volume1/@apphome"),
            ],
        };
        for (folder, place) in kept.iter().chain(&[("target", "volume1/@appstore")]) {
            fs::create_dir_all(nas.var.join(place).join("mooring")).unwrap();
            let link = nas.package().join(folder);
            symlink(format!("../../{place}/mooring"), link).unwrap();
        }
        nas.unpack();
        nas
    }

    /// Whether its shell is that of busybox.
    pub fn has_busybox(&self) -> bool {
        self.shell.len() > 1
    }

    /// Where the package is.
    pub fn package(&self) -> PathBuf {
        self.var.join("packages/mooring")
    }

    /// The state folder.
    pub fn state(&self) -> PathBuf {
        let var = if self.layout == Layout::Dsm7 { "var" } else { "target/var" };
        self.package().join(var).join("state")
    }

    /// Where a script says something to the user.
    pub fn message(&self) -> String {
        fs::read_to_string(self.var.join("tmp/message")).unwrap_or_default()
    }

    pub fn spk(&self) -> &'static Spk {
        native(if self.layout == Layout::Dsm7 { 7 } else { 6 })
    }

    /// Replaces the files of the package.
    pub fn unpack(&self) {
        let target = self.package().join("target");
        for entry in fs::read_dir(&target).unwrap() {
            fs::remove_dir_all(entry.unwrap().path()).unwrap();
        }
        for member in self.spk().target.iter().filter(|member| member.kind.is_file()) {
            put(&target.join(&member.path), &member.bytes, member.mode);
        }
        let scripts =
            self.spk().members.iter().filter(|member| member.path.starts_with("scripts/"));
        for member in scripts.filter(|member| member.kind.is_file()) {
            put(&self.package().join(&member.path), &member.bytes, member.mode);
        }
    }

    /// How a script ends that is called with these words and variables, and nothing else.
    pub fn script(&self, words: &str, variables: &[(&str, &str)]) -> Output {
        let mut words = words.split(' ');
        let script = format!("/var/packages/mooring/scripts/{}", words.next().unwrap());
        let mut command = Command::new("unshare");
        command.args(["--mount", "--map-root-user", "sh", "-c"]);
        command.arg("mount --bind \"$0\" /var && exec \"$@\"").arg(&self.var);
        command.args(&self.shell).arg(script).args(words);
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("MARK", &self.name);
        command.env("SYNOPKG_TEMP_LOGFILE", "/var/tmp/message").envs(variables.iter().copied());
        // Who waits for the end of its output would wait for the daemon, if that still had it.
        command.output().unwrap()
    }

    /// The processes that scripts have left behind.
    pub fn processes(&self) -> Vec<u32> {
        let mark = format!("MARK={}", self.name);
        let all = fs::read_dir("/proc").unwrap();
        let numbers = all.filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok());
        let is_marked = |number: &u32| {
            let variables = fs::read(format!("/proc/{number}/environ")).unwrap_or_default();
            variables.split(|byte| *byte == 0).any(|variable| variable == mark.as_bytes())
        };
        numbers.filter(is_marked).collect()
    }

    pub fn start(&self) {
        self.ends("start-stop-status start", 0);
    }

    /// The script ends with this code.
    pub fn ends(&self, words: &str, code: i32) {
        let output = self.script(words, &[]);
        assert_eq!(output.status.code(), Some(code), "{}: {words}: {output:?}", self.name);
    }
}

impl Drop for Nas {
    fn drop(&mut self) {
        for process in self.processes() {
            signal("KILL", process);
        }
    }
}

pub fn signal(name: &str, process: u32) {
    let _ = Command::new("kill").args(["-s", name, &process.to_string()]).status();
}

/// One that is installed, or that which `tests/run --install` unpacked.
pub fn busybox() -> PathBuf {
    let folders = env::var_os("PATH").unwrap_or_default();
    let mut places = env::split_paths(&folders).collect::<Vec<_>>();
    places.push(root().join("target/peers/debian/bin"));
    let mut found = places.iter().map(|folder| folder.join("busybox"));
    found.find(|path| path.exists()).expect("busybox: run tests/run --install")
}

fn put(path: &Path, bytes: &[u8], mode: u32) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}
