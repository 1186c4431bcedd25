// Elements, made without markup: what is text stays text.

export function h(tag, props = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (name === "class") made.className = value;
    else made.setAttribute(name, value === true ? "" : String(value));
  }
  put(made, ...children);
  return made;
}

export function put(parent, ...children) {
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    parent.append(child instanceof Node ? child : document.createTextNode(String(child)));
  }
  return parent;
}

export function fill(parent, ...children) {
  parent.replaceChildren();
  return put(parent, ...children);
}

// Change a text only if it is another one: nothing is laid out anew for what stays.
export function say(element, text) {
  const words = text === null || text === undefined ? "" : String(text);
  if (element.textContent !== words) element.textContent = words;
}

export function mark(element, name, value) {
  if (value === null || value === undefined || value === false) {
    if (element.hasAttribute(name)) element.removeAttribute(name);
  } else if (element.getAttribute(name) !== String(value)) {
    element.setAttribute(name, value === true ? "" : String(value));
  }
}

// Have `parent` hold one element for each key, in this order; those that are there stay what they are.
export class Keyed {
  constructor(parent, make, update) {
    this.parent = parent;
    this.make = make;
    this.update = update;
    this.elements = new Map();
  }

  show(entries) {
    const keys = new Set();
    let before = null;
    for (const [key, value] of entries) {
      keys.add(key);
      let element = this.elements.get(key);
      if (!element) {
        element = this.make(value, key);
        this.elements.set(key, element);
      }
      this.update(element, value, key);
      const place = before ? before.nextElementSibling : this.parent.firstElementChild;
      if (place !== element) this.parent.insertBefore(element, place);
      before = element;
    }
    for (const [key, element] of this.elements) {
      if (!keys.has(key)) {
        element.remove();
        this.elements.delete(key);
      }
    }
  }
}

const SVG = "http://www.w3.org/2000/svg";

export function spark() {
  const picture = document.createElementNS(SVG, "svg");
  picture.setAttribute("class", "spark");
  picture.setAttribute("viewBox", "0 0 100 24");
  picture.setAttribute("preserveAspectRatio", "none");
  picture.setAttribute("aria-hidden", "true");
  picture.append(document.createElementNS(SVG, "polyline"));
  return picture;
}

export function drawSpark(picture, values) {
  const top = Math.max(...values, 0.001);
  const step = values.length > 1 ? 100 / (values.length - 1) : 0;
  const points = values.map((value, n) => `${(n * step).toFixed(1)},${(22.5 - (value / top) * 21).toFixed(1)}`);
  mark(picture.firstChild, "points", points.join(" "));
}
