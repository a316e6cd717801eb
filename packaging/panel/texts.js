// The texts without their keys: a browser loads those of one language as lines, and the script asks for them by number. Where
// a key is written out, its number takes its place; those that only the daemon's words name are told in `text-keys`.

import fs from "node:fs";

const FOLDER = "texts", KEYS = "text-keys", LOADED = `\0${KEYS}`;

/** The texts of a language by `section:key`. */
function read(language) {
  const found = new Map();
  let section = "";
  for (const line of fs.readFileSync(`${FOLDER}/${language}`, "utf8").split("\n")) {
    const [, head, key, text] = /^\[(.+)\]$|^(\w+)="(.*)"$/.exec(line) ?? [];
    if (head) section = head;
    else if (key) found.set(`${section}:${key}`, text);
  }
  return found;
}

/** What the sources ask for by sections whose words are the daemon's. */
function sectionsByWord() {
  const sources = fs.readdirSync("src").map((name) => fs.readFileSync(`src/${name}`, "utf8")).join("\n");
  return new Set([...sources.matchAll(/\b(?:known|word)\("(\w+)"/g)].map(([, section]) => section));
}

/** The plugin that has it so. */
export function texts() {
  const languages = new Map(fs.readdirSync(FOLDER).sort().map((name) => [name.replace(".ini", ""), read(name)]));
  const all = [...new Set([...languages.values()].flatMap((texts) => [...texts.keys()]))];
  const sections = sectionsByWord();
  const isByWord = (key) => sections.has(key.split(":")[0]);
  // Those come first, so that their list begins where the lines do.
  const byWord = all.filter(isByWord), keys = [...byWord, ...all.filter((key) => !isByWord(key))];
  return {
    name: "texts",
    enforce: "pre",
    resolveId: (id) => (id === KEYS ? LOADED : null),
    load: (id) => (id === LOADED ? `export default ${JSON.stringify(byWord.join(" "))}.split(" ")` : null),
    transform(code, id) {
      if (!/\/src\/\w+\.tsx?$/.test(id)) return null;
      return code.replace(/"(\w+:\w+)"/g, (written, key) => (keys.includes(key) ? String(keys.indexOf(key)) : written));
    },
    generateBundle() {
      for (const [language, found] of languages) {
        const lines = keys.map((key) => found.get(key) ?? "");
        this.emitFile({ type: "asset", fileName: `texts/${language}.txt`, source: lines.join("\n") });
      }
    },
  };
}
