//! The table of promises names tests that are there.

use std::fs;
use std::path::Path;

/// What all Rust files below a folder say.
fn sources(folder: &Path, text: &mut String) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, text);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            text.push_str(&fs::read_to_string(&path).unwrap());
        }
    }
}

#[test]
fn each_promise_has_its_tests() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut code = String::new();
    sources(&root.join("src"), &mut code);
    sources(&root.join("tests"), &mut code);

    let table = fs::read_to_string(root.join("src/promises.md")).unwrap();
    let rows: Vec<_> = table.lines().filter(|line| line.starts_with("| P")).collect();
    for (number, row) in (1..).zip(&rows) {
        assert!(row.starts_with(&format!("| P{number} |")), "{row}");
        for test in row.split('`').filter(|word| word.contains("::")) {
            let name = test.rsplit("::").next().unwrap();
            assert!(code.contains(&format!("fn {name}(")), "P{number}: there is no test {test}");
        }
    }
    assert_eq!(rows.len(), 38);
}
