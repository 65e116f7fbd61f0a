// The picture: who connects to whom, and how each is. layout is a pure function of the facts.
import { h } from "./dom.js";
import { instanceWord, storageWord, signOf } from "./words.js";

const most = 24; // storages that are drawn; the table has all of them

/** Where each card stands, and which lines join them. Wide: left to right; narrow: top to bottom. */
export function layout(facts, width) {
  const wide = width >= 620;
  const columns = [
    [{ key: "balancer", name: "clients", line: "by a balancer", kind: "idle", sign: "", role: "" }],
    facts.instances.map(instanceCard),
    facts.storages.slice(0, most).map(storageCard),
  ];
  const size = wide ? { w: [128, 214, 226], h: 48, gap: 12 } : { w: [0, 0, 0], h: 52, gap: 8 };
  const placed = [];
  let height = 0;
  if (wide) {
    const total = Math.max(...columns.map((c) => c.length * (size.h + size.gap) - size.gap));
    const free = (width - size.w[0] - size.w[1] - size.w[2]) / 2;
    const x = [0, size.w[0] + free, size.w[0] + size.w[1] + 2 * free];
    columns.forEach((cards, c) => {
      const tall = cards.length * (size.h + size.gap) - size.gap;
      cards.forEach((card, i) => placed.push({ ...card, column: c, x: x[c], y: (total - tall) / 2 + i * (size.h + size.gap), w: size.w[c], h: size.h }));
    });
    height = total;
  } else {
    const perRow = 3;
    let y = 0;
    columns.forEach((cards, c) => {
      for (let i = 0; i < cards.length; i += perRow) {
        const row = cards.slice(i, i + perRow);
        const w = (width - (row.length - 1) * size.gap) / row.length;
        row.forEach((card, j) => placed.push({ ...card, column: c, x: j * (w + size.gap), y, w, h: size.h }));
        y += size.h + size.gap;
      }
      y += 26;
    });
    height = y - 26 - size.gap;
  }
  const of = new Map(placed.map((card) => [card.key, card]));
  const lines = edges(facts).filter((e) => of.has(e.from) && of.has(e.to)).map((e) => ({ ...e, d: curve(of.get(e.from), of.get(e.to), wide) }));
  return { wide, width, height: Math.ceil(height), cards: placed, lines, left: Math.max(0, facts.storages.length - most) };
}

function curve(a, b, wide) {
  if (wide) {
    const x1 = a.x + a.w, y1 = a.y + a.h / 2, x2 = b.x, y2 = b.y + b.h / 2, m = (x1 + x2) / 2;
    return `M${x1} ${y1}C${m} ${y1} ${m} ${y2} ${x2} ${y2}`;
  }
  const x1 = a.x + a.w / 2, y1 = a.y + a.h, x2 = b.x + b.w / 2, y2 = b.y, m = (y1 + y2) / 2;
  return `M${x1} ${y1}C${x1} ${m} ${x2} ${m} ${x2} ${y2}`;
}

function instanceCard(i) {
  const [kind, word] = instanceWord(i);
  const facts = !answers(i) ? [word] : [i.state === "leader" ? "" : word, i.behind ? `${i.behind} behind` : "up to date", i.lease_ms ? "" : "no lease"];
  const line = facts.filter(Boolean).join(", ");
  const short = i.behind && answers(i) ? `${i.behind} behind` : word;
  return { key: "instance " + i.name, name: i.name, line, short, kind, sign: signOf(kind), role: i.state === "leader" ? "leader" : "", subject: i };
}

const answers = (i) => i.state !== "unreachable" && i.state !== "not a member";

function storageCard(s) {
  const [kind, word] = storageWord(s);
  return {
    key: `storage ${s.virtual_storage} ${s.name}`, name: s.name, line: s.behind ? `${word}, ${s.behind} behind` : word, short: kind === "warn" && s.behind ? `${s.behind} behind` : word,
    kind, sign: signOf(kind), role: s.primary ? "primary" : "", subject: s,
  };
}

