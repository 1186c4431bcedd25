// Pages that are tables: running requests, events, sockets, the audit log.

import { h, put, say, mark, Keyed } from "./dom.js";
import { pathOf } from "./front.js";
import { glyph, moment, number, since, time } from "./words.js";

export function table(columns, label) {
  const body = h("tbody", {});
  const heads = columns.map(([name, kind]) => h("th", { scope: "col", class: kind || null }, name));
  const scroll = h("div", { class: "panel scroll", tabindex: "0", role: "region", "aria-label": label }, h("table", {}, h("thead", {}, h("tr", {}, heads)), body));
  return [scroll, body];
}

export function page(console_, root, title, about, params, columns, make, most = 500) {
  const search = h("input", { type: "search", placeholder: "Search   /", "aria-label": `Search ${title.toLowerCase()}`, value: params.get("q") || "" });
  const count = h("span", { class: "dim", role: "status" });
  const [scroll, body] = table(columns, title);
  const empty = h("p", { class: "empty panel hidden" });
  put(root, h("div", { class: "bar between" }, h("h1", {}, title), h("div", { class: "bar tight" }, count, h("div", { class: "search" }, search))), h("p", { class: "dim" }, about), h("section", {}, scroll, empty));
  const rows = new Keyed(body, ...make);
  let entries = [];
  function show(newest) {
    entries = newest || entries;
    const asked = search.value.trim().toLowerCase();
    const fit = asked ? entries.filter(([, row]) => textOf(row).includes(asked)) : entries;
    rows.show(fit.slice(0, most));
    say(count, asked ? `${fit.length} of ${entries.length}` : entries.length ? number(entries.length) : "");
    scroll.classList.toggle("hidden", !fit.length);
    empty.classList.toggle("hidden", fit.length > 0);
    say(empty, asked ? `Nothing matches “${search.value}”.` : empty.words || "There is nothing.");
  }
  search.addEventListener("input", () => {
    const base = location.hash.split("?")[0];
    history.replaceState(null, "", search.value ? `${base}?q=${encodeURIComponent(search.value)}` : base);
    show();
  });
  return { show, empty };
}

const texts = new WeakMap();

function textOf(row) {
  let text = texts.get(row);
  if (text === undefined) {
    text = JSON.stringify(row).toLowerCase();
    texts.set(row, text);
  }
  return text;
}

// ---- requests

export function requests(console_, root, params) {
  const operates = console_.may("operate");
  const columns = [["For", "num"], ["Request"], ["Watcher"], ["Client"], ["Phase"], ...(operates ? [[""]] : [])];
  const make = (row) => {
    const cells = [
      h("td", { class: "num keep" }, since(row.began)),
      h("td", { class: "grow mono" }, `${row.method} ${row.path}`),
      h("td", { class: "keep" }, h("a", { href: pathOf(row.daemon, row.watcher) }, row.watcher), ` / ${row.wid}`),
      h("td", { class: "keep mono" }, row.client || "–"),
      h("td", { class: "keep" }),
    ];
    if (operates) {
      const stack = h("button", { class: "small", onclick: () => console_.actions.stack(row.daemon, row.target) }, "Stack");
      const end = console_.actions.button("replace", row.daemon, row.watcher, { pid: row.pid }, { small: true, words: "Replace worker" });
      cells.push(h("td", { class: "keep" }, h("div", { class: "bar tight" }, stack, end)));
    }
    return h("tr", { "data-row": true, tabindex: "-1" }, cells);
  };
  const update = (element, row) => say(element.children[4], row.phase === "app" ? "in the application" : row.phase);
  const shown = page(console_, root, "Requests", "What runs at this moment, the longest first.", params, columns, [make, update]);
  shown.empty.words = "No request runs at this moment.";
  shown.show([]);
  return console_.link.watch("requests", {}, (model) => shown.show([...(model.tables.requests || [])]));
}

// ---- events

