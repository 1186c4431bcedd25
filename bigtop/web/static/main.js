// The console: who is logged in, which page is shown, keys.

import { h, put, fill, say, mark } from "./dom.js";
import { Link, Caller } from "./link.js";
import { glyph, tick } from "./words.js";
import { Actions, showKeys } from "./actions.js";
import { front } from "./front.js";
import { watcher } from "./watcher.js";
import { requests, events, sockets, audit } from "./tables.js";
import { logs } from "./logs.js";
import { config } from "./config.js";
import { nodes, rollouts } from "./cluster.js";

const PAGES = [
  ["", "Overview", front],
  ["nodes", "Nodes", nodes, "cluster"],
  ["rollouts", "Rollouts", rollouts, "cluster"],
  ["requests", "Requests", requests],
  ["logs", "Logs", logs],
  ["events", "Events", events],
  ["sockets", "Sockets", sockets],
  ["config", "Configuration", config, "operate"],
  ["audit", "Audit", audit, "admin"],
];
const ROLES = ["view", "operate", "admin"];

class Console {
  constructor(me) {
    this.me = me;
    this.caller = new Caller(me.token);
    this.main = document.getElementById("main");
    this.bar = document.getElementById("top");
    this.verdict = h("span", { class: "level asked", "aria-hidden": "true" }, glyph("asked"));
    this.state = h("span", { class: "live", "data-state": "away" }, h("i", { "aria-hidden": "true" }, "◌"), h("span", {}, "connecting"));
    this.links = new Map();
    this.header();
    this.link = new Link((state) => this.connected(state), () => this.expired());
    this.actions = new Actions(this);
    this.latest = null;
    this.listeners = new Set();
    this.link.watch("front", {}, (model) => this.news(model));
    this.link.watch("progress", {}, (_, news) => this.actions.progress(news.progress || []));
    this.moved = () => this.route();
    this.pressed = (event) => this.key(event);
    addEventListener("hashchange", this.moved);
    addEventListener("keydown", this.pressed);
    this.ticking = setInterval(() => tick(), 1000);
    this.route();
  }

  may(role) {
    if (role === "cluster") return Boolean(this.me.cluster);
    return ROLES.indexOf(this.me.role) >= ROLES.indexOf(role);
  }

  header() {
    const nav = h("nav", { "aria-label": "Pages" });
    for (const [path, name, , role] of PAGES) {
      if (role && !this.may(role)) continue;
      const link = h("a", { href: `#/${path}` }, name);
      this.links.set(path, link);
      nav.append(link);
    }
    const who = h("span", { class: "dim wide-only", title: `You may ${this.me.role}` }, `${this.me.name} · ${this.me.role}`);
    const out = h("button", { class: "plain", onclick: () => this.leave() }, "Log out");
    const brand = h("a", { class: "brand", href: "#/", "aria-label": "Bigtop, overview" }, h("img", { src: "/static/icon.svg", alt: "" }), "Bigtop");
    fill(this.bar, brand, nav, h("div", { class: "right" }, this.state, who, out));
  }

  // What every page may know: the state of the front page.
  news(model) {
    this.latest = model;
    for (const listener of this.listeners) listener(model);
    const verdict = model.values.verdict;
    if (verdict) {
      const bad = (model.values.concerns || []).length;
      document.title = `${bad ? `(${bad}) ` : ""}${this.title ? `${this.title} – ` : ""}Bigtop`;
    }
  }

  listen(show) {
    this.listeners.add(show);
    if (this.latest) show(this.latest);
    return () => this.listeners.delete(show);
  }

  connected(state) {
    mark(this.state, "data-state", state);
    say(this.state.firstChild, { live: "●", polling: "▲", away: "■" }[state]);
    say(this.state.lastChild, { live: "live", polling: "slower", away: "no line" }[state]);
    this.state.title = {
      live: "Connected: the newest figures come by themselves",
      polling: "No WebSocket gets through: the console is asked every two seconds, and logs are not to be had",
      away: "The console does not answer; it is tried again",
    }[state];
  }

