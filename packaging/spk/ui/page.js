// The page: how everything is, what goes on, what waits for a person.
// All its texts are in texts/LANGUAGE/strings, where DSM looks for them, too.

const LANGUAGES = {
  enu: "en", ger: "de", fre: "fr", spn: "es", ita: "it", nld: "nl",
  jpn: "ja", krn: "ko", chs: "zh-CN", cht: "zh-TW",
};
const BUSY = 2_000, QUIET = 10_000;
// Within this time a sync is refused if it is; after it, the status tells how it goes.
const REFUSAL = 2_000;
const HISTORY = 20, ITEMS = 50;

const dialog = document.getElementById("dialog");
const given = new URLSearchParams(location.search.slice(1) + "&" + location.hash.slice(1));

let texts = {}, locale = "en";
let token = given.get("SynoToken");
let session, status, failure, notice;
let connections = [], tasks = [], history = [], items = {};
let known = {};
let timer, asking = false, again = false, onScreen = true;

// Texts and numbers

function languageOf(tags) {
  for (const tag of tags.map((each) => each.toLowerCase())) {
    if (/^zh-(tw|hk|mo|hant)/.test(tag)) return "cht";
    const found = Object.entries(LANGUAGES).find(([, each]) => each.slice(0, 2) === tag.slice(0, 2));
    if (found) return found[0];
  }
  return "enu";
}

async function loadTexts() {
  const language = LANGUAGES[given.get("lang")] ? given.get("lang") : languageOf(navigator.languages);
  document.documentElement.lang = LANGUAGES[language];
  locale = navigator.languages.find((tag) => languageOf([tag]) === language) ?? LANGUAGES[language];
  // What this script was asked for by tells its version; the texts are of the same.
  const answer = await fetch(`texts/${language}/strings${new URL(import.meta.url).search}`);
  let section;
  for (const line of answer.ok ? (await answer.text()).split("\n") : []) {
    const [, head, key, text] = /^\[(.+)\]|^(\w+)="(.*)"/.exec(line) ?? [];
    if (head) section = head;
    else if (key) texts[`${section}:${key}`] = text;
  }
}

// A text that isn't there is told by its key, which is made of English words.
function t(key, ...values) {
  const text = texts[key] ?? key.replace(/.*:/, "").replaceAll("_", " ");
  return text.replace(/\{(\d)\}/g, (_, at) => values[at] ?? "");
}

function word(section, code) {
  return t(`${section}:${code.replaceAll("-", "_")}`);
}

function number(value, digits = 0) {
  return value.toLocaleString(locale, { maximumFractionDigits: digits });
}

function bytes(count) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  const unit = Math.min(Math.floor(Math.log2(count || 1) / 10), units.length - 1);
  return `${number(count / 1024 ** unit, unit && 1)} ${units[unit]}`;
}

function time(text) {
  const at = new Date(text);
  const year = at.getFullYear() === new Date().getFullYear() ? undefined : "numeric";
  return at.toLocaleString(locale, { year, month: "short", day: "numeric", hour: "numeric", minute: "2-digit" });
}

// Asking

async function call(path, body, limit) {
  const options = { headers: { "X-SYNO-TOKEN": token ?? "" }, cache: "no-store" };
  if (body) {
    options.method = "POST";
    options.headers["Content-Type"] = "application/json";
    options.body = JSON.stringify(body);
  }
  if (limit) {
    const end = new AbortController();
    options.signal = end.signal;
    setTimeout(() => end.abort(), limit);
  }
  let answer;
  try {
    answer = await (await fetch(`api.cgi/v1/${path}`, options)).json();
  } catch (error) {
    if (options.signal?.aborted) return null;
    throw { kind: "no-answer", reason: t("page:no_answer"), remedy: t("page:no_answer_remedy") };
  }
  if (answer.error) throw answer.error;
  return answer;
}

const request = (body, limit) => call("request", body, limit);

// The token that the desktop gave may have grown old.
async function signIn() {
  token ||= await findToken();
  try {
    return await call("session");
  } catch (error) {
    if (error.kind !== "sign-in" || !isOnDsm()) throw error;
    token = await findToken();
    return call("session");
  }
}

async function findToken() {
  const places = [
    ["../../login.cgi", (answer) => answer.SynoToken],
    ["../../../webapi/entry.cgi?api=SYNO.API.Auth&version=6&method=token", (answer) => answer.data.synotoken],
  ];
  for (const [address, pick] of isOnDsm() ? places : []) {
    try {
      const found = pick(await (await fetch(address)).json());
      if (found) return found;
    } catch {
      // The next place may know.
    }
  }
  return "";
}

