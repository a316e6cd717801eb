// Lines of the history as a table, the newest first.

import type * as api from "./api";
import { bytes, t, time, word } from "./texts";

export function Lines({ lines }: { lines: api.LogLine[] }) {
  return (
    <div class="card">
      {/* Narrow, it isn't drawn as a table, but still is one. */}
      <table class="lines" role="table">
        <thead class="hidden" role="rowgroup">
          <tr role="row">
            {["when", "what", "item", "task"].map((key) => <th key={key} scope="col" role="columnheader">{t(`lines:${key}`)}</th>)}
          </tr>
        </thead>
        <tbody role="rowgroup">
          {lines.toReversed().map((line, at) => (
            <tr key={lines.length - at} role="row">
              <td role="cell"><time dateTime={line.time}>{time(line.time)}</time></td>
              <td role="cell">{word("action", line.action)}</td>
              <td role="cell">
                <bdi>{line.path}</bdi>
                {line.bytes > 0 && <small>{bytes(line.bytes)}</small>}
                {line.detail && <p lang="en">{line.detail}</p>}
              </td>
              <td role="cell">{line.task}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
