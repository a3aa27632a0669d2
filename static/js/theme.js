// Runs before the first paint, so that a chosen theme never flashes in the other one.
// Storage may be blocked (private windows, policies): then the system theme applies.
(() => {
  try {
    const theme = localStorage.getItem("theme");
    if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
  } catch {
    // Nothing to restore.
  }
})();
