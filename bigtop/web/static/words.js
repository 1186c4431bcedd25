// Figures as words: short, with units, in the viewer's zone. What is not known is a dash.

export const DASH = "–";

export function size(bytes) {
  if (bytes === null || bytes === undefined) return DASH;
  const units = ["B", "KB", "MB", "GB", "TB"];
  let value = bytes;
  let unit = 0;
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${unit > 1 && value < 9.95 ? value.toFixed(1) : Math.round(value)} ${units[unit]}`;
}

export function number(value, digits = 1) {
  if (value === null || value === undefined) return DASH;
  if (value >= 99_950) return `${(value / 1e6).toFixed(1)}M`;
  if (value >= 9_999.5) return `${Math.round(value / 1000)}k`;
  return value < 99.95 && !Number.isInteger(value) ? value.toFixed(digits) : String(Math.round(value));
}

export function rate(value) {
  return value === null || value === undefined ? DASH : `${number(value)}/s`;
}

export function percent(value) {
  return value === null || value === undefined ? DASH : `${number(value, 0)} %`;
}

export function short(seconds) {
  if (seconds === null || seconds === undefined) return DASH;
  if (seconds < 0.0009995) return `${Math.round(seconds * 1e6)} µs`;
  if (seconds < 0.9995) return `${(seconds * 1000).toFixed(seconds < 0.00995 ? 1 : 0)} ms`;
  return span(seconds);
}

export function span(seconds) {
  if (seconds === null || seconds === undefined) return DASH;
  if (seconds < 9.95) return `${Math.max(0, seconds).toFixed(1)} s`;
  const whole = Math.floor(seconds);
  if (whole < 60) return `${whole} s`;
  const two = (value) => String(value).padStart(2, "0");
  if (whole < 3600) return `${Math.floor(whole / 60)} m ${two(whole % 60)}`;
  if (whole < 86400) return `${Math.floor(whole / 3600)} h ${two(Math.floor(whole / 60) % 60)}`;
  const days = Math.floor(whole / 86400);
  return days < 10 ? `${days} d ${Math.floor(whole / 3600) % 24} h` : `${days} d`;
}

const TIME = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const WHOLE = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });

export function time(seconds) {
  return seconds ? TIME.format(seconds * 1000) : DASH;
}

export function moment(seconds) {
  return seconds ? WHOLE.format(seconds * 1000) : DASH;
}

export function ago(seconds) {
  return seconds ? span(Date.now() / 1000 - seconds) : DASH;
}

export function since(at) {
  const made = document.createElement("span");
  made.dataset.since = at;
  made.textContent = ago(at);
  return made;
}

// What is counted on between two messages: elements with the time since which something is so.
export function tick(root = document) {
  for (const element of root.querySelectorAll("[data-since]")) {
    const words = ago(Number(element.dataset.since));
    if (element.textContent !== words) element.textContent = words;
  }
}

const GLYPHS = { good: "●", warn: "▲", bad: "■", off: "○", busy: "◐", asked: "◌" };

export function glyph(level) {
  return GLYPHS[level] || GLYPHS.asked;
}

// How a watcher is, in one word of five, and in words for people.
export function health(row) {
  if (row.state === "stopped") return ["off", "stopped"];
  if (row.state === "stopping") return ["busy", "stopping"];
  if (row.state === "starting") return row.restarts > 0 && !row.ready ? ["bad", "does not get ready"] : ["busy", "starting"];
  if (row.ready < row.wanted) return [row.ready ? "warn" : "bad", `${row.ready} of ${row.wanted} ready`];
  if (row.errors > 0 && row.errors >= (row.rate || row.errors) * 0.05) return ["bad", "errors"];
  if (row.queue > 0 && row.places && row.calls >= row.places) return ["warn", "requests wait"];
  return ["good", row.state];
}
