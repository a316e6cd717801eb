//! What browsers say of a request, by which one from another site is told.

/// Whether a page of this very server sent a request, by its fields `Sec-Fetch-Site`, `Origin` and
/// `Host`. Browsers tell the first only by TLS or to their own machine; without it they tell the
/// page's origin of all that may change something.
pub fn is_same_origin(site: Option<&str>, origin: Option<&str>, host: Option<&str>) -> bool {
    if let Some(site) = site {
        return site == "same-origin";
    }
    let (Some(origin), Some(host)) = (origin, host) else { return false };
    let of_origin = ["http://", "https://"].iter().find_map(|it| origin.strip_prefix(it));
    of_origin.is_some_and(|it| !it.is_empty() && it.eq_ignore_ascii_case(host))
}

/// Whether a request's body says that it is JSON. Other sites can't send that without being asked
/// whether they may.
pub fn is_json(content_type: Option<&str>) -> bool {
    let kind = content_type.and_then(|it| it.split(';').next()).unwrap_or_default();
    kind.trim().eq_ignore_ascii_case("application/json")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_pages_of_the_server_itself_are_of_its_origin() {
        for (site, origin, host, expected) in [
            (Some("same-origin"), None, None, true),
            (Some("same-origin"), Some("null"), Some("nas"), true),
            (None, Some("https://nas:5001"), Some("nas:5001"), true),
            (None, Some("http://NAS"), Some("nas"), true),
            (Some("same-site"), Some("https://nas"), Some("nas"), false),
            (Some("cross-site"), Some("https://nas"), Some("nas"), false),
            (Some("none"), None, Some("nas"), false),
            (Some(""), Some("https://nas"), Some("nas"), false),
            (None, None, Some("nas"), false),
            (None, Some("https://nas"), None, false),
            (None, Some("null"), Some("nas"), false),
            (None, Some("https://nas"), Some("nas:5001"), false),
            (None, Some("https://evil/nas"), Some("nas"), false),
            (None, Some("ftp://nas"), Some("nas"), false),
            (None, Some("https://"), Some(""), false),
        ] {
            assert_eq!(
                is_same_origin(site, origin, host),
                expected,
                "{site:?} {origin:?} {host:?}"
            );
        }
    }

    #[test]
    fn kinds_of_bodies() {
        for kind in ["application/json", "Application/JSON; charset=utf-8", "application/json;"] {
            assert!(is_json(Some(kind)), "{kind}");
        }
        for kind in ["", "text/plain", "application/jsonx", "text/plain; application/json"] {
            assert!(!is_json(Some(kind)), "{kind}");
        }
        assert!(!is_json(None));
    }
}
