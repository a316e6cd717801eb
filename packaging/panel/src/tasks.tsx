// Tasks: a new one with a look at what it will do, and changing one.

import type { ComponentChildren } from "preact";
import { useEffect, useState } from "preact/hooks";
import type * as api from "./api";
import { ask, type Problem } from "./call";
import { FieldInput, freeName, isValid, NAME_PATTERN } from "./connections";
import { Folder, FolderTree, type Roots } from "./folders";
import { patternsOf, SizeLimit, wordsOf } from "./filters";
import { live, refresh } from "./live";
import { Route } from "./overview";
import { Button, Check, Failure, go, Gone, Icon, Labelled, Link, part, question, useWork, Way, type Shape } from "./parts";
import { bytes, number, t, word } from "./texts";

const DIRECTIONS: api.Direction[] = ["both", "upload", "download"];
const POLICIES: api.ConflictPolicy[] = ["local", "remote", "newer", "both"];
/** Intents that are shown of a preview. */
const SHOWN = 200;

/** What a person enters about a task. */
interface Entered {
  connection: string;
  local: string;
  remote: string;
  direction: api.Direction;
  conflict: api.ConflictPolicy;
  keep_removed: boolean;
  recycle_days: number;
  consistency_check: boolean;
  folders: string[];
  /** As they stand in their inputs. */
  extensions: string;
  names: string;
  /** Bytes; 0 for no limit. */
  max_size: number;
}

const NEW: Omit<Entered, "connection"> = {
  local: "", remote: "", direction: "both", conflict: "local", keep_removed: false, recycle_days: 30,
  consistency_check: false, folders: [], extensions: "", names: "", max_size: 0,
};

const nameOf = (path: string) => path.split("/").filter(Boolean).at(-1) ?? "";

function Direction({ value, change }: { value: api.Direction; change: (value: api.Direction) => void }) {
  return (
    <fieldset>
      <legend class="label">{t("task:direction")}</legend>
      <div class="ways">
        {DIRECTIONS.map((each) => (
          <label key={each} class="option">
            <input type="radio" name="(direction)" checked={each === value} onChange={() => change(each)} />
            <Way direction={each} />
            <span><strong>{word("direction", each)}</strong><small>{word("direction", `${each}-help`)}</small></span>
          </label>
        ))}
      </div>
    </fieldset>
  );
}

interface FieldsProps {
  entered: Entered;
  set: (change: Partial<Entered>) => void;
  roots: Roots;
  service: api.ServiceView | null;
  settings: Record<string, string | undefined>;
}

function TaskFields({ entered, set, roots, service, settings }: FieldsProps) {
  const { direction } = entered;
  const keep = (
    <Check label={t("task:keep")} help={t("task:keep_help")}>
      <input type="checkbox" checked={entered.keep_removed} onChange={(event) => set({ keep_removed: event.currentTarget.checked })} />
    </Check>
  );
  return (
    <>
      <Direction value={direction} change={(direction) => set({ direction })} />
      {direction !== "both" && keep}
      <details class="more">
        <summary>{t("connect:more")}</summary>
        {direction === "both" && (
          <>
            {keep}
            <Labelled label={t("task:conflict")} help={t("task:conflict_help")}>
              <select value={entered.conflict} onChange={(event) => set({ conflict: event.currentTarget.value as api.ConflictPolicy })}>
                {POLICIES.map((each) => <option key={each} value={each} selected={each === entered.conflict}>{word("conflict", each)}</option>)}
              </select>
            </Labelled>
          </>
        )}
        {direction !== "upload" && (
          <Labelled label={t("task:recycle")} help={t("task:recycle_help")}>
            <input type="number" min={0} max={3650} required value={entered.recycle_days} onInput={(event) => set({ recycle_days: Number(event.currentTarget.value) })} />
          </Labelled>
        )}
        <FolderTree roots={roots} value={entered.folders} change={(folders) => set({ folders })} />
        <Labelled label={t("task:extensions")} help={t("task:extensions_help")}>
          <input value={entered.extensions} autocomplete="off" spellcheck={false} onInput={(event) => set({ extensions: event.currentTarget.value })} />
        </Labelled>
        <Labelled label={t("task:patterns")} help={t("task:patterns_help")}>
          <textarea rows={3} spellcheck={false} value={entered.names} onInput={(event) => set({ names: event.currentTarget.value })} />
        </Labelled>
        <SizeLimit value={entered.max_size} change={(max_size) => set({ max_size })} />
        <Check label={t("task:check")} help={t("task:check_help")}>
          <input type="checkbox" checked={entered.consistency_check} onChange={(event) => set({ consistency_check: event.currentTarget.checked })} />
        </Check>
        {service?.task_fields.map((field) => <FieldInput key={field.key} field={field} value={settings[field.key] ?? ""} isSealed={false} />)}
      </details>
    </>
  );
}

