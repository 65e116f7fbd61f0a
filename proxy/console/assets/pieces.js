// Pieces that several views have.
import { h } from "./dom.js";
import { state } from "./link.js";
import { mark, when, clock, repositoryLink } from "./words.js";

/** Says that nothing newer is known of a part, why, and since when. */
export function unknown(name, what) {
  const part = state.parts[name];
  if (!part?.error) return null;
  const last = part.data ? `Shown is ${what} of ${clock(part.at)} UTC.` : "Nothing was known before.";
  return h("p", { class: "unknown" }, mark("warn", "not known"), h("span", {}, ` ${what} since ${clock(part.since)} UTC: ${part.error}. ${last}`));
}

export function waiting(name) {
  const part = state.parts[name];
  return h("p", { class: "empty muted" }, part?.error ? unknown(name, name) : "Asking the cluster…");
}

export function changes(list) {
  if (list.length === 0) return h("p", { class: "empty muted" }, "none yet");
  return h("ul", { class: "changes" }, list.map((c) => h("li", { "data-key": `${c.virtual_storage} ${c.index} ${c.storage ?? ""}${c.relative_path ?? ""}${c.instance ?? ""} ${c.change}` },
    when(c.time),
    h("div", {}, h("b", { class: "mono" }, c.storage || c.instance || c.virtual_storage), " ", c.change,
      c.relative_path ? [" of ", h("a", { class: "mono", href: repositoryLink(c.virtual_storage, c.relative_path) }, c.relative_path)] : null,
      h("div", { class: "muted" }, [c.epoch ? `epoch ${c.epoch}` : "", c.why, c.by].filter(Boolean).join(" · "))))));
}

/** A line for the terminal, with a button that copies it. */
export function commandLine(text) {
  return h("div", { class: "command" }, h("code", {}, text),
    h("button", { type: "button", class: "small", "aria-label": "Copy the command", onclick: (event) => {
      const button = event.target;
      navigator.clipboard?.writeText(text).then(() => { button.textContent = "Copied"; }, () => { button.textContent = "Select it"; });
    } }, "Copy"));
}
