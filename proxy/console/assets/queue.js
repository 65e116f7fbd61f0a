// The replication jobs: repairs that are due, under way or given up.
import { h } from "./dom.js";
import { state } from "./link.js";
import { mark, when, count, repositoryLink } from "./words.js";
import { unknown, waiting } from "./pieces.js";
import { order } from "./dialogs.js";

let only = "";

export function queue() {
  const part = state.parts.queue;
  if (!part) return waiting("queue");
  const jobs = part.data?.jobs ?? [];
  const shown = jobs.filter((j) => !only || j.state === only);
  const waits = jobs.some((j) => j.state === "dead" || j.state === "failed");
  return [
    h("h1", {}, "Queue"),
    unknown("queue", "the queue"),
    part.error ? h("p", { class: "muted" }, "Reads, writes and failovers go on without it; repair waits, and is found again.") : null,
    h("div", { class: "filters" },
      h("select", { "aria-label": "State", onchange: (e) => { only = e.target.value; document.dispatchEvent(new Event("render")); } }, [["", "every state"], ["ready", "ready"], ["in_progress", "in progress"], ["failed", "failed"], ["dead", "dead"]].map(([v, t]) => h("option", { value: v, selected: v === only }, t))),
      h("button", { onclick: () => order({ verb: "reconcile" }) }, "Search for missing repairs"),
      waits ? h("button", { onclick: () => order({ verb: "queue-retry" }) }, "Retry dead and failed jobs") : null,
      jobs.some((j) => j.state === "dead") ? h("button", { onclick: () => order({ verb: "queue-drop" }) }, "Drop dead jobs") : null),
    h("section", { class: "panel", "aria-label": "jobs" }, !part.data ? null : shown.length === 0 ? h("p", { class: "empty" }, mark("ok", "no jobs")) : h("div", { class: "scroll" }, h("table", {},
      h("thead", {}, h("tr", {}, ["Id", "State", "Repository", "Target", "Attempt", "Due", "Waits for", "Error"].map((t) => h("th", { scope: "col", class: t === "Id" || t === "Attempt" ? "num" : null }, t)))),
      h("tbody", {}, shown.map((j) => h("tr", { "data-key": String(j.id) },
        h("td", { class: "num" }, String(j.id)), h("td", {}, jobMark(j.state)), h("td", {}, h("a", { class: "mono", href: repositoryLink(j.virtual_storage, j.relative_path) }, j.relative_path)), h("td", { class: "mono" }, j.target), h("td", { class: "num" }, String(j.attempt)),
        h("td", {}, j.state === "ready" || j.state === "failed" ? when(j.not_before) : ""), h("td", {}, waitsFor(j.waits_for)), h("td", { class: "problem" }, j.error ?? ""))))))),
    part.data ? h("p", { class: "muted" }, count(jobs.length, "job"), part.data.more ? ": the oldest; praefectctl queue list shows all" : "") : null,
  ];
}

const jobMark = (word) => mark({ ready: "good", in_progress: "busy", failed: "warn", dead: "bad" }[word] ?? "idle", word.replace("_", " "));

function waitsFor(w) {
  if (!w) return "";
  return [w.reason.replaceAll("-", " "), w.instance, (w.storages ?? []).join(", ")].filter(Boolean).join(" ");
}
