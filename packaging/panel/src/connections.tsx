// Connections: the list, the wizard for a new one, and changing one.

import type { ComponentChildren } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import type * as api from "./api";
import { Bucket } from "./buckets";
import { ask, type Problem } from "./call";
import { live, refresh } from "./live";
import { State } from "./glance";
import { Toggle } from "./overview";
import { Act, Button, Check, Failure, go, Gone, Icon, Labelled, Link, part, question, saveFile, useWork } from "./parts";
import { Schedule } from "./schedule";
import { known, t, time, word } from "./texts";

/** What a service tells instead of a secret. */
const SEALED = "(sealed)";
/** What signing in sets, not a person. */
const BY_SIGN_IN = ["refresh-token"];
/** What most people have to enter beside what is needed. */
const USUAL = [
  "provider", "region", "user", "project", "password", "account-key", "sas", "client-id", "client-secret", "service-account", "drive", "space",
];
/** Texts of several lines. */
const LONG = ["ca", "encryption-key", "service-account"];

const labelOf = (service: string) => live.services.find((each) => each.name === service)?.label ?? service;

function isUsual(field: api.FieldView, service: api.ServiceView): boolean {
  // Where a person signs in, the address of the service is known.
  return field.needed || USUAL.includes(field.key) || (field.key === "endpoint" && !service.sign_in);
}

// Signing in

/** Has a person sign in, if they go through with it. */
export async function signIn(name: string): Promise<boolean> {
  const begun = await ask({ request: "connection_authorize", name });
  if (!begun.needed || !/^https?:/.test(begun.url ?? "")) {
    throw { kind: "protocol", reason: begun.url ?? "" } satisfies Problem;
  }
  const form = await question(t("page:sign_in_title", name), <SignInSteps page={begun} />, t("do:finish"));
  if (!form) return false;
  await ask({ request: "connection_authorized", name, answer: String(form.get("answer")).trim() });
  return true;
}

function SignInSteps({ page }: { page: api.Authorization }) {
  return (
    <ol class="steps">
      <li><a href={page.url} target="_blank" rel="noreferrer">{t("page:sign_in_open")}</a></li>
      <li>
        <label>
          {word("answer", page.answer ?? "")}
          <textarea name="answer" rows={3} required spellcheck={false} />
        </label>
      </li>
    </ol>
  );
}

// The list

export function Connections() {
  return (
    <>
      <div class="head">
        <h1>{t("page:connections")}</h1>
        <Link class="button main" to="connect"><Icon shape="plus" />{t("do:connect")}</Link>
      </div>
      {live.connections.length === 0 && <p class="soft">{t("page:welcome_connect")}</p>}
      <ul class="cards">{live.connections.map((each) => <ConnectionCard key={each.name} connection={each} />)}</ul>
    </>
  );
}

function ConnectionCard({ connection }: { connection: api.ConnectionView }) {
  const { name, service, paused, tasks, owner } = connection;
  const now = live.status?.connections.find((each) => each.name === name);
  const isSignedOut = connection.signed_in === false;
  const state = isSignedOut ? "held" : paused ? "paused" : now?.suspended ? "suspended" : "";
  return (
    <li class="card">
      <h3><span class="named"><Icon shape="cloud" />{name}</span>{state && <State state={state} />}</h3>
      <p class="facts">
        <span>{labelOf(service)}</span>
        {owner && owner !== live.session?.user && <span>{t("page:belongs_to", owner)}</span>}
        {tasks.length > 0 && <span>{t("page:used_by", tasks.join(", "))}</span>}
      </p>
      {isSignedOut && <p>{t("page:signed_out")}</p>}
      {now?.runs_again && <p>{t("page:runs_again", time(now.runs_again))}</p>}
      <div class="buttons">
        {isSignedOut && <Act class="main" about={name} work={() => signIn(name)}>{t("do:sign_in")}</Act>}
        <Toggle scope="connection" name={name} paused={paused} />
        <Link class="button" to={`connection/${part(name)}`} aria-label={`${t("do:edit")}: ${name}`}><Icon shape="gear" />{t("do:edit")}</Link>
      </div>
    </li>
  );
}

// The form

/** What a field is called, and what to enter, in the language of the page if it is known there. */
function aboutOf({ key, label, help }: api.FieldView): { label: string; help: ComponentChildren } {
  const told = known("field", key);
  return told ? { label: told, help: known("field", `${key}-help`) } : { label, help: <span lang="en">{help}</span> };
}

/** What stands for another value in a list of suggestions. */
const OTHER = "(other)";

