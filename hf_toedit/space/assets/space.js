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

// What appears in the page is read out by a region that is always there; one that comes with its words often is not.
const SAID = ".te-said, .te-notice";
addEventListener("DOMContentLoaded", () => {
  const live = document.createElement("div");
  live.className = "te-live";
  live.setAttribute("role", "status");
  document.body.append(live);
  let last = "";
  new MutationObserver((changes) => {
    const added = changes.flatMap((change) => [...change.addedNodes]).filter((node) => node instanceof Element);
    const told = added.flatMap((node) => [node, ...node.querySelectorAll(SAID)]);
    const said = new Set(told.filter((node) => node.matches(SAID)));
    const words = [...said].map((node) => node.textContent).join(" ");
    if (!words) return;
    last = words === last ? words + "\u00a0" : words;  // the same words again are no change otherwise
    live.textContent = last;
  }).observe(document.body, { childList: true, subtree: true });
});
