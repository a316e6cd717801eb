// Choosing a folder, on the NAS or in the cloud, and making one in place; and those of a task that are left out.

import { useEffect, useId, useMemo, useState } from "preact/hooks";
import type * as api from "./api";
import { ask, type Problem } from "./call";
import { Button, Dialog, Failure, Icon, Labelled, useWork } from "./parts";
import { number, t } from "./texts";

/** Where folders are: on the NAS, or behind a connection. */
export type Where = { local: true } | { connection: string };

function list(where: Where, path: string): Promise<api.FoldersView> {
  return "local" in where
    ? ask({ request: "local_folders", path })
    : ask({ request: "remote_folders", connection: where.connection, path });
}

function make(where: Where, path: string): Promise<api.FoldersView> {
  return "local" in where
    ? ask({ request: "local_folder_make", path })
    : ask({ request: "remote_folder_make", connection: where.connection, path });
}

const below = (path: string, name: string) => (path === "/" ? `/${name}` : `${path}/${name}`);
const above = (path: string) => path.slice(0, path.lastIndexOf("/")) || "/";

interface PickerProps {
  where: Where;
  title: string;
  from: string;
  done: (path: string | null) => void;
}

function Picker({ where, title, from, done }: PickerProps) {
  const [view, show] = useState<api.FoldersView | null>(null);
  const [name, setName] = useState("");
  const { busy, problem, run } = useWork();
  const look = (path: string) => run(async () => show(await list(where, path)));
  useEffect(() => {
    // What was entered by hand may not be there.
    run(async () => show(await list(where, from).catch(() => list(where, ""))));
  }, []);
  const path = view?.path ?? "";
  const create = () =>
    run(async () => {
      show(await make(where, below(path, name.trim())));
      setName("");
    });
  return (
    <Dialog class="picker" title={title} done={() => done(null)}>
      <div class="row">
        <bdi class="path" tabIndex={-1} autofocus aria-live="polite">{path || "…"}</bdi>
        <Button icon="up" disabled={busy || !view || path === "/"} onClick={() => look(above(path))}>{t("folders:up")}</Button>
      </div>
      <ul class="folders" aria-busy={busy} aria-label={path}>
        {view?.folders.map((each) => (
          <li key={each}>
            <button type="button" disabled={busy} onClick={() => look(below(path, each))}><Icon shape="folder" />{each}</button>
          </li>
        ))}
        {view && view.folders.length === 0 && <li class="soft">{t("folders:none")}</li>}
        {view?.more && <li class="soft">{t("folders:more")}</li>}
      </ul>
      <Failure problem={problem} />
      <div class="row">
        <Labelled label={t("folders:new")}>
          <input
            value={name}
            maxLength={255}
            autocomplete="off"
            onInput={(event) => setName(event.currentTarget.value)}
            onKeyDown={(event) => {
              if (event.key === "Enter" && name.trim()) {
                event.preventDefault();
                create();
              }
            }}
          />
        </Labelled>
        <Button icon="plus" disabled={busy || !view || !name.trim() || name.includes("/")} onClick={create}>{t("folders:make")}</Button>
      </div>
      <div class="buttons">
        <Button onClick={() => done(null)}>{t("do:cancel")}</Button>
        <Button class="main" disabled={!view} onClick={() => done(path)}>{t("folders:choose")}</Button>
      </div>
    </Dialog>
  );
}

interface FolderProps {
  where: Where;
  label: string;
  help?: string;
  value: string;
  optional?: boolean;
  /** Where choosing begins, if not at the value. */
  from?: string;
  change: (path: string) => void;
}

/** A folder's path, to be entered or chosen. */
export function Folder({ where, label, help, value, optional = false, from = value, change }: FolderProps) {
  const [isOpen, open] = useState(false);
  return (
    <div class="field folder">
      <Labelled label={label} help={help}>
        <input
          value={value}
          required={!optional}
          pattern="/.*"
          placeholder="/"
          autocomplete="off"
          spellcheck={false}
          onInput={(event) => change(event.currentTarget.value)}
        />
      </Labelled>
      <Button icon="folder" about={label} onClick={() => open(true)}>{t("folders:browse")}</Button>
      {isOpen && (
        <Picker
          where={where}
          title={label}
          from={from}
          done={(path) => {
            open(false);
            if (path) change(path);
          }}
        />
      )}
    </div>
  );
}

/** The folders of a task, on both sides. */
export interface Roots {
  local: string;
  connection: string;
  remote: string;
}

/** What is left out of a task, in a form that costs little for each folder that is drawn. */
interface LeftOut {
  paths: Set<string>;
  /** The folders that any of these are in. */
  above: Set<string>;
}

