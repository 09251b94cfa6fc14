// Keeps an open page true: one stream of events, each with a newer piece of the page. Everything works without it.
"use strict";

const DIVISIONS = [[86400, "d"], [3600, "h"], [60, "min"]];
const KEPT_LINES = 2000;

const own = document.currentScript;
const link = document.getElementById("link");

function age(then) {
  const seconds = (Date.now() - then) / 1000;
  const fitting = DIVISIONS.find(([length]) => seconds >= length);
  return fitting ? `${Math.floor(seconds / fitting[0])} ${fitting[1]} ago` : "just now";
}

function refreshAges() {
  for (const element of document.querySelectorAll("time[datetime]")) {
    const text = age(Date.parse(element.dateTime));
    if (element.textContent !== text) element.textContent = text;
  }
}

// The server escapes what it puts into `html`; the page's policy allows no script but this file.
function fragment(html) {
  const template = document.createElement("template");
  template.innerHTML = html.trim();
  return template.content;
}

function patch({ id, html, into }) {
  const old = document.getElementById(id);
  const focused = document.activeElement?.closest?.("[id]")?.id;
  if (!html) old?.remove();
  else if (old) old.replaceWith(fragment(html));
  else document.getElementById(into)?.prepend(fragment(html));
  if (focused === id) document.getElementById(id)?.querySelector("a")?.focus({ preventScroll: true });
  refreshAges();
}

function append({ id, html }) {
  const element = document.getElementById(id);
  if (!element) return;
  const atEnd = element.scrollHeight - element.scrollTop - element.clientHeight < 40;
  element.append(fragment(html));
  while (element.childElementCount > KEPT_LINES) element.firstElementChild.remove();
  if (atEnd) element.scrollTop = element.scrollHeight;
}

function show(state) {
  if (!link) return;
  link.dataset.state = state;
  link.querySelector("b").textContent = state;
}

function follow(address) {
  const source = new EventSource(address);
  source.addEventListener("open", () => show("live"));
  source.addEventListener("patch", (event) => patch(JSON.parse(event.data)));
  source.addEventListener("append", (event) => append(JSON.parse(event.data)));
  source.addEventListener("error", () => {
    show("reconnecting");
    // The browser tries again by itself, except after an answer that is no stream: then we may be signed out.
    if (source.readyState === EventSource.CLOSED) setTimeout(() => location.reload(), 3000);
  });
  // A page that is left must not hold one of the browser's few connections.
  addEventListener("pagehide", () => source.close());
  addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });
}

const log = document.getElementById("log");
if (log) log.scrollTop = log.scrollHeight;
setInterval(refreshAges, 10000);
follow(own.dataset.events);
