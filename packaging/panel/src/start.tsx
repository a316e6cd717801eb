// How a page begins: what it was given, its texts, and nobody around it who isn't the NAS.

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

/** Shows a page; only a part of what is known is asked for where that is enough. */
export async function start(page: ComponentChild, isSmall = false): Promise<void> {
  if (isFramedByAnother()) return;
  const token = given.get("SynoToken");
  if (token) setToken(token);
  const ticket = given.get("ticket");
  // Neither stays anywhere but in memory.
  if (ticket || given.has("SynoToken") || given.has("lang")) history.replaceState(null, "", location.pathname + "#/");
  if (ticket) await redeem(ticket);
  await loadTexts(given.get("lang")).catch(() => {});
  watch(isSmall);
  const place = document.getElementById("page");
  if (place) render(page, place);
}
