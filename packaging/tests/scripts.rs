//! The scripts, as DSM 6 and 7 call them, in both shells that it may have.

use crate::common::{Layout, Nas, busybox, fresh, md5, packages, run, signal};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{DirEntryExt, PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

const SCRIPTS: &str = "scripts/";

#[test]
fn scripts_are_understood_by_both_shells() {
    let folder = fresh("syntax");
    for spk in packages() {
        let scripts = spk.members.iter().filter(|member| member.path.starts_with(SCRIPTS));
        let inside = spk
            .target
            .iter()
            .filter(|member| member.path.ends_with(".cgi") || member.path.starts_with("cli/"));
        for member in scripts.chain(inside).filter(|member| member.kind.is_file()) {
            assert!(member.bytes.starts_with(b"#!/bin/sh\n"), "{}", member.path);
            assert_eq!(member.mode, 0o755, "{}", member.path);
            let path = folder.join("script");
            fs::write(&path, &member.bytes).unwrap();
            run(Command::new("dash").arg("-n").arg(&path));
            run(Command::new(busybox()).args(["ash", "-n"]).arg(&path));
        }
    }
}

#[test]
fn status_tells_whether_the_daemon_runs() {
    for nas in Nas::each("status") {
        nas.ends("start-stop-status status", 3);
        nas.start();
        nas.ends("start-stop-status status", 0);
        let process = process(&nas);
        signal("KILL", process);
        wait_for("its end", || !Path::new(&format!("/proc/{process}")).exists());
        // Its number is still there.
        assert!(nas.state().join("daemon.pid").exists());
        nas.ends("start-stop-status status", 3);
        nas.start();
        nas.ends("start-stop-status stop", 0);
        nas.ends("start-stop-status status", 3);
    }
}

#[test]
fn starting_and_stopping_twice_is_as_good_as_once() {
    for nas in Nas::each("twice") {
        nas.ends("start-stop-status stop", 0);
        nas.start();
        let first = process(&nas);
        nas.start();
        assert_eq!(nas.processes(), [first]);
        nas.ends("start-stop-status stop", 0);
        assert!(nas.processes().is_empty());
        nas.ends("start-stop-status stop", 0);
        assert!(!nas.state().join("daemon.pid").exists());
    }
}

#[test]
fn the_state_is_for_its_user_only() {
    for nas in Nas::each("private") {
        nas.start();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&nas.state()), 0o700);
        assert!(nas.state().join("mooring.sock").exists());
    }
}

#[test]
fn a_daemon_that_cant_start_is_told_with_the_reason() {
    for nas in Nas::each("broken") {
        fs::create_dir_all(nas.state()).unwrap();
        fs::write(nas.state().join("settings.redb"), "not what it was").unwrap();
        nas.ends("start-stop-status start", 1);
        let message = nas.message();
        let (told, reason) = message.split_once('\n').unwrap();
        assert_eq!(told, "Mooring could not be started.");
        assert!(reason.starts_with("mooring: "), "{message}");
        assert!(nas.processes().is_empty());
    }
}

#[test]
fn a_state_folder_that_cant_be_made_is_told_with_the_reason() {
    for nas in Nas::each("unmade") {
        fs::create_dir_all(nas.state().parent().unwrap()).unwrap();
        fs::write(nas.state(), "not a folder").unwrap();
        nas.ends("start-stop-status start", 1);
        let message = nas.message();
        let (told, reason) = message.split_once('\n').unwrap();
        assert_eq!(told, "Mooring could not be started.");
        assert!(reason.contains("File exists") && reason.contains("state"), "{message}");
    }
}

#[test]
fn a_daemon_that_takes_all_the_time_it_has_ends_by_itself() {
    let nas = Nas::each("slow").pop().unwrap();
    let folder = fresh("slow-daemon");
    let script = "trap 'sleep 20.5; : >ended; exit' TERM\nwhile :; do sleep 0.1; done\n";
    fs::write(folder.join("daemon"), script).unwrap();
    let mut daemon = Command::new("sh");
    daemon.arg0("/var/packages/mooring/target/bin/mooring").arg("daemon").current_dir(&folder);
    let mut daemon = daemon.spawn().unwrap();
    fs::create_dir_all(nas.state()).unwrap();
    fs::write(nas.state().join("daemon.pid"), format!("{}\n", daemon.id())).unwrap();
    nas.ends("start-stop-status status", 0);
    nas.ends("start-stop-status stop", 0);
    let _ = daemon.wait();
    assert!(folder.join("ended").exists(), "it was killed");
}

