//! The files of the panel: those in its folder that a browser needs, by their exact names.

use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

/// What a path without a name stands for.
const FIRST: &str = "index.html";
/// Types by the ending. What has another isn't for browsers.
const TYPES: [(&str, &str); 6] = [
    ("html", "text/html; charset=utf-8"),
    ("js", "text/javascript; charset=utf-8"),
    ("css", "text/css; charset=utf-8"),
    ("txt", "text/plain; charset=utf-8"),
    ("png", "image/png"),
    ("svg", "image/svg+xml"),
];
/// Most bytes of a file.
const MOST_BYTES: u64 = 4 << 20;

/// Type and content of the file at this path, as it stands in a request.
pub fn read(folder: &Path, path: &str) -> Option<(&'static str, Vec<u8>)> {
    let path = path.strip_prefix('/')?;
    let path = if path.is_empty() { FIRST } else { path };
    if !path.split('/').all(is_plain) {
        return None;
    }
    let name = path.rsplit('/').next()?;
    let ending = name.rsplit_once('.')?.1;
    let kind = TYPES.iter().find(|(each, _)| *each == ending)?.1;
    let folder = fs::canonicalize(folder).ok()?;
    let file = folder.join(path);
    // A link may lead anywhere.
    if fs::canonicalize(&file).ok()? != file {
        return None;
    }
    let file = File::open(file).ok()?;
    let mut bytes = Vec::new();
    let is_file = file.metadata().is_ok_and(|it| it.is_file() && it.len() <= MOST_BYTES);
    (is_file && file.take(MOST_BYTES).read_to_end(&mut bytes).is_ok()).then_some((kind, bytes))
}

/// Whether a part of a path is nothing but a name.
fn is_plain(part: &str) -> bool {
    let is_right = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    !part.is_empty() && !part.starts_with('.') && part.chars().all(is_right)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn only_files_of_the_panel_are_read() {
        let here = std::env::temp_dir().join(format!("files-{}", std::process::id()));
        let folder = here.join("ui");
        fs::create_dir_all(folder.join("texts")).unwrap();
        for name in ["index.html", "page.js", "config", "api.cgi", ".html", "texts/enu.txt", "a.JS"]
        {
            fs::write(folder.join(name), name).unwrap();
        }
        fs::write(here.join("secret.html"), "secret").unwrap();
        symlink("../secret.html", folder.join("link.html")).unwrap();
        symlink("..", folder.join("up")).unwrap();
        fs::create_dir(folder.join("folder.js")).unwrap();
        let found = |path: &str| read(&folder, path).map(|(kind, bytes)| (kind, bytes.len()));
        assert_eq!(found("/"), Some(("text/html; charset=utf-8", 10)));
        assert_eq!(found("/index.html"), found("/"));
        assert_eq!(found("/page.js"), Some(("text/javascript; charset=utf-8", 7)));
        assert_eq!(found("/texts/enu.txt"), Some(("text/plain; charset=utf-8", 13)));
        for path in [
            "",
            "index.html",
            "//index.html",
            "/texts/",
            "/texts",
            "/index.html/",
            "/./index.html",
            "/texts/../index.html",
            "/../secret.html",
            "/..%2fsecret.html",
            "/%69ndex.html",
            "/link.html",
            "/up/secret.html",
            "/folder.js",
            "/config",
            "/api.cgi",
            "/.html",
            "/a.JS",
            "/texts\\\\enu.txt",
            "/missing.html",
        ] {
            assert_eq!(found(path), None, "{path}");
        }
        assert_eq!(read(&here.join("nowhere"), "/"), None);
        fs::remove_dir_all(here).unwrap();
    }
}
