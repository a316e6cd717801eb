// How everything is, in a few words: what the page for it and the small view have in common.

import type * as api from "./api";
import { ask, isOnDsm, type Problem } from "./call";
import { live } from "./live";
import { Act, Icon, Told, type Shape } from "./parts";
import { bytes, duration, number, t, word } from "./texts";

/** What holds a task up. */
export interface Held {
  code: string;
  side?: api.Side | null;
  reason: string;
  remedy?: string;
  since?: string;
  items: number;
  known: number;
  sample: string[];
}

/** Whether it is over by itself some time. */
const isPassing = (hold: Held) => ["offline", "busy"].includes(hold.code);

// What waits for a person. What the daemon has in mind only for now is in the message alone.
export function holdsOf({ state, message, code, holds = [] }: api.LiveTask): Held[] {
  const isTold = holds.some((hold) => message === `${hold.reason}; ${hold.remedy}`);
  const live = state === "held" && message && !isTold ? [{ code: code ?? "", reason: message, items: 0, known: 0, sample: [] }] : [];
  return [...live, ...holds.filter((hold) => !isPassing(hold))];
}

/** A problem with the session, not with a service. */
const atLogin = (problem: Problem): Problem => (problem.kind === "sign-in" ? { ...problem, kind: "login" } : problem);

/** Why nothing is known. */
export function Failed({ problem }: { problem: Problem }) {
  if (problem.kind !== "offline") return <div class="banner bad" role="status"><Told problem={atLogin(problem)} /></div>;
  const remedy = t(isOnDsm() ? "page:not_running_remedy" : "page:not_running_service");
  return <div class="banner bad" role="status"><strong>{t("page:not_running")}</strong><p>{remedy}</p></div>;
}

export function Progress({ name, progress }: { name: string; progress: api.ProgressView }) {
  const { phase, seen, files, files_done, bytes: all, bytes_done, current } = progress;
  const text = files
    ? t("page:progress", number(files_done), number(files), bytes(bytes_done), bytes(all))
    : t("page:seen", number(seen));
  const [max, value] = all ? [all, bytes_done] : [files || 1, files ? files_done : undefined];
  const speed = live.speeds[name];
  return (
    <>
      <p>{phase && `${word("phase", phase)} · `}{text}</p>
      <progress max={max} value={value} aria-label={text} />
      {speed && (
        <p class="facts">
          <span>{bytes(speed)}/s</span>
          {all > bytes_done && <span>{t("page:left", duration((all - bytes_done) / speed))}</span>}
        </p>
      )}
      <ul class="paths">
        {current.map(([path, done, size]) => <li key={path}>{path} · {bytes(done)} / {bytes(size)}</li>)}
      </ul>
    </>
  );
}

const STATE_SHAPES: Record<string, Shape> = {
  idle: "check", syncing: "sync", waiting: "clock", held: "warn", failed: "warn", paused: "pause", suspended: "clock",
};

export function State({ state }: { state: string }) {
  const shape = STATE_SHAPES[state];
  return <span class={`state ${state}`}>{shape && <Icon shape={shape} />}{word("state", state)}</span>;
}

function summary({ tasks, paused }: api.Status): [string, Shape, string] {
  const held = tasks.flatMap(holdsOf).length;
  const problems = tasks.reduce((sum, task) => sum + (task.counts?.problems ?? 0), 0);
  const some = (state: string) => tasks.some((task) => task.state === state);
  if (held) return ["warn", "warn", t("page:waits", number(held))];
  if (paused) return ["", "pause", t("page:all_paused")];
  if (some("syncing")) return ["busy", "sync", t("page:syncing")];
  if (some("waiting")) return ["busy", "clock", t("page:waiting")];
  if (problems) return ["warn", "warn", t("page:except", number(problems))];
  if (some("paused") || some("suspended")) return ["", "pause", t("page:resting")];
  return ["good", "check", t("page:in_sync")];
}

export function Summary({ status }: { status: api.Status }) {
  const [kind, shape, text] = summary(status);
  const everything = "everything" as const;
  return (
    <div class={`banner ${kind}`}>
      <Icon shape={shape} />
      <strong role="status">{text}</strong>
      {live.session?.administrator &&
        (status.paused ? (
          <Act icon="play" work={() => ask({ request: "resume", scope: everything })}>{t("do:resume_all")}</Act>
        ) : (
          <Act icon="pause" work={() => ask({ request: "pause", scope: everything })}>{t("do:pause_all")}</Act>
        ))}
    </div>
  );
}
