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
