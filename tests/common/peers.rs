//! The peers: real servers of others that the tests talk to, and rclone, a client of others to look at them with.
//!
//! A peer starts when a test first asks for it, serves all tests of this process, and ends with the process however that
//! ends: `tests/peers/leash` holds it, and lets go when the pipe breaks whose other end is only here.
//! `tests/run --install` installs them; a peer that isn't there is a failure, never a reason to skip.

use nix::unistd::geteuid;
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::TcpListener;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// Who may use the WebDAV peers.
const DAV_USER: &str = "tester";
const DAV_PASSWORD: &str = "testing";

/// Whom the fakes of cloud services know: the same stands in `tests/peers/fake_service.py`.
const FAKE_CLIENT: &str = "tester-client";
const FAKE_SECRET: &str = "tester-secret";
const FAKE_REFRESH_TOKEN: &str = "tester-refresh";

/// Whom the fronts of the dialects of S3 know.
const FRONT_KEY: &str = "TESTERKEY";
const FRONT_SECRET: &str = "tester-secret";

/// The user that Apache runs programs as when root starts it.
pub const NOBODY: u32 = 65534;

/// How often a peer is started that fails: between finding a free port and using it, another program may take it.
const START_ATTEMPTS: usize = 3;

/// An S3 server, or one of a dialect, with the one key that may do everything on it.
pub struct S3Peer {
    pub name: &'static str,
    /// The service that it is of.
    pub service: &'static str,
    pub endpoint: String,
    pub region: String,
    pub access_key: String,
    pub secret_key: String,
    /// The server of plain S3 that keeps what a front of another dialect is given.
    behind: Option<&'static S3Peer>,
}

/// A server that speaks the language of Azure Blob Storage, with its one account.
pub struct AzurePeer {
    pub name: &'static str,
    /// With the account as its path.
    pub endpoint: String,
    pub account: String,
    /// In Base64.
    pub key: String,
}

/// Backblaze B2, with a key that may do everything on it.
pub struct B2Peer {
    pub name: &'static str,
    /// Without a slash at the end.
    pub endpoint: String,
    pub key_id: String,
    pub key: String,
}

/// Google Cloud Storage, to which people sign in, and an account by its key.
pub struct GcsPeer {
    pub fake: FakePeer,
    /// The key, in JSON, of an account that may do everything there. Its tokens come from here.
    pub key: String,
}

/// OpenStack Swift by its own API, with a way to sign in.
pub struct SwiftPeer {
    pub name: &'static str,
    /// Where to sign in.
    pub endpoint: String,
    /// What else the connection is told.
    pub settings: Vec<(&'static str, String)>,
    pub key: String,
    /// The same as rclone is told it.
    rclone: Vec<(&'static str, String)>,
}

/// A folder on a WebDAV server, with its user.
pub struct DavPeer {
    pub name: &'static str,
    /// Ends with a slash.
    pub url: String,
    pub user: String,
    pub password: String,
    /// Where rclone finds the same folder: it doesn't speak Digest.
    basic_url: String,
}

/// A fake of a cloud service, with a client and a refresh token that it knows from the start.
pub struct FakePeer {
    pub name: &'static str,
    /// Without a slash at the end. Stands for each of the service's hosts.
    pub endpoint: String,
    pub client_id: String,
    pub client_secret: String,
    pub refresh_token: String,
}

/// A web server that runs programs as that of a NAS does: by CGI, over TLS, those below `files` whose name ends in `.cgi`.
pub struct CgiPeer {
    pub name: &'static str,
    /// Host and port.
    pub address: String,
    pub files: PathBuf,
    /// What `certify.py` printed for it.
    pub certificates: String,
    /// The user it runs them as.
    pub user: u32,
}

/// OpenStack Swift's S3 door: the strict one, and the one to believe in a dispute. Checks signatures, the clock,
/// checksums, part sizes; has versions, part copies, `If-None-Match: *` on PUT and `If-Match` on DELETE.
///
/// Answers 501 to `If-Match` on PUT and to encryption headers; knows the storage class STANDARD only.
pub fn swift() -> &'static S3Peer {
    static PEER: OnceLock<S3Peer> = OnceLock::new();
    PEER.get_or_init(|| S3Peer::start("swift", "test:tester", "testing"))
}

/// moto: the complete one. Has every condition on PUT and DELETE, versions, storage classes, encryption headers.
///
/// Checks signatures in headers (to a presigned URL it answers 500), but neither the clock nor that a body is the one that
/// was signed or summed; ignores `x-amz-copy-source-if-match`.
pub fn moto() -> &'static S3Peer {
    static PEER: OnceLock<S3Peer> = OnceLock::new();
    PEER.get_or_init(|| S3Peer::start("moto", "AKIAPEERPEERPEERPEER", "testing"))
}

