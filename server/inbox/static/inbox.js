// What HTML cannot do: keys, one stream for all tabs, times that tick, and guards against a
// decision that nobody meant. Every rule of what may be decided is the server's.
"use strict";

const SETTLE_MS = 400; // so long after a question took another's place nothing decides it: a double click or a second tap was meant for the one before
const HOLD_MS = 4000; // so long an approval or a choice can be taken back
const OPENING_MS = 4000; // so long at most the one that is left waits for the one that is being opened
const ARMED_MS = 4000; // so long a button waits for its second press
const ASLEEP_MS = 5000; // a timer that is so late was stopped meanwhile
const REFRESH_MS = 500, SPREAD_MS = 1000; // between two reads of the list; and up to so much more where much happens
const HELD_BACK = { approve: "Approving", choose: "Sending the choice", no: "Sending No" };
const UNREACHABLE = "Not sent: the server cannot be reached. What you wrote is still here; try again.";

const $ = (selector, root = document) => root.querySelector(selector);
const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];
const isShown = (element) => element.checkVisibility();

let appearedAt = -SETTLE_MS; // when a question took the place of another
let switchedAt = -SETTLE_MS; // when other buttons took the place of those that were there
let shownSince = 0, shownId = $("#question")?.dataset.id; // since when the open one is on the screen
let seen = new Set($$("#rows .row").map((row) => row.id)); // that waited when the open one was opened
let opening = "", openedAt = 0; // which is being opened, since when
let held = null; // {id, address, values, timer, at}: decided, not sent yet
let position = 0; // of the open question in the list, also once it is gone from it
const drafts = new Map(); // what was typed for questions that were left, by id
const decided = new Set(); // ids whose rows are hidden although the list may still have them

document.documentElement.classList.remove("no-js");

// -- keys: those that are not ours are left alone

addEventListener("keydown", (event) => {
  if ($("dialog[open]") || event.isComposing) return;
  const isTyping = event.target.matches("textarea, select, input:not([type=radio], [type=checkbox])");
  const withControl = event.ctrlKey || event.metaKey;
  if (withControl && event.key === "Enter" && !event.altKey && $("#decide")) return press(event, sender());
  if (withControl || event.altKey) return;
  if (event.key === "Escape") return leave(event);
  if (isTyping || event.repeat) return;
  if (event.key === "Enter") return enter(event);
  if (event.key === "j" || event.key === "k") return press(event, neighbour(event.key === "j" ? 1 : -1));
  if (event.key === "z" && held) return takeBack();
  if (event.key === "o" && $("#question[data-run]")) return location.assign($("#question").dataset.run);
  if (event.key === "/" && $("[data-search]")) return focusOn(event, $("[data-search]"));
  if (/^[1-9]$/.test(event.key) && $(".option")) return pick(event, $$(".option input")[event.key - 1]);
  const target = $$(`[data-key="${CSS.escape(event.key)}"]`).find(isShown);
  if (target) press(event, target);
});

function press(event, target) {
  event.preventDefault();
  if (!event.repeat) target?.click();
}

function focusOn(event, target) {
  event.preventDefault();
  target.focus();
}

function enter(event) {
  if (event.target.matches(".option input")) return press(event, $("[data-choose]"));
  if (event.target.matches("a, button, summary, input")) return;
  const first = $(".fields :is(input, textarea, select):not([readonly])");
  if (first) focusOn(event, first);
}

function pick(event, radio) {
  if (!radio) return;
  if (radio.checked) return press(event, $("[data-choose]"));
  radio.checked = true;
  focusOn(event, radio);
}

function sender() {
  const form = $("form#decide"), now = form?.dataset.now;
  if (!form) return null;
  if (now === "reject") return $("[value=reject]", form);
  if (now === "cancel") return $("[data-confirmed]", form);
  const isChosen = $(".option :checked") && !$("#text-answer")?.value.trim();
  return (isChosen && $("[data-choose]", form)) || $$("[data-send]", form).find(isShown);
}

function leave(event) {
  const form = $("form#decide");
  if (event.target.matches("input, textarea, select")) event.target.blur();
  else if (form && "editing" in form.dataset && !form.dataset.now) return press(event, $("[data-back]"));
  if (form) switchTo("");
}

// -- the list