/** What its service is told of a task, as far as it isn't as it was. */
function settingsIn(form: HTMLFormElement, service: api.ServiceView | null, before: Record<string, string | undefined>): [string, string][] {
  const data = new FormData(form);
  const changed = (service?.task_fields ?? []).map(({ key, default: usual }): [string, string, string] =>
    [key, String(data.get(key) ?? ""), before[key] ?? usual ?? ""]);
  return changed.filter(([, now, then]) => now !== then).map(([key, now]) => [key, now]);
}

function useService(connection: string): api.ServiceView | null {
  const [service, set] = useState<api.ServiceView | null>(null);
  const name = live.connections.find((each) => each.name === connection)?.service;
  useEffect(() => {
    if (name) ask({ request: "service_show", name }).then(set, () => {});
  }, [name]);
  return service?.name === name ? service : null;
}

interface TaskFormProps extends Omit<FieldsProps, "roots"> {
  title: string;
  setRemote: (remote: string) => void;
  /** Where choosing the remote folder begins, if not at what is entered. */
  from?: string;
  help?: string;
  /** The connections to choose from. */
  connections: string[];
  busy: boolean;
  problem: Problem | null;
  /** What went well. */
  said?: string;
  leave: string;
  go: string;
  submit: (form: HTMLFormElement) => void;
  /** What comes after the settings. */
  children?: ComponentChildren;
}

/** What a new task and one that is changed are entered in. */
function TaskForm({ title, setRemote, from, help, connections, busy, problem, said, leave, go, submit, children, ...fields }: TaskFormProps) {
  const { entered: { connection, local, remote }, set } = fields;
  return (
    <form
      class="card narrow"
      noValidate
      onSubmit={(event) => {
        event.preventDefault();
        if (isValid(event.currentTarget)) submit(event.currentTarget);
      }}
    >
      <h1>{title}</h1>
      <Folder where={{ local: true }} label={t("task:local")} value={local} change={(local) => set({ local })} />
      {connections.length > 1 && (
        <Labelled label={t("task:connection")}>
          <select onChange={(event) => set({ connection: event.currentTarget.value })}>
            {connections.map((name) => <option key={name} selected={name === connection}>{name}</option>)}
          </select>
        </Labelled>
      )}
      <Folder where={{ connection }} label={t("task:remote")} help={help} value={remote} from={from} change={setRemote} />
      <TaskFields roots={{ local, connection, remote }} {...fields} />
      {children}
      <Failure problem={problem} />
      <p role="status" class="good">{said && <><Icon shape="check" />{said}</>}</p>
      <div class="buttons">
        <Link class="button" to="">{leave}</Link>
        <Button type="submit" class="main" disabled={busy}>{go}</Button>
      </div>
    </form>
  );
}

