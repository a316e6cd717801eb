//! A proxy in front of a real server that does harm on demand: the program talks to it as if it were the server.
//!
//! It takes one request for each connection, whole, and asks the test's plan what to do with it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// Far more than anything here takes: a test that waits this long has failed.
const PATIENCE: Duration = Duration::from_secs(120);

/// A request as it came in. Its body is read after the plan was asked.
pub struct Request {
    pub method: String,
    /// Path and query, percent-encoded.
    pub target: String,
    head: String,
}

/// What to do with a request.
pub enum Act {
    /// Pass it on, and the reply back.
    Pass,
    /// Say nothing until the client goes away.
    Hang,
    /// Close the connection when this many bytes of the body have come.
    CutRequest(usize),
    /// Pass it on, and close the connection after this many bytes of the reply's body.
    CutReply(usize),
    /// Pass it on, and give half of the reply's body as if it were all.
    Halve,
    /// Pass it on, and say nothing of what came of it.
    Lose,
    /// Answer this without asking the server.
    Answer(String),
    /// Pass it on, and say that the reply's body has so many bytes more (or less) than it has.
    Lie(i64),
    /// Wait at this gate when the first bytes of the body have come, then pass it on.
    Wait(Gate),
}

/// Where a request waits until the test lets it go on.
#[derive(Clone)]
pub struct Gate(Arc<(Sender<()>, Mutex<Receiver<()>>)>);

/// The test's side of a [`Gate`].
pub struct Keeper {
    arrived: Receiver<()>,
    open: Sender<()>,
}

type Plan = dyn Fn(&Request) -> Act + Send + Sync;

/// A running proxy. It ends with the process.
pub struct Proxy {
    /// Host and port.
    pub address: String,
    plan: Arc<Mutex<Arc<Plan>>>,
    met: Arc<AtomicUsize>,
}

impl Request {
    /// The value of a header field; empty when there is none.
    pub fn header(&self, name: &str) -> &str {
        let mut fields = self.head.lines().filter_map(|line| line.split_once(": "));
        fields.find(|field| field.0.eq_ignore_ascii_case(name)).map_or("", |field| field.1)
    }

    /// Whether it asks what is in a folder or bucket.
    pub fn lists(&self) -> bool {
        self.method == "GET" && self.target.contains("list-type=2")
            || self.method == "PROPFIND" && self.header("depth") == "1"
    }

    /// Whether it fetches the file of this name.
    pub fn gets(&self, name: &str) -> bool {
        self.method == "GET" && self.names(name)
    }

    /// Whether it writes the file of this name.
    pub fn puts(&self, name: &str) -> bool {
        self.method == "PUT" && self.names(name)
    }

    /// Whether it is about the file of this name.
    pub fn names(&self, name: &str) -> bool {
        self.target.split('?').next().is_some_and(|path| path.ends_with(&format!("/{name}")))
    }
}

impl Proxy {
    /// Starts in front of the server at this host and port; passes everything on at first.
    pub fn start(upstream: &str) -> Proxy {
        Proxy::start_with(upstream, Ok)
    }

    /// Starts behind TLS.
    pub fn start_tls(upstream: &str, config: Arc<rustls::ServerConfig>) -> Proxy {
        Proxy::start_with(upstream, move |stream| {
            let session = rustls::ServerConnection::new(config.clone()).map_err(drop)?;
            Ok(rustls::StreamOwned::new(session, stream))
        })
    }

    fn start_with<S: Read + Write>(
        upstream: &str,
        wrap: impl Fn(TcpStream) -> Result<S, ()> + Clone + Send + 'static,
    ) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let plan: Arc<Mutex<Arc<Plan>>> = Arc::new(Mutex::new(Arc::new(|_| Act::Pass)));
        let met = Arc::new(AtomicUsize::new(0));
        let proxy = Proxy { address, plan: plan.clone(), met: met.clone() };
        let upstream = upstream.to_owned();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (wrap, plan, met) = (wrap.clone(), plan.clone(), met.clone());
                let upstream = upstream.clone();
                thread::spawn(move || {
                    if let Ok(stream) = wrap(stream.unwrap()) {
                        // Clients go away; that is no failure of the proxy.
                        let _ = serve(stream, &upstream, &plan, &met);
                    }
                });
            }
        });
        proxy
    }

    /// From now on does what `plan` says.
    pub fn plan(&self, plan: impl Fn(&Request) -> Act + Send + Sync + 'static) {
        self.met.store(0, SeqCst);
        *self.plan.lock().unwrap() = Arc::new(plan);
    }

    /// From now on passes everything on. Tells how many requests were not just passed on since the plan was made.
    pub fn heal(&self) -> usize {
        *self.plan.lock().unwrap() = Arc::new(|_| Act::Pass);
        self.met.load(SeqCst)
    }
}

