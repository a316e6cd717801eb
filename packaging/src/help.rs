//! The help for owners: the pages of `packaging/help`, and one of each service, to which its settings and rules are
//! added as the program tells them.

use crate::archive::Archive;
use crate::{Result, at};
use mooring::admin::view::{FieldView, ServiceView};
use mooring::{cli, services};
use pulldown_cmark::{Event, Options, Parser, Tag, html};
use std::fs;
use std::path::{Path, PathBuf};

/// The pages by their names, in the order in which they are read.
const PAGES: [&str; 9] = [
    "index",
    "clouds",
    "folders",
    "encryption",
    "times",
    "waiting",
    "safety",
    "settings",
    "encrypted",
];

/// A page as it was written.
struct Page {
    /// Its address in the help, without `.html`.
    name: String,
    title: String,
    text: String,
}

/// Puts in the help, as a browser loads it.
pub fn put(root: &Path, folder: &str, archive: &mut Archive) -> Result<()> {
    let help = root.join("packaging/help");
    let mut pages = Vec::new();
    for name in PAGES {
        pages.push(Page::read(&help, name)?);
    }
    let mut of_services = Vec::new();
    for service in services::ALL {
        let view = ServiceView::of(service.descriptor());
        let mut page = Page::read(&help, &format!("services/{}", view.name))?;
        page.text += &told(&view);
        of_services.push(page);
    }
    for page in pages.iter().chain(&of_services) {
        let html = page.html(&pages);
        archive.file(format!("{folder}/{}.html", page.name), html);
    }
    let style = help.join("help.css");
    archive.file(format!("{folder}/help.css"), fs::read(&style).map_err(at(&style))?);
    Ok(())
}

impl Page {
    fn read(folder: &Path, name: &str) -> Result<Page> {
        let file: PathBuf = folder.join(format!("{name}.md"));
        let text = fs::read_to_string(&file).map_err(at(&file))?;
        let title = text.lines().next().and_then(|line| line.strip_prefix("# "));
        let title = title.ok_or_else(|| format!("{}: begins with no title", file.display()))?;
        Ok(Page { name: name.to_owned(), title: title.to_owned(), text })
    }

    fn html(&self, pages: &[Page]) -> String {
        let to_top = if self.name.contains('/') { "../" } else { "" };
        let links = pages.iter().map(|page| {
            let current = if page.name == self.name { " aria-current=\"page\"" } else { "" };
            format!("<a href=\"{to_top}{}.html\"{current}>{}</a>\n", page.name, page.title)
        });
        let mut body = String::new();
        let parts = Parser::new_ext(&self.text, Options::ENABLE_TABLES);
        html::push_html(&mut body, parts.map(to_a_page));
        format!(
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'self'; base-uri 'none'\">\n\
             <meta name=\"viewport\" content=\"width=device-width\">\n\
             <title>{} - Mooring</title>\n<link rel=\"stylesheet\" href=\"{to_top}help.css\">\n</head>\n<body>\n\
             <nav aria-label=\"Pages\">\n{}</nav>\n<main>\n{body}</main>\n</body>\n</html>\n",
            self.title,
            links.collect::<String>(),
        )
    }
}

/// Links lead to the pages as they were written, and are to lead to those that a browser loads.
fn to_a_page(mut part: Event<'_>) -> Event<'_> {
    if let Event::Start(Tag::Link { dest_url, .. }) = &mut part
        && let Some(name) = dest_url.strip_suffix(".md")
    {
        *dest_url = format!("{name}.html").into();
    }
    part
}

/// What the program knows of a service, as a part of its page.
fn told(service: &ServiceView) -> String {
    let mut text = format!("\n## Settings of a connection\n\n{}", table(&service.fields));
    if !service.task_fields.is_empty() {
        text += &format!("\n## Settings of a task\n\n{}", table(&service.task_fields));
    }
    let rules = cli::service_rules(service);
    let rules = rules.iter().map(|[what, rule]| row(what, rule)).collect::<String>();
    text + "\n## Limits and rules\n\n" + HEAD + &rules
}

/// A table without names of its columns.
const HEAD: &str = "| | |\n|-|-|\n";

fn table(fields: &[FieldView]) -> String {
    let rows = fields.iter().map(|field| {
        let needed = match (&field.default, field.needed) {
            (Some(default), _) => format!("; {default} unless you choose"),
            (None, true) => "; needed".to_owned(),
            (None, false) => String::new(),
        };
        let choices = match field.choices.as_slice() {
            [] => String::new(),
            choices => format!(" ({})", choices.join(", ")),
        };
        let what = format!("{} (`{}`)", field.label, field.key);
        format!("| {what} | {}{choices}{needed} |\n", plain(&field.help))
    });
    HEAD.to_owned() + &rows.collect::<String>()
}

fn row(what: &str, rule: &str) -> String {
    format!("| {what} | {} |\n", plain(rule))
}

/// Text in which nothing means anything else.
fn plain(text: &str) -> String {
    let escape = |c: char| match c {
        c if c.is_ascii_punctuation() => format!("\\{c}"),
        c => c.to_string(),
    };
    text.chars().map(escape).collect()
}
