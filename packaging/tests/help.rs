//! The help for owners, as it lies beside the panel.

use crate::common::{Spk, packages};

/// The pages of the help: their paths in it and their texts.
fn pages(spk: &Spk) -> impl Iterator<Item = (&str, &str)> {
    spk.target.iter().filter_map(|member| {
        let path = member.path.strip_prefix("ui/help/")?;
        path.ends_with(".html").then(|| (path, str::from_utf8(&member.bytes).unwrap()))
    })
}

/// Where the links of a page lead, and what it loads.
fn links(text: &str) -> impl Iterator<Item = &str> {
    let after = |start| text.split(start).skip(1).map(|rest| rest.split('"').next().unwrap());
    after("href=\"").chain(after("src=\""))
}

#[test]
fn every_link_leads_somewhere() {
    for spk in packages() {
        for (path, text) in pages(spk) {
            let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
            for link in links(text).filter(|link| !link.starts_with("https://")) {
                let to = match link.strip_prefix("../") {
                    Some(link) => format!("ui/help/{link}"),
                    None if folder.is_empty() => format!("ui/help/{link}"),
                    None => format!("ui/help/{folder}/{link}"),
                };
                spk.target_file(&to);
            }
        }
    }
}

#[test]
fn every_page_can_be_reached() {
    for spk in packages() {
        let pages: Vec<_> = pages(spk).collect();
        for (path, _) in &pages {
            let is_linked = pages
                .iter()
                .any(|(from, text)| from != path && text.contains(&format!("{path}\"")));
            assert!(is_linked, "{}: {path}", spk.name());
        }
    }
}

#[test]
fn nothing_runs_in_it_and_nothing_comes_from_elsewhere() {
    for spk in packages() {
        for (path, text) in pages(spk) {
            assert!(text.contains("default-src 'none'; style-src 'self'"), "{path}");
            assert!(!text.contains("<script") && !text.contains(" src=\""), "{path}");
        }
    }
}

#[test]
fn a_page_tells_what_its_service_takes() {
    for spk in packages() {
        let s3 = str::from_utf8(spk.target_file("ui/help/services/s3.html")).unwrap();
        for told in
            ["Limits and rules", "<td>largest file</td>", "secret-key", "\"&lt;&gt;|{^}%`][~#"]
        {
            assert!(s3.contains(told), "{told}");
        }
    }
}