/// `rclone serve s3`: the poor one, as small servers on a NAS are. Checks signatures and Content-MD5.
///
/// Ignores every condition but `If-None-Match` on GET, answers a range with 200, has no part copies, no versions, no folder
/// markers, enforces no least part size, and capitalises the names of metadata.
pub fn rclone_s3() -> &'static S3Peer {
    static PEER: OnceLock<S3Peer> = OnceLock::new();
    PEER.get_or_init(|| S3Peer::start("rclone-s3", "tester", "testing"))
}

/// The same Swift by its own API, with the sign-in that it brings itself (TempAuth). Checks sums, `If-None-Match: *` on PUT,
/// and the segments of large objects; has bulk removals.
///
/// Ignores every other condition on PUT and DELETE; tells the token for a day.
pub fn swift_api() -> &'static SwiftPeer {
    static PEER: OnceLock<SwiftPeer> = OnceLock::new();
    PEER.get_or_init(|| {
        let S3Peer { endpoint, access_key: user, secret_key: key, .. } = swift();
        SwiftPeer {
            name: "swift-api",
            endpoint: format!("{endpoint}/auth/v1.0"),
            settings: vec![("user", user.clone())],
            key: key.clone(),
            rclone: vec![("USER", user.clone())],
        }
    })
}

/// A Swift that lets in whom Keystone lets in: by its third version with a password and with an application credential, and by
/// the second, which a front of our own translates. Tells two regions, and has the second one nowhere.
///
/// `tests/run --keystone` installs it.
pub fn keystone() -> &'static [SwiftPeer; 3] {
    static PEERS: OnceLock<[SwiftPeer; 3]> = OnceLock::new();
    PEERS.get_or_init(|| {
        let (user, key) = ("nasuser", "naspass");
        let (address, folder) = start_in("keystone", user, key, "");
        let id = std::fs::read_to_string(folder.join("application-credential")).unwrap();
        let peer = |name, version: &str, own: &[(&'static str, &'static str, &str)]| {
            let all = own.iter().copied().chain([("region", "REGION", "one")]);
            let pairs: Vec<_> =
                all.map(|(ours, rclones, value)| (ours, rclones, value.to_owned())).collect();
            SwiftPeer {
                name,
                endpoint: format!("http://{address}/{version}"),
                settings: pairs.iter().map(|(key, _, value)| (*key, value.clone())).collect(),
                key: key.into(),
                rclone: pairs.into_iter().map(|(_, key, value)| (key, value)).collect(),
            }
        };
        let of_user = [("user", "USER", user), ("project", "TENANT", "nas")];
        let with_domain = [&of_user[..], &[("domain", "DOMAIN", "Default")]].concat();
        let mut by_application = peer(
            "keystone-application",
            "v3",
            &[("application-credential", "APPLICATION_CREDENTIAL_ID", &id)],
        );
        by_application.rclone.push(("APPLICATION_CREDENTIAL_SECRET", key.into()));
        [
            peer("keystone-3", "v3", &with_domain),
            by_application,
            peer("keystone-2", "v2.0", &of_user),
        ]
    })
}

/// All S3 peers, for what has to hold on each.
pub fn s3_peers() -> [&'static S3Peer; 3] {
    [swift(), moto(), rclone_s3()]
}

