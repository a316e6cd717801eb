// How everything is, what goes on, and what waits for a person.

import type * as api from "./api";
import { ask, begin, readStatus, type Problem } from "./call";
import { signIn } from "./connections";
import { holdsOf, Progress, State, Summary, type Held } from "./glance";
import { Item } from "./items";
import { Lines } from "./lines";
import { live, loadItems, news, type Items } from "./live";
import { Act, Icon, Link, part, question, Told, Way } from "./parts";
import { LongList, useOnce } from "./rows";
import { bytes, known, number, t, time, word } from "./texts";

const isSweep = (hold: Held) => hold.code.startsWith("mass-");

function Title({ hold: { code, side, items, known: all } }: { hold: Held }) {
  return <p><strong>{known("hold", `${code}-${side}`, number(items), number(all))}</strong></p>;
}

function Sample({ hold }: { hold: Held }) {
  const more = hold.items - hold.sample.length;
  return (
    <ul class="paths">
      {hold.sample.map((path) => <li key={path}>{path}</li>)}
      {hold.sample.length > 0 && more > 0 && <li>{t("page:and_more", number(more))}</li>}
    </ul>
  );
}

function lossOf({ code, side }: Held, name: string): string | undefined {
  const days = live.tasks.find((task) => task.name === name)?.recycle_days;
  if (side !== "local" || code !== "mass-removal" || !days) return word("hold", `loss-${side}`);
  return known("hold", "loss-kept", number(days), live.status?.tasks.find((task) => task.name === name)?.recycled?.folder ?? "");
}

async function approve(name: string): Promise<void> {
  const sweepsOf = (status?: api.Status) =>
    status?.tasks.find((task) => task.name === name)?.holds?.filter(isSweep) ?? [];
  const sweeps = sweepsOf(live.status);
  const body = sweeps.map((hold) => (
    <div key={`${hold.code}/${hold.side}`}>
      <Title hold={hold} />
      <Sample hold={hold} />
      <p>{lossOf(hold, name)}</p>
    </div>
  ));
  if (!(await question(t("page:approve_title", name), body, t("do:approve"), true))) return;
  // What a person approves is what they saw.
  const now = sweepsOf(await readStatus());
  if (JSON.stringify(now) !== JSON.stringify(sweeps)) throw { reason: t("page:changed") } satisfies Problem;
  const files = (side: api.Side, code: string) =>
    sweeps.find((hold) => hold.side === side && hold.code === code)?.items ?? 0;
  const of = (side: api.Side) => ({ removals: files(side, "mass-removal"), overwrites: files(side, "mass-overwrite") });
  await begin({ request: "sync", task: name, approve: true, shown: { local: of("local"), remote: of("remote") } });
}

function HoldCard({ task: { name, connection }, hold }: { task: api.LiveTask; hold: Held }) {
  // Only where a person signs in is it told whether one has.
  const hasSignIn = live.connections.find((each) => each.name === connection)?.signed_in != null;
  const { code, since, reason, remedy } = hold;
  return (
    <li class="card warn">
      <h3>{name}{since && <small>{t("page:since", time(since))}</small>}</h3>
      {isSweep(hold) ? (
        <>
          <Title hold={hold} />
          {/* What is about to happen is in the title; what brought it about, behind the colon. */}
          <p lang="en">{reason.replace(/^.*?: /, "")}</p>
          <Sample hold={hold} />
          <p>{word("hold", "mass-remedy")}</p>
          <div class="buttons"><Act work={() => approve(name)} about={name}>{t("do:approve")}</Act></div>
        </>
      ) : (
        <Told problem={{ kind: code, reason, remedy: code === "sign-in" ? undefined : remedy }} />
      )}
      {code === "root-lost" && (
        <div class="buttons"><Link class="button main" to={`task/${part(name)}`} aria-label={`${t("do:edit")}: ${name}`}>{t("do:edit")}</Link></div>
      )}
      {code === "sign-in" && (
        <div class="buttons">
          {hasSignIn ? (
            <Act class="main" work={() => signIn(connection)} about={connection}>{t("do:sign_in")}</Act>
          ) : (
            <Link class="button main" to={`connection/${part(connection)}`}>{t("do:edit_connection")}</Link>
          )}
        </div>
      )}
    </li>
  );
}

export function Route({ task: { local, direction, connection, remote } }: { task: api.TaskView }) {
  return (
    <p class="route">
      <span><Icon shape="folder" /> <bdi>{local}</bdi></span>
      <span class="arrow" role="img" aria-label={word("direction", direction)}><Icon shape={direction} /></span>
      <span><Icon shape="cloud" /> <bdi>{connection}: {remote}</bdi></span>
    </p>
  );
}

