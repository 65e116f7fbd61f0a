// What has changed, newest first.
import { h } from "./dom.js";
import { state } from "./link.js";
import { when, repositoryLink, number } from "./words.js";
import { unknown, waiting } from "./pieces.js";

let text = "";

export function history() {
  const part = state.parts.history;
  if (!part?.data) return waiting("history");
  const matching = part.data.changes.filter((c) => JSON.stringify(c).toLowerCase().includes(text)).reverse();
  return [
    h("h1", {}, "History"),
    unknown("history", "the history"),
    h("div", { class: "filters" }, h("input", { id: "filter", type: "search", placeholder: "filter", "aria-label": "Filter the history", spellcheck: "false", oninput: (e) => { text = e.target.value.trim().toLowerCase(); document.dispatchEvent(new Event("render")); } })),
    h("section", { class: "panel", "aria-label": "changes" }, h("div", { class: "scroll" }, h("table", {},
      h("thead", {}, h("tr", {}, ["Time (UTC)", "Subject", "Change", "Epoch", "Why", "By"].map((t) => h("th", { scope: "col", class: t === "Epoch" ? "num" : null }, t)))),
      h("tbody", {}, matching.map((c) => h("tr", { "data-key": `${c.virtual_storage} ${c.index} ${c.storage ?? ""}${c.relative_path ?? ""}${c.instance ?? ""} ${c.change}` },
        h("td", { class: "nowrap muted" }, when(c.time)),
        h("td", {}, h("b", { class: "mono" }, c.storage || c.instance || c.virtual_storage), c.storage && c.virtual_storage ? h("span", { class: "muted" }, " of " + c.virtual_storage) : null),
        h("td", {}, c.change, c.relative_path ? [" ", h("a", { class: "mono", href: repositoryLink(c.virtual_storage, c.relative_path) }, c.relative_path)] : null),
        h("td", { class: "num" }, c.epoch ? number(c.epoch) : ""), h("td", {}, c.why ?? ""), h("td", { class: "muted" }, c.by ?? ""))))))),
    h("p", { class: "muted" }, "The cluster remembers the last changes of each virtual storage; times are the leader's."),
  ];
}