/// Alibaba Cloud OSS, played by `tests/peers/s3_front.py` before Swift: its signatures (both), fields, CRC-64s and errors.
///
/// It has no parts of less than 5 MiB, though the service takes 100 KB, and no restoring from an archive.
pub fn oss() -> &'static S3Peer {
    static PEER: OnceLock<S3Peer> = OnceLock::new();
    PEER.get_or_init(|| S3Peer::front("aliyun-oss", "cn-hangzhou"))
}

/// Tencent Cloud COS, played likewise. Lists by markers only; least parts as [`oss`].
pub fn cos() -> &'static S3Peer {
    static PEER: OnceLock<S3Peer> = OnceLock::new();
    PEER.get_or_init(|| S3Peer::front("tencent-cos", "ap-guangzhou"))
}

/// JD Cloud OSS, played likewise by what its documentation has: ignores conditions on writes and on the source of a copy,
/// refuses `Expect` and the first version of listings.
pub fn jd() -> &'static S3Peer {
    static PEER: OnceLock<S3Peer> = OnceLock::new();
    PEER.get_or_init(|| S3Peer::front("jd-oss", "cn-north-1"))
}

/// All fronts.
pub fn s3_fronts() -> [&'static S3Peer; 3] {
    [oss(), cos(), jd()]
}

/// Microsoft's Azurite. Checks signatures, conditions, MD5s, tiers and leases; copies at once.
///
/// Checks no clock, sorts names by their units of UTF-16, and tells a wrong key as the service tells a firewall.
pub fn azurite() -> &'static AzurePeer {
    static PEER: OnceLock<AzurePeer> = OnceLock::new();
    PEER.get_or_init(|| {
        let (account, key) = ("tester", "dGVzdGluZw==");
        let endpoint = format!("{}/{account}", start("azurite", account, key));
        AzurePeer { name: "azurite", endpoint, account: account.into(), key: key.into() }
    })
}

/// Apache's mod_dav_fs with Basic sign-in. Honours conditions and locks.
///
/// An ETag is weak within a second of the write, and `If-Match` with a weak one always fails; ignores X-OC-Mtime; refuses
/// `Depth: infinity`; applies a PUT with Content-Range; its PUT answers no ETag.
pub fn apache() -> &'static DavPeer {
    static PEER: OnceLock<DavPeer> = OnceLock::new();
    PEER.get_or_init(|| {
        let url = format!("{}/basic/", apache_server());
        DavPeer::at("apache", url.clone(), url)
    })
}

/// The same Apache and the same folder as [`apache`], with Digest sign-in (MD5, qop=auth).
pub fn apache_digest() -> &'static DavPeer {
    static PEER: OnceLock<DavPeer> = OnceLock::new();
    PEER.get_or_init(|| {
        let url = format!("{}/digest/", apache_server());
        DavPeer::at("apache-digest", url, apache().url.clone())
    })
}

fn apache_server() -> &'static str {
    static URL: OnceLock<String> = OnceLock::new();
    URL.get_or_init(|| start("apache", DAV_USER, DAV_PASSWORD))
}

/// nginx with its two DAV modules: the poor one.
///
/// Ignores conditions on PUT and DELETE; PROPFIND has no getetag, though GET has an ETag; wants a slash after the name of
/// a folder; refuses `Depth: infinity`; answers 500 to a PUT without a parent, and loses what is moved to where no parent is.
pub fn nginx() -> &'static DavPeer {
    static PEER: OnceLock<DavPeer> = OnceLock::new();
    PEER.get_or_init(|| DavPeer::start("nginx"))
}

/// WsgiDAV. Honours conditions and locks, answers `Depth: infinity`.
///
/// An ETag is made of inode, size and whole seconds: two writes of one size in one second share it. It stands without
/// quotes in PROPFIND, with quotes in HEAD.
pub fn wsgidav() -> &'static DavPeer {
    static PEER: OnceLock<DavPeer> = OnceLock::new();
    PEER.get_or_init(|| DavPeer::start("wsgidav"))
}

