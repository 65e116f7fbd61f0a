// Settings and versions that should be alike at every instance, and are not.
import { h } from "./dom.js";
import { state } from "./link.js";
import { mark, level } from "./words.js";
import { unknown, waiting } from "./pieces.js";

const about = ["settings-differ", "versions-differ", "primary-not-as-configured", "disks-differ", "certificate-expires", "fewer-voters", "no-spare-instance"];

export function settings() {
  const status = state.parts.status?.data;
  if (!status) return waiting("status");
  const found = status.conditions.filter((c) => about.includes(c.name));
  const versions = [...new Set((state.parts.raft?.data?.instances ?? []).map((i) => i.version).filter(Boolean))];
  return [
    h("h1", {}, "Settings"),
    unknown("status", "the state"),
    unknown("raft", "the other instances"),
    h("section", { class: "panel", "aria-label": "settings that differ" },
      found.length === 0 ? h("p", { class: "empty" }, mark("ok", "the instances that answer agree on every setting that must be alike")) :
        h("ul", { class: "conditions" }, found.map((c) => h("li", {}, mark(level(c.level), c.name), h("span", { class: "muted" }, c.instance ?? ""), h("p", {}, c.text))))),
    differences(found),
    h("dl", { class: "facts" }, h("div", {}, h("dt", {}, "Feature level"), h("dd", {}, `${status.feature_level}${status.next_feature_level > status.feature_level ? `, rises to ${status.next_feature_level}` : ""}`)),
      h("div", {}, h("dt", {}, "Versions"), h("dd", { class: "mono" }, versions.join(", ") || "?")),
      status.feature_level_held_back_by?.length && status.next_feature_level > status.feature_level ? h("div", {}, h("dt", {}, "Held back by"), h("dd", { class: "mono" }, status.feature_level_held_back_by.map((x) => x.instance).join(", "))) : null),
    h("p", { class: "muted" }, "Compared are the storages with their addresses, ", h("code", {}, "consistency"), ", ", h("code", {}, "failover"), ", ", h("code", {}, "detection"), ", ", h("code", {}, "raft.profile"), ", the method descriptors, and by a hash the admin token."),
  ];
}

/** The keys that differ, each with its values and the instances that have them. */
function differences(found) {
  const keys = new Map(found.flatMap((c) => c.settings ?? []).map((s) => [s.key, s.values]));
  if (keys.size === 0) return null;
  return h("section", { class: "panel", "aria-labelledby": "differences-title" },
    h("h2", { id: "differences-title" }, "Which key, and where"),
    h("div", { class: "scroll" }, h("table", { class: "differences" },
      h("thead", {}, h("tr", {}, ["Key", "Value", "Instances"].map((t) => h("th", { scope: "col" }, t)))),
      h("tbody", {}, [...keys].sort().flatMap(([key, values]) => values.map((v, i) => h("tr", { "data-key": `${key} ${i}` },
        i === 0 ? h("th", { scope: "rowgroup", rowspan: values.length, class: "mono" }, key) : null,
        h("td", { class: v.secret || v.absent ? "muted" : "mono" }, v.absent ? "not set" : v.secret ? `secret ${i + 1}, not shown` : v.value),
        h("td", { class: "mono" }, v.instances.join(", ")))))))));
}
