// The parts around the canvas: what task this is, how far it is, and what must be said.

export const at = (id) => document.getElementById(id);
const LONG_S = 30; // on one mask: the paper's annotators went on to the next image
const KINDS = { assisted_manual: "Draw all objects", semi_automatic: "Add what is missing" };
const SAID_MS = 6000;

export function showTask({ task, progress, state }) {
  at("image-name").textContent = at("image-name").title = task?.key ?? "";
  at("kind").textContent = task ? (task.isReview ? "Review" : KINDS[task.phase] ?? "Draw all objects") : "";
  const { saved = 0, unusable = 0, ...rest } = progress;
  const total = Object.values(rest).reduce((sum, count) => sum + count, saved);
  at("progress").textContent = total ? `${saved} of ${total} images saved` : "";
  at("message").hidden = state === "open";
  at("message").textContent = {
    loading: "The image is being prepared …",
    done: "There is no image left for you. Thank you. Reload the page to look again.",
  }[state] ?? state;
  at("rule").textContent = at("list").title = task?.rule ?? "";
  document.body.dataset.task = task?.kind ?? "";
}

export function showButtons(task) {
  const object = task?.object;
  at("undo").disabled = !task?.canUndo;
  at("redo").disabled = !task?.canRedo;
  at("delete").disabled = at("next").disabled = at("look").disabled = !object;
  at("delete").firstChild.textContent = !object?.given ? "Delete" : object.locked && object.verdict === "reject" ? "Keep it" : "Reject";
  at("accept").disabled = !object?.given || object.locked;
  at("accept-all").disabled = at("reject-all").disabled = !task?.isReview;
  at("save").disabled = at("skip").disabled = !task;
  at("rule").hidden = ![...(task?.objects.values() ?? [])].some((one) => one.duplicate_of);
  at("verdict").hidden = !task?.imageVerdict;
  at("verdict").textContent = task?.imageVerdict === "reject" ? "This image goes back to the queue." : "Accepted as a whole.";
}

export function showTime(task) {
  const seconds = task ? Math.floor((performance.now() - task.started) / 1000) : 0;
  const isLong = Boolean(task?.object) && !task.object.given && seconds >= LONG_S;
  at("timer").textContent = `${seconds} s`;
  at("timer").classList.toggle("long", isLong);
  at("hint").hidden = !isLong;
  at("hint").textContent = `${LONG_S} s on this mask: keep it as it is (N), or delete it (X), and save the image (S) for the next one.`;
}

// Whether all is stored; what is not, in words, where the connection is lost.
export function showStored(connected, pending) {
  const state = connected ? (pending ? "storing" : "stored") : "lost";
  at("connection").dataset.state = state;
  at("connection").textContent = { storing: "storing …", stored: "all stored", lost: "no connection" }[state];
  at("lost").hidden = connected;
  const left = pending === 1 ? "All but the last action is stored" : pending ? `All but the last ${pending} actions are stored` : "All is stored";
  at("lost").textContent = `The connection is lost. ${left}. Leave this tab open: it goes on by itself when the server is back.`;
}

// For some seconds, or until the next thing is done.
export function say(sentence) {
  at("banner").hidden = !sentence;
  at("banner").textContent = sentence;
  clearTimeout(say.timer);
  say.timer = setTimeout(() => (at("banner").hidden = true), SAID_MS);
}

export function showMagnifier({ crop, isAsking }) {
  at("magnifier").hidden = !crop && !isAsking;
  at("magnifier").textContent = isAsking ? "Sharpening this part …" : "Sharp: the model sees this part alone";
}