/** The lines. What an instance that does not answer reaches is not known, and is drawn so. */
function edges(facts) {
  const lines = [];
  for (const i of facts.instances) {
    lines.push({ from: "balancer", to: "instance " + i.name, kind: answers(i) ? "open" : "cut" });
    for (const s of facts.storages) {
      let kind = "open";
      if (!answers(i)) kind = "unknown";
      else if (facts.away.has(`${i.name}\n${s.virtual_storage}\n${s.name}`) || (i.name === facts.instance && !s.reachable)) kind = "cut";
      else if (s.state === "out" || s.state === "backfilling") kind = "unknown";
      else if (s.primary && i.lease_ms) kind = "primary"; // without a lease no write is routed
      lines.push({ from: "instance " + i.name, to: `storage ${s.virtual_storage} ${s.name}`, kind });
    }
  }
  const order = ["unknown", "open", "primary", "cut"];
  return lines.sort((a, b) => order.indexOf(a.kind) - order.indexOf(b.kind));
}

/** Draws a layout. choose is called with the card that was clicked. */
export function picture(facts, width, choose) {
  const p = layout(facts, width);
  const summary = p.cards.slice(1).map((c) => `${c.name}: ${c.line}${c.role ? ", " + c.role : ""}`).join("; ");
  return [
    h("svg", { class: `picture ${p.wide ? "wide" : "tall"}`, viewBox: `-1 -1 ${p.width + 2} ${p.height + 2}`, width: p.width, height: p.height, role: "group", "aria-label": "Clients, instances and storages. " + summary },
      p.lines.map((l) => h("path", { "data-key": l.from + l.to, class: "edge " + l.kind, d: l.d, fill: "none" })),
      p.cards.map((c) => card(c, p.wide, choose))),
    p.left ? h("p", { class: "muted" }, `${p.left} more storages are in the table below.`) : null,
  ];
}

function card(c, wide, choose) {
  const label = `${c.name}: ${c.line}${c.role ? ", " + c.role : ""}`;
  const pad = wide ? 14 : 9;
  const fits = Math.floor((c.w - 2 * pad - (c.role && wide ? 62 : 0)) / 7.3), fitsLine = Math.floor((c.w - 2 * pad - 10) / (wide ? 6.1 : 5.5));
  return h("g", {
    "data-key": c.key, class: `card ${c.kind} ${c.role}`, transform: `translate(${c.x} ${c.y})`,
    ...(c.subject ? { tabindex: 0, role: "button", "aria-label": label, onclick: () => choose(c) } : { role: "img", "aria-label": "clients, through a balancer" }),
  },
    h("title", {}, label),
    h("rect", { class: "body", width: c.w, height: c.h, rx: 7 }),
    c.subject ? h("rect", { class: "edge-mark", x: 0, y: 8, width: 3.5, height: c.h - 16, rx: 1.75 }) : null,
    h("text", { class: "name", x: pad, y: c.h / 2 - 4 }, cut(c.name, fits)),
    c.role && wide ? h("text", { class: "role", x: c.w - 11, y: c.h / 2 - 4, "text-anchor": "end" }, c.role) : null,
    h("text", { class: "line", x: pad, y: c.h / 2 + 14 }, c.sign ? h("tspan", { class: "sign" }, c.sign + " ") : null, cut(wide ? c.line : c.role || c.short || c.line, fitsLine)));
}

const cut = (text, n) => (text.length <= n ? text : text.slice(0, Math.max(1, n - 1)) + "…");

document.addEventListener("keydown", (event) => {
  if ((event.key === "Enter" || event.key === " ") && event.target.classList?.contains("card")) {
    event.preventDefault();
    event.target.dispatchEvent(new MouseEvent("click", { bubbles: true }));
  }
});
