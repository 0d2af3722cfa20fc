// What happens in the browser alone: copying an id, and keys. Texts are only ever read from it.
(() => {
  const isTyping = (target) => target.closest("input, textarea, select, [contenteditable]");

  async function copy(button) {
    const text = button.dataset.copies;
    try {
      await navigator.clipboard.writeText(text);
    } catch { // not served over TLS, nor on loopback
      const area = document.createElement("textarea");
      area.value = text;
      document.body.append(area);
      area.select();
      document.execCommand("copy");
      area.remove();
    }
    const label = button.querySelector(".block") ?? button;
    const before = label.textContent;
    label.textContent = "copied";
    setTimeout(() => { label.textContent = before; }, 1200);
  }

  function step(by) {
    const rows = [...document.querySelectorAll("a.opens")];
    const here = rows.indexOf(document.activeElement);
    rows[here < 0 ? (by > 0 ? 0 : rows.length - 1) : here + by]?.focus();
  }

  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-copies]");
    if (button) copy(button);
    if (event.target.closest("[data-opens-keys]")) document.getElementById("keys")?.showModal();
    if (event.target.id === "keys") event.target.close(); // beside the text
  });
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey || isTyping(event.target)) return;
    if (document.querySelector("dialog[open]")) return;
    if (event.key === "?") document.getElementById("keys")?.showModal();
    else if (event.key === "j") step(1);
    else if (event.key === "k") step(-1);
    else if (event.key === "/") document.querySelector(".on-slash input, .on-slash textarea")?.focus();
    else if ("np".includes(event.key)) document.querySelector(`[data-key="${event.key}"]`)?.click();
    else return;
    event.preventDefault();
  });
})();
