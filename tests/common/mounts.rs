//! Mounts that only the program under test sees, without root where users may have namespaces of their own.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A user and mount namespace, gone when this is dropped.
pub struct Mounts {
    holder: Child,
}

impl Mounts {
    pub fn new() -> Mounts {
        // It ends with its standard input, so with this process at the latest.
        let mut holder = Command::new("unshare")
            .args(["--map-root-user", "--mount", "sh", "-c", "echo ready && exec cat"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("unshare (of util-linux) doesn't start: {error}"));
        let mut said = String::new();
        BufReader::new(holder.stdout.take().unwrap()).read_line(&mut said).unwrap();
        assert_eq!(said, "ready\n", "this machine gives no namespaces to this user (unshare -rm)");
        Mounts { holder }
    }

    /// What a program has to be started through to see the mounts.
    pub fn through(&self) -> Vec<String> {
        let target = self.holder.id().to_string();
        ["nsenter", "--preserve-credentials", "--user", "--mount", "--target", &target]
            .map(str::to_owned)
            .to_vec()
    }

    /// Runs a shell script with the folder as `$1`.
    pub fn run(&self, script: &str, folder: &Path) {
        let through = self.through();
        let output = Command::new(&through[0])
            .args(&through[1..])
            .args(["sh", "-ec", script, "sh"])
            .arg(folder)
            .output()
            .unwrap();
        assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// Where this process sees what the program sees at this path.
    pub fn seen(&self, path: &Path) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root{}", self.holder.id(), path.display()))
    }
}

impl Drop for Mounts {
    fn drop(&mut self) {
        drop(self.holder.stdin.take());
        // It has nothing left to read.
        let _ = self.holder.wait();
    }
}
