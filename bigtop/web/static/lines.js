// One line of a log, taken apart: level, fields of JSON, colours of terminals.

import { h } from "./dom.js";

const LEVELS = { debug: 0, info: 1, warning: 2, error: 3 };
const FOUND = /\b(?:(CRITICAL|FATAL|ERROR|SEVERE|PANIC)|(WARN(?:ING)?)|(INFO|NOTICE)|(DEBUG|TRACE))\b/;
const NAMES = { critical: "error", fatal: "error", error: "error", err: "error", warn: "warning", warning: "warning", info: "info", notice: "info", debug: "debug", trace: "debug" };
const ESCAPES = /\u001b\[([0-9;]*)m/g;
// eslint-disable-next-line no-control-regex
const OTHERS = /\u001b(?:\[[0-9;?]*[A-Za-ln-z]|\][^\u0007]*(?:\u0007|\u001b\\)|[()][A-Z0-9])|[\u0000-\u0008\u000b-\u001a\u001c-\u001f\u007f]/g;
const CLOCK = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", fractionalSecondDigits: 3 });
const LONGEST = 4000;

export function levelOf(name) {
  return LEVELS[name] ?? 1;
}

export function read([daemon, watcher, said]) {
  if (said.note) return new Line(daemon, watcher, { line: said.note }, "note");
  return new Line(daemon, watcher, said, null);
}

class Line {
  constructor(daemon, watcher, said, level) {
    this.key = `${daemon}\n${watcher}`;
    this.watcher = watcher || "";
    this.pid = said.pid;
    this.stream = said.stream || "";
    this.at = said.time;
    this.raw = String(said.line ?? "").slice(0, LONGEST);
    this.plain = this.raw.replace(ESCAPES, "").replace(OTHERS, "");
    this.trace = this.plain.startsWith("Traceback (most recent call last)");
    this.fields = fieldsOf(this.plain);
    this.level = level || this.guess();
    this.open = false;
  }

  get time() {
    return this.at ? CLOCK.format(this.at * 1000) : "";
  }

  get stamp() {
    return this.at ? new Date(this.at * 1000).toISOString() : "-";
  }

  guess() {
    const said = this.fields && (this.fields.level ?? this.fields.levelname ?? this.fields.severity ?? this.fields.lvl);
    if (said !== undefined && said !== null) return NAMES[String(said).toLowerCase()] || "info";
    if (this.trace) return "error";
    const found = FOUND.exec(this.plain.slice(0, 200));
    if (!found) return "info";
    return found[1] ? "error" : found[2] ? "warning" : found[3] ? "info" : "debug";
  }

  // Elements for what is seen; made when it is.
  parts() {
    if (this.fields) return fieldParts(this.fields);
    if (!this.raw.includes("\u001b")) return this.plain;
    return coloured(this.raw);
  }
}

function fieldsOf(text) {
  if (!text.startsWith("{") || !text.endsWith("}")) return null;
  try {
    const found = JSON.parse(text);
    return found && typeof found === "object" && !Array.isArray(found) ? found : null;
  } catch {
    return null;
  }
}

const FIRST = ["message", "msg", "event", "text"];
const DULL = new Set([...FIRST, "time", "timestamp", "ts", "@timestamp"]);

function fieldParts(fields) {
  const first = FIRST.find((name) => fields[name] !== undefined);
  const parts = [first ? `${words(fields[first])} ` : ""];
  for (const [name, value] of Object.entries(fields)) {
    if (DULL.has(name)) continue;
    parts.push(h("span", { class: "field" }, " ", h("b", {}, `${name}=`), words(value)));
  }
  return parts;
}

function words(value) {
  return typeof value === "string" ? value : JSON.stringify(value);
}

function coloured(raw) {
  const parts = [];
  let classes = new Set();
  let at = 0;
  const push = (text) => {
    const clean = text.replace(OTHERS, "");
    if (clean) parts.push(classes.size ? h("span", { class: [...classes].join(" ") }, clean) : clean);
  };
  for (const found of raw.matchAll(ESCAPES)) {
    push(raw.slice(at, found.index));
    at = found.index + found[0].length;
    for (const word of (found[1] || "0").split(";")) {
      const code = Number(word);
      if (code === 0) classes = new Set();
      else if ([1, 2, 4].includes(code)) classes.add(`a${code}`);
      else if (code === 22) ["a1", "a2"].forEach((one) => classes.delete(one));
      else if (code === 24) classes.delete("a4");
      else if ((code >= 30 && code <= 39) || (code >= 90 && code <= 97)) {
        classes = new Set([...classes].filter((one) => !/^a3/.test(one)));
        const tone = code >= 90 ? code - 60 : code;
        if (tone > 30 && tone < 37) classes.add(`a${tone}`);
      }
    }
  }
  push(raw.slice(at));
  return parts;
}