interface SuggestedProps {
  field: api.FieldView;
  value: string;
  label: string;
  help: ComponentChildren;
  named: ComponentChildren;
}

/** One of some values, or another. */
function Suggested({ field, value, label, help, named }: SuggestedProps) {
  const { key, kind, needed, suggestions } = field;
  const first = value || field.default || "";
  const [chosen, choose] = useState(first);
  const [isOther, setOther] = useState(first !== "" && !suggestions?.some((each) => each.value === first));
  const changed = (word: string) => {
    setOther(word === OTHER);
    choose(word === OTHER ? "" : word);
  };
  return (
    <>
      <Labelled label={named} help={!isOther && help}>
        <select required={needed && !isOther} onChange={(event) => changed(event.currentTarget.value)}>
          {!field.default && <option value="" selected={!isOther && !chosen}>{needed ? "" : t("connect:usual")}</option>}
          {suggestions?.map((each) => (
            <option key={each.value} value={each.value} selected={!isOther && each.value === chosen}>
              {each.label ? `${each.label} · ${each.value}` : each.value}
            </option>
          ))}
          <option value={OTHER} selected={isOther}>{t("connect:other")}</option>
        </select>
      </Labelled>
      {isOther ? (
        <div class="field other">
          <input
            name={key}
            pattern={kind === "url" ? "https?://.+" : undefined}
            required={needed}
            aria-label={`${label}: ${t("connect:other")}`}
            autocomplete="off"
            spellcheck={false}
            value={chosen}
            onInput={(event) => choose(event.currentTarget.value)}
          />
          {help && <small>{help}</small>}
        </div>
      ) : (
        <input type="hidden" name={key} value={chosen} />
      )}
    </>
  );
}

interface FieldInputProps {
  field: api.FieldView;
  value: string;
  isSealed: boolean;
  /** What a word to choose is called, where the field's own texts don't say so. */
  nameOf?: (word: string) => string | undefined;
  /** Another word was chosen. */
  changed?: (word: string) => void;
}

export function FieldInput({ field, value, isSealed, nameOf, changed }: FieldInputProps) {
  const { key, kind, choices, range } = field;
  const { label, help } = aboutOf(field);
  const named = <>{label}{!field.needed && <span class="soft"> · {t("connect:optional")}</span>}</>;
  if (field.suggestions?.length) return <Suggested field={field} value={value} label={label} help={help} named={named} />;
  const common = {
    name: key,
    required: field.needed && !isSealed,
    placeholder: isSealed ? t("connect:unchanged") : (field.default ?? ""),
    autocomplete: kind === "secret" ? "new-password" : "off",
    spellcheck: false,
  };
  let input;
  if (kind === "choice") {
    input = (
      <select name={key} onChange={(event) => changed?.(event.currentTarget.value)}>
        {!field.needed && !field.default && <option value="" selected={!value}>{t("connect:usual")}</option>}
        {choices.map((each) => (
          <option key={each} value={each} selected={each === (value || field.default)}>
            {nameOf?.(each) ?? word("field", `${key}_${each}`, each)}
          </option>
        ))}
      </select>
    );
  } else if (LONG.includes(key)) {
    input = <textarea class={kind === "secret" ? "veiled" : undefined} {...common} rows={4} defaultValue={value} />;
  } else if (kind === "number" && range) {
    input = <input type="number" inputMode="numeric" min={range[0]} max={range[1]} step={1} {...common} defaultValue={value} />;
  } else {
    input = kind === "secret" ? (
      <input type="password" {...common} defaultValue={value} />
    ) : kind === "url" ? (
      <input type="url" pattern="https?://.+" {...common} defaultValue={value} />
    ) : (
      <input {...common} defaultValue={value} />
    );
  }
  return (
    <>
      <Labelled label={named} help={help}>{input}</Labelled>
      {kind === "secret" && isSealed && !field.needed && (
        <Check label={t("connect:forget")}><input type="checkbox" name={`forget ${key}`} /></Check>
      )}
    </>
  );
}

interface FieldsProps {
  service: api.ServiceView;
  settings: Record<string, string | undefined>;
  /** The connection that is changed; nothing for a new one. */
  name?: string;
}

/** A region as this provider has it: those that it is known to have are suggested. */
function regionOf(field: api.FieldView, provider?: api.ProviderView): api.FieldView {
  if (!provider?.regions.length) return field;
  const whose = provider.label.split(" ", 1)[0] ?? "";
  // Another one's region of this value is elsewhere.
  const own = new Map(field.suggestions?.filter(({ label }) => label.startsWith(whose)).map(({ value, label }) => [value, label]));
  return { ...field, suggestions: provider.regions.map((value) => ({ value, label: own.get(value) ?? "" })) };
}

