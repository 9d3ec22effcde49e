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

// As in every editor of text: Ctrl+Enter, or Cmd+Enter, runs.
addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) document.getElementById("te-edit")?.click();
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
  const words = [...said].filter((node) => node.isConnected).map((node) => node.textContent).join(" ");
  if (!words) return;
  last = words === last ? words + "\u00a0" : words;  // the same words again are no change otherwise
  live.textContent = last;
}).observe(document.documentElement, { characterData: true, childList: true, subtree: true });
