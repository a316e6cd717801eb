// What several pages are made of.

import { cloneElement, type ComponentChildren, type VNode } from "preact";
import { useEffect, useId, useRef, useState } from "preact/hooks";
import { asProblem, type Problem } from "./call";
import { refresh } from "./live";
import { known, t, word } from "./texts";

const SHAPES = {
  check: "M4 12.5l5.5 5.5L20 7",
  warn: "M12 4l9 16H3zM12 10v4.5M12 17v.5",
  sync: "M5 10a7.5 7.5 0 0 1 13-3l2 2.5M20 5v4.5h-4.5M19 14a7.5 7.5 0 0 1-13 3l-2-2.5M4 19v-4.5h4.5",
  pause: "M8.5 6v12M15.5 6v12",
  play: "M8 5.5v13l10.5-6.5z",
  folder: "M3 7a2 2 0 0 1 2-2h4l2 2.5h8a2 2 0 0 1 2 2V17a2 2 0 0 1-2 2H5a2 2 0 0 1-2-2z",
  cloud: "M7 18.5a4.5 4.5 0 0 1-.5-9 6 6 0 0 1 11.4 1.2A4 4 0 0 1 17.5 18.5z",
  nas: "M5 4h14a1.5 1.5 0 0 1 1.5 1.5v13A1.5 1.5 0 0 1 19 20H5a1.5 1.5 0 0 1-1.5-1.5v-13A1.5 1.5 0 0 1 5 4zM3.5 12h17M7 8h4M7 16h4M16.5 8h.5M16.5 16h.5",
  both: "M4 9h15l-3.5-3.5M20 15H5l3.5 3.5",
  upload: "M4 12h16l-5-5M20 12l-5 5",
  download: "M20 12H4l5-5M4 12l5 5",
  plus: "M12 5v14M5 12h14",
  gear: "M12 8.5a3.5 3.5 0 1 0 0 7 3.5 3.5 0 0 0 0-7zM12 3v3M12 18v3M3 12h3M18 12h3M5.6 5.6l2.1 2.1M16.3 16.3l2.1 2.1M5.6 18.4l2.1-2.1M16.3 7.7l2.1-2.1",
  clock: "M12 3.5a8.5 8.5 0 1 0 0 17 8.5 8.5 0 0 0 0-17zM12 7.5V12l3 2",
  back: "M14.5 5.5L8 12l6.5 6.5",
  in: "M9.5 5.5L16 12l-6.5 6.5",
  up: "M12 19V6M6 11.5L12 5.5l6 6",
} as const;

export type Shape = keyof typeof SHAPES;

export function Icon({ shape }: { shape: Shape }) {
  return (
    <svg class="icon" viewBox="0 0 24 24" aria-hidden="true" focusable="false">
      <path d={SHAPES[shape]} />
    </svg>
  );
}

/** What went wrong: by its kind, in the language of the page, and as the daemon tells it, which is English. */
export function Told({ problem: { kind = "", reason, remedy } }: { problem: Problem }) {
  const [title, advice] = [known("error", kind), known("remedy", kind)];
  const lang = title && "en";
  return (
    <>
      {title && <p><strong>{title}</strong></p>}
      {advice && <p class="remedy">{advice}</p>}
      <p lang={lang}>{reason}</p>
      {remedy && <p lang={lang} class="remedy">{remedy}</p>}
    </>
  );
}

export function Failure({ problem }: { problem: Problem | null }) {
  return <div role="alert">{problem && <div class="banner bad"><Told problem={problem} /></div>}</div>;
}

interface ButtonProps {
  icon?: Shape;
  /** What it concerns, for who can't see where it stands. */
  about?: string;
  children: ComponentChildren;
  class?: string;
  disabled?: boolean;
  autofocus?: boolean;
  /** Whether what it opens is open. */
  expanded?: boolean;
  type?: "button" | "submit";
  onClick?: () => void;
}

export function Button({ icon, about, expanded, children, type = "button", ...rest }: ButtonProps) {
  return (
    <button type={type} aria-label={about && `${children}: ${about}`} aria-expanded={expanded} {...rest}>
      {icon && <Icon shape={icon} />}
      {children}
    </button>
  );
}

export function Link({ to, children, ...rest }: { to: string; children: ComponentChildren; class?: string; "aria-label"?: string }) {
  return <a href={`#/${to}`} {...rest}>{children}</a>;
}

export function go(to: string): void {
  location.hash = `/${to}`;
}

/** A part of an address that may hold any name. */
export const part = encodeURIComponent;

/** Does what takes a while, once at a time, and keeps what went wrong. */
export function useWork(): { busy: boolean; problem: Problem | null; run: (work: () => Promise<unknown>) => Promise<boolean>; fail: (problem: Problem | null) => void } {
  const [busy, setBusy] = useState(false);
  const [problem, fail] = useState<Problem | null>(null);
  const run = async (work: () => Promise<unknown>) => {
    setBusy(true);
    fail(null);
    try {
      await work();
      return true;
    } catch (error) {
      fail(asProblem(error));
      return false;
    } finally {
      setBusy(false);
    }
  };
  return { busy, problem, run, fail };
}

