// The first page: is the cluster well, what is not, and the picture.
import { h } from "./dom.js";
import { state, now } from "./link.js";
import { mark, health, level, storageWord, number, count, span, when, clock } from "./words.js";
import { picture } from "./picture.js";
import { sheet, order } from "./dialogs.js";
import { unknown, waiting, changes } from "./pieces.js";

/** What the picture needs, from the parts that are known. */
export function facts(status, raft) {
  const storages = status.virtual_storages.flatMap((vs) =>
    vs.storages.map((s) => ({ ...s, virtual_storage: vs.name, primary: s.name === vs.primary }))
      .sort((a, b) => (a.name < b.name ? -1 : 1))); // a card keeps its place when the succession changes
  const away = new Set(status.conditions.filter((c) => c.name === "storage-away").map((c) => `${c.instance ?? ""}\n${c.virtual_storage}\n${c.storage}`));
  const instances = raft ? raft.instances : [{ name: status.instance, state: status.leader === status.instance ? "leader" : "follower", lease_ms: 1, behind: 0 }];
  return { instance: status.instance, instances, storages, away };
}

export function overview() {
  const status = state.parts.status?.data, raft = state.parts.raft?.data;
  if (!status) return waiting("status");
  const width = Math.min(900, pictureWidth());
  return [
    h("h1", { class: "sr" }, "Overview"),
    verdict(status),
    panels(status, raft),
    h("div", { class: "columns" },
      h("div", { class: "main" },
        h("section", { class: "panel", "aria-labelledby": "picture-title" },
          h("h2", { id: "picture-title" }, "Connections ", h("span", { class: "muted" }, `as ${status.instance} sees it`)),
          unknown("raft", "the other instances"),
          picture(facts(status, raft), width, (card) => sheet(card)),
          legend()),
        status.virtual_storages.map((vs) => storages(vs))),
      h("div", { class: "side" },
        conditions(status),
        h("section", { class: "panel", "aria-labelledby": "changes-title" },
          h("h2", { id: "changes-title" }, "Last changes ", h("a", { class: "more", href: "#/history" }, "all")),
          unknown("history", "the history"),
          changes((state.parts.history?.data?.changes ?? []).slice(-9).reverse())))),
  ];
}

function pictureWidth() {
  const inner = Math.min(innerWidth, 1440) - (innerWidth < 700 ? 48 : 76);
  return innerWidth >= 1080 ? inner - 380 : inner;
}

function verdict(status) {
  const names = [...new Set(status.conditions.map((c) => c.name))];
  const text = names.length ? names.slice(0, 6).join(", ") + (names.length > 6 ? ` and ${names.length - 6} more` : "") : "Everything is served, and everything has its copies.";
  return h("div", { class: `verdict ${health(status.health)}`, role: "status" },
    mark(health(status.health), status.health), h("span", {}, text),
    status.own_view ? h("span", {}, `${status.instance} reaches no leader: this is what it knows by itself. ` +
      `What the others have agreed on is not known since ${state.aloneSince?.before ? "before " : ""}${clock(state.aloneSince?.at ?? new Date(now()).toISOString())} UTC.`) : null);
}

function panel(href, title, main, kind, word, detail) {
  return h("a", { class: "panel stat", href }, h("span", { class: "title" }, title), h("span", { class: "main" }, main), mark(kind, word), h("span", { class: "muted" }, detail));
}

function panels(status, raft) {
  const answering = raft?.instances.filter((i) => i.state !== "unreachable" && i.state !== "not a member").length;
  const members = raft?.instances.filter((i) => i.state !== "not a member").length;
  const quorum = raft && raft.leader && !raft.own_view;
  const storages = status.virtual_storages.flatMap((vs) => vs.storages);
  const serving = storages.filter((s) => s.state === "serving" && s.reachable).length;
  const conflicts = sum(status.virtual_storages, (vs) => vs.conflicts), unavailable = sum(status.virtual_storages, (vs) => vs.unavailable_repositories);
  const listed = state.parts.repositories?.data;
  const behind = listed ? listed.repositories.length : Math.max(0, ...storages.map((s) => s.behind));
  const jobs = state.parts.queue;
  return h("div", { class: "panels" },
    panel("#/raft", "Instances", raft ? `${answering} of ${members}` : "…",
      quorum ? (raft.can_lose ? "good" : "warn") : "bad", quorum ? (raft.can_lose ? `can lose ${raft.can_lose}` : "can lose none") : "no leader",
      quorum ? `leader ${raft.leader}, term ${number(raft.term)}` : "nothing can be changed"),
    panel("#/overview", "Storages", `${serving} of ${storages.length}`, serving === storages.length ? "good" : serving ? "warn" : "bad",
      serving === storages.length ? "all serve" : `${storages.length - serving} not serving`, status.virtual_storages.map((vs) => `${vs.name}: ${vs.primary || "no primary"}`).join(", ")),
    panel("#/repositories", "Repositories", `${number(behind)}${listed?.more ? "+" : ""}`,
      unavailable ? "bad" : conflicts || behind ? "warn" : "good", unavailable ? `${number(unavailable)} unavailable` : conflicts ? `${number(conflicts)} in conflict` : behind ? "behind" : "none behind",
      `${number(conflicts)} in conflict, ${number(unavailable)} unavailable`),
    panel("#/queue", "Queue", jobs?.data ? number(jobs.data.jobs.length) + (jobs.data.more ? "+" : "") : "…",
      jobs?.error ? "warn" : deadJobs(jobs) ? "bad" : "good", jobs?.error ? "not known" : deadJobs(jobs) ? `${deadJobs(jobs)} dead` : jobs?.data?.jobs.length ? "repairs wait or run" : "no jobs",
      jobs?.error ? `Postgres: since ${jobs.since.slice(11, 19)} UTC` : `${count(jobs?.data?.jobs.filter((j) => j.state === "in_progress").length ?? 0, "repair")} under way`));
}