export function NewTask({ connection }: { connection: string }) {
  const [entered, setEntered] = useState<Entered>({ ...NEW, connection: connection || (live.connections[0]?.name ?? "") });
  // Suggested until something else is entered.
  const [chosenName, setName] = useState<string | null>(null);
  const [isRemoteChosen, setRemoteChosen] = useState(false);
  const { busy, problem, run, fail } = useWork();
  const service = useService(entered.connection);
  const set = (change: Partial<Entered>) => {
    fail(null);
    setEntered((before) => ({ ...before, ...change }));
  };
  const remote = isRemoteChosen ? entered.remote : entered.local && `/${nameOf(entered.local)}`;
  const name = chosenName ?? (entered.local && freeName(nameOf(entered.local), "NAS", live.tasks.map((each) => each.name)));
  const submit = (at: HTMLFormElement) =>
    run(async () => {
      const { folders, extensions, names, max_size, ...rest } = entered;
      const filter = { exclude_folders: folders, include_folders: [], exclude: patternsOf(extensions, names), include: [], max_size };
      const settings = settingsIn(at, service, {});
      // What only downloads changes nothing in the cloud, and some services have no folders with nothing in them.
      const isMade = entered.direction !== "download" && service?.folders_implied === false && remote !== "/";
      if (isMade) await ask({ request: "remote_folder_make", connection: entered.connection, path: remote });
      await ask({ request: "task_add", task: { ...rest, name: name.trim(), remote, filter, settings }, paused: true });
      await refresh();
      go(`first/${part(name.trim())}`);
    });
  if (!live.connections.length) {
    return <p>{t("page:welcome_connect")} <Link to="connect">{t("do:connect")}</Link></p>;
  }
  return (
    <TaskForm
      title={t("task:new")}
      entered={{ ...entered, remote }}
      set={set}
      setRemote={(remote) => {
        setRemoteChosen(true);
        set({ remote });
      }}
      from={isRemoteChosen ? remote : "/"}
      help={entered.direction === "download" ? undefined : t("task:remote_help")}
      connections={live.connections.map(({ name }) => name)}
      service={service}
      settings={{}}
      busy={busy}
      problem={problem}
      leave={t("do:cancel")}
      go={t("do:preview")}
      submit={submit}
    >
      <Labelled label={t("connect:name")}>
        <input value={name} required maxLength={64} pattern={NAME_PATTERN} autocomplete="off" onInput={(event) => setName(event.currentTarget.value)} />
      </Labelled>
    </TaskForm>
  );
}

// What the first sync will do

const ACTION_SHAPES: Record<string, Shape> = {
  upload: "upload", download: "download", move: "sync", compare: "both",
  "delete-local": "warn", "delete-remote": "warn", "make-folder-local": "folder", "make-folder-remote": "folder",
};

export function FirstSync({ name }: { name: string }) {
  const task = live.tasks.find((each) => each.name === name);
  const seen = live.status?.tasks.find((each) => each.name === name)?.progress?.seen ?? 0;
  const [preview, show] = useState<api.Preview | null>(null);
  const { busy, problem, run } = useWork();
  useEffect(() => {
    run(async () => show(await ask({ request: "preview", task: name })));
  }, [name]);
  if (!task) return <Gone />;
  const start = () =>
    run(async () => {
      await ask({ request: "resume", scope: { task: name } });
      await refresh();
      go("");
    });
  return (
    <section class="card narrow">
      <h1>{t("first:title")}</h1>
      <Route task={task} />
      <div aria-live="polite">
        {!preview && !problem && <p>{t("folders:looking")} {seen > 0 && t("page:seen", number(seen))}</p>}
        {preview && <Outlook preview={preview} />}
      </div>
      <Failure problem={problem} />
      {!preview && problem && <p>{t("first:unknown")}</p>}
      <p class="soft">{t("first:nothing_yet")}</p>
      <div class="buttons">
        <Link class="button" to="">{t("do:later")}</Link>
        <Link class="button" to={`task/${part(name)}`}>{t("do:edit")}</Link>
        <Button class="main" icon="play" disabled={busy} onClick={start}>{t("do:start")}</Button>
      </div>
    </section>
  );
}

function Outlook({ preview: { totals, intents, report } }: { preview: api.Preview }) {
  const all = totals.reduce((sum, { items }) => sum + items, 0);
  return (
    <>
      {all === 0 && <p>{t("first:same")}</p>}
      <ul class="outlook">
        {totals.map(({ action, items, bytes: size }) => (
          <li key={action} class={action.startsWith("delete") ? "held" : ""}>
            <Icon shape={ACTION_SHAPES[action] ?? "sync"} />
            <span>
              <strong>{word("intent", action)}</strong>
              <small>{t("first:items", number(items))}{size > 0 && ` · ${bytes(size)}`}</small>
            </span>
          </li>
        ))}
      </ul>
      {report.skipped > 0 && <p>{t("folders:out", number(report.skipped))}</p>}
      {report.held > 0 && <p class="held">{t("page:waits", number(report.held))}</p>}
      {all > 0 && (
        <details>
          <summary>{t("first:which")}</summary>
          <ul class="paths">
            {intents.slice(0, SHOWN).map(({ action, path }) => (
              <li key={`${action} ${path}`}><Icon shape={ACTION_SHAPES[action] ?? "sync"} /> <bdi>{path}</bdi></li>
            ))}
            {all > Math.min(SHOWN, intents.length) && <li>{t("page:and_more", number(all - Math.min(SHOWN, intents.length)))}</li>}
          </ul>
        </details>
      )}
    </>
  );
}

