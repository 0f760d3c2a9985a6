// The page of docs/frontend.md and what stands around it: its own origin, an origin that is not listed, and the identity provider.
import { generateKeyPairSync, sign } from "node:crypto";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { createRequire } from "node:module";

const ISSUER = "https://id.example.com";
const AUDIENCE = "trunkline";

/** The only block of HTML of the document. */
function example() {
  const text = readFileSync(new URL("../../docs/frontend.md", import.meta.url), "utf8");
  const blocks = [...text.matchAll(/^```html\n(.*?)^```$/gms)];
  if (blocks.length !== 1) throw new Error(`docs/frontend.md has ${blocks.length} blocks of HTML`);
  return blocks[0][1];
}

function serve(files) {
  const server = createServer((request, response) => {
    const file = files()[request.url];
    if (!file) return response.writeHead(404).end();
    const [type, text] = file;
    response.writeHead(200, { "Content-Type": type }).end(text);
  });
  return new Promise((resolve) => {
    server.listen(0, "127.0.0.1", () => resolve(`http://127.0.0.1:${server.address().port}`));
  });
}

/** Serves the page from two origins. `login.js` hands out what `open` was told. */
export async function serveSite() {
  const { publicKey, privateKey } = generateKeyPairSync("ed25519");
  const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const token = (claims) => {
    const now = Math.floor(Date.now() / 1000);
    const text = `${part({ alg: "EdDSA", kid: "web" })}.${part({ iss: ISSUER, aud: AUDIENCE, exp: now + 300, ...claims })}`;
    return `${text}.${sign(null, Buffer.from(text), privateKey).toString("base64url")}`;
  };
  const jwks = { keys: [{ ...publicKey.export({ format: "jwk" }), kid: "web" }] };
  const client = createRequire(import.meta.url).resolve("livekit-client").replace(/[^/]+$/, "livekit-client.umd.js");
  let api;
  const files = () => ({
    "/": ["text/html", example()],
    "/livekit-client.umd.js": ["text/javascript", `${readFileSync(client)}\nwire.watch(LivekitClient);`],
    "/login.js": [
      "text/javascript",
      `const login = async () => (${JSON.stringify({ api, accessToken: token({ sub: "ann", scope: "token:create" }) })});`,
    ],
    "/jwks.json": ["application/json", JSON.stringify(jwks)],
  });
  const [origin, otherOrigin] = [await serve(files), await serve(files)];
  return {
    told: { origin, issuer: ISSUER, audience: AUDIENCE, jwks_url: `${origin}/jwks.json` },
    origin,
    otherOrigin,
    open: (url) => {
      api = url;
    },
  };
}
