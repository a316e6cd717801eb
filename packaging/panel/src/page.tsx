// The panel: what is shown where.

import { useEffect, useReducer, useRef, useState } from "preact/hooks";
import { asProblem, login, type Problem } from "./call";
import { Connected, ConnectionPage, Connections, NewConnection } from "./connections";
import { Failed } from "./glance";
import { History } from "./history";
import { live, needsLogin, onNews, tick } from "./live";
import { Overview } from "./overview";
import { Button, Failure, Labelled, Link, onProblem, Questions, Told } from "./parts";
import { Removed } from "./removed";
import { Settings } from "./settings";
import { start } from "./start";
import { FirstSync, NewTask, TaskPage } from "./tasks";
import { t } from "./texts";
import { Tray } from "./tray";
import "./page.css";

function useRoute(): string[] {
  const [hash, set] = useState(location.hash);
  useEffect(() => {
    const changed = () => set(location.hash);
    addEventListener("hashchange", changed);
    // It may have changed while the page was drawn.
    changed();
    return () => removeEventListener("hashchange", changed);
  }, []);
  return hash.replace(/^#\/?/, "").split("/").map(decodeURIComponent);
}

function Body({ route: [place = "", name = "", path = ""] }: { route: string[] }) {
  switch (place) {
    case "connect":
      return <NewConnection />;
    case "connected":
      return <Connected name={name} key={name} />;
    case "connection":
      return <ConnectionPage name={name} key={name} />;
    case "new":
      return <NewTask connection={name} />;
    case "task":
      return <TaskPage name={name} key={name} />;
    case "first":
      return <FirstSync name={name} key={name} />;
    case "removed":
      return <Removed name={name} path={path} key={`${name}/${path}`} />;
    case "history":
      return <History />;
    case "settings":
      return live.session?.administrator ? <Settings /> : <Overview />;
    case "connections":
      return <Connections />;
    default:
      return <Overview />;
  }
}

/** Where something is entered, which mustn't get lost while there is no answer. */
const FORMS = ["connect", "connected", "connection", "new", "task", "settings"];

const PLACES: [string, string[]][] = [
  ["", ["", "new", "task", "first", "removed"]],
  ["connections", ["connections", "connection", "connect", "connected"]],
  ["history", ["history"]],
  ["settings", ["settings"]],
];

function Navigation({ place }: { place: string }) {
  const names = [t("page:overview"), t("page:connections"), t("page:history"), t("page:settings")];
  // The last is for administrators.
  const shown = PLACES.slice(0, live.session?.administrator ? PLACES.length : -1);
  return (
    <nav>
      {shown.map(([to, places], at) => (
        <a key={to} href={`#/${to}`} aria-current={places.includes(place) ? "page" : undefined}>{names[at]}</a>
      ))}
    </nav>
  );
}

function Login() {
  const [problem, fail] = useState<Problem | null>(null);
  const input = useRef<HTMLInputElement>(null);
  useEffect(() => input.current?.focus(), []);
  const submit = async (form: HTMLFormElement) => {
    try {
      await login(String(new FormData(form).get("password")));
      await tick();
    } catch (error) {
      fail({ ...asProblem(error), kind: "login" });
      form.reset();
    }
  };
  return (
    <form
      class="card narrow"
      onSubmit={(event) => {
        event.preventDefault();
        submit(event.currentTarget);
      }}
    >
      <Failure problem={problem} />
      <Labelled label={t("page:password")}>
        <input ref={input} type="password" name="password" autocomplete="current-password" required />
      </Labelled>
      <div class="buttons"><Button type="submit" class="main">{t("do:sign_in")}</Button></div>
    </form>
  );
}

function Page() {
  const [, again] = useReducer((count: number) => count + 1, 0);
  const [problem, setProblem] = useState<Problem | null>(null);
  const route = useRoute();
  useEffect(() => {
    onNews(() => again(undefined));
    onProblem(setProblem);
    tick();
  }, []);
  useEffect(() => {
    setProblem(null);
    scrollTo(0, 0);
    document.querySelector<HTMLElement>("main")?.focus();
  }, [route.join("/")]);
  const place = route[0] ?? "";
  const isIn = live.status && !needsLogin();
  return (
    <>
      <header>
        <Link to="" class="brand"><img src="images/mooring-32.png" alt="" width="24" height="24" />Mooring</Link>
        {isIn && <Navigation place={place} />}
        <span class="user">
          {live.session?.user && <span>{live.session.user}</span>}
          <a href="help/index.html" target="_blank" rel="noopener">{t("page:help")}</a>
        </span>
      </header>
      <main tabIndex={-1}>
        <div role="alert">
          {problem && (
            <div class="banner bad">
              <Told problem={problem} />
              <Button onClick={() => setProblem(null)}>{t("do:dismiss")}</Button>
            </div>
          )}
        </div>
        {needsLogin() ? <Login /> : live.failure && <Failed problem={live.failure} />}
        {isIn && (!live.failure || FORMS.includes(place)) && <Body route={route} />}
      </main>
      <Questions />
    </>
  );
}

start(<Page />, <Tray />);
