// The files that a task removed from this NAS and keeps for a while: looked through, and put back.

import { useEffect, useState } from "preact/hooks";
import type * as api from "./api";
import { ask } from "./call";
import { live, refresh } from "./live";
import { Button, Failure, Gone, Icon, Link, part, useWork } from "./parts";
import { LongList, useOnce } from "./rows";
import { bytes, known, number, t } from "./texts";

interface RemovedProps {
  name: string;
  /** A day, perhaps with a folder behind it; nothing for the days themselves. */
  path: string;
}

export function Removed({ name, path }: RemovedProps) {
  const [view, show] = useState<api.RemovedFiles | null>(null);
  const [back, setBack] = useState("");
  const { busy, problem, run } = useWork();
  const page = (after: string | null) => ask({ request: "removed_files", task: name, path, after });
  useEffect(() => void run(async () => show(await page(null))), []);
  const more = useOnce(async () => {
    if (!view?.next) return;
    await run(async () => {
      const { items, next } = await page(view.next);
      show({ items: view.items.concat(items), next });
    });
  });
  const task = live.tasks.find((each) => each.name === name);
  if (!task) return <Gone />;
  const folder = live.status?.tasks.find((each) => each.name === name)?.recycled?.folder ?? "";
  const to = (inside: string) => `removed/${part(name)}/${part(inside)}`;
  const restore = (file: string) =>
    run(async () => {
      setBack((await ask({ request: "removed_restore", task: name, path: file })).path);
      show({ items: view?.items.filter((each) => `${path}/${each.name}` !== file) ?? [], next: view?.next ?? null });
      await refresh();
    });
  const row = (at: number) => {
    const item = view?.items[at];
    if (!item) return null;
    const inside = path ? `${path}/${item.name}` : item.name;
    return (
      <li key={item.name} class="row">
        {item.kind === "folder" ? (
          <Link to={to(inside)}><Icon shape="folder" /> <bdi>{item.name}</bdi></Link>
        ) : (
          <>
            <span><bdi>{item.name}</bdi> <small>{bytes(item.bytes)}</small></span>
            <Button about={item.name} disabled={busy} onClick={() => restore(inside)}>{t("removed:restore")}</Button>
          </>
        )}
      </li>
    );
  };
  return (
    <section class="card narrow removed">
      <h1>{t("removed:title", name)}</h1>
      <p class="soft">{known("hold", "loss-kept", number(task.recycle_days), folder)}</p>
      {path && (
        <p class="row">
          <bdi>{path}</bdi>
          <Link class="button" to={to(path.slice(0, Math.max(path.lastIndexOf("/"), 0)))}><Icon shape="up" />{t("folders:up")}</Link>
        </p>
      )}
      <Failure problem={problem} />
      <p role="status" class="good">{back && <><Icon shape="check" />{t("removed:restored", back)}</>}</p>
      {view && view.items.length === 0 && <p>{t("folders:nothing")}</p>}
      {view && view.items.length > 0 && <LongList count={view.items.length} row={row} more={more} />}
      <div class="buttons"><Link class="button" to="">{t("do:back")}</Link></div>
    </section>
  );
}
