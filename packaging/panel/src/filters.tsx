// Files that a task leaves out: by their extensions, which become patterns, and by their size.

import { useState } from "preact/hooks";
import { Labelled } from "./parts";
import { t } from "./texts";

/** A pattern that an extension stands for: one without anything that means something else. */
const OF_EXTENSION = /^\*\.([^*?[\]\s,;/]+)$/;

/** A unit and its bytes. */
type Unit = [string, number];

const MEGABYTES: Unit = ["MB", 2 ** 20];
const UNITS: Unit[] = [MEGABYTES, ["GB", 2 ** 30], ["TB", 2 ** 40]];

/** The patterns that words and lines stand for. */
export function patternsOf(extensions: string, names: string): string[] {
  const words = extensions.split(/[\s,;]+/).map((word) => word.replace(/^\*?\.?/, "")).filter(Boolean);
  const lines = names.split("\n").map((line) => line.trim()).filter(Boolean);
  return [...new Set([...words.map((word) => `*.${word}`), ...lines])];
}

/** Patterns as words and lines. */
export function wordsOf(patterns: string[]): { extensions: string; names: string } {
  const words = patterns.flatMap((each) => OF_EXTENSION.exec(each)?.[1] ?? []);
  return { extensions: words.join(" "), names: patterns.filter((each) => !OF_EXTENSION.test(each)).join("\n") };
}

interface SizeProps {
  /** Bytes; 0 for no limit. */
  value: number;
  change: (bytes: number) => void;
}

/** The size beyond which files are left out, at first in the largest unit of which it is a multiple. */
export function SizeLimit({ value, change }: SizeProps) {
  const fitting = UNITS.findLast(([, size]) => value > 0 && value % size === 0) ?? MEGABYTES;
  const [[unit, size], choose] = useState<Unit>(fitting);
  const [text, setText] = useState(String(value / size));
  const enter = (text: string, [unit, size]: Unit) => {
    setText(text);
    choose([unit, size]);
    change(Math.round(Number(text) * size));
  };
  return (
    <div class="field size">
      <Labelled label={t("task:max_size")} help={t("task:max_size_help")}>
        <input
          type="number"
          min={0}
          max={2 ** 50 / size}
          step="any"
          required
          value={text}
          onInput={(event) => enter(event.currentTarget.value, [unit, size])}
        />
      </Labelled>
      <select
        aria-label={t("task:max_size_unit")}
        onChange={(event) => enter(text, UNITS[event.currentTarget.selectedIndex] ?? MEGABYTES)}
      >
        {UNITS.map(([each]) => <option key={each} selected={each === unit}>{each}</option>)}
      </select>
    </div>
  );
}