/// `rclone serve webdav`. Applies X-OC-Mtime, but to the PUT answers the ETag from before it did.
///
/// Ignores conditions on PUT and DELETE; takes names in NFC and NFD for one; stores a PUT with Content-Range as the
/// whole file; answers 201 to MKCOL of a folder that is there, and to every PUT.
pub fn rclone_dav() -> &'static DavPeer {
    static PEER: OnceLock<DavPeer> = OnceLock::new();
    PEER.get_or_init(|| DavPeer::start("rclone-dav"))
}

/// All WebDAV peers, for what has to hold on each.
pub fn dav_peers() -> [&'static DavPeer; 5] {
    [apache(), apache_digest(), nginx(), wsgidav(), rclone_dav()]
}

/// A fake of Google Drive, `tests/peers/google_drive.py`: checks each request against Google's own description of the API.
///
/// All tests of this process share its files: each works in a folder of its own, and none makes faults for all.
pub fn google_drive() -> &'static FakePeer {
    static PEER: OnceLock<FakePeer> = OnceLock::new();
    PEER.get_or_init(new_google_drive)
}

/// A Google Drive for one test alone.
pub fn new_google_drive() -> FakePeer {
    FakePeer::start("google-drive")
}

/// A fake of Dropbox, `tests/peers/dropbox_fake.py`: checks each request against Dropbox's own description of the API.
///
/// All tests of this process share its files: each works in a folder of its own, and none makes faults for all.
pub fn dropbox() -> &'static FakePeer {
    static PEER: OnceLock<FakePeer> = OnceLock::new();
    PEER.get_or_init(new_dropbox)
}

/// A Dropbox for one test alone.
pub fn new_dropbox() -> FakePeer {
    FakePeer::start("dropbox")
}

/// Backblaze B2, `tests/peers/b2_server.py`: the simulator that Backblaze's own library is tested with, behind HTTP.
///
/// All tests of this process share it: each has a bucket of its own, and makes faults only for its own names.
pub fn b2() -> &'static B2Peer {
    static PEER: OnceLock<B2Peer> = OnceLock::new();
    PEER.get_or_init(new_b2)
}

/// A Backblaze B2 for one test alone.
pub fn new_b2() -> B2Peer {
    let (name, key_id, key) = ("b2", String::from("tester"), String::from("testing"));
    B2Peer { name, endpoint: start(name, &key_id, &key), key_id, key }
}

/// A fake of Google Cloud Storage, `tests/peers/gcs_server.py`: checks each request against Google's own description of the
/// API, conditions, hashes, and what the key of the account signs.
///
/// All tests of this process share it: each has a bucket of its own, and makes no faults for all.
pub fn gcs() -> &'static GcsPeer {
    static PEER: OnceLock<GcsPeer> = OnceLock::new();
    PEER.get_or_init(new_gcs)
}

/// A Google Cloud Storage for one test alone.
pub fn new_gcs() -> GcsPeer {
    let fake = FakePeer::start("google-cloud-storage");
    let mut key = fake.control("key", serde_json::json!({}));
    key["token_uri"] = format!("{}/token", fake.endpoint).into();
    GcsPeer { fake, key: key.to_string() }
}

/// nginx before fcgiwrap. Hands over many variables that are empty, and bodies when they are whole; answers 502 if a program
/// ends before it has taken the body.
pub fn nginx_cgi() -> &'static CgiPeer {
    static PEER: OnceLock<CgiPeer> = OnceLock::new();
    PEER.get_or_init(|| CgiPeer::start("nginx-cgi", geteuid().as_raw()))
}

/// Apache's mod_cgi. Hands over bodies as they come, and reads answers when they have; gives a program the words of a query without `=` as arguments, as CGI has it; started by root, it runs
/// programs as nobody.
pub fn apache_cgi() -> &'static CgiPeer {
    static PEER: OnceLock<CgiPeer> = OnceLock::new();
    let user = if geteuid().is_root() { NOBODY } else { geteuid().as_raw() };
    PEER.get_or_init(|| CgiPeer::start("apache-cgi", user))
}

/// All web servers that run programs.
pub fn cgi_peers() -> [&'static CgiPeer; 2] {
    [nginx_cgi(), apache_cgi()]
}

