// Choosing a folder, on the NAS or in the cloud, and making one in place.

import { useEffect, useRef, useState } from "preact/hooks";
import type * as api from "./api";
import { ask } from "./call";
import { Button, Failure, Icon, Labelled, useWork } from "./parts";
import { t } from "./texts";

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
  const dialog = useRef<HTMLDialogElement>(null);
  const [view, show] = useState<api.FoldersView | null>(null);
  const [name, setName] = useState("");
  const { busy, problem, run } = useWork();
  const look = (path: string) => run(async () => show(await list(where, path)));
  useEffect(() => {
    dialog.current?.showModal();
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
    <dialog ref={dialog} class="picker" aria-labelledby="picker-title" onClose={() => done(null)}>
      <h2 id="picker-title">{title}</h2>
      <div class="row">
        <bdi class="path" aria-live="polite">{path || "…"}</bdi>
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
    </dialog>
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

/** Folders in a folder, to be left out. */
export function FolderList({ root, label, help, value, change }: { root: string; label: string; help: string; value: string[]; change: (paths: string[]) => void }) {
  const [isOpen, open] = useState(false);
  const [isOutside, setOutside] = useState(false);
  const chosen = (path: string | null) => {
    open(false);
    if (!path) return;
    const inside = path.startsWith(`${root.replace(/\/$/, "")}/`) ? path.slice(root.replace(/\/$/, "").length + 1) : "";
    setOutside(!inside);
    if (inside && !value.includes(inside)) change([...value, inside].sort());
  };
  return (
    <fieldset class="field">
      <legend class="label">{label}</legend>
      <small>{help}</small>
      <ul class="chosen">
        {value.map((each) => (
          <li key={each} class="row">
            <bdi><Icon shape="folder" /> {each}</bdi>
            <Button about={each} onClick={() => change(value.filter((other) => other !== each))}>{t("do:remove")}</Button>
          </li>
        ))}
      </ul>
      <p role="status">{isOutside && t("folders:outside", root)}</p>
      <Button icon="plus" disabled={!root} onClick={() => open(true)}>{t("folders:leave_out")}</Button>
      {isOpen && <Picker where={{ local: true }} title={label} from={root} done={chosen} />}
    </fieldset>
  );
}