const sum = (list, of) => list.reduce((n, one) => n + of(one), 0);
const deadJobs = (jobs) => jobs?.data?.jobs.filter((j) => j.state === "dead").length ?? 0;

function legend() {
  const item = (kind, text) => h("span", {}, h("svg", { width: 26, height: 8, "aria-hidden": "true" }, h("path", { class: "edge " + kind, d: "M1 4H25", fill: "none" })), text);
  return h("p", { class: "legend muted" }, item("primary", "writes go here"), item("open", "reached"), item("cut", "not reached"), item("unknown", "not in use, or not known"));
}

function conditions(status) {
  return h("section", { class: "panel", "aria-labelledby": "conditions-title" },
    h("h2", { id: "conditions-title" }, "Conditions"),
    status.conditions.length === 0 ? h("p", { class: "empty" }, mark("ok", "none")) :
      h("ul", { class: "conditions" }, status.conditions.map((c) => h("li", {}, mark(level(c.level), c.name), h("span", { class: "muted" }, c.level), h("p", {}, c.text, c.run_book ? h("span", { class: "muted" }, " Run-book: ", h("span", { class: "mono" }, c.run_book)) : null)))));
}

function storages(vs) {
  const paused = vs.paused ? h("span", { class: "mark warn" }, h("span", { class: "sign", "aria-hidden": "true" }, "▲"), h("span", {}, vs.pause?.until ? ["failover paused until ", when(vs.pause.until)] : "failover paused")) : mark("good", "failover on");
  return h("section", { class: "panel", "data-key": "vs " + vs.name, "aria-label": "virtual storage " + vs.name },
    h("h2", {}, vs.name, h("span", { class: "muted" }, ` primary ${vs.primary || "none"}, epoch ${number(vs.epoch)} `), paused,
      h("span", { class: "actions" }, vs.paused
        ? h("button", { class: "small", onclick: () => order({ verb: "resume", virtual_storage: vs.name }) }, "Resume failover")
        : h("button", { class: "small", onclick: () => order({ verb: "pause", virtual_storage: vs.name }) }, "Pause failover"))),
    h("div", { class: "scroll" }, h("table", {},
      h("thead", {}, h("tr", {}, ["Storage", "State", "Role", "Since", "Behind", "Problem", ""].map((t) => h("th", { scope: "col", class: t === "Behind" ? "num" : null }, t)))),
      h("tbody", {}, vs.storages.map((s) => h("tr", { "data-key": s.name },
        h("th", { scope: "row", class: "mono" }, s.name), h("td", {}, mark(...storageWord(s))), h("td", {}, s.name === vs.primary ? h("b", {}, "primary") : "secondary"),
        h("td", { class: "muted nowrap" }, s.since ? span(now() - new Date(s.since)) : ""), h("td", { class: "num" }, number(s.behind)), h("td", { class: "problem" }, [s.why, s.error].filter(Boolean).join("; ")),
        h("td", { class: "actions" }, buttons(vs, s))))))));
}

/** The changes that make sense for a storage now. */
export function buttons(vs, s) {
  const of = { virtual_storage: vs.name, storage: s.name };
  const drained = s.state === "out" && /drain/.test(s.why ?? "");
  return [
    s.state !== "out" && s.state !== "backfilling" && s.name !== vs.primary ? h("button", { class: "small", "aria-label": `Promote ${s.name}`, onclick: () => order({ verb: "promote", ...of }) }, "Promote") : null,
    drained ? h("button", { class: "small", "aria-label": `Undrain ${s.name}`, onclick: () => order({ verb: "undrain", ...of }) }, "Undrain") : h("button", { class: "small", "aria-label": `Drain ${s.name}`, onclick: () => order({ verb: "drain", ...of }) }, "Drain"),
    drained ? h("button", { class: "small", "aria-label": `Refill ${s.name}`, onclick: () => order({ verb: "refill", ...of }) }, "Refill") : null,
  ];
}
