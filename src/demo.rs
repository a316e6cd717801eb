//! `mooring demo`: a daemon with a task, and a WebDAV server in the same process to sync with.
//!
//! Only in builds with the feature `demo`. What it makes is removed at the end, apart from a
//! local folder that was given.

use crate::daemon::{self, Place, Ticket};
use crate::error::{Error, Result};
use crate::logs;
use crate::model::{ConflictPolicy, Direction};
use crate::settings::{Book, Entered, NewTask};
use dav_server::fakels::FakeLs;
use dav_server::{DavHandler, localfs::LocalFs};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::fs;
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::thread;
use tokio::net::TcpListener;

/// Seconds between two polls: quick enough to watch.
const POLL: &str = "1";

/// Where `cargo panel` writes the page, from the folder with the built program on.
const PANEL: &str = "../panel/ui";

/// Runs until `SIGINT` or `SIGTERM`, telling `out` where to look. The page for browsers is in the
/// folder `panel`, or where it was built.
pub fn run(local: Option<PathBuf>, panel: Option<PathBuf>, out: &mut dyn Write) -> Result<()> {
    let failed = |error| Error::disk("the demo", error);
    let folder = Temporary::new().map_err(failed)?;
    let [state, cloud] = ["state", "cloud"].map(|name| folder.0.join(name));
    let local = local.unwrap_or_else(|| folder.0.join("nas"));
    for each in [&cloud, &local] {
        fs::create_dir_all(each).map_err(failed)?;
    }
    let local = local.canonicalize().map_err(failed)?;
    let address = serve(cloud.clone()).map_err(failed)?;
    set_up(&state, &local, address)?;
    let (local, cloud) = (local.display(), cloud.display());
    let program = std::env::current_exe().map_err(failed)?;
    let (place, page) = page(panel.or_else(|| built(&program)))?;
    let program = program.display();
    writeln!(
        out,
        "A NAS folder and a cloud folder are kept the same:\n\n  NAS    {local}\n  cloud  {cloud}\n         \
         (served as http://{address}/ by WebDAV)\n\nDrop a file into either; it appears in the other \
         within 2 seconds. For example:\n\n  echo hello > \"{local}/hello.txt\"; sleep 2; ls \"{cloud}\"\n\n\
         Ask the daemon from another terminal:\n\n  \"{program}\" --state \"{}\" status\n\n{page}\n\nCtrl-C ends it.\n",
        state.display(),
    )
    .and_then(|()| out.flush())
    .map_err(failed)?;
    logs::start();
    daemon::run(&state, place)
}

/// The folder with the page beside the folder with this program, if it was built.
fn built(program: &Path) -> Option<PathBuf> {
    let folder = program.parent()?.join(PANEL);
    folder.join("index.html").exists().then_some(folder)
}

/// Where the page is, and what a person is told of it.
fn page(folder: Option<PathBuf>) -> Result<(Option<Place>, String)> {
    let Some(folder) = folder else {
        let told = "Its page for browsers isn't built: \"cargo panel\" does so, with Node.js.";
        return Ok((None, told.into()));
    };
    // RACE: something else may take the port before the daemon does, which is told then.
    let free = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|it| it.local_addr());
    let address = free.map_err(|error| Error::disk("a port for the page", error))?;
    let (ticket, text) = Ticket::new()?;
    let told = format!(
        "Its page for browsers, once (this address logs in):\n\n  http://{address}/#ticket={text}"
    );
    Ok((Some(Place { address, folder: Some(folder), ticket: Some(ticket) }), told))
}

fn set_up(state: &Path, local: &Path, address: SocketAddr) -> Result<()> {
    let book = Book::open(state)?;
    let values = [("url", format!("http://{address}/")), ("poll", POLL.into())];
    let values = values.map(|(key, value)| (key.to_owned(), value)).into();
    book.add_connection("demo", "webdav", None, Entered { values, ..Entered::default() })?;
    book.add_task(NewTask {
        name: "demo".into(),
        connection: "demo".into(),
        local: local.to_owned(),
        remote: String::new(),
        direction: Direction::Both,
        conflict: ConflictPolicy::Local,
        consistency_check: false,
        keep_removed: false,
        recycle_days: 30,
        filter: Default::default(),
        settings: Vec::new(),
    })?;
    Ok(())
}

/// Serves a folder by WebDAV from a thread of its own, for as long as the process lives.
fn serve(folder: PathBuf) -> std::io::Result<SocketAddr> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let listener = runtime.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))?;
    let address = listener.local_addr()?;
    let server = DavHandler::builder()
        .filesystem(LocalFs::new(folder, false, false, false))
        .locksystem(FakeLs::new())
        .build_handler();
    thread::Builder::new().name("webdav".into()).spawn(move || {
        runtime.block_on(async {
            while let Ok((stream, _)) = listener.accept().await {
                let server = server.clone();
                let service = service_fn(move |request| {
                    let server = server.clone();
                    async move { Ok::<_, Infallible>(server.handle(request).await) }
                });
                let connection =
                    http1::Builder::new().serve_connection(TokioIo::new(stream), service);
                tokio::spawn(connection);
            }
        })
    })?;
    Ok(address)
}

/// A folder that goes with this.
struct Temporary(PathBuf);

impl Temporary {
    fn new() -> std::io::Result<Temporary> {
        let path = std::env::temp_dir().join(format!("mooring-demo-{}", std::process::id()));
        fs::create_dir(&path)?;
        Ok(Temporary(path))
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // What can't be removed is left to the system, as everything in that place.
        let _ = fs::remove_dir_all(&self.0);
    }
}
