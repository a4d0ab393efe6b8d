// node morph.mjs FILE CHROMIUM OUT_DIR [TARGET...]: draws a GLB in three.js, at rest and with each morph target at
// full strength, as OUT_DIR/rest.png and OUT_DIR/TARGET.png; prints what three.js found, as JSON.
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { dirname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";

const [file, executablePath, output, ...targets] = process.argv.slice(2);
const here = dirname(fileURLToPath(import.meta.url));
const types = { ".js": "text/javascript", ".html": "text/html", ".glb": "model/gltf-binary" };

const server = createServer((request, response) => {
  const path = normalize(decodeURIComponent(request.url.split("?")[0]));
  const source = path === "/model.glb" ? file : path.startsWith("/node_modules/three/") || path === "/morph.html" ? join(here, path) : null;
  if (source === null) return response.writeHead(404).end();
  response.writeHead(200, { "Content-Type": types[path.slice(path.lastIndexOf("."))] ?? "application/octet-stream" });
  response.end(readFileSync(source));
});
await new Promise((ready) => server.listen(0, "127.0.0.1", ready));

const browser = await chromium.launch({
  executablePath,
  args: ["--no-sandbox", "--disable-background-networking", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"],
});
try {
  const page = await browser.newPage({ viewport: { width: 480, height: 480 } });
  const complaints = [];
  page.on("pageerror", (error) => complaints.push(String(error)));
  page.on("console", (message) => {
    // swiftshader's own performance remarks are none of the file's
    if (["error", "warning"].includes(message.type()) && !message.text().includes("GPU stall")) complaints.push(message.text());
  });
  await page.goto(`http://127.0.0.1:${server.address().port}/morph.html`);
  await page.waitForFunction(() => window.ready !== undefined, { timeout: 60000 });
  const found = await page.evaluate(() => window.ready);
  if (!found.error) {
    await page.screenshot({ path: join(output, "rest.png") });
    for (const target of targets) {
      await page.evaluate((name) => window.pose({ [name]: 1 }), target);
      await page.screenshot({ path: join(output, `${target}.png`) });
    }
  }
  console.log(JSON.stringify({ ...found, complaints }));
} finally {
  await browser.close();
  server.close();
}
