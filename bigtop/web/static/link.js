// The line to the console: one WebSocket, and polling where there can be none.
//
// Rules: a page says what it looks at and is called with the newest state. It is sent the next one when it has
// shown the last one (credits). While nobody sees the tab it says nothing, and its lease ends.

const HERE = 5000;
const POLL = 2000;
const FIRST = 400;
const LONGEST = 8000;

export class Link {
  constructor(changed, expired) {
    this.changed = changed; // called with "live", "polling" or "away"
    this.expired = expired; // called when nobody is logged in any more
    this.flows = new Map();
    this.count = 0;
    this.socket = null;
    this.wait = FIRST;
    this.failures = 0;
    this.ended = false;
    this.timer = setInterval(() => this.here(), HERE);
    document.addEventListener("visibilitychange", () => this.seen());
    this.connect();
  }

  end() {
    this.ended = true;
    clearInterval(this.timer);
    clearInterval(this.poller);
    this.socket?.close();
  }

  // ---- what pages do

  watch(topic, args, show) {
    const id = ++this.count;
    const flow = { id, topic, args, show, model: empty(), due: false, news: {} };
    this.flows.set(id, flow);
    this.open(flow);
    if (this.poller && topic !== "logs") this.poll(flow);
    return () => {
      this.flows.delete(id);
      this.say({ do: "close", id });
    };
  }

  more(flow, count) {
    this.say({ do: "more", id: flow.id, n: count });
  }

  // ---- the socket

  connect() {
    if (this.ended || this.socket) return;
    const scheme = location.protocol === "https:" ? "wss:" : "ws:";
    const socket = new WebSocket(`${scheme}//${location.host}/ws`);
    this.socket = socket;
    let was = false;
    socket.onopen = () => {
      was = true;
      this.failures = 0;
      this.wait = FIRST;
      clearInterval(this.poller);
      this.poller = null;
      this.changed("live");
      for (const flow of this.flows.values()) {
        flow.model = empty();
        this.open(flow);
      }
    };
    socket.onmessage = (event) => this.heard(JSON.parse(event.data));
    socket.onclose = (event) => {
      this.socket = null;
      if (this.ended) return;
      if (event.code === 4408 && document.hidden) return; // until it is seen again
      this.lost(was, event.code);
    };
  }

  async lost(was, code) {
    if (!was) this.failures += 1;
    const state = await asked();
    if (this.ended) return;
    if (state === 401 || code === 4401) return this.expired();
    this.changed(state === 200 && this.failures > 1 ? "polling" : "away");
    if (state === 200 && this.failures > 1 && !this.poller) {
      this.poller = setInterval(() => this.pollAll(), POLL);
      this.pollAll();
    }
    setTimeout(() => this.connect(), this.wait);
    this.wait = Math.min(LONGEST, this.wait * 1.7);
  }

  say(message) {
    if (this.socket?.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(message));
  }

  open(flow) {
    flow.opened = this.socket?.readyState === WebSocket.OPEN;
    this.say({ do: "open", id: flow.id, topic: flow.topic, ...flow.args });
    if (flow.topic === "logs") this.more(flow, 3000);
  }

  here() {
    if (!document.hidden) this.say({ do: "here" });
  }

  seen() {
    if (document.hidden) return;
    if (this.socket) this.here();
    else if (!this.ended) this.connect();
  }

  heard(message) {
    const flow = this.flows.get(message.id);
    if (!flow) return;
    if (message.lines) {
      flow.show(message);
      this.more(flow, message.lines.length);
      return;
    }
    merge(flow.model, message);
    for (const [name, items] of Object.entries(message.news || {})) {
      flow.news[name] = [...(flow.news[name] || []), ...items];
    }
    if (flow.due) return;
    flow.due = true;
    const show = () => {
      flow.due = false;
      if (!this.flows.has(flow.id)) return;
      const news = flow.news;
      flow.news = {};
      flow.show(flow.model, news);
      this.more(flow, 1);
    };
    if (document.hidden) setTimeout(show, 0);
    else requestAnimationFrame(show);
  }

  // ---- without a socket

  pollAll() {
    if (document.hidden) return;
    for (const flow of this.flows.values()) if (flow.topic !== "logs") this.poll(flow);
  }

  async poll(flow) {
    const query = new URLSearchParams({ topic: flow.topic, ...flow.args });
    try {
      const answer = await fetch(`/api/look?${query}`, { cache: "no-store" });
      if (answer.status === 401) return this.expired();
      if (!answer.ok || !this.flows.has(flow.id)) return;
      const said = await answer.json();
      const counts = (flow.polled ||= {});
      const news = {};
      for (const [name, items] of Object.entries(said.news)) {
        const known = counts[name] || "";
        const at = items.findLastIndex((item) => JSON.stringify(item) === known);
        news[name] = items.slice(at + 1);
        if (items.length) counts[name] = JSON.stringify(items[items.length - 1]);
      }
      flow.model = { tables: {}, values: said.values };
      for (const [name, rows] of Object.entries(said.tables)) flow.model.tables[name] = new Map(Object.entries(rows));
      flow.show(flow.model, news);
    } catch {
      this.changed("away");
    }
  }
}

function empty() {
  return { tables: {}, values: {}, refused: null };
}

function merge(model, message) {
  model.refused = message.refused || null;
  Object.assign(model.values, message.values);
  for (const [name, change] of Object.entries(message.tables || {})) {
    let rows = (model.tables[name] ||= new Map());
    for (const key of change.gone) rows.delete(key);
    for (const [key, row] of Object.entries(change.rows)) rows.set(key, row);
    if (change.order) rows = new Map(change.order.map((key) => [key, rows.get(key)]));
    model.tables[name] = rows;
  }
}

async function asked() {
  try {
    return (await fetch("/api/me", { cache: "no-store" })).status;
  } catch {
    return 0;
  }
}

// ---- what changes something

export class Caller {
  constructor(token) {
    this.token = token;
  }

  async post(path, body) {
    const answer = await fetch(path, {
      method: "POST",
      cache: "no-store",
      headers: { "Content-Type": "application/json", "X-Bigtop-Token": this.token },
      body: JSON.stringify(body),
    });
    const said = await answer.json().catch(() => ({}));
    if (!answer.ok) throw new Error(said.error || `the console answered with ${answer.status}`);
    return said;
  }

  act(daemon, what, more = {}) {
    return this.post("/api/action", { do: what, daemon, ...more });
  }
}
