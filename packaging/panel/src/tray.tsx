// The small view for a corner of the desktop: how everything is, what is sent and fetched now, and what waits.

import { useEffect, useReducer } from "preact/hooks";
import type * as api from "./api";
import { Failed, Progress, State, Summary } from "./glance";
import { live, needsLogin, onNews, tick } from "./live";
import { Icon, onProblem, Told } from "./parts";

const CALM = ["idle", "paused", "suspended"];

function Task({ task: { name, state, message, code, progress } }: { task: api.LiveTask }) {
  return (
    <li>
      <h3>{name}<State state={state} /></h3>
      {progress ? <Progress name={name} progress={progress} /> : message && <Told problem={{ kind: code ?? undefined, reason: message }} />}
    </li>
  );
}

export function Tray() {
  const [, again] = useReducer((count: number) => count + 1, 0);
  useEffect(() => {
    onNews(() => again(undefined));
    onProblem((problem) => {
      if (problem) live.failure = problem;
      again(undefined);
    });
    tick();
  }, []);
  const { status, failure } = live;
  const isIn = status && !needsLogin();
  const stirring = status?.tasks.filter((task) => !CALM.includes(task.state)) ?? [];
  return (
    <main class="tray">
      <h1 class="hidden">Mooring</h1>
      {failure && !needsLogin() && <Failed problem={failure} />}
      {isIn && !failure && (
        <>
          <Summary status={status} />
          <ul>{stirring.map((task) => <Task key={task.name} task={task} />)}</ul>
        </>
      )}
      {/* Its own page: what is small has no room for forms. */}
      <p><a class="button" href="index.html" target="_blank" rel="noopener"><Icon shape="nas" />Mooring</a></p>
    </main>
  );
}