function isOnDsm() {
  return location.pathname.includes("/webman/3rdparty/");
}

// What isn't in the daemon's memory is asked for only when it has changed, so that an open page
// wakes no disk.
async function look() {
  session ??= await signIn();
  status = await call("status");
  const names = ({ name, state, paused }) => [name, state, paused];
  await whenNew("settings", [status.connections.map(names), status.tasks.map(names)], async () => {
    connections = await request({ request: "connection_list" });
    tasks = await request({ request: "task_list" });
  });
  const done = ({ last, progress, counts }) => [didSomething(last) && last.time, progress?.files_done, counts];
  await whenNew("history", [known.settings, status.tasks.map(done)], async () => {
    history = await request({ request: "log", task: null, limit: HISTORY });
    for (const name of Object.keys(items)) await loadItems(name);
  });
}

// Every poll is a cycle; only those that did something are news.
function didSomething(last) {
  const { uploaded, downloaded, moved, deleted_local, deleted_remote, conflicts } = last?.report ?? {};
  return uploaded + downloaded + moved + deleted_local + deleted_remote + conflicts > 0;
}

async function whenNew(what, signs, load) {
  const now = JSON.stringify(signs);
  if (known[what] === now) return;
  await load();
  known[what] = now;
}

async function loadItems(name, after) {
  const page = await request({ request: "task_status", name, limit: ITEMS, ...(after && { after }) });
  const before = after ? items[name].items : [];
  items[name] = { items: before.concat(page.items), next: page.next };
}

function isSeen() {
  return document.visibilityState === "visible" && onScreen;
}

async function tick() {
  clearTimeout(timer);
  again = asking;
  if (asking || !isSeen()) return;
  asking = true;
  try {
    await look();
    failure = null;
  } catch (error) {
    failure = asProblem(error);
    if (failure.kind === "sign-in") {
      session = undefined;
      token = "";
    }
  }
  asking = false;
  const busy = !failure && status.tasks.some((task) => task.state === "syncing");
  if (!needsLogin()) timer = setTimeout(tick, again ? 0 : busy ? BUSY : QUIET);
  render();
}

// On other systems than DSM, Mooring has a login of its own.
function needsLogin() {
  return failure?.kind === "sign-in" && !isOnDsm();
}

function asProblem(error) {
  return error.reason ? error : { reason: String(error) };
}

// What a person does

const actions = {
  sync: ({ name }) => request({ request: "sync", task: name, approve: false }, REFUSAL),
  pause: ({ scope, name }) => request({ request: "pause", scope: scopeOf(scope, name) }),
  resume: ({ scope, name }) => request({ request: "resume", scope: scopeOf(scope, name) }),
  approve,
  authorize,
  more: ({ name }) => loadItems(name, items[name].next),
  dismiss: () => void (notice = null),
};

function scopeOf(scope, name) {
  return scope === "everything" ? scope : { [scope]: name };
}

async function approve({ name }) {
  const sweepsOf = ({ tasks }) => tasks.find((task) => task.name === name)?.holds?.filter(isSweep) ?? [];
  const sweeps = sweepsOf(status);
  const body = sweeps.flatMap((hold) => [title(hold), sample(hold), h("p", {}, lossOf(hold, name))]);
  if (!(await ask(t("page:approve_title", name), body, t("do:approve"), true))) return;
  // What a person approves is what they saw.
  const now = sweepsOf(await call("status"));
  if (JSON.stringify(now) !== JSON.stringify(sweeps)) throw { reason: t("page:changed") };
  await request({ request: "sync", task: name, approve: true }, REFUSAL);
}

async function authorize({ name }) {
  const begun = await request({ request: "connection_authorize", name });
  if (!begun.needed || !/^https?:/.test(begun.url)) {
    throw { reason: t("page:no_sign_in"), remedy: `mooring connection set "${name}"` };
  }
  const link = h("a", { href: begun.url, target: "_blank", rel: "noreferrer" }, t("page:sign_in_open"));
  const paste = h("label", {}, t(`page:sign_in_${begun.answer}`),
    h("textarea", { name: "answer", rows: 3, required: true }));
  const form = await ask(t("page:sign_in_title", name), [h("p", {}, link), paste], t("do:finish"));
  if (form) await request({ request: "connection_authorized", name, answer: form.get("answer").trim() });
}

