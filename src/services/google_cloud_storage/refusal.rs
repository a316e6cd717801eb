//! What a reply of Cloud Storage means that isn't a success.
//!
//! Sources: the pages "HTTP status and error codes for JSON" and "Troubleshooting" of Cloud Storage,
//! and what client programs met.

use super::super::fault::{cause, plain};
use super::super::google::Refused;
use super::object::not_google;
use crate::error::{Error, Kind};

/// The word for a missing bucket: Google has the same for a missing object.
pub(super) const NO_BUCKET: &str = "noBucket";

/// The word for why, and what is said of it.
pub(super) fn read(status: u16, body: &str) -> Refused {
    let refused = Refused::of(body);
    let of_bucket = status == 404 && refused.message.contains("bucket does not exist");
    if of_bucket { Refused { reason: NO_BUCKET.into(), ..refused } } else { refused }
}

/// What a status with this body means.
pub(super) fn refusal(what: &str, status: u16, body: &str) -> Error {
    let Refused { reason, message } = read(status, body);
    let error = |kind, cause: &str| Error::new(kind, what, cause);
    let told = |kind| Error::new(kind, what, cause(status, &reason, &message));
    match (status, &*reason) {
        (_, "rateLimitExceeded" | "userRateLimitExceeded") => {
            error(Kind::Busy, "Google asks to slow down")
        }
        (_, NO_BUCKET) => error(Kind::NotFound, "the bucket isn't there")
            .remedy("make the bucket, or correct the connection's bucket"),
        (_, "accessNotConfigured" | "SERVICE_DISABLED") => {
            error(Kind::SignIn, "the Cloud Storage API isn't enabled for the project of the app")
                .remedy("enable the Cloud Storage API in the Google Cloud console")
        }
        (_, "userProjectMissing") => {
            error(Kind::Denied, "whoever asks has to pay for this bucket, and it isn't known who")
                .remedy("tell the project: mooring connection set NAME --set user-project=ID")
        }
        (_, "accountDisabled" | "UserProjectAccountProblem") => {
            told(Kind::Denied).remedy("see to the billing of the project in the Google Cloud console")
        }
        (_, "retentionPolicyNotMet" | "objectUnderActiveHold") => told(Kind::Denied)
            .remedy("wait until the bucket's retention has passed, or the hold is lifted"),
        (403, "insufficientPermissions") => {
            error(Kind::SignIn, "the sign-in doesn't allow all that Mooring has to do")
                .remedy("sign in again and tick everything: mooring connection authorize NAME")
        }
        // The message may repeat an address with the token.
        (401, _) => error(Kind::SignIn, "Google doesn't accept the sign-in or the key any more")
            .remedy("sign in again: mooring connection authorize NAME; or give another key"),
        (403, _) => Error::new(Kind::Denied, what, plain(&message)).remedy(
            "give the account the role Storage Object User (roles/storage.objectUser) on the bucket",
        ),
        // Another object arrived than was hashed: the file was changed while it was sent.
        (400, _) if message.contains("hash") => told(Kind::Changed),
        (404, "") | (300..=399, _) => {
            not_google(what, format!("this isn't how Cloud Storage answers (status {status})"))
        }
        (404 | 410, _) => error(Kind::NotFound, "it isn't there any more"),
        (409 | 412 | 416, _) => error(Kind::Changed, "it was changed in the meantime"),
        (413, _) => told(Kind::TooLarge),
        _ => told(Kind::Protocol)
            .remedy("see what Google says of it; Mooring tries again by itself"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_say_what_to_do() {
        for (status, reason, message, kind, says) in [
            (403, "rateLimitExceeded", "", Kind::Busy, ""),
            (
                403,
                "forbidden",
                "x has no storage.objects.create access",
                Kind::Denied,
                "objectUser",
            ),
            (403, "accessNotConfigured", "", Kind::SignIn, "enable"),
            (403, "insufficientPermissions", "", Kind::SignIn, "authorize"),
            (403, "retentionPolicyNotMet", "", Kind::Denied, "retention"),
            (400, "userProjectMissing", "", Kind::Denied, "user-project"),
            (401, "authError", "", Kind::SignIn, "sign in again"),
            (404, "notFound", "The specified bucket does not exist.", Kind::NotFound, "bucket"),
            (404, "notFound", "No such object: a/b", Kind::NotFound, ""),
            (404, "", "", Kind::Protocol, "address"),
            (400, "invalid", "Provided MD5 hash \"a\" doesn't match", Kind::Changed, ""),
            (400, "invalid", "Something else.", Kind::Protocol, "Google"),
            (412, "conditionNotMet", "", Kind::Changed, ""),
            (302, "", "", Kind::Protocol, "address"),
        ] {
            let body = serde_json::json!({
                "error": { "message": message, "errors": [{ "reason": reason }] }
            });
            let error = refusal("looking at a", status, &body.to_string());
            assert_eq!(error.kind(), kind, "{status} {reason}");
            assert!(error.advice().contains(says), "{error}");
            assert!(error.to_string().starts_with("looking at a: "), "{error}");
        }
        for body in ["", "<html>", "[]"] {
            assert_eq!(refusal("it", 404, body).kind(), Kind::Protocol, "{body}");
        }
    }
}