impl CgiPeer {
    fn start(name: &'static str, user: u32) -> CgiPeer {
        let (address, folder) = start_in(name, DAV_USER, DAV_PASSWORD, "");
        let certificates = std::fs::read_to_string(folder.join("tls.pem")).unwrap();
        CgiPeer { name, address, files: folder.join("files"), certificates, user }
    }
}

/// The fakes of all cloud services.
pub fn fakes() -> [&'static FakePeer; 2] {
    [google_drive(), dropbox()]
}

impl FakePeer {
    fn start(name: &'static str) -> FakePeer {
        FakePeer {
            name,
            endpoint: start(name, FAKE_CLIENT, FAKE_SECRET),
            client_id: FAKE_CLIENT.into(),
            client_secret: FAKE_SECRET.into(),
            refresh_token: FAKE_REFRESH_TOKEN.into(),
        }
    }

    /// Makes a folder that no other test uses, and gives its name.
    pub fn new_folder(&self) -> String {
        let folder = unique_name("folder");
        self.control("make_folder", serde_json::json!({ "path": format!("/{folder}") }));
        folder
    }

    /// Steers the fake. What there is to ask for, and with which fields, stands at the top of
    /// `tests/peers/fake_service.py` and of the fake's own controls.
    pub fn control(&self, what: &str, body: serde_json::Value) -> serde_json::Value {
        self.try_control(what, body).unwrap_or_else(|refused| panic!("{what}: {refused}"))
    }

    /// The same; the error is what the fake says when it refuses.
    pub fn try_control(
        &self,
        what: &str,
        body: serde_json::Value,
    ) -> Result<serde_json::Value, String> {
        control(&self.endpoint, what, &body)
    }

    /// Runs rclone, to which this service is `peer:` with these settings, and waits for its end. It can't be told where
    /// the fake is: it asks the service's own hosts, and a proxy answers for them.
    pub fn rclone(&self, settings: &[(&str, &str)], args: &[&str]) -> Output {
        let front = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/peers/tls_front.py");
        let mut command = Command::new(installed().join("python/bin/python"));
        command.args(["-B", front, &self.endpoint]).arg(installed().join("python/bin/rclone"));
        let token = serde_json::json!({
            "access_token": "none", "refresh_token": self.refresh_token, "expiry": "2001-01-01T00:00:00Z",
        });
        let token = token.to_string();
        let known = [
            ("CLIENT_ID", self.client_id.as_str()),
            ("CLIENT_SECRET", &self.client_secret),
            ("TOKEN", &token),
        ];
        run_rclone(command, &[&known, settings].concat(), args)
    }
}

impl B2Peer {
    /// Makes a bucket that no other test uses, and gives its name.
    pub fn new_bucket(&self) -> String {
        let bucket = unique_name("bucket");
        self.control("bucket", serde_json::json!({ "name": bucket }));
        bucket
    }

    /// Steers it, as stands at the top of `tests/peers/b2_server.py`.
    pub fn control(&self, what: &str, body: serde_json::Value) -> serde_json::Value {
        control(&self.endpoint, what, &body).unwrap_or_else(|refused| panic!("{what}: {refused}"))
    }

    /// Runs rclone, to which this server is `peer:`, and waits for its end.
    pub fn rclone(&self, args: &[&str]) -> Output {
        let remote = [
            ("TYPE", "b2"),
            ("ENDPOINT", &*self.endpoint),
            ("ACCOUNT", &self.key_id),
            ("KEY", &self.key),
            ("CHUNK_SIZE", "5M"),
            ("UPLOAD_CUTOFF", "8M"),
        ];
        rclone(&remote, args)
    }

    /// Runs Backblaze's own client, which keeps what it knows in this folder, and waits for its end.
    pub fn b2(&self, folder: &Path, args: &[&str]) -> Output {
        let mut command = Command::new(installed().join("python/bin/b2"));
        command
            .args(args)
            .env("B2_ENVIRONMENT", &self.endpoint)
            .env("B2_APPLICATION_KEY_ID", &self.key_id)
            .env("B2_APPLICATION_KEY", &self.key)
            .env("B2_ACCOUNT_INFO", folder.join("account"))
            .env("NO_PROXY", "127.0.0.1")
            .stdin(Stdio::null());
        command.output().unwrap_or_else(|error| panic!("b2 doesn't start: {error}"))
    }
}

