// The instances, and how far each has come.
import { h } from "./dom.js";
import { state } from "./link.js";
import { mark, instanceWord, number, span } from "./words.js";
import { unknown, waiting } from "./pieces.js";
import { order } from "./dialogs.js";

export function raft() {
  const r = state.parts.raft?.data;
  if (!r) return waiting("raft");
  const quorum = r.leader && !r.own_view;
  return [
    h("h1", {}, "Raft"),
    unknown("raft", "the instances"),
    h("div", { class: `verdict ${quorum ? (r.can_lose ? "ok" : "warn") : "bad"}` },
      quorum ? mark(r.can_lose ? "ok" : "warn", r.can_lose ? `quorum, can lose ${r.can_lose}` : "quorum, can lose none") : mark("bad", "no leader"),
      h("span", {}, quorum ? `leader ${r.leader}` : `${r.instance} could ask no leader: this is what it knows by itself. Nothing can be changed, and writes stop when the leases end.`)),
    h("dl", { class: "facts" }, fact("Cluster", r.cluster_id), fact("Term", number(r.term)), fact("Committed index", number(r.commit_index)), fact("Feature level", String(r.feature_level)), fact("Answered by", r.instance)),
    h("section", { class: "panel", "aria-label": "instances" },
      h("div", { class: "scroll" }, h("table", {},
        h("thead", {}, h("tr", {}, ["Instance", "State", "Vote", "Version", "Lease", "Last contact", "Applied", "Behind", "Last 90 s", "Address", "Problem", ""].map((t) =>
          h("th", { scope: "col", class: ["Applied", "Behind", "Lease", "Last contact"].includes(t) ? "num" : null }, t)))),
        h("tbody", {}, r.instances.map((i) => h("tr", { "data-key": i.name },
          h("th", { scope: "row", class: "mono" }, i.name), h("td", {}, mark(...instanceWord(i))), h("td", {}, i.voter ? "yes" : "no"), h("td", { class: "mono" }, i.version || "?"),
          h("td", { class: "num" }, i.lease_ms ? span(i.lease_ms) : "none"), h("td", { class: "num" }, i.state === "leader" ? "" : i.last_contact_ms === null ? "?" : span(i.last_contact_ms)),
          h("td", { class: "num" }, i.state === "unreachable" ? "?" : number(i.applied_index)), h("td", { class: "num" }, i.state === "unreachable" ? "?" : number(i.behind)),
          h("td", {}, sparkline(state.samples[i.name] ?? [], i.name)), h("td", { class: "mono muted" }, i.addr), h("td", { class: "problem" }, i.error ?? ""),
          h("td", { class: "actions" }, i.state === "follower" && i.voter ? h("button", { class: "small", "aria-label": `Make ${i.name} the leader`, onclick: () => order({ verb: "transfer", instance: i.name }) }, "Make leader") : null))))))),
    h("p", { class: "muted" }, "Instances join, leave and are retired by ", h("code", {}, "praefectctl raft add"), ", ", h("code", {}, "remove"), " and ", h("code", {}, "retire"), ": their proof is on other hosts, which the console cannot see."),
  ];
}

function fact(name, value) { return h("div", {}, h("dt", {}, name), h("dd", { class: "mono" }, value || "?")); }

/** How far an instance was behind; a gap where it did not answer. */
function sparkline(list, name) {
  const w = 90, tall = 20, most = Math.max(4, ...list.filter((n) => n !== null));
  let d = "", pen = "M";
  list.forEach((n, i) => {
    if (n === null) { pen = "M"; return; }
    d += `${pen}${w - list.length + i} ${(tall - 2 - (n / most) * (tall - 4)).toFixed(1)}`;
    pen = "L";
  });
  return h("svg", { class: "spark", width: w, height: tall, role: "img", "aria-label": `${name}: how far it was behind in the last 90 s` },
    list.map((n, i) => (n === null ? h("path", { class: "gap", d: `M${w - list.length + i} ${tall - 2}v-6` }) : null)), d ? h("path", { d, fill: "none" }) : null);
}
