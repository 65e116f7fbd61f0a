// The repositories that the ledger lists, and the way to any other.
import { h } from "./dom.js";
import { state, get } from "./link.js";
import { mark, count, repositoryLink } from "./words.js";
import { unknown } from "./pieces.js";
import { order } from "./dialogs.js";

const asked = { text: "", only: "", virtual_storage: "" };
let result = null, fault = "", turn = 0, timer = null, seen = null;

const again = () => document.dispatchEvent(new Event("render"));

async function ask(after) {
  const mine = ++turn;
  try {
    const page = await get("/api/repositories", { ...asked, after_vs: after?.virtual_storage, after_path: after?.relative_path });
    if (mine !== turn) return;
    result = { repositories: after && result ? [...result.repositories, ...page.repositories].slice(-1000) : page.repositories, after: page.after };
    fault = "";
  } catch (problem) {
    if (mine === turn) fault = problem.message;
  }
  again();
}

function later() {
  clearTimeout(timer);
  timer = setTimeout(() => ask(), 200);
}

export function repositories() {
  const status = state.parts.status?.data;
  const part = state.parts.repositories;
  if (part && part !== seen) { // the ledger has changed
    seen = part;
    if ((result?.repositories.length ?? 0) <= 100) later();
  }
  const storages = new Map((status?.virtual_storages ?? []).map((vs) => [vs.name, vs.storages.map((s) => s.name)]));
  const names = [...storages.keys()];
  const vs = asked.virtual_storage || (names.length === 1 ? names[0] : "");
  return [
    h("h1", {}, "Repositories"),
    h("form", { class: "filters", role: "search", onsubmit: (event) => { event.preventDefault(); if (asked.text) location.hash = repositoryLink(vs || names[0], asked.text); } },
      h("input", { id: "search", type: "search", placeholder: "part of a path, or a whole one and Enter   ( / )", "aria-label": "Search repositories by path", spellcheck: "false", oninput: (e) => { asked.text = e.target.value.trim(); later(); again(); } }),
      h("select", { "aria-label": "Only", onchange: (e) => { asked.only = e.target.value; ask(); } },
        [["", "behind, in conflict or unavailable"], ["conflict", "in conflict"], ["unavailable", "unavailable"], ["all", "every repository (asks Postgres)"]].map(([v, t]) => h("option", { value: v, selected: v === asked.only }, t))),
      names.length > 1 ? h("select", { "aria-label": "Virtual storage", onchange: (e) => { asked.virtual_storage = e.target.value; ask(); } }, h("option", { value: "" }, "every virtual storage"), names.map((n) => h("option", { value: n }, n))) : null,
      asked.text ? h("a", { class: "button", href: repositoryLink(vs || names[0] || "", asked.text) }, "Explain ", h("span", { class: "mono" }, asked.text)) : null,
      h("button", { type: "button", onclick: () => order({ verb: "verify-all", virtual_storage: asked.virtual_storage }) }, "Verify every repository")),
    unknown("status", "the state"),
    fault ? h("p", { class: "fault" }, "✗ " + fault) : null,
    h("section", { class: "panel", "aria-label": "replica matrix" }, matrix(storages)),
    h("p", { class: "muted" }, "Listed are the repositories of which a storage misses an acknowledged write. Every other one is clean: each serving storage has the same content. Enter a whole path to see it."),
  ];
}

function matrix(storages) {
  if (!result) return h("p", { class: "empty muted" }, "Asking the cluster…");
  if (result.repositories.length === 0) return h("p", { class: "empty" }, mark("ok", asked.text || asked.only ? asked.only === "all" ? "no repository has a path that begins so" : "no listed repository matches" : "no repository is behind, in conflict or unavailable"));
  const columns = [...new Set(result.repositories.flatMap((r) => storages.get(r.virtual_storage) ?? r.behind ?? []))];
  return [
    h("div", { class: "scroll" }, h("table", { class: "matrix" },
      h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Repository"), h("th", { scope: "col" }, "State"), columns.map((c) => h("th", { scope: "col", class: "mono" }, c)))),
      h("tbody", {}, result.repositories.map((r) => h("tr", { "data-key": r.virtual_storage + "\n" + r.relative_path },
        h("th", { scope: "row" }, h("a", { class: "mono", href: repositoryLink(r.virtual_storage, r.relative_path) }, r.relative_path), storages.size > 1 ? h("span", { class: "muted" }, " " + r.virtual_storage) : null),
        h("td", {}, r.conflicts?.length ? mark("warn", "in conflict") : r.clean ? mark("good", "in sync") : r.available ? mark("warn", "behind") : mark("bad", "unavailable")),
        columns.map((c) => h("td", {}, cell(r, c, storages)))))))),
    h("p", { class: "muted" }, count(result.repositories.length, "repository", "repositories"), result.after ? [" so far ", h("button", { class: "small", onclick: () => ask(result.after) }, "Show more")] : null),
  ];
}

function cell(r, storage, storages) {
  if (!(storages.get(r.virtual_storage) ?? []).includes(storage)) return h("span", { class: "muted" }, "–");
  if (r.conflicts?.some((c) => c.storage === storage)) return mark("bad", "conflict");
  return (r.behind ?? []).includes(storage) ? mark("warn", "behind") : mark("good", "in sync");
}
