// Actions: what a person is asked before, and told while and after.

import { h, put, say, mark } from "./dom.js";
import { glyph, span } from "./words.js";

const WORDS = {
  start: ["Start", (name) => `${name} is started with as many processes as it is to have.`],
  stop: ["Stop", (name) => `All processes of ${name} are asked to end. It stays stopped until somebody starts it.`, "danger"],
  restart: ["Restart", (name) => `All processes of ${name} end, and then new ones start. Meanwhile it does not answer.`, "danger"],
  reload: [
    "Reload",
    (name) => `The code of ${name} is loaded anew and its processes are replaced one by one. If the new code does not start, the old code goes on.`,
  ],
  rollback: ["Roll back", (name) => `${name} goes back to the code that it had before. A reload that is under way ends.`],
  pause: ["Pause", (name) => `No further node gets the new revision of ${name} until somebody resumes the rollout.`],
  resume: ["Resume", (name) => `The rollout of ${name} goes on with the next nodes.`],
  promote: ["Promote", (name) => `The canaries do well: the rollout of ${name} goes on with the other nodes.`],
  abort: ["Abort", (name) => `The rollout of ${name} ends. Every node that has the new revision gets the old one again.`, "danger"],
  revert: ["Roll back", (name) => `All nodes get the revision of ${name} that they had before.`, "danger"],
  cordon: ["Cordon", (name) => `${name} gets no new revision until somebody lifts that. What runs there goes on.`],
  uncordon: ["Uncordon", (name) => `${name} gets new revisions again.`],
  replace: ["Replace", (name, more) => `Process ${more.pid} of ${name} is asked to end; another one takes its place. What it is doing has the usual time to finish.`],
};

export class Actions {
  constructor(console_) {
    this.console = console_;
    this.toasts = document.getElementById("toasts");
    this.shown = new Map();
    this.has_begun = false;
  }

  button(what, daemon, name, more = {}, options = {}) {
    const [words, , kind] = WORDS[what];
    return h("button", { class: `${options.small ? "small " : ""}${kind || ""}`, onclick: () => this.ask(what, daemon, name, more) }, options.words || words);
  }

  async ask(what, daemon, name, more = {}) {
    const [words, about, kind] = WORDS[what];
    const place = this.console.me.daemons.length > 1 && !(more.app || more.node) ? ` on ${daemon}` : "";
    const fields = more.app || more.node ? more : { name, ...more }; // of the cluster, or of a daemon
    if (await confirmed(`${words} ${name}${place}?`, about(name, more), words, kind)) this.go(daemon, what, fields);
  }

  async scale(daemon, row) {
    const input = h("input", { type: "text", inputmode: "numeric", value: row.wanted, pattern: "[0-9]+(\\.\\.[0-9]+)?", required: true, "aria-label": "Processes" });
    const about = "A number; or the least and the most, as 2..8, and the load decides.";
    const label = h("label", {}, "Processes", input);
    if (await confirmed(`Scale ${row.name} on ${daemon}`, about, "Scale", "", label)) this.go(daemon, "scale", { name: row.name, count: input.value });
  }

  async signal(daemon, name, pid) {
    const names = ["HUP", "USR1", "USR2", "TERM", "INT", "QUIT", "STOP", "CONT", "KILL"];
    const input = h("select", { "aria-label": "Signal" }, names.map((one) => h("option", {}, one)));
    const about = `Process ${pid} of ${name} gets this signal, and nothing else is done.`;
    if (await confirmed(`Send a signal to process ${pid}`, about, "Send", "", h("label", {}, "Signal ", input))) {
      this.go(daemon, "signal", { name, pid, signum: input.value });
    }
  }

  async reloadConfig(daemon) {
    let steps;
    try {
      steps = (await this.console.caller.act(daemon, "plan", { dry_run: true })).reply.steps;
    } catch (problem) {
      return told("The configuration cannot be read", problem.message);
    }
    if (!steps.length) return told("Nothing would change", `${daemon} already runs what its configuration says.`);
    const plan = h("pre", { tabindex: "0" }, steps.join("\n"));
    if (await confirmed(`Read the configuration of ${daemon} again?`, "This is what will be done, in this order:", "Do it", "", plan)) this.go(daemon, "reloadconfig");
  }

  async stack(daemon, target) {
    const body = h("pre", { tabindex: "0" }, "Asking…");
    show(`What ${target} does`, body);
    try {
      say(body, stackText((await this.console.caller.act(daemon, "stack", { target })).reply));
    } catch (problem) {
      say(body, problem.message);
    }
  }

  async go(daemon, what, more = {}) {
    try {
      await this.console.caller.act(daemon, what, more);
    } catch (problem) {
      this.toast(`x${Math.random()}`, "bad", `${what} ${more.name || more.app || more.node || ""}: ${problem.message}`);
    }
  }