const LEVELS = { reload_failed: "bad", gave_up: "bad", spawn_failed: "bad", died: "warn", hung: "bad", stuck: "warn", degraded: "warn", hook_failure: "warn", certificate_failed: "bad" };

export function eventRow(one) {
  const level = LEVELS[one.name] || "off";
  const facts = Object.entries(one.facts)
    .filter(([, value]) => value !== null && value !== "" && value !== false)
    .map(([key, value]) => `${key} ${Array.isArray(value) ? value.join(", ") : value}`)
    .join(" · ");
  return h(
    "tr",
    { "data-row": true, tabindex: "-1" },
    h("td", { class: "keep", title: moment(one.at) }, time(one.at)),
    h("td", { class: "keep" }, one.watcher || one.daemon),
    h("td", { class: "keep" }, h("i", { class: `level ${level}`, "aria-hidden": "true" }, level === "off" ? "" : glyph(level)), ` ${one.name.replaceAll("_", " ")}`),
    h("td", { class: "grow dim" }, facts),
  );
}

export function events(console_, root, params) {
  const shown = page(console_, root, "Events", "What happened since the console started, the newest first.", params, [["Time"], ["Watcher"], ["Event"], ["What is known of it"]], [eventRow, () => {}]);
  shown.empty.words = "Nothing has happened yet.";
  let entries = [];
  let count = 0;
  shown.show([]);
  return console_.link.watch("events", {}, (_, news) => {
    for (const one of news.events || []) entries.unshift([`${count++}`, one]);
    entries = entries.slice(0, 2000);
    shown.show(entries);
  });
}

// ---- sockets

export function sockets(console_, root, params) {
  const make = (row) =>
    h(
      "tr",
      { "data-row": true, tabindex: "-1" },
      h("td", { class: "mono keep" }, row.address),
      h("td", { class: "keep" }, row.daemon),
      h("td", { class: "grow" }, row.served.length ? row.served.map((name) => [h("a", { href: pathOf(row.daemon, name) }, name), " "]) : "–"),
      h("td", { class: "num" }),
      h("td", { class: "num" }),
      h("td", { class: "num" }),
    );
  const update = (element, row) => {
    say(element.children[3], row.backlog === null ? "–" : `${row.waiting} of ${row.backlog}`);
    say(element.children[4], number(row.reads));
    say(element.children[5], number(row.accepted));
  };
  const columns = [["Address"], ["Daemon"], ["Served by"], ["Waiting", "num"], ["Accepted per second", "num"], ["Accepted so far", "num"]];
  const shown = page(console_, root, "Sockets", "Where connections come in, and how many wait to be accepted.", params, columns, [make, update]);
  shown.empty.words = "No daemon holds a socket open.";
  shown.show([]);
  return console_.link.watch("sockets", {}, (model) => shown.show([...(model.tables.sockets || [])]));
}

// ---- audit

export function audit(console_, root, params) {
  const make = (one) =>
    h(
      "tr",
      { "data-row": true, tabindex: "-1" },
      h("td", { class: "keep", title: moment(one.at) }, moment(one.at)),
      h("td", { class: "keep" }, one.who),
      h("td", { class: "keep dim" }, `${one.role}, by ${one.how}`),
      h("td", { class: "keep mono" }, one.from),
      h("td", {}, one.daemon),
      h("td", { class: "grow" }, `${one.what}${one.words ? ` – ${one.words}` : ""}`),
      h("td", { class: "keep" }, one.state),
    );
  const columns = [["Time"], ["Who"], ["Role"], ["From"], ["Daemon"], ["What"], ["Outcome"]];
  const shown = page(console_, root, "Audit", "Who did what, the newest first. The whole log is a file of the console.", params, columns, [make, () => {}]);
  shown.show([]);
  return console_.link.watch("audit", {}, (model) => shown.show((model.values.audit || []).map((one) => [`${one.at} ${one.state} ${one.what}`, one])));
}