function rows() {
  return $$("#rows .row").filter((row) => !decided.has(row.id.slice(4)));
}

function neighbour(step) {
  const all = rows(), at = all.findIndex((row) => row.hasAttribute("aria-current"));
  if (at >= 0) return all[at + step];
  return step > 0 ? all[position] ?? all[0] : all[position - 1];
}

// The one below, else the first; an urgent one that came while the open one was shown goes first.
function findNext() {
  const open = $("#open")?.value, others = rows().filter((row) => row.id !== `row-${open}`);
  return others.find((row) => row.matches(".high") && !seen.has(row.id)) ?? neighbour(1) ?? others[0];
}

function markRows() {
  const open = isOpening() ? opening : $("#open")?.value;
  for (const row of $$("#rows .row")) {
    row.classList.toggle("held", decided.has(row.id.slice(4)));
    row.toggleAttribute("aria-current", false);
    if (row.id === `row-${open}`) row.setAttribute("aria-current", "true");
  }
  const at = rows().findIndex((row) => row.hasAttribute("aria-current"));
  if (at >= 0) position = at;
}

function showRow() {
  $("#rows [aria-current]")?.scrollIntoView({ block: "nearest" });
}

// -- deciding

addEventListener("click", (event) => {
  const link = event.target.closest("a[hx-target='#question']");
  if (link && (event.ctrlKey || event.metaKey || event.shiftKey)) return event.stopPropagation(); // a tab of its own
  if (link && !link.matches("[data-back]")) leaveFor(link.pathname.split("/").at(-1));
  const button = event.target.closest("#decide button, #decide [data-back], [data-next], button[data-key='?']");
  if (!button) return;
  if (button.dataset.key === "?") return $("#keys").showModal();
  if (button.matches("[data-next]")) return goOn(event);
  const isSecondClick = event.detail > 0 && performance.now() - switchedAt < SETTLE_MS;
  if (isOpening() || performance.now() - appearedAt < SETTLE_MS || isSecondClick) return stop(event);
  if ("mode" in button.dataset && button.form.dataset.now !== button.dataset.mode) {
    stop(event);
    return switchTo(button.dataset.mode);
  }
  if ("twice" in button.dataset && !isArmed(button)) {
    stop(event);
    arm(button);
  }
}, true);

// The second half of a double click would take the focus from where the first half put it.
addEventListener("mousedown", (event) => {
  if (performance.now() - switchedAt < SETTLE_MS) event.preventDefault();
}, true);

function stop(event) {
  event.preventDefault();
  event.stopImmediatePropagation();
}

// Show what goes with one decision: a reason, a note, an answer.
function switchTo(mode) {
  const form = $("form#decide");
  if (!form || form.dataset.now === mode) return;
  form.dataset.now = mode;
  switchedAt = performance.now();
  const box = mode && $(`.extra.on-${mode} textarea`, form);
  if (box) box.focus();
  else $("#title")?.focus({ preventScroll: true });
  fold();
}

function isArmed(button) {
  return button.armedAt && performance.now() - button.armedAt > SETTLE_MS;
}

function arm(button) {
  if (button.armedAt) return;
  const label = $("span", button), words = label.textContent;
  button.armedAt = performance.now();
  button.classList.add("armed");
  label.textContent = `${words} really?`;
  setTimeout(() => {
    button.armedAt = 0;
    button.classList.remove("armed");
    label.textContent = words;
  }, ARMED_MS);
}

// What the script knows and the form does not.
function addKnown(values, button) {
  values.shownMs = Math.round(performance.now() - shownSince);
  if (button?.name) values[button.name] = button.value; // htmx overlooks a button outside of its form
  if (button && ("twice" in button.dataset || "confirmed" in button.dataset)) values.confirmed = "1";
  return values;
}

document.addEventListener("htmx:confirm", (event) => {
  const form = event.detail.elt, button = event.detail.triggeringEvent?.submitter;
  if (form.id !== "decide" || !(button?.value in HELD_BACK)) return;
  if (button.value === "choose" && !$(".option :checked")) return;
  const next = findNext();
  if (!next) return;
  event.preventDefault();
  holdBack(form, button, next);
});

