// Settings of the program as a whole, for administrators.

import { useEffect, useState } from "preact/hooks";
import type * as api from "./api";
import { ask } from "./call";
import { live } from "./live";
import { Button, Check, Failure, Icon, Labelled, useWork } from "./parts";
import { t } from "./texts";

export function Settings() {
  const [settings, set] = useState<api.SettingsView | null>(null);
  const [isSaved, setSaved] = useState(false);
  const { busy, problem, run } = useWork();
  useEffect(() => {
    run(async () => set(await ask({ request: "settings" })));
  }, []);
  const save = (data: FormData) =>
    run(async () => {
      const change = async (key: string, value: string) => set(await ask({ request: "settings_set", key, value }));
      await change("transfers", String(data.get("transfers")));
      await change("history", String(data.get("history")));
      await change("admin-mode", data.has("admin-mode") ? "on" : "off");
      setSaved(true);
    });
  return (
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
  );
}