  route() {
    const [path, query] = location.hash.replace(/^#\/?/, "").split("?");
    const parts = path.split("/").map(decodeURIComponent);
    const params = new URLSearchParams(query || "");
    this.close?.();
    this.close = null;
    this.main.replaceChildren();
    scrollTo(0, 0);
    const found = PAGES.find(([name, , , role]) => name === parts[0] && (!role || this.may(role)));
    for (const [name, link] of this.links) mark(link, "aria-current", name === parts[0] ? "page" : null);
    if (parts[0] === "w" && parts.length === 3) {
      this.title = parts[2];
      this.close = watcher(this, this.main, parts[1], parts[2], params);
    } else if (found) {
      this.title = found[0] ? found[1] : "";
      this.close = found[2](this, this.main, params, parts.slice(1));
    } else {
      put(this.main, h("h1", {}, "There is nothing here"), h("p", {}, h("a", { href: "#/" }, "Overview")));
    }
    if (this.latest) this.news(this.latest);
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
    const types = event.target.matches("input:not([type=checkbox]), select, textarea");
    if (event.key === "Escape" && types) {
      event.preventDefault(); // browsers would empty a search field, and tell nobody
      event.target.blur();
    }
    if (types) return;
    if (event.key === "/") {
      const search = this.main.querySelector("input[type=search]");
      if (search) {
        event.preventDefault();
        search.focus();
        search.select();
      }
    } else if (event.key === "j" || event.key === "k") {
      this.step(event.key === "j" ? 1 : -1);
    } else if (event.key === "?") {
      showKeys();
    } else if (/^[1-9]$/.test(event.key)) {
      const link = [...this.links.values()][Number(event.key) - 1];
      if (link) location.hash = link.getAttribute("href");
    } else if (event.key === "u") {
      location.hash = "#/";
    }
  }

  // From one row to the next, whatever rows the page has.
  step(by) {
    const rows = [...this.main.querySelectorAll("[data-row]")].filter((row) => row.offsetParent !== null || row.checkVisibility?.());
    if (!rows.length) return;
    const at = rows.indexOf(document.activeElement.closest?.("[data-row]"));
    const next = rows[Math.min(rows.length - 1, Math.max(0, at < 0 ? (by > 0 ? 0 : rows.length - 1) : at + by))];
    next.focus();
    next.scrollIntoView({ block: "nearest" });
  }

  async leave() {
    await this.caller.post("/api/logout", {}).catch(() => {});
    this.expired();
  }

  expired() {
    this.link.end();
    this.close?.();
    removeEventListener("hashchange", this.moved);
    removeEventListener("keydown", this.pressed);
    clearInterval(this.ticking);
    this.bar.replaceChildren();
    document.getElementById("toasts").replaceChildren();
    document.querySelectorAll("dialog").forEach((dialog) => dialog.remove());
    login();
  }
}

// ---- the login

function login(words = "") {
  const main = document.getElementById("main");
  document.title = "Log in – Bigtop";
  const error = h("p", { class: "error", role: "alert" }, words);
  const name = h("input", { type: "text", name: "name", autocomplete: "username", required: true, autocapitalize: "none", spellcheck: "false" });
  const password = h("input", { type: "password", name: "password", autocomplete: "current-password", required: true });
  const enter = h("button", { class: "main", type: "submit" }, "Log in");
  const submit = async (event) => {
    event.preventDefault();
    enter.disabled = true;
    say(error, "");
    try {
      begin(await new Caller("").post("/api/login", { name: name.value, password: password.value }));
    } catch (problem) {
      say(error, problem.message);
      enter.disabled = false;
      password.select();
    }
  };
  fill(
    main,
    h(
      "form",
      { class: "panel login", onsubmit: submit },
      h("h1", { class: "brand" }, h("img", { src: "/static/icon.svg", alt: "" }), "Bigtop"),
      h("label", {}, "Name", name),
      h("label", {}, "Password", password),
      enter,
      error,
      h("p", { class: "hint" }, "On the machine itself, ", h("code", {}, "bigtop web login-url"), " prints a link that logs you in."),
    ),
  );
  name.focus();
}

function begin(me) {
  document.getElementById("main").replaceChildren();
  new Console(me);
}

async function start() {
  const once = /^#login=(.+)$/.exec(location.hash);
  if (once) {
    history.replaceState(null, "", "/#/");
    try {
      return begin(await new Caller("").post("/api/login", { once: once[1] }));
    } catch (problem) {
      return login(problem.message);
    }
  }
  const answer = await fetch("/api/me", { cache: "no-store" }).catch(() => null);
  if (answer?.ok) return begin(await answer.json());
  return login(answer ? "" : "The console does not answer.");
}

start();