// An approval or a choice is held back for a moment, while the next question is there already.
function holdBack(form, button, next) {
  sendHeld();
  const id = $("#question").dataset.id;
  const values = addKnown(Object.fromEntries(new FormData(form, button)), button);
  held = { id, address: form.getAttribute("action"), values: { ...values, receipt: "1" }, at: Date.now(), timer: setTimeout(sendHeld, HOLD_MS) };
  decided.add(id);
  say("holding", `${HELD_BACK[button.value]}: ${$("#title").textContent.slice(0, 60)}`, { label: "Take back", key: "z", act: takeBack });
  next.click();
  markRows();
}

async function sendHeld() {
  if (!held) return;
  const sending = held;
  letGo();
  decided.add(sending.id);
  if (Date.now() - sending.at > HOLD_MS + ASLEEP_MS) return notSent(sending, "Not sent: this computer was asleep. Decide it again.");
  try {
    const response = await fetch(sending.address, {
      method: "POST",
      body: new URLSearchParams(sending.values),
      headers: { "HX-Request": "true", "Hitl-Background": "1" },
    });
    if (response.status === 401) return notSent(sending, "Not sent: your session has ended. Sign in, then decide it again.");
    if (![200, 409, 422].includes(response.status)) return notSent(sending, `Not sent: the server answered ${response.status}. Decide it again.`);
    if (response.status !== 200) putBack(sending.id); // if it is over, the list knows
    showReceipt(await response.text());
  } catch {
    notSent(sending, "Not sent: the server cannot be reached. Decide it again.");
  }
}

function letGo() {
  clearTimeout(held.timer);
  decided.delete(held.id);
  held = null;
}

function notSent(sending, words) {
  putBack(sending.id);
  say("not-taken", words, { label: "Open it", act: () => location.assign(sending.address) });
}

function putBack(id) {
  decided.delete(id);
  markRows();
}

function takeBack() {
  if (!held) return;
  const { id } = held;
  letGo();
  markRows();
  say("", "Taken back. Nothing was sent.");
  $(`#row-${CSS.escape(id)}`)?.click();
}

addEventListener("pagehide", () => {
  if (!held) return;
  navigator.sendBeacon(held.address, new URLSearchParams(held.values));
  letGo();
});

function goOn(event) {
  const next = findNext();
  if (!next) return;
  event.preventDefault();
  next.click();
}

// -- what is said

function say(kind, words, action) {
  const line = Object.assign(document.createElement("p"), { className: kind, textContent: `${words} ` });
  if (action) line.append(makeButton(action));
  add(line);
}

function showReceipt(html) {
  const made = document.createElement("template");
  made.innerHTML = html; // our own server's, escaped there
  add(made.content.querySelector("p"));
}

// What was not taken stays until somebody has closed it. Of the rest the newest is said; while
// something can be taken back, that.
function add(line) {
  const spot = $("#receipt"), is = (kind) => (one) => one.classList.contains(kind);
  if (is("not-taken")(line)) {
    line.append(makeButton({ label: "Close", act: () => line.remove() }));
    return spot.prepend(line);
  }
  if (held && !is("holding")(line)) return;
  spot.replaceChildren(...$$("p", spot).filter(is("not-taken")), line);
}

function makeButton({ label, key, act }) {
  const button = Object.assign(document.createElement("button"), { className: "quiet", textContent: `${label} ` });
  if (key) button.append(Object.assign(document.createElement("kbd"), { textContent: key }));
  button.addEventListener("click", act);
  return button;
}

// -- what htmx sends and brings

document.addEventListener("htmx:configRequest", (event) => {
  const { elt, parameters, triggeringEvent } = event.detail;
  if (elt.id === "rows") parameters.heard = heard;
  if (elt.id !== "decide") return;
  addKnown(parameters, triggeringEvent?.submitter);
  if (held) parameters.held = held.id; // still pending for the server: it must not come back as the next one
});

document.addEventListener("htmx:beforeRequest", (event) => {
  // The stream tells of our own decision before its answer is there: that must not take its place.
  if (event.detail.elt.matches(".watch") && $("#decide.htmx-request")) event.preventDefault();
});

document.addEventListener("htmx:beforeSwap", (event) => {
  if (event.detail.xhr.status === 401 && event.detail.xhr.getResponseHeader("HX-Reswap") === "none") return live("Signed out", "off");
  if (event.detail.target.id === "decide" && event.detail.shouldSwap) keepTyped();
});