impl GcsPeer {
    /// Makes a bucket that no other test uses, and gives its name.
    pub fn new_bucket(&self) -> String {
        let bucket = unique_name("bucket");
        self.control("bucket", serde_json::json!({ "name": bucket }));
        bucket
    }

    /// Steers it, as stands at the top of `tests/peers/gcs_server.py`.
    pub fn control(&self, what: &str, body: serde_json::Value) -> serde_json::Value {
        self.fake.control(what, body)
    }

    /// Runs rclone, to which this server is `peer:` by the account's key, and waits for its end.
    pub fn rclone(&self, args: &[&str]) -> Output {
        let endpoint = format!("{}/storage/v1/", self.fake.endpoint);
        let remote = [
            ("TYPE", "google cloud storage"),
            ("ENDPOINT", &*endpoint),
            ("SERVICE_ACCOUNT_CREDENTIALS", &self.key),
            ("PROJECT_NUMBER", "tester-project"),
            ("BUCKET_POLICY_ONLY", "true"),
        ];
        rclone(&remote, args)
    }

    /// Runs Google's own client for Python with this scenario of `tests/peers`, and waits for its end.
    pub fn official(&self, scenario: &str, args: &[&str]) -> Output {
        let mut command = python(scenario);
        command.arg(&self.fake.endpoint).args(args).env("KEY", &self.key);
        command.output().unwrap_or_else(|error| panic!("{scenario} doesn't start: {error}"))
    }
}

impl S3Peer {
    fn start(name: &'static str, access_key: &str, secret_key: &str) -> S3Peer {
        S3Peer {
            name,
            service: "s3",
            endpoint: start(name, access_key, secret_key),
            region: "us-east-1".into(),
            access_key: access_key.into(),
            secret_key: secret_key.into(),
            behind: None,
        }
    }

    /// A front of this service before Swift.
    fn front(service: &'static str, region: &str) -> S3Peer {
        let behind = swift();
        let S3Peer { endpoint, access_key, secret_key, .. } = behind;
        let backend = format!("{endpoint} {access_key} {secret_key}");
        S3Peer {
            name: service,
            service,
            endpoint: format!("http://{}", start_in(service, FRONT_KEY, FRONT_SECRET, &backend).0),
            region: region.into(),
            access_key: FRONT_KEY.into(),
            secret_key: FRONT_SECRET.into(),
            behind: Some(behind),
        }
    }

    /// Makes a bucket that no other test uses, and gives its name.
    pub fn new_bucket(&self) -> String {
        // Tencent's names end with the number of the account.
        let bucket = format!("{}-1250000000", unique_name("bucket"));
        succeed(self.rclone(&["mkdir", &format!("peer:{bucket}")]));
        bucket
    }

    /// Runs rclone, to which this server is `peer:`, and waits for its end. It doesn't speak the dialects: of a front, it sees
    /// what the server behind it keeps.
    pub fn rclone(&self, args: &[&str]) -> Output {
        match self.behind {
            Some(behind) => behind.rclone(args),
            None => self.rclone_here(&[], args),
        }
    }

    /// The same, at this very address, with settings of rclone.
    pub fn rclone_here(&self, settings: &[(&str, &str)], args: &[&str]) -> Output {
        let remote = [
            ("TYPE", "s3"),
            ("PROVIDER", "Other"),
            ("ENDPOINT", &self.endpoint),
            ("REGION", &self.region),
            ("ACCESS_KEY_ID", &self.access_key),
            ("SECRET_ACCESS_KEY", &self.secret_key),
        ];
        rclone(&[&remote, settings].concat(), args)
    }
}

impl AzurePeer {
    /// Makes a container that no other test uses, and gives its name.
    pub fn new_container(&self) -> String {
        let container = unique_name("container");
        succeed(self.rclone(&["mkdir", &format!("peer:{container}")]));
        container
    }

