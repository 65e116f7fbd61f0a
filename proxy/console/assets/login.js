// The page before a session.
import { h } from "./dom.js";
import { state, post, connect } from "./link.js";

let fault = "", busy = false;

export function login() {
  return h("form", { class: "login", onsubmit: signIn, autocomplete: "off" },
    h("img", { src: "/icon.svg", alt: "", width: 40, height: 40 }),
    h("h1", {}, "praefect console"),
    h("label", { for: "token" }, "Token"),
    h("input", { id: "token", type: "password", required: true, autofocus: true, autocomplete: "off", spellcheck: "false", "aria-describedby": "token-help" }),
    h("p", { id: "token-help", class: "muted" }, "The client token opens the pages to read. The admin token also allows changes."),
    h("label", { for: "name" }, "Your name ", h("span", { class: "muted" }, "(optional, for the history of changes)")),
    h("input", { id: "name", maxlength: 64, autocomplete: "username", spellcheck: "false" }),
    fault ? h("p", { class: "fault", role: "alert" }, "✗ " + fault) : null,
    h("button", { class: "primary", disabled: busy }, busy ? "Signing in…" : "Sign in"));
}

const again = () => document.dispatchEvent(new Event("render"));

function signIn(event) {
  event.preventDefault();
  const token = document.getElementById("token"), name = document.getElementById("name");
  busy = true;
  again();
  post("/api/login", { token: token.value, name: name.value }).then((r) => r.json()).then((session) => {
    state.session = session;
    state.parts = {};
    fault = "";
    token.value = "";
    connect();
  }).catch((problem) => { fault = problem.message; }).finally(() => {
    busy = false;
    again();
    setTimeout(() => document.getElementById("token")?.select(), 50);
  });
}
