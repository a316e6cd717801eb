//! Documents of XML, read as they come.

use super::read_error;
use crate::error::{Error, Result};
use quick_xml::Reader;
use quick_xml::events::Event;
use std::io::{self, BufReader, Read};

/// Far more than the longest page of a listing takes.
const XML_LIMIT: u64 = 64 << 20;

/// Reads an XML document: tells each element's path (`Root/Child`) and text when it ends. Returns
/// the root's name. An attribute is told as if it were an element in its own
/// (`Root/Child/@name`), when that begins, with its value as it stands. Nothing but elements, attributes, text and
/// character references is accepted.
///
/// # Errors
/// What `wrong` makes of a cause, when it isn't such a document, or longer than 64 MiB; `Offline`
/// when it breaks off; and those of `on`: nothing more is told then.
pub fn walk(
    what: &str,
    reader: impl Read,
    wrong: &dyn Fn(String) -> Error,
    on: &mut dyn FnMut(&str, String) -> Result<()>,
) -> Result<String> {
    let mut xml = Reader::from_reader(BufReader::new(reader.take(XML_LIMIT)));
    xml.config_mut().expand_empty_elements = true;
    let (mut buffer, mut path, mut text) = (Vec::new(), String::new(), String::new());
    let mut root = String::new();
    loop {
        buffer.clear();
        let event = xml.read_event_into(&mut buffer).map_err(|error| match error {
            quick_xml::Error::Io(cause) => match cause.get_ref().and_then(|it| it.downcast_ref()) {
                Some(own) => Error::clone(own),
                None => read_error(what, io::Error::new(cause.kind(), cause.to_string())),
            },
            other => wrong(other.to_string()),
        })?;
        match event {
            Event::Start(tag) => {
                let name = tag.local_name();
                let name: &str = name.as_ref();
                if path.is_empty() {
                    if !root.is_empty() {
                        return Err(wrong("it has two roots".into()));
                    }
                    root = name.to_owned();
                } else {
                    path.push('/');
                }
                path.push_str(name);
                text.clear();
                if path.len() > 1024 {
                    return Err(wrong("it is too deep".into()));
                }
                let own = path.len();
                for attribute in tag.attributes() {
                    let attribute = attribute.map_err(|error| wrong(error.to_string()))?;
                    path.push_str("/@");
                    path.push_str(attribute.key.local_name().as_ref());
                    on(&path, attribute.value.into_owned())?;
                    path.truncate(own);
                }
            }
            Event::End(_) => {
                on(&path, std::mem::take(&mut text))?;
                path.truncate(path.rfind('/').unwrap_or(0));
            }
            Event::Text(part) if path.is_empty() => {
                if !part.trim().is_empty() {
                    return Err(wrong("text around it".into()));
                }
            }
            Event::Text(part) => text.push_str(&part),
            Event::CData(part) => text.push_str(&part),
            Event::GeneralRef(name) => {
                let resolved = match &*name {
                    "amp" => Some('&'),
                    "lt" => Some('<'),
                    "gt" => Some('>'),
                    "quot" => Some('"'),
                    "apos" => Some('\''),
                    _ => name.resolve_char_ref().ok().flatten(),
                };
                text.push(resolved.ok_or_else(|| wrong(format!("unknown entity {}", &*name)))?);
            }
            Event::DocType(_) => return Err(wrong("it is a page".into())),
            Event::Eof if root.is_empty() || !path.is_empty() => {
                return Err(wrong("it ends too early".into()));
            }
            Event::Eof => return Ok(root),
            Event::Decl(_) | Event::PI(_) | Event::Comment(_) | Event::Empty(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    #[test]
    fn xml_is_read_or_refused() {
        let wrong = |cause: String| Error::new(Kind::Protocol, "test", cause);
        let read = |text: &str| {
            let mut all = Vec::new();
            let root = walk("test", text.as_bytes(), &wrong, &mut |path, text| {
                all.push(format!("{path}={text}"));
                Ok(())
            });
            root.map(|root| (root, all.join(",")))
        };
        let ok = |text: &str| read(text).unwrap();
        assert_eq!(ok("<a/>"), ("a".into(), "a=".into()));
        assert_eq!(ok(" \n<?xml version=\"1.0\"?>\n<x:a><b> 1 </b></x:a>\n").1, "a/b= 1 ,a=");
        assert_eq!(ok("<a x:b=\"1\"><c d='&amp;'/></a>").1, "a/@b=1,a/c/@d=&amp;,a/c=,a=");
        assert_eq!(ok("<a>&lt;&#x41;&#66;<![CDATA[<&]]>&quot;</a>").1, "a=<AB<&\"");
        for text in [
            "",
            " ",
            "a",
            "<a>",
            "<a",
            "<a></b>",
            "</a>",
            "<a/><b/>",
            "<a/>x",
            "<a b/>",
            "{\"a\":1}",
            "<a>&b;</a>",
            "<a>&#0;</a>",
            "<a>&#xD800;</a>",
            "<!DOCTYPE a><a/>",
            "<!DOCTYPE a [<!ENTITY b \"&b;&b;\">]><a>&b;</a>",
            "<a>\u{fffd}<b></a>",
        ] {
            assert_eq!(read(text).err().map(|error| error.kind()), Some(Kind::Protocol), "{text}");
        }
        let binary: &[u8] = b"<a>\xff\xfe</a>";
        assert!(walk("test", binary, &wrong, &mut |_, _| Ok(())).is_err());
        let endless = io::Read::chain(&b"<a>"[..], io::repeat(b'x'));
        assert!(walk("test", endless, &wrong, &mut |_, _| Ok(())).is_err());
    }
}