#[test]
fn a_daemon_that_doesnt_listen_is_ended() {
    // One is enough: it takes the time that the daemon has.
    let nas = Nas::each("deaf").pop().unwrap();
    nas.start();
    signal("STOP", process(&nas));
    let begun = Instant::now();
    nas.ends("start-stop-status stop", 0);
    assert!(begun.elapsed() < Duration::from_secs(25));
    assert!(nas.processes().is_empty());
}

#[test]
fn status_needs_nothing_but_its_script_and_the_number_of_the_process() {
    for nas in Nas::each("frugal") {
        nas.start();
        // All else isn't there: no program, no library, no setting.
        let empty = fresh(&format!("frugal-{:?}", nas.layout));
        let package = empty.join("var/packages/mooring");
        let state = package.join("var/state");
        for folder in ["proc", "dev", "bin"].map(|name| empty.join(name)) {
            fs::create_dir_all(folder).unwrap();
        }
        for folder in [&state, &package.join("scripts")] {
            fs::create_dir_all(folder).unwrap();
        }
        fs::copy(busybox(), empty.join("bin/sh")).unwrap();
        fs::copy(nas.state().join("daemon.pid"), state.join("daemon.pid")).unwrap();
        for script in ["common", "start-stop-status"] {
            let place = Path::new(SCRIPTS).join(script);
            fs::copy(nas.package().join(&place), package.join(&place)).unwrap();
        }
        let mut command = Command::new("unshare");
        command.args(["--mount", "--map-root-user", "sh", "-c"]);
        let mount = |folder| format!("mount --rbind /{folder} \"$0/{folder}\"");
        let [proc, dev] = ["proc", "dev"].map(mount);
        command.arg(format!("{proc} && {dev} && exec chroot \"$0\" \"$@\"")).arg(&empty);
        command.args(["/bin/sh", "/var/packages/mooring/scripts/start-stop-status", "status"]);
        run(&mut command);
    }
}

#[test]
fn a_process_that_has_the_number_by_chance_isnt_the_daemon() {
    for nas in Nas::each("foreign") {
        let mut foreign = Command::new("sleep").arg("600").spawn().unwrap();
        fs::create_dir_all(nas.state()).unwrap();
        fs::write(nas.state().join("daemon.pid"), format!("{}\n", foreign.id())).unwrap();
        nas.ends("start-stop-status status", 3);
        nas.ends("start-stop-status stop", 0);
        assert!(foreign.try_wait().unwrap().is_none(), "it was killed");
        foreign.kill().unwrap();
        foreign.wait().unwrap();
    }
}

#[test]
fn scripts_need_no_variable_of_dsm() {
    for nas in Nas::each("boot") {
        for variables in [&[][..], &[("SYNOPKG_PKG_STATUS", "")]] {
            for words in ["preinst", "postinst", "start-stop-status prestart"] {
                assert!(nas.script(words, variables).status.success(), "{words}");
            }
            for words in ["start", "status", "log", "prestop", "stop"] {
                let output = nas.script(&format!("start-stop-status {words}"), variables);
                assert!(output.status.success() && output.stderr.is_empty(), "{words}: {output:?}");
            }
            for words in ["preuninst", "postuninst"] {
                assert!(nas.script(words, variables).status.success(), "{words}");
            }
        }
    }
}

#[test]
fn uninstalling_deletes_what_it_knows_only_when_told_to() {
    const DELETE: (&str, &str) = ("wizard_delete_data", "true");
    for nas in Nas::each("uninstall") {
        let kept = [nas.state().join("settings"), nas.package().join("etc/.hidden")];
        for path in &kept {
            fs::create_dir_all(path).unwrap();
            fs::write(path.join("file"), "precious").unwrap();
        }
        for variables in [
            &[("SYNOPKG_PKG_STATUS", "UPGRADE"), DELETE][..],
            &[("SYNOPKG_PKG_STATUS", ""), DELETE],
            &[("SYNOPKG_PKG_STATUS", "UNINSTALL"), ("wizard_delete_data", "false")],
            &[("SYNOPKG_PKG_STATUS", "UNINSTALL")],
        ] {
            for words in ["preuninst", "postuninst"] {
                assert!(nas.script(words, variables).status.success());
            }
            assert!(kept.iter().all(|path| path.join("file").exists()), "{variables:?}");
        }
        let variables = [("SYNOPKG_PKG_STATUS", "UNINSTALL"), DELETE];
        for words in ["preuninst", "postuninst"] {
            assert!(nas.script(words, &variables).status.success());
        }
        assert!(kept.iter().all(|path| !path.exists()));
        // The folders themselves belong to DSM.
        assert!(nas.package().join("etc").is_dir());
    }
}

