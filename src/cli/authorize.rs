//! `mooring connection authorize`: begins a sign-in, gets the answer from a person, finishes it.

use super::args::Source;
use super::{End, answered, listen, print_json, show, unprinted, values};
use crate::admin::Request;
use crate::admin::view::Authorization;
use crate::error::{Error, Kind, Result};
use crate::settings::Secret;
use std::io::{self, BufRead, Read, Write};
use std::path::Path;

/// Far more than any answer takes.
const LONGEST_LINE: u64 = 64 << 10;

/// Where the answer of a sign-in comes from.
#[derive(Debug)]
pub enum Answer {
    /// From a person who pastes it, after the browser ended at this address if one is given.
    Pasted(Option<String>),
    /// From a browser on this machine.
    Heard,
    /// From here: the sign-in was begun before.
    Given(Source),
}

/// Signs in to the service of a connection.
pub fn run(
    state: &Path,
    name: String,
    answer: Answer,
    json: bool,
    out: &mut dyn Write,
) -> Result<End> {
    let (redirect, hears) = match answer {
        Answer::Given(source) => return finish(state, name, values::answer(source)?, json, out),
        Answer::Pasted(redirect) => (redirect, false),
        Answer::Heard => (None, true),
    };
    let request = Request::ConnectionAuthorize { name: name.clone(), redirect };
    let print = show::printer(&request);
    let document = answered(state, request)?;
    let begun: Authorization = show::read(document.clone())?;
    if json {
        print_json(out, &document)?;
        return Ok(if begun.needed { End::NeedsPerson } else { End::Done });
    }
    // What can't be listened for isn't shown.
    let listener = match begun.page.as_ref().map(|page| page.redirect.as_deref()) {
        Some(Some(redirect)) if hears => Some(listen::Listener::bind(redirect)?),
        Some(None) if hears => {
            let cause = "its service shows a code, which no browser brings back";
            return Err(Error::new(Kind::Usage, format!("connection {name}"), cause)
                .remedy("leave --listen out"));
        }
        _ => None,
    };
    print(out, document)?;
    let Some(page) = begun.page else { return Ok(End::Done) };
    let answer = if let Some(listener) = listener {
        tell(out, "Mooring waits for it there: the browser has to run on this machine.")?;
        listener.hear(&page.state)?
    } else {
        let text = match page.redirect {
            Some(_) => "Nothing need open there. Paste that whole address here, and press Enter:",
            None => "Paste it here, and press Enter:",
        };
        tell(out, text)?;
        line(&name)?
    };
    finish(state, name, Secret::new(answer), json, out)
}

fn finish(
    state: &Path,
    name: String,
    answer: Secret,
    json: bool,
    out: &mut dyn Write,
) -> Result<End> {
    let request = Request::ConnectionAuthorized { name, answer };
    super::ask(state, request, json, out)?;
    Ok(End::Done)
}

/// Tells a person what to do, before they are waited for.
fn tell(out: &mut dyn Write, text: &str) -> Result<()> {
    writeln!(out, "{text}").and_then(|()| out.flush()).map_err(unprinted)
}

/// What a person pastes.
fn line(name: &str) -> Result<String> {
    let mut line = String::new();
    let what = format!("the sign-in of connection {name}");
    let remedy = format!(
        "bring it within half an hour: mooring connection authorize \"{name}\" --answer=TEXT"
    );
    let read = io::stdin().lock().take(LONGEST_LINE).read_line(&mut line);
    match read {
        Err(error) => Err(Error::new(Kind::Usage, what, error).remedy(remedy)),
        Ok(_) if line.trim().is_empty() => {
            Err(Error::new(Kind::Usage, what, "there is no answer yet").remedy(remedy))
        }
        Ok(_) => Ok(line),
    }
}
