// Pages of a cluster: its nodes below one line of verdict, and rollouts wave by wave.

import { h, put, say, mark, Keyed } from "./dom.js";
import { page } from "./tables.js";
import { DASH, glyph, number, rate, short } from "./words.js";

const STATES = { alive: "good", changing: "busy", suspect: "warn", refused: "bad", lost: "bad" };

function share(value) {
  if (value === null || value === undefined) return DASH;
  return value > 0 && value < 0.0995 ? `${(value * 100).toFixed(1)} %` : `${Math.round(value * 100)} %`;
}

function verdictLine() {
  const level = h("span", { class: "level", "aria-hidden": "true" });
  const words = h("p", { role: "status" });
  const line = h("div", { class: "verdict" }, level, words);
  const show = (told) => {
    mark(line, "class", `verdict ${told.level}`);
    say(level, glyph(told.level));
    say(words, told.words);
  };
  return [line, show];
}

// ---- nodes

export function nodes(console_, root, params) {
  const operates = console_.may("operate");
  const columns = [["Node"], ["State"], ["Revision"], ["Busy", "num"], ["Requests", "num"], ["5xx", "num"], ["p99", "num"], ["Tags"], ["What is known of it"], ...(operates ? [[""]] : [])];
  const make = (row) =>
    h(
      "tr",
      { "data-row": true, tabindex: "-1" },
      h("td", { class: "keep" }, h("b", {}, row.name)),
      h("td", { class: "keep" }, h("i", { class: "level", "aria-hidden": "true" }), h("span", {})),
      h("td", { class: "keep" }),
      h("td", { class: "num" }),
      h("td", { class: "num" }),
      h("td", { class: "num" }),
      h("td", { class: "num" }),
      h("td", { class: "dim" }),
      h("td", { class: "grow dim" }),
      operates ? h("td", { class: "keep" }, h("button", { class: "small", onclick: () => cordon(console_, row.name, made(row.name)) })) : null,
    );
  let known = new Map();
  const made = (name) => known.get(name)?.cordoned;
  const update = (element, row) => {
    if (element.row === row) return;
    element.row = row;
    const cells = element.children;
    const level = STATES[row.state] || "asked";
    mark(cells[1].firstChild, "class", `level ${level}`);
    say(cells[1].firstChild, glyph(level));
    say(cells[1].lastChild, ` ${row.state}${row.cordoned ? ", cordoned" : ""}`);
    say(cells[2], row.revision || DASH);
    say(cells[3], row.busy === null ? DASH : `${row.busy} of ${row.places}`);
    say(cells[4], rate(row.rate));
    say(cells[5], share(row.errors));
    say(cells[6], short(row.p99));
    say(cells[7], row.tags.join(", "));
    say(cells[8], row.about);
    if (operates) say(cells[9].firstChild, row.cordoned ? "Uncordon" : "Cordon");
  };
  const about = "Every machine of the cluster, those first that need a look. A node says how it is each five seconds.";
  const shown = page(console_, root, "Nodes", about, params, columns, [make, update], 1000);
  const [line, verdict] = verdictLine();
  const totals = h("p", { class: "dim" });
  const concerns = h("ul", { class: "concerns panel hidden", "aria-label": "What needs attention" });
  root.children[1].before(line, totals, concerns);
  const listed = new Keyed(concerns, makeConcern, showConcern);
  shown.empty.words = "No node has joined yet.";
  shown.show([]);
  return console_.link.watch("nodes", {}, (model) => {
    const { values, tables } = model;
    if (!values.verdict) return;
    verdict(values.verdict);
    const sums = values.totals;
    const away = values.trouble ? `As it was: ${values.trouble}. ` : "";
    const leads = values.leader ? `${values.leader.name} leads, epoch ${values.leader.epoch} · ` : "";
    say(totals, sums ? `${away}${leads}${sums.heard} of ${sums.nodes} nodes heard · ${sums.busy} of ${sums.places} places busy · ${rate(sums.rate)} · ${share(sums.errors)} errors` : "");
    const found = values.concerns || [];
    listed.show(found.length > 1 ? found.map((one) => [one.what, one]) : []);
    concerns.classList.toggle("hidden", found.length < 2);
    known = tables.nodes || new Map();
    shown.show([...known]);
  });
}