function lossOf({ code, side }, name) {
  const days = tasks.find((task) => task.name === name)?.recycle_days;
  if (side !== "local" || code !== "mass-removal" || !days) return t(`hold:loss_${side}`);
  return t("hold:loss_kept", number(days), status.tasks.find((task) => task.name === name).recycled.folder);
}

// Shows a question; the answer is its form, or nothing.
function ask(title, body, yes, isGrave) {
  const form = h("form", { method: "dialog" },
    h("h2", { id: "dialog-title" }, title), ...body,
    h("div", { class: "buttons" },
      h("button", { type: "button", "data-do": "close", autofocus: isGrave }, t("do:cancel")),
      h("button", { value: "yes", class: isGrave ? "grave" : "main" }, yes)));
  dialog.replaceChildren(form);
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.onclose = () => resolve(dialog.returnValue === "yes" ? new FormData(form) : null);
  });
}

async function act(button) {
  const { do: action, ...rest } = button.dataset;
  if (action === "close") return dialog.close();
  button.disabled = true;
  try {
    notice = null;
    await actions[action](rest);
    // It may have changed the settings, too.
    if (action !== "more") known = {};
  } catch (error) {
    notice = asProblem(error);
  }
  button.disabled = false;
  render();
  tick();
}

async function login(form) {
  try {
    await call("login", { password: new FormData(form).get("password") });
    form.reset();
    failure = notice = null;
  } catch (error) {
    notice = asProblem(error);
  }
  render();
  if (!notice) tick();
}

// What is seen

function h(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== false && value !== undefined) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat().filter(Boolean));
  return node;
}

function button(action, label, { name, scope, ...attributes } = {}) {
  return h("button", {
    type: "button", "data-do": action, "data-name": name, "data-scope": scope,
    "aria-label": name && `${label}: ${name}`, ...attributes,
  }, label);
}

// Makes what is shown like what is to be shown, so that focus, selection and open parts stay.
function patch(shown, wanted) {
  for (const { name } of [...shown.attributes]) {
    if (!wanted.hasAttribute(name) && name !== "open") shown.removeAttribute(name);
  }
  for (const { name, value } of wanted.attributes) {
    if (shown.getAttribute(name) !== value) shown.setAttribute(name, value);
  }
  const children = [...wanted.childNodes];
  while (shown.childNodes.length > children.length) shown.lastChild.remove();
  children.forEach((child, at) => {
    const old = shown.childNodes[at];
    if (!old) shown.append(child);
    else if (old.nodeName !== child.nodeName || old.dataset?.key !== child.dataset?.key) old.replaceWith(child);
    else if (child.nodeType === Node.ELEMENT_NODE) patch(old, child);
    else if (old.data !== child.data) old.data = child.data;
  });
}

const isSweep = (hold) => hold.code.startsWith("mass-");
const isPassing = (hold) => ["offline", "busy"].includes(hold.code);

// What waits for a person. What the daemon has in mind only for now is in the message alone.
function holdsOf({ state, message, holds = [] }) {
  const isTold = holds.some((hold) => message === `${hold.reason}; ${hold.remedy}`);
  const live = state === "held" && message && !isTold ? [{ code: "", reason: message }] : [];
  return [...live, ...holds.filter((hold) => !isPassing(hold))];
}

function title(hold) {
  const key = `hold:${hold.code.replaceAll("-", "_")}${isSweep(hold) ? `_${hold.side}` : ""}`;
  return texts[key] && h("p", {}, h("strong", {}, t(key, number(hold.items), number(hold.known))));
}

function sample(hold) {
  const more = hold.items - hold.sample.length;
  return h("ul", { class: "paths" },
    hold.sample.map((path) => h("li", {}, path)),
    hold.sample.length && more > 0 && h("li", {}, t("page:and_more", number(more))));
}

// What the daemon says is English, whatever the language of the page.
function told({ reason, remedy }) {
  return [h("p", { lang: "en" }, reason), remedy && h("p", { lang: "en", class: "remedy" }, remedy)];
}

