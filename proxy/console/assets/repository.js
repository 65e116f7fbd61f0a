// Everything that is known of one repository.
import { h } from "./dom.js";
import { state, get } from "./link.js";
import { mark, number, span, when } from "./words.js";
import { changes, commandLine } from "./pieces.js";
import { order } from "./dialogs.js";

let of = "", known = null, fault = "", askedAt = 0, asking = false;

const again = () => document.dispatchEvent(new Event("render"));

async function ask(vs, path) {
  asking = true;
  askedAt = Date.now();
  const mine = of;
  try {
    const answer = await get("/api/explain", { virtual_storage: vs, relative_path: path });
    if (mine === of) { known = answer; fault = ""; }
  } catch (problem) {
    if (mine === of) fault = problem.message;
  }
  asking = false;
  again();
}

const quote = (word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : "'" + word.replaceAll("'", "'\\''") + "'");

export function repository([vs = "", path = ""]) {
  if (of !== vs + "\n" + path) { of = vs + "\n" + path; known = null; fault = ""; askedAt = 0; }
  if (!asking && Date.now() - askedAt > 2000 && state.live) ask(vs, path);
  const title = h("h1", {}, h("a", { href: "#/repositories", class: "muted" }, vs + " / "), h("span", { class: "mono" }, path));
  if (!known) return [title, h("p", { class: fault ? "fault" : "empty muted" }, fault ? "✗ " + fault : "Asking the cluster…")];
  const e = known.entry;
  return [
    title,
    fault ? h("p", { class: "fault" }, "✗ nothing newer: " + fault) : null,
    h("div", { class: `verdict ${e ? "warn" : "ok"}` }, e ? mark("warn", "listed in the ledger") : mark("ok", "clean"),
      h("span", {}, summary(e), known.existence.exists === false ? " No storage has this repository." : known.existence.exists === null ? ` Whether it exists is not known: ${known.existence.error}.` : ""),
      h("span", { class: "actions" }, h("button", { class: "small", onclick: () => order({ verb: "verify", virtual_storage: vs, relative_path: path }) }, "Verify now"))),
    h("section", { class: "panel", "aria-label": "replicas" }, h("h2", {}, "Replicas"), h("div", { class: "scroll" }, h("table", {},
      h("thead", {}, h("tr", {}, ["Storage", "Replica", "Storage state", "Reachable", "Problem", ""].map((t) => h("th", { scope: "col" }, t)))),
      h("tbody", {}, known.storages.map((r) => h("tr", { "data-key": r.storage },
        h("th", { scope: "row", class: "mono" }, r.storage), h("td", {}, replica(r)), h("td", {}, r.state), h("td", {}, r.reachable ? "yes" : mark("bad", "no")), h("td", { class: "problem" }, [r.why, r.error].filter(Boolean).join("; ")),
        h("td", { class: "actions" }, e?.behind.length ? h("button", { class: "small", "aria-label": `Accept the replica on ${r.storage}`, onclick: () => order({ verb: "accept-dataloss", virtual_storage: vs, relative_path: path, storage: r.storage }) }, "Accept as right") : null))))))),
    h("div", { class: "pair" }, reads(known.routes), writes(known.routes)),
    e ? ledger(e) : null,
    e?.conflicts?.map(conflict),
    jobs(),
    h("section", { class: "panel", "aria-label": "changes" }, h("h2", {}, "Changes"), changes([...known.changes].reverse())),
    commandLine(`praefectctl explain -virtual-storage ${quote(vs)} ${quote(path)}`),
    h("p", { class: "muted" }, `answered by ${known.instance} at index ${number(known.index)}`),
  ];
}

function summary(e) {
  if (!e) return "Every serving storage has the same content.";
  const parts = [];
  if (e.behind.length) parts.push(`${e.behind.join(" and ")} ${e.deleted ? "must remove it" : e.behind.length > 1 ? "miss acknowledged writes" : "misses an acknowledged write"}.`);
  if (e.intents.length) parts.push("A write may be under way, or has ended with an unknown outcome.");
  if (e.conflicts?.length) parts.push("Replicas are in conflict: nothing is copied until an operator chooses one.");
  if (known.waits_for) parts.push(`The repair waits (${known.waits_for.reason}).`);
  return parts.join(" ");
}

