//! Which test holds which rule of DSM packages.

use crate::common::root;
use std::fs;

/// The number of each rule, what it says, and the file and the names of the tests that hold it.
const RULES: &[(u32, &str, &str, &[&str])] = &[
    (
        1,
        "the SPK is a tar without compression",
        LAYOUT,
        &["a_package_is_a_tar_that_isnt_compressed"],
    ),
    (2, "all members are there, without ./", LAYOUT, &["all_members_are_there"]),
    (3, "folders are members", LAYOUT, &["folders_are_members_before_what_is_in_them"]),
    (4, "package.tgz is gzip or xz", LAYOUT, &["what_becomes_target_is_compressed_with_gzip"]),
    (5, "its members are harmless", LAYOUT, &["what_becomes_target_is_harmless"]),
    (6, "INFO is read by a shell", INFO, &["a_shell_can_read_info"]),
    (7, "INFO has the required keys", INFO, &["info_has_all_that_is_required"]),
    (8, "the form of the name", INFO, &["the_name_is_one_that_dsm_takes"]),
    (9, "the form of the version", INFO, &["the_version_is_numbers_and_a_build"]),
    (10, "the versions of DSM", INFO, &["each_is_for_its_dsm_only"]),
    (11, "no firmware key", INFO, &["info_has_no_key_of_the_past"]),
    (12, "the platforms", INFO, &["the_platforms_are_all_of_the_cpu"]),
    (13, "ELF for the CPU, static, hard float", ELF, &["it_is_for_the_cpu_and_needs_no_library"]),
    (14, "armv7 without NEON, VFP D16", ELF, &["on_armv7_it_needs_no_neon_and_sixteen_registers"]),
    (15, "armv7 with large pages", ELF, &["on_armv7_pages_may_be_large"]),
    (16, "the checksum", INFO, &["the_checksum_is_right"]),
    (17, "extractsize", INFO, &["the_room_it_takes_is_told"]),
    (18, "the sizes of the icons", INFO, &["the_icons_have_their_sizes"]),
    (19, "the licence", LAYOUT, &["the_licence_is_short_and_readable"]),
    (20, "run-as package, nothing as root", INFO, &["it_runs_as_a_user_of_its_own"]),
    (21, "the same user for ever", INFO, &["its_user_is_always_the_same"]),
    (22, "only harmless resources", INFO, &["resources_are_only_those_that_anybody_may_have"]),
    (23, "no .sc file", INFO, &["no_ports_are_asked_for"]),
    (
        24,
        "the wizards",
        INFO,
        &["wizards_are_understood_in_all_languages", "deleting_what_it_knows_has_to_be_chosen"],
    ),
    (25, "dsmuidir and dsmappname", UI, &["the_entry_is_there"]),
    (26, "icons of the desktop", UI, &["its_icons_are_there_in_all_sizes"]),
    (
        27,
        "nothing secret in the UI folder, modes",
        UI,
        &["nothing_secret_lies_where_everybody_may_look"],
    ),
    (28, "texts of the desktop", UI, &["all_texts_are_there"]),
    (29, "scripts in dash and ash", SCRIPTS, &["scripts_are_understood_by_both_shells"]),
    (30, "what status answers", SCRIPTS, &["status_tells_whether_the_daemon_runs"]),
    (31, "start and stop twice", SCRIPTS, &["starting_and_stopping_twice_is_as_good_as_once"]),
    (32, "stop within 25 seconds", SCRIPTS, &["a_daemon_that_doesnt_listen_is_ended"]),
    (
        33,
        "status wakes no disk",
        SCRIPTS,
        &["status_needs_nothing_but_its_script_and_the_number_of_the_process"],
    ),
    (
        34,
        "a foreign process",
        SCRIPTS,
        &["a_process_that_has_the_number_by_chance_isnt_the_daemon"],
    ),
    (35, "without variables of DSM", SCRIPTS, &["scripts_need_no_variable_of_dsm"]),
    (36, "what is deleted", SCRIPTS, &["uninstalling_deletes_what_it_knows_only_when_told_to"]),
    (
        37,
        "upgrades keep the state",
        SCRIPTS,
        &[
            "an_upgrade_of_dsm_6_keeps_the_state",
            "an_upgrade_from_dsm_6_to_7_brings_the_state",
            "an_upgrade_of_dsm_7_leaves_the_state_alone",
        ],
    ),
    (
        38,
        "a refusal is told and does nothing",
        SCRIPTS,
        &[
            "an_old_kernel_is_refused_in_the_users_language",
            "without_room_for_the_state_nothing_is_upgraded",
        ],
    ),
    (39, "nothing that only root may", SCRIPTS, &["scripts_do_nothing_that_only_root_may"]),
    (
        40,
        "CGI: who isn't logged in",
        BRIDGE,
        &["hostile_requests_get_nothing_and_dont_reach_the_daemon"],
    ),
    (41, "CGI: users and administrators", BRIDGE, &["who_is_logged_in_is_told_to_the_daemon"]),
    (
        42,
        "CGI: what the helper sees",
        BRIDGE,
        &["the_program_of_the_nas_sees_only_what_it_understands"],
    ),
    (
        43,
        "CGI: changes from elsewhere",
        BRIDGE,
        &["hostile_requests_get_nothing_and_dont_reach_the_daemon"],
    ),
    (
        44,
        "CGI: empty variables, large bodies",
        BRIDGE,
        &["what_is_empty_is_absent", "hostile_requests_get_nothing_and_dont_reach_the_daemon"],
    ),
    (
        45,
        "CGI: the helper may not be run",
        BRIDGE,
        &["where_the_program_may_not_be_run_the_desktop_is_asked"],
    ),
    (46, "CGI: headers", BRIDGE, &["every_answer_says_what_it_is_and_is_kept_by_nobody"]),
    (47, "CGI: the daemon is down", BRIDGE, &["a_daemon_that_isnt_there_or_hangs_up_is_told"]),
    (48, "the socket", BRIDGE, &["both_ends_look_who_is_at_the_other"]),
    (48, "the folder of the socket", SCRIPTS, &["the_state_is_for_its_user_only"]),
    (49, "idle: no write, little memory", "benches/idle", &[]),
    (
        50,
        "the package source",
        "packaging/tests/source.rs",
        &["each_box_is_told_its_package", "any_web_server_can_serve_the_files"],
    ),
    (51, "the same bytes", LAYOUT, &["the_same_files_give_the_same_bytes"]),
];

const BRIDGE: &str = "tests/bridge.rs";
const ELF: &str = "packaging/tests/elf.rs";
const INFO: &str = "packaging/tests/info.rs";
const LAYOUT: &str = "packaging/tests/layout.rs";
const SCRIPTS: &str = "packaging/tests/scripts.rs";
const UI: &str = "packaging/tests/ui.rs";

#[test]
fn every_rule_is_held() {
    let mut numbers: Vec<_> = RULES.iter().map(|(number, ..)| *number).collect();
    numbers.dedup();
    assert!(numbers.into_iter().eq(1..=51));
    for (number, rule, file, tests) in RULES {
        let source =
            fs::read_to_string(root().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
        for test in *tests {
            let defined = format!("#[test]\nfn {test}()");
            assert!(source.contains(&defined), "rule {number}, {rule}: {file} has no test {test}");
        }
    }
}
