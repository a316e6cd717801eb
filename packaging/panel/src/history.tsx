// The history: what happened to which item, to be searched and taken along.

import { useEffect, useRef, useState } from "preact/hooks";
import type * as api from "./api";
import { ask } from "./call";
import { Lines } from "./lines";
import { live } from "./live";
import { Button, Failure, Labelled, saveFile, useWork } from "./parts";
import { useOnce } from "./rows";
import { number, t, word } from "./texts";

/** Lines that are asked for at first, and at a time further back. */
const FIRST = 100, MORE = 1_000;
/** How long a person has to stop typing before it is searched for, in milliseconds. */
const TYPING = 300;
const ACTIONS = [
  "uploaded", "downloaded", "moved", "deleted_local", "deleted_remote", "conflict", "held", "failed", "skipped", "solved",
];

/** A value as a spreadsheet takes it for nothing but text. */
function cell(value: string | number): string {
  const text = String(value);
  const safe = typeof value === "string" && /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
  return `"${safe.replaceAll('"', '""')}"`;
}

function table(lines: api.LogLine[]): string {
  const head = ["time", "task", "action", "path", "bytes", "detail"] as const;
  return lines.map((line) => head.map((key) => cell(line[key])).join(",") + "\r\n").join("");
}

interface Wanted {
  task: string;
  action: string;
  search: string;
}

const page = ({ task, action, search }: Wanted, before: string | null, limit: number) =>
  ask({ request: "history", task: task || null, action, search: search.trim(), before, limit });

/** A page with lines, if there are any: what is looked through at a time is bounded. */
async function find(wanted: Wanted, before: string | null, limit: number): Promise<api.HistoryPage> {
  let found = await page(wanted, before, limit);
  while (!found.lines.length && found.next) found = await page(wanted, found.next, limit);
  return found;
}

async function save(wanted: Wanted): Promise<void> {
  // The mark at the beginning tells spreadsheets that it is UTF-8.
  const parts = ["\ufeff" + '"time","task","action","path","bytes","detail"\r\n'];
  for (let before: string | null = null; ; ) {
    const found: api.HistoryPage = await page(wanted, before, MORE);
    parts.push(table(found.lines));
    before = found.next;
    if (!before) break;
  }
  saveFile("mooring-history.csv", "text/csv", ...parts);
}

/** The newest page before the lines that are known, if it goes back as far as these. */
function joined(newest: api.HistoryPage, known: api.HistoryPage): api.HistoryPage {
  const first = JSON.stringify(known.lines[0]);
  const at = newest.lines.findIndex((line) => JSON.stringify(line) === first);
  if (at < 0) return newest;
  return { lines: newest.lines.slice(0, at).concat(known.lines), next: known.next, kept: newest.kept };
}

export function History() {
  const [wanted, want] = useState<Wanted>({ task: "", action: "", search: "" });
  const [found, setFound] = useState<api.HistoryPage | null>(null);
  const { busy, problem, run } = useWork();
  const latest = useRef(wanted), typing = useRef(0);
  latest.current = wanted;
  /** Takes over what is still wanted when it comes. */
  const look = (before: string | null, limit: number, join: (page: api.HistoryPage) => api.HistoryPage) =>
    run(async () => {
      const page = await find(wanted, before, limit);
      if (latest.current === wanted) setFound(join(page));
    });
  useEffect(() => void look(null, FIRST, (page) => page), [wanted]);
  // What is new comes before the rest, unless a person is reading further back.
  useEffect(() => {
    if (found && scrollY < innerHeight) look(null, FIRST, (page) => joined(page, found));
  }, [live.recent[0]?.time]);
  const more = useOnce(async () => {
    if (found?.next) await look(found.next, MORE, (page) => ({ ...page, lines: found.lines.concat(page.lines) }));
  });
  const search = (text: string) => {
    clearTimeout(typing.current);
    typing.current = window.setTimeout(() => want((known) => ({ ...known, search: text })), TYPING);
  };
  return (
    <>
      <div class="head">
        <h1>{t("page:history")}</h1>
        <Button disabled={busy || !found?.lines.length} onClick={() => run(() => save(wanted))}>{t("do:save_file")}</Button>
      </div>
      <div class="filters">
        <Labelled label={t("history:search")}>
          <input type="search" autocomplete="off" maxLength={200} onInput={(event) => search(event.currentTarget.value)} />
        </Labelled>
        <Labelled label={t("lines:what")}>
          <select onChange={(event) => want({ ...wanted, action: event.currentTarget.value })}>
            <option value="">{t("history:all")}</option>
            {ACTIONS.map((each) => <option key={each} value={each}>{word("action", each)}</option>)}
          </select>
        </Labelled>
        <Labelled label={t("lines:task")}>
          <select onChange={(event) => want({ ...wanted, task: event.currentTarget.value })}>
            <option value="">{t("history:all")}</option>
            {live.tasks.map(({ name }) => <option key={name}>{name}</option>)}
          </select>
        </Labelled>
      </div>
      <Failure problem={problem} />
      <p class="soft" role="status">
        {found && t("history:found", number(found.lines.length) + (found.next ? "+" : ""), number(found.kept))}
      </p>
      {found && found.lines.length > 0 && <Lines lines={found.lines} more={more} />}
    </>
  );
}