function summary() {
  const { tasks } = status;
  const held = tasks.flatMap(holdsOf).length;
  const problems = tasks.reduce((sum, task) => sum + (task.counts?.problems ?? 0), 0);
  const some = (state) => tasks.some((task) => task.state === state);
  if (!tasks.length) return ["", t("page:nothing"), t("page:nothing_remedy")];
  if (held) return ["warn", t("page:waits", number(held))];
  if (status.paused) return ["", t("page:all_paused")];
  if (some("syncing")) return ["busy", t("page:syncing")];
  if (some("waiting")) return ["busy", t("page:waiting")];
  if (problems) return ["warn", t("page:except", number(problems))];
  if (some("paused") || some("suspended")) return ["", t("page:resting")];
  return ["good", t("page:in_sync")];
}

function banner([kind, text, more], ...rest) {
  return h("div", { class: `banner ${kind}`, role: "status" },
    h("strong", {}, text), more && h("p", {}, more), rest);
}

function isSignedOut(connection) {
  return connection.signed_in === false;
}

function holdCards(task) {
  return holdsOf(task).map((hold) => holdCard(task, hold));
}

function holdCard({ name, connection }, hold) {
  const { code, side, since, reason } = hold;
  // Only where a person signs in is it told whether one has.
  const hasSignIn = connections.find((each) => each.name === connection)?.signed_in !== undefined;
  const signsIn = code === "sign-in" && hasSignIn;
  // What is about to happen is in the title; what brought it about, behind the colon.
  const cause = h("p", { lang: "en" }, reason.replace(/^.*?: /, ""));
  return h("li", { class: "card warn", "data-key": `${name}/${code}/${side}` },
    h("h3", {}, name, since && h("small", {}, t("page:since", time(since)))),
    title(hold),
    isSweep(hold)
      ? [cause, sample(hold), h("p", {}, t("hold:mass_remedy")), button("approve", t("do:approve"), { name })]
      : told(signsIn ? { reason } : hold),
    signsIn && button("authorize", t("do:sign_in"), { name: connection, class: "main" }));
}

function progressOf({ phase, seen, files, files_done, bytes: all, bytes_done, current }) {
  const text = files
    ? t("page:progress", number(files_done), number(files), bytes(bytes_done), bytes(all))
    : t("page:seen", number(seen));
  const [max, value] = all ? [all, bytes_done] : [files || 1, files ? files_done : undefined];
  return [
    h("p", {}, phase && `${word("phase", phase)} · `, text),
    h("progress", { max, value, "aria-label": text }),
    h("ul", { class: "paths" }, current.map(([path, done, size]) =>
      h("li", {}, `${path} · ${bytes(done)} / ${bytes(size)}`))),
  ];
}

function route({ local, direction, connection, remote }) {
  const arrow = { both: "⇄", upload: "→", download: "←" }[direction];
  return h("p", { class: "route" }, h("bdi", {}, local),
    h("span", { role: "img", "aria-label": word("direction", direction) }, ` ${arrow} `),
    h("bdi", {}, `${connection}:${remote}`));
}

function taskCard(task) {
  const { name, state, message, holds, counts, recycled, last, progress } = task;
  const set = tasks.find((each) => each.name === name);
  const facts = [
    counts && t("page:files", number(counts.local_files), number(counts.remote_files)),
    counts?.pending > 0 && t("page:pending", number(counts.pending)),
    last && t("page:last", time(last.time)),
    task.runs_again && t("page:runs_again", time(task.runs_again)),
    recycled?.files > 0 && t("page:kept", number(recycled.files), bytes(recycled.bytes), recycled.folder),
  ];
  const passing = holds?.find(isPassing);
  const isTold = ["paused", "suspended"].includes(state) || holdsOf(task).length > 0;
  return h("li", { class: "card", "data-key": name },
    h("h3", {}, name, h("span", { class: `state ${state}` }, word("state", state))),
    set && route(set),
    progress && progressOf(progress),
    h("p", { class: "facts" }, facts.filter(Boolean).map((fact) => h("span", {}, fact))),
    passing && title(passing),
    !isTold && message && h("p", { lang: "en" }, message),
    counts && counts.problems + counts.skipped > 0 && itemsOf(task),
    h("div", { class: "buttons" },
      button("sync", t("do:sync"), { name, disabled: ["paused", "syncing"].includes(state) }),
      toggle("task", name, set?.paused)));
}

function itemsOf({ name, counts }) {
  const page = items[name];
  const line = (item) => h("li", { "data-key": item.path },
    h("bdi", {}, item.path), " ",
    h("span", { class: `state ${item.state}` }, word("state", item.state)),
    told(item));
  return h("details", { "data-items": name },
    h("summary", {}, t("page:not_in_sync", number(counts.problems), number(counts.skipped))),
    h("ul", {}, page?.items.map(line)),
    page?.next && button("more", t("do:more"), { name }));
}

