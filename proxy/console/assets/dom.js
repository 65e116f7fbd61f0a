// Makes and updates nodes. Text is always text: nothing here turns a string into markup.

const svgNames = new Set(["svg", "g", "path", "rect", "circle", "text", "tspan", "title", "line", "polyline"]);

/** Makes a node. Attributes beginning with "on" are handlers; null and false leave things out. */
export function h(name, attributes, ...children) {
  const node = svgNames.has(name) ? document.createElementNS("http://www.w3.org/2000/svg", name) : document.createElement(name);
  for (const [key, value] of Object.entries(attributes ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith("on")) (node.handlers ??= {})[key.slice(2)] = value;
    else node.setAttribute(key, value === true ? "" : String(value));
  }
  append(node, children);
  return node;
}

function append(node, children) {
  for (const child of children) {
    if (Array.isArray(child)) append(node, child);
    else if (child !== null && child !== undefined && child !== false) node.append(child);
  }
}

/** Makes the children of a node those given, and keeps what is the same: focus and selection stay. */
export function show(parent, ...children) {
  const wanted = document.createElement("div");
  append(wanted, children);
  patchChildren(parent, wanted);
}

function patchChildren(old, next) {
  const keyed = new Map();
  for (const child of old.childNodes) {
    const key = child.dataset?.key;
    if (key !== undefined) keyed.set(key, child);
  }
  let at = old.firstChild;
  for (const want of [...next.childNodes]) {
    const key = want.dataset?.key;
    let have = key === undefined ? at : keyed.get(key);
    if (have && key === undefined && have.dataset?.key !== undefined) have = null;
    if (have && alike(have, want)) {
      if (have === at) at = at.nextSibling;
      else old.insertBefore(have, at);
      patch(have, want);
    } else {
      old.insertBefore(want, at);
      if (have && have === at && have.dataset?.key === undefined) {
        at = have.nextSibling;
        have.remove();
      }
    }
  }
  while (at) {
    const gone = at;
    at = at.nextSibling;
    gone.remove();
  }
}

function alike(a, b) {
  return a.nodeType === b.nodeType && a.nodeName === b.nodeName && a.dataset?.key === b.dataset?.key;
}

function patch(have, want) {
  if (have.nodeType === Node.TEXT_NODE) {
    if (have.data !== want.data) have.data = want.data;
    return;
  }
  have.handlers = want.handlers;
  for (const { name } of [...have.attributes]) if (!want.hasAttribute(name) && name !== "open") have.removeAttribute(name);
  for (const { name, value } of want.attributes) {
    if (have.getAttribute(name) !== value && !(name === "value" && have === document.activeElement)) {
      have.setAttribute(name, value);
      if (name === "value") have.value = value;
    }
  }
  patchChildren(have, want);
}

for (const type of ["click", "input", "change", "submit"]) {
  document.addEventListener(type, (event) => {
    for (let node = event.target; node; node = node.parentNode) {
      const handler = node.handlers?.[type];
      if (handler && handler(event) !== "continue") return;
    }
  });
}
