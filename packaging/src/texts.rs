//! What the user reads: the wizards, and the messages of the scripts.

use crate::Result;
use crate::data::ENGLISH;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write;

/// The texts in one language.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Texts {
    /// What Mooring does, in Package Center.
    pub description: String,
    install: Step,
    upgrade: Step,
    uninstall: Uninstall,
    messages: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Step {
    title: String,
    text: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Uninstall {
    title: String,
    text: String,
    delete: String,
    deleted: String,
}

impl Texts {
    /// The wizards by the names of their files, without a language.
    pub fn wizards(&self, dsm: &str) -> [(&'static str, Value); 3] {
        let Uninstall { title, text, delete, deleted } = &self.uninstall;
        let asked = if dsm == "6" {
            json!({ "desc": deleted })
        } else {
            let delete =
                json!({ "key": "wizard_delete_data", "desc": delete, "defaultValue": false });
            json!({ "type": "multiselect", "subitems": [delete] })
        };
        [
            ("install_uifile", self.install.wizard()),
            ("upgrade_uifile", self.upgrade.wizard()),
            ("uninstall_uifile", wizard(title, vec![json!({ "desc": text }), asked])),
        ]
    }
}

impl Step {
    fn wizard(&self) -> Value {
        wizard(&self.title, vec![json!({ "desc": self.text })])
    }
}

fn wizard(title: &str, items: Vec<Value>) -> Value {
    json!([{ "step_title": title, "items": items }])
}

/// A script with a function that tells the text of a message in the user's language.
pub fn messages(all: &BTreeMap<String, Texts>) -> Result<String> {
    let mut script = String::from(
        "#!/bin/sh\n# Tells the text of a message in the user's language.\n\n\
         message() {\n    case $SYNOPKG_DSM_LANGUAGE:$1 in\n",
    );
    let others = all.iter().filter(|(language, _)| *language != ENGLISH);
    for (language, texts) in others {
        write_cases(&mut script, language, texts)?;
    }
    let english = all.get(ENGLISH).ok_or("there are no English texts")?;
    write_cases(&mut script, "*", english)?;
    script.push_str("    esac\n}\n");
    Ok(script)
}

fn write_cases(script: &mut String, language: &str, texts: &Texts) -> Result<()> {
    for (name, text) in &texts.messages {
        let quoted = text.replace('\'', r"'\''");
        writeln!(script, "    {language}:{name}) echo '{quoted}' ;;")?;
    }
    Ok(())
}
