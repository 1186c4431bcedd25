// One watcher or application: figures, charts, its processes and what each does now, and what can be done.

import { h, put, fill, say, mark, Keyed } from "./dom.js";
import { Chart } from "./chart.js";
import { eventRow, table } from "./tables.js";
import { ago, glyph, health, number, percent, rate, short, since as from, size, span, time } from "./words.js";

const SPANS = [
  ["10 min", 600],
  ["1 h", 3600],
  ["6 h", 21600],
];

export function watcher(console_, root, daemon, name, params) {
  const operates = console_.may("operate");
  const glyph_ = h("i", { class: "level", role: "img" });
  const state = h("span", { class: "dim" });
  const place = console_.me.daemons.length > 1 ? `${daemon} / ` : "";
  const buttons = h("div", { class: "bar", role: "group", "aria-label": "Actions" });
  const trouble = h("p", { class: "error hidden", role: "alert" });
  const stats = h("dl", { class: "stats" });
  const boxes = new Map();
  const charts = h("div", { class: "charts" });
  const spans = h("div", { class: "bar", role: "group", "aria-label": "Time shown" });
  const workers = h("section", {});
  const deploy = h("section", { class: "hidden", "aria-label": "Deploy" });
  const code = h("section", { class: "hidden" });
  const routes = h("section", { class: "hidden" });
  const happened = h("section", { class: "hidden" });
  const links = h("div", { class: "bar" }, h("a", { href: `#/logs?w=${encodeURIComponent(`${daemon}\n${name}`)}` }, "Logs"), h("a", { href: `#/events?q=${encodeURIComponent(name)}` }, "Events"));
  if (operates) links.append(h("a", { href: `#/config?d=${encodeURIComponent(daemon)}&w=${encodeURIComponent(name)}` }, "Configuration"));
  put(
    root,
    h("div", { class: "bar between" }, h("div", { class: "crumbs" }, h("a", { href: "#/" }, "Overview"), h("span", { class: "dim" }, "/ ", place), glyph_, h("h1", {}, name), state), buttons),
    trouble,
    stats,
    h("section", {}, h("div", { class: "bar between" }, spans, links), charts),
    deploy,
    workers,
    code,
    routes,
    happened,
  );

  let pictures = [];
  let points = [];
  let columns = null;
  let shown = Number(params.get("span")) || 600;
  let kind = null;
  let back = null;
  let start = null;
  let stop = null;
  const tables = {};

  for (const [words, seconds] of SPANS) {
    const button = h("button", { class: "small", "aria-pressed": String(seconds === shown), onclick: () => choose(seconds) }, words);
    button.seconds = seconds;
    spans.append(button);
  }
  function choose(seconds) {
    shown = seconds;
    for (const button of spans.children) mark(button, "aria-pressed", String(button.seconds === seconds));
    history.replaceState(null, "", `${location.hash.split("?")[0]}${seconds === 600 ? "" : `?span=${seconds}`}`);
    draw();
  }
  function draw() {
    for (const picture of pictures) picture.show(points, shown);
  }

  function begin(row) {
    kind = row.kind;
    const act = console_.actions;
    if (operates && kind !== "helper") {
      fill(
        buttons,
        act.button("reload", daemon, name),
        h("button", { onclick: () => act.scale(daemon, latest) }, "Scale"),
        kind === "app" ? (back = act.button("rollback", daemon, name)) : null,
        act.button("restart", daemon, name),
        (stop = act.button("stop", daemon, name)),
        (start = act.button("start", daemon, name)),
      );
      if (back) back.disabled = true;
    }
    const tones = ["--accent", "--bad"];
    const app = kind === "app";
    pictures = [
      app && new Chart("Requests per second", [["answered", "rate", tones[0], rate], ["errors (5xx)", "errors", tones[1], rate]], columns, { axis: (value) => number(value) }),
      app && new Chart("Time to answer", [["p50", "p50", tones[0], short], ["p99", "p99", "--warn", short]], columns, { axis: short, least: 0.001 }),
      new Chart("CPU, % of a core", [["CPU", "cpu", tones[0], percent]], columns, { axis: (value) => number(value) }),
      new Chart("Memory", [["memory", "memory", tones[0], size]], columns, { axis: size, least: 1 << 20 }),
    ].filter(Boolean);
    fill(charts, pictures.map((picture) => picture.element));
    const heads = [["#", "num"], ["Process", "num"], ["State"], ["Code", "num"], ["CPU", "num"], ["Memory", "num"], ["Runs for", "num"], [app ? "Doing now" : ""], ...(operates ? [[""]] : [])];
    const [scroll, body] = table(heads, "Processes");
    fill(workers, h("div", { class: "heading" }, h("h2", {}, app ? "Workers" : "Processes")), scroll);
    tables.workers = new Keyed(body, makeWorker, showWorker);
    const names = app ? ["Requests", "Errors (5xx)", "p99", "Busy", "Waiting", "CPU", "Memory", "Restarts"] : ["Processes", "CPU", "Memory", "Restarts", "Lines dropped"];
    for (const word of names) {
      const value = h("span", {});
      const about = h("small", {});
      boxes.set(word, [value, about]);
      stats.append(h("div", { class: "stat panel" }, h("dt", {}, word), h("dd", {}, value, about)));
    }
  }

  function makeWorker(row) {
    const acts = h("div", { class: "bar tight" });
    if (operates && row.pid) {
      put(
        acts,
        h("button", { class: "small", onclick: () => console_.actions.stack(daemon, row.target) }, "Stack"),
        console_.actions.button("replace", daemon, name, { pid: row.pid }, { small: true }),
        h("button", { class: "small", onclick: () => console_.actions.signal(daemon, name, row.pid) }, "Signal"),
      );
    }
    const since = h("td", { class: "num keep" }, from(row.began));
    return h(
      "tr",
      { "data-row": true, tabindex: "-1" },
      h("td", { class: "num" }, row.wid),
      h("td", { class: "num" }, row.pid),
      h("td", { class: "keep" }),
      h("td", { class: "num" }, row.generation ?? "–"),
      h("td", { class: "num keep" }),
      h("td", { class: "num keep" }),
      since,
      h("td", { class: "grow" }),
      operates ? h("td", { class: "keep" }, acts) : null,
    );
  }

  function showWorker(element, row) {
    const cells = element.children;
    say(cells[2], row.state);
    say(cells[4], percent(row.cpu));
    say(cells[5], size(row.memory));
    const key = JSON.stringify(row.doing) + row.more + row.about;
    if (element.doing === key) return;
    element.doing = key;
    const told = row.doing.map((one) =>
      h("div", { class: "doing" }, h("span", { class: "mono" }, one.what), h("span", { class: "dim keep" }, from(one.began), one.state === "app" ? "" : ` ${one.state}`)),
    );
    fill(cells[7], told.length ? told : h("span", { class: "dim" }, row.about || (kind === "app" && row.state === "ready" ? "idle" : "")), row.more ? h("div", { class: "dim" }, `and ${row.more} more`) : null);
  }

  let latest = null;
  function show(model, news) {
    const row = model.values.watcher;
    columns = model.values.columns || columns;
    for (const point of news?.points || []) points.push(point);
    if (points.length > 8000) points = points.slice(-6000);
    if (!row) {
      say(state, model.refused || (row === null ? "is not there" : "…"));
      return;
    }
    latest = row;
    if (kind === null) begin(row);
    const [level, words] = health(row);
    mark(glyph_, "class", `level ${level}`);
    mark(glyph_, "aria-label", words);
    say(glyph_, glyph(level));
    say(state, row.state === "stopped" ? "stopped" : `${words}, ${row.ready} of ${row.wanted} ${row.kind === "app" ? "workers" : "processes"} ready`);
    start?.classList.toggle("hidden", row.state !== "stopped");
    stop?.classList.toggle("hidden", row.state === "stopped");
    trouble.classList.toggle("hidden", !row.trouble);
    say(trouble, row.trouble ? `${daemon} does not answer: what you see is old. ${row.trouble}` : "");
    figures(row);
    tables.workers.show(row.workers.map((one) => [one.key, one]));
    draw();
    showRoutes(row.routes);
    showDeploy(model.values.deploy);
  }

  function figures(row) {
    const ten = row.windows["10"] || {};
    const put_ = (word, value, about = "") => {
      if (!boxes.has(word)) return;
      say(boxes.get(word)[0], value);
      say(boxes.get(word)[1], about);
    };
    const exits = Object.entries(row.exits).map(([reason, count]) => `${reason} ${count}`).join(", ");
    put_("Requests", rate(row.rate), row.requests === null ? "" : `${number(row.requests)} so far`);
    put_("Errors (5xx)", rate(row.errors), row.error_count === null ? "" : `${number(row.error_count)} so far`);
    put_("p99", short(row.p99), ten.latency ? `p50 ${short(ten.latency.p50)}` : "of the last 10 s");
    put_("Busy", row.places ? `${row.calls ?? 0} of ${row.places}` : "–", "calls at once");
    put_("Waiting", number(row.queue), ten.queue ? `p99 ${short(ten.queue.p99)}` : "requests");
    put_("Processes", `${row.ready} of ${row.wanted}`, `${row.starts} starts so far`);
    put_("CPU", percent(row.cpu), "of one core");
    put_("Memory", size(row.memory), "PSS where known");
    put_("Restarts", number(row.restarts), exits || "nothing ended");
    put_("Lines dropped", number(row.dropped), "of the output");
  }

  function showRoutes(found) {
    routes.classList.toggle("hidden", !found.length);
    if (!found.length) return;
    if (!tables.routes) {
      const [scroll, body] = table([["Route"], ["Requests", "num"], ["p99", "num"], [""]], "Routes");
      fill(routes, h("div", { class: "heading" }, h("h2", {}, "Routes"), h("span", { class: "dim" }, "of the last ten seconds")), scroll);
      tables.routes = new Keyed(
        body,
        (one) => h("tr", { "data-row": true, tabindex: "-1" }, h("td", { class: "grow mono" }, one.route), h("td", { class: "num" }), h("td", { class: "num" }), h("td", { class: "dim" })),
        (element, one) => {
          say(element.children[1], rate(one.rate));
          say(element.children[2], short(one.p99));
          say(element.children[3], one.about);
        },
      );
    }
    tables.routes.show(found.map((one) => [one.route, one]));
  }

  // The newest deploy, step by step.
  function showDeploy(one) {
    deploy.classList.toggle("hidden", !one);
    if (!one) return;
    if (!tables.deploy) {
      const title = h("h2", {});
      const told = h("span", { class: "dim" });
      const undo = operates && kind === "app" ? console_.actions.button("rollback", daemon, name, {}, { small: true }) : null;
      const list = h("ol", { class: "steps panel" });
      const reason = h("p", { class: "error" });
      fill(deploy, h("div", { class: "heading" }, title, told, undo), list, reason);
      const step = () => h("li", {}, h("i", { class: "level", role: "img" }), h("b", {}), h("span", {}), h("span", { class: "dim num" }));
      tables.deploy = { title, told, undo, list, reason, rows: new Keyed(list, step, showStep) };
    }
    const { title, told, undo, list, reason, rows } = tables.deploy;
    say(title, `Deploy of generation ${one.generation}`);
    const ends = { running: "under way", done: "done", failed: `failed${one.kept ? `: generation ${one.kept} goes on` : ""}` };
    say(told, `${ends[one.state]}${one.ended ? `, ${time(one.ended)}` : ""}`);
    undo?.classList.toggle("hidden", one.state !== "running");
    list.classList.toggle("hidden", !one.steps.length);
    say(reason, one.reason);
    reason.classList.toggle("hidden", !one.reason);
    rows.show(one.steps.map((step) => [step.what, step]));
  }
  function showStep(element, one) {
    const [glyph_, what, about, took] = element.children;
    const level = { running: "busy", done: "good", failed: "bad" }[one.state];
    mark(glyph_, "class", `level ${level}`);
    mark(glyph_, "aria-label", one.state);
    say(glyph_, glyph(level));
    say(what, one.what);
    say(about, one.about);
    mark(took, "data-since", one.state === "running" ? one.began : null);
    say(took, one.state === "running" ? (one.began ? ago(one.began) : "") : one.began && one.ended ? span(one.ended - one.began) : "");
  }

  // Which code there is.
  function showCode(model) {
    const found = (model.values.generations || []).filter((one) => one.watcher === name);
    if (back) back.disabled = found.length < 2;
    code.classList.toggle("hidden", !found.length || kind !== "app");
    if (!found.length || kind !== "app") return;
    if (!tables.code) {
      const [scroll, body] = table([["Code", "num"], ["State"], ["Workers", "num"], ["Memory of its fork server", "num"], [""]], "Generations");
      fill(code, h("div", { class: "heading" }, h("h2", {}, "Code"), h("span", { class: "dim" }, "each reload makes a new generation")), scroll);
      const words = { current: "serves", new: "is on trial", kept: "is kept to go back to" };
      tables.code = new Keyed(
        body,
        (one) => h("tr", { "data-row": true, tabindex: "-1" }, h("td", { class: "num" }, one.generation), h("td", { class: "keep" }), h("td", { class: "num" }), h("td", { class: "num" }, size(one.memory)), h("td", { class: "grow" })),
        (element, one) => {
          say(element.children[1], words[one.state] || one.state);
          say(element.children[2], one.processes);
          say(element.children[3], size(one.memory));
        },
      );
    }
    tables.code.show(found.map((one) => [one.generation, one]));
  }

  // What happened to it lately.
  const word = name.toLowerCase().replace(/[\s.]/g, "_");
  let last = [];
  let count = 0;
  function showEvents(_, news) {
    for (const one of news.events || []) {
      if (one.daemon === daemon && one.watcher === word && one.name !== "hook_success") last.unshift([`${count++}`, one]);
    }
    last = last.slice(0, 12);
    happened.classList.toggle("hidden", !last.length);
    if (!last.length) return;
    if (!tables.events) {
      const [scroll, body] = table([["Time"], ["Watcher"], ["Event"], ["What is known of it"]], "Events");
      fill(happened, h("div", { class: "heading" }, h("h2", {}, "What happened lately")), scroll);
      tables.events = new Keyed(body, eventRow, () => {});
    }
    tables.events.show(last);
  }

  const ends = [
    console_.link.watch("watcher", { daemon, watcher: name }, show),
    console_.link.watch("generations", { daemon }, showCode),
    console_.link.watch("events", {}, showEvents),
  ];
  return () => {
    for (const end of ends) end();
    for (const picture of pictures) picture.end();
  };
}

