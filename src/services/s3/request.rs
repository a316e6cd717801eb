//! Requests, and what replies that aren't a success mean.

use super::super::fault::{self, Fault, Look};
use super::Store;
use super::address::is_region;
use super::dialect::Draft;
use super::upload::Body;
use super::xml::{not_s3, walk};
use crate::error::{Error, Kind, Result};
use crate::http::sigv4::{encode_path, encode_query, sha256_hex};
use crate::http::{Call, Payload, Reply, drain};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use std::sync::PoisonError;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

/// Services refuse a clock that is 15 minutes off; some say only that access is denied.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(60);

/// A service may say nothing until a copy is made, or parts are joined.
const PATIENCE: Duration = Duration::from_secs(600);

/// A request before it is signed.
pub(super) struct Ask<'a> {
    method: &'static str,
    /// Whole key; empty for the bucket.
    key: &'a str,
    query: &'a [(&'a str, &'a str)],
    pub headers: Vec<(&'static str, String)>,
    payload: Payload<'a>,
    sha256: String,
    patience: Option<Duration>,
    /// What is looked at before it is sent once more.
    again: Option<Look<'a>>,
}

impl<'a> Ask<'a> {
    pub fn new(method: &'static str, key: &'a str) -> Self {
        let (headers, payload, sha256) = (Vec::new(), Payload::None, sha256_hex(b""));
        Ask { method, key, query: &[], headers, payload, sha256, patience: None, again: None }
    }

    pub fn query(mut self, query: &'a [(&'a str, &'a str)]) -> Self {
        self.query = query;
        self
    }

    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub fn bytes(mut self, bytes: &'a [u8]) -> Self {
        self.payload = Payload::Bytes(bytes);
        self.sha256 = sha256_hex(bytes);
        self
    }

    /// Lets the service take its time before it answers.
    pub fn patient(mut self) -> Self {
        self.patience = Some(PATIENCE);
        self
    }

    /// Has this looked at before it is sent once more; see [`fault::call`].
    pub fn again(mut self, look: Option<Look<'a>>) -> Self {
        self.again = look;
        self
    }

    /// Every service checks one of both sums, so what arrives is what was hashed.
    pub fn body(mut self, body: &Body<'a>) -> Self {
        self.payload = body.payload;
        self.sha256 = body.sha256.clone();
        self.header("content-md5", BASE64.encode(body.md5))
    }
}

/// What the body of a reply that isn't a success says.
#[derive(Default)]
pub(super) struct Told {
    pub code: String,
    pub message: String,
    /// Where the bucket is.
    region: Option<String>,
    host: String,
}

impl Told {
    /// Takes the value of an element of an error.
    pub fn take(&mut self, name: &str, text: String) {
        match name {
            "Code" => self.code = text,
            "Message" => self.message = text,
            "Region" => self.region = Some(text),
            "Endpoint" => self.host = text,
            _ => {}
        }
    }
}

/// The service can't do what a header field or a query asked for.
pub(super) fn is_unsupported(fault: &Fault) -> bool {
    fault.status == 501
        || matches!(&*fault.code, "NotImplemented" | "MethodNotAllowed")
        || fault.status == 400 && matches!(&*fault.code, "InvalidArgument" | "InvalidRequest")
}

/// The service may not know how the request was signed.
fn is_unsigned(fault: &Fault) -> bool {
    matches!(fault.status, 400 | 401 | 403)
        && matches!(&*fault.code, "" | "AccessDenied" | "InvalidArgument" | "InvalidRequest")
}

