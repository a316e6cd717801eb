//! What a reply of Google Drive means that isn't a success.
//!
//! Source: the guide "Resolve errors" of the Drive API, and reasons that client programs met. One
//! status stands for anything from "slower" to "never"; the reason tells.

use super::super::google::Refused;
use crate::error::{Error, Kind};
use std::time::Duration;

/// A daily limit ends within the day; asking more often than this doesn't make it end sooner.
const DAILY: Duration = Duration::from_secs(3600);

/// What a status with this body means.
pub(super) fn refusal(what: &str, status: u16, body: &str) -> Error {
    let Refused { reason, message } = Refused::of(body);
    let error = |kind, cause: &str| Error::new(kind, what, cause);
    let told = |kind, cause: &str| match message.as_str() {
        "" => Error::new(kind, what, format!("{cause} (status {status})")),
        message => Error::new(kind, what, format!("{cause} ({message})")),
    };
    match (status, &*reason) {
        (_, "rateLimitExceeded" | "userRateLimitExceeded" | "sharingRateLimitExceeded") => {
            error(Kind::Busy, "Google Drive asks to slow down")
        }
        (_, "dailyLimitExceeded" | "dailyLimitExceededUnreg") => {
            error(Kind::Busy, "the app has used up the requests that Google allows it for a day")
                .remedy("raise the quota of the Drive API in the Google Cloud console, or wait")
                .after(DAILY)
        }
        (_, "storageQuotaExceeded" | "quotaExceeded") => {
            error(Kind::QuotaFull, "the storage of the Google account is full")
        }
        (_, "teamDriveFileLimitExceeded" | "activeItemCreationLimitExceeded") => {
            told(Kind::QuotaFull, "there are as many items as Google Drive takes")
                .remedy("remove some, and empty the trash; Mooring goes on by itself")
        }
        (_, "numChildrenInNonRootLimitExceeded") => {
            error(Kind::Denied, "the folder holds as many items as Google Drive takes")
                .remedy("remove some of them, or sync to several folders")
        }
        (
            _,
            "teamDriveHierarchyTooDeep"
            | "myDriveHierarchyDepthLimitExceeded"
            | "folderHierarchyTooDeep",
        ) => error(Kind::BadName, "it is in more folders than Google Drive takes")
            .remedy("move it to where fewer folders are around it"),
        (_, "downloadQuotaExceeded") => {
            error(Kind::Denied, "it was downloaded more often than Google allows in a day")
                .remedy("wait a day, then let Mooring look at everything again")
        }
        (_, "cannotDownloadAbusiveFile") => {
            error(Kind::Denied, "Google takes it for malware or spam and doesn't give it out")
                .remedy("remove it; if you trust it, download it in the browser")
        }
        (_, "exportSizeLimitExceeded") => {
            error(Kind::TooLarge, "Google converts documents of up to 10 MB only")
                .remedy("download it in the browser, or leave it out")
        }
        (_, "accessNotConfigured" | "appNotConfigured" | "SERVICE_DISABLED") => {
            error(Kind::SignIn, "the Google Drive API isn't enabled for the app")
                .remedy("enable the Google Drive API in the Google Cloud console of the app")
        }
        (403, "insufficientPermissions") => {
            error(Kind::SignIn, "the sign-in doesn't allow all that Mooring has to do")
                .remedy("sign in again and tick everything: mooring connection authorize NAME")
        }
        (_, "domainPolicy") => {
            error(Kind::SignIn, "the administrators of the domain don't allow apps to use Drive")
                .remedy("ask them to allow the Drive API for the app")
        }
        (401, _) => error(Kind::SignIn, "Google doesn't accept the sign-in any more")
            .remedy("sign in again: mooring connection authorize NAME"),
        (403, _) => told(Kind::Denied, "the account isn't allowed to do this"),
        (404 | 410, _) => error(Kind::NotFound, "it isn't there any more"),
        (409, _) => told(Kind::Exists, "it is there already"),
        (412, _) => error(Kind::Changed, "it was changed in the meantime"),
        (413, _) => told(Kind::TooLarge, "Google Drive doesn't take it"),
        (300..=399, _) => error(Kind::Protocol, "Google Drive sends the request elsewhere"),
        _ => told(Kind::Protocol, "Google Drive doesn't understand the request"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_tell_more_than_the_status() {
        let body = |reason: &str| {
            format!(
                r#"{{"error": {{"code": 403, "message": "No.",
                    "errors": [{{"domain": "x", "reason": "{reason}", "message": "No."}}]}}}}"#
            )
        };
        for (reason, kind) in [
            ("userRateLimitExceeded", Kind::Busy),
            ("dailyLimitExceeded", Kind::Busy),
            ("storageQuotaExceeded", Kind::QuotaFull),
            ("insufficientFilePermissions", Kind::Denied),
            ("accessNotConfigured", Kind::SignIn),
            ("somethingNew", Kind::Denied),
        ] {
            assert_eq!(refusal("it", 403, &body(reason)).kind(), kind, "{reason}");
        }
        assert_eq!(refusal("it", 403, &body("dailyLimitExceeded")).wait(), Some(DAILY));
        assert!(refusal("it", 403, &body("somethingNew")).reason().contains("No."));
        assert_eq!(refusal("it", 429, "<html>").kind(), Kind::Protocol);
        assert_eq!(refusal("it", 401, "").kind(), Kind::SignIn);
        assert_eq!(refusal("it", 404, "{}").kind(), Kind::NotFound);
    }
}