function TaskCard({ task }: { task: api.LiveTask }) {
  const { name, state, message, code, counts, recycled, last, progress } = task;
  const set = live.tasks.find((each) => each.name === name);
  const facts = [
    counts && t("page:files", number(counts.local_files), number(counts.remote_files)),
    counts && counts.pending > 0 && t("page:pending", number(counts.pending)),
    last && t("page:last", time(last.time)),
    task.runs_again && t("page:runs_again", time(task.runs_again)),
  ];
  const isTold = ["paused", "suspended"].includes(state) || holdsOf(task).length > 0;
  return (
    <li class="card">
      <h3>{name}<State state={state} /></h3>
      {set && <Route task={set} />}
      {progress && <Progress name={name} progress={progress} />}
      <p class="facts">
        {facts.filter(Boolean).map((fact) => <span key={fact}>{fact}</span>)}
        {recycled && recycled.files > 0 && (
          <Link to={`removed/${part(name)}`}>{t("page:kept", number(recycled.files), bytes(recycled.bytes), recycled.folder)}</Link>
        )}
      </p>
      {!isTold && message && <Told problem={{ kind: code ?? undefined, reason: message }} />}
      {counts && counts.problems + counts.skipped > 0 && <NotInSync name={name} counts={counts} />}
      <div class="buttons">
        <Link class="button" to={`task/${part(name)}`} aria-label={`${t("do:edit")}: ${name}`}><Icon shape="gear" />{t("do:edit")}</Link>
        <Toggle scope="task" name={name} paused={set?.paused ?? false} />
        <Act
          icon="sync"
          about={name}
          disabled={["paused", "syncing"].includes(state)}
          work={() => begin({ request: "sync", task: name, approve: false })}
        >
          {t("do:sync")}
        </Act>
      </div>
    </li>
  );
}

function NotInSync({ name, counts }: { name: string; counts: api.Counts }) {
  const page: Items | undefined = live.items[name];
  const opened = async (isOpen: boolean) => {
    if (isOpen) {
      // So it is open again when this is drawn anew.
      live.items[name] ??= { items: [], next: null };
      await loadItems(name).catch(() => {});
    } else {
      delete live.items[name];
    }
    news();
  };
  const more = useOnce(async () => {
    if (page?.next) await loadItems(name, page.next).then(news, () => {});
  });
  return (
    <details open={page !== undefined} onToggle={(event) => opened(event.currentTarget.open)}>
      <summary>{t("page:not_in_sync", number(counts.problems), number(counts.skipped))}</summary>
      {page && (
        <LongList
          count={page.items.length}
          row={(at) => {
            const item = page.items[at];
            return item && <Item key={`${item.kind} ${item.path}`} task={name} item={item} />;
          }}
          more={more}
        />
      )}
    </details>
  );
}

export function Toggle({ scope, name, paused }: { scope: "task" | "connection"; name: string; paused: boolean }) {
  const what = scope === "task" ? { task: name } : { connection: name };
  return paused ? (
    <Act icon="play" about={name} work={() => ask({ request: "resume", scope: what })}>{t("do:resume")}</Act>
  ) : (
    <Act icon="pause" about={name} work={() => ask({ request: "pause", scope: what })}>{t("do:pause")}</Act>
  );
}

/** How fast it was in the last minutes. */
function Rates() {
  const most = Math.max(...live.rates.map((rate) => rate.up));
  const [first, last] = [live.rates[0], live.rates.at(-1)];
  if (!first || !last || !(most > 0) || last.at === first.at) return null;
  const points = live.rates.map(({ at, up }) =>
    `${((at - first.at) / (last.at - first.at) * 600).toFixed(1)},${(59 - up / most * 56).toFixed(1)}`);
  return (
    <figure class="card rates">
      <figcaption class="soft">{t("page:rates", `${bytes(most)}/s`)}</figcaption>
      <svg viewBox="0 0 600 60" preserveAspectRatio="none" role="img" aria-label={t("page:rates", `${bytes(most)}/s`)}>
        <polygon points={`0,60 ${points.join(" ")} 600,60`} />
        <polyline points={points.join(" ")} />
      </svg>
    </figure>
  );
}

function Welcome() {
  return (
    <section class="card welcome">
      <Way direction="both" />
      <h1>{t("page:welcome")}</h1>
      <p>{live.connections.length ? t("connect:next") : t("page:welcome_connect")}</p>
      <div class="buttons">
        {live.connections.length > 0 && <Link class="button main" to="new"><Icon shape="plus" />{t("do:new_task")}</Link>}
        <Link class={`button ${live.connections.length ? "" : "main"}`} to="connect"><Icon shape="plus" />{t("do:connect")}</Link>
      </div>
    </section>
  );
}

export function Overview() {
  const status = live.status;
  if (!status) return null;
  if (!status.tasks.length) return <Welcome />;
  return (
    <>
      <h1 class="hidden">{t("page:overview")}</h1>
      <Summary status={status} />
      <Rates />
      {status.tasks.some((task) => holdsOf(task).length) && (
        <>
          <h2 class="hidden">{word("state", "held")}</h2>
          <ul class="cards">
            {status.tasks.flatMap((task) =>
              holdsOf(task).map((hold) => <HoldCard key={`${task.name}/${hold.code}/${hold.side}`} task={task} hold={hold} />))}
          </ul>
        </>
      )}
      <div class="head part">
        <h2>{t("page:tasks")}</h2>
        <Link class="button" to="new"><Icon shape="plus" />{t("do:new_task")}</Link>
      </div>
      <ul class="cards">{status.tasks.map((task) => <TaskCard key={task.name} task={task} />)}</ul>
      {live.recent.length > 0 && (
        <>
          <h2>{t("page:history")}</h2>
          <Lines lines={live.recent} />
          <p><Link to="history">{t("page:all_history")}</Link></p>
        </>
      )}
    </>
  );
}
