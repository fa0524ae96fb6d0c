// Keeps the page as it is now: takes the parts that have changed from the stream, by their ids, and leaves alone what
// somebody is about. Without it all links and forms work; one reloads.
(() => {
  "use strict";
  const STALE_MS = 6000;
  const AGAIN_MS = 2000;
  const THEMES = ["auto", "light", "dark"];
  const root = document.documentElement;

  // The theme, before anything is painted.
  let theme = "auto";
  try { theme = localStorage.getItem("theme") || "auto"; } catch (refused) { /* no storage: the system's */ }
  const wear = () => {
    if (theme === "auto") root.removeAttribute("data-theme");
    else root.setAttribute("data-theme", theme);
  };
  wear();

  const byId = (id) => document.getElementById(id);

  const offerThemes = () => {
    const button = byId("theme");
    if (!button) return;
    const name = () => { button.textContent = `Theme: ${theme}`; };
    name();
    button.hidden = false;
    button.addEventListener("click", () => {
      theme = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length];
      try { localStorage.setItem("theme", theme); } catch (refused) { /* for this page alone */ }
      wear();
      name();
    });
  };

  // What somebody is about: typing, or has marked.
  const isHeld = (element) => {
    const active = document.activeElement;
    if (active && element.contains(active) && active.matches("input:not([type=hidden]), select, textarea")) return true;
    const selection = document.getSelection();
    return Boolean(selection && !selection.isCollapsed && selection.containsNode(element, true));
  };

  // The same place in another copy of an element.
  const path = (from, to) => {
    const steps = [];
    for (let node = to; node !== from; node = node.parentElement) {
      steps.unshift([...node.parentElement.children].indexOf(node));
    }
    return steps;
  };
  const at = (element, steps) => steps.reduce((node, step) => node && node.children[step], element);

  const swap = (id, html) => {
    const old = byId(id);
    if (!old) return true;
    const made = document.createElement("template");
    made.innerHTML = html;
    const fresh = made.content.firstElementChild;
    if (!fresh || old.isEqualNode(fresh)) return true;
    if (isHeld(old)) return false;
    for (const open of old.querySelectorAll("details[open][id]")) {
      const same = fresh.querySelector(`#${CSS.escape(open.id)}`);
      if (same) same.open = true;
    }
    if (old.open && fresh.tagName === "DETAILS") fresh.open = true;
    const scrolled = [...old.querySelectorAll("*")].filter((each) => each.scrollTop || each.scrollLeft)
      .map((each) => [path(old, each), each.scrollTop, each.scrollLeft]);
    const active = document.activeElement;
    const focused = active && old.contains(active) ? (active.id || path(old, active)) : null;
    old.replaceWith(fresh);
    for (const [steps, top, left] of scrolled) {
      const same = at(fresh, steps);
      if (same) { same.scrollTop = top; same.scrollLeft = left; }
    }
    if (focused !== null) {
      const same = typeof focused === "string" ? byId(focused) : at(fresh, focused);
      if (same) same.focus({ preventScroll: true });
    }
    return true;
  };

  // The parts that are not shown yet, because somebody is about what they replace.
  const waiting = new Map();
  const show = (parts) => {
    for (const [id, html] of Object.entries(parts)) {
      waiting.set(id, html);
      if (isAsked) later.set(id, html);
    }
    for (const [id, html] of waiting) if (swap(id, html)) waiting.delete(id);
  };

  // The whole page is owed from when the stream says that it is another one until it is there. `later`: the parts that
  // came since it was asked for, which may be newer than it is.
  const later = new Map();
  let owed = 0, paid = 0, isAsked = false, askAt = 0;
  const fetchWhole = async () => {
    if (isAsked || Date.now() < askAt || isHeld(byId("main"))) return;
    const asked = owed;
    isAsked = true;
    askAt = Date.now() + AGAIN_MS;
    try {
      const answer = await fetch(location.href, { credentials: "same-origin" });
      if (answer.redirected) location.assign(answer.url);
      else if (answer.status < 500 && replaceMain(await answer.text())) paid = asked;
    } catch (failed) { /* it stays owed, and the badge says that nobody answers */ }
    isAsked = false;
    show(Object.fromEntries(later));
    later.clear();
  };
  const replaceMain = (html) => {
    const other = new DOMParser().parseFromString(html, "text/html").getElementById("main");
    const own = byId("main");
    if (!other || isHeld(own)) return false;
    waiting.clear();
    const open = [...own.querySelectorAll("details[open][id]")].map((each) => each.id);
    const told = [...byId("told").childNodes]; // what somebody has just done may be why the page is another
    own.replaceWith(document.adoptNode(other));
    if (byId("told") && !byId("told").childElementCount) byId("told").replaceChildren(...told);
    for (const id of open) if (byId(id)) byId(id).open = true;
    return true;
  };

  // The badge.
  let heard = Date.now(), since = null, isAway = false;
  const clock = (when) => when.toISOString().slice(11, 19);
  const tellAge = () => {
    const badge = byId("fresh"), text = byId("fresh-text");
    if (!badge) return;
    const isStale = isAway || Date.now() - heard > STALE_MS;
    if (isStale && since === null) since = new Date(heard);
    if (!isStale) since = null;
    badge.classList.toggle("stale", isStale);
    badge.classList.toggle("live", !isStale);
    const told = isStale ? `Stale since ${clock(since)} UTC` : "Live";
    if (text.textContent !== told) text.textContent = told;
  };

  let stream = null;
  const listen = () => {
    stream = new EventSource(`/live${location.pathname}${location.search}`);
    stream.onmessage = (event) => {
      const told = JSON.parse(event.data);
      isAway = Boolean(told.stale);
      if (!isAway || since === null) heard = Date.now();
      if (told.is_another) { owed += 1; fetchWhole(); }
      if (told.parts) show(told.parts);
      tellAge();
    };
    stream.onerror = () => {
      if (stream.readyState !== EventSource.CLOSED) return; // the browser tries again
      setTimeout(async () => {
        const answer = await fetch(location.href, { credentials: "same-origin" }).catch(() => null);
        if (answer && answer.redirected) location.assign(answer.url);
        else listen();
      }, 3000);
    };
  };

  // Forms that act: what became of it is told where one is.
  const tell = (told) => {
    const place = byId("told");
    place.replaceChildren(...told.map(([kind, text]) => {
      const line = document.createElement("p");
      line.className = kind;
      line.textContent = text;
      return line;
    }));
    place.scrollIntoView({ block: "nearest" });
  };
  const act = async (event) => {
    const form = event.target;
    if (!form.matches("form[data-act]")) return;
    const question = form.dataset.confirm;
    if (question && !confirm(question)) { event.preventDefault(); return; }
    event.preventDefault();
    const button = event.submitter;
    const fields = new URLSearchParams(new FormData(form, button));
    if (button) button.disabled = true;
    try {
      const answer = await fetch(form.action, {
        method: "POST", body: fields, credentials: "same-origin", headers: { accept: "application/json" },
      });
      if (answer.headers.get("content-type") === "application/json") tell((await answer.json()).told);
      else tell([["bad", `It was refused (${answer.status}): open the page again.`]]);
    } catch (failed) {
      tell([["bad", "The page's server does not answer: nobody knows whether it was done."]]);
    } finally {
      if (button) button.disabled = false;
    }
  };

  addEventListener("DOMContentLoaded", () => {
    offerThemes();
    document.addEventListener("submit", act);
    if (!document.body.hasAttribute("data-live-page")) return;
    listen();
    setInterval(tellAge, 1000);
    setInterval(() => {
      if (owed !== paid) fetchWhole();
      if (waiting.size) show({});
    }, 500);
  });
})();
