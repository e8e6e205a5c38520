// A click on an example sends its number.
element.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-example]");
  if (button) trigger("click", { number: Number(button.dataset.example) });
});
