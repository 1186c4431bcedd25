// Charts: time against figures, by uPlot, in the colours of the page.

import { h, say } from "./dom.js";
import { time } from "./words.js";

function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

const GAP = 25; // seconds
const SVG = "http://www.w3.org/2000/svg";

function dash(tone, n) {
  const picture = document.createElementNS(SVG, "svg");
  const line = document.createElementNS(SVG, "line");
  picture.setAttribute("viewBox", "0 0 18 8");
  for (const [name, value] of Object.entries({ x1: 0, x2: 18, y1: 4, y2: 4, "stroke-width": 2, "stroke-dasharray": n ? "5 3" : "none" })) line.setAttribute(name, value);
  line.style.stroke = `var(${tone})`;
  picture.append(line);
  return picture;
}

// One picture; `lines` are [name, column, colour, words].
export class Chart {
  constructor(title, lines, columns, options = {}) {
    this.lines = lines.map(([name, column, tone, words]) => ({ name, at: columns.indexOf(column), tone, words }));
    this.axis = options.axis || String;
    this.least = options.least || 1; // that the axis shows
    this.canvas = h("div", { class: "canvas", "aria-hidden": "true" });
    for (const [n, line] of this.lines.entries()) line.told = h("b", {}, "–");
    const legend = this.lines.map((line, n) => h("span", {}, this.lines.length > 1 ? dash(line.tone, n) : null, this.lines.length > 1 ? `${line.name} ` : null, line.told));
    this.at = h("span", {});
    this.element = h("figure", { class: "chart panel" }, h("figcaption", {}, h("h3", {}, title), h("div", { class: "legend" }, this.at, legend)), this.canvas);
    this.points = [];
    this.observer = new ResizeObserver(() => this.fit());
    this.observer.observe(this.canvas);
    this.dark = matchMedia("(prefers-color-scheme: dark)");
    this.toned = () => this.build();
    this.dark.addEventListener("change", this.toned);
  }

  show(points, span) {
    this.points = points;
    this.span = span;
    if (!this.plot) {
      if (!this.canvas.clientWidth) return;
      this.build();
      return;
    }
    this.plot.setData(this.data());
    this.tell();
  }

  // What is under the pointer, or else the newest.
  tell() {
    const data = this.plot.data;
    const at = this.plot.cursor.idx ?? null;
    say(this.at, at === null || !data[0][at] ? "" : time(data[0][at]));
    for (const [n, line] of this.lines.entries()) {
      const values = data[n + 1];
      const value = at === null ? values.findLast((one) => one !== null) : values[at];
      say(line.told, value === null || value === undefined ? "–" : line.words(value));
    }
  }

  data() {
    const from = Date.now() / 1000 - this.span;
    const shown = [];
    for (const point of this.points) {
      if (point[0] < from) continue;
      const last = shown[shown.length - 1];
      // Where nobody looked there is no line.
      if (last && point[0] - last[0] > GAP) shown.push(last.map((_, n) => (n ? null : last[0] + 1)));
      shown.push(point);
    }
    return [shown.map((point) => point[0]), ...this.lines.map(({ at }) => shown.map((point) => (point[at] === null ? null : point[at])))];
  }

  build() {
    this.plot?.destroy();
    const dim = colour("--dim");
    const grid = { stroke: colour("--soft"), width: 1 };
    const size = { width: this.canvas.clientWidth, height: 176 };
    const series = this.lines.map(({ name, tone }, n) => ({
      label: name,
      stroke: colour(tone),
      width: 1.6,
      dash: n ? [5, 3] : undefined, // to be told apart without colours
      points: { show: false },
      fill: n ? undefined : `${colour(tone)}18`,
    }));
    const options = {
      ...size,
      padding: [8, 6, 0, 0],
      cursor: { y: false, points: { size: 6 } },
      legend: { show: false },
      hooks: { setCursor: [() => this.plot && this.tell()] },
      scales: { x: { time: true, range: () => [Date.now() / 1000 - this.span, Date.now() / 1000] }, y: { range: (_, low, high) => [0, Math.max((high || 0) * 1.1, this.least)] } },
      axes: [
        { stroke: dim, grid, ticks: grid, space: 70 },
        { stroke: dim, grid, ticks: { show: false }, size: 62, values: (_, values) => values.map((value) => this.axis(value)) },
      ],
      series: [{}, ...series],
    };
    this.plot = new window.uPlot(options, this.data(), this.canvas);
    this.tell();
  }

  fit() {
    if (!this.plot) {
      if (this.span) this.show(this.points, this.span);
      return;
    }
    this.plot.setSize({ width: this.canvas.clientWidth, height: 176 });
  }

  end() {
    this.observer.disconnect();
    this.dark.removeEventListener("change", this.toned);
    this.plot?.destroy();
    this.plot = null;
  }
}
