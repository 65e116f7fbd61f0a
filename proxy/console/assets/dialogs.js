// Dialogs: the keys, the facts of a card, and a change with its plan, question, progress and result.
import { h, show } from "./dom.js";
import { state, post, linesOf } from "./link.js";
import { signOf, number } from "./words.js";
import { commandLine } from "./pieces.js";

const dialog = () => document.getElementById("dialog");
let cancel = null, shown = 0;

function open(...content) {
  show(dialog(), ...content);
  if (dialog().open) return;
  cancel?.abort(); // of a change whose dialog has closed, if the event has not come yet
  cancel = null;
  dialog().showModal();
}

const close = () => dialog().close();

/** Called when the dialog closes, by whatever means: a change that can be given up is. */
export function closed() {
  if (dialog().open) return; // it was opened again before the event came
  shown++;
  cancel?.abort();
  cancel = null;
  show(dialog());
}

export function help(views) {
  const row = (keys, text) => h("tr", {}, h("td", {}, keys.map((k) => h("kbd", {}, k))), h("td", {}, text));
  open(h("h2", { id: "dialog-title" }, "Keys"),
    h("table", { class: "keys" }, views.filter((v) => v.key).map((v) => row(["g", v.key], v.title)), row(["/"], "search repositories"), row(["d"], "light or dark"), row(["Tab"], "next button or card"), row(["Enter"], "open what has the focus"), row(["Esc"], "close, or leave a field"), row(["?"], "this list")),
    h("div", { class: "buttons" }, h("button", { autofocus: true, onclick: close }, "Close")));
}

/** The facts of an instance or a storage of the picture, and what can be done with it. */
export function sheet(card) {
  const s = card.subject, storage = card.key.startsWith("storage ");
  const facts = storage
    ? [["Virtual storage", s.virtual_storage], ["State", s.state], ["Role", s.primary ? "primary" : "secondary"], ["Behind", `${number(s.behind)} repositories`], ["Votes", s.votes ? "yes" : "no"], ["Why", s.why], ["Problem", s.error]]
    : [["State", s.state], ["Version", s.version], ["Raft address", s.addr], ["Client address", s.client_addr], ["Applied", s.state === "unreachable" ? "?" : number(s.applied_index ?? 0)], ["Behind", s.state === "unreachable" ? "?" : number(s.behind)], ["Problem", s.error]];
  const of = { virtual_storage: s.virtual_storage, storage: s.name };
  const drained = s.state === "out" && /drain/.test(s.why ?? "");
  const actions = storage
    ? [!s.primary && s.state !== "out" && s.state !== "backfilling" ? ["Promote", { verb: "promote", ...of }] : null, drained ? ["Undrain", { verb: "undrain", ...of }] : ["Drain", { verb: "drain", ...of }], s.state === "out" ? ["Refill", { verb: "refill", ...of }] : null]
    : [s.state === "follower" && s.voter ? ["Make leader", { verb: "transfer", instance: s.name }] : null];
  open(h("h2", { id: "dialog-title", class: "mono" }, card.name),
    h("p", { class: `mark ${card.kind}` }, h("span", { class: "sign" }, signOf(card.kind)), h("span", {}, card.line)),
    h("dl", { class: "facts" }, facts.filter(([, v]) => v).map(([k, v]) => h("div", {}, h("dt", {}, k), h("dd", {}, v)))),
    h("div", { class: "buttons" }, actions.filter(Boolean).map(([text, o]) => h("button", { onclick: () => order(o) }, text)), h("button", { autofocus: true, onclick: close }, "Close")));
}

const titles = { promote: "Promote", drain: "Drain", undrain: "Undrain", pause: "Pause failover", resume: "Resume failover", refill: "Refill", "accept-dataloss": "Accept a replica as right", "queue-retry": "Retry jobs", "queue-drop": "Drop dead jobs", transfer: "Transfer leadership", verify: "Verify", "verify-all": "Verify every repository", reconcile: "Search for missing repairs" };

const lineList = (lines) => h("ul", { class: "plan" }, (lines ?? []).map((l) => h("li", { class: l.sign ?? "" }, h("span", { class: "sign", "aria-hidden": "true" }, l.sign === "bad" ? "✗" : l.sign === "warning" ? "▲" : "·"), l.text)));

const quote = (word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : "'" + word.replaceAll("'", "'\\''") + "'");

/** Asks for the plan of a change, and shows it. */
export async function order(wanted) {
  const mine = ++shown;
  const head = () => h("h2", { id: "dialog-title" }, titles[wanted.verb] ?? wanted.verb, " ", h("span", { class: "mono" }, wanted.storage ?? wanted.instance ?? ""));
  open(head(), h("p", { class: "muted" }, "Asking for the plan…"), h("div", { class: "buttons" }, h("button", { onclick: close }, "Cancel")));
  try {
    const plan = await (await post("/api/plan", wanted)).json();
    if (mine === shown) question({ ...wanted }, plan, head);
  } catch (fault) {
    if (mine !== shown) return;
    if (fault.kind === "DENIED") {
      open(head(), h("p", {}, "This session may only read. Sign in with the admin token to do it here, or run:"), commandLine(fault.message), h("div", { class: "buttons" }, h("button", { autofocus: true, onclick: close }, "Close")));
    } else refused(head, fault);
  }
}