impl Store {
    /// The call that an attempt makes now.
    pub fn signed<'a>(&self, ask: &Ask<'a>) -> Call<'a> {
        let region = self.region.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let spot = self.address.spot(&region, &self.bucket, ask.key);
        let draft = Draft {
            access_key: &self.access_key,
            secret_key: &self.secret_key,
            region: &region,
            method: ask.method,
            host: &spot.host,
            path: &spot.path,
            resource: &match self.bucket.as_str() {
                "" => "/".to_owned(),
                bucket => format!("/{bucket}/{}", ask.key),
            },
            query: ask.query,
            headers: &ask.headers,
            sha256: &ask.sha256,
            time: self.http.service_time(),
        };
        let old = self.dialect.old_sign.filter(|_| self.is_old.load(Relaxed));
        let signature = old.unwrap_or(self.dialect.sign)(&draft);
        let (path, query) = (encode_path(&spot.path), encode_query(ask.query));
        let mark = if query.is_empty() { "" } else { "?" };
        let url = format!("{}://{}{path}{mark}{query}", spot.scheme, spot.host);
        // Sending any request here twice does no harm: it writes the same again where nobody else wrote
        // (`Ask::again`), or has a condition whose failure is looked into, or leaves an upload without
        // parts behind.
        let mut call = Call::new(ask.method, url, true).payload(ask.payload);
        call.patience = ask.patience;
        call.headers.clone_from(&ask.headers);
        call.headers.extend(signature);
        call
    }

    /// Sends a request; learns the service's clock, its signature and the bucket's region when it
    /// has to.
    pub fn send(&self, what: &str, ask: &Ask<'_>) -> Result<Reply, Fault> {
        let (mut clock_set, mut region_set, mut first) = (false, false, None);
        loop {
            let call = &mut || Ok(self.signed(ask));
            let (reply, again) = fault::call(&self.http, what, ask.again, call)?;
            if (200..300).contains(&reply.status) {
                self.knows_signature.store(true, Relaxed);
                return Ok(reply);
            }
            if reply.status == 403 && !clock_set && self.http.correct_clock(&reply, CLOCK_TOLERANCE)
            {
                clock_set = true;
                reply.drain();
                continue;
            }
            let (fault, region) = self.fault(what, ask.method == "HEAD", reply);
            if let (false, Some(region)) = (region_set, region) {
                let mut current = self.region.lock().unwrap_or_else(PoisonError::into_inner);
                region_set = true;
                if *current != region {
                    *current = region;
                    continue;
                }
            }
            let fault = Fault { again, ..fault };
            match first.take() {
                // Neither is taken: what the service says of the newer one tells more.
                Some(newer) if matches!(fault.status, 400 | 401 | 403) => {
                    self.is_old.store(false, Relaxed);
                    return Err(newer);
                }
                None if self.may_be_old() && is_unsigned(&fault) => {
                    self.is_old.store(true, Relaxed);
                    first = Some(fault);
                }
                _ => return Err(fault),
            }
        }
    }

    /// Whether the service may be one that takes only the older signature. Amazon isn't.
    fn may_be_old(&self) -> bool {
        let known = self.knows_signature.load(Relaxed) || self.is_old.load(Relaxed);
        self.dialect.old_sign.is_some() && !self.is_amazon && !known
    }

    /// What a reply that isn't a success means, and the region of the bucket if it can be followed
    /// to there.
    fn fault(&self, what: &str, head: bool, reply: Reply) -> (Fault, Option<String>) {
        let status = reply.status;
        let html = reply.header("content-type").is_some_and(|kind| kind.starts_with("text/html"));
        let mut region = reply.header(self.dialect.names.region).map(str::to_owned);
        let mut told = Told::default();
        if head {
            reply.drain();
        } else {
            let mut reader = reply.into_reader();
            // An explanation that can't be read leaves the status to go by.
            let _ = walk(what, &mut reader, &mut |path, text| {
                if let Some(name) = path.strip_prefix("Error/") {
                    told.take(name, text);
                }
                Ok(())
            });
            drain(reader);
            if told.code.is_empty() && (html || status == 404) {
                // A proxy's or a router's page must not be taken for a file that is gone.
                told = Told { message: "the reply isn't one of S3".into(), ..Told::default() };
                return (self.explain(what, status, &told), None);
            }
        }
        region = region.or(told.region.take()).filter(|_| matches!(status, 301 | 307 | 400));
        region = region.or_else(|| self.address.region_at(&told.host));
        (self.explain(what, status, &told), region.filter(|region| is_region(region)))
    }

    /// The error that a service's code and message, or the bare status of a HEAD, stand for.
    pub fn explain(&self, what: &str, status: u16, told: &Told) -> Fault {
        let code = told.code.as_str();
        let kind = kind_of(status, code, &told.message);
        let host = fault::plain(&told.host);
        let error = Error::new(kind, what, fault::cause(status, code, &told.message));
        let error = match (kind, code) {
            (_, _) if !host.is_empty() => error.remedy(format!(
                "the service says that the bucket is at {host}: correct the connection's region \
                 or address"
            )),
            (_, "NoSuchBucket") => error.remedy(format!(
                "make the bucket {} or correct the connection's bucket or region",
                self.bucket
            )),
            (_, "SignatureDoesNotMatch") => {
                // Swift says so of an unknown access key, too.
                error.remedy("check the connection's secret key and access key")
            }
            (_, "InvalidAccessKeyId") => error.remedy("check the connection's access key"),
            (_, "RequestTimeTooSkewed") => error.remedy("set the clock of this machine"),
            (_, "InvalidObjectState") => error
                .remedy("it is archived: restore it with the service's own tools, then sync again"),
            (_, "InvalidStorageClass") => {
                error.remedy("correct the connection's storage class (storage-class)")
            }
            (_, "AuthorizationHeaderMalformed" | "PermanentRedirect") => {
                error.remedy("check the connection's region and address")
            }
            (Kind::Usage, _) => {
                error.remedy("correct the connection's encryption (sse and sse-key)")
            }
            (Kind::Protocol, _) => error.remedy("check that the address is that of an S3 service"),
            _ => error,
        };
        Fault { status, code: code.into(), again: false, error }
    }

    /// Reads a reply that has to be an XML document whose root begins with `root` (moto and rclone
    /// end some in their own way); an error may come with status 200.
    pub fn document(
        &self,
        what: &str,
        reply: Reply,
        root: &str,
        on: &mut dyn FnMut(&str, String) -> Result<()>,
    ) -> Result<(), Fault> {
        let mut told = Told::default();
        let found = walk(what, reply.into_reader(), &mut |path, text| {
            match path.strip_prefix("Error/") {
                Some(name) => told.take(name, text),
                None => on(path.split_once('/').map_or("", |(_, child)| child), text)?,
            }
            Ok(())
        })?;
        if found == "Error" {
            return Err(self.explain(what, 200, &told));
        }
        if !found.starts_with(root) {
            return Err(not_s3(what, format!("the reply is <{found}>, not <{root}>")).into());
        }
        Ok(())
    }
}