function toggle(scope, name, paused) {
  const [action, label] = paused ? ["resume", t("do:resume")] : ["pause", t("do:pause")];
  return button(action, label, { scope, name });
}

function connectionCard(connection) {
  const { name, paused } = connection;
  const live = status.connections.find((each) => each.name === name);
  const state = isSignedOut(connection) ? "held" : paused ? "paused" : live?.suspended ? "suspended" : "";
  return h("li", { class: "card", "data-key": name },
    h("h3", {}, name, h("small", {}, connection.service)),
    state && h("p", { class: `state ${state}` }, word("state", state)),
    isSignedOut(connection) && h("p", {}, t("page:signed_out")),
    live?.runs_again && h("p", {}, t("page:runs_again", time(live.runs_again))),
    h("div", { class: "buttons" },
      isSignedOut(connection) && button("authorize", t("do:sign_in"), { name, class: "main" }),
      toggle("connection", name, paused)));
}

function historyTable(lines) {
  const row = ({ time: at, action, path, detail, bytes: size, task }) => h("tr", {},
    h("td", {}, h("time", { datetime: at }, time(at))),
    h("td", {}, word("action", action)),
    h("td", {}, h("bdi", {}, path), size > 0 && h("small", {}, bytes(size)), detail && h("p", { lang: "en" }, detail)),
    h("td", {}, task));
  return h("div", { class: "card" }, h("table", {}, h("tbody", {}, lines.map(row).reverse())));
}

function pauseAll() {
  const [action, label] = status.paused ? ["resume", t("do:resume_all")] : ["pause", t("do:pause_all")];
  return session.administrator && status.tasks.length > 0 && button(action, label, { scope: "everything" });
}

function section(head, list, show = (cards) => h("ul", { class: "cards" }, cards)) {
  return list.length > 0 && [h("h2", {}, head), show(list)];
}

function everything() {
  return [
    banner(summary(), pauseAll()),
    section(t("page:attention"), status.tasks.flatMap(holdCards)),
    section(t("page:tasks"), status.tasks.map(taskCard)),
    section(t("page:connections"), connections.map(connectionCard)),
    section(t("page:history"), history, historyTable),
  ];
}

function failed() {
  if (failure.kind !== "offline") return h("div", { class: "banner bad", role: "status" }, told(failure));
  const remedy = t(isOnDsm() ? "page:not_running_remedy" : "page:not_running_service");
  return banner(["bad", t("page:not_running"), remedy]);
}

function loginForm() {
  const password = { type: "password", name: "password", autocomplete: "current-password" };
  return h("form", { id: "login", class: "card" },
    h("label", {}, t("page:password"), h("input", { ...password, required: true, autofocus: true })),
    h("div", { class: "buttons" }, h("button", { class: "main" }, t("do:login"))));
}

function render() {
  const body = needsLogin() ? [loginForm()] : failure ? [failed()] : status ? everything() : [];
  patch(document.getElementById("page"), h("main", { id: "page" },
    h("header", {}, h("h1", {}, "Mooring"), session && h("span", {}, session.user)),
    h("div", { role: "alert" },
      notice && h("div", { class: "banner bad" }, told(notice), button("dismiss", t("do:dismiss")))),
    body.flat()));
}

// Another site that frames the page could have a person press its buttons unawares.
function isFramedByAnother() {
  try {
    return window.top.location.origin !== location.origin;
  } catch {
    return true;
  }
}

async function start() {
  // The token stays in memory only.
  window.history.replaceState(null, "", location.pathname);
  await loadTexts().catch(() => {});
  document.addEventListener("click", (event) => {
    const pressed = event.target.closest("[data-do]");
    if (pressed) act(pressed);
  });
  document.addEventListener("submit", (event) => {
    if (event.target.id !== "login") return;
    event.preventDefault();
    login(event.target);
  });
  document.addEventListener("toggle", (event) => {
    const name = event.target.dataset.items;
    if (!name) return;
    if (event.target.open) loadItems(name).then(render, () => {});
    else delete items[name];
  }, true);
  document.addEventListener("visibilitychange", tick);
  // A minimised window of the desktop is no hidden page, but isn't on the screen.
  new IntersectionObserver(([{ isIntersecting }]) => {
    onScreen = isIntersecting;
    tick();
  }).observe(document.documentElement);
  tick();
}

if (!isFramedByAnother()) start();
