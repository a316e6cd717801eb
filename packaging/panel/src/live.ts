// What the page knows, and when it looks again.

import type * as api from "./api";
import { ask, asProblem, isOnDsm, readSession, readStatus, setToken, type Problem } from "./call";

const BUSY = 2_000, QUIET = 10_000;
/** Lines and items that are asked for at first, and items at a time after these. */
const HISTORY = 12, ITEMS = 200, MORE = 1_000;
/** How long rates are kept to be drawn, in milliseconds. */
const RATES = 5 * 60_000;

export interface Rate {
  at: number;
  up: number;
}

/** A page of the items of a task that aren't in sync, as far as they were asked for. */
export interface Items {
  items: api.ItemLine[];
  next: string | null;
}

export const live = {
  session: undefined as api.SessionView | undefined,
  status: undefined as api.Status | undefined,
  failure: null as Problem | null,
  connections: [] as api.ConnectionView[],
  tasks: [] as api.TaskView[],
  services: [] as api.ServiceName[],
  /** The newest lines of the history, the newest first. */
  recent: [] as api.LogLine[],
  items: {} as Record<string, Items>,
  /** Bytes a second of all tasks together, by time. */
  rates: [] as Rate[],
  /** Bytes a second of each task that runs. */
  speeds: {} as Record<string, number>,
};

let known: Record<string, string> = {};
let last: { at: number; done: Record<string, number> } | undefined;
let timer = 0, asking = false, again = false, onScreen = true, onlyStatus = false;
let tell = () => {};

/** Has a function called whenever something else is known. */
export function onNews(listener: () => void): void {
  tell = listener;
}

export const news = () => tell();

// What isn't in the daemon's memory is asked for only when it has changed, so that an open page wakes no disk.
async function look(): Promise<void> {
  live.session ??= await readSession();
  const status = await readStatus();
  measure(status);
  if (onlyStatus) {
    live.status = status;
    return;
  }
  const names = ({ name, state, paused }: { name: string; state?: string; paused?: boolean }) => [name, state, paused];
  await whenNew("settings", [status.connections.map(names), status.tasks.map(names)], async () => {
    if (!live.services.length) live.services = await ask({ request: "service_list" });
    live.connections = await ask({ request: "connection_list" });
    live.tasks = await ask({ request: "task_list" });
  });
  const done = ({ last, progress, counts }: api.LiveTask) =>
    [didSomething(last) && last?.time, progress?.files_done, counts];
  await whenNew("history", [known.settings, status.tasks.map(done)], async () => {
    live.recent = (await ask({ request: "log", task: null, limit: HISTORY })).toReversed();
    for (const name of Object.keys(live.items)) await loadItems(name);
  });
  live.status = status;
}

// Every poll is a cycle; only those that did something are news.
function didSomething(last: api.LastCycle | null): boolean {
  if (!last) return false;
  const { uploaded, downloaded, moved, deleted_local, deleted_remote, conflicts } = last.report;
  return uploaded + downloaded + moved + deleted_local + deleted_remote + conflicts > 0;
}

function measure(status: api.Status): void {
  const at = performance.now();
  const done = Object.fromEntries(status.tasks.map((task) => [task.name, task.progress?.bytes_done ?? 0]));
  const seconds = last ? (at - last.at) / 1000 : 0;
  live.speeds = {};
  let sum = 0;
  for (const [name, count] of Object.entries(done)) {
    const since = count - (last?.done[name] ?? count);
    if (since > 0 && seconds > 0) live.speeds[name] = since / seconds;
    sum += live.speeds[name] ?? 0;
  }
  live.rates = [...live.rates.filter((rate) => at - rate.at < RATES), { at, up: sum }];
  last = { at, done };
}

async function whenNew(what: string, signs: unknown, load: () => Promise<void>): Promise<void> {
  const now = JSON.stringify(signs);
  if (known[what] === now) return;
  await load();
  known[what] = now;
}

export async function loadItems(name: string, after?: string | null): Promise<void> {
  const page = await ask({ request: "task_status", name, limit: after ? MORE : ITEMS, ...(after && { after }) });
  const before = after ? (live.items[name]?.items ?? []) : [];
  live.items[name] = { items: before.concat(page.items), next: page.next };
}

/** Looks anew at everything, as a person may have changed it. */
export async function refresh(): Promise<void> {
  known = {};
  await tick();
}

/** On other systems than DSM, Mooring has a login of its own. */
export function needsLogin(): boolean {
  return live.failure?.kind === "sign-in" && !isOnDsm();
}

export async function tick(): Promise<void> {
  clearTimeout(timer);
  again = asking;
  if (asking || document.visibilityState !== "visible" || !onScreen) return;
  asking = true;
  try {
    await look();
    live.failure = null;
  } catch (error) {
    live.failure = asProblem(error);
    if (live.failure.kind === "sign-in") {
      live.session = undefined;
      setToken("");
    }
  }
  asking = false;
  const busy = !live.failure && live.status?.tasks.some((task) => task.state === "syncing");
  if (!needsLogin()) timer = window.setTimeout(tick, again ? 0 : busy ? BUSY : QUIET);
  news();
}

/** Looks whenever the page is seen; at no more than the status where that is enough. */
export function watch(isSmall: boolean): void {
  onlyStatus = isSmall;
  document.addEventListener("visibilitychange", tick);
  // A minimised window of the desktop is no hidden page, but isn't on the screen.
  new IntersectionObserver(([entry]) => {
    onScreen = entry?.isIntersecting ?? true;
    tick();
  }).observe(document.documentElement);
}
