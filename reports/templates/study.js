"use strict";
(() => {
  const one = (query) => document.querySelector(query);
  const { study, criteria, questions } = JSON.parse(one("#study").textContent);
  const store = `stbench-study-${study}`;
  let state = { study, rater: "", answers: {} }, at = 0;
  try { state = { ...state, ...JSON.parse(localStorage.getItem(store) || "{}") }; } catch { /* no storage: answers live as long as the page */ }
  const keep = () => { try { localStorage.setItem(store, JSON.stringify(state)); } catch { /* as above */ } };
  const show = (id) => { for (const name of ["start", "ask", "end"]) one(`#${name}`).hidden = name !== id; };
  const choices = { left: "left", tie: "no difference", right: "right" };
  one("#rater").value = state.rater;

  function ask() {
    const question = questions[at], given = state.answers[question.id] || {};
    one("#place").textContent = `Screen ${at + 1} of ${questions.length}`;
    one("#name").textContent = question.name;
    one("#overview").textContent = question.overview;
    one("#prompts").replaceChildren(...question.prompts.map((text) => Object.assign(document.createElement("li"), { textContent: text })));
    one("#check").hidden = !question.check;
    one("#check").textContent = question.check ? `This is a check: please answer “${choices[question.check]}” to all three questions.` : "";
    for (const side of ["left", "right"]) one(`#${side}`).src = question[side];
    one("#answers").replaceChildren(...Object.entries(criteria).map(([name, text]) => {
      const box = document.createElement("fieldset");
      box.append(Object.assign(document.createElement("legend"), { textContent: text }));
      for (const [value, word] of Object.entries(choices)) {
        const label = document.createElement("label");
        const input = Object.assign(document.createElement("input"), { type: "radio", name, value, checked: given[name] === value });
        label.append(input, ` ${word}`);
        box.append(label);
      }
      return box;
    }));
    one("#back").disabled = at === 0;
    ready();
  }
  const given = () => Object.fromEntries(new FormData(one("#answers")));
  const ready = () => { one("#next").disabled = Object.keys(given()).length < Object.keys(criteria).length; };
  one("#answers").addEventListener("input", () => { state.answers[questions[at].id] = given(); keep(); ready(); });
  one("#begin").addEventListener("click", () => {
    state.rater = one("#rater").value.trim();
    if (!state.rater) { one("#rater").focus(); return; }
    keep();
    at = Math.max(0, questions.findIndex((question) => !state.answers[question.id]));
    show("ask");
    ask();
  });
  one("#back").addEventListener("click", () => { at -= 1; ask(); });
  one("#next").addEventListener("click", () => {
    at += 1;
    if (at < questions.length) { ask(); window.scrollTo(0, 0); return; }
    const blob = new Blob([JSON.stringify(state, null, 1)], { type: "application/json" });
    Object.assign(one("#save"), { href: URL.createObjectURL(blob), download: `answers-${state.rater.replace(/[^A-Za-z0-9_-]+/g, "_")}.json` });
    show("end");
  });
  for (const side of ["left", "right"]) {
    const video = one(`#${side}`);
    video.addEventListener("loadedmetadata", () => video.classList.toggle("tiny", video.videoWidth <= 160));
  }
  one("#both").addEventListener("click", () => {
    for (const side of ["left", "right"]) { const video = one(`#${side}`); video.currentTime = 0; video.play().catch(() => {}); }
  });
})();
