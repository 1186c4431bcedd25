// Configuration: how a watcher is described, without secrets; and reading the file again.

import { h, put, fill, say, Keyed } from "./dom.js";
import { table } from "./tables.js";

export function config(console_, root, params) {
  const daemons = console_.me.daemons;
  const daemon = h("select", { "aria-label": "Daemon" }, daemons.map((name) => h("option", { selected: name === params.get("d") }, name)));
  const name = h("select", { "aria-label": "Watcher" });
  const search = h("input", { type: "search", placeholder: "Search options   /", "aria-label": "Search options" });
  const again = console_.may("admin") ? h("button", { onclick: () => console_.actions.reloadConfig(daemon.value) }, "Read the file again…") : null;
  const [scroll, body] = table([["Option"], ["Value"]], "Options");
  const told = h("p", { class: "empty panel" }, "Choose a watcher.");
  scroll.classList.add("hidden");
  put(
    root,
    h("div", { class: "bar between" }, h("h1", {}, "Configuration"), h("div", { class: "bar" }, daemons.length > 1 ? daemon : null, name, h("div", { class: "search" }, search), again)),
    h("p", { class: "dim" }, "As it is now. What looks like a secret is masked here; it is not sent to the browser."),
    h("section", {}, scroll, told),
  );
  const rows = new Keyed(
    body,
    ([key]) => h("tr", { "data-row": true, tabindex: "-1" }, h("th", { scope: "row", class: "mono" }, key), h("td", { class: "grow mono" })),
    (element, [, value]) => say(element.children[1], typeof value === "string" ? value : JSON.stringify(value)),
  );
  let wanted = params.get("w");
  let options = [];

  function choose(model) {
    const found = [...(model.tables.watchers || new Map()).values()].filter((row) => row.daemon === daemon.value).map((row) => row.name);
    if (found.join("\n") === [...name.options].map((one) => one.value).join("\n")) return;
    fill(name, found.map((one) => h("option", { selected: one === wanted }, one)));
    load();
  }
  async function load() {
    if (!name.value) return;
    wanted = name.value;
    history.replaceState(null, "", `#/config?d=${encodeURIComponent(daemon.value)}&w=${encodeURIComponent(wanted)}`);
    try {
      const said = await console_.caller.act(daemon.value, "options", { name: wanted });
      options = Object.entries(said.reply.options).sort(([a], [b]) => (a < b ? -1 : 1));
      show();
    } catch (problem) {
      options = [];
      show(problem.message);
    }
  }
  function show(problem = "") {
    const asked = search.value.trim().toLowerCase();
    const fit = options.filter((one) => JSON.stringify(one).toLowerCase().includes(asked));
    rows.show(fit.map((one) => [one[0], one]));
    scroll.classList.toggle("hidden", !fit.length);
    told.classList.toggle("hidden", fit.length > 0);
    say(told, problem || "No option matches.");
  }
  daemon.addEventListener("change", () => {
    name.replaceChildren();
    if (console_.latest) choose(console_.latest);
  });
  name.addEventListener("change", load);
  search.addEventListener("input", () => show());
  return console_.listen(choose);
}
