// Logs: what several watchers write, merged, as it comes.
//
// Rules: what a line says is text and nothing else. Ten thousand lines are kept, and as many elements are there
// as can be seen. What was dropped is told where it is missing.

import { h, put, fill, say, mark } from "./dom.js";
import { read, levelOf } from "./lines.js";

const KEPT = 10_000;
const HEIGHT = 20;

export function logs(console_, root, params) {
  const chosen = new Set(params.getAll("w"));
  const search = h("input", { type: "text", placeholder: "Find a watcher", "aria-label": "Find a watcher" });
  const list = h("ul", {});
  const filter = h("input", { type: "search", placeholder: "Filter, a regular expression   /", "aria-label": "Filter lines", value: params.get("q") || "", spellcheck: "false" });
  const stream = h("select", { "aria-label": "Stream" }, ["stdout and stderr", "stdout", "stderr"].map((name) => h("option", {}, name)));
  const least = h("select", { "aria-label": "Level" }, ["all levels", "info", "warning", "error"].map((name) => h("option", {}, name)));
  const pause = h("button", { "aria-pressed": "false", onclick: () => setPaused(!paused) }, "Pause");
  const download = h("button", { onclick: () => save() }, "Download");
  const lines = h("div", { class: "lines", tabindex: "0", role: "log", "aria-live": "off", "aria-label": "Lines" });
  const tall = h("div", { class: "tall" });
  const empty = h("p", { class: "empty" });
  lines.append(empty, tall);
  const count = h("span", { role: "status" });
  const follow = h("button", { class: "plain hidden", onclick: () => toEnd() }, "To the newest");
  put(
    root,
    h("h1", { class: "hidden" }, "Logs"),
    h(
      "div",
      { class: "logs" },
      h("div", { class: "panel sources", role: "group", "aria-label": "Watchers" }, h("div", {}, search), list),
      h("div", { class: "panel paper" }, h("div", { class: "bar" }, filter, stream, least, pause, download), lines, h("div", { class: "foot" }, count, follow)),
    ),
  );

  let kept = []; // all lines
  let shown = []; // those that are looked for, folded
  let dropped = 0;
  let paused = false;
  let waiting = [];
  let following = true;
  let pattern = null;
  let due = false;
  let stop = null;
  let names = new Map(); // key -> row
  const colours = new Map();
  const traces = new Map(); // those that are not over, by source: processes write at the same time
  const pool = [];

  // ---- which watchers

  function choose(model) {
    const rows = model.tables.watchers || new Map();
    const same = rows.size === names.size && [...rows.keys()].every((key) => names.has(key));
    names = rows;
    if (!same) showNames();
  }
  function showNames() {
    const asked = search.value.trim().toLowerCase();
    const several = console_.me.daemons.length > 1;
    const found = [...names].filter(([key, row]) => chosen.has(key) || row.name.toLowerCase().includes(asked)).slice(0, 300);
    fill(
      list,
      found.map(([key, row]) => {
        const box = h("input", { type: "checkbox", onchange: () => toggle(key, box.checked) });
        box.checked = chosen.has(key);
        return h("li", {}, h("label", { title: row.name }, box, h("span", {}, several ? `${row.daemon} / ${row.name}` : row.name)));
      }),
    );
  }
  function toggle(key, is) {
    if (is) chosen.add(key);
    else chosen.delete(key);
    remember();
    open();
  }
  function remember() {
    const query = new URLSearchParams();
    for (const key of chosen) query.append("w", key);
    if (filter.value) query.set("q", filter.value);
    history.replaceState(null, "", `#/logs${String(query) ? `?${query}` : ""}`);
  }
  function open() {
    stop?.();
    stop = null;
    kept = [];
    waiting = [];
    dropped = 0;
    traces.clear();
    if (chosen.size) {
      const watchers = [...chosen].slice(0, 50).map((key) => key.split("\n"));
      stop = console_.link.watch("logs", { watchers }, heard);
    }
    sift();
  }

  // ---- lines

  function heard(message) {
    if (message.refused) {
      kept.push(read([null, null, { note: message.refused }], KEPT));
      return sift();
    }
    if (!message.lines) return;
    const news = [];
    const lost = (count) => {
      dropped += count;
      news.push({ told: true, text: `${count} lines were dropped: they came faster than they could be shown` });
    };
    if (message.dropped) lost(message.dropped);
    for (const one of message.lines) {
      if (one[2].lost) lost(one[2].lost);
      else news.push(one);
    }
    if (paused) {
      waiting.push(...news);
      if (waiting.length > KEPT) waiting.splice(0, waiting.length - KEPT);
      return later();
    }
    take(news);
  }
  function take(news) {
    const start = Math.max(0, news.length - KEPT);
    for (let n = start; n < news.length; n++) {
      const line = news[n].told ? news[n] : read(news[n]);
      const source = `${line.key}\n${line.pid}\n${line.stream}`;
      const trace = traces.get(source);
      if (trace && joins(trace, line)) {
        (trace.below ||= []).push(line);
        if (trace.open) return sift(news.slice(n + 1));
        continue;
      }
      traces.delete(source);
      if (line.trace) traces.set(source, line);
      kept.push(line);
      if (fits(line)) shown.push(line);
    }
    if (kept.length > KEPT) {
      kept.splice(0, kept.length - KEPT);
      const first = kept[0];
      const at = shown.indexOf(first);
      if (at > 0) shown.splice(0, at);
      else if (at < 0) return sift();
    }
    later();
  }
  // Lines of one traceback hang together: they are one, which can be opened.
  function joins(last, line) {
    if (line.told || last.ended || last.below?.length > 200) return false;
    if (/^\s/.test(line.plain)) return true;
    if (line.plain.trim() === "" || /^(During handling|The above exception|Traceback)/.test(line.plain)) return true;
    last.ended = true;
    last.reason = line.plain;
    last.level = "error";
    return true;
  }
  function fits(line) {
    if (line.told) return true;
    if (stream.selectedIndex && line.stream !== stream.value && line.stream) return false;
    if (least.selectedIndex && levelOf(line.level) < least.selectedIndex) return false;
    if (!pattern) return true;
    return pattern.test(line.plain) || Boolean(line.below?.some((one) => pattern.test(one.plain)));
  }
  function sift(rest = []) {
    shown = [];
    for (const line of kept) {
      if (!fits(line)) continue;
      shown.push(line);
      if (line.open) shown.push(...(line.below || []));
    }
    if (rest.length) return take(rest);
    later();
  }

  // ---- what can be seen

  function later() {
    if (due) return;
    due = true;
    requestAnimationFrame(() => {
      due = false;
      paint();
    });
  }
  function paint() {
    tall.style.height = `${shown.length * HEIGHT}px`;
    empty.classList.toggle("hidden", shown.length > 0);
    say(empty, !chosen.size ? "Choose watchers to see what they write." : kept.length ? "No line matches." : "Nothing was written so far.");
    if (following && !paused) lines.scrollTop = shown.length * HEIGHT;
    const first = Math.max(0, Math.floor(lines.scrollTop / HEIGHT) - 10);
    const last = Math.min(shown.length, Math.ceil((lines.scrollTop + lines.clientHeight) / HEIGHT) + 10);
    for (let n = 0; n < Math.max(last - first, pool.length); n++) {
      const line = shown[first + n];
      if (n >= last - first) {
        pool[n].classList.add("hidden");
        continue;
      }
      if (!pool[n]) {
        pool[n] = h("div", { class: "line" });
        tall.append(pool[n]);
      }
      draw(pool[n], line);
      pool[n].style.top = `${(first + n) * HEIGHT}px`;
    }
    const words = [`${shown.length === kept.length ? "" : `${shown.length} of `}${kept.length} lines`];
    if (dropped) words.push(`${dropped} dropped`);
    if (paused && waiting.length) words.push(`${waiting.length} new`);
    say(count, words.join(" · "));
    follow.classList.toggle("hidden", following || !shown.length);
  }
  function draw(element, line) {
    const key = line.below ? line.below.length : 0;
    if (element.line === line && element.below === key && element.was === line.open) return element.classList.remove("hidden");
    element.line = line;
    element.below = key;
    element.was = line.open;
    if (line.told) {
      element.className = "line told";
      return fill(element, line.text);
    }
    element.className = `line ${line.level}`;
    if (!colours.has(line.key)) colours.set(line.key, `w${colours.size % 6}`);
    const several = chosen.size > 1;
    const fold = line.trace && line.below?.length;
    const open_ = fold
      ? h("button", { class: "plain", "aria-expanded": String(Boolean(line.open)), onclick: () => unfold(line) }, `${line.open ? "▾" : "▸"} ${line.below.length} lines`)
      : null;
    fill(
      element,
      h("time", {}, line.time),
      several ? h("span", { class: `who ${colours.get(line.key)}`, title: line.watcher }, line.watcher) : null,
      line.stream === "stderr" ? h("span", { class: "err", title: "stderr" }, "E") : h("span", { class: "dim", "aria-hidden": "true" }, " "),
      open_,
      h("span", { class: "words" }, fold && !line.open && line.reason ? line.reason : line.parts()),
    );
  }
  function unfold(line) {
    line.open = !line.open;
    following = false;
    sift();
  }
  function toEnd() {
    following = true;
    if (paused) setPaused(false);
    later();
  }
  function setPaused(is) {
    paused = is;
    mark(pause, "aria-pressed", String(is));
    say(pause, is ? "Go on" : "Pause");
    if (!is) {
      const news = waiting;
      waiting = [];
      take(news);
    }
    later();
  }
  function save() {
    const all = kept.filter(fits).flatMap((line) => [line, ...(line.below || [])]);
    const text = all.map((line) => (line.told ? `# ${line.text}` : `${line.stamp} ${line.watcher} ${line.stream || ""} ${line.plain}`)).join("\n");
    const url = URL.createObjectURL(new Blob([text, "\n"], { type: "text/plain" }));
    const link = h("a", { href: url, download: `bigtop-${new Date().toISOString().slice(0, 19).replaceAll(":", "")}.log` });
    link.click();
    setTimeout(() => URL.revokeObjectURL(url), 1000);
  }
  function refilter() {
    pattern = null;
    try {
      if (filter.value) pattern = new RegExp(filter.value, "i");
      mark(filter, "aria-invalid", null);
    } catch {
      mark(filter, "aria-invalid", "true");
    }
    remember();
    sift();
  }
  function pressed(event) {
    if (event.key !== " " || event.target.matches("input, select, button, textarea") || document.querySelector("dialog[open]")) return;
    event.preventDefault();
    setPaused(!paused);
  }
  lines.addEventListener("scroll", () => {
    following = lines.scrollTop + lines.clientHeight >= lines.scrollHeight - 2 * HEIGHT;
    later();
  });
  filter.addEventListener("input", refilter);
  stream.addEventListener("change", sift);
  least.addEventListener("change", sift);
  search.addEventListener("input", showNames);
  addEventListener("keydown", pressed);
  addEventListener("resize", later);
  const unlisten = console_.listen(choose);
  if (filter.value) refilter();
  open();
  return () => {
    stop?.();
    unlisten();
    removeEventListener("keydown", pressed);
    removeEventListener("resize", later);
  };
}