#[test]
fn an_upgrade_of_dsm_6_keeps_the_state() {
    for nas in Nas::each("upgrade").into_iter().filter(|nas| nas.layout == Layout::Dsm6) {
        nas.start();
        let found = socket_left_behind(&nas);
        upgrade(&nas);
        assert_eq!(contents(&nas.state()), found);
        nas.start();
    }
}

#[test]
fn an_upgrade_from_dsm_6_to_7_brings_the_state() {
    for nas in Nas::each("migrate").into_iter().filter(|nas| nas.layout == Layout::Dsm7) {
        // What DSM 6 had: the same folders, but no var.
        fs::remove_file(nas.package().join("var")).unwrap();
        nas.start();
        assert!(nas.package().join("target/var/state").is_dir());
        let found = socket_left_behind(&nas);
        symlink("../../volume1/@appdata/mooring", nas.package().join("var")).unwrap();
        upgrade(&nas);
        assert_eq!(contents(&nas.state()), found);
        assert!(!nas.package().join("target/var").exists());
        nas.start();
    }
}

#[test]
fn an_upgrade_of_dsm_7_leaves_the_state_alone() {
    for nas in Nas::each("leave").into_iter().filter(|nas| nas.layout == Layout::Dsm7) {
        nas.start();
        let found = socket_left_behind(&nas);
        upgrade(&nas);
        assert_eq!(contents(&nas.state()), found);
    }
}

#[test]
fn an_upgrade_that_is_cut_brings_all_of_the_state_or_nothing() {
    // The other shell has programs of its own.
    for nas in Nas::each("cut").into_iter().filter(|nas| !nas.has_busybox()) {
        let kept = nas.var.join("tmp/upgrade/state");
        fs::create_dir_all(kept.join("tasks")).unwrap();
        for file in ["key", "settings.redb", "tasks/1.redb"] {
            fs::write(kept.join(file), file).unwrap();
        }
        let found = contents(&kept);
        // Copying and moving end half-way, and the script with them.
        let fake = nas.var.join("bin");
        fs::create_dir_all(&fake).unwrap();
        for name in ["cp", "mv"] {
            let from_and_to = "while [ $# -gt 2 ]; do shift; done";
            let script = format!(
                "#!/bin/sh\n{from_and_to}\nmkdir -p \"$2\" && cat \"$1/key\" >\"$2/key\"\nkill -KILL $PPID\n"
            );
            put_program(&fake.join(name), &script);
        }
        let variable = ("SYNOPKG_TEMP_UPGRADE_FOLDER", "/var/tmp/upgrade");
        let cut = nas.script("postupgrade", &[variable, ("PATH", "/var/bin:/usr/bin:/bin")]);
        assert!(!cut.status.success() && !nas.state().exists(), "{cut:?}");
        assert!(nas.script("postupgrade", &[variable]).status.success(), "{}", nas.message());
        assert_eq!(contents(&nas.state()), found);
        assert!(!kept.exists() && !nas.state().with_extension("part").exists());
    }
}