function makeConcern() {
  const link = h("a", { "data-row": true }, h("i", { class: "level" }), h("b", {}), h("span", {}));
  return h("li", {}, link);
}

function showConcern(item, one) {
  const [level, name, what] = item.firstChild.children;
  mark(item, "class", one.level);
  mark(level, "class", `level ${one.level}`);
  mark(level, "role", "img");
  mark(level, "aria-label", one.level === "bad" ? "Problem" : "To look at");
  say(level, glyph(one.level));
  say(name, one.app || "nodes");
  say(what, one.what);
  mark(item.firstChild, "href", one.app ? "#/rollouts" : "#/nodes");
}

function cordon(console_, node, is_cordoned) {
  console_.actions.ask(is_cordoned ? "uncordon" : "cordon", console_.me.cluster, node, { node });
}

// ---- rollouts

export function rollouts(console_, root) {
  const list = h("div", { class: "rollouts" });
  const empty = h("p", { class: "empty panel hidden" }, "Nothing has been applied yet: bigtop cluster apply FILE");
  const trouble = h("p", { class: "error", role: "status" });
  put(root, h("h1", {}, "Rollouts"), h("p", { class: "dim" }, "The last rollout of each application, wave by wave. Where one fails, the old revision comes back."), trouble, list, empty);
  const shown = new Keyed(list, (row) => makeRollout(row), (element, row) => showRollout(console_, element, row));
  return console_.link.watch("rollouts", {}, (model) => {
    const rows = [...(model.tables.rollouts || [])];
    shown.show(rows);
    say(trouble, model.values.trouble || "");
    empty.classList.toggle("hidden", rows.length > 0 || !model.values.is_known);
  });
}

function makeRollout(row) {
  const heading = h("div", { class: "heading" }, h("i", { class: "level", "aria-hidden": "true" }), h("h2", {}, row.app), h("span", { class: "told" }));
  const waves = h("ol", { class: "waves" });
  const made = h(
    "section",
    { class: "panel rollout", "aria-label": row.app, "data-row": true, tabindex: "-1" },
    h("div", { class: "bar between" }, heading, h("div", { class: "bar tight buttons" })),
    h("p", { class: "reason" }),
    h("p", { class: "dim mono what" }),
    waves,
  );
  made.waves = new Keyed(waves, () => h("li", {}, h("b", {}), h("progress", { max: 1 }), h("span", {}), h("span", { class: "dim" })), showWave);
  return made;
}

function showRollout(console_, element, row) {
  if (element.row === row) return;
  element.row = row;
  const level = element.querySelector(".level");
  mark(level, "class", `level ${row.level}`);
  say(level, glyph(row.level));
  say(element.querySelector(".told"), row.words);
  say(element.querySelector(".reason"), row.reason);
  const code = row.artifact ? `revision ${row.stable}: ${row.artifact} ${row.hash.slice(0, 19)}` : "";
  say(element.querySelector(".what"), code);
  element.waves.show(row.waves.map((wave) => [wave.number, wave]));
  const can = console_.may("operate") ? row.can.join(" ") : "";
  const buttons = element.querySelector(".buttons");
  if (buttons.dataset.can === can) return; // who is about to press one keeps it
  buttons.dataset.can = can;
  buttons.replaceChildren();
  for (const what of can ? row.can : []) put(buttons, console_.actions.button(what, console_.me.cluster, row.app, { app: row.app }));
}

function showWave(item, wave) {
  const [name, bar, told, failed] = item.children;
  mark(item, "class", wave.at);
  mark(item, "aria-current", wave.at === "now" ? "step" : null);
  say(name, `Wave ${wave.number}`);
  mark(bar, "value", wave.nodes ? (wave.healthy + wave.failures) / wave.nodes : 0);
  mark(bar, "aria-label", `Wave ${wave.number}`);
  say(told, `${number(wave.healthy)} of ${number(wave.nodes)} healthy${wave.failures ? `, ${number(wave.failures)} failed` : ""}`);
  say(failed, wave.failed.map(([node, outcome]) => `${node} ${outcome}`).join(", "));
}
