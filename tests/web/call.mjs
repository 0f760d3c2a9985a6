// One call from a browser: `call.mjs` prints where the page and the identity provider are, reads `{api, voice, written}` from its standard input,
// calls with `voice` (a WAV) for a microphone, writes `written` after the first answer, and prints what the browser did and heard. Each is one line of JSON.
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";
import { serveSite } from "./page.mjs";

const LIMIT_MS = 40_000;
/** Longer than between two sentences of the agent's. */
const PAUSE_MS = 800;

const say = (value) => process.stdout.write(`${JSON.stringify(value)}\n`);

/** What the browser sends to the API: preflights, which pages never see, and requests. */
async function watch(page, api) {
  const session = await page.context().newCDPSession(page);
  const sent = new Map();
  session.on("Network.requestWillBeSent", ({ requestId, request }) => {
    if (request.url.startsWith(api)) sent.set(requestId, { method: request.method });
  });
  session.on("Network.responseReceived", ({ requestId, response }) => {
    if (sent.has(requestId)) sent.get(requestId).status = response.status;
  });
  await session.send("Network.enable");
  return () => [...sent.values()];
}

async function opened(context, origin, api) {
  const page = await context.newPage();
  page.setDefaultTimeout(LIMIT_MS);
  const sent = await watch(page, api);
  const errors = [];
  page.on("pageerror", (error) => errors.push(error.message));
  await page.goto(origin);
  return { page, sent, errors };
}

/** The same page from an origin that is not listed. */
async function refused(context, site, api) {
  const { page, sent, errors } = await opened(context, site.otherOrigin, api);
  const failed = page.waitForEvent("pageerror");
  await page.click("#talk");
  await failed;
  return { sent: sent(), errors };
}

async function called(context, site, { api, written }) {
  const { page, sent, errors } = await opened(context, site.origin, api);
  await page.click("#talk");
  // The greeting, and the answer to what the microphone asks after it.
  await page.waitForFunction((pause) => ear.utterances(pause).length >= 2, PAUSE_MS, { polling: 100 });
  // What is written instead of said is answered aloud.
  await page.evaluate((text) => wire.write(text), written);
  await page.waitForFunction((pause) => ear.utterances(pause).length >= 3, PAUSE_MS, { polling: 100 });
  const received = await page.evaluate(() => ear.received());
  const told = await page.evaluate(() => wire.told());
  const heard = await page.evaluate((pause) => ear.utterances(pause).map(ear.pcm), PAUSE_MS);
  // As a user leaves.
  await page.goto("about:blank");
  return { sent: sent(), errors, received, heard, told };
}

const site = await serveSite();
say(site.told);
const [line] = await once(createInterface({ input: process.stdin }), "line");
const { api, voice, written } = JSON.parse(line);
site.open(api);
const profile = mkdtempSync(join(tmpdir(), "trunkline-web-"));
const context = await chromium.launchPersistentContext(profile, {
  executablePath: "/usr/bin/chromium",
  timeout: LIMIT_MS,
  args: [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-fake-ui-for-media-stream",
    "--use-fake-device-for-media-stream",
    `--use-file-for-fake-audio-capture=${voice}%noloop`,
  ],
});
try {
  for (const script of ["ear.js", "wire.js"]) {
    await context.addInitScript({ path: fileURLToPath(new URL(script, import.meta.url)) });
  }
  say({ refused: await refused(context, site, api), called: await called(context, site, { api, written }) });
} finally {
  await context.close();
  rmSync(profile, { recursive: true, force: true });
}
process.exit(0);