function refused(head, fault, again) {
  open(head(), h("p", { class: "fault", role: "alert" }, `✗ ${fault.kind ? fault.kind.toLowerCase().replaceAll("_", " ") + ": " : ""}${fault.message}`),
    h("div", { class: "buttons" }, again ? h("button", { onclick: again }, "Ask again") : null, h("button", { autofocus: true, onclick: close }, "Close")));
}

function question(wanted, plan, head) {
  wanted.request_id = plan.request_id;
  wanted.epoch = plan.epoch ?? 0;
  wanted.why = "";
  const draw = () => open(head(),
    h("p", { class: "plan-title" }, plan.title), lineList(plan.lines),
    plan.already ? null : [
      wanted.verb === "pause" ? h("label", {}, "For ", h("select", { id: "for", onchange: (e) => { wanted.for_ms = Number(e.target.value); draw(); } }, [[0, "until it is resumed"], [900000, "15 minutes"], [3600000, "1 hour"], [14400000, "4 hours"]].map(([v, t]) => h("option", { value: v, selected: v === (wanted.for_ms ?? 0) }, t)))) : null,
      wanted.verb.startsWith("verify") ? null : h("label", {}, "Reason ", h("span", { class: "muted" }, "(for the history)"), h("input", { id: "why", maxlength: 200, spellcheck: "false", oninput: (e) => { wanted.why = e.target.value.trim(); draw(); } })),
      plan.confirm ? h("label", {}, "Type ", h("b", { class: "mono" }, plan.confirm), " to go on", h("input", { id: "confirm", autocomplete: "off", spellcheck: "false", oninput: (e) => { wanted.confirm = e.target.value; draw(); } })) : null],
    commandLine(plan.command + (wanted.for_ms ? ` -for ${wanted.for_ms / 60000}m` : "") + (wanted.why ? ` -why ${quote(wanted.why)}` : "")),
    h("div", { class: "buttons" },
      h("button", { autofocus: true, onclick: close }, plan.already ? "Close" : "Cancel"),
      plan.already ? null : h("button", { id: "proceed", class: plan.lines?.some((l) => l.sign === "bad") ? "danger" : "primary", disabled: Boolean(plan.confirm) && wanted.confirm !== plan.confirm, onclick: () => carryOut(wanted, head) }, titles[wanted.verb])));
  draw();
  dialog().querySelector("[autofocus]")?.focus();
}

const stages = [["plan", "plan"], ["catch-up", "copy what is missing"], ["pause-writes", "pause writes"], ["fence", "fence"], ["admit", "every instance knows"], ["resume-writes", "writes go on"]];
const irrevocable = ["fence", "admit", "resume-writes"];

async function carryOut(wanted, head) {
  const mine = shown;
  const giveUp = new AbortController();
  cancel = giveUp;
  const switches = wanted.verb === "promote" || wanted.verb === "drain";
  let at = null;
  const draw = () => open(head(),
    switches ? h("ol", { class: "stages", "aria-live": "polite" }, stages.map(([name, text], i) => {
      const now = stages.findIndex(([n]) => n === at?.stage);
      return h("li", { class: i < now ? "done" : i === now ? "now" : "" }, h("span", { class: "sign", "aria-hidden": "true" }, i < now ? "✓" : i === now ? "◐" : "○"), text, i === now && at.behind ? `, ${number(at.behind)} left` : "", i === now && at.in_flight ? `, ${number(at.in_flight)} under way` : "", i === now && at.waiting?.length ? `, waiting for ${at.waiting.join(", ")}` : "");
    })) : h("p", { class: "muted" }, "Carrying it out…"),
    h("div", { class: "buttons" }, switches && !irrevocable.includes(at?.stage) ? h("button", { onclick: close }, "Give up") : null));
  draw();
  try {
    for await (const news of linesOf(await post("/api/act", wanted, giveUp.signal))) {
      if (mine !== shown) return;
      if (news.progress) { at = news.progress; draw(); }
      if (news.fault) throw news.fault;
      if (news.result) { cancel = null; done(head, news.result); return; }
    }
    throw { kind: "OUTCOME_UNKNOWN", message: "the answer did not arrive; ask again, which does nothing twice" };
  } catch (fault) {
    cancel = null;
    if (mine !== shown) return;
    const unclear = ["OUTCOME_UNKNOWN", "NO_LEADER"].includes(fault.kind) || fault.status === 0;
    refused(head, { kind: fault.kind ?? "", message: fault.message }, unclear ? () => carryOut(wanted, head) : null);
  }
}

function done(head, result) {
  open(head(), h("p", { class: "mark ok result", role: "status" }, h("span", { class: "sign" }, "✓"), h("span", {}, result.text)), result.note ? h("p", {}, result.note) : null, lineList(result.lines),
    result.undo ? [h("p", { class: "muted" }, "Undo:"), commandLine(result.undo)] : null,
    h("div", { class: "buttons" }, h("button", { autofocus: true, onclick: close }, "Close")));
  dialog().querySelector("[autofocus]")?.focus();
}
