"use strict";
(() => {
  const $ = (id) => document.getElementById(id);
  const open = (element) => {
    for (let at = element; at; at = at.parentElement) if (at.tagName === "DETAILS") at.open = true;
  };
  const follow = () => {
    const target = location.hash.length > 1 && $(location.hash.slice(1));
    if (!target) return;
    open(target);
    const inner = target.tagName === "DETAILS" ? target : null;
    (inner || target).scrollIntoView({ block: "start" });
  };
  addEventListener("hashchange", follow);
  follow();

  const form = document.querySelector(".filter");
  if (form) {
    const groups = [...document.querySelectorAll("details.thread")];
    const texts = new Map();
    const text = (group) => {
      if (!texts.has(group)) texts.set(group, group.textContent.toLowerCase());
      return texts.get(group);
    };
    const search = $("thread-search");
    const state = $("thread-state");
    const wait = $("thread-wait");
    const filter = () => {
      const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
      let shown = 0;
      for (const group of groups) {
        const fits =
          (!state.value || group.dataset.state === state.value) &&
          (!wait || !wait.value || group.dataset.wait === wait.value) &&
          words.every((word) => text(group).includes(word));
        group.hidden = !fits;
        if (fits) shown += 1;
      }
      const all = words.length === 0 && !state.value && !(wait && wait.value);
      $("thread-count").textContent = all ? "" : `${shown} of ${groups.length} stacks`;
    };
    form.addEventListener("input", filter);
    form.addEventListener("submit", (event) => event.preventDefault());
    $("thread-open").addEventListener("click", (event) => {
      const opening = event.target.textContent === "Expand all";
      for (const group of groups) if (!group.hidden) group.open = opening;
      event.target.textContent = opening ? "Collapse all" : "Expand all";
    });
    form.hidden = false;
  }

  let closed = [];
  addEventListener("beforeprint", () => {
    closed = [...document.querySelectorAll("details:not([open])")];
    for (const one of closed) one.open = true;
  });
  addEventListener("afterprint", () => {
    for (const one of closed) one.open = false;
  });
})();