fn kind_of(status: u16, code: &str, message: &str) -> Kind {
    match code {
        "InvalidAccessKeyId"
        | "SignatureDoesNotMatch"
        | "InvalidToken"
        | "ExpiredToken"
        | "AuthorizationHeaderMalformed"
        | "RequestTimeTooSkewed"
        | "NotSignedUp" => Kind::SignIn,
        "AccessDenied" | "AllAccessDisabled" | "AccountProblem" | "InvalidObjectState" => {
            Kind::Denied
        }
        "NoSuchBucket" | "NoSuchKey" => Kind::NotFound,
        "EntityTooLarge" => Kind::TooLarge,
        "FileAlreadyExists" => Kind::Exists,
        "PermanentRedirect"
        | "InvalidStorageClass"
        | "KMS.NotFoundException"
        | "KMS.DisabledException"
        | "KMS.InvalidKeyUsageException" => Kind::Usage,
        "KeyTooLong" | "KeyTooLongError" | "InvalidObjectName" | "XMinioInvalidObjectName" => {
            Kind::BadName
        }
        "SlowDown" | "ServiceUnavailable" | "InternalError" | "RequestTimeout"
        | "OperationAborted" | "IncompleteBody" => Kind::Busy,
        // The first four: the file was changed while it was sent. The others: something else
        // was written, or the upload was dropped, at the same time.
        "BadDigest"
        | "InvalidDigest"
        | "XAmzContentSHA256Mismatch"
        | "XAmzContentChecksumMismatch"
        | "ConditionalRequestConflict"
        | "PreconditionFailed"
        | "NoSuchUpload"
        | "InvalidPart"
        | "InvalidRange" => Kind::Changed,
        "InsufficientStorage" | "XMinioStorageFull" => Kind::QuotaFull,
        _ if code.contains("Quota") => Kind::QuotaFull,
        _ => match status {
            401 => Kind::SignIn,
            // Only a HEAD has neither code nor message.
            404 if code.is_empty() && message.is_empty() => Kind::NotFound,
            403 => Kind::Denied,
            409 | 412 | 416 => Kind::Changed,
            413 => Kind::TooLarge,
            414 => Kind::BadName,
            507 => Kind::QuotaFull,
            _ => Kind::Protocol,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::store;
    use super::*;

    #[test]
    fn errors_say_what_to_do_and_no_secret() {
        let store = store(&[]).unwrap();
        let explain = |what: &str, status: u16, code: &str, message: &str| {
            let (code, message) = (code.to_owned(), message.to_owned());
            store.explain(what, status, &Told { code, message, ..Told::default() }).error
        };
        for (status, code, kind) in [
            (403, "InvalidAccessKeyId", Kind::SignIn),
            (403, "AccessDenied", Kind::Denied),
            (404, "NoSuchBucket", Kind::NotFound),
            (404, "", Kind::NotFound),
            (403, "QuotaExceeded", Kind::QuotaFull),
            (200, "SlowDown", Kind::Busy),
            (400, "BadDigest", Kind::Changed),
            (403, "InvalidObjectState", Kind::Denied),
            (301, "PermanentRedirect", Kind::Usage),
            (400, "InvalidStorageClass", Kind::Usage),
            (409, "FileAlreadyExists", Kind::Exists),
            (418, "Teapot", Kind::Protocol),
        ] {
            let error = explain("looking at a", status, code, "");
            assert_eq!(error.kind(), kind, "{code}");
            assert!(error.to_string().starts_with("looking at a: "), "{error}");
            assert!(!error.to_string().contains("very-secret"));
        }
        assert!(explain("", 404, "NoSuchBucket", "").advice().contains("bucket bucket"));
        // A page that isn't S3's doesn't say that a file is gone.
        assert_eq!(explain("", 404, "", "a page").kind(), Kind::Protocol);
    }
}