function Fields({ service, settings, name }: FieldsProps) {
  const [chosen, choose] = useState(settings.provider ?? "");
  const provider = service.providers.find((each) => each.name === chosen);
  const fields = service.fields.filter((field) => !BY_SIGN_IN.includes(field.key));
  const input = (field: api.FieldView) => {
    // What was entered for another provider isn't right for this one.
    const value = (field.key === "region" && chosen !== (settings.provider ?? "") ? "" : settings[field.key]) ?? "";
    if (field.key === "provider") {
      const nameOf = (word: string) => service.providers.find((each) => each.name === word)?.label;
      return <FieldInput key="provider" field={field} value={chosen} isSealed={false} nameOf={nameOf} changed={choose} />;
    }
    if (field.key === "region") {
      return <FieldInput key={`region of ${chosen}`} field={regionOf(field, provider)} value={value} isSealed={false} />;
    }
    if (field.kind === "bucket") {
      const account = (form: HTMLFormElement) =>
        isValid(form, field.key) ? { name: name ?? null, service: service.name, entered: enteredIn(form, service, settings) } : null;
      return <Bucket key={field.key} field={field} {...aboutOf(field)} value={value} account={account} />;
    }
    const isSealed = value === SEALED;
    return <FieldInput key={field.key} field={field} value={isSealed ? "" : value} isSealed={isSealed} />;
  };
  return (
    <>
      {fields.filter((field) => isUsual(field, service)).map(input)}
      <details class="more">
        <summary>{t("connect:more")}</summary>
        {fields.filter((field) => !isUsual(field, service)).map(input)}
      </details>
    </>
  );
}

/** What was entered, as far as it isn't as it was. */
function enteredIn(form: HTMLFormElement, service: api.ServiceView, settings: Record<string, string | undefined>): api.Entered {
  const data = new FormData(form);
  const entered: api.Entered = { values: [], secrets: [], schedule: null };
  for (const { key, kind, default: usual } of service.fields) {
    if (!data.has(key)) continue;
    const value = String(data.get(key)).trim();
    if (kind === "secret") {
      if (value) entered.secrets.push([key, value]);
      else if (data.has(`forget ${key}`)) entered.secrets.push([key, ""]);
    } else if (value !== (settings[key] ?? "") && !(value === usual && !settings[key])) {
      entered.values.push([key, value]);
    }
  }
  return entered;
}

/** Whether all is as it has to be, apart from one input; else a person is shown what isn't. */
export function isValid(form: HTMLFormElement, but?: string): boolean {
  const inputs = [...form.querySelectorAll<HTMLInputElement>("input:invalid, textarea:invalid, select:invalid")];
  const wrong = inputs.find((each) => !but || each.name !== but);
  if (!wrong) return true;
  // What is wrong has to be seen.
  for (let at = wrong.closest("details"); at; at = at.parentElement?.closest("details") ?? null) at.open = true;
  wrong.reportValidity();
  return false;
}

/** A name that nothing has yet. */
export function freeName(wanted: string, otherwise: string, taken: string[]): string {
  const bare = wanted.replace(/[^\p{L}\p{N} ._-]/gu, " ").replace(/ +/g, " ").trim() || otherwise;
  for (let count = 1; ; count++) {
    const name = count === 1 ? bare : `${bare} ${count}`;
    if (!taken.includes(name)) return name;
  }
}

/** What names of connections and tasks may be. */
export const NAME_PATTERN = "[\\p{L}\\p{N}._]([\\p{L}\\p{N} ._\\-]{0,62}[\\p{L}\\p{N}._\\-])?";

// The wizard

export function NewConnection() {
  const [service, choose] = useState<api.ServiceView | null>(null);
  const { busy, problem, run } = useWork();
  const pick = (name: string) => run(async () => choose(await ask({ request: "service_show", name })));
  if (service) return <NewForm service={service} back={() => choose(null)} />;
  return (
    <>
      <h1>{t("connect:which")}</h1>
      <Failure problem={problem} />
      <ul class="choices">
        {live.services.map(({ name, label }) => (
          <li key={name}>
            <button type="button" class="choice" disabled={busy} onClick={() => pick(name)}>
              <Icon shape="cloud" />
              <span><strong>{label}</strong><small>{word("service", name, "")}</small></span>
            </button>
          </li>
        ))}
      </ul>
      <p><Link to="connections">{t("do:cancel")}</Link></p>
    </>
  );
}

