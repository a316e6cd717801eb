// How the page begins: what it was given, its texts, and nobody around it who isn't the NAS.

import { render, type ComponentChild } from "preact";
import { redeem, setToken } from "./call";
import { watch } from "./live";
import { loadTexts } from "./texts";

const given = new URLSearchParams(location.search.slice(1) + "&" + location.hash.slice(1));

// Another site that frames the page could have a person press its buttons unawares.
function isFramedByAnother(): boolean {
  try {
    return window.top?.location.origin !== location.origin;
  } catch {
    return true;
  }
}

/** Shows the panel, or the small view where that is wanted. */
export async function start(panel: ComponentChild, small: ComponentChild): Promise<void> {
  if (isFramedByAnother()) return;
  const token = given.get("SynoToken");
  if (token) setToken(token);
  const ticket = given.get("ticket"), isSmall = given.has("small");
  // Neither stays anywhere but in memory.
  if (ticket || token || given.has("lang")) history.replaceState(null, "", location.pathname + (isSmall ? "#small" : "#/"));
  if (ticket) await redeem(ticket);
  const place = document.getElementById("page") ?? document.body;
  try {
    await loadTexts(given.get("lang"));
  } catch {
    place.textContent = "The NAS gives no proper answer. Check the network, and load this page again.";
    return;
  }
  watch(isSmall);
  render(isSmall ? small : panel, place);
}
