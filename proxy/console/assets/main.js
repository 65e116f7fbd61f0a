// The frame around the views: navigation, keys, the theme, and the notice when nothing newer is known.
import { h, show } from "./dom.js";
import { state, get, post, connect, disconnect, retryNow, onChange } from "./link.js";
import { clock, mark } from "./words.js";
import { login } from "./login.js";
import { overview } from "./overview.js";
import { raft } from "./raft.js";
import { repositories } from "./repositories.js";
import { repository } from "./repository.js";
import { queue } from "./queue.js";
import { history } from "./history.js";
import { settings } from "./settings.js";
import { help, closed } from "./dialogs.js";

const views = [
  { name: "overview", title: "Overview", key: "o", view: overview },
  { name: "repositories", title: "Repositories", key: "r", view: repositories, badge: () => unwell() },
  { name: "raft", title: "Raft", key: "i", view: raft },
  { name: "queue", title: "Queue", key: "q", view: queue, badge: () => jobs() },
  { name: "history", title: "History", key: "h", view: history },
  { name: "settings", title: "Settings", key: "s", view: settings, badge: () => differing() },
  { name: "repository", view: repository },
];

const differing = () => (state.parts.status?.data?.conditions ?? []).filter((c) => c.name === "settings-differ").length;
const unwell = () => {
  const part = state.parts.repositories?.data;
  return part?.repositories.length ? part.repositories.length + (part.more ? "+" : "") : 0;
};
const jobs = () => {
  const part = state.parts.queue?.data;
  return part?.jobs.length ? part.jobs.length + (part.more ? "+" : "") : 0;
};

export function route() {
  const [, name = "", ...rest] = location.hash.split("/");
  const found = views.find((v) => v.name === name) ?? views[0];
  return { ...found, arguments: rest.map(decodeURIComponent) };
}

let scheduled = false;
export function render() {
  if (scheduled) return;
  scheduled = true;
  setTimeout(() => { scheduled = false; draw(); }, 16);
}

function draw() {
  const main = document.getElementById("content"), head = document.getElementById("head"), notice = document.getElementById("notice");
  document.documentElement.classList.toggle("signed-in", Boolean(state.session));
  if (!state.session) {
    document.body.classList.remove("stale");
    document.title = "praefect: sign in";
    show(head);
    show(notice);
    show(main, login());
    return;
  }
  const here = route();
  const stale = !state.live && state.parts.status !== undefined;
  document.body.classList.toggle("stale", stale);
  document.title = `${here.title ?? here.arguments[1] ?? ""} · ${state.session.instance} · praefect`;
  show(head, bar(here));
  show(notice, stale || state.refusal ? dropped() : null);
  show(main, h("div", { "data-key": location.hash || "#/overview", class: `view ${here.name}` }, here.view(here.arguments)));
}

function dropped() {
  const wait = state.retryAt ? Math.max(0, Math.ceil((state.retryAt - Date.now()) / 1000)) : 0;
  return h("div", { class: "dropped" },
    mark("bad", "not live"),
    h("span", {}, state.refusal
      ? `${state.session.instance} gives no stream: ${state.refusal}.`
      : `The connection to ${state.session.instance} dropped. This is how the cluster was at ${clock(new Date((state.lastBeat ?? Date.now()) + state.ahead).toISOString())} UTC.`),
    h("span", { class: "muted" }, wait ? `next attempt in ${wait} s` : "connecting"),
    h("button", { class: "small", onclick: () => retryNow() }, "Try now"));
}

function bar(here) {
  const s = state.session;
  const word = state.parts.status?.data?.health;
  return [
    h("a", { class: "brand", href: "#/overview", "aria-label": `praefect at ${s.instance}: overview` },
      h("img", { src: "/icon.svg", alt: "", width: 20, height: 20 }), h("b", {}, "praefect"), h("span", { class: "muted" }, s.instance)),
    h("nav", { "aria-label": "Pages" }, views.filter((v) => v.title).map((v) => {
      const n = v.badge?.();
      return h("a", { href: "#/" + v.name, "aria-current": v.name === here.name || (here.name === "repository" && v.name === "repositories") ? "page" : null },
        v.title, n ? h("span", { class: "badge" }, String(n)) : null);
    })),
    h("div", { class: "tools" },
      state.live ? mark("good", "live", word ? `the cluster is ${word}` : "") : mark("bad", "not live"),
      h("span", { class: "muted who", title: s.acts ? "this session may change the cluster" : "this session may only read" }, s.acts ? "may act" : "read only", s.name ? " · " + s.name : ""),
      h("button", { class: "icon", title: "Light or dark (d)", "aria-label": "Switch between light and dark", onclick: () => switchTheme() }, "◑"),
      h("button", { class: "icon", title: "Keys (?)", "aria-label": "Show the keys", onclick: () => help(views) }, "?"),
      h("button", { class: "small", onclick: () => logout() }, "Sign out")),
  ];
}

export async function begin() {
  try {
    state.session = await get("/api/session");
    connect();
  } catch { /* the login says what is wrong */ }
  render();
}

async function logout() {
  try { await post("/api/logout", {}); } catch { /* the session is gone, or the instance is: it ends by itself */ }
  disconnect();
  state.session = null;
  state.parts = {};
  render();
}

export function switchTheme() {
  const root = document.documentElement;
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
  try { localStorage.setItem("theme", root.dataset.theme); } catch { /* it holds for this page only */ }
}

let going = 0;
document.addEventListener("keydown", (event) => {
  const typing = event.target.closest?.("input, select, textarea");
  if (event.ctrlKey || event.metaKey || event.altKey || !state.session || document.getElementById("dialog").open) return;
  if (event.key === "Escape" && typing) { event.target.blur(); return; }
  if (typing) return;
  const followsG = Date.now() - going < 1500;
  going = event.key === "g" ? Date.now() : 0;
  if (followsG) {
    const to = views.find((v) => v.key === event.key);
    if (to) location.hash = "#/" + to.name;
  } else if (event.key === "?") help(views);
  else if (event.key === "d") switchTheme();
  else if (event.key === "/") {
    event.preventDefault();
    if (route().name !== "repositories") location.hash = "#/repositories";
    setTimeout(() => document.getElementById("search")?.focus(), 50);
  }
});

addEventListener("hashchange", () => { draw(); document.getElementById("content").focus({ preventScroll: true }); scrollTo(0, 0); });
setInterval(() => { if (!state.live && state.session) render(); }, 1000);
addEventListener("resize", render);
document.getElementById("dialog").addEventListener("close", closed);
document.addEventListener("render", render);
onChange(render);
begin();