    /// A shared access signature for a container, by Microsoft's SDK; `permissions` are letters of it.
    pub fn sas(&self, container: &str, permissions: &str) -> String {
        let script = "azure_sign.py";
        let mut command = python(script);
        command.args(["sas", &self.account, &self.key, container, permissions]);
        succeed(command.output().unwrap()).trim().to_owned()
    }

    /// Runs rclone, to which this server is `peer:`, and waits for its end.
    pub fn rclone(&self, args: &[&str]) -> Output {
        let remote = [
            ("TYPE", "azureblob"),
            ("ENDPOINT", &self.endpoint),
            ("ACCOUNT", &self.account),
            ("KEY", &self.key),
        ];
        rclone(&remote, args)
    }
}

impl SwiftPeer {
    /// The same server as another one signs in to it, unknown to rclone.
    pub fn at(
        name: &'static str,
        endpoint: String,
        settings: Vec<(&'static str, String)>,
        key: String,
    ) -> SwiftPeer {
        SwiftPeer { name, endpoint, settings, key, rclone: Vec::new() }
    }

    /// Makes a container that no other test uses, and gives its name.
    pub fn new_container(&self) -> String {
        let container = unique_name("container");
        succeed(self.rclone(&["mkdir", &format!("peer:{container}")]));
        container
    }

    /// Runs rclone, to which this server is `peer:`, and waits for its end.
    pub fn rclone(&self, args: &[&str]) -> Output {
        let mut remote = vec![
            ("TYPE", "swift"),
            ("AUTH", &*self.endpoint),
            ("KEY", &*self.key),
            ("CHUNK_SIZE", "5M"),
        ];
        remote.extend(self.rclone.iter().map(|(key, value)| (*key, value.as_str())));
        rclone(&remote, args)
    }
}

impl DavPeer {
    fn start(name: &'static str) -> DavPeer {
        let url = format!("{}/", start(name, DAV_USER, DAV_PASSWORD));
        DavPeer::at(name, url.clone(), url)
    }

    fn at(name: &'static str, url: String, basic_url: String) -> DavPeer {
        DavPeer { name, url, user: DAV_USER.into(), password: DAV_PASSWORD.into(), basic_url }
    }

    /// Makes a folder that no other test uses, and gives its name.
    pub fn new_folder(&self) -> String {
        let folder = unique_name("folder");
        succeed(self.rclone(&["mkdir", &format!("peer:{folder}")]));
        folder
    }