interface DialogProps {
  title: string;
  class?: string;
  /** It was left. */
  done: () => void;
  children: ComponentChildren;
}

/** A dialog that is open for as long as it is there. Then the focus is where it was before. */
export function Dialog({ title, done, children, ...rest }: DialogProps) {
  const at = useRef<HTMLDialogElement>(null);
  const isOpen = useRef(true);
  const id = useId();
  useEffect(() => {
    const dialog = at.current;
    const before = document.activeElement as HTMLElement | null;
    dialog?.showModal();
    return () => {
      isOpen.current = false;
      dialog?.close();
      // Out of the page already, it doesn't do so by itself.
      before?.focus();
    };
  }, []);
  return (
    <dialog ref={at} aria-labelledby={id} onClose={() => isOpen.current && done()} {...rest}>
      <h2 id={id}>{title}</h2>
      {children}
    </dialog>
  );
}

/** Has the browser save a text as a file. */
export function saveFile(name: string, type: string, ...parts: BlobPart[]): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob(parts, { type }));
  link.download = name;
  link.click();
  URL.revokeObjectURL(link.href);
}

/** Instead of what isn't there any more. */
export function Gone({ to = "", children = t("page:overview") }: { to?: string; children?: ComponentChildren }) {
  return <p>{word("error", "not-found")}. <Link to={to}>{children}</Link></p>;
}

// Questions

interface Question {
  title: string;
  body: ComponentChildren;
  yes: string;
  isGrave: boolean;
  answer: (form: FormData | null) => void;
}

let asked: Question | null = null;
let showQuestion = (_: Question | null) => {};

/** Shows a question; the answer is its form, or nothing. */
export function question(title: string, body: ComponentChildren, yes: string, isGrave = false): Promise<FormData | null> {
  return new Promise((answer) => showQuestion({ title, body, yes, isGrave, answer }));
}

export function Questions() {
  const [shown, show] = useState(asked);
  useEffect(() => {
    showQuestion = (question) => show((asked = question));
  }, []);
  const end = (form: FormData | null) => {
    shown?.answer(form);
    show((asked = null));
  };
  if (!shown) return null;
  return (
    <Dialog title={shown.title} done={() => end(null)}>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          end(new FormData(event.currentTarget));
        }}
      >
        {shown.body}
        <div class="buttons">
          <Button autofocus={shown.isGrave} onClick={() => end(null)}>{t("do:cancel")}</Button>
          <Button type="submit" class={shown.isGrave ? "grave" : "main"}>{shown.yes}</Button>
        </div>
      </form>
    </Dialog>
  );
}

// What buttons in lists do: the page tells what went wrong, whichever it was.

let tellProblem = (_: Problem | null) => {};

export function onProblem(listener: (problem: Problem | null) => void): void {
  tellProblem = listener;
}

/** Does something for a person, then looks how everything is. */
export function Act({ work, ...rest }: ButtonProps & { work: () => Promise<unknown> }) {
  const [busy, setBusy] = useState(false);
  const act = async () => {
    setBusy(true);
    try {
      tellProblem(null);
      await work();
    } catch (error) {
      tellProblem(asProblem(error));
    }
    setBusy(false);
    await refresh();
  };
  return <Button {...rest} disabled={busy || rest.disabled} onClick={act} />;
}

/** The picture of a direction: the NAS, the way, the cloud. */
export function Way({ direction }: { direction: "both" | "upload" | "download" }) {
  return (
    <span class="way" aria-hidden="true">
      <Icon shape="nas" />
      <Icon shape={direction} />
      <Icon shape="cloud" />
    </span>
  );
}

interface LabelledProps {
  label: ComponentChildren;
  help?: ComponentChildren;
  /** What is entered into. */
  children: VNode<{ id?: string; "aria-describedby"?: string }>;
}

/** An input with its name, and what to enter, which isn't part of the name. */
export function Labelled({ label, help, children }: LabelledProps) {
  const id = useId();
  return (
    <div class="field">
      <label class="label" for={id}>{label}</label>
      {cloneElement(children, { id, "aria-describedby": help ? `${id}-help` : undefined })}
      {help && <small id={`${id}-help`}>{help}</small>}
    </div>
  );
}

/** Something to tick, likewise. */
export function Check({ label, help, children }: LabelledProps) {
  const id = useId();
  return (
    <div class="check">
      {cloneElement(children, { id, "aria-describedby": help ? `${id}-help` : undefined })}
      <span>
        <label for={id}>{label}</label>
        {help && <small id={`${id}-help`}>{help}</small>}
      </span>
    </div>
  );
}
