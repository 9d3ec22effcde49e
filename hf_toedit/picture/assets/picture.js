// Tells of a token what the prior said, where a pointer, the focus or a tap is. All listeners are the document's, so
// that fragments may come and go. Whatever is shown is put in as text, never as HTML.
(() => {
  "use strict";
  if (window.toeditPicture) return;
  window.toeditPicture = true;

  const MARGIN = 8;
  const GAP = 4;
  const read = new WeakMap();
  const tip = document.createElement("div");
  tip.id = "te-tip";
  tip.className = "te-tip";
  tip.setAttribute("role", "tooltip");
  tip.popover = "manual";
  let shown = null;

  const tokenAt = (target) => (target instanceof Element ? target.closest(".te-text .te-t") : null);
  const tokensOf = (token) => [...token.closest(".te-text").querySelectorAll(".te-t")];

  function dataOf(text) {
    if (!read.has(text)) read.set(text, JSON.parse(text.dataset.te));
    return read.get(text);
  }

  function add(parent, name, words, className) {
    const element = document.createElement(name);
    element.textContent = words;
    if (className) element.className = className;
    parent.append(element);
    return element;
  }

  const decimal = (p) => (p === 0 || p >= 1e-4 ? p.toFixed(4) : p.toExponential(0));

  function fill(token) {
    const { words, rows } = dataOf(token.closest(".te-text"));
    const [text, probability, rank, note, drawn, ...candidates] = rows[tokensOf(token).indexOf(token)];
    tip.replaceChildren();
    add(tip, "div", "“" + words[text] + "”", "te-tip-token");
    const p = probability === null ? "not scored" : "p " + decimal(probability);
    const looked = candidates.length ? "rank over " + words[0] : "";
    add(tip, "div", [p, rank === null ? looked : "rank " + rank].filter(Boolean).join(", "));
    if (words[note]) add(tip, "div", words[note], "te-tip-note");
    if (!candidates.length) return;
    const table = add(tip, "table", "");
    for (let at = 0; at < candidates.length; at += 2) {
      const [word, share] = [candidates[at], candidates[at + 1]];
      const row = add(table, "tr", "");
      const mark = word === null ? "" : word === text ? " original" : word === drawn ? " sampled" : "";
      row.style.setProperty("--te-share", 100 * share + "%");
      add(row, "th", word === null ? "not a text alone" : "“" + words[word] + "”").scope = "row";
      add(row, "td", mark, "te-tip-note");
      add(row, "td", decimal(share));
    }
  }

  function place(token) {
    const lines = token.getClientRects();
    const left = Math.min(lines[0].left, document.documentElement.clientWidth - tip.offsetWidth - MARGIN);
    const above = lines[0].top - tip.offsetHeight - GAP;  // where it does not hide what is read next
    tip.style.left = Math.max(MARGIN, left) + "px";
    tip.style.top = (above >= MARGIN ? above : lines[lines.length - 1].bottom + GAP) + "px";
  }

  function hide() {
    if (!shown) return;
    shown.removeAttribute("aria-describedby");
    shown = null;
    if (tip.isConnected && tip.hidePopover) tip.hidePopover();
    tip.remove();
  }

  function show(token) {
    if (token === shown && tip.isConnected) return;
    hide();
    fill(token);
    token.closest(".te-frame").append(tip);
    if (tip.showPopover) tip.showPopover();
    token.setAttribute("aria-describedby", tip.id);
    shown = token;
    place(token);
  }

  function go(token) {
    for (const other of token.closest(".te-text").querySelectorAll("[tabindex]")) other.tabIndex = -1;
    token.tabIndex = 0;
    token.focus();
  }

  // Elements that move under a pointer at rest are not pointed at.
  let pointer = "";
  const hasMoved = (event) => pointer !== (pointer = event.clientX + " " + event.clientY);
  document.addEventListener("pointermove", hasMoved, { passive: true });
  document.addEventListener("pointerover", (event) => {
    if (!hasMoved(event) || tip.contains(event.target)) return;
    const token = tokenAt(event.target);
    if (token) show(token);
    else if (shown !== document.activeElement) hide();
  });
  document.addEventListener("focusin", (event) => {
    const token = tokenAt(event.target);
    if (token) show(token);
    else hide();
  });
  document.addEventListener("focusout", hide);
  document.addEventListener("click", (event) => {
    const token = tokenAt(event.target);
    if (token && !String(window.getSelection())) go(token);
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") hide();
    const token = tokenAt(event.target);
    if (!token || event.ctrlKey || event.altKey || event.metaKey) return;
    const tokens = tokensOf(token);
    const at = tokens.indexOf(token);
    const next = { ArrowRight: at + 1, ArrowDown: at + 1, ArrowLeft: at - 1, ArrowUp: at - 1, Home: 0, End: tokens.length - 1 }[event.key];
    if (next === undefined) return;
    event.preventDefault();
    if (tokens[next]) go(tokens[next]);
  });
  for (const name of ["scroll", "resize"]) {
    window.addEventListener(name, () => {
      if (shown && shown.isConnected) place(shown);
      else hide();
    }, { capture: true, passive: true });
  }
})();
