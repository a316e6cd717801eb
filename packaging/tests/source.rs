//! The package source, as Package Center asks it.

use crate::common::{cpus, fresh, md5, packages, packer, run};
use serde_json::Value;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

const URL: &str = "https://packages.example.com/mooring";

/// A folder with all packages.
fn folder(name: &str) -> PathBuf {
    let folder = fresh(name);
    for spk in packages() {
        fs::copy(&spk.path, folder.join(spk.name())).unwrap();
    }
    folder
}

/// A server over such a folder.
struct Server {
    process: Child,
    address: String,
}

impl Server {
    fn start(name: &str) -> Server {
        let mut command = packer();
        command.arg("source").arg(folder(name)).args(["--url", URL, "--listen", "127.0.0.1:0"]);
        let mut process = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().trim_start_matches("http://").trim_end_matches('/').to_owned();
        Server { process, address }
    }

    fn send(&self, request: &str) -> (u16, Vec<u8>) {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let end = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
        let head = str::from_utf8(&answer[..end]).unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), answer.split_off(end + 4))
    }

    fn get(&self, target: &str) -> (u16, Vec<u8>) {
        self.send(&format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n"))
    }

    fn asked(&self, query: &str) -> Value {
        let (status, body) = self.get(&format!("/?{query}"));
        assert_eq!(status, 200, "{query}");
        serde_json::from_slice(&body).unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

const DSM_7: &str = "package_update_channel=stable&unique=synology_geminilake_920%2B&build=72806&\
     language=enu&major=7&minor=2&micro=2&nano=3&arch=geminilake&timezone=Amsterdam";
const DSM_6: &str = "build=25556&language=enu&major=6&arch=armada38x&ds_sn=x";

/// The only package of a document.
fn only(document: &Value) -> &Value {
    let packages = document["packages"].as_array().unwrap();
    assert_eq!(packages.len(), 1);
    &packages[0]
}

fn expect(package: &Value, cpu: &str, dsm: u32) {
    let spk = packages().iter().find(|spk| spk.cpu == cpu && spk.dsm == dsm).unwrap();
    let info = spk.info();
    assert_eq!(package["package"], info["package"]);
    assert_eq!(package["version"], info["version"]);
    assert_eq!(package["dname"], info["displayname"]);
    assert_eq!(package["desc"], info["description"]);
    assert_eq!(package["link"], format!("{URL}/{}", spk.name()));
    assert_eq!(package["md5"], md5(&spk.bytes));
    assert_eq!(package["size"], spk.bytes.len());
    // There is a licence to accept.
    for key in ["qinst", "qupgrade", "qstart"] {
        assert_eq!(package[key], false);
    }
}

#[test]
fn each_box_is_told_its_package() {
    let server = Server::start("served");
    let document = server.asked(DSM_7);
    assert_eq!(document.as_object().unwrap().keys().collect::<Vec<_>>(), ["packages"]);
    expect(only(&document), "x86_64", 7);
    let document = server.asked(DSM_6);
    assert!(document["keyrings"].is_array());
    expect(only(&document), "armv7", 6);
    let boxes = [("alpine4k", "armv7"), ("rtd1619b", "aarch64"), ("evansport", "i686")];
    for (platform, cpu) in boxes.into_iter().filter(|(_, cpu)| cpus().contains(cpu)) {
        let document = server.asked(&DSM_7.replace("geminilake&", &format!("{platform}&")));
        expect(only(&document), cpu, 7);
    }
    // A form is as good.
    let length = DSM_7.len();
    let (status, body) =
        server.send(&format!("POST / HTTP/1.1\r\nContent-Length: {length}\r\n\r\n{DSM_7}"));
    assert_eq!(status, 200);
    expect(only(&serde_json::from_slice(&body).unwrap()), "x86_64", 7);
}

#[test]
fn it_speaks_the_users_language() {
    let server = Server::start("spoken");
    let german = server.asked(&DSM_7.replace("enu", "ger"));
    assert!(only(&german)["desc"].as_str().unwrap().starts_with("Hält"));
    // Dutch isn't there.
    let dutch = server.asked(&DSM_7.replace("enu", "nld"));
    assert!(only(&dutch)["desc"].as_str().unwrap().starts_with("Keeps"));
}

#[test]
fn a_box_that_takes_none_is_told_of_none() {
    let server = Server::start("none");
    let too_old = server.asked("build=15284&language=enu&major=6&arch=armada38x");
    assert_eq!(too_old["packages"].as_array().unwrap().len(), 0);
    let ancient = server.asked("build=4528&language=enu&major=5&arch=armada38x");
    assert_eq!(ancient.as_array().unwrap().len(), 0);
}

#[test]
fn what_makes_no_sense_is_refused() {
    let server = Server::start("refused");
    for (target, expected) in [
        ("/", 400),
        ("/?build=72806&language=enu", 400),
        ("/?build=72806&language=enu&arch=", 400),
        ("/?build=new&language=enu&arch=geminilake", 422),
        ("/?build=72806&language=elvish&arch=geminilake", 422),
        ("/?build=72806&language=enu&arch=abacus", 422),
        ("/../Cargo.toml", 404),
        ("/%2e%2e/Cargo.toml", 404),
        ("/dsm7/../../x.json", 404),
        ("//etc/passwd", 404),
        ("/nothing.spk", 404),
    ] {
        assert_eq!(server.get(target).0, expected, "{target}");
    }
    assert_eq!(server.send("DELETE / HTTP/1.1\r\n\r\n").0, 405);
    assert_eq!(server.send("\r\n\r\n").0, 400);
    assert_eq!(server.send("POST / HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n").0, 400);
    assert_eq!(server.send("POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n").0, 400);
}

#[test]
fn packages_and_icons_are_served() {
    let server = Server::start("files");
    let document = server.asked(DSM_7);
    let package = only(&document);
    let name = |url: &Value| url.as_str().unwrap().strip_prefix(URL).unwrap().to_owned();
    let (status, bytes) = server.get(&name(&package["link"]));
    assert_eq!((status, md5(&bytes).as_str()), (200, package["md5"].as_str().unwrap()));
    let (status, icon) = server.get(&name(&package["thumbnail"][0]));
    assert_eq!((status, &icon[1..4]), (200, &b"PNG"[..]));
    assert!(server.send("HEAD /mooring.png HTTP/1.1\r\n\r\n").1.is_empty());
}

#[test]
fn any_web_server_can_serve_the_files() {
    let folder = folder("static");
    run(packer().arg("source").arg(&folder).args(["--url", &format!("{URL}/")]));
    for spk in packages() {
        let text = fs::read(folder.join(format!("dsm{}-{}.json", spk.dsm, spk.cpu))).unwrap();
        let document = serde_json::from_slice(&text).unwrap();
        expect(only(&document), spk.cpu, spk.dsm);
        assert_eq!(document.get("keyrings").is_some(), spk.dsm == 6);
    }
    assert!(folder.join("mooring.png").exists());
}

#[test]
fn the_newest_package_is_told() {
    let folder = fresh("newest");
    let spk = packages().iter().find(|spk| spk.cpu == "x86_64" && spk.dsm == 7).unwrap();
    let version = spk.info()["version"];
    let (feature, build) = version.rsplit_once('-').unwrap();
    let newer = format!("{feature}-{}", build.parse::<u32>().unwrap() + 9);
    fs::copy(&spk.path, folder.join(spk.name())).unwrap();
    fs::write(folder.join("newer.spk"), with_version(&spk.bytes, version, &newer)).unwrap();
    run(packer().arg("source").arg(&folder).args(["--url", URL]));
    let text = fs::read(folder.join("dsm7-x86_64.json")).unwrap();
    let document = serde_json::from_slice(&text).unwrap();
    assert_eq!(only(&document)["version"], newer);
    assert_eq!(only(&document)["link"], format!("{URL}/newer.spk"));
}

#[test]
fn an_empty_folder_is_no_source() {
    let folder = fresh("empty");
    let output = Command::new(packer().get_program())
        .arg("source")
        .arg(&folder)
        .args(["--url", URL])
        .output();
    let output = output.unwrap();
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("run cargo spk first"));
}

/// The package with another version in its INFO.
fn with_version(spk: &[u8], from: &str, to: &str) -> Vec<u8> {
    let mut copy = tar::Builder::new(Vec::new());
    for member in tar::Archive::new(spk).entries().unwrap() {
        let mut member = member.unwrap();
        let mut header = member.header().clone();
        let mut bytes = Vec::new();
        member.read_to_end(&mut bytes).unwrap();
        if member.path_bytes().as_ref() == b"INFO" {
            let text = String::from_utf8(bytes).unwrap();
            let line = |version: &str| format!("version=\"{version}\"");
            bytes = text.replace(&line(from), &line(to)).into_bytes();
        }
        header.set_size(bytes.len() as u64);
        header.set_cksum();
        copy.append(&header, bytes.as_slice()).unwrap();
    }
    copy.into_inner().unwrap()
}
