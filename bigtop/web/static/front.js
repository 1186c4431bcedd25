// Overview: one line of verdict, what needs attention, and everything else in a dense grid.

import { h, put, say, mark, Keyed, spark, drawSpark } from "./dom.js";
import { ago, glyph, health, number, percent, rate, short, size } from "./words.js";

export function pathOf(daemon, name) {
  return `#/w/${encodeURIComponent(daemon)}/${encodeURIComponent(name)}`;
}

export function front(console_, root, params) {
  const mark_ = h("span", { class: "level", "aria-hidden": "true" });
  const words = h("h1", { role: "status" });
  const verdict = h("div", { class: "verdict" }, mark_, words);
  const totals = h("dl", { class: "totals" });
  const figures = new Map(["Requests", "CPU", "Memory", "Watchers"].map((name) => [name, h("dd", {})]));
  for (const [name, dd] of figures) totals.append(h("div", {}, h("dt", {}, name), dd));
  const concerns = h("ul", { class: "concerns panel hidden", "aria-label": "What needs attention" });
  const search = h("input", { type: "search", placeholder: "Search watchers   /", "aria-label": "Search watchers", value: params.get("q") || "" });
  const found = h("span", { class: "dim", role: "status" });
  const only = h("input", { type: "checkbox" });
  only.checked = params.get("only") === "trouble";
  const groups = h("div", {});
  put(
    root,
    h("div", { class: "bar between" }, verdict, totals),
    concerns,
    h(
      "section",
      {},
      h("div", { class: "bar" }, h("div", { class: "search" }, search), h("label", { class: "check" }, only, "Only what is not well"), found),
      groups,
    ),
  );

  const listed = new Keyed(concerns, makeConcern, showConcern);
  const grids = new Keyed(groups, makeGroup, () => {});
  let model = null;

  function show(newest) {
    model = newest;
    const { values, tables } = model;
    if (!values.verdict) return;
    mark(verdict, "class", `verdict ${values.verdict.level}`);
    say(mark_, glyph(values.verdict.level));
    say(words, values.verdict.words);
    const daemons = values.daemons || [];
    const sum = (key) => daemons.reduce((all, one) => (one[key] === null ? all : (all || 0) + one[key]), null);
    say(figures.get("Requests"), rate(sum("rate")));
    say(figures.get("CPU"), percent(sum("cpu")));
    say(figures.get("Memory"), size(sum("memory")));
    say(figures.get("Watchers"), number(sum("watchers")));
    listed.show((values.concerns || []).map((one) => [`${one.daemon}\n${one.watcher}\n${one.what.replace(/\d+/g, "")}`, one]));
    concerns.classList.toggle("hidden", !(values.concerns || []).length);
    grid(tables.watchers || new Map(), daemons);
  }

  function grid(rows, daemons) {
    const asked = search.value.trim().toLowerCase();
    const several = daemons.length > 1;
    const by = new Map(daemons.map((one) => [one.name, []]));
    let count = 0;
    for (const [key, row] of rows) {
      const [level, state] = health(row);
      if (only.checked && (level === "good" || level === "off")) continue;
      if (asked && !`${row.name} ${row.daemon} ${state} ${row.kind}`.toLowerCase().includes(asked)) continue;
      by.get(row.daemon)?.push([key, row]);
      count += 1;
    }
    say(found, asked || only.checked ? `${count} of ${rows.size}` : "");
    grids.show(daemons.map((one) => [one.name, one]));
    for (const one of daemons) {
      const group = grids.elements.get(one.name);
      group.querySelector(".heading").classList.toggle("hidden", !several && !one.trouble);
      mark(group.querySelector(".level"), "class", `level ${one.trouble ? "bad" : "good"}`);
      say(group.querySelector(".level"), glyph(one.trouble ? "bad" : "good"));
      const told = one.trouble ? `away: ${one.trouble}` : `${rate(one.rate)} · ${size(one.memory)} · Bigtop ${one.version || ""}`;
      say(group.querySelector(".told"), told);
      group.tiles.show(by.get(one.name));
    }
  }

  function asked() {
    const query = new URLSearchParams();
    if (search.value) query.set("q", search.value);
    if (only.checked) query.set("only", "trouble");
    history.replaceState(null, "", `#/${String(query) ? `?${query}` : ""}`);
    if (model) grid(model.tables.watchers || new Map(), model.values.daemons || []);
  }
  search.addEventListener("input", asked);
  only.addEventListener("change", asked);
  return console_.listen(show);
}

function makeConcern() {
  const link = h("a", { "data-row": true }, h("i", { class: "level" }), h("b", {}), h("span", {}), h("span", { class: "dim num" }));
  return h("li", {}, link);
}

function showConcern(item, one) {
  const link = item.firstChild;
  const [level, name, what, since] = link.children;
  mark(item, "class", one.level);
  mark(level, "class", `level ${one.level}`);
  say(level, glyph(one.level));
  mark(level, "aria-label", one.level === "bad" ? "Problem" : "To look at");
  mark(level, "role", "img");
  say(name, one.watcher || one.daemon);
  say(what, one.what);
  mark(since, "data-since", one.since);
  say(since, one.since ? ago(one.since) : "");
  const pages = { requests: "#/requests", events: `#/events?q=${encodeURIComponent(one.watcher)}`, front: "#/", nodes: "#/nodes", rollouts: "#/rollouts" };
  mark(link, "href", (one.page !== "watcher" && pages[one.page]) || pathOf(one.daemon, one.watcher));
}

function makeGroup(one) {
  const tiles = h("div", { class: "grid" });
  const made = h(
    "section",
    { "aria-label": one.name },
    h("div", { class: "heading" }, h("span", { class: "level", "aria-hidden": "true" }), h("h2", {}, one.name), h("span", { class: "dim told" })),
    tiles,
  );
  made.tiles = new Keyed(tiles, makeTile, showTile);
  return made;
}

function makeTile(row) {
  const link = h(
    "a",
    { href: pathOf(row.daemon, row.name), "data-row": true },
    h("i", { class: "level" }),
    h("span", { class: "name", title: row.name }, row.name),
    h("span", { class: "count" }),
    h("span", { class: "told" }),
  );
  if (row.kind === "app") link.append(spark());
  return link;
}

function showTile(link, row) {
  if (link.row === row) return;
  link.row = row;
  const [level, state] = health(row);
  mark(link, "class", `tile ${level}`);
  const [glyph_, , count, told] = link.children;
  say(glyph_, glyph(level));
  mark(glyph_, "role", "img");
  mark(glyph_, "aria-label", state);
  say(count, row.state === "stopped" ? "stopped" : row.ready === row.wanted ? `× ${row.ready}` : `${row.ready}/${row.wanted}`);
  const figures = row.kind === "app" && row.rate !== null ? [rate(row.rate), `p99 ${short(row.p99)}`] : [percent(row.cpu), size(row.memory)];
  say(told, level === "good" ? figures.join(" · ") : level === "off" ? "" : state);
  const picture = link.children[4];
  if (picture) drawSpark(picture, row.trend || []);
}