fn put_program(path: &Path, script: &str) {
    fs::write(path, script).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn without_room_for_the_state_nothing_is_upgraded() {
    for nas in Nas::each("full").into_iter().filter(|nas| nas.layout == Layout::Dsm6) {
        fs::create_dir_all(nas.state()).unwrap();
        // A file where the folder should be is as bad as a full disk.
        let variables =
            [("SYNOPKG_TEMP_UPGRADE_FOLDER", "/var/tmp/nowhere"), ("SYNOPKG_DSM_LANGUAGE", "ger")];
        fs::write(nas.var.join("tmp/nowhere"), "").unwrap();
        assert!(!nas.script("preupgrade", &variables).status.success());
        assert!(nas.message().contains("Es wurde nichts geändert"), "{}", nas.message());
        assert!(!nas.script("preupgrade", &[]).status.success());
        assert!(nas.state().is_dir());
    }
}

#[test]
fn an_old_kernel_is_refused_in_the_users_language() {
    // The other shell has an uname of its own.
    for nas in Nas::each("kernel").into_iter().filter(|nas| !nas.has_busybox()) {
        let fake = nas.var.join("bin");
        fs::create_dir_all(&fake).unwrap();
        let before = contents(&nas.package());
        let answers = |kernel: &str, language: &str| {
            let uname = fake.join("uname");
            fs::write(&uname, format!("#!/bin/sh\necho {kernel}\n")).unwrap();
            fs::set_permissions(&uname, fs::Permissions::from_mode(0o755)).unwrap();
            let _ = fs::remove_file(nas.var.join("tmp/message"));
            let variables =
                [("PATH", "/var/bin:/usr/bin:/bin"), ("SYNOPKG_DSM_LANGUAGE", language)];
            let output = nas.script("preinst", &variables);
            (output.status.success(), nas.message())
        };
        for kernel in ["3.2.0", "3.10.108", "4.0", "4.4.302+", "5.10.55", "10.0.1-x"] {
            assert_eq!(answers(kernel, "enu"), (true, String::new()), "{kernel}");
        }
        for kernel in ["2.6.32.12", "3.1.10", "3.0"] {
            let (passes, message) = answers(kernel, "fre");
            assert!(!passes && message.starts_with("Le noyau Linux"), "{kernel}: {message}");
        }
        let (_, message) = answers("2.6.32", "nor");
        assert!(message.starts_with("The Linux kernel"), "{message}");
        assert_eq!(contents(&nas.package()), before);
    }
}

#[test]
fn scripts_do_nothing_that_only_root_may() {
    const FORBIDDEN: [&str; 8] =
        ["synouser", "synogroup", "synoshare", "su", "sudo", "chown", "chgrp", "setcap"];
    const KNOWN: [&str; 3] = ["/var/packages/mooring", "/proc/", "/dev/"];
    for spk in packages() {
        for member in spk.members.iter().filter(|member| member.path.starts_with(SCRIPTS)) {
            let text = str::from_utf8(&member.bytes).unwrap();
            let code = text
                .lines()
                .filter(|line| !line.trim_start().starts_with('#') && !line.contains(") echo '"));
            for line in code {
                let mut words = line.split(|each: char| !each.is_ascii_alphanumeric());
                assert!(!words.any(|word| FORBIDDEN.contains(&word)), "{}: {line}", member.path);
                let words = line.split([' ', '=']);
                let words = words.map(|word| word.trim_start_matches(['<', '>', '2', '"']));
                let mut paths = words.filter(|word| word.starts_with('/'));
                let is_known = |path: &str| KNOWN.iter().any(|known| path.starts_with(known));
                assert!(paths.all(is_known), "{}: {line}", member.path);
            }
        }
    }
}

/// What DSM does, as far as the package sees it.
fn upgrade(nas: &Nas) {
    let variables = [
        ("SYNOPKG_PKG_STATUS", "UPGRADE"),
        ("SYNOPKG_TEMP_UPGRADE_FOLDER", "/var/tmp/upgrade"),
        ("wizard_delete_data", "true"),
    ];
    let run = |words: &str| {
        let output = nas.script(words, &variables);
        assert!(output.status.success(), "{words}: {output:?} {}", nas.message());
    };
    // A state that is copied is taken for a backup.
    let files = || {
        let entries = fs::read_dir(state(nas)).unwrap().map(Result::unwrap);
        let files = entries.filter(|entry| entry.file_type().unwrap().is_file());
        files.map(|entry| (entry.file_name(), entry.ino())).collect::<BTreeMap<_, _>>()
    };
    let before = files();
    ["preupgrade", "preuninst", "postuninst"].into_iter().for_each(run);
    nas.unpack();
    ["preinst", "postinst", "postupgrade"].into_iter().for_each(run);
    assert_eq!(files(), before);
    assert!(!nas.var.join("tmp/upgrade/state").exists());
}

/// Ends the daemon so that its socket stays, and tells what is there.
fn socket_left_behind(nas: &Nas) -> Contents {
    signal("KILL", process(nas));
    wait_for("its end", || nas.processes().is_empty());
    let found = contents(&state(nas));
    assert!(found.contains_key("mooring.sock") && found.len() > 2, "{found:?}");
    found
}

/// Where the state is as long as there is no other `var`.
fn state(nas: &Nas) -> PathBuf {
    let of_dsm_6 = nas.package().join("target/var/state");
    if of_dsm_6.exists() { of_dsm_6 } else { nas.state() }
}

fn process(nas: &Nas) -> u32 {
    let text = fs::read_to_string(state(nas).join("daemon.pid")).unwrap();
    text.trim().parse().unwrap()
}

/// Paths, and the digests of files.
type Contents = BTreeMap<String, Option<String>>;

/// All that is below a folder.
fn contents(folder: &Path) -> Contents {
    let mut found = Contents::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let metadata = path.symlink_metadata().unwrap();
        if metadata.is_dir() {
            let below = contents(&path).into_iter();
            found.extend(below.map(|(inside, digest)| (format!("{name}/{inside}"), digest)));
        }
        found.insert(name, metadata.is_file().then(|| md5(&fs::read(&path).unwrap())));
    }
    found
}

fn wait_for(what: &str, is_so: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_secs(60);
    while !is_so() {
        assert!(Instant::now() < end, "{what} doesn't come");
        thread::sleep(Duration::from_millis(10));
    }
}