function replica(r) {
  if (r.conflict) return mark("bad", "in conflict");
  if (r.removes) return mark("warn", "to be removed");
  if (r.role === "behind") return mark("warn", "behind");
  if (r.role === "not-serving") return mark("idle", "not serving");
  if (r.in_doubt) return mark("warn", r.role + ", in doubt");
  return mark("good", r.role === "in-sync" ? "in sync" : r.role);
}

function reads({ reads: r, leased }) {
  return h("section", { class: "panel", "aria-label": "reads" }, h("h2", {}, "Reads"),
    r.refused ? h("p", {}, mark("bad", "refused"), " " + r.refused) : h("p", {}, mark("good", r.rule), " ", h("span", { class: "mono" }, r.storages.join(", "))),
    h("p", { class: "muted" }, r.why, leased ? "" : " This instance has no lease."));
}

function writes({ writes: w }) {
  return h("section", { class: "panel", "aria-label": "writes" }, h("h2", {}, "Writes"),
    w.refused ? h("p", {}, mark("bad", "refused"), " " + w.refused) : h("p", {}, mark(w.votes ? "good" : "warn", w.votes ? "voted on" : "not voted on"), " ", h("b", { class: "mono" }, w.primary), w.others?.length ? h("span", { class: "mono" }, ", " + w.others.join(", ")) : null, `, epoch ${w.epoch}`),
    h("p", { class: "muted" }, w.why, w.waits ? ` A write that comes now waits for ${w.waits}.` : ""));
}

function ledger(e) {
  if (!e.intents.length) return null;
  return h("section", { class: "panel", "aria-label": "intents" }, h("h2", {}, "Intents"), h("div", { class: "scroll" }, h("table", {},
    h("thead", {}, h("tr", {}, ["Instance", "Incarnation", "Kind", "Lease", "May change", "In doubt"].map((t) => h("th", { scope: "col" }, t)))),
    h("tbody", {}, e.intents.map((i) => h("tr", {}, h("td", { class: "mono" }, i.instance || "retired"), h("td", {}, `${i.incarnation}, ${i.life}`), h("td", {}, i.kind || "none"), h("td", {}, i.lease_ms ? span(i.lease_ms) : i.lease_ms === 0 ? "none" : "?"), h("td", { class: "mono" }, (i.targets ?? []).join(", ")), h("td", {}, i.in_doubt ? mark("warn", "in doubt") : "")))))));
}

function conflict(c) {
  const side = (s) => h("td", {}, h("code", {}, s?.commit?.slice(0, 12) ?? "none"), " ", s?.time ? when(new Date(s.time * 1000).toISOString()) : "");
  return h("section", { class: "panel", "aria-label": "conflict on " + c.storage }, h("h2", {}, "Conflict: ", h("span", { class: "mono" }, c.storage), h("span", { class: "muted" }, ` ${number(c.differing)} references differ from ${c.primary}`)),
    h("div", { class: "scroll" }, h("table", {}, h("thead", {}, h("tr", {}, ["Reference", c.primary, c.storage].map((t) => h("th", { scope: "col", class: "mono" }, t)))),
      h("tbody", {}, h("tr", {}, h("th", { scope: "row" }, "newest commit"), side(c.here), side(c.there)),
        (c.sample ?? []).map((s) => h("tr", {}, h("th", { scope: "row", class: "mono" }, s.name), h("td", {}, h("code", {}, s.here || "none")), h("td", {}, h("code", {}, s.there || "none"))))))));
}

function jobs() {
  if (known.jobs_error) return h("p", { class: "unknown" }, mark("warn", "not known"), ` the repair jobs of it: ${known.jobs_error}`);
  if (!known.jobs?.length) return null;
  return h("section", { class: "panel", "aria-label": "jobs" }, h("h2", {}, "Repair jobs"), h("ul", {}, known.jobs.map((j) => h("li", {}, mark(j.state === "dead" ? "bad" : j.state === "failed" ? "warn" : "busy", j.state), ` onto ${j.target}, attempt ${j.attempt}`, j.error ? ": " + j.error : ""))));
}
