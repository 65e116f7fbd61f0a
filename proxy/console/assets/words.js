// Symbols, words and times: how facts of the cluster are said.
import { h } from "./dom.js";

const signs = { good: "●", ok: "✓", warn: "▲", bad: "✗", busy: "◐", idle: "○" };

/** A symbol and a word. Colour alone never says anything. */
export function mark(kind, word, more) {
  return h("span", { class: `mark ${kind}`, title: more }, h("span", { class: "sign", "aria-hidden": "true" }, signs[kind] ?? "○"), h("span", {}, word));
}

export const signOf = (kind) => signs[kind] ?? "○";

export const health = (word) => ({ healthy: "ok", degraded: "warn", unavailable: "bad" }[word] ?? "idle");

export const level = (word) => ({ notice: "idle", degraded: "warn", unavailable: "bad" }[word] ?? "warn");

/** How a storage is, in a kind and a word. */
export function storageWord(s) {
  if (s.state === "backfilling") {
    const b = s.backfilling;
    return ["busy", b && b.total ? `backfilling ${Math.floor((100 * b.done) / b.total)} %` : "backfilling"];
  }
  if (s.state === "out" && /drain/.test(s.why ?? "")) return ["idle", s.reachable ? "drained" : "drained, unreachable"];
  if (s.state === "out") return ["bad", s.reachable ? "out, returns soon" : "out, unreachable"];
  if (s.state === "fenced") return ["warn", "fenced"];
  if (!s.reachable) return ["bad", "unreachable"];
  if (s.slow) return ["warn", "serving, slow"];
  if (!s.votes) return ["warn", "serving, no votes"];
  return [s.behind ? "warn" : "good", "serving"];
}

export function instanceWord(i) {
  if (i.state === "unreachable") return ["bad", "unreachable"];
  if (i.state === "not a member") return ["idle", "not a member"];
  if (i.state === "joining") return ["busy", "joining"];
  if (i.error) return ["warn", i.state];
  if (i.state === "candidate") return ["warn", "candidate"];
  return [i.state === "leader" ? "good" : "idle", i.state];
}

/** A moment, as the clock of UTC says it. */
export function clock(text) {
  if (!text) return "";
  const t = new Date(text);
  const day = new Date().toISOString().slice(0, 10);
  const iso = t.toISOString();
  return (iso.slice(0, 10) === day ? "" : iso.slice(0, 10) + " ") + iso.slice(11, 19);
}

export function when(text) {
  return text ? h("time", { datetime: text, title: text + " (UTC)" }, clock(text)) : null;
}

export function span(ms) {
  if (ms < 1000) return `${Math.max(0, Math.round(ms))} ms`;
  const s = Math.round(ms / 1000);
  if (s < 120) return `${s} s`;
  if (s < 7200) return `${Math.round(s / 60)} min`;
  if (s < 172800) return `${Math.round(s / 3600)} h`;
  return `${Math.round(s / 86400)} d`;
}

export const number = (n) => Number(n).toLocaleString("en-US");

export const count = (n, one, many) => `${number(n)} ${n === 1 ? one : many ?? one + "s"}`;

export const repositoryLink = (vs, path) => `#/repository/${encodeURIComponent(vs)}/${encodeURIComponent(path)}`;