function leftOut(paths: string[]): LeftOut {
  const aboves = paths.flatMap((path) => [...path.matchAll(/\//g)].map((slash) => path.slice(0, slash.index)));
  return { paths: new Set(paths), above: new Set(aboves) };
}

/** What is in a folder that may be on one side only; not being there is no failure. */
async function there(where: Where, path: string): Promise<api.FoldersView> {
  try {
    return await list(where, path);
  } catch (error) {
    if ((error as Problem).kind !== "not-found") throw error;
    return { path, folders: [], more: false };
  }
}

interface BranchProps {
  roots: Roots;
  /** The folder whose folders are shown, by its path in the task; empty for the task's own. */
  path: string;
  out: LeftOut;
  /** Leaves a folder out, or takes it in again. */
  turn: (path: string, isIn: boolean) => void;
}

/** The folders in a folder of a task, looked for when they are first seen. */
function Branch({ roots, path, out, turn }: BranchProps) {
  const [names, setNames] = useState<string[] | null>(null);
  const [hasMore, setMore] = useState(false);
  const { busy, problem, run } = useWork();
  useEffect(() => {
    run(async () => {
      const at = (root: string) => (path ? below(root.replace(/\/+$/, "") || "/", path) : root);
      const sides = await Promise.allSettled([
        there({ local: true }, at(roots.local)),
        there({ connection: roots.connection }, at(roots.remote)),
      ]);
      const seen = sides.filter((side) => side.status === "fulfilled").map((side) => side.value);
      setNames([...new Set(seen.flatMap((side) => side.folders))].sort());
      setMore(seen.some((side) => side.more));
      for (const side of sides) if (side.status === "rejected") throw side.reason;
    });
  }, []);
  return (
    <>
      <ul class="tree" aria-busy={busy}>
        {names?.map((name) => (
          <Twig key={name} roots={roots} path={path ? `${path}/${name}` : name} name={name} out={out} turn={turn} />
        ))}
        {busy && <li class="soft">{t("folders:looking")}</li>}
        {names?.length === 0 && !problem && <li class="soft">{t("folders:none")}</li>}
        {hasMore && <li class="soft">{t("folders:more")}</li>}
      </ul>
      <Failure problem={problem} />
    </>
  );
}

/** A folder of a task that is ticked unless it is left out. */
function Twig({ roots, path, name, out, turn }: BranchProps & { name: string }) {
  const [isOpen, open] = useState(false);
  const id = useId();
  const isOut = out.paths.has(path);
  return (
    <li>
      <div class="twig">
        <button
          type="button"
          class={isOpen && !isOut ? "turn open" : "turn"}
          aria-expanded={isOpen && !isOut}
          aria-label={name}
          disabled={isOut}
          onClick={() => open(!isOpen)}
        >
          <Icon shape="in" />
        </button>
        <input
          id={id}
          type="checkbox"
          checked={!isOut}
          indeterminate={out.above.has(path) && !isOut}
          onChange={(event) => turn(path, event.currentTarget.checked)}
        />
        <label for={id}><Icon shape="folder" /><bdi>{name}</bdi></label>
      </div>
      {isOpen && !isOut && <Branch roots={roots} path={path} out={out} turn={turn} />}
    </li>
  );
}

interface TreeProps {
  roots: Roots;
  /** Paths of the folders that are left out. */
  value: string[];
  change: (paths: string[]) => void;
}

/** Which folders of a task are synced: a tree of both sides, and the paths that are left out. */
export function FolderTree({ roots, value, change }: TreeProps) {
  const [isOpen, open] = useState(false);
  const [path, setPath] = useState("");
  const bare = path.trim().replace(/^\/+|\/+$/g, "");
  const out = useMemo(() => leftOut(value), [value]);
  const turn = (path: string, isIn: boolean) => {
    // What is in a folder that is left out needs no word of its own.
    const others = value.filter((each) => each !== path && (isIn || !each.startsWith(`${path}/`)));
    change(isIn ? others : [...others, path].sort());
  };
  const add = () => {
    turn(bare, false);
    setPath("");
  };
  return (
    <fieldset class="field">
      <legend class="label">{t("task:folders")}</legend>
      <small>{t("task:folders_help")}</small>
      <p role="status">{value.length ? t("folders:out", number(value.length)) : t("folders:all")}</p>
      <ul class="chosen">
        {value.map((each) => (
          <li key={each} class="row">
            <bdi><Icon shape="folder" /> {each}</bdi>
            <Button about={each} onClick={() => turn(each, true)}>{t("folders:take_in")}</Button>
          </li>
        ))}
      </ul>
      <Button icon="folder" disabled={!roots.local} expanded={isOpen} onClick={() => open(!isOpen)}>{t("folders:tree")}</Button>
      {isOpen && roots.local && (
        <>
          <div class="roots"><Branch key={Object.values(roots).join("\n")} roots={roots} path="" out={out} turn={turn} /></div>
          <div class="row by-path">
            <Labelled label={t("folders:by_path")}>
              <input
                value={path}
                autocomplete="off"
                spellcheck={false}
                onInput={(event) => setPath(event.currentTarget.value)}
                onKeyDown={(event) => {
                  if (event.key === "Enter") {
                    event.preventDefault();
                    if (bare) add();
                  }
                }}
              />
            </Labelled>
            <Button icon="plus" disabled={!bare} onClick={add}>{t("folders:leave_out")}</Button>
          </div>
        </>
      )}
    </fieldset>
  );
}