interface NewFormProps {
  service: api.ServiceView;
  back: () => void;
}

function NewForm({ service, back }: NewFormProps) {
  const form = useRef<HTMLFormElement>(null);
  const { busy, problem, run, fail } = useWork();
  const [tested, setTested] = useState(false);
  const [canForce, setForce] = useState(false);
  const guide = known("guide", service.name);
  const name = freeName(service.label, "Cloud", live.connections.map((each) => each.name));
  // Where a person has yet to sign in, there is nothing to try out before.
  const hasKey = (entered: api.Entered) => !service.sign_in || entered.secrets.some(([key]) => key === service.sign_in_instead);
  const [canTest, setCanTest] = useState(!service.sign_in);
  const submit = (isTried: boolean, isSaved: boolean) => {
    const at = form.current;
    if (!at || !isValid(at)) return;
    const entered = enteredIn(at, service, {});
    setTested(false);
    run(async () => {
      setForce(true);
      if (isTried && hasKey(entered)) await ask({ request: "connection_try", service: service.name, entered });
      if (!isSaved) return setTested(true);
      setForce(false);
      const wanted = String(new FormData(at).get("(name)")).trim();
      await ask({ request: "connection_add", name: wanted, service: service.name, entered });
      await refresh();
      go(`connected/${part(wanted)}`);
    });
  };
  return (
    <form
      ref={form}
      class="card narrow"
      noValidate
      onInput={(event) => {
        setTested(false);
        fail(null);
        setCanTest(hasKey(enteredIn(event.currentTarget, service, {})));
      }}
      onSubmit={(event) => {
        event.preventDefault();
        submit(true, true);
      }}
    >
      <h1>{t("connect:to", service.label)}</h1>
      {guide && <p class="guide">{guide}</p>}
      <Labelled label={t("connect:name")}>
        <input name="(name)" defaultValue={name} required maxLength={64} pattern={NAME_PATTERN} autocomplete="off" />
      </Labelled>
      <Fields service={service} settings={{}} />
      <Failure problem={problem} />
      <p role="status" class="good">{tested && <><Icon shape="check" />{t("connect:tested")}</>}</p>
      <div class="buttons">
        <Button icon="back" onClick={back} disabled={busy}>{t("do:back")}</Button>
        {problem && canForce && <Button onClick={() => submit(false, true)} disabled={busy}>{t("do:save_untested")}</Button>}
        {canTest && <Button onClick={() => submit(true, false)} disabled={busy}>{t("do:test")}</Button>}
        <Button type="submit" class="main" disabled={busy}>{busy ? t("connect:trying") : t("do:connect_now")}</Button>
      </div>
    </form>
  );
}

/** The end of the wizard: signing in where a person does, and what comes next. */
export function Connected({ name }: { name: string }) {
  const connection = live.connections.find((each) => each.name === name);
  const [isIn, setIn] = useState(connection?.signed_in !== false);
  const [page, setPage] = useState<api.Authorization | null>(null);
  const { busy, problem, run } = useWork();
  useEffect(() => {
    if (!isIn) run(async () => setPage(await ask({ request: "connection_authorize", name })));
  }, []);
  const finish = (answer: string) =>
    run(async () => {
      await ask({ request: "connection_authorized", name, answer });
      await ask({ request: "connection_test", name });
      setIn(true);
      await refresh();
    });
  if (!connection) return <Gone to="connections">{t("page:connections")}</Gone>;
  if (isIn) {
    return (
      <section class="card narrow welcome">
        <span class="good large"><Icon shape="check" /></span>
        <h1>{t("connect:done", name)}</h1>
        <p>{t("connect:next")}</p>
        <div class="buttons">
          <Link class="button" to="connections">{t("do:later")}</Link>
          <Link class="button main" to={`new/${part(name)}`}>{t("do:new_task")}</Link>
        </div>
      </section>
    );
  }
  return (
    <form
      class="card narrow"
      onSubmit={(event) => {
        event.preventDefault();
        finish(String(new FormData(event.currentTarget).get("answer")).trim());
      }}
    >
      <h1>{t("page:sign_in_title", labelOf(connection.service))}</h1>
      {page?.needed && <SignInSteps page={page} />}
      <Failure problem={problem} />
      <div class="buttons">
        <Link class="button" to={`connection/${part(name)}`}>{t("do:edit")}</Link>
        <Button type="submit" class="main" disabled={busy || !page}>{t("do:finish")}</Button>
      </div>
    </form>
  );
}

// Changing one

