//! The program for a CPU: built in a container where that can be done, else by `packaging/toolchain`.

use crate::data::{Data, Target};
use crate::{Result, at};
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What cargo sets for those it runs, that would mislead another compiler.
const VARIABLES_OF_CARGO: [&str; 3] = ["CARGO", "LD_LIBRARY_PATH", "RUSTUP_TOOLCHAIN"];
/// Programs that run containers.
const ENGINES: [&str; 2] = ["docker", "podman"];

/// Builds the program; it is kept as `target/spk/CPU/mooring`.
pub fn build(data: &Data, cpu: &str, target: &Target) -> Result<Vec<u8>> {
    let built = if can_use_containers() {
        with_cross(data, cpu, target)?
    } else {
        with_toolchain(data, cpu)?
    };
    fs::read(&built).map_err(at(&built))
}

fn can_use_containers() -> bool {
    succeeds("cross", "--version") && ENGINES.iter().any(|engine| succeeds(engine, "info"))
}

fn succeeds(program: &str, arg: &str) -> bool {
    let mut command = Command::new(program);
    let quiet = command.arg(arg).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    quiet.status().is_ok_and(|status| status.success())
}

fn with_cross(data: &Data, cpu: &str, target: &Target) -> Result<PathBuf> {
    let folder = "target/cross";
    let mut cross = command(data, "cross");
    cross.args(["build", "--release", "--locked", "--package", "mooring", "--target-dir", folder]);
    cross.args(["--target", &target.triple]).env("RUSTFLAGS", target.rustflags.join(" "));
    output(&mut cross)?;
    let built = data.root.join(folder).join(&target.triple).join("release/mooring");
    let kept = data.root.join("target/spk").join(cpu);
    fs::create_dir_all(&kept).map_err(at(&kept))?;
    let kept = kept.join("mooring");
    fs::copy(&built, &kept).map_err(at(&built))?;
    Ok(kept)
}

/// The script tells where the program is on its last line.
fn with_toolchain(data: &Data, cpu: &str) -> Result<PathBuf> {
    let script = data.root.join("packaging/toolchain");
    let told = output(command(data, &script).args(["build", cpu]))?;
    let path = told.lines().last().ok_or("packaging/toolchain didn't tell where the program is")?;
    Ok(data.root.join(Path::new(path)))
}

fn command(data: &Data, program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.current_dir(&data.root);
    for variable in VARIABLES_OF_CARGO {
        command.env_remove(variable);
    }
    command
}

fn output(command: &mut Command) -> Result<String> {
    let name = command.get_program().display().to_string();
    let output = command.stderr(Stdio::inherit()).output();
    let output = output.map_err(|error| format!("{name}: {error}"))?;
    if !output.status.success() {
        return Err(format!("{name} failed: {}", output.status).into());
    }
    Ok(String::from_utf8(output.stdout)?)
}
