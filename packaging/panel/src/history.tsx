// The history: what happened to which item, to be searched and taken along.

import { useEffect, useMemo, useState } from "preact/hooks";
import type * as api from "./api";
import { ask } from "./call";
import { Lines } from "./lines";
import { live } from "./live";
import { Button, Failure, Labelled, useWork } from "./parts";
import { number, t, word } from "./texts";

/** Lines that are asked for at first, how much more each time, and the most there can be of a task. */
const FIRST = 1_000, MORE = 10, MOST = 100_000;
/** Lines that are drawn at a time: the browser stays quick however many are searched. */
const DRAWN = 200;
const ACTIONS = [
  "uploaded", "downloaded", "moved", "deleted_local", "deleted_remote", "conflict", "held", "failed", "skipped", "solved",
];

const plain = (text: string) => text.replaceAll("-", "_");

/** A value as a spreadsheet takes it for nothing but text. */
function cell(value: string | number): string {
  const text = String(value);
  const safe = typeof value === "string" && /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
  return `"${safe.replaceAll('"', '""')}"`;
}

function save(lines: api.LogLine[]): void {
  const head = ["time", "task", "action", "path", "bytes", "detail"] as const;
  const rows = [head.map(cell), ...lines.map((line) => head.map((key) => cell(line[key])))];
  // The mark at the beginning tells spreadsheets that it is UTF-8.
  const text = "\ufeff" + rows.map((row) => row.join(",")).join("\r\n") + "\r\n";
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
  link.download = "mooring-history.csv";
  link.click();
  URL.revokeObjectURL(link.href);
}

export function History() {
  const [lines, setLines] = useState<api.LogLine[] | null>(null);
  const [limit, setLimit] = useState(FIRST);
  const [drawn, draw] = useState(DRAWN);
  const [search, setSearch] = useState("");
  const [task, setTask] = useState("");
  const [action, setAction] = useState("");
  const { busy, problem, run } = useWork();
  useEffect(() => {
    run(async () => setLines(await ask({ request: "log", task: task || null, limit })));
    // What is new is in the last line.
  }, [task, limit, live.recent.at(-1)?.time]);
  const found = useMemo(() => {
    const wanted = search.trim().toLocaleLowerCase();
    return (lines ?? []).filter((line) =>
      (!action || plain(line.action) === action) &&
      (!wanted || `${line.path}\n${line.detail}`.toLocaleLowerCase().includes(wanted)));
  }, [lines, search, action]);
  useEffect(() => draw(DRAWN), [search, task, action]);
  return (
    <>
      <div class="head">
        <h1>{t("page:history")}</h1>
        <Button disabled={!found.length} onClick={() => save(found)}>{t("history:export")}</Button>
      </div>
      <div class="filters">
        <Labelled label={t("history:search")}>
          <input type="search" value={search} autocomplete="off" onInput={(event) => setSearch(event.currentTarget.value)} />
        </Labelled>
        <Labelled label={t("lines:what")}>
          <select onChange={(event) => setAction(event.currentTarget.value)}>
            <option value="">{t("history:all")}</option>
            {ACTIONS.map((each) => <option key={each} value={each}>{word("action", each)}</option>)}
          </select>
        </Labelled>
        <Labelled label={t("lines:task")}>
          <select onChange={(event) => setTask(event.currentTarget.value)}>
            <option value="">{t("history:all")}</option>
            {live.tasks.map(({ name }) => <option key={name}>{name}</option>)}
          </select>
        </Labelled>
      </div>
      <Failure problem={problem} />
      <p class="soft" role="status">{lines && t("history:found", number(found.length), number(lines.length))}</p>
      {found.length > 0 && <Lines lines={found.slice(-drawn)} />}
      <div class="buttons">
        {found.length > drawn && <Button onClick={() => draw(drawn + DRAWN * 5)}>{t("do:more")}</Button>}
        {lines && lines.length >= limit && limit < MOST && (
          <Button disabled={busy} onClick={() => setLimit(Math.min(limit * MORE, MOST))}>{t("history:older")}</Button>
        )}
      </div>
    </>
  );
}
