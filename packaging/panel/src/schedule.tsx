// The hours of the week in which the tasks of a connection run, painted with the mouse or the keyboard.

import { useEffect, useRef, useState } from "preact/hooks";
import type * as api from "./api";
import { ask } from "./call";
import { refresh } from "./live";
import { Button, Check, Failure, Icon, useWork } from "./parts";
import { t, weekdays } from "./texts";

const HOURS = 24, DAYS = 7;

export function Schedule({ connection }: { connection: api.ConnectionView }) {
  const [enabled, enable] = useState(connection.schedule.enabled);
  const [grid, setGrid] = useState(connection.schedule.grid);
  const [isSaved, setSaved] = useState(false);
  const { busy, problem, run } = useWork();
  const save = () =>
    run(async () => {
      const entered = { values: [], secrets: [], schedule: { enabled, grid } };
      await ask({ request: "connection_set", name: connection.name, entered });
      setSaved(true);
      await refresh();
    });
  return (
    <section class="card narrow">
      <h2>{t("schedule:title")}</h2>
      <Check label={t("schedule:enabled")} help={t("schedule:enabled_help")}>
        <input
          type="checkbox"
          checked={enabled}
          onChange={(event) => {
            enable(event.currentTarget.checked);
            setSaved(false);
          }}
        />
      </Check>
      {enabled && (
        <Grid
          grid={grid}
          change={(grid) => {
            setGrid(grid);
            setSaved(false);
          }}
        />
      )}
      <Failure problem={problem} />
      <p role="status" class="good">{isSaved && <><Icon shape="check" />{t("connect:saved")}</>}</p>
      <div class="buttons"><Button about={t("schedule:title")} disabled={busy} onClick={save}>{t("do:save")}</Button></div>
    </section>
  );
}

function Grid({ grid, change }: { grid: string[]; change: (grid: string[]) => void }) {
  const [[day, hour], move] = useState([0, 0]);
  const table = useRef<HTMLTableElement>(null);
  const painting = useRef<boolean | null>(null);
  const days = weekdays("long"), short = weekdays("short");
  useEffect(() => {
    const end = () => (painting.current = null);
    addEventListener("pointerup", end);
    addEventListener("pointercancel", end);
    return () => {
      removeEventListener("pointerup", end);
      removeEventListener("pointercancel", end);
    };
  }, []);
  const runs = (day: number, hour: number) => grid[day]?.[hour] === "1";
  const paint = (cells: [number, number][], value: boolean) => {
    const rows = grid.map((row) => [...row]);
    for (const [day, hour] of cells) {
      const row = rows[day];
      if (row) row[hour] = value ? "1" : "0";
    }
    change(rows.map((row) => row.join("")));
  };
  const wholeDay = (day: number) => {
    const cells = Array.from({ length: HOURS }, (_, hour): [number, number] => [day, hour]);
    paint(cells, !cells.every(([day, hour]) => runs(day, hour)));
  };
  const key = (event: KeyboardEvent) => {
    const steps: Record<string, [number, number]> = {
      ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1],
    };
    const step = steps[event.key];
    if (event.key === " " || event.key === "Enter") paint([[day, hour]], !runs(day, hour));
    else if (!step) return;
    else {
      const to: [number, number] = [
        Math.min(Math.max(day + step[0], 0), DAYS - 1),
        Math.min(Math.max(hour + step[1], 0), HOURS - 1),
      ];
      // What is under the hand goes along.
      if (event.shiftKey) paint([to], runs(day, hour));
      move(to);
      table.current?.querySelector<HTMLElement>(`[data-at="${to[0]} ${to[1]}"]`)?.focus();
    }
    event.preventDefault();
  };
  return (
    <>
      <p class="soft">{t("schedule:how")}</p>
      <div class="scroll">
        <table ref={table} class="week" role="grid" aria-label={t("schedule:title")} onKeyDown={key}>
          <thead>
            <tr>
              <td />
              {Array.from({ length: HOURS / 3 }, (_, at) => <th key={at} scope="col" colSpan={3}>{at * 3}</th>)}
            </tr>
          </thead>
          <tbody>
            {Array.from({ length: DAYS }, (_, d) => (
              <tr key={d}>
                <th scope="row"><button type="button" title={days[d]} onClick={() => wholeDay(d)}>{short[d]}</button></th>
                {Array.from({ length: HOURS }, (_, h) => (
                  <td
                    key={h}
                    role="gridcell"
                    data-at={`${d} ${h}`}
                    tabIndex={d === day && h === hour ? 0 : -1}
                    aria-selected={runs(d, h)}
                    aria-label={`${days[d]}, ${h}–${h + 1}: ${t(runs(d, h) ? "schedule:runs" : "schedule:rests")}`}
                    onFocus={() => move([d, h])}
                    onPointerDown={(event) => {
                      // So that the pointer enters the other hours, too.
                      event.currentTarget.releasePointerCapture(event.pointerId);
                      painting.current = !runs(d, h);
                      paint([[d, h]], painting.current);
                    }}
                    onPointerEnter={() => painting.current !== null && paint([[d, h]], painting.current)}
                  />
                ))}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      <p class="legend soft"><span class="runs" />{t("schedule:runs")} <span />{t("schedule:rests")}</p>
    </>
  );
}
