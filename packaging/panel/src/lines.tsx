// Lines of the history as a table, the newest first.

import type * as api from "./api";
import { LongBodies, useLong } from "./rows";
import { bytes, t, time, word } from "./texts";

/** The newest come first; where they end, `more` is asked for. */
export function Lines({ lines, more }: { lines: api.LogLine[]; more?: () => void }) {
  const long = useLong(lines.length, more);
  const row = (at: number) => {
    const line = lines[at];
    return line && <Line key={lines.length - at} line={line} at={at} />;
  };
  return (
    <div class="card" ref={long.box}>
      {/* Narrow, it isn't drawn as a table, but still is one. */}
      <table class="lines" role="table" aria-rowcount={lines.length + 1}>
        <thead class="hidden" role="rowgroup">
          <tr role="row">
            {[t("lines:when"), t("lines:what"), t("lines:item"), t("lines:task")].map((head) => <th key={head} scope="col" role="columnheader">{head}</th>)}
          </tr>
        </thead>
        <LongBodies long={long} row={row} />
      </table>
    </div>
  );
}

function Line({ line, at }: { line: api.LogLine; at: number }) {
  return (
    <tr role="row" aria-rowindex={at + 2}>
      <td role="cell"><time dateTime={line.time}>{time(line.time)}</time></td>
      <td role="cell">{word("action", line.action)}</td>
      <td role="cell">
        <bdi>{line.path}</bdi>
        {line.bytes > 0 && <small>{bytes(line.bytes)}</small>}
        {line.detail && <p lang="en">{line.detail}</p>}
      </td>
      <td role="cell">{line.task}</td>
    </tr>
  );
}
