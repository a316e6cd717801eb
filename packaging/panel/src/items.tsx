// Items that aren't in sync: each with its reason, and the button that solves it.

import type * as api from "./api";
import { ask, begin } from "./call";
import { State } from "./glance";
import { live } from "./live";
import { Act, Labelled, Link, part, question, Told } from "./parts";
import { bytes, known, t } from "./texts";

/** Reasons that another name on the disk does away with. */
const BY_NAME = ["character", "service-name", "name-too-long", "path-too-long", "bad-name", "name-taken", "name-clash"];
/** Reasons that are the task's own settings. */
const BY_TASK = ["excluded-folder", "excluded-name", "over-limit"];
/** Characters of the longest name that is suggested. */
const LONGEST = 100;
/** A folder of the NAS as its file manager has it, which knows shared folders but no volumes. */
const SHARED = /^\/volume\d+(\/.+)$/;
/** It is opened at a folder by `opendir`, as Synology's own Threat Prevention does (`ui/synoips.js` of its package). */
const FILE_STATION = "SYNO.SDS.App.FileStation3.Instance";

/** What the desktop of the NAS has for the page in its window. */
interface Desktop {
  SYNO?: { SDS?: { AppLaunch?: (app: string, given: Record<string, unknown>) => void } };
}

const nameOf = (path: string) => path.slice(path.lastIndexOf("/") + 1);
const folderOf = (path: string) => path.slice(0, Math.max(path.lastIndexOf("/"), 0));

/** A name like this one that the service may take. */
async function suggested(task: string, { path, code }: api.ItemLine): Promise<string> {
  const connection = live.connections.find((each) => each.name === live.tasks.find((each) => each.name === task)?.connection);
  const rules = connection && (await ask({ request: "service_show", name: connection.service }));
  const refused = `:\\${rules?.forbidden_characters ?? ""}`;
  const name = [...nameOf(path)].map((each) => (refused.includes(each) || each < " " ? "_" : each)).join("").replace(/[ .]+$/, "");
  const at = name.lastIndexOf(".") > 0 ? name.lastIndexOf(".") : name.length;
  const [stem, ending] = [name.slice(0, at), name.slice(at).slice(0, LONGEST)];
  const isLong = code === "name-too-long" || code === "path-too-long";
  const isSame = name === nameOf(path) && !isLong;
  return `${isLong ? [...stem].slice(0, LONGEST).join("") : stem}${isSame ? " 2" : ""}${ending}`;
}

async function rename(task: string, item: api.ItemLine): Promise<void> {
  const body = (
    <>
      <p><bdi>{item.path}</bdi></p>
      <Labelled label={t("items:new_name")} help={t("items:rename_help")}>
        <input name="name" required maxLength={255} pattern="[^\/]+" autofocus autocomplete="off" spellcheck={false} defaultValue={await suggested(task, item)} />
      </Labelled>
    </>
  );
  const form = await question(t("items:rename_title"), body, t("items:rename"));
  if (!form) return;
  await ask({ request: "item_rename", task, path: item.path, name: String(form.get("name")) });
  // Whatever paused it, nobody wants to be told so now.
  const state = live.status?.tasks.find((each) => each.name === task)?.state;
  if (state !== "paused") await begin({ request: "sync", task, approve: false });
}

/** Opens a folder in the file manager of the NAS, or tells where it is. */
async function openFolder(path: string): Promise<void> {
  const desktop = (window.top as Desktop | null)?.SYNO?.SDS;
  const shared = SHARED.exec(path)?.[1];
  if (desktop?.AppLaunch && shared) return desktop.AppLaunch(FILE_STATION, { opendir: shared });
  const body = (
    <Labelled label={t("items:folder")}>
      <input readOnly autofocus value={path} onFocus={(event) => event.currentTarget.select()} />
    </Labelled>
  );
  // Where the connection isn't encrypted, a browser lets no page copy by itself.
  const clipboard = navigator.clipboard as Clipboard | undefined;
  const isWanted = await question(t("items:folder_title"), body, clipboard ? t("items:copy") : t("do:dismiss"));
  if (isWanted) await clipboard?.writeText(path);
}

/** Why an item isn't in sync, and what to do. */
function Reason({ item }: { item: api.ItemLine }) {
  const { code, detail, state, reason, remedy } = item;
  const rule = state === "skipped" && known("reason", code, code === "over-limit" ? bytes(Number(detail)) : detail);
  return rule ? <p>{rule}</p> : <Told problem={{ kind: code, reason, remedy }} />;
}

export function Item({ task, item }: { task: string; item: api.ItemLine }) {
  const { path, code, local, state } = item;
  const root = live.tasks.find((each) => each.name === task)?.local.replace(/\/$/, "");
  const inside = item.kind === "folder" && !BY_NAME.includes(code) ? path : folderOf(path);
  return (
    <li>
      <bdi>{path}</bdi> <State state={state} />
      <Reason item={item} />
      <div class="buttons">
        {BY_TASK.includes(code) && <Link class="button" to={`task/${part(task)}`} aria-label={`${t("do:edit")}: ${task}`}>{t("do:edit")}</Link>}
        {local && root && (
          <Act icon="folder" about={path} work={() => openFolder(inside ? `${root}/${inside}` : root)}>{t("items:open")}</Act>
        )}
        {local && BY_NAME.includes(code) && <Act class="main" about={path} work={() => rename(task, item)}>{t("items:rename")}</Act>}
      </div>
    </li>
  );
}
