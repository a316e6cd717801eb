// Settings of the program as a whole, for administrators: also to be kept, taken over, and looked at when something is
// wrong.

import { useEffect, useState } from "preact/hooks";
import type * as api from "./api";
import { ask } from "./call";
import { Folder } from "./folders";
import { live, refresh } from "./live";
import { Button, Check, Failure, Icon, Labelled, question, saveFile, useWork } from "./parts";
import { t, word } from "./texts";

const LEVELS: api.Level[] = ["error", "warn", "info", "debug", "trace"];
/** The word for the state folder. */
const DEFAULT = "default";

export function Settings() {
  const [settings, set] = useState<api.SettingsView | null>(null);
  const [place, setPlace] = useState("");
  const [isSaved, setSaved] = useState(false);
  const { busy, problem, run } = useWork();
  useEffect(() => {
    run(async () => {
      const found = await ask({ request: "settings" });
      set(found);
      setPlace(found.state_location);
    });
  }, []);
  const save = (data: FormData) =>
    run(async () => {
      const change = async (key: string, value: string) => {
        const found = await ask({ request: "settings_set", key, value });
        set(found);
        return found;
      };
      await change("transfers", String(data.get("transfers")));
      await change("history", String(data.get("history")));
      await change("admin-mode", data.has("admin-mode") ? "on" : "off");
      if (data.get("log-level") !== settings?.log_level) await change("log-level", String(data.get("log-level")));
      if (place !== settings?.state_location) setPlace((await change("state-location", place || DEFAULT)).state_location);
      setSaved(true);
    });
  return (
    <>
      <form
        class="card narrow"
        onInput={() => setSaved(false)}
        onSubmit={(event) => {
          event.preventDefault();
          save(new FormData(event.currentTarget));
        }}
      >
        <h1>{t("page:settings")}</h1>
        {settings && (
          <>
            <Labelled label={t("settings:transfers")} help={t("settings:transfers_help")}>
              <input type="number" name="transfers" min={1} max={20} required defaultValue={settings.transfers} />
            </Labelled>
            <Labelled label={t("settings:history")} help={t("settings:history_help")}>
              <input type="number" name="history" min={5} max={100_000} required defaultValue={settings.history} />
            </Labelled>
            <Labelled label={t("settings:log_level")}>
              <select name="log-level" lang="en">
                {LEVELS.map((each) => <option key={each} selected={each === settings.log_level}>{each}</option>)}
              </select>
            </Labelled>
            <Folder
              where={{ local: true }}
              label={t("settings:location")}
              help={t("settings:location_help")}
              optional
              value={place}
              change={(path) => {
                setSaved(false);
                setPlace(path);
              }}
            />
            <Check label={t("settings:admin_mode")} help={t("settings:admin_mode_help")}>
              <input type="checkbox" name="admin-mode" defaultChecked={settings.admin_mode} />
            </Check>
          </>
        )}
        <Failure problem={problem} />
        <p role="status" class="good">{isSaved && <><Icon shape="check" />{t("connect:saved")}</>}</p>
        <div class="row">
          <p class="soft">Mooring {live.session?.version}</p>
          <Button type="submit" class="main" disabled={busy || !settings}>{t("do:save")}</Button>
        </div>
      </form>
      <Export />
      <Import />
      <Diagnostics />
    </>
  );
}

const saveDocument = (name: string, document: unknown) =>
  saveFile(name, "application/json", `${JSON.stringify(document, null, 2)}\n`);

function Export() {
  const { busy, problem, run } = useWork();
  const save = (password: string) =>
    run(async () => saveDocument("mooring-settings.json", await ask({ request: "export", password: password || null })));
  return (
    <form
      class="card narrow"
      onSubmit={(event) => {
        event.preventDefault();
        save(String(new FormData(event.currentTarget).get("password")));
      }}
    >
      <h2>{t("settings:export")}</h2>
      <Labelled label={t("settings:secrets")} help={t("settings:secrets_help")}>
        <input type="password" name="password" minLength={8} autocomplete="new-password" />
      </Labelled>
      <Failure problem={problem} />
      <div class="buttons"><Button type="submit" disabled={busy}>{t("do:save_file")}</Button></div>
    </form>
  );
}

function Import() {
  const [isDone, setDone] = useState(false);
  const { busy, problem, run } = useWork();
  const take = (data: FormData) =>
    run(async () => {
      setDone(false);
      const document: unknown = JSON.parse(await (data.get("file") as File).text());
      const request = { request: "import", document, password: String(data.get("password")) || null } as const;
      const lines = await ask({ ...request, apply: false });
      if (!(await question(t("settings:import"), <Outlook lines={lines} />, t("do:save")))) return;
      await ask({ ...request, apply: true });
      setDone(true);
      await refresh();
    });
  return (
    <form
      class="card narrow"
      onSubmit={(event) => {
        event.preventDefault();
        take(new FormData(event.currentTarget));
      }}
    >
      <h2>{t("settings:import")}</h2>
      <p class="soft">{t("settings:import_help")}</p>
      <Labelled label={t("settings:file")}>
        <input type="file" name="file" accept=".json,application/json" required />
      </Labelled>
      <Labelled label={t("settings:secrets")}>
        <input type="password" name="password" autocomplete="off" />
      </Labelled>
      <Failure problem={problem} />
      <p role="status" class="good">{isDone && <><Icon shape="check" />{t("connect:saved")}</>}</p>
      <div class="buttons"><Button type="submit" disabled={busy}>{t("do:preview")}</Button></div>
    </form>
  );
}

/** What becomes of each thing in a document. */
function Outlook({ lines }: { lines: api.ImportLine[] }) {
  return (
    <ul class="outlook">
      {lines.map(({ thing, name, fate, detail }) => (
        <li key={`${thing}/${name}`} class={fate === "refuse" ? "held" : undefined}>
          <Icon shape={fate === "refuse" ? "warn" : fate === "same" ? "check" : "plus"} />
          <span>
            {thing === "settings" ? t("page:settings") : t(thing === "task" ? "lines:task" : "task:connection")}{" "}
            <strong>{name}</strong> · {word("fate", fate)}
            {detail && <small lang="en">{detail}</small>}
          </span>
        </li>
      ))}
    </ul>
  );
}

function Diagnostics() {
  const { busy, problem, run } = useWork();
  const save = (names: boolean) =>
    run(async () => saveDocument("mooring-diagnostics.json", await ask({ request: "diagnostics", names })));
  return (
    <form
      class="card narrow"
      onSubmit={(event) => {
        event.preventDefault();
        save(!new FormData(event.currentTarget).has("no-names"));
      }}
    >
      <h2>{t("settings:diagnostics")}</h2>
      <p class="soft">{t("settings:diagnostics_help")}</p>
      <Check label={t("settings:no_names")}>
        <input type="checkbox" name="no-names" />
      </Check>
      <Failure problem={problem} />
      <div class="buttons"><Button type="submit" disabled={busy}>{t("do:save_file")}</Button></div>
    </form>
  );
}
