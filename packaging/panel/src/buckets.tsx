// The bucket of a connection: entered, or chosen from those that the key may see, and made in place.

import type { ComponentChildren } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import type * as api from "./api";
import { ask } from "./call";
import { Button, Dialog, Failure, Icon, Labelled, useWork } from "./parts";
import { t } from "./texts";

/** Whose buckets they are: what a person has entered until now, and the connection that it changes. */
export interface Account {
  name: string | null;
  service: string;
  entered: api.Entered;
}

interface PickerProps {
  /** What they are called. */
  title: string;
  account: Account;
  done: (bucket: string | null) => void;
}

function Picker({ title, account, done }: PickerProps) {
  const [view, show] = useState<api.BucketsView | null>(null);
  const [name, setName] = useState("");
  const { busy, problem, run } = useWork();
  useEffect(() => {
    run(async () => show(await ask({ request: "buckets", ...account })));
  }, []);
  const wanted = name.trim();
  const create = () =>
    run(async () => done((await ask({ request: "bucket_make", ...account, bucket: wanted })).bucket));
  return (
    <Dialog class="picker" title={title} done={() => done(null)}>
      <ul class="folders" aria-busy={busy} aria-label={title}>
        {view?.buckets.map((each) => (
          <li key={each}>
            <button type="button" disabled={busy} onClick={() => done(each)}><Icon shape="cloud" />{each}</button>
          </li>
        ))}
        {view && view.buckets.length === 0 && <li class="soft">{t("folders:nothing")}</li>}
        {view?.more && <li class="soft">{t("folders:more")}</li>}
      </ul>
      <Failure problem={problem} />
      <div class="row">
        <Labelled label={t("items:new_name")}>
          <input
            value={name}
            maxLength={63}
            autocomplete="off"
            spellcheck={false}
            onInput={(event) => setName(event.currentTarget.value)}
            onKeyDown={(event) => {
              if (event.key === "Enter") {
                event.preventDefault();
                if (wanted) create();
              }
            }}
          />
        </Labelled>
        <Button icon="plus" disabled={busy || !wanted} onClick={create}>{t("folders:make")}</Button>
      </div>
      <div class="buttons"><Button onClick={() => done(null)}>{t("do:cancel")}</Button></div>
    </Dialog>
  );
}

interface BucketProps {
  field: api.FieldView;
  label: string;
  help: ComponentChildren;
  value: string;
  /** What is entered beside it; nothing while that can't be. */
  account: (form: HTMLFormElement) => Account | null;
}

/** A bucket's name, to be entered or chosen. */
export function Bucket({ field: { key, needed }, label, help, value, account }: BucketProps) {
  const input = useRef<HTMLInputElement>(null);
  const [chosenFrom, choose] = useState<Account | null>(null);
  const done = (bucket: string | null) => {
    choose(null);
    const at = input.current;
    if (!bucket || !at) return;
    at.value = bucket;
    at.dispatchEvent(new Event("input", { bubbles: true }));
  };
  return (
    <div class="field folder">
      <Labelled label={label} help={help}>
        <input ref={input} name={key} required={needed} defaultValue={value} autocomplete="off" spellcheck={false} />
      </Labelled>
      <Button icon="cloud" about={label} onClick={() => input.current?.form && choose(account(input.current.form))}>{t("folders:browse")}</Button>
      {chosenFrom && <Picker title={label} account={chosenFrom} done={done} />}
    </div>
  );
}