  // ---- what is told meanwhile

  progress(entries) {
    const ended = new Set(entries.filter((one) => one.state !== "running").map((one) => one.number));
    const is_past = (one) => !this.has_begun && ended.has(one.number); // what was over when the page was opened
    const shown = entries.filter((one) => !is_past(one));
    this.has_begun = true;
    for (const one of shown) {
      const key = String(one.number);
      const level = { running: "busy", done: "good", failed: "bad" }[one.state];
      const what = `${one.what[0].toUpperCase()}${one.what.slice(1)}`;
      const end = { running: "under way", done: "done", failed: "failed" }[one.state];
      this.toast(key, level, `${what}: ${end}${one.words ? `\n${one.words}` : ""}`, one);
    }
  }

  toast(key, level, words, one) {
    let toast = this.shown.get(key);
    if (!toast) {
      const close = h("button", { class: "plain", "aria-label": "Dismiss", onclick: () => this.dismiss(key) }, "✕");
      toast = h("div", { class: "toast panel" }, h("i", { class: "level", "aria-hidden": "true" }), h("p", {}), close);
      this.shown.set(key, toast);
      this.toasts.append(toast);
      while (this.shown.size > 5) this.dismiss(this.shown.keys().next().value);
    }
    mark(toast.firstChild, "class", `level ${level}`);
    say(toast.firstChild, glyph(level));
    if (one?.state === "running") toast.began = one.at;
    const took = one && one.state !== "running" && toast.began ? ` (${span(one.at - toast.began)})` : "";
    say(toast.children[1], words.replace(/: (done|failed)/, (all) => all + took));
    clearTimeout(toast.timer);
    if (level === "good") toast.timer = setTimeout(() => this.dismiss(key), 6000);
  }

  dismiss(key) {
    this.shown.get(key)?.remove();
    this.shown.delete(key);
  }
}

// ---- dialogs

export function confirmed(title, about, yes, kind = "", extra = null) {
  return new Promise((resolve) => {
    let answer = false;
    const go = h("button", { class: `main ${kind || ""}`, type: "submit" }, yes);
    const no = h("button", { type: "button", onclick: () => dialog.close() }, "Cancel");
    const form = h("form", { method: "dialog", onsubmit: () => (answer = true) }, h("h2", { id: "asked" }, title), h("p", {}, about), extra, h("div", { class: "bar" }, no, go));
    const dialog = h("dialog", { "aria-labelledby": "asked" }, form);
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(answer);
    });
    document.body.append(dialog);
    dialog.showModal();
    (extra?.querySelector("input, select") || go).focus();
  });
}

export function show(title, ...content) {
  const dialog = h("dialog", { class: "wide", "aria-labelledby": "shown" });
  const close = h("button", { class: "main", onclick: () => dialog.close() }, "Close");
  put(dialog, h("h2", { id: "shown" }, title), content, h("div", { class: "bar" }, close));
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
  close.focus();
}

export function told(title, words) {
  show(title, h("p", {}, words));
}

export function showKeys() {
  const keys = [
    ["/", "Search on this page"],
    ["j", "Next row"],
    ["k", "Row before"],
    ["Enter", "Open the row"],
    ["1 … 9", "Pages, from the left"],
    ["u", "Overview"],
    ["Space", "Pause logs"],
    ["Esc", "Leave a field, close a dialog"],
    ["?", "These keys"],
  ];
  show("Keys", h("dl", { class: "keys" }, keys.map(([key, words]) => [h("dt", {}, h("kbd", {}, key)), h("dd", {}, words)])));
}

function stackText(reply) {
  const lines = [`${reply.worker} (pid ${reply.pid})`];
  if (reply.note) lines.push(reply.note);
  for (const one of reply.requests || []) lines.push(`answers ${one.method} ${one.path} for ${span(one.seconds)} (${one.phase})`);
  for (const one of reply.stacks || []) {
    const request = one.request ? `: ${one.request.method} ${one.request.path}` : "";
    lines.push("", `${one.kind || "thread"} ${one.name || one.tid || ""}${request}`);
    if (one.waits) lines.push(`  waits: ${one.waits}`);
    for (const frame of one.frames) lines.push(`  ${frame.path || frame.file || ""}:${frame.line}  ${frame.function || frame.name || ""}${frame.text ? `\n      ${frame.text}` : ""}`);
  }
  if (reply.text) lines.push("", reply.text);
  if (!(reply.stacks || []).length && !reply.text) for (const one of reply.threads || []) lines.push(`  thread ${one.tid} ${one.name}: ${one.waits}`);
  return lines.join("\n");
}
