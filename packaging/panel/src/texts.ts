// The texts, of which a browser loads those of one language. They are in `texts/LANGUAGE.ini` by section and key.

import keys from "text-keys";

const LANGUAGES: Record<string, string> = {
  enu: "en", ger: "de", fre: "fr", spn: "es", ita: "it", nld: "nl",
  jpn: "ja", krn: "ko", chs: "zh-CN", cht: "zh-TW",
};

let texts: string[] = [];
let locale = "en";

function languageOf(tags: readonly string[]): string {
  for (const tag of tags.map((each) => each.toLowerCase())) {
    if (/^zh-(tw|hk|mo|hant)/.test(tag)) return "cht";
    const found = Object.entries(LANGUAGES).find(([, each]) => each.slice(0, 2) === tag.slice(0, 2));
    if (found) return found[0];
  }
  return "enu";
}

export async function loadTexts(wanted: string | null): Promise<void> {
  const language = wanted && LANGUAGES[wanted] ? wanted : languageOf(navigator.languages);
  const tag = LANGUAGES[language] ?? "en";
  document.documentElement.lang = tag;
  locale = navigator.languages.find((each) => languageOf([each]) === language) ?? tag;
  // What this script was asked for by tells its version; the texts are of the same.
  const answer = await fetch(`texts/${language}.txt${new URL(import.meta.url).search}`);
  if (!answer.ok) throw new Error(String(answer.status));
  texts = (await answer.text()).split("\n");
}

const filled = (text: string, values: (string | number)[]) =>
  text.replace(/\{(\d)\}/g, (_, at) => String(values[at] ?? ""));

/** A text by its `section:key`, which is its number where this was built: see `texts.js`. */
export function t(key: string, ...values: (string | number)[]): string {
  return filled(texts[Number(key)] ?? key, values);
}

/** The text for a word of the daemon's, if there is one. */
export function known(section: string, code: string, ...values: (string | number)[]): string | undefined {
  const text = texts[keys.indexOf(`${section}:${code.replaceAll("-", "_")}`)];
  return text && filled(text, values);
}

/** The same, or what is given where there is none. */
export function word(section: string, code: string, otherwise = code): string {
  return known(section, code) ?? otherwise;
}

export function number(value: number, digits = 0): string {
  return value.toLocaleString(locale, { maximumFractionDigits: digits });
}

export function bytes(count: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  const unit = Math.min(Math.floor(Math.log2(count || 1) / 10), units.length - 1);
  return `${number(count / 1024 ** unit, unit && 1)} ${units[unit]}`;
}

export function time(text: string): string {
  const at = new Date(text);
  const year = at.getFullYear() === new Date().getFullYear() ? undefined : "numeric";
  return at.toLocaleString(locale, { year, month: "short", day: "numeric", hour: "numeric", minute: "2-digit" });
}

/** A duration in its largest unit. */
export function duration(seconds: number): string {
  const units: [number, string][] = [[86_400, "day"], [3_600, "hour"], [60, "minute"], [1, "second"]];
  const [size, unit] = units.find(([each]) => seconds >= each) ?? [1, "second"];
  return Math.ceil(seconds / size).toLocaleString(locale, { style: "unit", unit, unitDisplay: "long" });
}

/** The days of the week from Monday on. */
export function weekdays(style: "short" | "long"): string[] {
  return Array.from({ length: 7 }, (_, day) =>
    new Date(Date.UTC(2024, 0, 1 + day)).toLocaleDateString(locale, { weekday: style, timeZone: "UTC" }));
}
