// What pages do where there is script: copy lines, and show a form's answer when a choice is made. All works without.
"use strict";

for (const lines of document.querySelectorAll("pre[data-copy]")) {
  const box = document.createElement("div"), button = document.createElement("button");
  box.className = "copied";
  button.type = "button";
  button.textContent = "Copy";
  button.setAttribute("aria-label", "Copy: " + lines.getAttribute("aria-label"));
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(lines.textContent);
      button.textContent = "Copied";
    } catch { // plain http on another host than this one: browsers give no clipboard there
      getSelection().selectAllChildren(lines);
      button.textContent = "Selected";
    }
    setTimeout(() => { button.textContent = "Copy"; }, 2000);
  });
  lines.replaceWith(box);
  box.append(lines, button);
}

for (const form of document.querySelectorAll("form[data-submits]")) {
  for (const choice of form.querySelectorAll("select")) choice.addEventListener("change", () => form.requestSubmit());
}
