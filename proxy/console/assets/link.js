// The way to the instance: requests, and the stream of what changes.

export const state = {
  session: null, // what /api/session says, null before a login
  parts: {}, // what is known, by name: {at, data, error, since}
  live: false,
  lastBeat: null, // when the instance was last heard, by our clock
  ahead: 0, // how far the instance's clock is ahead of ours, in ms
  retryAt: null,
  refusal: "", // why the instance gives no stream
  seenLeader: false, // the instance has reached a leader while we looked
  aloneSince: null, // {at, before}: since when the instance reaches no leader; before: it was so when we came
  samples: {}, // of the last minutes, by instance: how far it is behind
};

let changed = () => {};
export const onChange = (f) => { changed = f; };

export class Fault extends Error {
  constructor(status, body) {
    super(body.message ?? `the instance answered with status ${status}`);
    this.status = status;
    this.kind = body.kind ?? "";
  }
}

async function request(path, options) {
  let response;
  try {
    response = await fetch(path, { credentials: "same-origin", cache: "no-store", ...options });
  } catch {
    throw new Fault(0, { message: "the instance does not answer" });
  }
  if (!response.ok) {
    let body = {};
    try { body = await response.json(); } catch { /* the status says enough */ }
    throw new Fault(response.status, body);
  }
  return response;
}

/** Asks for a document. */
export async function get(path, query) {
  const text = new URLSearchParams(Object.entries(query ?? {}).filter(([, v]) => v !== "" && v !== undefined && v !== null)).toString();
  return (await request(path + (text ? "?" + text : ""))).json();
}

/** Sends a document; the response is returned whole, for its body may be a stream. */
export function post(path, document, signal) {
  const headers = { "Content-Type": "application/json" };
  if (state.session) headers["X-Praefect-Csrf"] = state.session.csrf;
  return request(path, { method: "POST", headers, body: JSON.stringify(document), signal });
}

/** The lines of a streamed answer. */
export async function* linesOf(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    const parts = (rest + value).split("\n");
    rest = parts.pop();
    for (const one of parts) if (one) yield JSON.parse(one);
  }
  if (rest) yield JSON.parse(rest);
}

const silence = 6000; // three signs of life are missing: the stream is dead, whatever the browser says
let source = null, failures = 0, timer = null;

export const now = () => Date.now() + state.ahead;

/** Opens the stream, unless it is open. */
export function connect() {
  clearTimeout(timer);
  if (source || !state.session || document.hidden) return;
  state.retryAt = null;
  const opened = new EventSource("/api/stream");
  source = opened;
  const heard = () => { state.lastBeat = Date.now(); };
  heard();
  for (const name of ["status", "raft", "history", "repositories", "queue"]) {
    opened.addEventListener(name, (event) => {
      heard();
      state.parts[name] = JSON.parse(event.data);
      if (name === "raft") sample(state.parts.raft.data);
      if (name === "status") alone(state.parts.status.data);
      changed();
    });
  }
  opened.addEventListener("beat", (event) => {
    heard();
    const beat = JSON.parse(event.data);
    state.ahead = new Date(beat.now) - Date.now();
    for (const [name, at] of Object.entries(beat.at)) if (state.parts[name]) state.parts[name].at = at;
    failures = 0;
    state.live = true;
    state.refusal = "";
    changed();
  });
  opened.addEventListener("end", () => { leave(); });
  opened.onerror = () => { if (source === opened) drop(); };
}

/** Closes the stream for now: nobody looks at the page. */
export function disconnect() {
  clearTimeout(timer);
  source?.close();
  source = null;
  state.live = false;
}

function leave() {
  disconnect();
  state.session = null;
  changed();
}

function drop() {
  disconnect();
  failures++;
  // Each page waits for a time of its own, longer each time, so that an instance that comes back
  // is not met by all of them at once.
  const wait = Math.min(15000, 500 * 2 ** Math.min(failures, 6)) * (0.5 + Math.random() / 2);
  state.retryAt = Date.now() + wait;
  timer = setTimeout(retry, wait);
  changed();
}

async function retry() {
  try {
    state.session = await get("/api/session");
    connect();
  } catch (fault) {
    if (fault.status === 401) { leave(); return; }
    state.refusal = fault.status ? fault.message : "";
    drop();
  }
}

export function retryNow() {
  disconnect();
  retry();
}

setInterval(() => {
  if (source && Date.now() - state.lastBeat > silence) drop();
}, 1000);

document.addEventListener("visibilitychange", () => {
  if (document.hidden) disconnect();
  else if (state.session) retryNow();
});

function alone(status) {
  if (!status?.own_view) state.aloneSince = null;
  else state.aloneSince ??= { at: new Date(now()).toISOString(), before: state.seenLeader !== true };
  state.seenLeader = status ? !status.own_view : state.seenLeader;
}

function sample(raft) {
  const names = new Set();
  for (const i of raft?.instances ?? []) {
    names.add(i.name);
    const list = (state.samples[i.name] ??= []);
    list.push(i.state === "unreachable" ? null : i.behind);
    if (list.length > 90) list.shift();
  }
  for (const name of Object.keys(state.samples)) if (!names.has(name)) delete state.samples[name];
}
