// Long lists: only what is near the part that is seen is drawn, however much there is.

import type { ComponentChildren, RefObject } from "preact";
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";

/** Rows that are drawn or left out together. */
const CHUNK = 25;
/** Height of a row in pixels, as long as nobody has seen it. */
const GUESS = 34;

/** The chunks that are near, and the pixels that the others take before and behind them. */
interface Near {
  from: number;
  to: number;
  before: number;
  behind: number;
}

interface Long extends Near {
  /** The element that all rows are in. */
  box: RefObject<HTMLDivElement | null>;
  /** The rows of a chunk, from the first to before the last. */
  range: (chunk: number) => [number, number];
  /** What each drawn chunk is told, to be measured. */
  measured: (chunk: number) => (element: HTMLElement | null) => void;
}

/** What is near in a list of so many rows; where it ends, `more` is asked for. */
export function useLong(count: number, more?: () => void): Long {
  const chunks = Math.ceil(count / CHUNK);
  const box = useRef<HTMLDivElement>(null);
  const heights = useRef<number[]>([]);
  const drawn = useRef(new Map<number, HTMLElement>());
  const [near, set] = useState<Near>({ from: 0, to: 2, before: 0, behind: 0 });
  const height = (chunk: number) => heights.current[chunk] ?? Math.min(CHUNK, count - chunk * CHUNK) * GUESS;

  const look = () => {
    if (!box.current) return;
    // A screen more at both ends is drawn before it is scrolled to.
    const top = -box.current.getBoundingClientRect().top;
    const now = { from: chunks, to: 0, before: 0, behind: 0 };
    let at = 0;
    for (let chunk = 0; chunk < chunks; chunk++) {
      const end = at + height(chunk);
      if (end < top - innerHeight) now.before = end;
      else if (at > top + 2 * innerHeight) now.behind += end - at;
      else [now.from, now.to] = [Math.min(now.from, chunk), chunk + 1];
      at = end;
    }
    now.from = Math.min(now.from, now.to);
    set((known) => (JSON.stringify(known) === JSON.stringify(now) ? known : now));
  };

  useEffect(() => {
    // Of another width, rows are of another height.
    const resized = () => {
      heights.current = [];
      look();
    };
    look();
    addEventListener("scroll", look, { passive: true });
    addEventListener("resize", resized);
    return () => {
      removeEventListener("scroll", look);
      removeEventListener("resize", resized);
    };
  }, [count]);
  useLayoutEffect(() => {
    for (const [chunk, element] of drawn.current) heights.current[chunk] = element.offsetHeight;
  });
  // Not again after a failure: whoever scrolls asks anew.
  useEffect(() => {
    if (near.to >= chunks) more?.();
  }, [near.to, count]);

  return {
    ...near,
    to: Math.min(near.to, chunks),
    box,
    range: (chunk) => [chunk * CHUNK, Math.min((chunk + 1) * CHUNK, count)],
    measured: (chunk) => (element) => {
      if (element) drawn.current.set(chunk, element);
      else drawn.current.delete(chunk);
    },
  };
}

/** Does something once at a time. */
export function useOnce(work: () => Promise<unknown>): () => void {
  const busy = useRef(false);
  return async () => {
    if (busy.current) return;
    busy.current = true;
    await work().finally(() => (busy.current = false));
  };
}

interface RowsProps {
  count: number;
  /** What each row is, by its number. */
  row: (at: number) => ComponentChildren;
  more?: () => void;
}

const chunksOf = ({ from, to }: Near) => Array.from({ length: Math.max(to - from, 0) }, (_, at) => from + at);
const rowsOf = (long: Long, chunk: number, row: RowsProps["row"]) => {
  const [first, end] = long.range(chunk);
  return Array.from({ length: end - first }, (_, at) => row(first + at));
};

/** A long list of `li`s. */
export function LongList({ count, row, more }: RowsProps) {
  const long = useLong(count, more);
  return (
    <div ref={long.box}>
      <svg class="gap" width="1" height={long.before} aria-hidden="true" />
      {chunksOf(long).map((chunk) => <ul key={chunk} ref={long.measured(chunk)}>{rowsOf(long, chunk, row)}</ul>)}
      <svg class="gap" width="1" height={long.behind} aria-hidden="true" />
    </div>
  );
}

/** The bodies of a long table of `tr`s. */
export function LongBodies({ long, row }: { long: Long; row: RowsProps["row"] }) {
  const gap = (height: number) => height > 0 && <tbody aria-hidden="true"><tr><td colSpan={4} height={height} /></tr></tbody>;
  return (
    <>
      {gap(long.before)}
      {chunksOf(long).map((chunk) => (
        <tbody key={chunk} role="rowgroup" ref={long.measured(chunk)}>{rowsOf(long, chunk, row)}</tbody>
      ))}
      {gap(long.behind)}
    </>
  );
}
