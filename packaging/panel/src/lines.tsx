// Lines of the history as a table, the newest first.

import type * as api from "./api";
import { bytes, t, time, word } from "./texts";

export function Lines({ lines }: { lines: api.LogLine[] }) {
  return (
    <div class="card">
      <table class="lines">
        <thead class="hidden">
          <tr>
            {["when", "what", "item", "task"].map((key) => <th key={key} scope="col">{t(`lines:${key}`)}</th>)}
          </tr>
        </thead>
        <tbody>
          {lines.toReversed().map((line, at) => (
            <tr key={lines.length - at}>
              <td><time dateTime={line.time}>{time(line.time)}</time></td>
              <td>{word("action", line.action)}</td>
              <td>
                <bdi>{line.path}</bdi>
                {line.bytes > 0 && <small>{bytes(line.bytes)}</small>}
                {line.detail && <p lang="en">{line.detail}</p>}
              </td>
              <td>{line.task}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