// Changing one

export function TaskPage({ name }: { name: string }) {
  const task = live.tasks.find((each) => each.name === name);
  if (!task) return <Gone />;
  return <EditTask task={task} />;
}

function enteredOf({ connection, local, remote, direction, conflict, keep_removed, recycle_days, consistency_check, filter }: api.TaskView): Entered {
  const { folders, patterns, max_size } = filter;
  return {
    connection, local, remote, direction, conflict, keep_removed, recycle_days, consistency_check,
    folders, ...wordsOf(patterns), max_size: max_size ?? 0,
  };
}

const Kept = ({ kept: { files, bytes: size, folder } }: { kept: api.RecycledView }) =>
  <p>{t("page:kept", number(files), bytes(size), folder)}</p>;

function EditTask({ task }: { task: api.TaskView }) {
  const { name } = task;
  const [before, setBefore] = useState(task);
  const [entered, setEntered] = useState(() => enteredOf(task));
  const [isSaved, setSaved] = useState(false);
  const { busy, problem, run, fail } = useWork();
  const service = useService(task.connection);
  const set = (change: Partial<Entered>) => {
    fail(null);
    setSaved(false);
    setEntered((before) => ({ ...before, ...change }));
  };
  const isElsewhere = entered.local !== before.local || entered.remote !== before.remote;
  const save = async (at: HTMLFormElement) => {
    if (isElsewhere && !(await question(t("task:elsewhere_title", name), <p>{t("task:elsewhere")}</p>, t("do:save")))) return;
    const kept = live.status?.tasks.find((each) => each.name === name)?.recycled;
    const days = entered.recycle_days;
    if (kept && kept.files > 0 && days < before.recycle_days) {
      const body = <><Kept kept={kept} /><p>{t("task:recycle_loss", number(days))}</p></>;
      if (!(await question(t("task:recycle_title"), body, t("do:save"), true))) return;
    }
    const { folders, extensions, names, max_size } = entered;
    const patterns = patternsOf(extensions, names);
    const but = (some: string[], others: string[]) => some.filter((each) => !others.includes(each));
    const change: api.TaskChange = {
      local: entered.local === before.local ? null : entered.local,
      remote: entered.remote === before.remote ? null : entered.remote,
      direction: entered.direction,
      conflict: entered.conflict,
      consistency_check: entered.consistency_check,
      keep_removed: entered.keep_removed,
      recycle_days: entered.recycle_days,
      filter: {
        exclude_folders: but(folders, before.filter.folders),
        include_folders: but(before.filter.folders, folders),
        exclude: but(patterns, before.filter.patterns),
        include: but(before.filter.patterns, patterns),
        max_size,
      },
      settings: settingsIn(at, service, before.settings),
    };
    const changed = await ask({ request: "task_set", name, change });
    setBefore(changed);
    setEntered(enteredOf(changed));
    setSaved(true);
    await refresh();
  };
  const remove = async () => {
    const kept = live.status?.tasks.find((each) => each.name === name)?.recycled;
    const body = (
      <>
        <p>{t("task:remove_loss", name)}</p>
        {kept && kept.files > 0 && <><Kept kept={kept} /><p>{t("task:remove_kept")}</p></>}
      </>
    );
    if (!(await question(t("connect:remove_title", name), body, t("do:remove"), true))) return;
    await ask({ request: "task_remove", name });
    go("");
    await refresh();
  };
  const gone: Problem | null = live.tasks.some((each) => each.name === name) ? null : { reason: word("error", "not-found") };
  return (
    <>
      <TaskForm
        title={name}
        entered={entered}
        set={set}
        setRemote={(remote) => set({ remote })}
        connections={[task.connection]}
        service={service}
        settings={before.settings}
        busy={busy}
        problem={problem ?? gone}
        said={isSaved ? t("connect:saved") : undefined}
        leave={t("do:back")}
        go={t("do:save")}
        submit={(form) => run(() => save(form))}
      />
      <section class="card narrow row">
        <span />
        <Button class="grave-line" disabled={busy} onClick={() => run(remove)}>{t("do:remove")}</Button>
      </section>
    </>
  );
}
