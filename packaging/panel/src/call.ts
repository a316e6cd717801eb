// Asking the daemon: by the NAS's web server and the bridge, or at its own address.

import type * as api from "./api";
import { t } from "./texts";

/** What went wrong, as a person is told it. */
export interface Problem {
  kind?: string;
  reason: string;
  remedy?: string;
}

/** What each request is answered with. */
interface Answers {
  service_list: api.ServiceName[];
  service_show: api.ServiceView;
  connection_list: api.ConnectionView[];
  connection_show: api.ConnectionView;
  connection_add: api.ConnectionView;
  connection_set: api.ConnectionView;
  connection_test: api.Tested;
  connection_try: api.Tested;
  buckets: api.BucketsView;
  bucket_make: api.BucketMade;
  connection_authorize: api.Authorization;
  connection_authorized: api.SignedIn;
  connection_key: api.KeyView;
  connection_remove: api.Removed;
  task_list: api.TaskView[];
  task_show: api.TaskView;
  task_add: api.TaskView;
  task_set: api.TaskView;
  task_remove: api.Removed;
  pause: api.Paused;
  resume: api.Paused;
  log: api.LogLine[];
  history: api.HistoryPage;
  settings: api.SettingsView;
  settings_set: api.SettingsView;
  password_set: api.PasswordView;
  export: unknown;
  import: api.ImportLine[];
  diagnostics: unknown;
  status: api.Status;
  task_status: api.TaskItems;
  local_folders: api.FoldersView;
  local_folder_make: api.FoldersView;
  remote_folders: api.FoldersView;
  remote_folder_make: api.FoldersView;
  item_rename: api.Renamed;
  removed_files: api.RemovedFiles;
  removed_restore: api.Restored;
  preview: api.Preview;
  sync: api.Report;
  verify: unknown;
}

type Word = api.Request["request"];

let token = "";

/** Takes the token that the desktop gave; it stays in memory only. */
export function setToken(given: string): void {
  token = given;
}

export function isOnDsm(): boolean {
  return location.pathname.includes("/webman/3rdparty/");
}

async function call<T>(path: string, body?: object, limit?: number): Promise<T | null> {
  const headers: Record<string, string> = { "X-SYNO-TOKEN": token };
  const options: RequestInit = { headers, cache: "no-store" };
  if (body) {
    options.method = "POST";
    headers["Content-Type"] = "application/json";
    options.body = JSON.stringify(body);
  }
  if (limit) options.signal = AbortSignal.timeout(limit);
  let answer;
  try {
    answer = await (await fetch(`api.cgi/v1/${path}`, options)).json();
  } catch {
    if (options.signal?.aborted) return null;
    throw { kind: "no-answer", reason: t("page:no_answer"), remedy: t("page:no_answer_remedy") } satisfies Problem;
  }
  if (answer.error) throw answer.error;
  return answer;
}

export async function ask<W extends Word>(request: Extract<api.Request, { request: W }>): Promise<Answers[W]> {
  return (await call<Answers[W]>("request", request)) as Answers[W];
}

/** Asks for what takes long, and waits no longer than it may be refused. */
export async function begin(request: api.Request): Promise<void> {
  await call("request", request, 2_000);
}

export async function readStatus(): Promise<api.Status> {
  return (await call<api.Status>("status")) as api.Status;
}

export async function login(password: string): Promise<void> {
  await call("login", { password });
}

/** Logs in by what is good for it once. A stale one leaves it to the password. */
export async function redeem(ticket: string): Promise<void> {
  await call("login", { ticket }).catch(() => {});
}

/** Who is logged in. The token that the desktop gave may have grown old. */
export async function readSession(): Promise<api.SessionView> {
  token ||= await findToken();
  try {
    return (await call<api.SessionView>("session")) as api.SessionView;
  } catch (error) {
    if ((error as Problem).kind !== "sign-in" || !isOnDsm()) throw error;
    token = await findToken();
    return (await call<api.SessionView>("session")) as api.SessionView;
  }
}

async function findToken(): Promise<string> {
  // One of them knows, depending on the version of DSM.
  const places = ["../../login.cgi", "../../../webapi/entry.cgi?api=SYNO.API.Auth&version=6&method=token"];
  for (const place of isOnDsm() ? places : []) {
    try {
      const answer = await (await fetch(place)).json();
      const found = answer.SynoToken ?? answer.data?.synotoken;
      if (found) return found;
    } catch {
      // The next place may know.
    }
  }
  return "";
}

export function asProblem(error: unknown): Problem {
  return (error as Problem)?.reason ? (error as Problem) : { reason: String(error) };
}