// Answered meanwhile: what was typed for it stays, to be copied.
function keepTyped() {
  const typed = $$("#decide textarea").filter((one) => one.value.trim());
  if (!typed.length) return;
  const focused = typed.find((one) => one === document.activeElement);
  const kept = Object.assign(document.createElement("section"), { className: "fields" });
  kept.setAttribute("aria-label", "What you had written");
  kept.append(Object.assign(document.createElement("h3"), { textContent: "What you had written was not sent" }));
  for (const one of typed) {
    const label = $(`label[for="${one.id}"]`);
    label.textContent = label.innerText; // what is seen of it here
    one.readOnly = true;
    const field = Object.assign(document.createElement("div"), { className: "field" });
    field.append(label, one);
    kept.append(field);
  }
  $(".led").before(kept);
  focused?.focus();
}

document.addEventListener("htmx:afterSettle", (event) => {
  const { target, requestConfig } = event.detail;
  if (target === document.body) document.body.className = "sign-in"; // the session has ended
  if (target.id === "question" && $("#question")) appear(requestConfig?.parameters);
  if (target.id === "question" || target.id === "rows") markRows();
  const total = $("#counts")?.dataset.total;
  if (total !== undefined) document.title = `${total > 0 ? `(${total}) ` : ""}Inbox · HITL`;
  fold();
});

function leaveFor(id) {
  if (id !== shownId) keepDraft();
  opensNow(id);
}

// The list is ahead of the question: `j` `j` goes two rows. Meanwhile nothing decides the one that
// is left.
function opensNow(id) {
  opening = id;
  openedAt = performance.now();
  markRows();
}

function isOpening() {
  return opening && performance.now() - openedAt < OPENING_MS;
}

// What was typed for a question that is left for another is there when it is opened again.
function keepDraft() {
  const boxes = $$("textarea, input:not([type=hidden], [type=radio], [type=checkbox])").filter((one) => one.form?.id === "decide");
  const typed = boxes.filter((one) => one.value !== one.defaultValue);
  drafts.set(shownId, new Map([...(drafts.get(shownId) ?? []), ...typed.map((one) => [one.id, one.value])]));
}

function restoreDraft(id) {
  const draft = drafts.get(id) ?? new Map();
  for (const [name, value] of draft) {
    const box = document.getElementById(name);
    if (box?.form?.id !== "decide" || box.value !== box.defaultValue) continue; // what was edited waits for the edit
    draft.delete(name);
    box.value = value;
    switchTo(box.closest(".extra")?.className.match(/on-(\w+)/)[1] ?? "");
  }
}

function appear(parameters) {
  if (opening === $("#question").dataset.id) opening = "";
  const id = $("#question").dataset.id;
  appearedAt = performance.now();
  if (id !== shownId) {
    shownSince = appearedAt;
    seen = new Set(rows().map((row) => row.id));
  }
  shownId = id;
  document.body.className = "at-question";
  restoreDraft(id);
  markRows();
  showRow();
  const read = (name) => parameters?.get?.(name) ?? parameters?.[name];
  const added = read("more") && lastField(read("more"));
  (added || $(".fields [aria-invalid=true], #decide [aria-invalid=true]") || $("#title")).focus({ preventScroll: !added });
}

function lastField(list) {
  return $$(".fields :is(input:not([type=hidden]), textarea, select)").filter((one) => one.name.startsWith(`${list}/`)).at(-1);
}

document.addEventListener("htmx:sendError", (event) => {
  opensNow("");
  if (event.detail.elt.id === "decide") return say("not-taken", UNREACHABLE);
  if (!event.detail.elt.matches(".row")) return;
  if (held && held.id === $("#open")?.value) letGo(), markRows(), say("not-taken", UNREACHABLE);
  else say("not-taken", "The server cannot be reached. Try again.");
});

document.addEventListener("htmx:responseError", (event) => {
  opensNow("");
  const { elt, xhr } = event.detail;
  if (elt.id === "decide") say("not-taken", `Not sent: the server answered ${xhr.status}. What you wrote is still here; try again.`);
  else if (elt.matches(".row, [data-back]")) say("not-taken", `The server answered ${xhr.status}. Try again.`);
});

