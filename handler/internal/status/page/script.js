"use strict";
// The page refreshes itself: what the server renders anew is brought into the page that is there, node by node, so that focus, scroll
// position and what is unfolded stay. Keys live in this closure alone.
(() => {
  const refreshEvery = 10_000;
  const byId = (id) => document.getElementById(id);
  const address = new URL(location.href);
  const readerKey = address.searchParams.get("code") || "";
  if (address.searchParams.has("code")) {
    address.searchParams.delete("code");
    history.replaceState(null, "", address);
  }

  // Nodes that mean the same thing have the same key; others are told by their names.
  const keyOf = (node) => (node.nodeType === Node.ELEMENT_NODE ? node.id || node.dataset?.key || "" : "");
  const alike = (a, b) => a.nodeType === b.nodeType && a.nodeName === b.nodeName && keyOf(a) === keyOf(b);

  const bring = (have, want) => {
    if (have.nodeType !== Node.ELEMENT_NODE) {
      if (have.nodeValue !== want.nodeValue) have.nodeValue = want.nodeValue;
      return;
    }
    for (const { name } of [...have.attributes]) {
      if (!want.hasAttribute(name) && !(name === "open" && have.nodeName === "DETAILS")) have.removeAttribute(name);
    }
    for (const { name, value } of want.attributes) {
      if (have.getAttribute(name) !== value) have.setAttribute(name, value);
    }
    const keys = new Set([...want.childNodes].map(keyOf));
    for (const child of [...have.childNodes]) {
      if (keyOf(child) && !keys.has(keyOf(child))) child.remove();
    }
    let at = have.firstChild;
    for (const child of [...want.childNodes]) {
      let match = at;
      while (match && !alike(match, child)) match = match.nextSibling;
      if (!match || (!keyOf(child) && match !== at)) {
        have.insertBefore(document.importNode(child, true), at);
        continue;
      }
      while (at !== match && !keyOf(at)) { // an element that is moved would lose its focus: what is in its way goes instead
        const next = at.nextSibling;
        at.remove();
        at = next;
      }
      if (match !== at) have.insertBefore(match, at);
      bring(match, child);
      at = match.nextSibling;
    }
    while (at) {
      const next = at.nextSibling;
      at.remove();
      at = next;
    }
  };

  const fresh = byId("fresh");
  const stale = (why) => {
    fresh.classList.add("stale");
    fresh.textContent = why;
  };
  const say = (text) => { byId("said").textContent = text; };

  let asking = null;
  const refresh = () => {
    asking ??= ask().finally(() => { asking = null; });
    return asking;
  };
  const ask = async () => {
    let reply;
    try {
      reply = await fetch(address.pathname, { headers: { "x-functions-key": readerKey }, cache: "no-store" });
    } catch {
      stale("No answer from the function app: what is shown may be old");
      return;
    }
    if (reply.status === 401) {
      stale("The key is not taken any more: open the page again with its link");
      return;
    }
    if (!(reply.headers.get("content-type") || "").startsWith("text/html")) {
      stale("The function app answers " + reply.status + ": what is shown may be old");
      return;
    }
    const page = new DOMParser().parseFromString(await reply.text(), "text/html");
    const before = byId("headline")?.textContent;
    const focused = document.activeElement;
    for (const part of ["header.top", "main"]) bring(document.querySelector(part), page.querySelector(part));
    if (focused !== document.activeElement && focused.isConnected) focused.focus({ preventScroll: true });
    document.title = page.title;
    const now = byId("headline")?.textContent;
    if (now !== before) say(now);
  };
  const tick = async () => {
    if (document.visibilityState === "visible") await refresh();
    setTimeout(tick, refreshEvery);
  };
  setTimeout(tick, refreshEvery);
  document.addEventListener("visibilitychange", () => { if (document.visibilityState === "visible") refresh(); });

  // Actions: each asks for the key of its own function, who and why.
  const dialog = byId("confirm");
  const keys = new Map();
  let action = null;
  document.addEventListener("click", (event) => {
    const button = event.target.closest("button[data-do]");
    if (!button) return;
    action = { name: button.dataset.do, path: button.dataset.path, bare: "bare" in button.dataset, label: button.textContent };
    byId("confirm-label").textContent = action.label;
    byId("confirm-says").textContent = button.dataset.says;
    byId("confirm-name").textContent = action.name;
    byId("confirm-key").value = keys.get(action.name) || "";
    byId("confirm-go").textContent = action.label;
    byId("confirm-reason").value = "";
    byId("confirm-failed").textContent = "";
    byId("confirm-who").hidden = action.bare;
    for (const id of ["confirm-by", "confirm-reason"]) byId(id).disabled = action.bare;
    dialog.showModal();
  });
  byId("confirm-cancel").addEventListener("click", () => dialog.close());
  byId("confirm-form").addEventListener("submit", async (event) => {
    event.preventDefault();
    const go = byId("confirm-go");
    const key = byId("confirm-key").value.trim();
    const body = action.bare ? undefined : JSON.stringify({ by: byId("confirm-by").value, reason: byId("confirm-reason").value });
    go.disabled = true;
    try {
      const reply = await fetch(action.path, {
        method: "POST", body, cache: "no-store",
        headers: { "x-functions-key": key, "content-type": "application/json" },
      });
      if (!reply.ok) throw new Error(reply.status === 401 ? "The key is not the one of this function." : await reason(reply));
      keys.set(action.name, key);
      dialog.close();
      say(action.label + ": done");
      await refresh();
    } catch (error) {
      byId("confirm-failed").textContent = error.message;
    } finally {
      go.disabled = false;
    }
  });
  const reason = async (reply) => {
    const text = await reply.text();
    try {
      return JSON.parse(text).error || text;
    } catch {
      return "The function app answers " + reply.status + ".";
    }
  };
})();
