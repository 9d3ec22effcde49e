// A link to this page that is opened on this page changes the fragment alone, and loads nothing by itself.
addEventListener("hashchange", () => {
  if (location.hash.startsWith("#te1")) location.reload();
});

// Gradio takes a slider for released by pointers only; whoever moves it by keys lets go of a key.
const MOVES = /^(Arrow|Page|Home|End)/;
addEventListener("keyup", (event) => {
  if (event.target.matches?.("input[type=range]") && MOVES.test(event.key)) {
    event.target.dispatchEvent(new PointerEvent("pointerup", { bubbles: true }));
  }
});

// Ctrl+Enter, or Cmd+Enter, runs; Gradio is not to take the same key for Enter, which would run twice.
addEventListener("keydown", (event) => {
  const button = document.getElementById("te-edit");
  if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey) || !button?.offsetParent) return;
  event.preventDefault();
  event.stopImmediatePropagation();
  if (!event.repeat) button.click();
}, true);

// On a phone the results are below the controls: whoever presses a button that runs is brought to them.
const bring = (node, block) => {
  const behavior = matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth";
  node.scrollIntoView({ behavior, block });
};
addEventListener("click", (event) => {
  const button = event.target.closest?.("#te-edit, .te-runs");
  const results = document.getElementById("te-results");
  if (button && results?.getBoundingClientRect().top > button.getBoundingClientRect().bottom) bring(results, "start");
});

// What appears in the page is read out by a region that is always there; one that comes with its words often is not.
const SAID = ".te-said, .te-notice";
const live = document.createElement("div");
live.className = "te-live";
live.setAttribute("role", "status");
let last = "";
new MutationObserver((changes) => {
  if (document.body && !live.isConnected) document.body.append(live);
  const said = new Set();
  for (const { target, addedNodes } of changes) {
    const around = (target instanceof Element ? target : target.parentElement)?.closest(SAID);
    if (around) said.add(around);  // Gradio exchanges texts alone where nothing else differs
    for (const node of addedNodes) {
      if (!(node instanceof Element)) continue;
      for (const found of [node, ...node.querySelectorAll(SAID)]) if (found.matches(SAID)) said.add(found);
    }
  }
  for (const node of said) if (node.closest("#te-refused")) bring(node, "center");
  const words = [...said].filter((node) => node.isConnected).map((node) => node.textContent).join(" ");
  if (!words) return;
  last = words === last ? words + "\u00a0" : words;  // the same words again are no change otherwise
  live.textContent = last;
}).observe(document.documentElement, { characterData: true, childList: true, subtree: true });