// -- what happens, as it happens. A browser opens six connections to a server and no more: with a
// stream for each tab the seventh would hang, so one tab listens for all.

const channel = new BroadcastChannel("hitl-inbox");
let listening = null, due = 0, refreshedAt = 0, isSteady = false;
let heard = ""; // the number of the newest news: who has heard the same gets the same list

channel.onmessage = ({ data }) => {
  if (!data.hello) hear(data);
  else if (listening?.readyState === EventSource.OPEN) channel.postMessage({ state: ["Live", "on"], number: heard, opened: true });
};

function hear({ state, number, opened, runs, over }) {
  if (state) live(...state);
  if (!number) return;
  heard = number;
  refreshSoon();
  const open = $("#open")?.value, run = $("[data-run-id]")?.dataset.runId;
  if (open && (opened || over.includes(open))) document.body.dispatchEvent(new Event(`hitl:${open}`));
  if (run && (opened || runs.includes(run))) document.body.dispatchEvent(new Event(`hitl:run-${run}`));
}

// Not a debounce, which a steady stream would put off for ever: the first at once, the others at
// most twice a second; while it goes on like this more seldom, and not all pages in one moment.
function refreshSoon() {
  if (due) return;
  const left = refreshedAt + REFRESH_MS - performance.now();
  const wait = left > 0 ? left + (isSteady ? Math.random() * SPREAD_MS : 0) : 0;
  isSteady = left > 0;
  due = setTimeout(() => {
    due = 0;
    refreshedAt = performance.now();
    document.body.dispatchEvent(new Event("hitl:queue"));
  }, wait);
}

function tell(news) {
  hear(news);
  channel.postMessage(news);
}

function listen(address) {
  let opened = true; // what was missed meanwhile is asked for
  listening = new EventSource(address);
  listening.onmessage = (event) => {
    tell({ ...JSON.parse(event.data), number: event.lastEventId, opened, state: opened && ["Live", "on"] });
    opened = false;
  };
  listening.onerror = () => {
    opened = true;
    tell({ state: ["Reconnecting…", "off"] });
    if (listening.readyState !== EventSource.CLOSED) return;
    setTimeout(listen, 3000, address); // until then the list is asked for, and says whether the session has ended
    refreshSoon();
  };
}

function listenWhileVisible(address) {
  if (!document.hidden) listen(address);
  addEventListener("visibilitychange", () => {
    listening?.close();
    if (!document.hidden) listen(address);
  });
}

addEventListener("DOMContentLoaded", () => {
  const address = $("[data-stream]")?.dataset.stream;
  markRows();
  showRow();
  fold();
  if (!address) return;
  // Locks need https or localhost; elsewhere the tab that is looked at listens.
  if (navigator.locks) navigator.locks.request(address, () => new Promise(() => listen(address)));
  else listenWhileVisible(address);
  channel.postMessage({ hello: true });
});

function live(words, kind) {
  const spot = $("#live");
  if (spot && spot.textContent !== words) Object.assign(spot, { textContent: words, className: `live ${kind}` });
}

// -- what changes with time and size

// Whether all of what would run is on the screen.
function fold() {
  const shown = $(".action"), bar = $("#decide"), note = $(".fold");
  if (note && bar) note.hidden = !shown || shown.getBoundingClientRect().bottom <= bar.getBoundingClientRect().top + 4;
}
addEventListener("scroll", fold, true);
addEventListener("resize", fold);

function writeSpan(milliseconds) {
  const seconds = Math.max(0, milliseconds / 1000);
  const [size, unit] = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]].find(([size]) => seconds >= size) ?? [1, "s"];
  return `${Math.floor(seconds / size)} ${unit}`;
}

// Of a run at work the stream of the queue tells nothing between two questions.
setInterval(() => {
  if ($("[data-at-work]") && !document.hidden) document.body.dispatchEvent(new Event("hitl:poll"));
}, 2000);

setInterval(() => {
  for (const spot of $$("time[datetime]")) {
    const at = Date.parse(spot.dateTime);
    if ("until" in spot.dataset) spot.textContent = writeSpan(at - Date.now());
    else if (/^\d+ (s|min|h|d)( ago)?$/.test(spot.textContent)) spot.textContent = writeSpan(Date.now() - at) + (spot.textContent.endsWith("ago") ? " ago" : "");
  }
}, 5000);