/// A gate and its keeper.
pub fn gate() -> (Gate, Keeper) {
    let (tell, arrived) = mpsc::channel();
    let (open, opened) = mpsc::channel();
    (Gate(Arc::new((tell, Mutex::new(opened)))), Keeper { arrived, open })
}

impl Gate {
    fn pass(&self) {
        // Once the keeper has gone it stands open.
        if self.0.0.send(()).is_ok() {
            let _ = self.0.1.lock().unwrap().recv();
        }
    }
}

impl Keeper {
    /// Waits until a request is at the gate.
    pub fn wait(&self) {
        self.arrived.recv_timeout(PATIENCE).expect("no request came to the gate");
    }

    /// Opens the gate for good.
    pub fn open(self) {
        drop(self.open);
    }
}

/// A whole reply.
pub fn reply(status: &str, fields: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {length}\r\n{fields}\r\n{body}"
    )
}

fn serve<S: Read + Write>(
    stream: S,
    upstream: &str,
    plan: &Mutex<Arc<Plan>>,
    met: &AtomicUsize,
) -> std::io::Result<()> {
    let mut client = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if client.read_line(&mut head)? == 0 {
            return Ok(());
        }
    }
    let mut words = head.split(' ').map(str::to_owned);
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let request = Request { method, target, head };
    let plan = plan.lock().unwrap().clone();
    let act = plan(&request);
    if !matches!(act, Act::Pass) {
        met.fetch_add(1, SeqCst);
    }
    let length = request.header("content-length").parse().unwrap_or(0_usize);
    if request.header("expect") == "100-continue" {
        client.get_mut().write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
    }
    let wanted = match &act {
        Act::Hang => {
            // Ends with an error or with nothing more to read: the client is gone.
            let _ = std::io::copy(&mut client, &mut std::io::sink());
            return Ok(());
        }
        Act::CutRequest(after) => length.min(*after),
        Act::Wait(gate) => {
            client.fill_buf()?;
            gate.pass();
            length
        }
        _ => length,
    };
    let mut body = vec![0; wanted];
    client.read_exact(&mut body)?;
    let raw = match &act {
        Act::CutRequest(_) => return Ok(()),
        Act::Answer(reply) => reply.clone().into_bytes(),
        _ => ask(upstream, &request, &body)?,
    };
    let client = client.get_mut();
    match act {
        Act::Lose => return Ok(()),
        Act::CutReply(after) => {
            let end = raw.len().min(body_start(&raw) + after);
            client.write_all(&raw[..end])?;
        }
        Act::Halve => {
            let body = &raw[body_start(&raw)..];
            let half = &body[..body.len() / 2];
            client.write_all(&relabel(&raw, half.len() as u64, half))?;
        }
        Act::Lie(by) => {
            let body = &raw[body_start(&raw)..];
            let told = (body.len() as u64).saturating_add_signed(by);
            client.write_all(&relabel(&raw, told, body))?;
        }
        _ => client.write_all(&raw)?,
    }
    client.flush()
}

/// Has the server do it, and gives its reply.
fn ask(upstream: &str, request: &Request, body: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut server = TcpStream::connect(upstream)?;
    let head = without(&request.head, &["connection", "expect"]);
    server.write_all(head.replacen("\r\n", "\r\nConnection: close\r\n", 1).as_bytes())?;
    server.write_all(body)?;
    let mut reply = Vec::new();
    server.read_to_end(&mut reply)?;
    Ok(reply)
}

fn body_start(reply: &[u8]) -> usize {
    let end = reply.windows(4).position(|four| four == b"\r\n\r\n");
    end.map_or(reply.len(), |end| end + 4)
}

/// The reply's head with another length, and this body.
fn relabel(reply: &[u8], length: u64, body: &[u8]) -> Vec<u8> {
    let head = String::from_utf8_lossy(&reply[..body_start(reply)]).into_owned();
    let head = without(&head, &["content-length", "transfer-encoding"]);
    let head = head.replacen("\r\n", &format!("\r\nContent-Length: {length}\r\n"), 1);
    [head.as_bytes(), body].concat()
}

/// A head without these fields.
fn without(head: &str, names: &[&str]) -> String {
    let is_named = |line: &&str| {
        let name = line.split(':').next().unwrap_or_default();
        !names.iter().any(|other| name.eq_ignore_ascii_case(other))
    };
    head.split_inclusive("\r\n").filter(is_named).collect()
}
