"use strict";
(() => {
  const all = (query, root = document) => [...root.querySelectorAll(query)];
  const one = (query, root = document) => root.querySelector(query);
  const make = (tag, text) => Object.assign(document.createElement(tag), { textContent: text ?? "" });

  // light and dark
  one("#theme").addEventListener("click", () => {
    const root = document.documentElement;
    const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
  });

  // filter by method, metric and story
  const filter = one("#filter"), metric = one("#metric"), story = one("#story"), sort = one("#sort"), list = one("#story-list");
  const stories = all(".story");
  const runs = () => new Set(all("input[name=run]:checked", filter).map((box) => box.value));
  function apply() {
    const shown = runs(), words = story.value.trim().toLowerCase().split(/\s+/).filter(Boolean);
    for (const node of all("[data-run]")) node.hidden = !shown.has(node.dataset.run) || wrongMetric(node);
    for (const node of all("[data-metric]:not([data-run])")) node.hidden = wrongMetric(node);
    let count = 0;
    for (const node of stories) {
      const text = node.dataset.text.toLowerCase();
      node.hidden = !words.every((word) => text.includes(word));
      count += !node.hidden;
    }
    one("#no-story").hidden = count > 0 || !stories.length;
    one("#shown").textContent = `${count} of ${stories.length} stories`;
    showValues(shown);
    order(shown);
  }
  const wrongMetric = (node) => Boolean(metric.value && node.dataset.metric && node.dataset.metric !== metric.value);
  const valuesOf = (node, shown) => {
    const found = JSON.parse(node.dataset.values)[metric.value || firstMetric] || {};
    return Object.entries(found).filter(([run]) => shown.has(run));
  };
  const firstMetric = one("#metric option:nth-child(2)")?.value ?? "";
  function showValues(shown) {
    for (const node of stories) {
      const parts = valuesOf(node, shown).map(([run, value]) => `${run} ${value.toFixed(3)}`);
      one(".story-value", node).textContent = parts.length ? `${metric.value || firstMetric}: ${parts.join(" · ")}` : "";
    }
  }
  function order(shown) {
    const lowFirst = !one(`thead th[data-metric="${CSS.escape(metric.value || firstMetric)}"]`)?.title.includes("lower is better");
    const weight = (node) => {
      const values = valuesOf(node, shown).map(([, value]) => value);
      if (!sort.value) return stories.indexOf(node);
      if (!values.length) return Infinity;
      if (sort.value === "spread") return Math.min(...values) - Math.max(...values);
      return lowFirst ? Math.min(...values) : -Math.max(...values);
    };
    list.append(...stories.map((node) => [weight(node), node]).sort((a, b) => a[0] - b[0]).map(([, node]) => node));
  }
  filter.addEventListener("input", apply);
  filter.addEventListener("submit", (event) => event.preventDefault());
  sort.addEventListener("input", apply);

  // sort a table by a column, each group of rows on its own
  for (const button of all(".sortable thead button")) {
    button.addEventListener("click", () => {
      const head = button.closest("th"), row = head.parentNode, place = [...row.children].indexOf(head);
      const down = head.getAttribute("aria-sort") === "descending";
      for (const other of row.children) other.setAttribute("aria-sort", "none");
      head.setAttribute("aria-sort", down ? "ascending" : "descending");
      const key = (line) => {
        const cell = line.children[place];
        const text = cell ? cell.dataset.value ?? cell.textContent.trim() : "";
        const number = parseFloat(text);
        return Number.isNaN(number) ? text : number;
      };
      const compare = (a, b) => {
        const [x, y] = [key(a), key(b)];
        if (typeof x === typeof y) return (x > y) - (x < y);
        return typeof x === "number" ? 1 : -1;
      };
      for (const body of all("tbody", head.closest("table")))
        body.append(...[...body.children].sort((a, b) => (down ? compare(a, b) : compare(b, a))));
    });
  }

  // matrices are drawn when they are opened
  function drawMatrix(box) {
    if (box.firstChild) return;
    const rows = JSON.parse(box.dataset.matrix), table = make("table"), head = make("tr");
    table.append(make("caption", `${box.dataset.run}: ${box.dataset.metric}`));
    head.append(make("td"), ...rows.map((_, j) => Object.assign(make("th", j + 1), { scope: "col" })));
    table.append(head);
    rows.forEach((values, i) => {
      const line = make("tr");
      line.append(Object.assign(make("th", i + 1), { scope: "row" }));
      values.forEach((value, j) => {
        const cell = make("td", i === j ? "" : value.toFixed(2));
        if (i !== j) cell.style.background = `rgba(var(--heat),${Math.max(0, Math.min(1, value)) * 0.75})`;
        line.append(cell);
      });
      table.append(line);
    });
    box.append(table);
  }
  for (const node of all(".matrices")) node.addEventListener("toggle", () => all(".matrix", node).forEach(drawMatrix));

  // arcs of the shot that is looked at
  for (const card of all(".shot")) {
    const links = one(".links", card.closest(".strip"));
    if (!links) continue;
    const light = (on) => () => {
      links.classList.toggle("dim", on);
      for (const arc of all("path", links)) {
        const touches = arc.dataset.to === card.dataset.number || arc.dataset.from === card.dataset.number;
        arc.classList.toggle("on", on && touches);
      }
    };
    card.addEventListener("mouseenter", light(true));
    card.addEventListener("mouseleave", light(false));
    card.addEventListener("focusin", light(true));
    card.addEventListener("focusout", light(false));
  }

  // one shot in its place
  function playHere(button) {
    const source = button.dataset.ref ? document.getElementById(button.dataset.ref) : button.closest(".shot");
    if (!source?.dataset.video) return;
    let video = one("video", button);
    if (!video) {
      video = Object.assign(document.createElement("video"), { muted: true, loop: true, playsInline: true, src: source.dataset.video });
      const image = one("img", button);
      video.style.aspectRatio = `${image.naturalWidth || 5} / ${image.naturalHeight || 3}`;
      image.hidden = true;
      button.append(video);
      button.classList.add("playing");
    }
    if (video.paused) video.play().catch(() => {}); else video.pause();
  }
  document.addEventListener("click", (event) => {
    const button = event.target.closest("button.poster");
    if (button) playHere(button);
  });

  // two films in step, shot by shot
  const dialog = one("#player"), screens = all(".screen", dialog), button = one("[data-do=play]", dialog), loop = one("[data-do=loop]", dialog);
  let film = null, at = 0, playing = false;
  const cardsOf = (run) => all(`.strip[data-run="${CSS.escape(run)}"] .shot`, film);
  const videos = () => screens.filter((screen) => !screen.hidden).map((screen) => one("video", screen));
  const live = () => videos().filter((video) => video.getAttribute("src"));
  function load() {
    const size = Math.max(...screens.map((screen) => cardsOf(one("select", screen).value).length), 0);
    at = Math.max(0, Math.min(at, size - 1));
    for (const screen of screens) {
      const card = cardsOf(one("select", screen).value)[at], video = one("video", screen), gone = one(".gone", screen);
      const source = card?.dataset.video || "";
      gone.hidden = Boolean(source);
      gone.textContent = source ? "" : card?.dataset.gone || "no film";
      one(".box", screen).classList.toggle("tiny-film", Boolean(card && one(".tiny", card)));
      if (source) { video.src = source; video.hidden = false; } else { video.removeAttribute("src"); video.load(); video.hidden = true; }
      if (card && screen === screens[0]) one(".prompt", dialog).textContent = one(".text", card).textContent;
    }
    one(".where", dialog).textContent = `${one(".name", film).textContent}: shot ${at + 1} of ${size}`;
    if (playing) play();
  }
  async function play() {
    playing = true;
    button.textContent = "Pause";
    const waiting = live();
    await Promise.all(waiting.map((video) => video.readyState >= 3 ? null : new Promise((done) => {
      video.addEventListener("canplay", done, { once: true });
      video.addEventListener("error", done, { once: true });
    })));
    if (!playing || waiting.some((video) => !video.getAttribute("src"))) return;
    for (const video of waiting) video.currentTime = waiting[0].currentTime;
    await Promise.all(waiting.map((video) => video.play().catch(() => {})));
  }
  function pause() { playing = false; button.textContent = "Play"; live().forEach((video) => video.pause()); }
  function step(by) { at += by; load(); }
  function ended() {
    if (!live().every((video) => video.ended)) return;
    if (loop.checked) { live().forEach((video) => { video.currentTime = 0; }); play(); return; }
    const size = Math.max(...screens.map((screen) => cardsOf(one("select", screen).value).length));
    if (at + 1 < size) step(1); else pause();
  }
  for (const screen of screens) {
    const video = one("video", screen);
    video.addEventListener("ended", ended);
    video.addEventListener("timeupdate", () => {
      const lead = live()[0];
      if (lead && video !== lead && !video.ended && !lead.ended && Math.abs(video.currentTime - lead.currentTime) > 0.15) video.currentTime = lead.currentTime;
    });
    one("select", screen).addEventListener("input", load);
  }
  function open(node) {
    film = node; at = 0; playing = false;
    const names = all(".strip", node).map((strip) => strip.dataset.run);
    screens.forEach((screen, k) => {
      const select = one("select", screen);
      select.replaceChildren(...names.map((name) => new Option(name)));
      select.value = names[Math.min(k, names.length - 1)];
      screen.hidden = k >= names.length;
    });
    dialog.showModal();
    playing = true;
    load();
  }
  for (const start of all(".play-all")) start.addEventListener("click", () => open(start.closest(".story")));
  const act = { previous: () => step(-1), next: () => step(1), close: () => dialog.close(), play: () => (playing ? pause() : play()) };
  for (const control of all("button[data-do]", dialog)) control.addEventListener("click", act[control.dataset.do]);
  dialog.addEventListener("close", () => { pause(); live().forEach((video) => video.removeAttribute("src")); });
  dialog.addEventListener("keydown", (event) => {
    if (event.target.matches("select,input")) return;
    if (event.key === "ArrowLeft") act.previous();
    if (event.key === "ArrowRight") act.next();
  });

  apply();
})();