export function ConnectionPage({ name }: { name: string }) {
  const connection = live.connections.find((each) => each.name === name);
  const [service, setService] = useState<api.ServiceView | null>(null);
  const { problem, run } = useWork();
  useEffect(() => {
    if (connection) run(async () => setService(await ask({ request: "service_show", name: connection.service })));
  }, [connection?.service]);
  if (!connection) return <Gone to="connections">{t("page:connections")}</Gone>;
  return (
    <>
      <div class="narrow">
        <h1><Icon shape="cloud" /> {name}</h1>
        <Failure problem={problem} />
      </div>
      {service && <EditForm connection={connection} service={service} />}
    </>
  );
}

/** The key that everything in the encrypted folders of a connection can be read with. */
const KEY = "encryption-key";

async function saveKey(connection: string): Promise<void> {
  const { key, zip } = await ask({ request: "connection_key", name: connection });
  if (zip === null) return saveFile(`${connection}.key`, "text/plain", `${key}\n`);
  // As Cloud Sync names it.
  saveFile("key.zip", "application/zip", Uint8Array.from(atob(zip), (byte) => byte.charCodeAt(0)));
}

function EditForm({ connection, service }: { connection: api.ConnectionView; service: api.ServiceView }) {
  const { name, settings, tasks } = connection;
  const form = useRef<HTMLFormElement>(null);
  const { busy, problem, run, fail } = useWork();
  const [said, say] = useState("");
  const [canForce, setForce] = useState(false);
  // Saved settings are shown anew; what is being entered isn't touched.
  const [shown, show] = useState(settings);
  const submit = (isTried: boolean, isSaved: boolean) => {
    const at = form.current;
    if (!at || !isValid(at)) return;
    const entered = enteredIn(at, service, shown);
    say("");
    run(async () => {
      setForce(isTried && isSaved);
      // Nobody's sign-in can be tried out before there is one.
      if (isTried && connection.signed_in !== false) {
        await ask({ request: "connection_try", name, service: service.name, entered });
      }
      if (!isSaved) return say(t("connect:tested"));
      setForce(false);
      show((await ask({ request: "connection_set", name, entered })).settings);
      say(t("connect:saved"));
      await refresh();
    });
  };
  const remove = async () => {
    const body = <p>{t("connect:remove_loss", name)}</p>;
    if (!(await question(t("connect:remove_title", name), body, t("do:remove"), true))) return;
    await ask({ request: "connection_remove", name });
    go("connections");
    await refresh();
  };
  return (
    <>
      {connection.signed_in != null && (
        <section class="card narrow row">
          <p>{connection.signed_in ? t("connect:signed_in") : t("page:signed_out")}</p>
          <Button
            disabled={busy}
            class={connection.signed_in ? "" : "main"}
            onClick={() => run(async () => {
              if (await signIn(name)) say(t("connect:saved"));
              await refresh();
            })}
          >
            {t("do:sign_in")}
          </Button>
        </section>
      )}
      {shown[KEY] === SEALED && (
        <section class="card narrow">
          <h2>{word("field", KEY)}</h2>
          <p>{t("connect:key_help")}</p>
          <div class="buttons"><Act work={() => saveKey(name)} about={name}>{t("do:save_file")}</Act></div>
        </section>
      )}
      <form
        ref={form}
        key={JSON.stringify(shown)}
        class="card narrow"
        noValidate
        onInput={() => {
          say("");
          fail(null);
        }}
        onSubmit={(event) => {
          event.preventDefault();
          submit(true, true);
        }}
      >
        <h2>{service.label}</h2>
        <Fields service={service} settings={shown} name={name} />
        <Failure problem={problem} />
        <p role="status" class="good">{said && <><Icon shape="check" />{said}</>}</p>
        <div class="buttons">
          <Link class="button" to="connections">{t("do:back")}</Link>
          {problem && canForce && <Button onClick={() => submit(false, true)} disabled={busy}>{t("do:save_untested")}</Button>}
          <Button onClick={() => submit(true, false)} disabled={busy}>{t("do:test")}</Button>
          <Button type="submit" class="main" disabled={busy}>{busy ? t("connect:trying") : t("do:save")}</Button>
        </div>
      </form>
      <Schedule connection={connection} />
      <section class="card narrow row">
        <div>
          {tasks.length > 0 && <><p>{t("page:used_by", tasks.join(", "))}</p><p class="remedy">{t("connect:used_remedy")}</p></>}
        </div>
        <Button class="grave-line" disabled={busy || tasks.length > 0} onClick={() => run(remove)}>{t("do:remove")}</Button>
      </section>
    </>
  );
}

