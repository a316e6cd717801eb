//! A giver of OAuth tokens that answers as a test says.

use percent_encoding::percent_decode_str;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::ops::Index;
use std::sync::{Arc, Condvar, Mutex};
use std::thread;

/// The fields of a form or a query.
#[derive(Clone, Debug)]
pub struct Form(BTreeMap<String, String>);

/// Listens on the loopback address until the process ends.
#[derive(Clone, Default)]
pub struct Giver {
    pub url: String,
    seen: Arc<(Mutex<Vec<Form>>, Condvar)>,
}

impl Form {
    pub fn of(text: &str) -> Form {
        let decoded = |text: &str| percent_decode_str(text).decode_utf8().unwrap().into_owned();
        let pairs = text.split('&').filter_map(|pair| pair.split_once('='));
        Form(pairs.map(|(key, value)| (decoded(key), decoded(value))).collect())
    }
}

impl Index<&str> for Form {
    type Output = String;

    fn index(&self, key: &str) -> &String {
        self.0.get(key).unwrap_or_else(|| panic!("no {key} in {:?}", self.0))
    }
}

impl Giver {
    /// Answers the `n`-th request, counted from 0, with a status and a body.
    pub fn start(answer: impl Fn(usize, &Form) -> (u16, String) + Send + Sync + 'static) -> Giver {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let giver = Giver { url, ..Giver::default() };
        let (seen, answer) = (giver.seen.clone(), Arc::new(answer));
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (seen, answer) = (seen.clone(), answer.clone());
                thread::spawn(move || {
                    let mut stream = stream.unwrap();
                    let Some(form) = read(&stream) else { return };
                    let number = {
                        let mut forms = seen.0.lock().unwrap();
                        forms.push(form.clone());
                        seen.1.notify_all();
                        forms.len() - 1
                    };
                    let (status, body) = answer(number, &form);
                    let head = format!(
                        "HTTP/1.1 {status} Said\r\nContent-Type: application/json\r\n\
                         Date: Thu, 01 Jan 1970 00:00:00 GMT\r\nConnection: close\r\n\
                         Content-Length: {}\r\n\r\n",
                        body.len()
                    );
                    // A client may have gone away.
                    let _ = stream.write_all((head + &body).as_bytes());
                });
            }
        });
        giver
    }

    /// The forms that came in so far.
    pub fn forms(&self) -> Vec<Form> {
        self.seen.0.lock().unwrap().clone()
    }

    /// How many requests there were.
    pub fn count(&self) -> usize {
        self.forms().len()
    }

    /// Waits until there were so many requests.
    pub fn wait_for(&self, requests: usize) {
        let (forms, news) = &*self.seen;
        drop(news.wait_while(forms.lock().unwrap(), |forms| forms.len() < requests).unwrap());
    }
}

/// The form of a request, which has to be one.
fn read(stream: &TcpStream) -> Option<Form> {
    let mut reader = BufReader::new(stream);
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if line == "\r\n" {
            break;
        }
        let line = line.to_ascii_lowercase();
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        head += &line;
    }
    assert!(head.starts_with("post /o/token http/1.1"), "{head}");
    assert!(head.contains("content-type: application/x-www-form-urlencoded"), "{head}");
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Form::of(std::str::from_utf8(&body).unwrap()))
}
