/* What the server cannot do: keep figures live, show when they are not, the theme, and the keyboard.
   Every page works without this file; nothing here decides anything. */
"use strict";
(() => {
  const root = document.documentElement;
  const pulse = document.getElementById("pulse");
  const source = document.body.dataset.live;

  // Theme: the server reads the cookie, so a page never flashes in the wrong one.
  document.querySelectorAll("[data-theme-toggle]").forEach((button) => {
    button.hidden = false;
    button.addEventListener("click", () => {
      const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
      root.dataset.theme = dark ? "light" : "dark";
      const secure = location.protocol === "https:" ? "; Secure" : "";
      document.cookie = `rf_theme=${root.dataset.theme}; Path=/; Max-Age=31536000; SameSite=Strict${secure}`;
    });
  });

  // Live regions: the server sends whole regions by id. Rows with a data-key stay in place when they did not change, so that focus,
  // selection and the reader's place survive; what somebody is typing in is left alone.
  function patch(region, html) {
    const next = document.createElement("template");
    next.innerHTML = html;
    const lists = [...region.querySelectorAll("[data-rows]")];
    const wanted = [...next.content.querySelectorAll("[data-rows]")];
    const same = lists.length === wanted.length && lists.every((list, place) => list.dataset.rows === wanted[place].dataset.rows);
    if (lists.length && same) return lists.forEach((list, place) => patchRows(list, wanted[place]));
    if (isTouched(region)) return;
    const held = region.contains(document.activeElement) ? document.activeElement.id : "";
    region.replaceChildren(next.content);
    if (held) document.getElementById(held)?.focus({ preventScroll: true });
  }
  function isTouched(region) {
    if (region.contains(document.activeElement) && document.activeElement.matches("input, select, textarea")) return true;
    return [...region.querySelectorAll("input, textarea")].some((field) => field.value !== field.defaultValue || field.checked !== field.defaultChecked);
  }
  function patchRows(list, wanted) {
    const old = new Map([...list.children].map((row) => [row.dataset.key, row]));
    let place = list.firstElementChild;
    for (const row of [...wanted.children]) {
      const before = old.get(row.dataset.key);
      old.delete(row.dataset.key);
      let kept = row;
      if (before && before.outerHTML === row.outerHTML) kept = before;
      else if (before) {
        const held = before.contains(document.activeElement) ? document.activeElement.id : "";
        if (place === before) place = before.nextElementSibling;
        before.replaceWith(row);
        if (held) document.getElementById(held)?.focus({ preventScroll: true });
      }
      if (kept === place) place = place.nextElementSibling;
      else list.insertBefore(kept, place);
    }
    old.forEach((row) => row.remove());
  }

  let heardAt = 0;
  let heardText = "";
  function show(state, text) {
    if (!pulse) return;
    if (pulse.dataset.state !== state) pulse.dataset.state = state;
    if (pulse.textContent !== text) pulse.textContent = text;
  }
  let events = null;
  function listen() {
    events = new EventSource(source);
    const mine = events;
    events.addEventListener("patch", (event) => {
      heardAt = performance.now();
      const { at, regions } = JSON.parse(event.data);
      heardText = at;
      show("live", `live ${at}`);
      for (const [id, html] of Object.entries(regions)) {
        const region = document.getElementById(id);
        if (region) patch(region, html);
      }
    });
    events.addEventListener("goodbye", () => { mine.close(); location.reload(); });
    events.addEventListener("error", () => {
      // The browser comes back by itself after a broken line, but gives up after an answer such as 502: then we do it.
      if (mine === events && mine.readyState === EventSource.CLOSED) setTimeout(() => { if (mine === events && !document.hidden) listen(); }, 3000);
    });
  }
  function hush() {
    events?.close();
    events = null;
  }
  if (source) {
    heardAt = performance.now();
    listen();
    // A browser opens six lines to a server at the most: a page nobody looks at gives its line back.
    document.addEventListener("visibilitychange", () => { if (document.hidden) hush(); else if (!events) listen(); });
    addEventListener("pagehide", hush);
    addEventListener("pageshow", () => { if (!events) listen(); });
    setInterval(() => {
      if (performance.now() - heardAt > 4000) show("stale", heardText ? `stale since ${heardText}` : "not live yet");
    }, 1000);
  }

  // Buttons that reveal: a native dialog, focus inside, Escape closes.
  document.addEventListener("click", (event) => {
    const opener = event.target.closest("[data-dialog]");
    if (opener) document.getElementById(opener.dataset.dialog)?.showModal();
    if (event.target.closest("[data-close]")) event.target.closest("dialog")?.close();
    const filler = event.target.closest("[data-fill]");
    if (filler) {
      const field = document.getElementById(filler.dataset.fill);
      field.value = filler.textContent.trim();
      field.focus();
    }
  });
  // A slider says its value.
  document.addEventListener("input", (event) => {
    const shown = event.target.dataset?.shows && document.getElementById(event.target.dataset.shows);
    if (shown) shown.value = event.target.value;
  });
  // On a phone the tab one is at may lie outside.
  document.querySelector(".tabs [aria-current]")?.scrollIntoView({ inline: "center", block: "nearest" });
  // One press is one order.
  document.addEventListener("submit", (event) => {
    if (event.target.dataset.sent) event.preventDefault();
    else if (event.target.method === "post") event.target.dataset.sent = "1";
  });
  addEventListener("pageshow", () => document.querySelectorAll("form[data-sent]").forEach((form) => delete form.dataset.sent));

  // Keyboard: g then a letter goes somewhere, j and k walk the rows, slash searches the page, s everything, ? explains.
  let lead = "";
  function walk(step) {
    const rows = [...document.querySelectorAll("[data-rows] a.open")];
    if (!rows.length) return;
    const at = rows.indexOf(document.activeElement);
    rows[Math.max(0, Math.min(rows.length - 1, at + step))].focus();
  }
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, select, textarea, dialog")) return;
    const key = event.key;
    if (lead === "g") {
      lead = "";
      const link = document.querySelector(`.nav a[data-go="${CSS.escape(key)}"]`);
      if (link) { event.preventDefault(); link.click(); }
    } else if (key === "g") { lead = "g"; setTimeout(() => { lead = ""; }, 1500); }
    else if (key === "j") walk(1);
    else if (key === "k") walk(-1);
    else if (key === "/") { const field = document.querySelector("[data-search]"); if (field) { event.preventDefault(); field.focus(); field.select(); } }
    else if (key === "s") { const field = document.getElementById("seek"); if (field?.checkVisibility()) { event.preventDefault(); field.focus(); } }
    else if (key === "?") document.getElementById("keys")?.showModal();
  });
})();