    /// Runs rclone, to which this server is `peer:`, and waits for its end.
    pub fn rclone(&self, args: &[&str]) -> Output {
        let obscured = succeed(rclone(&[], &["obscure", &self.password]));
        let remote = [
            ("TYPE", "webdav"),
            ("VENDOR", "other"),
            ("URL", &self.basic_url),
            ("USER", &self.user),
            ("PASS", obscured.trim()),
        ];
        rclone(&remote, args)
    }
}

/// Steers a fake; the error is what it says when it refuses.
fn control(
    endpoint: &str,
    what: &str,
    body: &serde_json::Value,
) -> Result<serde_json::Value, String> {
    let url = format!("{endpoint}/_control/{what}");
    let agent = ureq::Agent::config_builder().http_status_as_error(false).proxy(None).build();
    let reply = ureq::Agent::from(agent).post(&url).send(body.to_string());
    let read = reply.and_then(|mut reply| {
        // A tree may be longer than ureq reads unasked.
        let text = reply.body_mut().with_config().limit(u64::MAX).read_to_string()?;
        Ok((reply.status(), text))
    });
    let (status, text) = read.unwrap_or_else(|error| panic!("{url}: {error}"));
    if !status.is_success() {
        return Err(format!("{status} {text}"));
    }
    Ok(serde_json::from_str(&text).unwrap_or_else(|error| panic!("{url}: {error}: {text}")))
}

/// Starts the named peer with an empty folder for its data, waits until it answers, and gives its URL without a path.
fn start(name: &str, user: &str, password: &str) -> String {
    format!("http://{}", start_in(name, user, password, "").0)
}

/// The same, before a server behind it; gives its host and port, and the folder that it has.
fn start_in(name: &str, user: &str, password: &str, backend: &str) -> (String, PathBuf) {
    let scripts = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/peers"));
    assert!(
        installed().join("installed").exists(),
        "the test servers are missing: run tests/run --install"
    );
    let mut failure = String::new();
    for _ in 0..START_ATTEMPTS {
        let port = free_port().to_string();
        // Not below target/: an Apache started by root serves as nobody, who may not get there.
        let folder = format!("mooring-{}-{name}-{port}", std::process::id());
        let folder = std::env::temp_dir().join(folder);
        let mut leash = Command::new(scripts.join("leash"))
            .arg(&folder)
            .arg(&port)
            .args([&scripts.join("start"), Path::new(name), &folder])
            .args([&port, user, password, backend])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // So that a signal to the process group of the tests can't end the leash before it has done its work.
            .process_group(0)
            .spawn()
            .unwrap_or_else(|error| panic!("tests/peers/leash doesn't start: {error}"));
        let mut said = String::new();
        if let Some(stdout) = leash.stdout.take() {
            let mut stdout = BufReader::new(stdout);
            if stdout.read_line(&mut said).is_ok() && said == "ready\n" {
                // The pipe that holds the peer stays open until this process ends.
                std::mem::forget(leash);
                return (format!("127.0.0.1:{port}"), folder);
            }
            let _ = stdout.read_to_string(&mut said);
            failure = said;
        }
        let _ = leash.wait();
    }
    panic!("the peer {name} doesn't start; its log ends with\n{failure}");
}

fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0))
        .and_then(|listener| listener.local_addr())
        .unwrap_or_else(|error| panic!("no free port on the loopback address: {error}"))
        .port()
}

/// Runs rclone with the one remote `peer:`, and nothing of the configuration of the person who tests.
fn rclone(remote: &[(&str, &str)], args: &[&str]) -> Output {
    run_rclone(Command::new(installed().join("python/bin/rclone")), remote, args)
}

/// As [`rclone`], where something else may run it.
fn run_rclone(mut rclone: Command, remote: &[(&str, &str)], args: &[&str]) -> Output {
    rclone
        .args(["--config=", "--retries=1"])
        .args(args)
        .envs(remote.iter().map(|(key, value)| (format!("RCLONE_CONFIG_PEER_{key}"), value)))
        .env("NO_PROXY", "127.0.0.1")
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("rclone doesn't start ({error}): run tests/run --install"))
}

/// Python with the packages of the tests, about to run this program of `tests/peers`.
pub fn python(program: &str) -> Command {
    let mut command = Command::new(installed().join("python/bin/python"));
    let program = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/peers")).join(program);
    command.arg("-B").arg(program).env("NO_PROXY", "127.0.0.1");
    command
}

/// A tool of others that Debian packages.
pub fn debian_tool(name: &str) -> Command {
    let debian = installed().join("debian");
    // Unpacked and not installed: its libraries have to be pointed at, and it finds no configuration.
    let libraries = ["usr/lib", "lib"].map(|folder| debian.join(folder)).into_iter();
    let libraries = libraries.filter_map(|folder| folder.read_dir().ok()).flatten().flatten();
    let libraries: Vec<_> = libraries
        .map(|entry| entry.path())
        .filter(|path| path.to_string_lossy().ends_with("-linux-gnu"))
        .collect();
    let program = debian.join("usr/bin").join(name);
    assert!(program.exists(), "{name} is missing: run tests/run --install");
    let mut command = Command::new(program);
    command
        .env("LD_LIBRARY_PATH", std::env::join_paths(libraries).unwrap_or_default())
        .env("OPENSSL_CONF", "/dev/null");
    command
}

/// What a command printed, which has to have succeeded.
fn succeed(output: Output) -> String {
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "it failed: {errors}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A name for a bucket or folder; the peers are new in every process, so it need only be new in this one.
fn unique_name(kind: &str) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!("{kind}-{}", COUNT.fetch_add(1, Ordering::Relaxed))
}

/// Where `tests/run` installs.
fn installed() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/target/peers"))
}
