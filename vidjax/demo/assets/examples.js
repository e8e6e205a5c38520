// A click on an example says which one it was.
element.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-example]");
  if (button) trigger("click", { number: Number(button.dataset.example) });
});
